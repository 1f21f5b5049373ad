"""Figures of flows at work: densities, points, images, noise, curves, scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfp_realnvp.plots.pictures import grid, label_axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4


def densities(
    dists: Mapping[str, Any],
    data: Any | None = None,
    *,
    span: Sequence[float] | None = None,
    resolution: int = 80,
    columns: Sequence[str] | None = None,
) -> Figure:
    """Draws the densities of 2-D distributions side by side, after the data they are of.

    Args:
        dists: distributions of events `[2]` by title.
        data: `[N, 2]` points to draw first.
        span: `(x_low, x_high, y_low, y_high)`; None for that of the data and a margin.
        resolution: points of a side.
        columns: names of the two coordinates, for the axes.

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: neither data nor a span.

    Example:
        >>> import tfp_realnvp as nvp
        >>> moons, _ = nvp.datasets.load_arrays("moons")
        >>> flow = nvp.flows.build("realnvp", (2,))
        >>> len(nvp.figures.densities({"RealNVP": flow}, moons[:100], resolution=5).axes)
        2
    """
    if span is None:
        if data is None:
            raise ValueError("A density is drawn over the span of data, or over span=.")
        low, high = np.min(data, 0), np.max(data, 0)
        margin = 0.15 * (high - low)
        span = [float(v) for pair in zip(low - margin, high + margin, strict=True) for v in pair]
    x = np.linspace(span[0], span[1], resolution)
    y = np.linspace(span[2], span[3], resolution)
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2).astype(np.float32)
    panels = ([("data", None)] if data is not None else []) + list(dists.items())
    figure, axes = _panels(len(panels))
    for axis, (title, dist) in zip(axes, panels, strict=True):
        if dist is None:
            axis.hist2d(*np.asarray(data).T, bins=resolution, range=[span[:2], span[2:]])
        else:
            density = np.exp(np.asarray(dist.log_prob(points))).reshape(resolution, resolution)
            axis.pcolormesh(x, y, density, rasterized=True)
        axis.set(title=title, xticks=[], yticks=[], xlim=span[:2], ylim=span[2:])
        label_axes(axis, columns)
    return figure


def points(
    sets: Mapping[str, Any],
    *,
    beneath: Mapping[str, Any] | None = None,
    columns: Sequence[str] | None = None,
) -> Figure:
    """Draws sets of 2-D points `[N, 2]` side by side.

    Args:
        sets: points by title.
        beneath: points of some of these titles to draw in grey beneath the others, such as the
            data that samples are to be like.
        columns: names of the two coordinates, for the axes.

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: points to draw beneath a set that is not there.
    """
    beneath = beneath or {}
    if unknown := sorted(set(beneath) - set(sets)):
        raise ValueError(f"Points lie beneath one of {', '.join(sets)}, got {unknown[0]!r}.")
    figure, axes = _panels(len(sets))
    for axis, (title, values) in zip(axes, sets.items(), strict=True):
        if title in beneath:
            _scatter(axis, beneath[title], color="lightgrey")
        _scatter(axis, values, alpha=0.4)
        axis.set(title=title, xticks=[], yticks=[])
        label_axes(axis, columns)
    return figure


def transformation(
    dist: Any, data: Any | None = None, *, stages: int = 4, num: int = 2000, seed: int = 0
) -> Figure:
    """Draws how a 2-D flow moves its base to the data, some members at a time.

    Points keep the colour of the quadrant that they start in. Data, where given, lie beneath the
    samples.

    Args:
        dist: a flow of events `[2]`.
        data: `[N, 2]` points.
        stages: number of panels, the base and the samples among them.
        num: number of points.
        seed: seed of the latents.

    Returns:
        A Matplotlib figure.

    Raises:
        ValueError: fewer than 2 stages, or a flow of other events.

    Example:
        >>> import tfp_realnvp as nvp
        >>> flow = nvp.flows.build("realnvp", (2,), couplings=4)
        >>> len(nvp.figures.transformation(flow, stages=3, num=10).axes)
        3
    """
    if stages < 2 or tuple(dist.event_shape) != (2,):
        raise ValueError(
            f"A transformation has 2 stages at least, of events (2,), got stages={stages} and "
            f"events {tuple(dist.event_shape)}."
        )
    members = list(reversed(dist.bijector.members))
    at = {round(i * len(members) / (stages - 1)) for i in range(stages)}
    x = np.random.default_rng(seed).standard_normal([num, 2]).astype(dist.dtype.as_numpy_dtype)
    colours = (x[:, 0] > 0) + 2 * (x[:, 1] > 0)
    panels = {"N(0, I)": x}
    for i, member in enumerate(members, 1):
        x = member.forward_and_log_det(x)[0].numpy()
        if i in at:
            panels[f"after {i} of {len(members)}" if i < len(members) else "samples"] = x
    figure, axes = _panels(len(panels))
    for axis, (title, values) in zip(axes, panels.items(), strict=True):
        if title == "samples" and data is not None:
            _scatter(axis, data, color="lightgrey")
        _scatter(axis, values, c=colours, cmap="viridis", alpha=0.6)
        axis.set(title=title, xticks=[], yticks=[])
    return figure


def images(sets: Mapping[str, Any], *, levels: int = 256, columns: int | None = None) -> Figure:
    """Draws grids of images side by side.

    Args:
        sets: images `[N, H, W, C]`, integers in `0 .. levels - 1`, by title.
        levels: number of levels.
        columns: images in a row of each grid.

    Returns:
        A Matplotlib figure.
    """
    figure, axes = _panels(len(sets), across=2 if len(sets) > 1 else 1, size=4.0)
    for axis, (title, values) in zip(axes, sets.items(), strict=True):
        canvas = grid(values, levels=levels, columns=columns)
        axis.imshow(canvas.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set(title=title)
        axis.axis("off")
    return figure


def bits_by_pixel(images: Any, bits: Any, *, levels: int = 256) -> Figure:
    """Draws images, and under each where its bits go.

    Args:
        images: `[N, H, W, C]` integers.
        bits: what `nvp.bits_by_pixel` gives for them.
        levels: number of levels of the images.

    Returns:
        A Matplotlib figure.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> len(nvp.figures.bits_by_pixel(np.zeros([3, 4, 4, 1]), np.ones([3, 4, 4, 1])).axes)
        7
    """
    bits = np.asarray(bits).sum(-1)
    figure, axes = _panels(2 * len(images), across=len(images), size=1.6)
    for axis, image in zip(axes, images, strict=False):
        axis.imshow(grid(np.asarray(image)[None], levels=levels), cmap="gray")
    largest = float(np.abs(bits).max(initial=1e-9))
    for axis, own in zip(axes[len(images) :], bits, strict=True):
        shown = axis.imshow(own, cmap="RdBu_r", vmin=-largest, vmax=largest)
        axis.set_title(f"{own.sum():.0f} bits", fontsize=9)
    for axis in axes:
        axis.axis("off")
    figure.colorbar(shown, ax=axes, label="bits of a pixel", shrink=0.8)
    return figure


def noise_histograms(histograms: Mapping[str, tuple[Any, Any]]) -> Figure:
    """Draws `noise_histogram` results as densities, so that uniform noise has height 1.

    Args:
        histograms: counts and edges by title.
    """
    figure, axes = _panels(len(histograms))
    for axis, (title, (counts, edges)) in zip(axes, histograms.items(), strict=True):
        axis.stairs(counts / (np.sum(counts) * np.diff(edges)), edges, fill=True, alpha=0.6)
        axis.axhline(1, color="black", linewidth=0.8, linestyle=":")
        axis.set(title=title, xlabel="noise", ylabel="density", ylim=(0, None))
    return figure


def dequantized_values(
    sets: Mapping[str, Any], *, levels: int = 256, alpha: float = 1e-5, bins: int = 120
) -> Figure:
    """Draws what a flow sees of pixels: histograms of pixel + noise, before and behind the logit.

    Args:
        sets: dequantized values, pixel + noise in `[0, levels)`, of any shape, by title.
        levels: number of levels.
        alpha: of the logit, of `alpha / 2 + (1 - alpha) value / levels`.
        bins: bars of a histogram.

    Returns:
        A Matplotlib figure: a row for each set.

    Example:
        >>> import numpy as np, tfp_realnvp as nvp
        >>> noise = np.random.default_rng(0).random([10, 8, 8, 1])
        >>> len(nvp.figures.dequantized_values({"black, uniform": noise}).axes)
        2
    """
    figure, axes = _panels(2 * len(sets), across=2, size=3.2)
    for i, (title, values) in enumerate(sets.items()):
        unit = np.ravel(values).astype(np.float64) / levels
        inside = alpha / 2 + (1 - alpha) * unit
        for axis, shown, label in zip(
            axes[2 * i : 2 * i + 2],
            (levels * unit, np.log(inside) - np.log1p(-inside)),
            ("pixel + noise", "logit"),
            strict=True,
        ):
            axis.hist(shown, bins=bins, density=True)
            axis.set(title=title, xlabel=label, ylabel="density", yscale="log")
    return figure


def curves(lines: Mapping[str, tuple[Any, Any]], *, x: str, y: str, log_x: bool = False) -> Figure:
    """Draws lines over one another, such as losses by the steps of training.

    Args:
        lines: what to draw across and up, `[N]` each, by label.
        x: what is drawn across.
        y: what is drawn up.
        log_x: whether the axis across is logarithmic.

    Returns:
        A Matplotlib figure.

    Example:
        >>> import tfp_realnvp as nvp
        >>> losses = {"training": ([1, 2, 3], [2.0, 1.5, 1.4])}
        >>> len(nvp.figures.curves(losses, x="epoch", y="nats").axes)
        1
    """
    figure, (axis,) = _panels(1, size=4.8)
    for label, (across, up) in lines.items():
        axis.plot(across, up, marker="." if len(up) < 100 else "", label=label)
    axis.set(xlabel=x, ylabel=y, xscale="log" if log_x else "linear")
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def importance_curve(counts: Any, bits: Any) -> Figure:
    """Draws the mean over images of an `importance_curve`, with its standard error.

    Args:
        counts: numbers of samples `[M]`.
        bits: bits per dimension `[M, N]`.
    """
    figure, (axis,) = _panels(1, size=4.0)
    bits = np.asarray(bits, np.float64)
    error = bits.std(1, ddof=1) / math.sqrt(bits.shape[1]) if bits.shape[1] > 1 else None
    axis.errorbar(counts, bits.mean(1), yerr=error, marker=".", capsize=3)
    axis.set(xscale="log", xlabel="importance samples", ylabel="bits/dim")
    axis.set_xticks(counts, labels=[str(k) for k in counts])
    return figure


def calibration(ranks: Any, levels: Any, covered: Any, *, num: int) -> Figure:
    """Draws ranks of true parameters among samples, and how often regions hold them.

    Args:
        ranks: `[N, D]` of `nvp.sbi.ranks`.
        levels: `[L]` of `nvp.sbi.coverage`.
        covered: `[L]`, likewise.
        num: samples that the ranks are among.

    Returns:
        A Matplotlib figure: a histogram for each coordinate, with the band of 99% in which even
        ranks lie, and the curve of coverage.
    """
    ranks = np.asarray(ranks)
    bins = min(20, num + 1)
    mean = len(ranks) / bins
    band = 2.58 * math.sqrt(mean * (1 - 1 / bins))
    figure, (*axes, curve) = _panels(ranks.shape[1] + 1)
    for i, axis in enumerate(axes):
        axis.axhspan(mean - band, mean + band, color="lightgrey")
        axis.hist(ranks[:, i], bins=bins, range=(0, num + 1), histtype="step")
        axis.set(title=f"ranks of number {i}", yticks=[])
    curve.plot([0, 1], [0, 1], color="black", linestyle=":")
    curve.plot(levels, covered)
    curve.set(title="coverage", xlabel="level", ylabel="part that is held", aspect="equal")
    return figure


def scores(sets: Mapping[str, Any], *, title: str = "", bins: int = 40) -> Figure:
    """Draws histograms of anomaly scores over one another, by label."""
    figure, (axis,) = _panels(1, size=4.0)
    edges = np.histogram_bin_edges(np.concatenate([np.ravel(s) for s in sets.values()]), bins)
    for label, values in sets.items():
        axis.hist(np.ravel(values), edges, density=True, alpha=0.5, label=label)
    axis.set(title=title, xlabel="score", ylabel="density")
    axis.legend()
    return figure


def diagnosis(found: Any) -> Figure:
    """Draws what `nvp.diagnose` has found: terms, latents, likelihoods, round trip.

    Args:
        found: a `Diagnosis`.

    Returns:
        A Matplotlib figure of four panels.

    Example:
        >>> import tfp_realnvp as nvp
        >>> moons, _ = nvp.datasets.load_arrays("moons")
        >>> flow = nvp.flows.build("realnvp", (2,), couplings=2)
        >>> len(nvp.figures.diagnosis(nvp.diagnose(flow, moons[:100])).axes)
        4
    """
    figure, (terms, latents, likelihood, trip) = _panels(4, size=3.2)
    names, values = list(found.terms), list(found.terms.values())
    terms.barh(range(len(names)), values)
    terms.set(title="terms, nats", yticks=range(len(names)))
    terms.set_yticklabels(names, fontsize=6)
    terms.invert_yaxis()
    x = np.linspace(-5, 5, 200)
    latents.hist(np.clip(found.latents.ravel(), -5, 5), bins=80, density=True)
    latents.plot(x, np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi), label="N(0, 1)")
    latents.set(title="latents")
    latents.legend()
    likelihood.hist(-found.log_probs / found.nats_per_unit, bins=40)
    likelihood.set(title=found.unit)
    trip.plot(np.sort(found.round_trip))
    trip.set(title="round trip, largest error", xlabel="examples, by error")
    return figure


def _scatter(axis: Any, values: Any, **how: Any) -> None:
    axis.scatter(*np.asarray(values)[:, :2].T, s=2, rasterized=True, **how)


def _panels(count: int, *, across: int = COLUMNS, size: float = 2.6) -> tuple[Figure, list]:
    from matplotlib.figure import Figure

    columns = min(count, across)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(size * columns, size * rows), dpi=80, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in axes[count:]:
        spare.axis("off")
    return figure, axes[:count]
