"""Trains the image flows of nflows and normflows for some minutes, and evaluates them.

    python -m benchmarks.peers.image_likelihood --lib nflows --minutes 40 --data_dir DIR

Needs torch and the library, and the idx.gz files of MNIST. The flows and the recipes are those with
which the libraries' authors publish images, of one channel: the networks, preprocessing, optimizer,
rate and its schedule, here by the clock. Both have three scales of 32x32 pixels, so that images of
28x28 get two rows of black pixels around; these are in the likelihood and not in the dimensions.

* nflows: rational-quadratic coupling layers as in `experiments/images.py` of bayesiains/nsf
  (arXiv:1906.04032); `--network convnet` is its default for images of one channel, `resnet` what
  its paper has for CIFAR-10.
* normflows: Glow as in the library's `examples/glow.ipynb`, not conditional on classes.

It prints a line of JSON.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

TRAIN, SIDE, PADDED, LEVELS = 50_000, 28, 32, 256
SCALES = 3
# By library: images of a batch, and the rate at the beginning.
RECIPES = {"nflows": (256, 5e-4), "normflows": (128, 1e-3)}

LogProb = Callable[[torch.Tensor], torch.Tensor]


def read(folder: Path, name: str) -> torch.Tensor:
    """Returns the images of an idx.gz file, padded, `[N, 1, 32, 32]` uint8."""
    with gzip.open(folder / f"{name}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, SIDE, SIDE)
    margin = (PADDED - SIDE) // 2
    return torch.from_numpy(np.pad(images, [(0, 0), (0, 0), (margin, margin), (margin, margin)]))


def nflows(network: str) -> tuple[nn.Module, LogProb, Any]:
    """Returns the module, the log-density of values in `[0, 256)`, and its optimizer."""
    from nflows import flows, transforms
    from nflows.distributions.normal import StandardNormal
    from nflows.nn.nets.resnet import ConvResidualNet
    from nflows.utils.torchutils import create_mid_split_binary_mask

    class ConvNet(nn.Sequential):
        """The network of the paper's code."""

        hidden_channels = 256  # by which couplings scale down what is for the softmax

        def forward(self, inputs, context=None):
            return super().forward(inputs)

    def convnet(inputs, outputs):
        width = ConvNet.hidden_channels
        return ConvNet(
            nn.Conv2d(inputs, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, outputs, 3, padding=1),
        )

    def resnet(inputs, outputs):
        return ConvResidualNet(
            inputs,
            outputs,
            hidden_channels=96,
            num_blocks=3,
            use_batch_norm=True,
            dropout_probability=0.2,
        )

    made, steps, bound = {"convnet": (convnet, 10, 1.0), "resnet": (resnet, 7, 3.0)}[network]

    def step(channels):
        return [
            transforms.ActNorm(channels),
            transforms.OneByOneConvolution(channels),
            transforms.PiecewiseRationalQuadraticCouplingTransform(
                create_mid_split_binary_mask(channels),
                made,
                tails="linear",
                tail_bound=bound,
                num_bins=4,
            ),
        ]

    scales = transforms.MultiscaleCompositeTransform(SCALES)
    shape = (1, PADDED, PADDED)
    for _ in range(SCALES):
        squeeze = transforms.SqueezeTransform()
        shape = squeeze.get_output_shape(*shape)
        members = [member for _ in range(steps) for member in step(shape[0])]
        last = transforms.OneByOneConvolution(shape[0])
        shape = scales.add_transform(
            transforms.CompositeTransform([squeeze, *members, last]), shape
        )
    to_unit = transforms.PointwiseAffineTransform(shift=-0.5, scale=1 / LEVELS)
    flow = flows.Flow(
        transforms.CompositeTransform([to_unit, scales]), StandardNormal([PADDED * PADDED])
    )
    return flow, flow.log_prob, torch.optim.Adam(flow.parameters(), RECIPES["nflows"][1])


