"""The bits of an archive as a stack, from which numbers are popped and onto which they are pushed.

It is the stack of asymmetric numeral systems (Duda, arXiv:1311.2540), by `constriction`. Popping
uniform numbers is drawing them at random, from bits that come back when they are pushed again.
"""

from __future__ import annotations

import decimal
import functools
import math
from collections.abc import Iterator

import numpy as np

try:
    from constriction import stream
except ImportError as error:
    raise ImportError("Archives need constriction: pip install 'tfp_realnvp[codec]'.") from error

from tfp_realnvp.codec.grid import FRACTION_BITS

# A uniform number is popped as one below 2^12, of which constriction's probabilities of 24 bits are
# right to a thousandth of a bit, and as powers of two, of which they are right.
HEAD_BITS, TAIL_BITS = 12, 15
# Of a number that is a power of two's, popped at once.
MOST_BITS = 23
_UNIFORM = stream.model.Uniform()
# The base is popped as one of 64 intervals a unit, between -8 and 8, and uniformly therein.
INTERVAL_BITS, RANGE = 6, 8
_INSIDE = 2 * RANGE << INTERVAL_BITS
# What is outside is popped as it is.
OUTSIDE_BITS = 48


class ShortStackError(Exception):
    """There are fewer bits on a stack than are to be popped."""


@functools.cache
def _base() -> stream.model.Categorical:
    """Returns the distribution of the base's intervals, and of what lies outside."""
    with decimal.localcontext(prec=30):
        middles = [decimal.Decimal(2 * i + 1 - _INSIDE) / 128 for i in range(_INSIDE)]
        densities = [float((-(middle * middle) / 2).exp()) for middle in middles]
    # Whole numbers, whose sum no order changes.
    weights = np.rint(np.array([*densities, 0.0]) * 2**24) + 1
    return stream.model.Categorical(weights, perfect=False)


class Stack:
    """A stack of bits.

    Args:
        words: what is on it, 32 bits each, the last on top.
    """

    def __init__(self, words: np.ndarray):
        self._coder = stream.stack.AnsCoder(words.astype(np.uint32))

    @property
    def bits(self) -> int:
        """How many bits are on it."""
        return self._coder.num_valid_bits()

    def words(self) -> np.ndarray:
        """Returns what is on it."""
        return self._coder.get_compressed()

    def clone(self) -> Stack:
        """Returns a stack of the same bits."""
        made = object.__new__(Stack)
        made._coder = self._coder.clone()
        return made

    def pop(self, sizes: np.ndarray) -> np.ndarray:
        """Pops whole numbers, each uniform on those below its size.

        Args:
            sizes: whole numbers from 2 on, in doubles. Of one above 2^12 only a multiple of a power
                of two is used, at least 0.9995 of it.

        Returns:
            The numbers, in doubles.

        Raises:
            ShortStackError: there are too few bits.
        """
        heads, tails = _head_and_tail(sizes)
        self._require(np.log2(heads).sum() + tails.sum())
        numbers = self._coder.decode(_UNIFORM, heads).astype(np.int64)
        for bits in _parts(tails):
            chosen = bits > 0
            drawn = np.zeros_like(numbers)
            if chosen.any():
                sizes_of_part = (1 << bits[chosen]).astype(np.int32)
                drawn[chosen] = self._coder.decode(_UNIFORM, sizes_of_part)
            numbers = (numbers << bits) | drawn
        return numbers.astype(np.float64).reshape(sizes.shape)

    def push(self, numbers: np.ndarray, sizes: np.ndarray) -> None:
        """Pushes what `pop` of the same sizes pops."""
        heads, tails = _head_and_tail(sizes)
        rest = numbers.astype(np.int64).ravel()
        for bits in reversed(list(_parts(tails))):
            chosen = bits > 0
            if chosen.any():
                own = bits[chosen]
                drawn = (rest[chosen] & ((1 << own) - 1)).astype(np.int32)
                self._coder.encode_reverse(drawn, _UNIFORM, (1 << own).astype(np.int32))
            rest = rest >> bits
        self._coder.encode_reverse(rest.astype(np.int32), _UNIFORM, heads)

    def pop_bits(self, shape: tuple[int, ...], bits: int) -> np.ndarray:
        """Pops whole numbers of so many bits each."""
        count = math.prod(shape)
        self._require(count * bits)
        numbers = np.zeros(count)
        for own in _shares(bits):
            numbers = numbers * 2.0**own + self._coder.decode(_uniform(own), count)
        return numbers.reshape(shape)

    def push_bits(self, numbers: np.ndarray, bits: int) -> None:
        """Pushes what `pop_bits` pops."""
        rest = numbers.ravel()
        for own in reversed(_shares(bits)):
            above = np.floor(rest * 2.0**-own)
            self._coder.encode_reverse((rest - above * 2.0**own).astype(np.int32), _uniform(own))
            rest = above

    def pop_base(self, shape: tuple[int, ...]) -> np.ndarray:
        """Pops standard normal numbers on the grid."""
        count = math.prod(shape)
        self._require(count * FRACTION_BITS)
        intervals = self._coder.decode(_base(), count).astype(np.float64)
        inside = intervals < _INSIDE
        below = FRACTION_BITS - INTERVAL_BITS
        numbers = np.empty(count)
        numbers[inside] = (intervals[inside] - _INSIDE // 2) * 2.0**below
        numbers[inside] += self.pop_bits((int(inside.sum()),), below)
        outside = int((~inside).sum())
        if outside:
            numbers[~inside] = self.pop_bits((outside,), OUTSIDE_BITS) - 2.0 ** (OUTSIDE_BITS - 1)
        return numbers.reshape(shape)

    def push_base(self, numbers: np.ndarray) -> None:
        """Pushes what `pop_base` pops."""
        numbers = numbers.ravel()
        below = FRACTION_BITS - INTERVAL_BITS
        intervals = np.floor(numbers * 2.0**-below)
        inside = np.abs(intervals + 0.5) < _INSIDE // 2
        if not inside.all():
            self.push_bits(numbers[~inside] + 2.0 ** (OUTSIDE_BITS - 1), OUTSIDE_BITS)
        self.push_bits((numbers - intervals * 2.0**below)[inside], below)
        symbols = np.where(inside, intervals + _INSIDE // 2, _INSIDE).astype(np.int32)
        self._coder.encode_reverse(symbols, _base())

    def _require(self, bits: float) -> None:
        if self.bits < bits + 64:
            raise ShortStackError


def _head_and_tail(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns numbers of at most 12 bits, and by how many bits the sizes are longer."""
    whole = sizes.astype(np.int64).ravel()
    tails = np.maximum(np.frexp(sizes.ravel())[1] - HEAD_BITS, 0).astype(np.int64)
    return (whole >> tails).astype(np.int32), tails


@functools.cache
def _uniform(bits: int) -> stream.model.Uniform:
    return stream.model.Uniform(1 << bits)


def _shares(bits: int) -> list[int]:
    """Returns numbers of bits, none above 23, that add up to so many."""
    number = -(-bits // MOST_BITS)
    return [bits * (k + 1) // number - bits * k // number for k in range(number)]


def _parts(tails: np.ndarray) -> Iterator[np.ndarray]:
    while tails.any():
        bits = np.minimum(tails, TAIL_BITS)
        yield bits
        tails = tails - bits
