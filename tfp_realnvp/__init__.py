"""RealNVP-family normalizing flows for TensorFlow, built from TensorFlow Probability bijectors.

>>> import tfp_realnvp as nvp
>>> dist = nvp.flows.build("uva_multiscale", (28, 28, 1), seed=0)
>>> dist.sample(2, seed=(1, 2)).shape
TensorShape([2, 28, 28, 1])
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from tfp_realnvp.registration import register_with_keras

# TensorFlow turns oneDNN's kernels on by itself only where the CPU has AVX512-VNNI or newer, yet
# its float32 convolutions are 1.4 to 2 times as fast on AVX2 as well. TensorFlow reads this once,
# when it is imported: it takes effect where this package is imported first. 0 turns them off.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"

register_with_keras()

# Public name -> module that defines it; resolved on first use, so that importing the package
# costs next to nothing.
_PUBLIC = {
    "Adam": "optimizers",
    "Compiled": "compiled",
    "Context": "context",
    "Flow": "distribution",
    "FlowModel": "model",
    "Lite": "lite",
    "anomaly_scores": "anomaly",
    "attribute_direction": "attributes",
    "auroc": "anomaly",
    "bits_per_dim": "likelihood",
    "class_log_probs": "conditional",
    "class_posterior": "conditional",
    "decode": "latents",
    "dequantization_density": "noise",
    "dequantization_noise": "noise",
    "encode": "latents",
    "export": "saved_model",
    "fit_posterior": "inference",
    "given": "conditional",
    "hmc": "inference",
    "importance_curve": "likelihood",
    "interpolate": "latents",
    "join_scales": "latents",
    "load": "saving",
    "move": "attributes",
    "noise_histogram": "noise",
    "resample_scales": "latents",
    "reestimate_statistics": "statistics",
    "sample": "latents",
    "save": "saving",
    "split_scales": "latents",
    "summary": "architecture",
    "use_shards": "sharding",
}
_MODULES = (
    "baselines",
    "bijectors",
    "callbacks",
    "conditioners",
    "datasets",
    "figures",
    "flows",
    "pictures",
    "runs",
)

if TYPE_CHECKING:
    from tfp_realnvp import (
        baselines,
        bijectors,
        callbacks,
        conditioners,
        datasets,
        figures,
        flows,
        pictures,
        runs,
    )
    from tfp_realnvp.anomaly import anomaly_scores, auroc
    from tfp_realnvp.architecture import summary
    from tfp_realnvp.attributes import attribute_direction, move
    from tfp_realnvp.compiled import Compiled
    from tfp_realnvp.conditional import class_log_probs, class_posterior, given
    from tfp_realnvp.context import Context
    from tfp_realnvp.distribution import Flow
    from tfp_realnvp.inference import fit_posterior, hmc
    from tfp_realnvp.latents import (
        decode,
        encode,
        interpolate,
        join_scales,
        resample_scales,
        sample,
        split_scales,
    )
    from tfp_realnvp.likelihood import bits_per_dim, importance_curve
    from tfp_realnvp.lite import Lite
    from tfp_realnvp.model import FlowModel
    from tfp_realnvp.noise import dequantization_density, dequantization_noise, noise_histogram
    from tfp_realnvp.optimizers import Adam
    from tfp_realnvp.saved_model import export
    from tfp_realnvp.saving import load, save
    from tfp_realnvp.sharding import use_shards
    from tfp_realnvp.statistics import reestimate_statistics

__all__ = [
    "Adam",
    "Compiled",
    "Context",
    "Flow",
    "FlowModel",
    "Lite",
    "anomaly_scores",
    "attribute_direction",
    "auroc",
    "baselines",
    "bijectors",
    "bits_per_dim",
    "callbacks",
    "class_log_probs",
    "class_posterior",
    "conditioners",
    "datasets",
    "decode",
    "dequantization_density",
    "dequantization_noise",
    "encode",
    "export",
    "figures",
    "fit_posterior",
    "flows",
    "given",
    "hmc",
    "importance_curve",
    "interpolate",
    "join_scales",
    "load",
    "move",
    "noise_histogram",
    "pictures",
    "reestimate_statistics",
    "resample_scales",
    "runs",
    "sample",
    "save",
    "split_scales",
    "summary",
    "use_shards",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _PUBLIC:
        # No module may share the name of what it defines: importing it would bind the module here.
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
