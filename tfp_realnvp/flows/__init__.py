"""Flows by name: `build("uva_multiscale", (28, 28, 1))`."""

from tfp_realnvp.flows import (
    autoregressive,
    flowpp,
    glow,
    jet,
    lecture,
    mixture_multiscale,
    neural_ode,
    nsf,
    planar,
    realnvp,
    tarflow,
    uva,
)
from tfp_realnvp.flows.registry import build, members, names, options, register

__all__ = [
    "autoregressive",
    "build",
    "flowpp",
    "glow",
    "jet",
    "lecture",
    "members",
    "mixture_multiscale",
    "names",
    "neural_ode",
    "nsf",
    "options",
    "planar",
    "realnvp",
    "register",
    "tarflow",
    "uva",
]
