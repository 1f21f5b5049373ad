"""Serves flows that come with the package, with the playground; see `--help`."""

import argparse
import json
import sys
from pathlib import Path

# Works from a checkout that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tfp_realnvp.cli.main import Parser, add_debug, guarded, main


def parsed() -> argparse.Namespace:
    """Returns the arguments."""
    parser = Parser(description="Serve flows that come with the package, with the playground.")
    parser.add_argument("names", nargs="*", default=["mnist", "moons"], help="flows of the package")
    parser.add_argument(
        "--out", default="runs/playground", metavar="DIR", help="where they are exported once"
    )
    parser.add_argument("--port", type=int, default=8501, help="port of the page")
    add_debug(parser)
    return parser.parse()


def export_all(args: argparse.Namespace) -> None:
    """Exports the flows that are not there yet."""
    import tfp_realnvp as nvp
    from tfp_realnvp.serving.versions import versions_of
    from tfp_realnvp.zoo.files import folder_of

    for name in args.names:
        base = Path(args.out) / name
        if not versions_of(base):
            print(f"Exporting {name} to {base}", flush=True)
            stored = folder_of(name) / "reference.json"
            reference = json.loads(stored.read_text()) if stored.exists() else None
            nvp.export(nvp.pretrained(name), base, version=1, reference=reference)


def play() -> int:
    """Exports, says where the page is, and serves until it is ended."""
    args = parsed()
    status = guarded(export_all, args)
    if status:
        return status
    print(f"The playground: http://127.0.0.1:{args.port}/ (Ctrl-C ends it)", flush=True)
    bases = [str(Path(args.out) / name) for name in args.names]
    return main([*bases, "--port", str(args.port)], command="serve")


if __name__ == "__main__":
    sys.exit(play())
