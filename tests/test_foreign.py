"""TFP's own bijectors as members: at any place, trained, saved, or refused in one sentence."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from constructors import mlp

import tfp_realnvp as nvp
from tfp_realnvp.bijectors import Coupling, Halves, Invert, Squeeze

tfb = tfp.bijectors


def coupling(**options):
    return Coupling(Halves(**options), mlp())


@pytest.mark.parametrize(
    "make",
    [
        lambda: [tfb.Exp(), coupling()],
        lambda: [coupling(), tfb.Softplus()],
        lambda: [tfb.Shift([1.0, 2.0, 3.0]), coupling(), tfb.Scale([2.0, 3.0, 4.0])],
        lambda: [tfb.Exp(), tfb.Shift(1.0)],
        lambda: [tfb.Chain([tfb.Exp(), tfb.Shift(1.0)]), coupling()],
        lambda: [tfb.Invert(tfb.Tanh()), tfb.Tanh(), coupling()],
        lambda: [tfb.Invert(coupling()), tfb.Chain([coupling(inverted=True), tfb.Shift(1.0)])],
        lambda: [tfb.ScaleMatvecTriL(np.tril(np.ones([3, 3]), 0).astype("float32")), coupling()],
        lambda: [tfb.Permute([2, 0, 1]), coupling()],
    ],
)
def test_any_place_in_a_flow(make, tmp_path):
    members = make()
    dist = nvp.Flow(members, (3,))
    y = dist.sample(4, seed=(0, 1))
    z, log_det = dist.bijector.inverse_and_log_det(y)
    np.testing.assert_allclose(dist.bijector.forward_and_log_det(z)[0], y, rtol=1e-4, atol=1e-5)
    with tf.GradientTape() as tape:
        tape.watch(y)
        z, log_det = dist.bijector.inverse_and_log_det(y)
    expected = np.linalg.slogdet(tape.batch_jacobian(z, y))[1]
    np.testing.assert_allclose(log_det, expected, rtol=1e-4, atol=1e-4)
    again = nvp.load(nvp.save(dist, tmp_path / "flow.keras"))
    np.testing.assert_allclose(again.log_prob(y), dist.log_prob(y), rtol=1e-5)


def test_positive_data():
    x = np.exp(np.random.default_rng(0).normal(size=(256, 2))).astype("float32")
    dist = nvp.Flow([tfb.Exp(), nvp.bijectors.Standardize(), coupling()], (2,))
    model = nvp.FlowModel(dist)
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(x, epochs=3, verbose=0).history["loss"]
    assert history[-1] < 3.0 and (dist.sample(100).numpy() > 0).all()


def test_images_have_rank_0_members_too():
    dist = nvp.Flow([tfb.Shift(0.5), Squeeze(), tfb.Scale(2.0)], (4, 4, 1))
    np.testing.assert_allclose(dist.log_prob(dist.sample(2)).shape, [2])
    log_det = dist.bijector.inverse_and_log_det(dist.sample(2))[1]
    np.testing.assert_allclose(log_det, -16 * np.log(2), rtol=1e-5)


def test_fewer_latents_than_data():
    dist = nvp.Flow([tfb.CorrelationCholesky(), coupling()], (3, 3))
    assert dist.distribution.event_shape == (3,) and dist.latent_sizes == [3]
    y = dist.sample(2, seed=(0, 1))
    np.testing.assert_allclose(tf.linalg.diag_part(y @ tf.transpose(y, [0, 2, 1])), 1, rtol=1e-5)
    z = nvp.encode(dist, y)
    np.testing.assert_allclose(nvp.decode(dist, z), y, rtol=1e-4, atol=1e-5)


def test_their_variables_are_trained_and_saved(tmp_path):
    lower_upper = tf.Variable([[1.0, 0.2], [0.3, 1.0]])
    dist = nvp.Flow(
        [tfb.ScaleMatvecLU(lower_upper, [1, 0]), tfb.Shift(tf.Variable([0.0, 0.0]))], (2,)
    )
    model = nvp.FlowModel(dist)
    assert len(dist.trainable_variables) == len(model.trainable_variables) == 2
    assert any(v is lower_upper for v in dist.trainable_variables)
    model.compile(keras.optimizers.SGD(0.1))
    before = lower_upper.numpy()
    model.fit(np.random.default_rng(0).normal(size=(64, 2)), epochs=2, verbose=0)
    assert (lower_upper.numpy() != before).all()
    model.save_weights(tmp_path / "flow.weights.h5")
    again = nvp.load(nvp.save(dist, tmp_path / "flow.keras"))
    x = dist.sample(3)
    np.testing.assert_allclose(again.log_prob(x), dist.log_prob(x), rtol=1e-6)


def test_networks_that_build_late_are_trained_and_not_saved_in_silence(tmp_path):
    network = tfb.AutoregressiveNetwork(params=2, hidden_units=[4], activation="relu")
    dist = nvp.Flow([tfb.MaskedAutoregressiveFlow(network)], (2,))
    model = nvp.FlowModel(dist)
    assert len(model.trainable_variables) == len(dist.trainable_variables) == 4
    model.compile("adam")
    model.fit(np.random.default_rng(0).normal(size=(32, 2)), verbose=0)
    model.save_weights(tmp_path / "flow.weights.h5")
    with pytest.raises(ValueError, match=r"shift_and_log_scale_fn of masked.* cannot be saved"):
        nvp.save(dist, tmp_path / "flow.keras")
    assert not (tmp_path / "flow.keras").exists()


def test_our_bijectors_in_theirs_get_seed_dtype_and_labels():
    members = [tfb.Invert(coupling()), tfb.Chain([coupling(inverted=True)])]
    dist = nvp.Flow(members, (2,), num_classes=3, dtype="float64", seed=5)
    assert isinstance(dist.bijector.bijectors[0], Invert)
    assert {v.dtype for v in dist.trainable_variables} == {tf.float64}
    for variable in dist.trainable_variables:
        variable.assign_add(tf.ones_like(variable) * 0.1)
    x = np.array([[1.0, 2.0]])
    each = [float(dist.log_prob(x, bijector_kwargs={"labels": k})[0]) for k in range(3)]
    assert len(set(each)) == 3


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: [tfb.Shift([[1.0, 2.0], [3.0, 4.0]])],
            r"arguments for a batch .* of shape \(2,\)",
        ),
        (lambda: [tfb.Scale([1.0, 2.0, 3.0])], r"scale does not take events of shape \(2,\)"),
        (lambda: [tfb.BatchNormalization()], r"depend on the rows beside it: take nvp.bij"),
        (lambda: [tfb.AbsoluteValue()], "one-to-one maps, and absolute_value is none"),
        (lambda: [tfb.Split(2)], "maps one tensor, but split takes several"),
        (lambda: [tfb.Inline(coupling().forward, coupling().inverse)], None),
        (
            lambda: [tfb.Shift(np.float64(1.0)), coupling()],
            "computes in float64, its flow in float32",
        ),
        (lambda: [tfb.CholeskyOuterProduct()], "takes events of rank 2 or more, where 1 is needed"),
    ],
)
def test_what_cannot_be_a_member_is_refused(make, sentence):
    with pytest.raises((ValueError, NotImplementedError), match=sentence):
        nvp.Flow(make(), (2,)).log_prob(np.zeros([1, 2]))
