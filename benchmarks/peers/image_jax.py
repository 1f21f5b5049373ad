"""Times `uva_multiscale` written for JAX and flax, under jit.

    python -m benchmarks.peers.image_jax --what train --batch 32

Needs jax, flax and optax.
"""

from __future__ import annotations

import math
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import timing

PARAMETERS = 1_711_818
ALPHA, LEVELS, SIDE = 1e-5, 256, 28
CHECKERBOARD = (np.indices((SIDE, SIDE)).sum(0) % 2).astype(np.float32)[..., None]


def first_channels(count: int) -> np.ndarray:
    """1 for the first half of the channels, `[count]`."""
    return (np.arange(count) < count // 2).astype(np.float32)


def two_sided(x):
    """`concat(elu(x), elu(-x))` over the channels."""
    return nn.elu(jnp.concatenate([x, -x], -1))


class GatedConv(nn.Module):
    """Three gated residual blocks between a convolution in and a zero-initialised one out."""

    width: int
    outputs: int

    @nn.compact
    def __call__(self, x):
        """Gives log-scale and shift."""
        x = nn.Conv(self.width, (3, 3))(x)
        for _ in range(3):
            hidden = nn.Conv(self.width, (3, 3))(two_sided(x))
            value, gate = jnp.split(nn.Conv(2 * self.width, (1, 1))(two_sided(hidden)), 2, -1)
            x = nn.LayerNorm(epsilon=1e-6)(x + value * nn.sigmoid(gate))
        return nn.Conv(self.outputs, (3, 3), kernel_init=nn.initializers.zeros)(two_sided(x))


class Coupling(nn.Module):
    """An affine coupling; `mask` is 1 where elements pass."""

    mask: np.ndarray
    channels: int
    width: int

    def setup(self):
        """Makes the conditioner and the bound of the log-scale."""
        self.conditioner = GatedConv(self.width, 2 * self.channels)
        self.log_bound = self.param("log_bound", nn.initializers.zeros, (self.channels,))

    def scale_and_shift(self, x, condition):
        """Log-scale and shift, zero where the mask lets elements pass."""
        seen = x * self.mask
        if condition is not None:
            seen = jnp.concatenate([seen, condition], -1)
        raw, shift = jnp.split(self.conditioner(seen), 2, -1)
        bound, free = jnp.exp(self.log_bound), 1 - self.mask
        return jnp.tanh(raw / bound) * bound * free, shift * free

    def encode(self, x, condition=None):
        """To the latent side, with the log-determinant."""
        scale, shift = self.scale_and_shift(x, condition)
        return (x + shift) * jnp.exp(scale), scale.sum((1, 2, 3))

    def decode(self, z):
        """To the data side."""
        scale, shift = self.scale_and_shift(z, None)
        return z * jnp.exp(-scale) - shift


def run(mask: np.ndarray, count: int, channels: int, width: int) -> list[Coupling]:
    """Couplings whose mask is inverted every second time."""
    return [Coupling(1 - mask if i % 2 else mask, channels, width) for i in range(count)]


def squeeze(x):
    """`[N, H, W, C]` to `[N, H/2, W/2, 4C]`."""
    n, h, w, c = x.shape
    x = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, h // 2, w // 2, 4 * c)


def unsqueeze(z):
    """The inverse of `squeeze`."""
    n, h, w, c = z.shape
    z = z.reshape(n, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
    return z.reshape(n, 2 * h, 2 * w, c // 4)


def logit(p):
    """The logit of `alpha / 2 + (1 - alpha) p`, with its log-determinant."""
    log_s = jnp.log(p * (1 - ALPHA) + ALPHA / 2)
    log_rest = jnp.log((1 - p) * (1 - ALPHA) + ALPHA / 2)
    return log_s - log_rest, (math.log1p(-ALPHA) - log_s - log_rest).sum((1, 2, 3))


def log_normal(z):
    """The log-density of a standard normal."""
    return -0.5 * (z**2 + math.log(2 * math.pi)).sum((1, 2, 3))


class Multiscale(nn.Module):
    """Variational dequantization and three scales."""

    def setup(self):
        """Makes the couplings."""
        self.noise = run(CHECKERBOARD, 4, 1, 16)
        self.fine = run(CHECKERBOARD, 2, 1, 32)
        self.middle = run(first_channels(4), 2, 4, 48)
        self.coarse = run(first_channels(8), 4, 8, 64)

    def log_prob(self, images, key):
        """Log-probabilities of integer images `[N, 28, 28, 1]`, in nats."""
        images = images.astype(jnp.float32)
        u, total = logit(jax.random.uniform(key, images.shape))
        for coupling in self.noise:
            u, log_det = coupling.encode(u, images * (2 / (LEVELS - 1)) - 1)
            total += log_det
        total += (nn.log_sigmoid(u) + nn.log_sigmoid(-u)).sum((1, 2, 3))
        z, log_det = logit((images + nn.sigmoid(u)) / LEVELS)
        total += log_det - SIDE * SIDE * math.log(LEVELS)
        leaving = None
        for couplings in (self.fine, self.middle, self.coarse):
            if couplings is not self.fine:
                z = squeeze(z)
            for coupling in couplings:
                z, log_det = coupling.encode(z)
                total += log_det
            if couplings is self.middle:
                z, leaving = jnp.split(z, 2, -1)
        return total + log_normal(leaving) + log_normal(z)

    def sample(self, key, count: int):
        """Draws images, uint8."""
        first, second = jax.random.split(key)
        z = jax.random.normal(first, (count, SIDE // 4, SIDE // 4, 8))
        for couplings in (self.coarse, self.middle, self.fine):
            if couplings is self.middle:
                z = jnp.concatenate([z, jax.random.normal(second, z.shape)], -1)
            for coupling in reversed(couplings):
                z = coupling.decode(z)
            if couplings is not self.fine:
                z = unsqueeze(z)
        p = (nn.sigmoid(z) - ALPHA / 2) / (1 - ALPHA)
        return jnp.clip(jnp.floor(p * LEVELS), 0, LEVELS - 1).astype(jnp.uint8)


def main() -> None:
    """Times one task."""
    args = timing.parser(__doc__, batch=32).parse_args()
    flow = Multiscale()
    batches = timing.image_batches(args.batch)
    key = jax.random.key(0)
    shown = np.zeros((1, SIDE, SIDE, 1), np.uint8)
    weights = jax.jit(lambda k: flow.init(k, shown, k, method=Multiscale.log_prob))(key)
    count = sum(leaf.size for leaf in jax.tree.leaves(weights))
    assert count == PARAMETERS, count
    built = timing.resident_mb()

    def loss(weights, images, key):
        log_prob = flow.apply(weights, images, key, method=Multiscale.log_prob)
        return -log_prob.mean() / (SIDE * SIDE * math.log(2))

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))

    def update(state, images):
        weights, slots, key = state
        key, own = jax.random.split(key)
        value, gradients = jax.value_and_grad(loss)(weights, images, own)
        changes, slots = optimizer.update(gradients, slots, weights)
        return (optax.apply_updates(weights, changes), slots, key), value

    # The old state is given up: its memory is that of the new one.
    fast_update = jax.jit(update, donate_argnums=0)
    fast_loss = jax.jit(lambda weights, key, images: loss(weights, images, key))
    fast_sample = jax.jit(
        lambda weights, key: flow.apply(weights, key, args.batch, method=Multiscale.sample)
    )
    state = (weights, optimizer.init(weights), key) if args.what == "train" else None

    def train(images):
        nonlocal state
        state, value = fast_update(state, images)
        jax.block_until_ready(state)
        return float(value)

    def log_prob(images):
        nonlocal key
        key, own = jax.random.split(key)
        return float(fast_loss(weights, own, images))

    def sample(_):
        nonlocal key
        key, own = jax.random.split(key)
        return np.asarray(fast_sample(weights, own))

    call = {"train": train, "logprob": log_prob, "sample": sample}[args.what]
    seconds = timing.timed(call, batches, args)
    timing.report(
        seconds,
        args,
        parameters=count,
        jax=jax.__version__,
        memory_mb=timing.peak_mb() - built,
    )


if __name__ == "__main__":
    main()
