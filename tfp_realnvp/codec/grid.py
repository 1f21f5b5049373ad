"""Increasing maps of the real numbers as bijections of whole numbers and random bits.

A real number x is a whole number n, `x = n 2^-14`. An increasing map f takes the interval between
n and n + 1 to that between two ticks `g(n) = floor(f(n 2^-14) 2^14 2^p) + 2 n`: so many ticks as
it has are popped as a uniform number, which says where in it x is; the tick is then 2^p times a
whole number, the result, plus p bits, which are pushed. What that costs is p bits less the
logarithm of the number of ticks: minus the logarithm of f's slope. (Modular scale transforms,
Zhang et al., "iFlow", arXiv:2111.00965, are this for linear maps.) The term 2 n sees to it that
every interval has a tick.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

FRACTION_BITS = 14
# p of the module's text: where the result is a number, and where it is one of an interval `[0, 1)`,
# with slopes near 0 at both ends.
TICK_BITS, UNIT_TICK_BITS = 18, 24
# Numbers are below 2^16 in size, and those that are mapped to an interval below 2^6.
LIMIT, UNIT_LIMIT = 2.0 ** (16 + FRACTION_BITS), 2.0 ** (6 + FRACTION_BITS)


class OffGridError(ValueError):
    """Numbers of some rows are too large, or not finite.

    Args:
        rows: which, boolean.
    """

    def __init__(self, rows: np.ndarray):
        super().__init__(
            f"{int(rows.sum())} of {len(rows)} images have latents too large to be coded."
        )
        self.rows = rows


class Map(Protocol):
    """An increasing map of each element of an event, given parameters."""

    @property
    def onto_unit(self) -> bool:
        """Whether its results are in `(0, 1)`."""

    @property
    def domain(self) -> tuple[float, float] | None:
        """Between what its arguments are; None where they may be anything."""

    def value(self, y: np.ndarray, parameters: list[np.ndarray]) -> np.ndarray:
        """Returns the map's results."""

    def guess(self, x: np.ndarray, parameters: list[np.ndarray]) -> np.ndarray:
        """Returns arguments of which the results are about `x`."""


def real(whole: np.ndarray) -> np.ndarray:
    """Returns what whole numbers stand for."""
    return whole * 2.0**-FRACTION_BITS


def tick_bits(function: Map) -> int:
    """Returns how many bits the ticks have behind whole numbers."""
    return UNIT_TICK_BITS if function.onto_unit else TICK_BITS


def ticks(function: Map, whole: np.ndarray, parameters: list[np.ndarray]) -> np.ndarray:
    """Returns the first tick of the intervals at whole numbers."""
    value = function.value(real(whole), parameters)
    scale = 2.0 ** (FRACTION_BITS + tick_bits(function))
    if not function.onto_unit:
        return np.floor(value * scale) + 2 * whole
    # Room at both ends for the second term.
    return np.floor(value * (scale - 4 * UNIT_LIMIT)) + 2 * (whole + UNIT_LIMIT)


def interval(
    function: Map, whole: np.ndarray, parameters: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first tick of each interval and the number of its ticks."""
    first = ticks(function, whole, parameters)
    return first, ticks(function, whole + 1, parameters) - first


def check(function: Map, whole: np.ndarray, first: np.ndarray, count: np.ndarray) -> None:
    """Checks that intervals have ticks, and that these are not too far out.

    Raises:
        OffGridError: they have not.
    """
    limit = LIMIT * 2.0 ** tick_bits(function)
    good = (count >= 2) & (count < 2.0**40) & (np.abs(first) < limit)
    if function.onto_unit:
        good &= np.abs(whole + 0.5) < UNIT_LIMIT
    if not good.all():
        raise OffGridError(~good.reshape(len(good), -1).all(1))


def found(
    function: Map,
    tick: np.ndarray,
    parameters: list[np.ndarray],
    *,
    wanted: np.ndarray | bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the whole numbers whose intervals have certain ticks.

    Args:
        function: the map.
        tick: the ticks, `[N, ...]`.
        parameters: the map's, one for each.
        wanted: of which elements the numbers matter, boolean and broadcastable.

    Returns:
        The whole numbers, the first tick of each interval and the number of its ticks.
    """
    lowest, highest = -LIMIT, LIMIT
    if function.onto_unit:
        lowest, highest = -UNIT_LIMIT, UNIT_LIMIT
    elif function.domain is not None:
        lowest, highest = (end * 2.0**FRACTION_BITS for end in function.domain)
    low, high = np.full(tick.shape, lowest), np.full(tick.shape, highest - 1)
    about = tick * 2.0 ** -(FRACTION_BITS + tick_bits(function))
    whole = _between(np.floor(function.guess(about, parameters) * 2.0**FRACTION_BITS), low, high)
    first, count = interval(function, whole, parameters)
    for attempt in range(200):
        missed = (tick - first) / count
        done = (missed >= 0) & (missed < 1)
        wrong = ~(done | (low >= high) | np.logical_not(wanted)).reshape(len(done), -1).all(1)
        if not wrong.any():
            break
        own = [parameter[wrong] for parameter in parameters]
        at, aim = whole[wrong], missed[wrong]
        low[wrong] = np.where(aim >= 1, np.minimum(at + 1, high[wrong]), low[wrong])
        high[wrong] = np.where(aim < 0, np.maximum(at - 1, low[wrong]), high[wrong])
        # Newton's step; if that does not help, halves.
        step = np.floor(aim) if attempt < 4 else np.floor((low[wrong] + high[wrong]) / 2) - at
        at = np.where(done[wrong], at, _between(at + step, low[wrong], high[wrong]))
        whole[wrong] = at
        first[wrong], count[wrong] = interval(function, at, own)
    return whole, first, count


def _between(whole: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.clip(np.nan_to_num(whole), low, high)
