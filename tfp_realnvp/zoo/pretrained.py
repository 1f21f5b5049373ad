"""Flows with weights to take home."""

from __future__ import annotations

import keras

from tfp_realnvp.flow import Flow
from tfp_realnvp.training.saving import load
from tfp_realnvp.zoo.files import folder_of


def pretrained(name: str) -> Flow:
    """Loads a trained flow that comes with the package, without a network.

    What it is, what it was trained on and how well it does stand on its card,
    `tfp_realnvp/zoo/NAME/README.md`.

    Args:
        name: one of `pretrained_names()`; or `hf://USER/MODEL`, a flow on the Hugging Face Hub,
            which is loaded as by `nvp.load`.

    Returns:
        The flow.

    Raises:
        ValueError: an unknown name, or files that are not those that came with the package.

    Example:
        >>> import tfp_realnvp as nvp
        >>> dist = nvp.pretrained("mnist")
        >>> nvp.sample(dist, 4, seed=0).shape
        (4, 28, 28, 1)
    """
    if name.startswith("hf://"):
        return load(name)
    # What a file asks for needs no bound where the file is known.
    return keras.saving.load_model(folder_of(name), compile=False).dist
