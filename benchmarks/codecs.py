"""Bits per dimension that general lossless codecs need for the test images of a data set.

    python -m benchmarks.codecs --dataset mnist --data_dir DIR

PNG and JPEG XL code the images one by one, headers included, and all of them as one mosaic; zpaq
codes the bytes of all images in a row. None of these sees training images; the histogram of each
pixel and that of differences to the left neighbour do. JPEG XL needs the package imagecodecs, zpaq
the program of that name; what is not there is left out by name.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import tfp_realnvp as nvp
from tfp_realnvp import baselines


def png(image: np.ndarray) -> bytes:
    """Returns an image `[H, W, C]` as PNG."""
    file = io.BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(
        file, "png", optimize=True
    )
    return file.getvalue()


def jpeg_xl(image: np.ndarray) -> bytes:
    """Returns an image `[H, W, C]` as lossless JPEG XL, a bare codestream of effort 9."""
    import imagecodecs

    image = image.squeeze(-1) if image.shape[-1] == 1 else image
    code = imagecodecs.jpegxl_encode(image, effort=9, lossless=True, usecontainer=False)
    if not np.array_equal(imagecodecs.jpegxl_decode(code), image):
        raise ValueError("JPEG XL does not give the image back.")
    return bytes(code)


def zpaq(data: bytes) -> int:
    """Returns the length of an archive of zpaq's strongest method that holds some bytes."""
    with tempfile.TemporaryDirectory() as folder:
        raw, archive = Path(folder, "images"), Path(folder, "images.zpaq")
        raw.write_bytes(data)
        command = ["zpaq", "add", archive.name, raw.name, "-method", "5", "-threads", "1"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return archive.stat().st_size


def mosaic(images: np.ndarray) -> np.ndarray:
    """Returns images `[N, H, W, C]` side by side as one, about as many in a row as rows."""
    count, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    filled = np.zeros([rows * columns, height, width, channels], images.dtype)
    filled[:count] = images
    tiles = filled.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return tiles.reshape(rows * height, columns * width, channels)


def figures(train: np.ndarray, test: np.ndarray) -> Iterator[tuple[str, float]]:
    """Yields what each code needs, in bits per dimension, as it comes."""

    def both(name: str, code: Callable[[np.ndarray], bytes]) -> Iterator[tuple[str, float]]:
        yield f"{name}, one by one", 8 * sum(len(code(image)) for image in test) / test.size
        yield f"{name}, one mosaic", 8 * len(code(mosaic(test))) / test.size

    yield "a histogram for each pixel", baselines.histogram_bits(train, test)
    yield "differences to the left neighbour", baselines.left_difference_bits(train, test)
    yield from both("PNG", png)
    if importlib.util.find_spec("imagecodecs") is None:
        print("JPEG XL left out: pip install imagecodecs")
    else:
        yield from both("JPEG XL", jpeg_xl)
    if shutil.which("zpaq") is None:
        print("zpaq left out: install it, such as by apt install zpaq")
    else:
        yield "zpaq", 8 * zpaq(test.tobytes()) / test.size


def main(arguments: list[str] | None = None) -> None:
    """Prints a line for each code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--data_dir", help="where data sets are kept")
    parser.add_argument("--examples", type=int, default=0, help="how many test images, 0 for all")
    args = parser.parse_args(arguments)
    train, _ = nvp.datasets.load_arrays(args.dataset, "train", args.data_dir)
    test, _ = nvp.datasets.load_arrays(args.dataset, "test", args.data_dir)
    test = test[: args.examples or None]
    print(f"Bits per dimension of {len(test):,} test images of {args.dataset}")
    for name, bits in figures(train, test):
        print(f"  {name:<34} {bits:.3f}", flush=True)


if __name__ == "__main__":
    main()
