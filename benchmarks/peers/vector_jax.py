"""Vector RealNVP in flowjax and distrax, under jit."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import optax

COUPLINGS, WIDTH = 8, 128


def flowjax(size: int, key: Any) -> tuple[Any, Any]:
    """Returns the weights and a function from weights to the distribution."""
    import equinox
    import paramax
    from flowjax.distributions import Normal
    from flowjax.flows import coupling_flow

    base = paramax.non_trainable(Normal(jnp.zeros(size)))
    flow = coupling_flow(
        key, base_dist=base, flow_layers=COUPLINGS, nn_width=WIDTH, nn_depth=2, invert=True
    )
    fixed = lambda leaf: isinstance(leaf, paramax.NonTrainable)  # noqa: E731
    weights, rest = equinox.partition(flow, equinox.is_inexact_array, is_leaf=fixed)
    return weights, lambda weights: paramax.unwrap(equinox.combine(weights, rest))


def distrax(size: int, key: Any) -> tuple[Any, Any]:
    """Returns the weights and a function from weights to the distribution."""
    import distrax

    first = size // 2
    weights = []
    for i, own in enumerate(jax.random.split(key, COUPLINGS)):
        seen, changed = (size - first, first) if i % 2 else (first, size - first)
        widths = [seen, WIDTH, WIDTH, 2 * changed]
        keys = jax.random.split(own, len(widths) - 1)
        weights.append(
            [
                (jax.random.normal(k, (m, n)) / np.sqrt(m), jnp.zeros(n))
                for k, m, n in zip(keys, widths[:-1], widths[1:], strict=True)
            ]
        )

    def network(layers):
        def run(x):
            for kernel, bias in layers[:-1]:
                x = jax.nn.relu(x @ kernel + bias)
            kernel, bias = layers[-1]
            return x @ kernel + bias

        return run

    def affine(parameters):
        log_scale, shift = jnp.split(parameters, 2, -1)
        return distrax.ScalarAffine(shift=shift, log_scale=jnp.tanh(log_scale))

    def made(weights):
        couplings = [
            distrax.SplitCoupling(
                first,
                event_ndims=1,
                conditioner=network(layers),
                bijector=affine,
                swap=i % 2 == 1,
            )
            for i, layers in enumerate(weights)
        ]
        base = distrax.MultivariateNormalDiag(jnp.zeros(size), jnp.ones(size))
        return distrax.Transformed(base, distrax.Inverse(distrax.Chain(couplings)))

    return weights, made


MAKERS = {"flowjax": flowjax, "distrax": distrax}


def task(args: Any) -> tuple[Any, dict]:
    """Returns the call to be timed, and facts for the report."""
    key = jax.random.key(0)
    weights, made = MAKERS[args.lib](args.size, key)
    optimizer = optax.adam(1e-3)

    def update(state, x):
        weights, slots = state
        loss, gradients = jax.value_and_grad(lambda w: -made(w).log_prob(x).mean())(weights)
        changes, slots = optimizer.update(gradients, slots, weights)
        return (optax.apply_updates(weights, changes), slots), loss

    def draw_with(weights, key):
        if args.lib == "flowjax":
            return made(weights).sample(key, (args.batch,))
        return made(weights).sample(seed=key, sample_shape=(args.batch,))

    fast_update = jax.jit(update, donate_argnums=0)
    fast_log_prob = jax.jit(lambda weights, x: made(weights).log_prob(x))
    fast_draw = jax.jit(draw_with)
    count = sum(leaf.size for leaf in jax.tree.leaves(weights))
    state = (weights, optimizer.init(weights)) if args.what == "train" else None

    def train(batch):
        nonlocal state
        state, loss = fast_update(state, batch)
        jax.block_until_ready(state)
        return float(loss)

    def likelihood(batch):
        return np.asarray(fast_log_prob(weights, batch))

    def draw(_):
        nonlocal key
        key, own = jax.random.split(key)
        return np.asarray(fast_draw(weights, own))

    facts = {"parameters": count, "version": version(args.lib)}
    return {"train": train, "logprob": likelihood, "sample": draw}[args.what], facts
