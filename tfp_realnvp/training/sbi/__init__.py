"""Simulation-based inference: posteriors learned from simulations, and whether they hold."""

from tfp_realnvp.training.sbi.calibration import coverage, ranks
from tfp_realnvp.training.sbi.posterior import Posterior, fit, fit_pairs, simulate

__all__ = ["Posterior", "coverage", "fit", "fit_pairs", "ranks", "simulate"]
