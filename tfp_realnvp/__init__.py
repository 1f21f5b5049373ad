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
    "Adam": "kernels.adam",
    "Archive": "codec.codec",
    "Codec": "codec.codec",
    "Compiled": "serving.compiled",
    "Context": "core.context",
    "Flow": "flow",
    "FlowModel": "training.model",
    "Lite": "serving.lite",
    "Muon": "kernels.muon",
    "anomaly_scores": "uses.anomaly",
    "attribute_direction": "uses.attributes",
    "auroc": "uses.anomaly",
    "bits_by_pixel": "codec.costs",
    "bits_per_dim": "uses.likelihood",
    "class_log_probs": "uses.classes",
    "class_posterior": "uses.classes",
    "compress": "codec.codec",
    "decode": "uses.latents",
    "decompress": "codec.codec",
    "dequantization_density": "uses.dequantization_noise",
    "dequantization_noise": "uses.dequantization_noise",
    "diagnose": "uses.diagnosis",
    "encode": "uses.latents",
    "export": "serving.saved_model",
    "fit_posterior": "uses.inference",
    "given": "uses.given",
    "hmc": "uses.inference",
    "importance_curve": "uses.likelihood",
    "interpolate": "uses.latents",
    "join_scales": "uses.latents",
    "load": "training.saving",
    "move": "uses.attributes",
    "noise_histogram": "uses.dequantization_noise",
    "pretrained": "zoo.pretrained",
    "pretrained_names": "zoo.files",
    "resample_scales": "uses.latents",
    "reestimate_statistics": "uses.statistics",
    "sample": "uses.latents",
    "save": "training.saving",
    "split_scales": "uses.latents",
    "start_from": "uses.start",
    "summary": "uses.summary",
    "use_shards": "execution.device",
}
_MODULES = {
    "baselines": "uses.baselines",
    "bijectors": "bijectors",
    "callbacks": "training.callbacks",
    "conditioners": "conditioners",
    "datasets": "datasets",
    "figures": "plots.figures",
    "flows": "flows",
    "pictures": "plots.pictures",
    "runs": "training.runs",
    "sbi": "training.sbi",
}

# ruff: noqa: F401 - for type checkers and editors, which do not look into `__getattr__`.
if TYPE_CHECKING:
    from tfp_realnvp import bijectors, conditioners, datasets, flows
    from tfp_realnvp.codec.codec import Archive, Codec, compress, decompress
    from tfp_realnvp.codec.costs import bits_by_pixel
    from tfp_realnvp.core.context import Context
    from tfp_realnvp.execution.device import use_shards
    from tfp_realnvp.flow import Flow
    from tfp_realnvp.kernels.adam import Adam
    from tfp_realnvp.kernels.muon import Muon
    from tfp_realnvp.plots import figures, pictures
    from tfp_realnvp.serving.compiled import Compiled
    from tfp_realnvp.serving.lite import Lite
    from tfp_realnvp.serving.saved_model import export
    from tfp_realnvp.training import callbacks, runs, sbi
    from tfp_realnvp.training.model import FlowModel
    from tfp_realnvp.training.saving import load, save
    from tfp_realnvp.uses import baselines
    from tfp_realnvp.uses.anomaly import anomaly_scores, auroc
    from tfp_realnvp.uses.attributes import attribute_direction, move
    from tfp_realnvp.uses.classes import class_log_probs, class_posterior
    from tfp_realnvp.uses.dequantization_noise import (
        dequantization_density,
        dequantization_noise,
        noise_histogram,
    )
    from tfp_realnvp.uses.diagnosis import diagnose
    from tfp_realnvp.uses.given import given
    from tfp_realnvp.uses.inference import fit_posterior, hmc
    from tfp_realnvp.uses.latents import (
        decode,
        encode,
        interpolate,
        join_scales,
        resample_scales,
        sample,
        split_scales,
    )
    from tfp_realnvp.uses.likelihood import bits_per_dim, importance_curve
    from tfp_realnvp.uses.start import start_from
    from tfp_realnvp.uses.statistics import reestimate_statistics
    from tfp_realnvp.uses.summary import summary
    from tfp_realnvp.zoo.files import pretrained_names
    from tfp_realnvp.zoo.pretrained import pretrained

__all__ = sorted([*_PUBLIC, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{_MODULES[name]}")
    if name in _PUBLIC:
        # No module may share the name of what it defines: importing it would bind the module here.
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
