"""Flows by name: `build("uva_multiscale", (28, 28, 1))`."""

from tfp_realnvp.flows import glow, lecture, realnvp, uva
from tfp_realnvp.flows.registry import build, names, options, register

__all__ = ["build", "glow", "lecture", "names", "options", "realnvp", "register", "uva"]
