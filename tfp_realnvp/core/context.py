"""What a flow hands down to its members: a `Context` per call, a `Scope` when it is built."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_realnvp.kernels import Kernels

NOISE_MODES = ("fresh", "per_example", "centre")


@dataclasses.dataclass(frozen=True)
class Context:
    """Everything that a bijector may depend on beside its argument.

    One context is made per call and handed down, unchanged unless a member says otherwise, to
    every member of a flow, however deeply nested.

    Attributes:
        seed: stateless seed of the noise: an int, or integers `[2]` (see `stateless_seed`); None to
            draw one from TensorFlow's global generator (`tf.random.set_seed`).
        first_row: number of the batch's first row in the whole batch that it is a part of, from
            which the noise of each row is counted (see `core.noise`); None for 0, or in a replica
            of a distribution strategy for where its share begins.
        origins: instead of `seed` and `first_row`, where the noise of each row is from, integers
            `[N, 3]`: the two of a seed, and the number of a row of that seed's. So what has come
            from several callers draws together what each would have drawn alone.
        draw: number of the draw of noise: with one seed, each has its own.
        noise: how dequantization chooses its noise. `"fresh"`: random, full support.
            `"per_example"`: a fixed function of each example's content, so that a row's result is
            deterministic and does not depend on the rows beside it. `"centre"`: the centre of the
            bin, for exact encoding.
        training: whether data-dependent members use (and update) batch statistics.
        labels: integer class labels, for class-conditional flows: one for each row, or for all.
        condition: what the flow is conditional on, for each row or for all: a vector `[..., K]` or,
            of images, features `[..., H, W, K]` of each pixel. Inside of a flow it is what every
            coupling sees beside its input, `[N, ..., K]` with the sides of the event there, such
            as the image that a variational dequantizer conditions on.
        vector: the condition that is a vector, `[N, K]`, inside of a flow: what is the same for all
            places of an event goes to the conditioners by itself.
        is_empty: whether the batch is of no rows, and a row of zeros stands in its place, which
            counts in no statistics; a bool or a bool tensor.
        exact: whether conditioners must compute in the dtype of their variables, whatever their
            dtype policy says; encoding needs it to be exactly invertible.
        kernels: how conditioners compute convolutions and what lies between them.
    """

    seed: Any = None
    first_row: Any = None
    origins: Any = None
    draw: Any = 0
    noise: str = "fresh"
    training: bool = False
    labels: Any = None
    condition: Any = None
    vector: Any = None
    is_empty: Any = False
    exact: bool = False
    kernels: Kernels = dataclasses.field(default_factory=Kernels)

    def __post_init__(self):
        if self.noise not in NOISE_MODES:
            raise ValueError(f"noise must be one of {NOISE_MODES}, got {self.noise!r}.")
        object.__setattr__(self, "seed", stateless_seed(self.seed))

    @classmethod
    def from_kwargs(cls, kwargs: dict[str, Any]) -> Context:
        """Makes a context of the keyword arguments of a `tfb.Bijector` method.

        Args:
            kwargs: attributes of this class by name, or `context=` a ready context.

        Raises:
            TypeError: an unknown name.
        """
        if not kwargs:
            return _DEFAULT
        if set(kwargs) == {"context"}:
            return kwargs["context"]
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(kwargs) - known)
        if unknown:
            raise TypeError(f"Unknown context {unknown}: bijectors know {sorted(known)}.")
        return cls(**kwargs)

    def replace(self, **changes: Any) -> Context:
        """Returns a copy with some attributes changed."""
        return dataclasses.replace(self, **changes)

    def fold_in(self, path: str) -> tf.Tensor:
        """Returns an int32 `[2]` seed for the member at `path`, apart from every other path's."""
        seed = self.seed
        if seed is None:
            limits = {"minval": tf.int32.min, "maxval": tf.int32.max, "dtype": tf.int32}
            seed = tf.random.uniform([2], **limits)
        # The algorithm is named: left to TensorFlow, it is another one under XLA.
        return tf.random.experimental.stateless_fold_in(seed, stable_hash(path), alg="philox")


