"""Vector RealNVP in zuko, nflows and normflows."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import torch

COUPLINGS, WIDTHS = 8, [128, 128]


def zuko(size: int) -> tuple[Any, Any, Any]:
    """Returns the module, its log_prob and its sample."""
    import zuko

    flow = zuko.flows.RealNVP(size, transforms=COUPLINGS, hidden_features=WIDTHS)
    return flow, lambda x: flow().log_prob(x), lambda count: flow().sample((count,))


def nflows(size: int) -> tuple[Any, Any, Any]:
    """Returns the module, its log_prob and its sample."""
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.nn.nets.mlp import MLP
    from nflows.transforms.base import CompositeTransform
    from nflows.transforms.coupling import AffineCouplingTransform

    class WithoutContext(MLP):
        """Couplings hand a context to their networks; this library's MLP takes none."""

        def forward(self, inputs, context=None):
            return super().forward(inputs)

    def network(inputs, outputs):
        return WithoutContext([inputs], [outputs], WIDTHS)

    masks = [(torch.arange(size) + i) % 2 for i in range(COUPLINGS)]
    couplings = [AffineCouplingTransform(mask, network) for mask in masks]
    flow = Flow(CompositeTransform(couplings), StandardNormal([size]))
    return flow, flow.log_prob, flow.sample


def normflows(size: int) -> tuple[Any, Any, Any]:
    """Returns the module, its log_prob and its sample."""
    import normflows

    first, second = (size + 1) // 2, size // 2
    couplings = []
    for i in range(COUPLINGS):
        seen, changed = (second, first) if i % 2 else (first, second)
        couplings.append(
            normflows.flows.AffineCouplingBlock(
                normflows.nets.MLP([seen, *WIDTHS, 2 * changed]),
                split_mode="channel_inv" if i % 2 else "channel",
            )
        )
    base = normflows.distributions.DiagGaussian(size, trainable=False)
    flow = normflows.NormalizingFlow(base, couplings)
    return flow, flow.log_prob, lambda count: flow.sample(count)[0]


MAKERS = {"zuko": zuko, "nflows": nflows, "normflows": normflows}


def task(args: Any) -> tuple[Any, dict]:
    """Returns the call to be timed, and facts for the report."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    flow, log_prob, sample = MAKERS[args.lib](args.size)
    weights = [p for p in flow.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(weights, 1e-3, fused=True)

    def train(batch):
        optimizer.zero_grad(set_to_none=True)
        loss = -log_prob(torch.from_numpy(batch)).mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    @torch.no_grad()
    def likelihood(batch):
        return log_prob(torch.from_numpy(batch)).numpy()

    @torch.no_grad()
    def draw(_):
        return sample(args.batch).numpy()

    facts = {
        "parameters": sum(p.numel() for p in weights),
        "version": version(args.lib),
        "threads": args.threads,
    }
    return {"train": train, "logprob": likelihood, "sample": draw}[args.what], facts
