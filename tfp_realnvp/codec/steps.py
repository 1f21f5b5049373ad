"""What a flow's bijectors are to whole numbers and a stack of bits."""

from __future__ import annotations

import abc
import dataclasses
import functools
import itertools

import numpy as np

from tfp_realnvp.codec import arithmetic, grid
from tfp_realnvp.codec.program import Program
from tfp_realnvp.codec.rows import in_rows
from tfp_realnvp.codec.stack import Stack

# Columns are popped and pushed in so many parts where there are fewer rows.
PARTS, FEW_ROWS = 4, 4


@dataclasses.dataclass(frozen=True)
class Batch:
    """What goes with the numbers of some rows.

    Attributes:
        stack: the bits.
        labels: of the rows, `[N]`; None of a flow without classes.
        condition: what couplings see beside their input, `[N, H, W, K]`; None for nothing.
        latents: numbers that have left, the last last.
        costs: what encoding has cost each number that a step has changed, in bits, step by step;
            None where nobody asks.
    """

    stack: Stack
    labels: np.ndarray | None = None
    condition: np.ndarray | None = None
    latents: list[np.ndarray] = dataclasses.field(default_factory=list)
    costs: list[np.ndarray] | None = None

    def given(self) -> list[np.ndarray]:
        """Returns what networks are given beside numbers."""
        return [x for x in (self.condition, self.labels) if x is not None]


class Step(abc.ABC):
    """A bijection of numbers `[N, D]`, whole ones in doubles, and of the bits on a stack."""

    @abc.abstractmethod
    def encode(self, numbers: np.ndarray, batch: Batch) -> np.ndarray:
        """Goes on from data to latents."""

    @abc.abstractmethod
    def decode(self, numbers: np.ndarray, batch: Batch) -> np.ndarray:
        """Takes back what `encode` did."""


def encode(steps: list[Step], numbers: np.ndarray, batch: Batch) -> np.ndarray:
    """Goes through steps from data to latents."""
    for step in steps:
        numbers = step.encode(numbers, batch)
    return numbers


def decode(steps: list[Step], numbers: np.ndarray, batch: Batch) -> np.ndarray:
    """Goes back through steps."""
    for step in reversed(steps):
        numbers = step.decode(numbers, batch)
    return numbers


@dataclasses.dataclass(frozen=True)
class Reorder(Step):
    """Puts numbers in another order.

    Attributes:
        order: where each comes from.
    """

    order: np.ndarray

    def encode(self, numbers, batch):
        """See `Step`."""
        return numbers[:, self.order]

    def decode(self, numbers, batch):
        """See `Step`."""
        return numbers[:, np.argsort(self.order)]


@dataclasses.dataclass(frozen=True)
class Dequantize(Step):
    """Puts a fraction behind each integer.

    Attributes:
        noise: steps from uniform numbers to fractions, given the image as a condition; None where
            these are uniform themselves.
        seen: the program that makes the condition of images and what there is already.
        shape: of an image.
    """

    noise: list[Step] | None
    seen: Program | None
    shape: tuple[int, ...]

    def encode(self, numbers, batch):
        """See `Step`."""
        fractions = batch.stack.pop_bits(numbers.shape, grid.FRACTION_BITS)
        if batch.costs is not None:
            batch.costs.append(np.full(numbers.shape, -float(grid.FRACTION_BITS)))
        if self.noise is not None:
            fractions = encode(self.noise, fractions, self._within(numbers, batch))
        return numbers * 2.0**grid.FRACTION_BITS + fractions

    def decode(self, numbers, batch):
        """See `Step`."""
        images = np.floor(numbers * 2.0**-grid.FRACTION_BITS)
        fractions = numbers - images * 2.0**grid.FRACTION_BITS
        if self.noise is not None:
            fractions = decode(self.noise, fractions, self._within(images, batch))
        batch.stack.push_bits(fractions, grid.FRACTION_BITS)
        return images

    def _within(self, images: np.ndarray, batch: Batch) -> Batch:
        assert self.seen is not None
        (seen,) = self.seen(images.reshape(-1, *self.shape))
        return dataclasses.replace(batch, condition=seen)


