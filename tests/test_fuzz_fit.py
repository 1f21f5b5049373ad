"""Whatever `fit` is given: finite weights, or one sentence and weights as they were."""

import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tfp_realnvp as nvp

VALUES = st.sampled_from([np.nan, np.inf, -np.inf, 1e39, -1e39, 3.4e38, 0.0, 1.0, -2.5, 1e-40])
DTYPES = st.sampled_from(["float64", "float32", "float16", "int64", "uint8", "bool", "object"])
FUZZ = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Parts(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return max(1, len(self.x) // 4)

    def __getitem__(self, index):
        return (self.x[4 * index : 4 * index + 4],)


SOURCES = {
    "array": lambda x: x,
    "tensor": tf.constant,
    "list": lambda x: x.tolist(),
    "dictionary": lambda x: {"x": x},
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "dataset": lambda x: tf.data.Dataset.from_tensor_slices(x).batch(4),
    "unbatched": tf.data.Dataset.from_tensor_slices,
    "generator": lambda x: (x[i : i + 4] for i in range(0, len(x), 4)),
    "PyDataset": Parts,
}


@pytest.fixture(scope="module")
def vectors():
    return nvp.FlowModel(nvp.flows.build("realnvp", (2,), couplings=1, widths=(2,)))


@pytest.fixture(scope="module")
def images():
    dist = nvp.flows.build("uva_simple", (2, 2, 1), levels=8, width=2, couplings=1, blocks=1)
    return nvp.FlowModel(dist)


def check(model, make):
    """Fits once; a refusal is one sentence, and leaves the weights of the steps before it."""
    model.compile(keras.optimizers.SGD(1e-3, clipnorm=1.0), run_eagerly=True)
    try:
        data = make()
    except Exception:  # the source itself does not take such values
        return
    try:
        model.fit(data, batch_size=None, verbose=0)
    except (ValueError, TypeError) as error:
        assert str(error) and "\n" not in str(error).strip(), str(error)
    for variable in model.weights:
        assert np.isfinite(np.asarray(variable, "float64")).all(), variable.path


@FUZZ
@given(
    count=st.integers(0, 9),
    size=st.sampled_from([1, 2, 2, 2, 3]),
    dtype=DTYPES,
    bad=st.lists(st.tuples(st.integers(0, 8), VALUES), max_size=2),
    kind=st.sampled_from(sorted(SOURCES)),
)
def test_vectors(vectors, count, size, dtype, bad, kind):
    x = np.random.default_rng(count).normal(size=(count, size)) * 3
    for row, value in bad:
        x[row % max(count, 1) : row % max(count, 1) + 1] = value
    with np.errstate(all="ignore"):
        x = x.astype(dtype)
    check(vectors, lambda: SOURCES[kind](x))


@FUZZ
@given(
    shape=st.sampled_from(
        [(0, 2, 2, 1), (3, 2, 2, 1), (5, 2, 2, 1), (3, 2, 2), (3, 4), (3, 2, 2, 3)]
    ),
    dtype=DTYPES,
    bad=st.lists(st.sampled_from([np.nan, np.inf, -1.0, 0.5, 8.0, 255.0, 1e9]), max_size=1),
    kind=st.sampled_from(sorted(set(SOURCES) - {"pandas", "polars"})),
)
def test_images(images, shape, dtype, bad, kind):
    x = np.random.default_rng(0).integers(0, 8, shape).astype(float)
    if bad and x.size:
        x.flat[-1] = bad[0]
    with np.errstate(all="ignore"):
        x = x.astype(dtype)
    check(images, lambda: SOURCES[kind](x))
