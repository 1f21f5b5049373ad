"""Bits per dimension that lossless codecs need for the test images of a data set.

    python -m benchmarks.codecs --dataset mnist --data_dir DIR
    python -m benchmarks.codecs --dataset mnist --data_dir DIR --model mnist-archive

PNG, WebP and JPEG XL code the images one by one, headers included, and all of them as one mosaic;
xz, brotli, zstd and zpaq code the bytes of all images in a row. None of these sees training images;
the histogram of each pixel and that of differences to the left neighbour do, as does a flow. With
one, its archive of the same images stands beside the likelihood of one sample of its noise, and is
read again. JPEG XL, brotli and zstd need the package imagecodecs, zpaq the program of that name;
what is not there is left out by name.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import lzma
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import tfp_realnvp as nvp
from tfp_realnvp import baselines
from tfp_realnvp.cli.compress import codec_named

# The longest side of a WebP image.
WEBP_SIDE = 16_383


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


def webp(image: np.ndarray) -> bytes:
    """Returns an image `[H, W, C]` as lossless WebP, which has no grey images."""
    file = io.BytesIO()
    pixels = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
    Image.fromarray(pixels).save(file, "webp", lossless=True, quality=100, method=6)
    return file.getvalue()


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
    data = test.tobytes()
    yield from both("PNG", png)
    yield "WebP, one by one", 8 * sum(len(webp(image)) for image in test) / test.size
    if max(mosaic(test).shape) <= WEBP_SIDE:
        yield "WebP, one mosaic", 8 * len(webp(mosaic(test))) / test.size
    yield "xz", 8 * len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)) / test.size
    if importlib.util.find_spec("imagecodecs") is None:
        print("JPEG XL, brotli and zstd left out: pip install imagecodecs")
    else:
        import imagecodecs

        yield from both("JPEG XL", jpeg_xl)
        yield "brotli", 8 * len(imagecodecs.brotli_encode(data, level=11)) / test.size
        yield "zstd", 8 * len(imagecodecs.zstd_encode(data, level=19)) / test.size
    if shutil.which("zpaq") is None:
        print("zpaq left out: install it, such as by apt install zpaq")
    else:
        yield "zpaq", 8 * zpaq(data) / test.size


def ours(model: str, test: np.ndarray) -> None:
    """Prints what a flow's archive needs, how fast it is written and read, and if it is right.

    Raises:
        ValueError: an image that does not come back.
    """
    codec = codec_named(model, test.shape[1:])
    begin = time.perf_counter()
    archive = codec.compress(test, embed=False)
    written = time.perf_counter()
    if not np.array_equal(codec.decompress(archive), test):
        raise ValueError(f"An archive of {model} does not give the images back.")
    read = time.perf_counter()
    bits, own = 8 * len(archive) / test.size, 8 * len(codec.data) / test.size
    print(f"  {model:<34} {bits:.3f}, with the codec's own bytes {bits + own:.3f}")
    print(f"    written at {len(test) / (written - begin):.0f} images/s,", end=" ")
    print(f"read at {len(test) / (read - written):.0f} images/s, every pixel right")
    if not model.endswith(".nvpm"):
        dist = nvp.pretrained(model) if model in nvp.pretrained_names() else nvp.load(model)
        nvp.bits_per_dim(dist, test[:64], num_importance_samples=1)  # traced
        begin = time.perf_counter()
        sample = nvp.bits_per_dim(dist, test, num_importance_samples=1).mean()
        rate = len(test) / (time.perf_counter() - begin)
        print(f"    one sample of the noise {sample:.3f}: the archive is {bits / sample:.4f} of it")
        print(f"    TensorFlow's own float32 networks, without any coding: {rate:.0f} images/s")


def main(arguments: list[str] | None = None) -> None:
    """Prints a line for each code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--data_dir", help="where data sets are kept")
    parser.add_argument("--examples", type=int, default=0, help="how many test images, 0 for all")
    parser.add_argument("--model", help="pretrained flow with a codec, run directory or codec file")
    parser.add_argument("--alone", action="store_true", help="the model and no other codec")
    args = parser.parse_args(arguments)
    train, _ = nvp.datasets.load_arrays(args.dataset, "train", args.data_dir)
    test, _ = nvp.datasets.load_arrays(args.dataset, "test", args.data_dir)
    test = test[: args.examples or None]
    print(f"Bits per dimension of {len(test):,} test images of {args.dataset}")
    if not args.alone:
        for name, bits in figures(train, test):
            print(f"  {name:<34} {bits:.3f}", flush=True)
    if args.model is not None:
        ours(args.model, test)


if __name__ == "__main__":
    main()
