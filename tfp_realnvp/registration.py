"""What Keras finds of this package by name: `keras.saving.load_model` works after its import alone.

Importing the package imports neither Keras nor TensorFlow. Once Keras is there, it gets a stand-in
for each class, which imports the class when a saved one is made again; the classes themselves
take their places when they are imported.
"""

from __future__ import annotations

import importlib
import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = "tfp_realnvp"
CLASSES = {
    "training.model": ("FlowModel",),
    "training.schedules": ("FlooredDecay",),
    "kernels.adam": ("Adam",),
    "kernels.muon": ("Muon",),
    "conditioners": (
        "CausalTransformer",
        "GatedAttention",
        "GatedConv",
        "GatedFeatures",
        "GlowConv",
        "DeepSet",
        "LipschitzConv",
        "LipschitzMLP",
        "MADE",
        "MLP",
        "ResNet",
        "Velocity",
        "ViT",
    ),
    "bijectors": (
        "ActNorm",
        "Additive",
        "Affine",
        "Alternating",
        "Autoregressive",
        "AutoregressivePixels",
        "BatchNorm",
        "Blockwise",
        "ChannelHalves",
        "Channels",
        "Checkerboard",
        "CheckerboardHalves",
        "ColumnHalves",
        "Composition",
        "Conditional",
        "Coupling",
        "Dequantization",
        "Encoded",
        "FactorOut",
        "Flatten",
        "Foreign",
        "Halves",
        "Invert",
        "InvertibleConv",
        "Logit",
        "MeanScale",
        "MixtureLogistic",
        "NeuralODE",
        "Permutation",
        "Planar",
        "PointHalves",
        "Radial",
        "RationalQuadraticSpline",
        "Rescale",
        "RowHalves",
        "ShuffledChannelHalves",
        "SigmoidAffine",
        "SoftplusAffine",
        "Residual",
        "Scale",
        "Squeeze",
        "Squeezed",
        "Standardize",
        "TanhAffine",
        "Unsqueeze",
        "VariationalDequantization",
    ),
}


def register_with_keras() -> None:
    """Gives Keras the stand-ins, now or as soon as it is imported."""
    if "keras" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _AfterKeras())


def _register() -> None:
    import keras

    found = keras.saving.get_custom_objects()
    for module, names in CLASSES.items():
        for name in names:
            found.setdefault(f"{PACKAGE}>{name}", _stand_in(f"{PACKAGE}.{module}", name))


def _stand_in(module: str, name: str) -> type:
    def from_config(config: dict[str, Any]) -> Any:
        return getattr(importlib.import_module(module), name).from_config(config)

    methods = {
        "from_config": staticmethod(from_config),
        "get_config": lambda self: {},
        "__module__": module,
        "__doc__": f"Stands in for {module}.{name} until that is imported.",
    }
    return type(name, (), methods)


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Finds Keras where others do, and registers the stand-ins once it is imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "keras":
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                _register()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
