"""Real functions of which every machine gives the same bits.

Sums, differences, products, quotients, square roots and roundings of doubles are what IEEE 754
says, to the last bit, on every processor; `exp` and its like are not, and neither are sums of
many numbers, whose order is a library's and a processor's own. So functions are made here of the
former alone, sums go in an order that is written down, and products of matrices are of whole
numbers too small for anything to be rounded, in whatever order: see `contract`.
"""

from __future__ import annotations

import dataclasses
import decimal
import functools
import math

import numpy as np

# `exp` takes a power of 2^(1 / STEPS) from a table. Beyond its limit it stays what it is there: no
# number is ever so small that some processor's settings make it 0.
STEPS = 32
EXP_LIMIT = 300.0
# Products of whole numbers of at most 2^24 with others whose sizes sum up to at most 2^29: no
# partial sum is above 2^53, up to which doubles hold every whole number.
VALUE_BITS, WEIGHT_BITS = 24, 29
# Of a double, and its bits for the root of 1/2, from where mantissas begin in `log`.
_MANTISSA_BITS = 52
_ROOT_OF_HALF = int(np.array(math.sqrt(0.5)).view(np.int64))


def _log_of_2() -> tuple[float, float, float]:
    """Returns log 2, and as a sum of two, the first of which leaves room for whole multiples."""
    with decimal.localcontext(prec=40):
        exact = decimal.Decimal(2).ln()
        high = float(np.float32(float(exact)))
        return float(exact), high, float(exact - decimal.Decimal(high))


LOG_2, LOG_2_HIGH, LOG_2_LOW = _log_of_2()


@functools.cache
def _powers() -> tuple[np.ndarray, int]:
    """Returns powers of 2^(1 / STEPS), and the place of the one that is 1."""
    with decimal.localcontext(prec=40):
        between = [float(decimal.Decimal(2) ** (decimal.Decimal(i) / STEPS)) for i in range(STEPS)]
    whole = np.arange(-math.ceil(EXP_LIMIT / LOG_2) - 1, math.ceil(EXP_LIMIT / LOG_2) + 2)
    return np.ldexp(np.array(between), whole[:, None]).ravel(), -int(whole[0]) * STEPS


def exp(x: np.ndarray) -> np.ndarray:
    """Returns e^x, for x beyond 300 and -300 as for these."""
    table, zero = _powers()
    x = np.clip(x, -EXP_LIMIT, EXP_LIMIT)
    steps = np.rint(x * (STEPS / LOG_2))
    x -= steps * (LOG_2_HIGH / STEPS)
    x -= steps * (LOG_2_LOW / STEPS)
    series = x * (1 / 120)
    for coefficient in (1 / 24, 1 / 6, 1 / 2, 1.0):
        series += coefficient
        series *= x
    series += 1.0
    steps += zero
    series *= table.take(steps.astype(np.intp))
    return series


