"""Training: Keras `fit` with its options, a plain loop, replicas."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tolerances import REPLICAS

import tfp_realnvp as nvp

SHAPE, LEVELS = (4, 4, 1), 8


def flow(name="uva_vardeq", **kwargs):
    options = {"widths": (4, 4, 4)} if name == "uva_multiscale" else {"width": 4, "couplings": 2}
    return nvp.flows.build(name, SHAPE, levels=LEVELS, blocks=1, **options, **kwargs)


@pytest.fixture(scope="module")
def images():
    # Smooth images, so that there is something to learn.
    rng = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(4), np.arange(4))[None, :, :, None] / 6
    brightness = rng.uniform(0.3, 1, (256, 1, 1, 1))
    return np.floor(ramp * brightness * (LEVELS - 1)).astype("uint8")


def fitted(images, dist=None, optimizer=None, **kwargs):
    model = nvp.FlowModel(dist or flow())
    model.compile(optimizer or keras.optimizers.Adam(3e-3, global_clipnorm=1.0))
    history = model.fit(images, batch_size=32, shuffle=False, verbose=0, **kwargs)
    return model, history.history


@pytest.mark.parametrize("name", ["uva_simple", "uva_vardeq", "uva_multiscale"])
def test_fit_lowers_the_held_out_bits(images, name):
    dist = flow(name)
    before = nvp.bits_per_dim(dist, images[200:], num_importance_samples=1).mean()
    _, history = fitted(images[:192], dist, epochs=6, validation_data=(images[200:],))
    assert set(history) == {"loss", "bits_per_dim", "val_loss", "val_bits_per_dim"}
    after = nvp.bits_per_dim(dist, images[200:], num_importance_samples=1).mean()
    assert after < before - 0.5
    assert history["loss"][-1] < history["loss"][0]
    # What validation shows is the same likelihood, with each image's own noise.
    assert history["val_loss"][-1] == pytest.approx(after, abs=0.15)


def test_the_loss_is_the_mean_bits_of_the_step_s_noise(images):
    dist = flow()
    seed = tf.constant([5, 0])
    expected = -dist.log_prob(images[:32], bijector_kwargs={"seed": seed}).numpy().mean() / (
        16 * np.log(2)
    )
    model = nvp.FlowModel(dist, seed=5)
    model.compile("adam")
    results = model.train_on_batch(images[:32], return_dict=True)
    assert results["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["array", "dataset", "labelled"])
def test_kinds_of_data(images, kind):
    labels = np.arange(256) % 3
    data = {
        "array": images,
        "dataset": tf.data.Dataset.from_tensor_slices(images).batch(64),
        "labelled": tf.data.Dataset.from_tensor_slices((images, labels)).batch(64),
    }[kind]
    model = nvp.FlowModel(flow())
    model.compile("adam")
    kwargs = {"batch_size": 64, "shuffle": False} if kind == "array" else {}
    model.fit(data, verbose=0, **kwargs)
    reference = nvp.FlowModel(flow())
    reference.compile("adam")
    reference.fit(images, batch_size=64, shuffle=False, verbose=0)
    for a, b in zip(model.weights, reference.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.evaluate(data, verbose=0, return_dict=True)["loss"] > 0
    assert model.predict(images[:5], verbose=0).shape == (5,)


def test_class_conditional_fit(images):
    labels = (images.mean((1, 2, 3)) > 2).astype("int64")
    dist = flow("uva_simple", num_classes=2)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(32)
    model = nvp.FlowModel(dist)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(data, epochs=4, validation_data=data, verbose=0)
    right = nvp.bits_per_dim(dist, images, labels).mean()
    assert right < nvp.bits_per_dim(dist, images, 1 - labels).mean()


def test_gradient_tape_loop_trains(images):
    dist = flow("uva_simple")
    variables = dist.trainable_variables
    optimizer = keras.optimizers.Adam(3e-3)

    @tf.function
    def step(batch):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(dist.log_prob(batch))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    losses = [float(step(tf.constant(images[:128]))) for _ in range(20)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 5


def test_every_variable_gets_a_gradient_in_both_views(images):
    from constructors import perturb_weights

    dist = flow("uva_multiscale")
    perturb_weights(dist.bijector)
    model = nvp.FlowModel(dist)
    with tf.GradientTape(persistent=True) as tape:
        loss = -tf.reduce_mean(dist.log_prob(images[:16], bijector_kwargs={"seed": (0, 0)}))
    gradients = tape.gradient(loss, dist.trainable_variables)
    of_dist = dict(zip(map(id, dist.trainable_variables), gradients, strict=True))
    values = [v.value for v in model.trainable_variables]
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, values), strict=True
    ):
        assert gradient is not None, variable.path
        assert float(tf.reduce_max(tf.abs(gradient))) > 0, variable.path
        np.testing.assert_array_equal(gradient, of_dist[id(variable.value)])


def test_same_seed_same_weights(images):
    runs = [fitted(images, epochs=2)[0] for _ in range(2)]
    for a, b in zip(runs[0].weights, runs[1].weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_schedule_ema_and_clipping_are_those_of_keras(images):
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-2, decay_steps=4, decay_rate=0.5)
    optimizer = keras.optimizers.Adam(
        schedule, global_clipnorm=1.0, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=None
    )
    steps = []
    dist = flow()
    weights = [v.numpy() for v in dist.trainable_variables]
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs=None: steps.append(
            [v.numpy() for v in dist.trainable_variables]
        )
    )
    fitted(images, dist, optimizer, callbacks=[record])
    assert float(optimizer.learning_rate) == pytest.approx(1e-2 * 0.5**2)
    # What is left after training is the average of the weights that the steps went through.
    average = steps[0]
    for step in steps[1:]:
        average = [0.5 * a + 0.5 * b for a, b in zip(average, step, strict=True)]
    for start, last, expected, variable in zip(
        weights, steps[-1], average, dist.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(variable, expected, rtol=1e-5, atol=1e-6)
        assert (start != last).any()


def test_gradient_accumulation_draws_new_noise(images):
    optimizer = keras.optimizers.Adam(1e-3, gradient_accumulation_steps=4)
    model, _ = fitted(images, optimizer=optimizer, epochs=1)
    assert int(model.step.numpy()) == 8
    assert int(optimizer.iterations.numpy()) == 2


def test_xla_step_equals_the_plain_one(images):
    losses = []
    for jit in (False, True):
        model = nvp.FlowModel(flow("uva_vardeq"))
        model.compile(keras.optimizers.Adam(1e-3), jit_compile=jit)
        losses.append(
            model.fit(images[:64], batch_size=32, shuffle=False, verbose=0).history["loss"]
        )
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_bfloat16_conditioners_train_with_float32_weights(images):
    dist = flow("uva_multiscale", conditioner_dtype="mixed_bfloat16")
    assert {v.dtype for v in dist.trainable_variables} == {tf.float32}
    _, history = fitted(images, dist, epochs=3)
    assert history["loss"][-1] < history["loss"][0]
    assert dist.log_prob(images[:2]).dtype == tf.float32


@pytest.mark.parametrize("name", ["uva_simple", "uva_vardeq"])
def test_two_replicas_take_the_step_of_one(images, name, strategy):
    single = nvp.FlowModel(flow(name))
    single.compile(keras.optimizers.SGD(1.0))
    assert strategy.num_replicas_in_sync == 2
    with strategy.scope():
        double = nvp.FlowModel(flow(name))
        double.compile(keras.optimizers.SGD(1.0))
    data = tf.data.Dataset.from_tensor_slices(images[:32]).batch(32)
    before = [np.asarray(v) for v in single.trainable_variables]
    first = single.fit(data, verbose=0).history["loss"][0]
    second = double.fit(data, verbose=0).history["loss"][0]
    assert first == pytest.approx(second, rel=REPLICAS)
    # With SGD at rate 1, the step is the gradient.
    for start, a, b in zip(
        before, single.trainable_variables, double.trainable_variables, strict=True
    ):
        gradient, other = start - np.asarray(a), start - np.asarray(b)
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(gradient, other, atol=REPLICAS * max(scale, 1e-2), rtol=REPLICAS)


@pytest.mark.parametrize("kind", ["uva_vardeq", "batch norm"])
@pytest.mark.parametrize("rest", [1, 3])
def test_a_last_batch_that_replicas_cannot_share_equally(images, strategy, kind, rest):
    def made():
        if kind == "uva_vardeq":
            return nvp.flows.build(kind, SHAPE, levels=LEVELS, blocks=1, width=2, couplings=1)
        # Batch normalization sees no row that a replica lacks.
        bijectors = nvp.bijectors
        network = nvp.conditioners.ResNet(width=2, blocks=1)
        members = [
            bijectors.Dequantization(levels=LEVELS),
            bijectors.Rescale(high=LEVELS),
            bijectors.Coupling(bijectors.Checkerboard(), network),
            bijectors.BatchNorm(),
        ]
        return nvp.Flow(members, SHAPE)

    def trained(scope):
        with scope:
            model = nvp.FlowModel(made())
            model.compile(keras.optimizers.SGD(1e-2))
            options = {"batch_size": 8, "shuffle": False, "verbose": 0}
            history = model.fit(images[: 8 + rest], **options).history
            return history["loss"] + history["bits_per_dim"], model.weights

    one, two = trained(contextlib.nullcontext()), trained(strategy.scope())
    np.testing.assert_allclose(two[0], one[0], rtol=REPLICAS)
    for a, b in zip(one[1], two[1], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=REPLICAS)


def test_vectors_at_scale_1000_train():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(2000, 3)) @ [[1, 0.8, 0], [0, 1, 0], [0, 0, 1]] * 1e3 + 5e3).astype(
        "float32"
    )
    dist = nvp.flows.build("realnvp", (3,), couplings=4, widths=(32,))
    model = nvp.FlowModel(dist)
    model.compile(keras.optimizers.Adam(1e-3))
    history = model.fit(x, batch_size=100, epochs=8, verbose=0).history
    assert set(history) == {"loss", "nats"}
    # A full-covariance Gaussian is the truth here.
    covariance = np.cov(x.T)
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
    assert history["loss"][-1] == pytest.approx(entropy, abs=0.1)
    samples = dist.sample(4000, seed=(0, 1)).numpy()
    np.testing.assert_allclose(samples.mean(0), x.mean(0), atol=150)
    np.testing.assert_allclose(samples.std(0), x.std(0), rtol=0.1)