@dataclasses.dataclass(frozen=True)
class Seeing(Step):
    """Steps whose couplings see something else as their condition.

    Attributes:
        seen: the program that makes it of what is given outside: the condition, labels.
        steps: the steps.
    """

    seen: Program
    steps: list[Step]

    def encode(self, numbers, batch):
        """See `Step`."""
        return encode(self.steps, numbers, self._within(batch))

    def decode(self, numbers, batch):
        """See `Step`."""
        return decode(self.steps, numbers, self._within(batch))

    def _within(self, batch: Batch) -> Batch:
        return dataclasses.replace(batch, condition=in_rows(self.seen, *batch.given())[0])


@dataclasses.dataclass(frozen=True)
class Elements(Step):
    """An increasing map of elements, whose parameters a network makes of those that stay.

    Attributes:
        function: the map.
        shape: of the event.
        changed: the elements that change, as they stand in the network's outputs.
        network: from events, the condition and labels to the map's parameters; None for a map of
            all elements that has none.
        chosen: of `changed`, those that do change, boolean; None for all.
    """

    function: grid.Map
    shape: tuple[int, ...]
    changed: np.ndarray
    network: Program | None = None
    chosen: np.ndarray | None = None

    def encode(self, numbers, batch):
        """See `Step`."""
        places, bits = self.places(), grid.tick_bits(self.function)

        def intervals(numbers, *given):
            whole = numbers[:, self.changed]
            found = grid.interval(self.function, whole, self._parameters(numbers, *given))
            return [self._flat(part) for part in found]

        first, count = in_rows(intervals, numbers, *batch.given())
        grid.check(self.function, numbers[:, places], first, count)
        if batch.costs is not None:
            batch.costs.append(bits - np.log2(count))
        numbers = numbers.copy()
        for part in _parts_of(len(numbers), len(places)):
            ticks = first[:, part] + batch.stack.pop(count[:, part])
            results = np.floor(ticks * 2.0**-bits)
            batch.stack.push_bits(ticks - results * 2.0**bits, bits)
            numbers[:, places[part]] = results
        return numbers

    def decode(self, numbers, batch):
        """See `Step`."""
        places, bits = self.places(), grid.tick_bits(self.function)
        seen, numbers = numbers, numbers.copy()
        parts = _parts_of(len(numbers), len(places))
        parameters = None if len(parts) == 1 else self._parameters(seen, *batch.given())
        for part in reversed(parts):
            own = places[part]
            below = batch.stack.pop_bits((len(numbers), len(own)), bits)
            # The ticks that are not looked for now are never looked at.
            ticks = np.zeros_like(seen)
            ticks[:, own] = seen[:, own] * 2.0**bits + below
            wanted = np.isin(self.changed, own)
            if self.chosen is not None:
                wanted &= self.chosen.reshape(wanted.shape)

            def arguments(seen, ticks, *given, wanted=wanted):
                known = self._parameters(seen, *given) if parameters is None else parameters
                return grid.found(self.function, ticks[:, self.changed], known, wanted=wanted)

            if parameters is None:
                found = in_rows(arguments, seen, ticks, *batch.given())
            else:
                found = arguments(seen, ticks)
            whole, first, count = (x[:, wanted] for x in found)
            within = ticks[:, own] - first
            if not ((within >= 0) & (within < count)).all():
                raise ValueError("the stack has ticks that no interval has")
            batch.stack.push(within, count)
            numbers[:, own] = whole
        return numbers

    def _parameters(self, numbers: np.ndarray, *given: np.ndarray) -> list[np.ndarray]:
        if self.network is None:
            return []
        return self.network(grid.real(numbers).reshape(-1, *self.shape), *given)

    def _flat(self, values: np.ndarray) -> np.ndarray:
        values = values.reshape(len(values), -1)
        return values if self.chosen is None else values[:, self.chosen.ravel()]

    def places(self) -> np.ndarray:
        """Returns which elements of an event change."""
        places = self.changed.ravel()
        return places if self.chosen is None else places[self.chosen.ravel()]


