"""Baselines: figures that can be worked out by hand."""

import numpy as np
import pytest

from tfp_realnvp import baselines


def test_a_histogram_of_every_pixel_is_near_its_entropy(rng):
    train, test = (rng.choice([0, 3], (4000, 1, 2, 1), p=[0.75, 0.25]) for _ in range(2))
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert baselines.histogram_bits(train, test, levels=4) == pytest.approx(entropy, abs=0.03)


def test_differences_of_a_ramp_cost_nothing(rng):
    start = rng.integers(0, 256, (300, 1, 1, 1))
    ramp = (start + np.arange(32)[None, None, :, None] * 5 + np.zeros((1, 8, 1, 3), int)) % 256
    # All differences are 5 but those of the first column (0), and the first pixel's is any.
    counts = np.array([31 * 8, 7, 1]) / 256
    expected = -(counts[:2] * np.log2(counts[:2])).sum() + counts[2] * (8 + 8)
    assert baselines.left_difference_bits(ramp, ramp) == pytest.approx(expected, abs=0.03)
    assert baselines.histogram_bits(ramp, ramp) > 6


def test_a_gaussian_at_its_own_data_has_its_entropy(rng):
    x = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3)) + 4
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(x.T, bias=True))[1]
    assert baselines.gaussian_nats(x, x) == pytest.approx(entropy)
    with pytest.raises(ValueError, match="singular"):
        baselines.gaussian_nats(np.ones((4, 2)), x[:, :2])