@dataclasses.dataclass(frozen=True)
class Scope:
    """Where in a flow a bijector is built, and what it is built for.

    Attributes:
        path: stable name of the place, such as `"factor_out/coupling_1"`; initial values are drawn
            from `(seed, path)`.
        seed: seed of the initial values.
        dtype: dtype of the flow's arithmetic and variables.
        conditioner_dtype: dtype policy of the conditioners; None for `dtype`.
        num_classes: number of classes of a class-conditional flow, or None.
        condition_shape: what the flow is conditional on, `(K,)` or `(H, W, K)`; or None.
        condition_channels: channels of `Context.condition` here, 0 where there is none.
        recompute: whether the backward pass of couplings recomputes activations.
    """

    path: str = "flow"
    seed: int = 0
    dtype: str = "float32"
    conditioner_dtype: str | None = None
    num_classes: int | None = None
    condition_shape: tuple[int, ...] | None = None
    condition_channels: int = 0
    recompute: bool = False

    @property
    def vector_size(self) -> int:
        """Size of the condition that is a vector; 0 where there is none."""
        shape = self.condition_shape or ()
        return shape[0] if len(shape) == 1 else 0

    @property
    def is_conditional(self) -> bool:
        """Whether there are labels, or a condition of the flow's."""
        return self.num_classes is not None or self.condition_shape is not None

    def refuse_condition_of_places(self, kind: str) -> None:
        """Refuses a condition that differs from place to place of an event.

        Args:
            kind: what is conditional on labels and on vectors only.

        Raises:
            ValueError: there is one.
        """
        if self.condition_channels:
            raise ValueError(
                f"{self.path} cannot see the {self.condition_channels} features of a condition: "
                f"{kind} is conditional on labels and on vectors (K,) only."
            )

    def check_fits(self, other: Scope, name: str) -> None:
        """Checks that what was built here may stand in another place.

        Raises:
            ValueError: there, it would have to be built otherwise.
        """
        fields = ("dtype", "conditioner_dtype", "num_classes", "condition_shape")
        for field in (*fields, "condition_channels"):
            built, asked = getattr(self, field), getattr(other, field)
            if built != asked:
                raise ValueError(
                    f"{name} was built with {field}={built!r}, where {field}={asked!r} is needed: "
                    "give a bijector that is not built yet."
                )

    def child(self, name: str, **changes: Any) -> Scope:
        """Returns the scope of a member called `name`."""
        return dataclasses.replace(self, path=f"{self.path}/{name}", **changes)


def stateless_seed(seed: Any) -> tf.Tensor | None:
    """Returns a seed of any of the forms that are taken as an int32 `[2]` tensor.

    Args:
        seed: an int, of which the pair `(0, seed)` is made (its higher bits go into the first, if
            it has more than 31); two integers, as a sequence, an array or a tensor; or None.

    Raises:
        ValueError: something else.

    Example:
        >>> from tfp_realnvp.core.context import stateless_seed
        >>> stateless_seed(3).numpy().tolist(), stateless_seed((1, 2)).numpy().tolist()
        ([0, 3], [1, 2])
    """
    if seed is None:
        return None
    expected = "A seed is an int of at most 62 bits or two integers"
    if not tf.is_tensor(seed):
        values = np.asarray(seed)
        if values.dtype.kind not in "iu":
            raise ValueError(f"{expected}, got {seed!r}.")
        if values.shape == ():
            whole = int(values)
            if not -(2**62) <= whole < 2**62:
                raise ValueError(f"{expected}, got {seed!r}.")
            values = np.array([whole >> 31, whole & (2**31 - 1)])
        limits = np.iinfo(np.int32)
        if values.shape == (2,) and not all(limits.min <= int(v) <= limits.max for v in values):
            raise ValueError(f"{expected} of 32 bits, got {seed!r}.")
        seed = tf.constant(values.astype(np.int32))
    elif not seed.dtype.is_integer:
        raise ValueError(f"{expected}, got a tensor of dtype {seed.dtype.name}.")
    seed = tf.cast(seed, tf.int32)
    if seed.shape.rank == 0:
        seed = tf.stack([tf.zeros_like(seed), seed])
    if not seed.shape.is_compatible_with([2]):
        raise ValueError(f"{expected}, got a tensor of shape {tuple(seed.shape)}.")
    return tf.ensure_shape(seed, [2])


def stable_hash(text: str) -> int:
    """Returns a 31-bit hash of `text` that is the same in every process and version."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") >> 1


def serializable(cls: type) -> None:
    """Registers a class that has `get_config` with Keras, under its top-level package."""
    keras.saving.register_keras_serializable(cls.__module__.split(".")[0])(cls)


def described(thing: Any, config: dict[str, Any]) -> str:
    """Returns `"MLP(widths=[8])"`: a class and the arguments that were given to it."""
    given = [f"{key}={value!r}" for key, value in config.items() if value is not None]
    return f"{type(thing).__name__}({', '.join(given)})"


_DEFAULT = Context()
