"""The increasing maps of a flow's elements; see `grid.Map`."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfp_realnvp.codec.arithmetic import EXP_LIMIT, exp, log, total
from tfp_realnvp.codec.program import Program


@dataclasses.dataclass(frozen=True)
class Closed:
    """A map that is a program, as is its inverse.

    Attributes:
        forward: from arguments, and parameters, to results.
        backward: from results, and parameters, to arguments.
        onto_unit: see `grid.Map`.
        domain: see `grid.Map`.
    """

    forward: Program
    backward: Program
    onto_unit: bool = False
    domain: tuple[float, float] | None = None

    def value(self, y: np.ndarray, parameters: list[np.ndarray]) -> np.ndarray:
        """See `grid.Map`."""
        return self.forward(y, *parameters)[0]

    def guess(self, x: np.ndarray, parameters: list[np.ndarray]) -> np.ndarray:
        """See `grid.Map`."""
        return self.backward(x, *parameters)[0]


@dataclasses.dataclass(frozen=True)
class Chain:
    """Maps without parameters of which each takes the results of the one before, in its own order.

    Attributes:
        maps: the maps.
        orders: for each, where its arguments come from among the results of the one before.
        shapes: of each one's arguments.
        domain: see `grid.Map`; of the first.
    """

    maps: list[Closed]
    orders: list[np.ndarray]
    shapes: list[tuple[int, ...]]
    onto_unit: bool = False
    domain: tuple[float, float] | None = None

    def value(self, y: np.ndarray, parameters: list[np.ndarray]) -> np.ndarray:
        """See `grid.Map`."""
        x = y.reshape(len(y), -1)
        for function, order, shape in zip(self.maps, self.orders, self.shapes, strict=True):
            x = function.value(x[:, order].reshape(-1, *shape), []).reshape(len(y), -1)
        back = np.argsort(self._last_order())
        return x[:, back].reshape(y.shape)

    def guess(self, x: np.ndarray, parameters: list[np.ndarray]) -> np.ndarray:
        """See `grid.Map`."""
        y = x.reshape(len(x), -1)[:, self._last_order()]
        for function, order, shape in reversed(
            list(zip(self.maps, self.orders, self.shapes, strict=True))
        ):
            y = function.guess(y.reshape(-1, *shape), []).reshape(len(x), -1)
            y = y[:, np.argsort(order)]
        return y.reshape(x.shape)

    def then(self, order: np.ndarray, other: Chain) -> Chain:
        """Returns this one and then another.

        Args:
            order: where the other's arguments come from among this one's results.
            other: the other, of one map or more.
        """
        # This one ends by putting its results where its arguments were.
        first = np.argsort(self._last_order())[order][other.orders[0]]
        return Chain(
            [*self.maps, *other.maps],
            [*self.orders, first, *other.orders[1:]],
            [*self.shapes, *other.shapes],
            domain=self.domain,
        )

    def _last_order(self) -> np.ndarray:
        """Returns where the last one's results come from among the first one's arguments."""
        total = np.arange(self.orders[0].size)
        for order in self.orders:
            total = total[order]
        return total


@dataclasses.dataclass(frozen=True)
class Mixture:
    """The map of `MixtureLogistic`, in the form that doubles allow.

    With weights w, means m and inverse scales r of the components, a shift t and a scale s:
    `x = (log F(y) - log(1 - F(y)) + t) s` with `F(y) = sum_k w_k sigmoid((y - m_k) r_k)`.

    The parameters are arrays `[N, K, ..., C]` of w, m and r, and `[N, ..., C]` of t and s.
    """

    onto_unit: bool = False
    domain: tuple[float, float] | None = None

    def value(self, y: np.ndarray, parameters: list[np.ndarray]) -> np.ndarray:
        """See `grid.Map`."""
        weights, means, rates, shift, scale = map(np.ascontiguousarray, parameters)
        odds = exp((y[:, None] - means) * rates)
        above = weights / (1 + odds)
        above, below = total(above, 1), total(above * odds, 1)
        return (log(below / above) + shift) * scale

    def guess(self, x: np.ndarray, parameters: list[np.ndarray]) -> np.ndarray:
        """See `grid.Map`: by Newton's method, held between the components' own roots.

        A guess need not be the same everywhere.
        """
        weights, means, rates, shift, scale = map(np.ascontiguousarray, parameters)
        logit = x / scale - shift
        roots = means + logit[:, None] / rates
        low, high = roots.min(1), roots.max(1)
        y = (low + high) / 2
        for _ in range(8):
            odds = np.exp(np.clip((y[:, None] - means) * rates, -EXP_LIMIT, EXP_LIMIT))
            shares = weights / (1 + odds)
            above, density = shares.sum(1), shares * odds
            below = density.sum(1)
            density = (density * rates / (1 + odds)).sum(1)
            excess = np.log(below / above) - logit
            low, high = np.where(excess < 0, y, low), np.where(excess > 0, y, high)
            stepped = y - excess * below * above / density
            stepped = np.where((stepped > low) & (stepped < high), stepped, (low + high) / 2)
            moved = np.abs(stepped - y).max()
            y = stepped
            if moved < 1e-5:  # and so the next step less than its square
                break
        return y
