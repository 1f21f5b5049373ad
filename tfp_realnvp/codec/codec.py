"""Lossless compression of images by a flow."""

from __future__ import annotations

import functools
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tfp_realnvp.codec import IMAGES_PER_FRAME, archive, model_file
from tfp_realnvp.codec.model import Model
from tfp_realnvp.core.files import replacing
from tfp_realnvp.zoo.files import folder_of, sums

# TensorFlow takes seconds to start, and reading an archive has no need of it.
if TYPE_CHECKING:
    from tfp_realnvp.flow import Flow

#: The name of a codec among a pretrained flow's files.
FILE = "codec.nvpm"


class Codec:
    """A flow of images as a lossless codec, in whole numbers alone.

    A flow with density p, whose dequantization draws noise from q, codes an image y in about
    `log2 q(u | y) - log2 p(y + u)` bits, one sample of the bound that `nvp.bits_per_dim` averages:
    the noise u is read from the bits of the images before, and given back when they are decoded
    ("bits back", Hinton and van Camp, 1993; flows: arXiv:1905.08500).

    Every number on the way is a function of whole numbers that IEEE 754 fixes to the last bit (see
    `codec.arithmetic`), so that what one machine writes every other reads. NumPy computes it: a
    codec that is loaded from a file needs neither TensorFlow nor the flow.

    Args:
        model: the steps of the flow, see `Codec.of`.
        data: the model as bytes; None to make them.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("uva_simple", (4, 4, 1), width=4, couplings=2, blocks=1)
        >>> codec = nvp.Codec.of(dist)
        >>> images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), np.uint8)
        >>> bool((codec.decompress(codec.compress(images)) == images).all())
        True
    """

    def __init__(self, model: Model, *, data: bytes | None = None):
        self.model = model
        self._data = data

    @classmethod
    def of(cls, dist: Flow) -> Codec:
        """Returns the codec of a flow, as its variables are now.

        Args:
            dist: a flow of images, of couplings and what usually stands between them;
                class-conditional or not.

        Raises:
            ValueError: the flow has a part that can't be coded.
        """
        from tfp_realnvp.codec.compile import model_of
        from tfp_realnvp.core import arguments
        from tfp_realnvp.flow import Flow

        arguments.instance("Codec.of", "dist", dist, Flow)
        return cls(model_of(dist))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Codec:
        """Loads what `save` wrote.

        Raises:
            ValueError: the file is no codec, damaged, or of a version that is not known.
        """
        data = Path(path).read_bytes()
        return cls(model_file.from_bytes(data), data=data)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the codec to a file, `.nvpm` by custom."""
        with replacing(path) as temporary:
            temporary.write_bytes(self.data)

    @property
    def data(self) -> bytes:
        """The codec as bytes."""
        if self._data is None:
            self._data = model_file.to_bytes(self.model)
        return self._data

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of these, which says in an archive whose it is."""
        return hashlib.sha256(self.data).hexdigest()

    def compress(
        self,
        images: Any,
        labels: Any = None,
        *,
        images_per_frame: int = IMAGES_PER_FRAME,
        embed: bool | None = None,
    ) -> bytes:
        """Returns an archive of images.

        Args:
            images: whole numbers `[N, H, W, C]`.
            labels: `[N]`, of a class-conditional flow.
            images_per_frame: a frame is read without the others; each has some 2 bytes a pixel
                more than its images need.
            embed: whether the codec goes into the archive; None for when it does not come with the
                package.

        Raises:
            ValueError: images or labels that the flow does not take.
        """
        file = io.BytesIO()
        self.write(file, images, labels, images_per_frame=images_per_frame, embed=embed)
        return file.getvalue()

    def write(
        self,
        file: IO[bytes],
        images: Any,
        labels: Any = None,
        *,
        images_per_frame: int = IMAGES_PER_FRAME,
        embed: bool | None = None,
        names: Sequence[str] | None = None,
        kind: str = "array",
        advance: Callable[[int], None] = lambda count: None,
    ) -> archive.Content:
        """Writes an archive to a file; see `compress`.

        Args:
            file: open for writing bytes.
            images: see `compress`; what has `len`, `dtype` and slices, so that not all of them
                need be in memory.
            labels: see `compress`.
            images_per_frame: see `compress`.
            embed: see `compress`.
            names: of the images.
            kind: what they came as.
            advance: told how many more images are done.

        Returns:
            What the archive says of itself.
        """
        from tfp_realnvp.core import arguments

        arguments.whole("compress", "images_per_frame", images_per_frame)
        if not hasattr(images, "dtype"):
            images = np.asarray(images)
        labels = self.checked_labels(labels, len(images))
        name = pretrained_codecs().get(self.sha256)

        def parts() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
            for first in range(0, len(images), images_per_frame):
                rows = slice(first, first + images_per_frame)
                own = None if labels is None else labels[rows]
                yield self.checked_images(images[rows]), own

        return archive.write(
            file,
            self.model,
            parts(),
            number=-(-len(images) // images_per_frame),
            model_data=self.data,
            identity={"name": name, "sha256": self.sha256},
            embed=name is None if embed is None else embed,
            dtype=np.dtype(images.dtype).name,
            names=names,
            kind=kind,
            advance=advance,
        )

    def checked_images(self, images: Any) -> np.ndarray:
        """Returns images `[N, H, W, C]`, if the flow takes them.

        Raises:
            ValueError: images of another shape, or pixels that are out of range.
        """
        from tfp_realnvp.core.data_checks import check_data

        images = np.asarray(images)
        check_data(images, self.model.shape, self.model.levels, name="The codec")
        return images

    def checked_labels(self, labels: Any, count: int) -> np.ndarray | None:
        """Returns a label for each of so many images, or None of a flow without classes.

        Raises:
            ValueError: labels missing or uncalled for, or out of range.
        """
        from tfp_realnvp.core.data_checks import labels_of_examples

        labels = labels_of_examples(labels, self.model.num_classes, count, name="The codec")
        return None if labels is None else labels.astype(np.int64)

    def decompress(self, data: bytes) -> Any:
        """Returns the images of an archive that this codec wrote; see `decompress`."""
        return _all_of(Archive(io.BytesIO(data), codec=self))


class Archive:
    """An archive that is open for reading, a frame at a time.

    Args:
        file: the archive's path, or a file that is open for reading bytes.
        codec: what wrote it; None for what it says itself.

    Raises:
        ValueError: it is no archive or damaged, or its codec is not at hand.

    Example:
        >>> import io, numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("uva_simple", (4, 4, 1), width=4, couplings=2, blocks=1)
        >>> data = nvp.compress(dist, np.zeros([5, 4, 4, 1], "uint8"), images_per_frame=2)
        >>> opened = nvp.Archive(io.BytesIO(data))
        >>> len(opened), opened.frame(2)[0].shape
        (5, (1, 4, 4, 1))
    """

    def __init__(self, file: str | os.PathLike[str] | IO[bytes], *, codec: Codec | None = None):
        self._file = (
            Path(file).open("rb")  # noqa: SIM115 - until `__exit__`
            if isinstance(file, str | os.PathLike)
            else file
        )
        try:
            self.content = archive.read_content(self._file)
            self.codec = self._found(codec)
        except ValueError:
            if self._file is not file:
                self._file.close()
            raise

    def __len__(self) -> int:
        return len(self.content)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the images of a frame and their labels or None.

        Args:
            number: of the frame, from 0.

        Raises:
            ValueError: it is damaged.
        """
        return next(self.frames([number]))

    def frames(
        self,
        numbers: Sequence[int] | None = None,
        *,
        advance: Callable[[int], None] = lambda count: None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Yields the images of frames and their labels or None.

        Args:
            numbers: of the frames, from 0; None for all.
            advance: told how many more images are done.

        Raises:
            ValueError: a frame is damaged.
        """
        if numbers is None:
            numbers = range(len(self.content.frames))
        return archive.read_frames(
            self._file, self.content, numbers, model_data=self.codec.data, advance=advance
        )

    def _found(self, codec: Codec | None) -> Codec:
        """Returns the codec that wrote the archive."""
        said, expected = self.content.model, self.content.model["sha256"]
        if codec is not None:
            if codec.sha256 != expected:
                raise ValueError(
                    f"The archive was written by {_described(said)}, not by the codec that was "
                    f"given, of SHA-256 {codec.sha256[:12]}..."
                )
            return codec
        if (data := archive.read_embedded(self._file, self.content)) is not None:
            return Codec(model_file.from_bytes(data), data=data)
        if (name := pretrained_codecs().get(expected)) is not None:
            return pretrained_codec(name)
        raise ValueError(
            f"The archive was written by {_described(said)}, which is neither in it nor among the "
            "pretrained ones: give it."
        )


def compress(
    dist: Flow | Codec,
    images: Any,
    labels: Any = None,
    *,
    images_per_frame: int = IMAGES_PER_FRAME,
    embed: bool | None = None,
) -> bytes:
    """Compresses images without loss, by a flow; see `Codec`.

    Args:
        dist: the flow, or its codec, which takes some seconds to make.
        images: whole numbers `[N, H, W, C]`.
        labels: `[N]`, of a class-conditional flow.
        images_per_frame: see `Codec.compress`.
        embed: see `Codec.compress`.

    Returns:
        An archive, which `decompress` and the command `tfp_realnvp decompress` read.

    Raises:
        ValueError: images or labels that the flow does not take, or a flow that can't be coded.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("uva_simple", (4, 4, 1), width=4, couplings=2, blocks=1)
        >>> images = np.zeros([5, 4, 4, 1], "uint8")
        >>> bool((nvp.decompress(nvp.compress(dist, images)) == images).all())
        True
    """
    codec = dist if isinstance(dist, Codec) else Codec.of(dist)
    return codec.compress(images, labels, images_per_frame=images_per_frame, embed=embed)


def decompress(data: bytes, dist: Flow | Codec | None = None) -> Any:
    """Returns the images of an archive.

    Args:
        data: what `compress` returned.
        dist: the flow that compressed them, or its codec; None where the archive has it or names a
            pretrained one.

    Returns:
        Images `[N, H, W, C]`; of a class-conditional flow, images and labels `[N]`.

    Raises:
        ValueError: no archive, a damaged one, or another model's.
    """
    codec = dist if isinstance(dist, Codec) or dist is None else Codec.of(dist)
    return _all_of(Archive(io.BytesIO(data), codec=codec))


def _all_of(opened: Archive) -> Any:
    content = opened.content
    parts = list(opened.frames())
    images = [part for part, _ in parts] or [np.empty((0, *content.shape), content.dtype)]
    if content.classes is None:
        return np.concatenate(images)
    labels = [part for _, part in parts] or [np.empty(0, np.int32)]
    return np.concatenate(images), np.concatenate([np.asarray(part) for part in labels])


def pretrained_codec(name: str) -> Codec:
    """Returns the codec that comes with a pretrained flow.

    Raises:
        ValueError: there is no such flow, or it has none.
    """
    path = folder_of(name) / FILE
    if not path.is_file():
        have = ", ".join(sorted(pretrained_codecs().values())) or "none"
        raise ValueError(f"{name} has no codec with it; those that have one are: {have}.")
    return Codec.load(path)


def pretrained_codecs() -> dict[str, str]:
    """Returns the names of the pretrained flows that have a codec, by its SHA-256."""
    return {files[FILE]: name for name, files in sums().items() if FILE in files}


def _described(model: dict[str, Any]) -> str:
    name = model.get("name")
    return f"{name or 'a codec'} of SHA-256 {model['sha256'][:12]}..."
