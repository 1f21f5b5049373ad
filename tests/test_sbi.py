"""Posteriors from simulations, against one that is known."""

import keras
import numpy as np
import pytest
import tensorflow_probability as tfp

import tfp_realnvp as nvp

tfd = tfp.distributions
SMALL = {"couplings": 3, "hidden": (32, 32)}
NOISE = 0.5


def pairs(count, seed=0):
    """Parameters from N(0, I), seen with noise: the posterior is N(0.8 x, 0.2 I)."""
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal([count, 2]).astype("float32")
    return theta, theta + NOISE * rng.standard_normal(theta.shape).astype("float32")


@pytest.fixture(scope="module")
def posterior():
    return nvp.sbi.fit_pairs(*pairs(4000), epochs=25, patience=8, learning_rate=3e-3, **SMALL)


def truth(theta, x):
    normal = tfd.MultivariateNormalDiag(0.8 * x, 0.2**0.5 * np.ones(2, "float32"))
    return normal.log_prob(theta).numpy()


def test_a_known_posterior_is_found(posterior):
    theta, x = pairs(2000, seed=1)
    loss = truth(theta, x).mean() - posterior.log_prob(theta, x).mean()
    assert loss < 0.12  # nats, of 4,000 pairs
    drawn = posterior.sample(3000, [1.0, -2.0], seed=0)
    # One observation's posterior, by weights that differ from one kind of CPU to the next.
    np.testing.assert_allclose(drawn.mean(0), [0.8, -1.6], atol=0.25)
    np.testing.assert_allclose(drawn.std(0), 0.2**0.5, atol=0.2)
    assert posterior.given(x[:3]).sample(4, seed=(0, 1)).shape == (4, 3, 2)


def test_it_is_calibrated_and_a_narrow_one_is_not(posterior):
    theta, x = pairs(400, seed=2)
    levels, covered = nvp.sbi.coverage(posterior, theta, x, num=50)
    assert np.abs(covered - levels).max() < 0.12
    ranks = nvp.sbi.ranks(posterior, theta, x, num=50)
    assert ranks.shape == (400, 2) and ranks.min() >= 0 and ranks.max() <= 50
    assert abs(ranks.mean() - 25) < 2.5

    class Narrow(nvp.sbi.Posterior):
        def sample(self, num, observation, *, seed=None):
            drawn = super().sample(num, observation, seed=seed)
            return 0.8 * observation + 0.5 * (drawn - 0.8 * observation)

    narrow = Narrow(posterior.dist, {})
    _, under = nvp.sbi.coverage(narrow, theta, x, num=50)
    assert under[25] < covered[25] - 0.15
    axes = nvp.figures.calibration(ranks, levels, covered, num=50).axes
    assert [a.get_title() for a in axes][:3] == [
        "ranks of number 0",
        "ranks of number 1",
        "coverage",
    ]


def test_a_draw_on_the_edge_of_the_support_is_left_out():
    class Edged(tfd.Uniform):
        def _sample_n(self, n, seed=None):
            drawn = super()._sample_n(n, seed=seed).numpy()
            drawn[0] = -1.0  # as one float32 draw in 16 million is
            return drawn

    prior = tfd.Sample(Edged(-1.0, 1.0), 2)
    posterior = nvp.sbi.fit(prior, lambda theta: theta, num=20, epochs=1, **SMALL)
    assert np.isfinite(posterior.history["loss"]).all()


def test_samples_stay_in_the_support(tmp_path):
    prior = tfd.Sample(tfd.Uniform(-1.0, 1.0), 2)
    rng = np.random.default_rng(0)

    def simulator(theta):
        return theta + 0.02 * rng.standard_normal(theta.shape)

    posterior = nvp.sbi.fit(prior, simulator, num=500, epochs=3, **SMALL)
    at_the_edge = posterior.sample(200, [1.0, -1.0], seed=0)
    assert np.abs(at_the_edge).max() <= 1
    again = nvp.load(nvp.save(posterior.dist, tmp_path / "posterior.keras"))
    drawn = nvp.sample(again, 200, condition=[1.0, -1.0], seed=0)
    np.testing.assert_allclose(drawn, at_the_edge, atol=1e-5)


def test_an_encoder_makes_the_condition_of_a_series():
    theta, _ = pairs(300)
    series = theta[:, None] + np.random.default_rng(1).standard_normal([300, 6, 2])
    inputs = keras.Input((6, 2))
    network = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    posterior = nvp.sbi.fit_pairs(theta, series, encoder=network, epochs=2, **SMALL)
    assert posterior.sample(5, series[0], seed=0).shape == (5, 2)


def test_training_ends_with_the_patience_and_the_best_weights():
    theta, x = pairs(60)
    posterior = nvp.sbi.fit_pairs(theta, x, epochs=200, patience=3, learning_rate=1e-2, **SMALL)
    losses = posterior.history["val_loss"]
    assert len(losses) < 200 and np.argmin(losses) == len(losses) - 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"parameters": np.zeros([9, 2])}, r"got shapes \(9, 2\) and \(30, 2\)"),
        ({"observations": np.zeros([30])}, r"got shapes \(30, 2\) and \(30,\)"),
        ({"held_out": 1.0}, r"held_out to be a finite number above 0 and below 1, got 1\.0"),
        ({"flow": "nfs"}, "Unknown flow 'nfs'"),
        ({"support": tfp.bijectors.Exp()}, "rows of parameters are not inside of the support"),
    ],
)
def test_bad_arguments_are_told(change, sentence):
    theta, x = pairs(30)
    settings = {"parameters": theta, "observations": x, "epochs": 1} | change
    with pytest.raises(ValueError, match=sentence):
        nvp.sbi.fit_pairs(settings.pop("parameters"), settings.pop("observations"), **settings)


def test_bad_simulators_and_priors_are_told():
    prior = tfd.MultivariateNormalDiag(np.zeros(2, "float32"))
    with pytest.raises(ValueError, match=r"each of 5 rows .*, got an array of shape \(5,\)"):
        nvp.sbi.simulate(prior, lambda theta: theta[:, 0], 5)
    with pytest.raises(
        ValueError, match=r"events \(D,\) and no batch, got events \(\) and batch \(2"
    ):
        nvp.sbi.simulate(tfd.Normal([0.0, 1.0], 1.0), lambda theta: theta, 5)
