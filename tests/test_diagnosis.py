"""`nvp.diagnose`: that its terms add up, and that it finds what is wrong."""

import numpy as np
import pytest

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Coupling, Halves, Rescale
from tfp_realnvp.conditioners import MLP

IMAGES = np.random.default_rng(0).integers(0, 17, [24, 8, 8, 1]).astype("uint8")


def moons(count=400):
    return nvp.datasets.load_arrays("moons")[0][:count]


@pytest.mark.parametrize("labels", [None, np.arange(24) % 3])
def test_terms_add_up_to_the_likelihood(labels):
    classes = None if labels is None else 3
    dist = nvp.flows.build(
        "uva_multiscale", (8, 8, 1), levels=17, widths=(4, 4, 4), blocks=1, num_classes=classes
    )
    found = nvp.diagnose(dist, IMAGES, labels, seed=3)
    bits = nvp.bits_per_dim(dist, IMAGES, labels, num_importance_samples=1, seed=3)
    np.testing.assert_allclose(-found.log_probs / found.nats_per_unit, bits, rtol=1e-5)
    assert sum(found.terms.values()) == pytest.approx(found.log_probs.mean(), rel=1e-6)
    assert next(iter(found.terms)) == "variational_dequantization_0"
    assert not found.round_trip.any() and found.latents.shape == (24, 64)
    assert found.log_probs[found.outliers[0]] == found.log_probs.min()
    assert f"{bits.mean():.3f}" in str(found) and "bits/dim" in str(found)


def test_a_trained_flow_has_little_to_say():
    dist = nvp.flows.build("nsf", (2,), couplings=4, hidden=(32, 32))
    model = nvp.FlowModel(dist)
    model.compile(nvp.Adam(5e-3))
    model.fit(moons(10_000), batch_size=256, epochs=8, verbose=0)
    before = nvp.diagnose(nvp.flows.build("nsf", (2,), couplings=4), moons())
    after = nvp.diagnose(dist, moons())
    assert after.log_probs.mean() > before.log_probs.mean() + 0.5
    assert not any("hardly trained" in sentence for sentence in after.findings)
    assert abs(np.var(after.latents) - 1) < 0.3


def test_it_says_what_is_wrong_with_hand_built_flows():
    members = [Rescale(high=0.1, ndims=1), Coupling(Halves(), MLP(widths=(8,)))]
    dist = nvp.Flow(members, (2,))
    wide = nvp.diagnose(dist, moons() * 100)
    assert any("hardly trained" in sentence for sentence in wide.findings)
    dist.trainable_variables[-1].assign(dist.trainable_variables[-1] * np.nan)
    broken = nvp.diagnose(dist, moons())
    assert "The term of coupling_0 is not finite" in str(broken)


def test_bad_arguments():
    dist = nvp.flows.build("realnvp", (2,))
    with pytest.raises(ValueError, match="two examples at least, got 1"):
        nvp.diagnose(dist, moons(1))
    with pytest.raises(ValueError, match="outliers to be a whole number of at least 0, got -1"):
        nvp.diagnose(dist, moons(), outliers=-1)
