"""Batches: functions of seed and step, so that a run can resume at any of them."""

import itertools

import numpy as np
import pytest

from tfp_realnvp import datasets

X = np.arange(23)[:, None].astype("float32")


def take(count, **kwargs):
    stream = datasets.batches(X, batch_size=4, **{"seed": 3, **kwargs})
    return [batch[:, 0] for batch in itertools.islice(stream.as_numpy_iterator(), count)]


def test_an_epoch_shows_each_example_at_most_once_and_epochs_differ():
    first, second = np.reshape(take(10), (2, 20))
    for epoch in (first, second):
        assert len(set(epoch)) == 20
    assert (first != second).any()
    assert (np.ravel(take(5, seed=4)) != first).any()


@pytest.mark.parametrize("start", [1, 4, 5, 7, 13])
def test_a_stream_begins_anywhere(start):
    np.testing.assert_array_equal(take(20)[start:], take(20 - start, start_step=start))


def test_labels_stay_with_their_examples():
    stream = datasets.batches(X, np.arange(23), batch_size=5, seed=0, num_steps=9)
    for x, labels in stream.as_numpy_iterator():
        np.testing.assert_array_equal(x[:, 0], labels)


def test_validation_is_whole_and_in_order():
    batches = take(None, shuffle=False, drop_remainder=False)
    assert [len(b) for b in batches] == [4] * 5 + [3]
    np.testing.assert_array_equal(np.concatenate(batches), X[:, 0])


def test_flips_mirror_half_of_the_images_and_resume(rng):
    images = rng.integers(0, 255, (64, 2, 3, 1), np.uint8)

    def stream(**kwargs):
        batches = datasets.batches(images, batch_size=64, seed=1, flip=True, **kwargs)
        return list(batches.as_numpy_iterator())

    known = {image.tobytes(): "same" for image in images}
    known |= {image[:, ::-1].tobytes(): "mirrored" for image in images}
    shown = [known[image.tobytes()] for batch in stream(num_steps=10) for image in batch]
    assert 0.42 < shown.count("mirrored") / len(shown) < 0.58
    np.testing.assert_array_equal(stream(num_steps=10)[6:], stream(num_steps=4, start_step=6))


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"batch_size": 24}, "Batches of 24 cannot be made of 23 examples"),
        ({"batch_size": 0}, "batch_size >= 1"),
        ({"batch_size": 4.5}, r"batch_size must be an integer; got 4\.5"),
        ({"seed": None}, "seed must be an integer; got None"),
        ({"start_step": 0.0}, "start_step must be an integer"),
        ({"num_steps": "3"}, "num_steps must be an integer; got '3'"),
        ({"labels": np.zeros(3)}, "3 labels for 23 examples"),
        ({"flip": True}, "Only images"),
    ],
)
def test_errors(kwargs, sentence):
    with pytest.raises(datasets.DatasetError, match=sentence):
        datasets.batches(X, **{"batch_size": 4, "seed": 0, **kwargs})
