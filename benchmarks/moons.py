"""Held-out nats of every vector flow on 2-D moons, beside other libraries, at equal budgets.

All see the same training points in the same batches: batch 256, Adam at 1e-3, as many steps.
Libraries: zuko's and nflows' RealNVP (8 affine couplings, MLPs of 2x128), and a Gaussian of full
covariance. A library that is not installed is left out by name; `--peer_python` runs them in
another interpreter.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

TRAIN, TEST, BATCH, RATE, WIDTH, LAYERS = 10_000, 5_000, 256, 1e-3, 128, 8
PEERS = ("zuko", "nflows")


def two_moons(count: int, rng: np.random.Generator) -> np.ndarray:
    """Two half circles of radius 1 with noise of 0.05, each coordinate scaled to deviation 1."""
    upper = rng.random(count) < 0.5
    angle = np.pi * rng.random(count)
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    points = np.stack([x, y], axis=1) + 0.05 * rng.standard_normal([count, 2])
    # The exact moments, not the sample's: one unit for all seeds and splits.
    return ((points - [0.5, 0.25]) / [0.868, 0.497]).astype(np.float32)


def data(seed: int, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns training points, test points, and the row numbers of each step's batch."""
    rng = np.random.default_rng([seed, 1])
    train, test = two_moons(TRAIN, rng), two_moons(TEST, rng)
    per_epoch = TRAIN // BATCH
    epochs = -(-steps // per_epoch)
    order = [rng.permutation(TRAIN)[: per_epoch * BATCH] for _ in range(epochs)]
    return train, test, np.concatenate(order).reshape(-1, BATCH)[:steps]


def gaussian(seed: int, steps: int) -> dict:
    """Fits a full-covariance Gaussian to the training points."""
    train, test, _ = data(seed, steps)
    mean, covariance = train.mean(0), np.cov(train.T)
    away = test - mean
    square = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
    nats = 0.5 * (square + np.linalg.slogdet(2 * np.pi * covariance)[1]).mean()
    return {"nats": float(nats), "parameters": 5, "seconds": 0.0}


def ours(name: str, seed: int, steps: int) -> dict:
    """Trains one of our flows with `fit`."""
    import tfp_realnvp as nvp
    from tfp_realnvp.uses import likelihood

    train, test, batches = data(seed, steps)
    dist = nvp.flows.build(name, (2,), seed=seed)
    model = nvp.FlowModel(dist, seed=seed)
    dist.initialize(train)
    model.compile(nvp.Adam(RATE))
    start = time.perf_counter()
    model.fit(train[batches.reshape(-1)], batch_size=BATCH, shuffle=False, verbose=0)
    seconds = time.perf_counter() - start
    nats = -float(likelihood.log_prob(dist, test, rows_at_once=TEST).mean())
    parameters = sum(int(np.prod(v.shape)) for v in dist.trainable_variables)
    return {"nats": nats, "parameters": parameters, "seconds": seconds}


def peer(name: str, seed: int, steps: int) -> dict:
    """Trains another library's RealNVP."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    train, test, batches = data(seed, steps)
    parameters, log_prob = _zuko() if name == "zuko" else _nflows()
    optimizer = torch.optim.Adam(parameters, lr=RATE)
    points = torch.from_numpy(train)
    start = time.perf_counter()
    for rows in batches:
        optimizer.zero_grad()
        loss = -log_prob(points[torch.from_numpy(rows)]).mean()
        loss.backward()
        optimizer.step()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        nats = -float(log_prob(torch.from_numpy(test)).mean())
    return {"nats": nats, "parameters": sum(p.numel() for p in parameters), "seconds": seconds}


def _zuko():
    import zuko

    flow = zuko.flows.RealNVP(2, transforms=LAYERS, hidden_features=(WIDTH, WIDTH))
    return list(flow.parameters()), lambda x: flow().log_prob(x)


def _nflows():
    import torch
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.nn.nets.mlp import MLP
    from nflows.transforms.base import CompositeTransform
    from nflows.transforms.coupling import AffineCouplingTransform

    class Net(MLP):  # its coupling passes a context, which its own MLP does not take
        def forward(self, x, context=None):
            return super().forward(x)

    def net(inputs, outputs):
        return Net([inputs], [outputs], hidden_sizes=[WIDTH, WIDTH])

    couplings = [
        AffineCouplingTransform(
            mask=(torch.arange(2) % 2 == i % 2).int(), transform_net_create_fn=net
        )
        for i in range(LAYERS)
    ]
    flow = Flow(CompositeTransform(couplings), StandardNormal([2]))
    return list(flow.parameters()), flow.log_prob


def vector_flows() -> list[str]:
    """Returns the named flows that take events of shape (2,)."""
    import tfp_realnvp as nvp

    found = []
    for name in nvp.flows.names():
        try:
            nvp.flows.build(name, (2,))
        except ValueError:
            continue
        found.append(name)
    return found


def main() -> None:
    """Runs everything and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--flows", nargs="*", help="our flows; all that take (2,) by default")
    parser.add_argument("--peer_python", default=sys.executable, help="interpreter of the peers")
    parser.add_argument("--out", default="moons.json", help="JSON file of the results")
    parser.add_argument("--one_peer", nargs=2, metavar=("NAME", "SEED"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one_peer:
        name, seed = args.one_peer
        print(json.dumps(peer(name, int(seed), args.steps)))
        return
    results: dict[str, list[dict]] = {}

    def keep(name: str, result: dict) -> None:
        results.setdefault(name, []).append(result)
        Path(args.out).write_text(json.dumps({"steps": args.steps, "runs": results}, indent=2))
        print(f"{name:12s} seed {len(results[name]) - 1}  {result['nats']:.4f}", flush=True)

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    names = args.flows or vector_flows()
    for seed in range(args.seeds):
        keep("gaussian", gaussian(seed, args.steps))
        for name in PEERS:
            command = [args.peer_python, __file__, "--one_peer", name, str(seed)]
            command += ["--steps", str(args.steps)]
            run = subprocess.run(command, capture_output=True, text=True)
            if run.returncode:
                print(f"{name} left out: {run.stderr.strip().splitlines()[-1]}", flush=True)
            else:
                keep(name, json.loads(run.stdout))
        for name in names:
            keep(name, ours(name, seed, args.steps))
    table(results)


def table(results: dict[str, list[dict]]) -> None:
    """Prints mean held-out nats with standard errors over the seeds, best first."""
    print(f"\n{'flow':12s} {'nats':>8s} {'s.e.':>7s} {'parameters':>11s} {'seconds':>8s}")
    means = {name: np.mean([r["nats"] for r in runs]) for name, runs in results.items()}
    for name in sorted(results, key=lambda n: float(means[n])):
        runs = results[name]
        nats = [r["nats"] for r in runs]
        error = np.std(nats, ddof=1) / np.sqrt(len(nats)) if len(nats) > 1 else float("nan")
        seconds = np.mean([r["seconds"] for r in runs])
        print(
            f"{name:12s} {np.mean(nats):8.4f} {error:7.4f} {runs[0]['parameters']:11,d} "
            f"{seconds:8.1f}"
        )


if __name__ == "__main__":
    main()
