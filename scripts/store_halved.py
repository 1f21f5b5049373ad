"""Stores a flow as a directory in Keras' form, the kernels in half precision.

    python scripts/store_halved.py flow.keras tfp_realnvp/zoo/NAME

Kernels (arrays of rank 2 and more) become float16; biases, scales and everything else stay as they
are. `nvp.load` reads the directory.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import h5py
import keras
import numpy as np

import tfp_realnvp as nvp


def main() -> None:
    """Stores what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("flow", help="a .keras file")
    parser.add_argument("directory")
    args = parser.parse_args()
    model = nvp.FlowModel(nvp.load(args.flow))
    target = Path(args.directory)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        keras.saving.save_model(model, folder, zipped=False)
        for name in ("config.json", "metadata.json"):
            shutil.copy(Path(folder) / name, target / name)
        with (
            h5py.File(Path(folder) / "model.weights.h5") as whole,
            h5py.File(target / "model.weights.h5", "w") as halved,
        ):
            halve(whole, halved)


def halve(source: h5py.Group, target: h5py.Group) -> None:
    """Copies a group of an HDF5 file with all that it holds."""
    for key, value in source.attrs.items():
        target.attrs[key] = value
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            halve(item, target.create_group(name))
        else:
            array = np.asarray(item)
            kernel = array.ndim >= 2 and array.dtype == np.float32
            target[name] = array.astype(np.float16) if kernel else array
            for key, value in item.attrs.items():
                target[name].attrs[key] = value


if __name__ == "__main__":
    main()
