"""Compares the likelihood of the same trained weights in float32 and with bfloat16 conditioners.

python -m benchmarks.precision --steps 100
"""

from __future__ import annotations

import argparse
import json

import tfp_realnvp as nvp  # isort: skip  # before TensorFlow, whose kernels it chooses

import numpy as np

SHAPE, LEVELS, ROWS = (8, 8, 1), 17, 256


def main() -> None:
    """Trains on the embedded digits in float32, and prints bits/dim in both precisions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100, help="training steps")
    args = parser.parse_args()
    images, _ = nvp.datasets.load_arrays("digits")
    flows = {
        name: nvp.flows.build("uva_multiscale", SHAPE, levels=LEVELS, conditioner_dtype=dtype)
        for name, dtype in (("float32", None), ("bfloat16", "mixed_bfloat16"))
    }
    model = nvp.FlowModel(flows["float32"])
    model.compile(nvp.Adam(1e-3, global_clipnorm=1.0))
    rows = images[np.arange(64 * args.steps) % len(images)]
    model.fit(rows, batch_size=64, epochs=1, verbose=0)
    pairs = zip(flows["float32"].variables, flows["bfloat16"].variables, strict=True)
    for source, target in pairs:
        target.assign(source)
    means = {
        name: float(np.mean(nvp.bits_per_dim(dist, images[:ROWS], num_importance_samples=1)))
        for name, dist in flows.items()
    }
    print(json.dumps(means))


if __name__ == "__main__":
    main()
