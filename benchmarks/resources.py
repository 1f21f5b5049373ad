"""The groups of rows about memory, start-up and what the faster precision costs."""

from __future__ import annotations

from benchmarks.groups import Bench, mode_of_training
from benchmarks.table import Row

# Couplings of `uva_simple` between which memory grows.
FEW, MANY = 2, 5


def memory(bench: Bench) -> list[Row]:
    """Peak memory of a training step over the resident size after building, and its growth."""
    rows = []
    # The options of the group `train`: what ran there is not run again.
    options = bench.options("train", 128, 5, warmup=1)
    peers = bench.others(bench.image, *options)
    used = {name: each["memory_mb"] for name, each in peers.items() if "memory_mb" in (each or ())}
    best = min(used, key=used.__getitem__, default=None)
    plain = ["--precision", "float32"]
    modes = {
        "float32": plain,
        "the mode of training": mode_of_training(128),
        "float32, recompute": [*plain, "--recompute"],
    }
    for name, extra in modes.items():
        report = bench.ours("ours_image", *options, *extra)
        if report:
            mine = report["memory_mb"]
            rows.append(
                Row(
                    f"memory of a training step, batch 128, {name}",
                    f"{mine:.0f} MB",
                    None if best is None else f"{best}: {used[best]:.0f} MB",
                    None if best is None else mine / used[best],
                    1.0,
                    at_least=False,
                )
            )
    growth = {}
    options = bench.options("train", 128, 2, warmup=1)
    for name, extra in (("plain", []), ("recompute", ["--recompute"])):
        few, many = (
            bench.ours("ours_image", *options, "--couplings", str(count), *extra)
            for count in (FEW, MANY)
        )
        if few and many:
            growth[name] = (many["memory_mb"] - few["memory_mb"]) / (MANY - FEW)
    if len(growth) == 2:
        rows.append(
            Row(
                "memory per extra coupling, recompute",
                f"{growth['recompute']:.0f} MB",
                f"plain: {growth['plain']:.0f} MB",
                growth["recompute"] / growth["plain"],
                0.1,
                at_least=False,
            )
        )
    return rows


def startup(bench: Bench) -> list[Row]:
    """Import time beyond the libraries' own, and a picture of samples from a cold start."""
    report = bench.ours("startup", "--repeats", "1" if bench.short else "3")
    if not report:
        return []
    allowed = 1.15 * report["libraries_s"] + 2 + report["sampling_s"]
    return [
        Row(
            "import beyond TensorFlow's and TFP's, s",
            f"{report['import_and_modules_s']:.2f} s with all modules",
            f"TensorFlow and TFP: {report['libraries_s']:.1f} s",
            report["import_and_modules_s"],
            0.3,
            at_least=False,
        ),
        Row(
            "scripts/sample.py from a cold start, s",
            f"{report['sample_cold_s']:.1f} s",
            f"1.15 x {report['libraries_s']:.1f} s + 2 s + sampling {report['sampling_s']:.1f} s",
            report["sample_cold_s"],
            round(allowed, 1),
            at_least=False,
        ),
        Row(
            "64 samples of nvp.pretrained, from a cold start to the picture, s",
            f"{report['pretrained_cold_s']:.1f} s",
            f"TensorFlow and TFP: {report['libraries_s']:.1f} s",
            report["pretrained_cold_s"],
            10,
            at_least=False,
        ),
    ]


def precision(bench: Bench) -> list[Row]:
    """What conditioners in bfloat16 change in the likelihood of fixed weights."""
    report = bench.ours("precision", "--steps", "3" if bench.short else "100")
    if not report:
        return []
    return [
        Row(
            "bfloat16 conditioners, log_prob of fixed weights, bits/dim",
            f"{report['bfloat16']:.5f}",
            f"float32: {report['float32']:.5f}",
            abs(report["bfloat16"] - report["float32"]),
            1e-3,
            at_least=False,
        )
    ]