def log(x: np.ndarray) -> np.ndarray:
    """Returns the logarithm of positive numbers; of others that of 1e-300."""
    bits = np.maximum(x, 1e-300).view(np.int64)
    exponent = (bits - _ROOT_OF_HALF) >> _MANTISSA_BITS
    mantissa = (bits - (exponent << _MANTISSA_BITS)).view(np.float64)
    ratio = (mantissa - 1) / (mantissa + 1)
    square = ratio * ratio
    series = square * (1 / 19)
    for odd in (17, 15, 13, 11, 9, 7, 5, 3):
        series += 1 / odd
        series *= square
    series += 1.0
    series *= ratio
    series *= 2
    twos = exponent.astype(np.float64)
    series += twos * LOG_2_LOW
    series += twos * LOG_2_HIGH
    return series


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Returns 1 / (1 + e^-x)."""
    return 1 / (1 + exp(-x))


def tanh(x: np.ndarray) -> np.ndarray:
    """Returns the hyperbolic tangent."""
    return 1 - 2 / (exp(2 * x) + 1)


def softplus(x: np.ndarray) -> np.ndarray:
    """Returns log(1 + e^x)."""
    return np.maximum(x, 0) + log(1 + exp(-np.abs(x)))


def elu(x: np.ndarray) -> np.ndarray:
    """Returns x where that is positive, elsewhere e^x - 1."""
    return np.maximum(x, exp(-np.abs(x)) - 1)


def two_sided_elu(x: np.ndarray, axis: int) -> np.ndarray:
    """Returns the ELU of x, and behind it along an axis that of -x."""
    below = exp(-np.abs(x)) - 1
    return np.concatenate([np.maximum(x, below), np.maximum(-x, below)], axis)


def total(x: np.ndarray, axis: int, *, keepdims: bool = False) -> np.ndarray:
    """Returns the sum along an axis: of the sums of its halves, and what is odd added last."""
    x = np.moveaxis(x, axis, 0)
    if len(x) == 0:
        summed = np.zeros(x.shape[1:])
    else:
        while len(x) > 1:
            half = len(x) // 2
            paired = x[:half] + x[half : 2 * half]
            if len(x) % 2:
                paired[0] += x[-1]
            x = paired
        summed = x[0]
    return np.expand_dims(summed, axis) if keepdims else summed


@dataclasses.dataclass(frozen=True)
class Weights:
    """A matrix `[K, F]` as whole numbers, times a power of two.

    The sizes of the numbers of a column sum up to at most 2^29.

    Attributes:
        whole: the numbers.
        unit: the power of two that 1 stands for.
    """

    whole: np.ndarray
    unit: float

    @classmethod
    def of(cls, matrix: np.ndarray) -> Weights:
        """Rounds a matrix of real numbers."""
        largest = float(np.abs(matrix).sum(0).max(initial=0.0))
        # The last bit has room for what rounding adds.
        exponent = math.frexp(largest)[1] - (WEIGHT_BITS - 1)
        whole = np.rint(matrix * math.ldexp(1.0, -exponent))
        if np.abs(whole).sum(0).max(initial=0.0) > 2**WEIGHT_BITS:
            raise ValueError(
                f"A product over {len(matrix)} numbers does not fit into whole numbers."
            )
        return cls(whole, math.ldexp(1.0, exponent))


def whole_rows(x: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Rounds each row to whole numbers of so many bits, times a power of two of its own.

    Args:
        x: `[N, ...]`.
        bits: of the largest of a row.

    Returns:
        The numbers, and the powers of two `[N, 1, ...]`.
    """
    largest = np.abs(x).max(axis=tuple(range(1, x.ndim)), initial=0.0, keepdims=True)
    exponents = np.frexp(largest)[1] - bits
    whole = x * np.ldexp(1.0, -exponents)
    return np.rint(whole, out=whole), np.ldexp(1.0, exponents)


def contract(x: np.ndarray, weights: Weights) -> np.ndarray:
    """Returns `x @ weights` `[N, ..., F]` of numbers that are rounded first, and never after.

    What is rounded of a row depends on the row alone, and every partial sum is a whole number below
    2^53 times a power of two: so the order of the sums, and whether products are rounded before
    they are added, make no difference.

    Args:
        x: `[N, ..., K]`.
        weights: `[K, F]`.
    """
    whole, units = whole_rows(x, VALUE_BITS)
    result = whole @ weights.whole
    result *= units * weights.unit
    return result


def contract_rows(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns `x @ y`, as `contract` does, of two that each row has its own of.

    Args:
        x: `[N, ..., T, K]`.
        y: `[N, ..., K, S]`.
    """
    room = (y.shape[-2] - 1).bit_length()
    x, x_units = whole_rows(x, VALUE_BITS)
    y, y_units = whole_rows(y, WEIGHT_BITS - room)
    return (x @ y) * (x_units * y_units)
