"""The increasing maps of a flow's elements; see `grid.Map`."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfp_realnvp.codec import arithmetic
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

    The parameters are arrays `[N, ..., K, C]` of w, m and r, and `[N, ..., C]` of t and s.
    """

    onto_unit: bool = False
    domain: tuple[float, float] | None = None

    def value(self, y: np.ndarray, parameters: list[np.ndarray]) -> np.ndarray:
        """See `grid.Map`."""
        *_, shift, scale = parameters
        below, above, _ = self._sums(y, parameters, slope=False)
        return (arithmetic.log(below / above) + shift) * scale

    def guess(self, x: np.ndarray, parameters: list[np.ndarray]) -> np.ndarray:
        """See `grid.Map`: by Newton's method, held between the components' own roots."""
        _, means, rates, shift, scale = parameters
        logit = x / scale - shift
        roots = means + logit[..., None, :] / rates
        low, high = roots.min(-2), roots.max(-2)
        y = (low + high) / 2
        for _ in range(8):
            below, above, density = self._sums(y, parameters, slope=True)
            excess = arithmetic.log(below / above) - logit
            low, high = np.where(excess < 0, y, low), np.where(excess > 0, y, high)
            stepped = y - excess * below * above / density
            stepped = np.where((stepped > low) & (stepped < high), stepped, (low + high) / 2)
            moved = np.abs(stepped - y).max()
            y = stepped
            if moved < 2.0**-16:
                break
        return y

    @staticmethod
    def _sums(
        y: np.ndarray, parameters: list[np.ndarray], *, slope: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Returns F(y), 1 - F(y), and the slope of F."""
        weights, means, rates = parameters[:3]
        odds = arithmetic.exp((y[..., None, :] - means) * rates)
        above = weights / (1 + odds)
        below = above * odds
        density = None
        if slope:
            density = arithmetic.total(below * rates / (1 + odds), -2)
        return arithmetic.total(below, -2), arithmetic.total(above, -2), density
