"""The element-wise parts of gated convolutions in bfloat16, as programs of XLA.

Each takes about one pass over the activations where TensorFlow's operations take six. What a
convolution takes or makes in two halves of its channels is in pairs here, channel `c` of both
halves side by side: XLA reads and writes a pair as one word of 32 bits, and concatenations slowly.
`arrange` puts kernels and biases in the same order. All arithmetic is in float32.
"""

from __future__ import annotations

import tensorflow as tf

from tfp_realnvp.kernels.layer_norm import EPSILON

_and, _or = tf.bitwise.bitwise_and, tf.bitwise.bitwise_or
_shift_left, _shift_right = tf.bitwise.left_shift, tf.bitwise.right_shift
_program = tf.function(jit_compile=True, autograph=False)


def arrange(weights: tf.Tensor, *axes: int) -> tf.Tensor:
    """Puts the halves of some axes into pairs: `[a, b, A, B]` becomes `[a, A, b, B]`."""
    split: list[int] = []
    order: list[int] = []
    for axis, size in enumerate(weights.shape):
        place = len(split)
        if axis in axes:
            split += [2, size // 2]
            order += [place + 1, place]
        else:
            split += [size]
            order += [place]
    return tf.reshape(tf.transpose(tf.reshape(weights, split), order), weights.shape)


def two_sided_elu(x: tf.Tensor, dtype: tf.DType, *, wide: tf.DType) -> tf.Tensor:
    """Returns pairs of `elu(x)` and `elu(-x)` in bfloat16, with the signature of `gates`."""
    del dtype, wide
    return _two_sided_elu(x)


@tf.custom_gradient
def gate_and_norm(x: tf.Tensor, mixed: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Returns what `gates.gate_and_norm` does, of pairs of value and gate in bfloat16."""
    mixed = _words(mixed)
    y, normal, inverse = _gate_and_norm(x, mixed, scale, bias)

    def gradient(upstream):
        of_x, of_mixed, of_scale = _gate_and_norm_gradient(normal, inverse, mixed, scale, upstream)
        return (
            _like(x, of_x),
            _pairs(_like(x, of_mixed)),
            tf.raw_ops.BiasAddGrad(out_backprop=of_scale),
            tf.raw_ops.BiasAddGrad(out_backprop=upstream),
        )

    return _like(x, y), gradient


@tf.custom_gradient
def _two_sided_elu(x):
    def gradient(upstream):
        return _like(x, _elu_gradient(x, _words(upstream)))

    return _pairs(_like(x, _elu(x))), gradient


@_program
def _elu(x):
    x = tf.cast(x, tf.float32)
    below = tf.exp(-tf.abs(x)) - 1
    return _packed(tf.where(x > 0, x, below), tf.where(x < 0, -x, below))


@_program
def _elu_gradient(x, upstream):
    wide = tf.cast(x, tf.float32)
    slope = tf.exp(-tf.abs(wide))
    positive, negative = _unpacked(upstream)
    gradient = tf.where(wide > 0, positive, positive * slope)
    gradient -= tf.where(wide < 0, negative, negative * slope)
    return tf.cast(gradient, x.dtype)


@_program
def _gate_and_norm(x, mixed, scale, bias):
    value, gate = _unpacked(mixed)
    x += value * tf.sigmoid(gate)
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    inverse = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), -1, keepdims=True) + EPSILON)
    normal = centred * inverse
    return normal * scale + bias, normal, inverse


@_program
def _gate_and_norm_gradient(normal, inverse, mixed, scale, upstream):
    value, gate = _unpacked(mixed)
    gate = tf.sigmoid(gate)
    inner = upstream * scale
    along = tf.reduce_mean(inner * normal, -1, keepdims=True)
    across = tf.reduce_mean(inner, -1, keepdims=True)
    of_x = inverse * (inner - across - normal * along)
    of_mixed = _packed(of_x * gate, of_x * value * gate * (1 - gate))
    return of_x, of_mixed, upstream * normal


def _packed(low, high):
    """Returns words of pairs of float32, rounded to bfloat16."""
    return _or(_shift_right(_rounded(low), _word(16)), _and(_rounded(high), _word(0xFFFF0000)))


def _unpacked(words):
    """Returns the pairs as float32."""
    low, high = _shift_left(words, _word(16)), _and(words, _word(0xFFFF0000))
    return tf.bitcast(low, tf.float32), tf.bitcast(high, tf.float32)


def _rounded(x):
    # The upper half becomes the nearest bfloat16, the even one of two.
    bits = tf.bitcast(x, tf.uint32)
    return bits + (_and(_shift_right(bits, _word(16)), _word(1)) + _word(0x7FFF))


def _word(value):
    return tf.constant(value, tf.uint32)


def _words(pairs):
    """Returns `[..., 2C]` as words `[..., C]`; nothing is copied."""
    channels = pairs.shape[-1] // 2
    shape = tf.concat([tf.shape(pairs)[:-1], [channels, 2]], 0)
    return tf.bitcast(tf.reshape(pairs, shape), tf.uint32)


def _pairs(words):
    """Returns words `[..., C]` as `[..., 2C]`; nothing is copied."""
    shape = tf.concat([tf.shape(words)[:-1], [2 * words.shape[-1]]], 0)
    pairs = tf.reshape(tf.bitcast(words, tf.bfloat16), shape)
    return tf.ensure_shape(pairs, [*words.shape[:-1], 2 * words.shape[-1]])


def _like(x, result):
    # A program's result has no static shape where a batch's size is known when it runs.
    result.set_shape(x.shape)
    return result
