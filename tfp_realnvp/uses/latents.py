"""What can be done with latents: exact encoding, sampling, scales, interpolation."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context, stateless_seed
from tfp_realnvp.core.data_checks import check_data, check_event_shape, given_to_examples
from tfp_realnvp.execution.graphs import evaluate, graph
from tfp_realnvp.flow import Flow

# Conditioners in the flow's own dtype and noise at the centre of its bin: with these, decoding
# returns every pixel.
EXACT = Context(noise="centre", exact=True)

# Integers have no NaN: it would be black pixels.
NOT_FINITE = (
    "The flow decodes these latents to NaN: they are too large, or its weights are not finite."
)


def encode(
    dist: Flow,
    data: Any,
    labels: Any = None,
    *,
    condition: Any = None,
    rows_at_once: int | None = None,
) -> np.ndarray:
    """Maps data to latents, deterministically; `decode` gives every pixel back.

    Args:
        dist: a flow.
        data: `[N, *event]` integer images or vectors.
        labels: `[N]`, or one for all, for class-conditional flows.
        condition: `[N, *condition_shape]`, or one for all, for flows with a condition.
        rows_at_once: the most examples that are worked on at a time; None for what is fast.

    Returns:
        All latents, `[N, D]`, finest scale first.

    Raises:
        ValueError: bad data or labels, or a number below 1.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("uva_simple", (4, 4, 1), levels=4)
        >>> images = np.arange(16).reshape(1, 4, 4, 1) % 4
        >>> bool((nvp.decode(dist, nvp.encode(dist, images)) == images).all())
        True
    """
    data = np.asarray(data)
    check_data(data, tuple(dist.event_shape), dist.levels, name=dist.name, dtype=dist.dtype)
    encoded = functools.partial(encode_rows, dist)
    context = EXACT.replace(**given_to_examples(dist, len(data), labels, condition))
    return evaluate(dist, "encode", encoded, data, context, rows_at_once=rows_at_once)


def decode(
    dist: Flow,
    latents: Any,
    labels: Any = None,
    *,
    condition: Any = None,
    rows_at_once: int | None = None,
) -> np.ndarray:
    """Maps latents to data.

    Args:
        dist: a flow.
        latents: `[N, D]`, finite.
        labels: `[N]`, or one for all, for class-conditional flows.
        condition: `[N, *condition_shape]`, or one for all, for flows with a condition.
        rows_at_once: the most examples that are worked on at a time; None for what is fast.

    Returns:
        Images `[N, H, W, C]`, uint8 (int32 above 256 levels), or vectors `[N, D]`.

    Raises:
        ValueError: latents of another size, not finite, or so large that pixels are NaN; bad
            labels, or a number below 1.
    """
    latents = _latents(dist, latents)
    context = EXACT.replace(**given_to_examples(dist, len(latents), labels, condition))
    return _decoded(dist, "decode", latents, context, rows_at_once)


def sample(
    dist: Flow,
    num: int,
    *,
    temperature: float | Sequence[float] = 1.0,
    labels: Any = None,
    condition: Any = None,
    seed: Any = None,
) -> np.ndarray:
    """Draws samples, with a temperature for all latents or one per scale.

    Args:
        dist: a flow.
        num: number of samples.
        temperature: standard deviation of the base; a sequence gives one per scale, finest first.
        labels: `[num]`, or one for all, for class-conditional flows.
        condition: `[num, *condition_shape]`, or one for all, for flows with a condition.
        seed: an int or a stateless int32 `[2]` seed; None draws one.

    Returns:
        Images `[num, H, W, C]`, uint8 (int32 above 256 levels), or vectors `[num, D]`.

    Raises:
        ValueError: no number of samples; a temperature that is negative or not finite, or not one
            per scale; bad labels or another seed.

    Example:
        >>> import tfp_realnvp as nvp
        >>> dist = nvp.flows.build("uva_multiscale", (8, 8, 1), levels=17)
        >>> nvp.sample(dist, 4, temperature=[0.5, 1.0], seed=0).shape
        (4, 8, 8, 1)
    """
    scales = temperatures(dist, temperature)
    z = draw(dist, "sample", num, seed) * scales
    # What was drawn and not encoded: conditioners keep their own precision.
    return _decoded(dist, "sample", z, Context(**given_to_examples(dist, num, labels, condition)))


def temperatures(dist: Flow, temperature: float | Sequence[float]) -> np.ndarray:
    """Returns what to scale latents drawn from the base with, `[D]` or `[1]`; see `sample`."""
    given = np.atleast_1d(np.asarray(temperature))
    sizes = [1] if given.shape == (1,) else dist.latent_sizes
    valid = given.shape == (len(sizes),) and given.dtype.kind in "iuf"
    if valid:
        given = _cast(dist, given)
        valid = bool(np.isfinite(given).all() and (given >= 0).all())
    if not valid:
        raise ValueError(
            f"Needs one temperature >= 0, or one for each of {len(dist.latent_sizes)} scales, got "
            f"{temperature}."
        )
    return np.repeat(given, sizes)


def split_scales(dist: Flow, latents: Any) -> list[np.ndarray]:
    """Splits latents `[N, D]` by scale, finest first.

    Args:
        dist: a flow.
        latents: `[N, D]`.

    Returns:
        One array `[N, D_s]` per scale.

    Raises:
        ValueError: latents of another size, or not finite.
    """
    parts = np.cumsum(dist.latent_sizes)[:-1]
    return np.split(_latents(dist, latents), parts, axis=-1)


def join_scales(parts: Sequence[Any]) -> np.ndarray:
    """Joins what `split_scales` split."""
    return np.concatenate([np.asarray(part) for part in parts], axis=-1)


def interpolate(
    dist: Flow,
    start: Any,
    stop: Any,
    *,
    steps: int = 8,
    labels: Any = None,
    condition: Any = None,
) -> np.ndarray:
    """Interpolates between two examples over all latents, linearly.

    Args:
        dist: a flow.
        start: one example `[*event]`.
        stop: another.
        steps: number of examples on the way, both ends included.
        labels: one for all, for class-conditional flows.
        condition: one for all, for flows with a condition.

    Returns:
        `[steps, *event]`; the ends are exact.

    Raises:
        ValueError: bad examples or labels, or fewer than 2 steps.
    """
    arguments.whole("interpolate", "steps", steps, least=2)
    given = {"labels": labels, "condition": condition}
    first, last = (encode(dist, np.asarray(end)[None], **given)[0] for end in (start, stop))
    weight = np.linspace(0, 1, steps, dtype=first.dtype)[:, None]
    return decode(dist, (1 - weight) * first + weight * last, **given)


def resample_scales(
    dist: Flow,
    images: Any,
    *,
    scales: Sequence[int] = (0,),
    num: int = 4,
    temperature: float = 1.0,
    labels: Any = None,
    condition: Any = None,
    seed: Any = None,
) -> np.ndarray:
    """Draws the latents of some scales anew and keeps those of the others.

    With the finest scale drawn anew, the results share what the coarse latents say and differ in
    detail (arXiv:1605.08803, figure 6); with the coarsest, the other way round.

    Args:
        dist: a flow of several scales.
        images: `[N, *event]` images whose latents are kept.
        scales: indices of the scales to draw anew, 0 the finest, -1 the coarsest.
        num: results for each image.
        temperature: standard deviation of the new latents.
        labels: `[N]`, or one for all, for class-conditional flows.
        condition: `[N, *condition_shape]`, or one for all, for flows with a condition.
        seed: an int or a stateless int32 `[2]` seed; None draws one.

    Returns:
        `[N, num, *event]`.

    Raises:
        ValueError: no such scale; a temperature that is negative or not finite; no number of
            results; bad images, labels or seed.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> dist = nvp.flows.build("uva_multiscale", (8, 8, 1), levels=17)
        >>> images = np.zeros([2, 8, 8, 1], "uint8")
        >>> nvp.resample_scales(dist, images, scales=[0], num=3, seed=0).shape
        (2, 3, 8, 8, 1)
    """
    count = len(dist.latent_sizes)
    chosen = np.atleast_1d(np.asarray(scales))
    whole = chosen.ndim == 1 and chosen.size and chosen.dtype.kind in "iu"
    if not whole or (chosen < -count).any() or (chosen >= count).any():
        raise ValueError(
            f"{dist.name} has the scales 0 to {count - 1}, finest first; got {scales}."
        )
    arguments.real("resample_scales", "temperature", temperature, least=0)
    arguments.whole("resample_scales", "num", num, least=0)
    latents = np.repeat(encode(dist, images, labels, condition=condition), num, axis=0)
    fresh = draw(dist, "resample_scales", len(latents), seed)
    kept, drawn = split_scales(dist, latents), split_scales(dist, temperature * fresh)
    for scale in chosen:
        kept[scale] = drawn[scale]
    given = repeated(given_to_examples(dist, len(images), labels, condition), num)
    result = decode(dist, join_scales(kept).astype(latents.dtype), **given)
    return result.reshape(len(images), num, *result.shape[1:])


def repeated(given: dict[str, Any], times: int) -> dict[str, Any]:
    """Returns what examples are given, for as many copies of each, one after the other."""
    return {k: None if v is None else np.repeat(v, times, axis=0) for k, v in given.items()}


def encode_rows(dist: Flow, rows: tf.Tensor, context: Context) -> tf.Tensor:
    """Encodes rows in a graph; see `encode`."""
    return dist.encode_and_log_det(rows, context)[0]


def decode_rows(dist: Flow, rows: tf.Tensor, context: Context) -> tf.Tensor:
    """Decodes rows in a graph; see `as_data`, and `decode`."""
    return dist.bijector.forward_and_log_det(rows, context)[0]


def as_data(dist: Flow, decoded: tf.Tensor) -> tf.Tensor:
    """Returns what was decoded in the dtype of data, in a graph that fails where pixels are NaN."""
    if dist.levels is None:
        return decoded
    # Not part by part: in a loop the next part would wait for the check.
    check = tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(decoded)), [NOT_FINITE])
    with tf.control_dependencies([check]):
        return tf.cast(decoded, data_dtype(dist))


def data_dtype(dist: Flow) -> tf.DType:
    """Returns the dtype of what a flow decodes: integers that hold pixels, or its own."""
    if dist.levels is None:
        return dist.dtype
    return tf.uint8 if dist.levels <= 256 else tf.int32


def draw(dist: Flow, owner: str, num: int, seed: Any) -> np.ndarray:
    """Draws latents `[num, D]`; as a graph, which takes a fraction of the time for few.

    Args:
        dist: a flow.
        owner: who was given the number, for the message.
        num: number of latent vectors.
        seed: see `sample`.
    """
    if arguments.whole(owner, "num", num, least=0) >= 2**31:
        raise ValueError(f"{owner} needs num to be below 2^31, got {num}.")
    latents = graph(dist, "latents", lambda num, seed: dist.distribution.sample(num, seed=seed))
    return latents(tf.constant(num), stateless_seed(seed)).numpy()


def _latents(dist: Flow, latents: Any) -> np.ndarray:
    """Returns latents `[N, D]` as an array of finite numbers."""
    latents = np.asarray(latents)
    check_event_shape(latents.shape, (sum(dist.latent_sizes),), f"The latent side of {dist.name}")
    if latents.dtype.kind not in "iuf":
        raise ValueError(f"latents must be real numbers, got an array of dtype {latents.dtype}.")
    bad = np.count_nonzero(~np.isfinite(_cast(dist, latents)))
    if bad:
        raise ValueError(f"latents must be finite, got {bad} NaN or infinite values.")
    return latents


def _cast(dist: Flow, values: np.ndarray) -> np.ndarray:
    """Returns values in the flow's dtype, infinite where they are too large for it."""
    with np.errstate(over="ignore"):
        return values.astype(dist.dtype.as_numpy_dtype)


def _decoded(
    dist: Flow,
    what: str,
    latents: np.ndarray,
    context: Context,
    rows_at_once: int | None = None,
) -> np.ndarray:
    try:
        return evaluate(
            dist,
            what,
            functools.partial(decode_rows, dist),
            latents,
            context,
            finish=functools.partial(as_data, dist),
            rows_at_once=rows_at_once,
        )
    except tf.errors.InvalidArgumentError as error:
        if NOT_FINITE not in str(error):
            raise
        raise ValueError(NOT_FINITE) from error
