"""CPU time of the first training step, which traces the graph, with Keras' Adam and with ours.

    python -m benchmarks.first_step --flow uva_multiscale --side 28

Each optimizer has a process of its own; the last line is the ratio.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

OPTIMIZERS = ("keras", "ours")


def measure(flow: str, side: int, optimizer: str) -> float:
    """Returns the CPU seconds of one step of `fit` on a batch of 4, from an untraced model."""
    import tfp_realnvp as nvp  # isort: skip  # before TensorFlow, whose kernels it chooses

    import keras
    import numpy as np

    model = nvp.FlowModel(nvp.flows.build(flow, (side, side, 1)))
    model.compile({"keras": keras.optimizers.Adam, "ours": nvp.Adam}[optimizer](1e-3))
    images = np.zeros([4, side, side, 1], "uint8")
    start = time.process_time()
    model.fit(images, batch_size=4, epochs=1, verbose=0)
    return time.process_time() - start


def main() -> None:
    """Measures both in turn and prints a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flow", default="uva_multiscale")
    parser.add_argument("--side", type=int, default=28, help="height and width of the images")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, help="this one only, in this process")
    args = parser.parse_args()
    if args.optimizer:
        print(measure(args.flow, args.side, args.optimizer))
        return
    common = [sys.executable, "-m", "benchmarks.first_step", "--flow", args.flow]
    common += ["--side", str(args.side), "--optimizer"]
    seconds = {
        name: float(subprocess.check_output([*common, name], text=True).split()[-1])
        for name in OPTIMIZERS
    }
    print(json.dumps({**seconds, "keras / ours": seconds["keras"] / seconds["ours"]}))


if __name__ == "__main__":
    main()
