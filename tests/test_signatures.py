"""What the signatures of a SavedModel take and refuse: shapes, counts and values of every input."""

import re

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights

import tfp_realnvp as nvp

SHAPE, LEVELS, CLASSES = (4, 4, 1), 8, 3
SEED = {"seed": tf.constant([0, 1])}
ONE = {"temperature": tf.constant(1.0)}


def served(dist, directory):
    perturb_weights(dist.bijector)
    return tf.saved_model.load(str(nvp.export(dist, directory / "flow"))).signatures


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    options = {"levels": LEVELS, "width": 4, "couplings": 1, "blocks": 1, "num_classes": CLASSES}
    dist = nvp.flows.build("uva_simple", SHAPE, **options)
    return served(dist, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    dist = nvp.flows.build("realnvp", (3,), num_classes=CLASSES, couplings=1, widths=(4,))
    return served(dist, tmp_path_factory.mktemp("vectors"))


def examples(signatures, count):
    """Returns good inputs of every signature, for so many examples."""
    labels = {"labels": tf.zeros([count], tf.int32)}
    origin = {"seed": tf.zeros([count, 2], tf.int32), "row": tf.range(count)}
    images = "images" in signatures["encode"].structured_input_signature[1]
    data = {"images": tf.ones([count, *SHAPE], tf.uint8)} if images else {"x": tf.ones([count, 3])}
    return {
        "serving_default": {**data, **labels},
        "log_prob": {**data, **labels, **SEED},
        "sample": {"num_samples": tf.constant(count), **ONE, **SEED, **labels},
        "encode": {**data, **labels},
        "decode": {"latents": tf.zeros([count, 16 if images else 3]), **labels},
        "log_prob_rows": {**data, **labels, **origin},
        "sample_rows": {"temperature": tf.ones([count]), **labels, **origin},
    }


@pytest.fixture(params=["images", "vectors"])
def signatures(request):
    return request.getfixturevalue(request.param)


KEYS = ["serving_default", "log_prob", "sample", "encode", "decode"]
BY_ROWS = ["log_prob_rows", "sample_rows"]


def refused(call, sentence):
    with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(sentence)):
        call()


@pytest.mark.parametrize("key", KEYS + BY_ROWS)
def test_any_number_of_examples_in_turn(signatures, key):
    for count in (0, 1, 3, 1, 5):
        results = signatures[key](**examples(signatures, count)[key])
        assert results
        for value in results.values():
            assert value.shape[0] == count


@pytest.mark.parametrize("key", KEYS + BY_ROWS)
def test_an_input_of_another_shape_is_refused(signatures, key):
    good = examples(signatures, 2)[key]
    for name, value in good.items():
        wrong = [value[None], tf.stack([value, value], -1)]
        if value.shape.rank:
            wrong += [value[0], value[..., :0], value[..., 0]]
        if value.shape.rank > 1:
            wrong += [value[..., :1, :1, :1] if value.shape.rank > 2 else value[:, :1]]
        if name == "seed" and key not in BY_ROWS:
            wrong += [tf.constant([1]), tf.constant([1, 2, 3])]
        for bad in wrong:
            spec = signatures[key].structured_input_signature[1][name].shape
            if spec.is_compatible_with(bad.shape):
                continue
            got = str(bad.shape.as_list()).replace(" ", "")
            sentence = f"Shape of tensor {name} {got} is not compatible with expected shape ["
            refused(lambda bad=bad, name=name: signatures[key](**{**good, name: bad}), sentence)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("count", "labels"), [(2, 0), (2, 1), (2, 3), (1, 0), (1, 2), (0, 1), (40, 21)]
)
def test_labels_are_as_many_as_the_examples(signatures, key, count, labels):
    inputs = {**examples(signatures, count)[key], "labels": tf.zeros([labels], tf.int32)}
    sentence = f"labels must be one for each of {count} examples, got {labels}."
    refused(lambda: signatures[key](**inputs), sentence)