def normflows(network: str) -> tuple[nn.Module, LogProb, Any]:
    """Returns the module, the log-density of values in `[0, 256)`, and its optimizer."""
    import normflows as nf

    del network
    bases, levels, merges = [], [], []
    for i in range(SCALES):
        blocks = [
            nf.flows.GlowBlock(2 ** (SCALES + 1 - i), 256, split_mode="channel", scale=True)
            for _ in range(16)
        ]
        levels.append([*blocks, nf.flows.Squeeze()])
        if i:
            merges.append(nf.flows.Merge())
        side = PADDED // 2 ** (SCALES - i)
        channels = 2 ** (SCALES - i) if i else 2 ** (SCALES + 1)
        bases.append(nf.distributions.DiagGaussian((channels, side, side)))
    flow = nf.MultiscaleFlow(bases, levels, merges, class_cond=False)
    change = PADDED * PADDED * math.log(LEVELS)

    def log_prob(values):
        return flow.log_prob(values / LEVELS, None) - change

    rate = RECIPES["normflows"][1]
    return flow, log_prob, torch.optim.Adamax(flow.parameters(), rate, weight_decay=1e-5)


def train(
    flow: nn.Module, log_prob: LogProb, optimizer: Any, images: torch.Tensor, args: Any
) -> dict:
    """Trains for the minutes that are asked for; returns facts for the report."""
    order: list[int] = []
    rate = optimizer.param_groups[0]["lr"]
    start, seen = time.perf_counter(), 0
    recent: list[float] = []
    curve: list[dict[str, float]] = []
    flow.train()
    while (share := (time.perf_counter() - start) / (60 * args.minutes)) < 1:
        if len(order) < args.batch:
            order = torch.randperm(len(images)).tolist()
        rows, order = order[: args.batch], order[args.batch :]
        if args.lib == "nflows":  # the other one keeps its rate
            optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * share)) / 2
        optimizer.zero_grad()
        loss = -log_prob(noisy(images[rows])).mean()
        if torch.isfinite(loss):
            loss.backward()
            optimizer.step()
        seen += len(rows)
        recent.append(loss.item() / (SIDE * SIDE * math.log(2)))
        if share * args.minutes >= len(curve) + 1:
            curve.append({"images": seen, "bits_per_dim": float(np.mean(recent))})
            print(f"{len(curve)} min  {seen} images  {curve[-1]['bits_per_dim']:.3f}", flush=True)
            recent = []
    return {"images_seen": seen, "seconds": time.perf_counter() - start, "curve": curve}


@torch.no_grad()
def bits(flow: nn.Module, log_prob: LogProb, images: torch.Tensor, samples: int) -> np.ndarray:
    """Returns bits per dimension of images, by importance samples of uniform noise."""
    flow.eval()
    parts = []
    for batch in images.split(100):
        draws = torch.stack([log_prob(noisy(batch)) for _ in range(samples)])
        parts.append(torch.logsumexp(draws, 0) - math.log(samples))
    return -torch.cat(parts).double().numpy() / (SIDE * SIDE * math.log(2))


def noisy(images: torch.Tensor) -> torch.Tensor:
    """Returns images with uniform noise, in `[0, 256)`."""
    return images + torch.rand(images.shape)


def main() -> None:
    """Trains and evaluates one flow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--lib", choices=RECIPES, required=True)
    add("--network", choices=["convnet", "resnet"], default="convnet", help="of nflows")
    add("--minutes", type=float, default=40.0)
    add("--batch", type=int, help="images; the library's own number by default")
    add("--threads", type=int, default=2)
    add("--data_dir", type=Path, required=True, help="folder with the idx.gz files")
    add("--examples", type=int, default=1000, help="test images, the first ones")
    add("--samples", type=int, default=8, help="importance samples of the noise")
    args = parser.parse_args()
    args.batch = args.batch or RECIPES[args.lib][0]
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    makers = {"nflows": nflows, "normflows": normflows}
    flow, log_prob, optimizer = makers[args.lib](args.network)
    images = read(args.data_dir, "train")[:TRAIN]
    facts = train(flow, log_prob, optimizer, images, args)
    test = read(args.data_dir, "t10k")[: args.examples]
    report: dict[str, Any] = {
        "library": args.lib,
        "version": version(args.lib),
        "torch": torch.__version__,
        "network": args.network if args.lib == "nflows" else "glow",
        "batch": args.batch,
        "parameters": sum(p.numel() for p in flow.parameters() if p.requires_grad),
        "examples": len(test),
    }
    for samples in (1, args.samples):
        each = bits(flow, log_prob, test, samples)
        error = each.std(ddof=1) / math.sqrt(len(each))
        report[f"bits_per_dim_{samples}"] = round(float(each.mean()), 4)
        report[f"bits_per_dim_{samples}_standard_error"] = round(float(error), 4)
    print(json.dumps({**report, **facts}))


if __name__ == "__main__":
    main()
