"""What jet-pytorch computes, stored in `golden/jet_8x8.npz`.

    pip install jet-pytorch==0.0.2
    python tests/jet_reference.py

It is a port of the paper's code, with the exact GELU and another epsilon in the layer norms: these
two are set back to the paper's, and the random permutations to ours. Weights, which are drawn here,
are float32 on disk; all is computed in float64.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "jet_8x8.npz"
SHAPE = (8, 8, 3)
# Every second coupling is of tokens: all six patterns.
OPTIONS = {"couplings": 12, "depth": 2, "width": 4, "heads": 2, "patch": 2, "spatial": 2}


def main() -> None:
    """Writes the file."""
    import torch
    from jet_pytorch import Jet

    torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(0)
    patch, count = OPTIONS["patch"], OPTIONS["couplings"]
    channels = SHAPE[2] * patch**2
    jet = Jet(
        patch_size=patch,
        patch_dim=channels,
        n_patches=SHAPE[0] * SHAPE[1] // patch**2,
        img_dims=SHAPE[:2],
        coupling_layers=count,
        block_depth=OPTIONS["depth"],
        block_width=OPTIONS["width"],
        num_heads=OPTIONS["heads"],
        coupling_types=("channels", "spatial"),
    ).double()
    for module in jet.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6
        if isinstance(module, torch.nn.GELU):
            module.approximate = "tanh"
    permutations = [np.random.default_rng(i).permutation(channels) for i in range(0, count, 2)]
    matrices = np.stack([np.eye(channels)[:, permutation] for permutation in permutations])
    jet.channel_projections.copy_(torch.tensor(matrices))
    stored = {}
    for i, block in enumerate(jet.blocks):
        for name, parameter in block.dnn.named_parameters():
            value = rng.normal(scale=0.4, size=parameter.shape).astype(np.float32)
            parameter.data = torch.tensor(value.astype(np.float64))
            place, ours = _ours(name, value)
            stored[f"weights/{i}/{place}"] = ours
    images = rng.uniform(-1, 1, (3, *SHAPE)).astype(np.float32)
    with torch.no_grad():
        latents, log_det = jet(torch.tensor(images.astype(np.float64)))
    stored |= {
        "images": images,
        "latents": jet.unpatchify(latents).numpy(),
        "log_det": log_det[:, 0].numpy(),
    }
    np.savez_compressed(GOLDEN, **stored)


PLACES = {
    "init_proj": "start",
    "final_proj": "end",
    "encoder.ln": "norm",
    "ln1": "norm",
    "ln2": "wide_norm",
    "mha.in_proj": "project",
    "mha.out_proj": "gather",
    "mlp.in_proj": "widen",
    "mlp.out_proj": "narrow",
}


def _ours(name: str, value: np.ndarray) -> tuple[str, np.ndarray]:
    """Returns what we call a parameter of theirs, and its value as we have it."""
    if name == "pos_emb":
        return "positions", value[0]
    start = ""
    if name.startswith("encoder.blocks."):
        number, name = name.removeprefix("encoder.blocks.").split(".", 1)
        start = f"block_{number}."
    theirs, kind = name.replace("proj_", "proj.").rsplit(".", 1)
    place = PLACES[theirs]
    if place == "end":  # the shifts come first there
        value = np.roll(value, len(value) // 2, axis=0)
    if kind == "weight":
        kind, value = ("kernel", value.T) if value.ndim == 2 else ("scale", value)
    return f"{start}{place}.{kind}", value


if __name__ == "__main__":
    main()
