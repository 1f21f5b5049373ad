"""Couplings in a row, alike but for their partition."""

from __future__ import annotations

from collections.abc import Callable

import keras

from tfp_realnvp.bijectors import Affine, Coupling, Partition, Transformer


def coupling_run(
    partition: type[Partition],
    count: int,
    network: Callable[[], keras.layers.Layer],
    transformer: Callable[[], Transformer] = Affine,
) -> list[Coupling]:
    """Returns couplings whose partition is inverted every second time.

    Args:
        partition: what splits the event.
        count: number of couplings.
        network: makes the conditioner of one.
        transformer: makes the element-wise map of one.
    """
    return [
        Coupling(partition(inverted=i % 2 == 1), network(), transformer=transformer())
        for i in range(count)
    ]
