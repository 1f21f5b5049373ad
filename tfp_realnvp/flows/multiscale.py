"""The multi-scale architecture of RealNVP, figure for figure."""

from __future__ import annotations

from collections.abc import Callable

from tfp_realnvp.bijectors import (
    ChannelHalves,
    Checkerboard,
    FactorOut,
    FlowBijector,
    Partition,
    Squeeze,
    Unsqueeze,
)

#: Makes the members of one coupling, given its partition and the width of its network.
Step = Callable[[Partition, int], list[FlowBijector]]


def realnvp_scales(step: Step, *, scales: int, width: int) -> list[FlowBijector]:
    """Returns the scales of RealNVP (arXiv:1605.08803, section 3.6), nested.

    At each: 3 checkerboard couplings, a squeeze, 3 channel couplings of twice the width, the way
    back, and a squeeze in the order that lets one colour of the checkerboard leave. At the last:
    4 checkerboard couplings. Each scale's networks are twice as wide as those of the one before.

    Args:
        step: makes a coupling, and what goes with it.
        scales: number of scales.
        width: width of the first scale's networks.
    """

    def steps(partition: type[Partition], count: int, width: int, *, inverted: int) -> list:
        return [
            member
            for i in range(inverted, count + inverted)
            for member in step(partition(inverted=i % 2 == 1), width)
        ]

    if scales == 1:
        return steps(Checkerboard, 4, width, inverted=0)
    return [
        *steps(Checkerboard, 3, width, inverted=0),
        Squeeze(order="channel_major"),
        *steps(ChannelHalves, 3, 2 * width, inverted=1),
        Unsqueeze(order="channel_major"),
        Squeeze(order="alternative"),
        FactorOut(realnvp_scales(step, scales=scales - 1, width=2 * width)),
    ]
