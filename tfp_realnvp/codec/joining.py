"""Maps of elements that follow each other, as one."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from tfp_realnvp.codec.maps import Chain, Closed
from tfp_realnvp.codec.steps import Elements, Reorder, Step


def joined(own: Sequence[Step]) -> list[Step]:
    """Returns steps of which maps without parameters that follow each other are one.

    Orders between them stay behind them. Each step that is less saves what a whole number of ticks
    costs more than what it stands for.

    Args:
        own: the steps.
    """
    result: list[Step] = []
    since: list[Reorder] = []  # behind the last map
    for step in own:
        if isinstance(step, Reorder):
            since.append(step)
        else:
            place = len(result) - len(since) - 1
            last = result[place] if place >= 0 else None
            if isinstance(last, Elements) and isinstance(step, Elements):
                first, second = _chain_of(last), _chain_of(step)
                if first is not None and second is not None:
                    order = functools.reduce(
                        lambda a, b: a[b.order], since, np.arange(last.changed.size)
                    )
                    result[place] = Elements(first.then(order, second), last.shape, last.changed)
                    continue
            since = []
        result.append(step)
    return result


def _chain_of(step: Elements) -> Chain | None:
    """Returns a map of all elements, without parameters, to real numbers; None for another."""
    if step.network is not None or step.function.onto_unit:
        return None
    if isinstance(step.function, Closed):
        order = np.arange(step.changed.size)
        return Chain([step.function], [order], [step.shape], domain=step.function.domain)
    return step.function if isinstance(step.function, Chain) else None
