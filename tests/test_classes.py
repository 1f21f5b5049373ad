"""Class-conditional flows draw what they are asked for, and lose no likelihood by it."""

import keras
import numpy as np
import pytest

import tfp_realnvp as nvp

EPOCHS, BATCH = 24, 64


def train(x, labels, *, num_classes, epochs, **options):
    keras.utils.set_random_seed(0)
    dist = nvp.flows.build(
        "uva_multiscale", (8, 8, 1), levels=17, num_classes=num_classes, **options
    )
    model = nvp.FlowModel(dist)
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * -(-len(x) // BATCH))
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0))
    model.fit(x, labels, batch_size=BATCH, epochs=epochs, verbose=0)
    return dist


def nearest_neighbours(x, labels, queries, count=3):
    """Classifies images by the majority of their nearest neighbours."""
    x, queries = (v.reshape(len(v), -1).astype(np.float64) for v in (x, queries))
    distance = (x**2).sum(1) - 2 * queries @ x.T
    nearest = labels[np.argsort(distance, 1)[:, :count]]
    return np.array([np.bincount(row, minlength=10).argmax() for row in nearest])


def test_a_conditional_flow_of_vectors_draws_and_recognises_its_classes(rng):
    # Digits as vectors, dequantized by hand.
    def vectors(split):
        images, labels = nvp.datasets.load_arrays("digits", split)
        return (images + rng.uniform(size=images.shape)).reshape(-1, 64).astype("float32"), labels

    (x, labels), (test, test_labels) = vectors("train"), vectors("test")
    dist = nvp.flows.build("realnvp", (64,), num_classes=10, couplings=4, widths=(64,))
    model = nvp.FlowModel(dist)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(x, labels, batch_size=64, epochs=20, verbose=0)
    # Chance is 0.1 in both.
    assert (nvp.class_posterior(dist, test).argmax(1) == test_labels).mean() > 0.65
    asked = np.repeat(np.arange(10), 20)
    drawn = nvp.sample(dist, 200, labels=asked, seed=0)
    assert (nearest_neighbours(x, labels, drawn) == asked).mean() > 0.65


@pytest.mark.slow
def test_a_conditional_flow_of_digits_draws_its_classes_at_no_cost_of_likelihood():
    images, labels = nvp.datasets.load_arrays("digits")
    test, test_labels = nvp.datasets.load_arrays("digits", "test")
    assert (nearest_neighbours(images, labels, test) == test_labels).mean() > 0.9
    options = {"epochs": EPOCHS, "widths": (12, 16, 24)}
    conditional = train(images, labels, num_classes=10, **options)
    plain = train(images, None, num_classes=None, **options)
    asked = np.repeat(np.arange(10), 100)
    drawn = nvp.sample(conditional, 1000, labels=asked, seed=1)
    agreement = (nearest_neighbours(images, labels, drawn) == asked).mean()
    bits = nvp.bits_per_dim(conditional, test, test_labels).mean()
    plain_bits = nvp.bits_per_dim(plain, test).mean()
    print(f"agreement {agreement:.3f}, conditional {bits:.4f}, unconditional {plain_bits:.4f}")
    assert agreement >= 0.8
    assert bits <= plain_bits + 0.02
