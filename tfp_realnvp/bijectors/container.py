"""Bijectors that others are inside of, and how data go through these."""

from __future__ import annotations

import abc
import collections
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfp_realnvp.bijectors.base import FlowBijector, snake_case
from tfp_realnvp.core.context import Context

#: A batch and its log-determinant.
Result = tuple[tf.Tensor, tf.Tensor]


class Step(NamedTuple):
    """A batch that has reached a bijector.

    Attributes:
        member: the bijector.
        value: what has reached it, `[N, ...]`.
        context: the per-call context there.
        forward: whether it goes on from latent to data.
    """

    member: FlowBijector
    value: tf.Tensor
    context: Context
    forward: bool = False

    def result(self) -> Result:
        """Returns what the bijector makes of it, with the log-determinant."""
        member = self.member
        run = member._forward_and_log_det if self.forward else member._inverse_and_log_det
        return run(self.value, self.context)


Walk = Generator[Step, Result, Result]


class Container(FlowBijector):
    """A bijector that others are inside of.

    A subclass has `members` and one `_walk`. Both directions, initialization, statistics,
    summary and sizes of latents follow from these.
    """

    @property
    @abc.abstractmethod
    def members(self) -> Sequence[FlowBijector]:
        """The bijectors inside, in the order in which data reach them."""

    @abc.abstractmethod
    def _walk(self, value: tf.Tensor, context: Context, *, forward: bool) -> Walk:
        """Takes a batch through the members.

        Each `value, log_det = yield Step(member, value, context, forward)` hands over what reaches
        a member, and gets what that makes of it.

        Args:
            value: the batch, of data or, forward, of latents.
            context: the per-call context.
            forward: whether to go from latent to data.

        Returns:
            What the whole makes of the batch, with the log-determinant `[N]`.
        """

    def _inverse_and_log_det(self, y, context):
        return result_of(self._walk(y, context, forward=False))

    def _forward_and_log_det(self, x, context):
        return result_of(self._walk(x, context, forward=True))

    def _initialize(self, y, context):
        walk = self._walk(y, context, forward=False)
        step = next(walk)
        while self.needs_data:
            if step.member.needs_data:
                step.member._initialize(step.value, step.context)
            if self.needs_data:
                step = walk.send(step.result())

    def named_members(self) -> Iterator[tuple[str, FlowBijector]]:
        """Yields `("coupling_0", bijector)` and so on, each kind counted by itself.

        A member's name, and with it its initial values, is thereby not changed by members of
        other kinds coming or going.
        """
        counts: collections.Counter[str] = collections.Counter()
        for bijector in self.members:
            kind = snake_case(type(bijector).__name__)
            yield f"{kind}_{counts[kind]}", bijector
            counts[kind] += 1


# Plain Python, whatever AutoGraph would make of it.
@tf.autograph.experimental.do_not_convert
def walked(walks: Sequence[Walk], run: Callable[[list[Step]], list[Result]]) -> list[Result]:
    """Takes walks through one container side by side, from member to member.

    Args:
        walks: one for each batch.
        run: gives what a member makes of the steps that all walks have come to.

    Returns:
        What the container makes of each batch.
    """
    results: list[Any] = [None] * len(walks)
    while True:
        steps, ends = [], []
        for walk, result in zip(walks, results, strict=True):
            try:
                steps.append(walk.send(result))
            except StopIteration as end:
                ends.append(end.value)
        if not steps:
            return ends
        results = run(steps)


def result_of(walk: Walk) -> Result:
    """Takes one walk to its end."""
    return walked([walk], lambda steps: [step.result() for step in steps])[0]