@pytest.mark.parametrize("key", BY_ROWS)
def test_what_a_row_is_drawn_by_is_one_for_each(signatures, key):
    good = examples(signatures, 3)[key]
    for name in good.keys() - {"images", "x", "labels"}:
        inputs = {**good, name: good[name][:2]}
        refused(lambda i=inputs: signatures[key](**i), " must be one for each of ")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("label", [-1, CLASSES])
def test_labels_of_no_class_are_refused(signatures, key, label):
    inputs = {**examples(signatures, 2)[key], "labels": tf.constant([0, label])}
    refused(lambda: signatures[key](**inputs), "labels must be integers from 0 to 2")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(images, vectors, bad):
    for signatures in (images, vectors):
        inputs = examples(signatures, 2)
        latents = inputs["decode"]["latents"] + [[0.0], [bad]]
        refused(
            lambda s=signatures, i=inputs["decode"], z=latents: s["decode"](**{**i, "latents": z}),
            f"latents must be finite, got {latents.shape[1]} NaN or infinite values.",
        )
        cold = {**inputs["sample"], "temperature": tf.constant(bad, tf.float32)}
        refused(
            lambda s=signatures, i=cold: s["sample"](**i),
            "temperature must be finite and at least 0, got ",
        )
    for key in ("serving_default", "log_prob", "encode"):
        inputs = {**examples(vectors, 2)[key], "x": tf.constant([[0.0, bad, 0.0]] * 2)}
        refused(
            lambda k=key, i=inputs: vectors[k](**i),
            "x must be finite, got 2 NaN or infinite values.",
        )


def test_samples_of_a_negative_temperature_or_count_are_refused(signatures):
    inputs = examples(signatures, 2)["sample"]
    for name, bad in (("temperature", tf.constant(-0.5)), ("num_samples", tf.constant(-1))):
        refused(
            lambda name=name, bad=bad: signatures["sample"](**{**inputs, name: bad}),
            f"{name} must be ",
        )


def test_a_call_draws_no_more_than_memory_holds(images):
    inputs = examples(images, 2)["sample"]
    for count in (2**23 + 1, 2**31 - 1):
        refused(
            lambda count=count: images["sample"](**{**inputs, "num_samples": tf.constant(count)}),
            f"num_samples must be from 0 to 8388608, got {count}.",
        )


def test_pixels_out_of_range_are_refused(images):
    for key in ("serving_default", "log_prob", "encode"):
        inputs = examples(images, 2)[key]
        bad = {**inputs, "images": tf.fill([2, *SHAPE], tf.constant(LEVELS, tf.uint8))}
        refused(lambda k=key, i=bad: images[k](**i), "images must hold integers from 0 to 7")


def test_tensors_of_another_dtype_are_refused(images):
    inputs = {**examples(images, 2)["encode"], "images": tf.zeros([2, *SHAPE], tf.int64)}
    refused(lambda: images["encode"](**inputs), "was expected to be a uint8 tensor")


def test_pixels_that_are_not_finite_are_never_black(tmp_path):
    dist = nvp.flows.build("uva_simple", SHAPE, levels=1000, width=2, couplings=1, blocks=1)
    for variable in dist.trainable_variables:
        variable.assign(np.nan * variable)
    signatures = tf.saved_model.load(str(nvp.export(dist, tmp_path / "flow"))).signatures
    latents, draw = tf.zeros([2, 16]), {**SEED, **ONE, "num_samples": tf.constant(2)}
    refused(lambda: signatures["decode"](latents=latents), "The flow decodes these latents to NaN")
    refused(lambda: signatures["sample"](**draw), "The flow decodes these latents to NaN")
    fast = nvp.Lite(dist, num=2)
    for call in (lambda: nvp.decode(dist, latents), lambda: nvp.sample(dist, 2), fast.sample):
        with pytest.raises(ValueError, match=r"^The flow decodes these latents to NaN: "):
            call()
