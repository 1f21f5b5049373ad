"""Encodes and decodes whole images with trained weights, and counts the wrong pixels.

Three ways: `nvp.encode` then `nvp.decode`; the two signatures of the exported SavedModel; and
noise over the whole bin, where float32 cannot give every pixel back. Only the last may be wrong.

    python -m benchmarks.round_trip runs/mnist --dataset mnist --data_dir DIR
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import tfp_realnvp as nvp  # before TensorFlow, whose kernels it chooses

import numpy as np  # isort: skip
import tensorflow as tf  # isort: skip


def full_support(dist: nvp.Flow, images: np.ndarray, rows: int) -> np.ndarray:
    """Returns the images decoded from latents with noise over the whole bin."""

    @tf.function
    def encode(batch, seed):
        return dist.encode_and_log_det(batch, nvp.Context(seed=seed, exact=True))[0]

    latents = [
        encode(images[i : i + rows], tf.constant([0, i])).numpy()
        for i in range(0, len(images), rows)
    ]
    return nvp.decode(dist, np.concatenate(latents), rows_at_once=rows)


def served(dist: nvp.Flow, images: np.ndarray, rows: int) -> np.ndarray:
    """Returns the images decoded from latents, both by the SavedModel."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = tf.saved_model.load(str(nvp.export(dist, Path(folder) / "flow")))
        encode, decode = (loaded.signatures[name] for name in ("encode", "decode"))
        decoded = [
            decode(**encode(images=tf.constant(images[i : i + rows])))["images"].numpy()
            for i in range(0, len(images), rows)
        ]
    return np.concatenate(decoded)


def main() -> None:
    """Runs the three ways and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("weights", help="run directory, or a .keras file")
    add("--dataset", default="mnist")
    add("--split", default="test")
    add("--data_dir", help="where data sets are kept")
    add("--examples", type=int, default=0, help="how many, 0 for all")
    add("--noisy", type=int, default=2000, help="how many of them with noise over the bin")
    add("--rows", type=int, default=250, help="images at once")
    args = parser.parse_args()
    dist = nvp.load(args.weights)
    images, _ = nvp.datasets.load_arrays(args.dataset, args.split, args.data_dir)
    images = images[: args.examples or None]
    start = time.perf_counter()
    latents = nvp.encode(dist, images, rows_at_once=args.rows)
    encoded = time.perf_counter()
    decoded = nvp.decode(dist, latents, rows_at_once=args.rows)
    end = time.perf_counter()
    wrong = {
        "encode_decode": decoded != images,
        "saved_model": served(dist, images, args.rows) != images,
        "full_support_noise": full_support(dist, images[: args.noisy], args.rows)
        != images[: args.noisy],
    }
    figures = {name: f"{pixels.sum()} of {pixels.size}" for name, pixels in wrong.items()}
    rates = {
        "encoded_per_s": round(len(images) / (encoded - start), 1),
        "decoded_per_s": round(len(images) / (end - encoded), 1),
    }
    print(json.dumps({"flow": dist.name, "wrong": figures, **rates}))


if __name__ == "__main__":
    main()
