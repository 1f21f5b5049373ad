"""Arithmetic that is fast on the device: convolutions, gates, norms, Adam's update."""

from tfp_realnvp.kernels.kernels import Kernels

__all__ = ["Kernels"]
