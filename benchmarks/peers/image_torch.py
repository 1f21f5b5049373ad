"""Times `uva_multiscale` written for PyTorch, channels last.

    python -m benchmarks.peers.image_torch --what train --batch 32 --threads 1

Needs torch. `--precision bfloat16` runs the convolutions under autocast.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as nnf
from torch import nn

from benchmarks import timing

PARAMETERS = 1_711_818
ALPHA, LEVELS, SIDE = 1e-5, 256, 28


def checkerboard() -> torch.Tensor:
    """1 where row + column is odd, `[1, 1, 28, 28]`."""
    index = torch.arange(SIDE)
    return ((index[:, None] + index) % 2).float()[None, None]


def first_channels(count: int) -> torch.Tensor:
    """1 for the first half of the channels, `[1, count, 1, 1]`."""
    return (torch.arange(count) < count // 2).float()[None, :, None, None]


def two_sided(x: torch.Tensor) -> torch.Tensor:
    """`concat(elu(x), elu(-x))` over the channels."""
    return nnf.elu(torch.cat((x, -x), dim=1))


class GatedBlock(nn.Module):
    """A gated residual block and its layer norm over the channels."""

    def __init__(self, width: int):
        super().__init__()
        self.spread = nn.Conv2d(2 * width, width, 3, padding=1)
        self.gate = nn.Conv2d(2 * width, 2 * width, 1)
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Adds `value * sigmoid(gate)`, then normalises."""
        value, gate = self.gate(two_sided(self.spread(two_sided(x)))).chunk(2, dim=1)
        x = x + value * gate.sigmoid()
        # In channels-last memory the permuted view is contiguous: no copy.
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Coupling(nn.Module):
    """An affine coupling with a gated convolutional conditioner."""

    def __init__(self, mask: torch.Tensor, channels: int, width: int, seen: int | None = None):
        super().__init__()
        self.register_buffer("mask", mask)
        self.log_bound = nn.Parameter(torch.zeros(1, channels, 1, 1))
        end = nn.Conv2d(2 * width, 2 * channels, 3, padding=1)
        nn.init.zeros_(end.weight)
        nn.init.zeros_(end.bias)
        self.start = nn.Conv2d(seen or channels, width, 3, padding=1)
        self.blocks = nn.Sequential(*(GatedBlock(width) for _ in range(3)))
        self.end = end

    def scale_and_shift(self, x, condition):
        """Log-scale and shift, zero where the mask lets elements pass."""
        seen = x * self.mask
        if condition is not None:
            seen = torch.cat((seen, condition), dim=1)
        raw, shift = self.end(two_sided(self.blocks(self.start(seen)))).float().chunk(2, dim=1)
        bound, free = self.log_bound.exp(), 1 - self.mask
        return torch.tanh(raw / bound) * (bound * free), shift * free

    def forward(self, x, condition=None):
        """To the latent side, with the log-determinant."""
        scale, shift = self.scale_and_shift(x, condition)
        return (x + shift) * scale.exp(), scale.sum((1, 2, 3))

    def inverse(self, z):
        """To the data side."""
        scale, shift = self.scale_and_shift(z, None)
        return z * torch.exp(-scale) - shift


def logit(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The logit of `alpha / 2 + (1 - alpha) p`, with its log-determinant."""
    log_s = torch.log(p * (1 - ALPHA) + ALPHA / 2)
    log_rest = torch.log((1 - p) * (1 - ALPHA) + ALPHA / 2)
    slope = math.log1p(-ALPHA) - log_s - log_rest
    return log_s - log_rest, slope.sum((1, 2, 3))


def log_normal(z: torch.Tensor) -> torch.Tensor:
    """The log-density of a standard normal."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum((1, 2, 3))


def run(mask: torch.Tensor, count: int, channels: int, width: int, seen: int | None = None):
    """Couplings whose mask is inverted every second time."""
    return nn.ModuleList(
        Coupling(1 - mask if i % 2 else mask, channels, width, seen) for i in range(count)
    )


class Multiscale(nn.Module):
    """Variational dequantization and three scales."""

    def __init__(self):
        super().__init__()
        self.noise = run(checkerboard(), 4, 1, 16, seen=2)
        self.fine = run(checkerboard(), 2, 1, 32)
        self.middle = run(first_channels(4), 2, 4, 48)
        self.coarse = run(first_channels(8), 4, 8, 64)

    def log_prob(self, images: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of images `[N, 1, 28, 28]` of integers, in nats."""
        u, total = logit(torch.rand_like(images))
        for coupling in self.noise:
            u, log_det = coupling(u, images * (2 / (LEVELS - 1)) - 1)
            total = total + log_det
        total = total + (nnf.logsigmoid(u) + nnf.logsigmoid(-u)).sum((1, 2, 3))
        z, log_det = logit((images + u.sigmoid()) / LEVELS)
        total = total + log_det - SIDE * SIDE * math.log(LEVELS)
        for coupling in self.fine:
            z, log_det = coupling(z)
            total = total + log_det
        z = nnf.pixel_unshuffle(z, 2)
        for coupling in self.middle:
            z, log_det = coupling(z)
            total = total + log_det
        z, leaving = z.chunk(2, dim=1)
        z = nnf.pixel_unshuffle(z, 2)
        for coupling in self.coarse:
            z, log_det = coupling(z)
            total = total + log_det
        return total + log_normal(leaving) + log_normal(z)

    def sample(self, count: int) -> torch.Tensor:
        """Draws images, uint8."""
        z = torch.randn(count, 8, 7, 7).contiguous(memory_format=torch.channels_last)
        for coupling in reversed(self.coarse):
            z = coupling.inverse(z)
        z = nnf.pixel_shuffle(z, 2)
        z = torch.cat((z, torch.randn_like(z)), dim=1)
        for coupling in reversed(self.middle):
            z = coupling.inverse(z)
        z = nnf.pixel_shuffle(z, 2)
        for coupling in reversed(self.fine):
            z = coupling.inverse(z)
        p = (z.sigmoid() - ALPHA / 2) / (1 - ALPHA)
        return (p * LEVELS).floor().clamp(0, LEVELS - 1).to(torch.uint8)


def main() -> None:
    """Times one task."""
    parser = timing.parser(__doc__, batch=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    flow = Multiscale().to(memory_format=torch.channels_last)
    count = sum(p.numel() for p in flow.parameters())
    assert count == PARAMETERS, count
    built = timing.resident_mb()
    optimizer = torch.optim.Adam(flow.parameters(), 1e-3, fused=True)

    def cast():
        return torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bfloat16")

    def loss(batch):
        # With one channel both layouts are the same memory.
        images = torch.from_numpy(batch).permute(0, 3, 1, 2).float()
        images = images.contiguous(memory_format=torch.channels_last)
        with cast():
            return -flow.log_prob(images).mean() / (SIDE * SIDE * math.log(2))

    def train(batch):
        optimizer.zero_grad(set_to_none=True)
        value = loss(batch)
        value.backward()
        nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
        optimizer.step()
        return value.item()

    @torch.inference_mode()
    def log_prob(batch):
        return loss(batch).item()

    @torch.inference_mode()
    def sample(_):
        with cast():
            return flow.sample(args.batch)

    call = {"train": train, "logprob": log_prob, "sample": sample}[args.what]
    seconds = timing.timed(call, timing.image_batches(args.batch), args)
    timing.report(
        seconds,
        args,
        parameters=count,
        torch=torch.__version__,
        threads=args.threads,
        precision=args.precision,
        memory_mb=timing.peak_mb() - built,
    )


if __name__ == "__main__":
    main()
