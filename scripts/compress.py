"""Command-line script; see `compress.py --help`."""

import sys
from pathlib import Path

# Works from a checkout that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfp_realnvp.cli.main import main

if __name__ == "__main__":
    sys.exit(main(command="compress"))
