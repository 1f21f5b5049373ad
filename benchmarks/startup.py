"""Times imports, and two ways from a cold start to a picture of samples.

python -m benchmarks.startup --repeats 3
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
NUM = 64
# What is beyond TensorFlow's and TFP's imports: ours before them, and all that is lazy after them.
IMPORTS = """
import time
start = time.perf_counter()
import tfp_realnvp as nvp
ours = time.perf_counter() - start
start = time.perf_counter()
import tensorflow, tensorflow_probability
libraries = time.perf_counter() - start
start = time.perf_counter()
nvp.flows.build, nvp.FlowModel, nvp.sample, nvp.load, nvp.export
print(libraries, ours + time.perf_counter() - start, ours)
"""
SAVE = """
import sys, time
import tfp_realnvp as nvp
dist = nvp.flows.build("uva_multiscale", (28, 28, 1))
nvp.save(dist, sys.argv[1])
nvp.sample(dist, int(sys.argv[2]), seed=0)
start = time.perf_counter()
nvp.sample(dist, int(sys.argv[2]), seed=1)
print(time.perf_counter() - start)
"""
PICTURE = """
import sys
import tfp_realnvp as nvp
from tfp_realnvp import pictures
dist = nvp.pretrained("mnist")
pictures.write_samples(sys.argv[1], dist.sample(int(sys.argv[2])), levels=dist.levels)
"""


def output(*command: str) -> list[float]:
    """Returns the numbers that a Python process prints."""
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [float(word) for word in done.stdout.split()]


def seconds(command: list[str], repeats: int) -> float:
    """Returns how long a process takes, the median."""
    took = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        took.append(time.perf_counter() - start)
    return float(np.median(took))


def main() -> None:
    """Prints a line of JSON with the medians, in seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    imports = [output("-c", IMPORTS) for _ in range(args.repeats)]
    libraries, all_of_it, name_alone = (float(m) for m in np.median(imports, axis=0))
    with tempfile.TemporaryDirectory() as directory:
        model, picture = str(Path(directory) / "flow.keras"), str(Path(directory) / "s.png")
        (sampling,) = output("-c", SAVE, model, str(NUM))
        script = [sys.executable, "scripts/sample.py", model, "--num", str(NUM), "--out", picture]
        cold = seconds(script, args.repeats)
        pretrained = seconds([sys.executable, "-c", PICTURE, picture, str(NUM)], args.repeats)
    print(
        json.dumps(
            {
                "libraries_s": libraries,
                "import_s": name_alone,
                "import_and_modules_s": all_of_it,
                "sample_cold_s": cold,
                "pretrained_cold_s": pretrained,
                "sampling_s": sampling,
            }
        )
    )


if __name__ == "__main__":
    main()
