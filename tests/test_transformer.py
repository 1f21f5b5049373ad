"""Transformer blocks: what sees what, and one token at a time."""

import numpy as np
import pytest
import tensorflow as tf
from tolerances import FLOAT64

from tfp_realnvp.conditioners import Conditioner
from tfp_realnvp.conditioners.transformer import TransformerBlocks

TOKENS, WIDTH = 5, 8


class Blocks(Conditioner):
    """Blocks alone."""

    def __init__(self, *, causal: bool = False, heads: int = 2, **kwargs):
        super().__init__(outputs=WIDTH, **kwargs)
        self.causal, self.heads = causal, heads

    def build(self, input_shape):
        self.blocks = TransformerBlocks(
            self, width=WIDTH, depth=2, heads=self.heads, causal=self.causal
        )
        self.built = True

    def run(self, inputs, classes, context):
        x = tf.cast(inputs, self.variable_dtype)
        return tf.cast(self.blocks(x, inputs.dtype), inputs.dtype)


def network(rng, **options) -> Blocks:
    made = Blocks(**{"dtype": "float64", **options})
    made(np.zeros([1, TOKENS, WIDTH]))
    for weight in made.weights:
        weight.assign_add(0.3 * rng.standard_normal(weight.shape))
    return made


@pytest.mark.parametrize("causal", [False, True])
def test_a_token_sees_all_or_those_before_it(rng, causal):
    made = network(rng, causal=causal)
    x = tf.constant(rng.standard_normal([1, TOKENS, WIDTH]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        middle = made(x)[0, 2]
    seen = np.any(np.asarray(tape.gradient(middle, x))[0] != 0, axis=-1)
    np.testing.assert_array_equal(seen, np.arange(TOKENS) <= 2 if causal else True)


@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_tokens_one_at_a_time_are_those_at_once(rng, dtype):
    made = network(rng, causal=True, dtype=dtype)
    x = tf.constant(rng.standard_normal([3, TOKENS, WIDTH]), made.variable_dtype)
    compute = tf.as_dtype(made.compute_dtype)
    step, cache = tf.function(made.blocks.step), made.blocks.empty_cache(3, TOKENS, compute)
    for i in range(TOKENS):
        token, cache = step(x[:, i : i + 1], tf.constant(i), cache)
        tolerance = FLOAT64 if dtype == "float64" else 0.1
        expected = made.blocks(x, compute)[:, i : i + 1]
        np.testing.assert_allclose(token, expected, atol=tolerance, rtol=tolerance)


def test_heads_divide_the_width(rng):
    with pytest.raises(ValueError, match="Blocks needs a width that its heads divide, got width=8"):
        network(rng, heads=3)
