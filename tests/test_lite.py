"""LiteRT programs: their likelihoods and samples are those of the flow."""

import concurrent.futures

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from test_flows import SMALL, options_of
from tolerances import FLOAT32

import tfp_realnvp as nvp

VECTORS = [
    "glow",
    "iaf",
    "maf",
    "neural_ode",
    "nice",
    "nsf",
    "planar",
    "radial",
    "realnvp",
    "residual",
]
NO_IMAGES = ("iaf", "maf", "neural_ode", "nice", "planar", "radial", "sets")
IMAGES = [name for name in SMALL if name not in NO_IMAGES]
# Converting the graphs of these takes half a minute.
FEW = ["uva_simple", "uva_vardeq"]
SLOW = [pytest.param(n, marks=[] if n in FEW else pytest.mark.slow) for n in IMAGES]


def flow(name, shape, **options):
    dist = nvp.flows.build(name, shape, **options_of(name, shape), **options)
    dist.initialize(examples(8, shape), [0] * 8 if dist.num_classes else None)
    perturb_weights(dist.bijector)
    return dist


def examples(count, shape):
    rng = np.random.default_rng(0)
    if len(shape) == 1:
        return rng.normal(size=(count, *shape)).astype("float32")
    return rng.integers(0, 256, (count, *shape)).astype("uint8")


def assert_those_of_the_flow(fast, dist, x, labels):
    context = {"seed": (5, 1), "labels": labels}
    expected = dist.log_prob(x, bijector_kwargs=context)
    # 256 levels and a logit of alpha 1e-5: nats in the hundreds, of terms that cancel.
    np.testing.assert_allclose(
        fast.log_prob(x, labels, seed=(5, 1)), expected, rtol=FLOAT32, atol=1e-3
    )
    drawn = fast.sample(labels=labels, temperature=0.7, seed=3)
    expected = nvp.sample(dist, len(x), labels=labels, temperature=0.7, seed=3)
    assert drawn.dtype == expected.dtype
    # A pixel may be rounded the other way.
    np.testing.assert_allclose(drawn, expected, rtol=1e-5, atol=1 if dist.levels else 1e-5)
    assert (drawn == expected).mean() > 0.9 or not dist.levels


@pytest.mark.parametrize("num_classes", [None, 3])
@pytest.mark.parametrize(
    "name",
    # Converting the graph of this one takes half a minute.
    [pytest.param(n, marks=[pytest.mark.slow] if n == "maf" else []) for n in VECTORS],
)
def test_vectors(name, num_classes):
    dist = flow(name, (3,), num_classes=num_classes)
    labels = num_classes and np.arange(5) % 3
    assert_those_of_the_flow(nvp.Lite(dist, num=5), dist, examples(5, (3,)), labels)


@pytest.mark.parametrize("name", SLOW)
def test_images(name):
    dist = flow(name, (4, 4, 1), num_classes=3)
    fast = nvp.Lite(dist, num=3, programs=2)
    assert_those_of_the_flow(fast, dist, examples(3, (4, 4, 1)), [0, 1, 2])


def test_one_image_stays_whole():
    dist = flow("uva_simple", (8, 8, 1))
    fast, x = nvp.Lite(dist), examples(1, (8, 8, 1))
    assert_those_of_the_flow(fast, dist, x, None)
    # One example after the other, fresh arrays: a result is not the program's own memory.
    first, second = fast.log_prob(x, seed=(0, 0)), fast.log_prob(255 - x, seed=(0, 0))
    assert first != second
    np.testing.assert_array_equal(first, fast.log_prob(x, seed=(0, 0)))


def test_without_a_seed_all_is_fresh():
    dist = flow("uva_simple", (8, 8, 1))
    fast, x = nvp.Lite(dist, num=400), np.repeat(examples(1, (8, 8, 1)), 400, 0)
    first, second = fast.log_prob(x), fast.log_prob(x)
    assert len(np.unique(np.concatenate([first, second]))) > 780
    # The mean under its own noise and under the flow's.
    expected = dist.log_prob(x, bijector_kwargs={"seed": (1, 2)}).numpy()
    error = np.hypot(first.std(), expected.std()) / 20
    assert abs(first.mean() - expected.mean()) < 4 * error
    latents = nvp.encode(dist, fast.sample())
    assert abs(latents.std() - 1) < 0.05
    assert (fast.sample() != fast.sample()).any((1, 2, 3)).all()


@pytest.mark.parametrize(("num", "programs"), [(1, 4), (4, 1), (5, 2), (7, 3), (5, 4)])
def test_batches_in_parts(num, programs):
    dist = flow("realnvp", (2,))
    fast = nvp.Lite(dist, num=num, programs=programs)
    assert_those_of_the_flow(fast, dist, examples(num, (2,)), None)


def test_weights_are_those_of_its_beginning():
    dist = flow("realnvp", (2,))
    fast, x = nvp.Lite(dist, num=6), examples(6, (2,))
    expected = dist.log_prob(x).numpy()
    for variable in dist.trainable_variables:
        variable.assign_add(0.1 * tf.ones_like(variable))
    np.testing.assert_allclose(fast.log_prob(x), expected, rtol=1e-5)
    assert (dist.log_prob(x).numpy() != expected).all()


def test_threads_may_share_it():
    dist = flow("realnvp", (2,))
    fast = nvp.Lite(dist, num=2, programs=1)
    batches = [examples(2, (2,)) + k for k in range(50)]
    expected = [fast.log_prob(x) for x in batches]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(list(pool.map(fast.log_prob, batches)), expected)


def test_seeds_are_those_of_the_flow():
    dist = flow("uva_simple", (4, 4, 1))
    fast, x = nvp.Lite(dist, num=3), examples(3, (4, 4, 1))
    for seed, same in ((5, (0, 5)), ((3, 4), np.array([3, 4]))):
        expected = dist.log_prob(x, bijector_kwargs={"seed": same})
        np.testing.assert_allclose(fast.log_prob(x, seed=seed), expected, rtol=FLOAT32)
    for bad in ([1], 1.5, True):
        with pytest.raises(ValueError, match="A seed is an int of at most 62 bits or two"):
            fast.log_prob(x, seed=bad)
        with pytest.raises(ValueError, match="A seed is an int of at most 62 bits or two"):
            fast.sample(seed=bad)


def test_refuses():
    dist = flow("realnvp", (2,))
    fast = nvp.Lite(dist, num=6)
    with pytest.raises(ValueError, match="Lite for batches of 6 examples, got 5"):
        fast.log_prob(examples(5, (2,)))
    with pytest.raises(ValueError, match="realnvp"):
        fast.log_prob(examples(6, (3,)))
    with pytest.raises(ValueError, match="temperature"):
        fast.sample(temperature=-1.0)
    with pytest.raises(ValueError, match="labels"):
        fast.sample(labels=1)
    with pytest.raises(ValueError, match="num"):
        nvp.Lite(dist, num=0)
    with pytest.raises(ValueError, match="Lite is for flows in float32; realnvp is in float64"):
        nvp.Lite(nvp.flows.build("realnvp", (2,), couplings=1, dtype="float64"))