def _parts_of(rows: int, columns: int) -> list[slice]:
    """Returns the columns that are popped and pushed together.

    All are, but of few rows, where a stack is short: each part gives back bits for the next.
    """
    number = 1 if rows >= FEW_ROWS else min(PARTS, columns)
    ends = [k * columns // number for k in range(number + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(ends)]


@dataclasses.dataclass(frozen=True)
class Mix(Step):
    """A linear map of the channels: adds multiples of those before, and of those behind, to each.

    Attributes:
        channels: number of channels, the last axis.
        lower: factors of those before, `[C, C]`.
        upper: factors of those behind, `[C, C]`.
        signs: that channels are multiplied with first.
    """

    channels: int
    lower: np.ndarray
    upper: np.ndarray
    signs: np.ndarray

    @functools.cached_property
    def _before(self) -> list[arithmetic.Weights]:
        return [arithmetic.Weights.of(self.lower[i, :i, None]) for i in range(self.channels)]

    @functools.cached_property
    def _behind(self) -> list[arithmetic.Weights]:
        return [arithmetic.Weights.of(self.upper[i, i + 1 :, None]) for i in range(self.channels)]

    def encode(self, numbers, batch):
        """See `Step`."""
        rows = numbers.reshape(len(numbers), -1, self.channels) * self.signs
        for i in range(self.channels):
            rows[..., i] += self._behind_sum(rows, i)
        for i in reversed(range(self.channels)):
            rows[..., i] += self._before_sum(rows, i)
        return rows.reshape(numbers.shape)

    def decode(self, numbers, batch):
        """See `Step`."""
        rows = numbers.reshape(len(numbers), -1, self.channels).copy()
        for i in range(self.channels):
            rows[..., i] -= self._before_sum(rows, i)
        for i in reversed(range(self.channels)):
            rows[..., i] -= self._behind_sum(rows, i)
        return (rows * self.signs).reshape(numbers.shape)

    def _before_sum(self, rows: np.ndarray, i: int) -> np.ndarray:
        return np.rint(arithmetic.contract(rows[..., :i], self._before[i])[..., 0])

    def _behind_sum(self, rows: np.ndarray, i: int) -> np.ndarray:
        return np.rint(arithmetic.contract(rows[..., i + 1 :], self._behind[i])[..., 0])


@dataclasses.dataclass(frozen=True)
class Leave(Step):
    """Some numbers leave, the others go on.

    Attributes:
        leaving: which leave.
        staying: which go on.
    """

    leaving: np.ndarray
    staying: np.ndarray

    def encode(self, numbers, batch):
        """See `Step`."""
        batch.latents.append(numbers[:, self.leaving])
        return numbers[:, self.staying]

    def decode(self, numbers, batch):
        """See `Step`."""
        joined = np.empty((len(numbers), len(self.leaving) + len(self.staying)))
        joined[:, self.staying], joined[:, self.leaving] = numbers, batch.latents.pop()
        return joined


@dataclasses.dataclass(frozen=True)
class Blocks(Step):
    """Numbers that go through steps of their own.

    Attributes:
        places: which numbers go together.
        steps: what they go through.
    """

    places: list[np.ndarray]
    steps: list[list[Step]]

    def encode(self, numbers, batch):
        """See `Step`."""
        numbers = numbers.copy()
        for places, steps in zip(self.places, self.steps, strict=True):
            numbers[:, places] = encode(steps, numbers[:, places], batch)
        return numbers

    def decode(self, numbers, batch):
        """See `Step`."""
        numbers = numbers.copy()
        for places, steps in reversed(list(zip(self.places, self.steps, strict=True))):
            numbers[:, places] = decode(steps, numbers[:, places], batch)
        return numbers
