"""The multi-scale flow in plain NumPy: an independent statement of what the library computes.

Reads weights by the paths of the library's variables; float64, loops over nothing but members.
Run as a script, it writes the project's own golden file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "uva_multiscale_8x8.npz"
SHAPE, LEVELS, WIDTHS, ALPHA = (8, 8, 1), 17, (3, 4, 5), 1e-5


def convolve(x, kernel, bias):
    """Convolves `[N, H, W, C]` with `[k, k, C, F]`, zero padding."""
    size = kernel.shape[0]
    margin = size // 2
    padded = np.pad(x, [(0, 0), (margin, margin), (margin, margin), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return np.einsum("nhwcij,ijcf->nhwf", windows, kernel) + bias


def two_sided_elu(x):
    both = np.concatenate([x, -x], -1)
    return np.where(both > 0, both, np.expm1(np.minimum(both, 0)))


def conditioner(x, w):
    """The gated convolutional network; `w(name)` gives a weight."""
    x = convolve(x, w("start.kernel"), w("start.bias"))
    for i in range(3):
        h = convolve(two_sided_elu(x), w(f"block_{i}.wide.kernel"), w(f"block_{i}.wide.bias"))
        h = convolve(two_sided_elu(h), w(f"block_{i}.mix.kernel"), w(f"block_{i}.mix.bias"))
        value, gate = np.split(h, 2, -1)
        x = x + value / (1 + np.exp(-gate))
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        x = x * w(f"block_{i}.norm.scale") + w(f"block_{i}.norm.bias")
    return convolve(two_sided_elu(x), w("end.kernel"), w("end.bias"))


def coupling(y, passes, w, bound, context=None):
    seen = y * passes if context is None else np.concatenate([y * passes, context], -1)
    raw, shift = np.split(conditioner(seen, w), 2, -1)
    log_scale = np.tanh(raw / bound) * bound * (1 - passes)
    return (y + shift * (1 - passes)) * np.exp(log_scale), log_scale.sum((1, 2, 3))


def logit(p, alpha):
    s = alpha / 2 + (1 - alpha) * p
    return np.log(s) - np.log1p(-s), (np.log1p(-alpha) - np.log(s) - np.log1p(-s)).sum((1, 2, 3))


def checkerboard(shape, number):
    odd = np.add.outer(np.arange(shape[0]), np.arange(shape[1]))[..., None] % 2
    return odd if number % 2 == 0 else 1 - odd


def half(channels, number):
    first = (np.arange(channels) < channels // 2).astype(float)
    return first if number % 2 == 0 else 1 - first


def squeeze(x):
    n, height, width, channels = x.shape
    blocks = x.reshape(n, height // 2, 2, width // 2, 2, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, height // 2, width // 2, 4 * channels)


def log_prob(images, base_noise, weights):
    """Returns latents `[N, D]` and log-probabilities `[N]` in nats."""

    def step(y, place, passes, context=None):
        nonlocal total
        bound = np.exp(weights[f"{place}/log_bound"])
        y, change = coupling(
            y, passes, lambda name: weights[f"{place}/{name}"], bound, context=context
        )
        total = total + change
        return y

    y = images.astype(np.float64)
    context = y / (LEVELS - 1) * 2 - 1
    v, total = logit(base_noise, ALPHA)
    for i in range(4):
        v = step(v, f"noise/{i}", checkerboard(SHAPE, i), context)
    u = 1 / (1 + np.exp(-v))
    total = total + (np.log(u) + np.log1p(-u)).sum((1, 2, 3))
    z, change = logit((y + u) / LEVELS, ALPHA)
    total = total + change - np.log(LEVELS) * y[0].size
    for i in range(2):
        z = step(z, f"couplings/{i}", checkerboard(SHAPE, i))
    z = squeeze(z)
    for i in range(2):
        z = step(z, f"couplings/{2 + i}", half(4, i))
    leaving = z[..., 2:].reshape(len(z), -1)
    z = squeeze(z[..., :2])
    for i in range(4):
        z = step(z, f"couplings/{4 + i}", half(8, i))
    latents = np.concatenate([leaving, z.reshape(len(z), -1)], 1)
    base = -0.5 * (latents**2 + np.log(2 * np.pi)).sum(1)
    return latents, base + total


def weights_of(dist) -> dict[str, np.ndarray]:
    """Returns a flow's weights under the names that this file uses, float64."""
    from reference_weights import couplings_of

    places = {f"noise/{i}": c for i, c in enumerate(dist.quantizer.noise_flow.bijectors)}
    places |= {f"couplings/{i}": c for i, c in enumerate(couplings_of(dist.bijector))}
    weights = {}
    for place, member in places.items():
        weights[f"{place}/log_bound"] = np.asarray(member.transformer.log_bound)
        for variable in member.conditioner.weights:
            weights[f"{place}/{variable.name}"] = np.asarray(variable)
    return weights


def build():
    """Builds the flow of the golden file, every weight moved off its initial value."""
    from constructors import perturb_weights

    import tfp_realnvp as nvp

    dist = nvp.flows.build(
        "uva_multiscale", SHAPE, levels=LEVELS, seed=5, dtype="float64", widths=WIDTHS
    )
    perturb_weights(dist.bijector)
    return dist


def main() -> None:
    rng = np.random.default_rng(3)
    images = rng.integers(0, LEVELS, (3, *SHAPE)).astype(np.uint8)
    base_noise = rng.uniform(0.01, 0.99, (3, *SHAPE))
    weights = weights_of(build())
    latents, nats = log_prob(images, base_noise, weights)
    stored = {f"weights/{name}": value.astype(np.float32) for name, value in weights.items()}
    rounded = {name: stored[f"weights/{name}"].astype(np.float64) for name in weights}
    latents, nats = log_prob(images, base_noise, rounded)
    np.savez_compressed(
        GOLDEN, images=images, base_noise=base_noise, latents=latents, log_prob=nats, **stored
    )


if __name__ == "__main__":
    main()
