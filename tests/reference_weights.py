"""Copies the reference weights of the golden files into flows built here."""

from __future__ import annotations

import numpy as np

from tfp_realnvp.bijectors import Composition, Coupling, FactorOut


def couplings_of(composition: Composition) -> list[Coupling]:
    """Returns a flow's couplings from data to latent, those of nested flows included."""
    found: list[Coupling] = []
    for bijector in composition.bijectors:
        if isinstance(bijector, Coupling):
            found.append(bijector)
        elif isinstance(bijector, FactorOut):
            found.extend(couplings_of(bijector.rest))
    return found


def load_flow(dist, golden) -> None:
    """Assigns the weights of a golden file to the couplings and the dequantizer of a flow."""
    numbers = sorted(
        {int(key.split("/")[0][6:]) for key in golden.files if key.startswith("flows_")} - {0}
    )
    couplings = couplings_of(dist.bijector)
    assert len(numbers) == len(couplings)
    for number, coupling in zip(numbers, couplings, strict=True):
        load_coupling(coupling, golden, f"flows_{number}")
    noise_flow = getattr(dist.quantizer, "noise_flow", None)
    for i, coupling in enumerate(noise_flow.bijectors if noise_flow is not None else []):
        load_coupling(coupling, golden, f"flows_0/var_flows_{i}")


def load_coupling(coupling: Coupling, golden, prefix: str) -> None:
    """Assigns the weights of one coupling."""
    net = f"{prefix}/network/nn"
    conditioner = coupling.conditioner
    coupling.transformer.log_bound.assign(golden[f"{prefix}/scaling_factor"])

    def assign(pair, path, names=("kernel", "bias")):
        for variable, name in zip(pair, names, strict=True):
            variable.assign(golden[f"{net}/{path}/{name}"])

    assign(conditioner.start, "layers_0")
    for i, block in enumerate(conditioner.residual):
        assign(block["wide"], f"layers_{1 + 2 * i}/Conv_0")
        assign(block["mix"], f"layers_{1 + 2 * i}/Conv_1")
        assign(block["norm"], f"layers_{2 + 2 * i}", ("scale", "bias"))
    assign(conditioner.end, "layers_8")


def flat_latents(golden) -> np.ndarray:
    """Returns the golden latents as one vector per example, in the order of factoring out."""
    parts = [golden[key] for key in sorted(golden.files) if key.startswith("__z")]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
