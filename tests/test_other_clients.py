"""A client that others wrote for TensorFlow Serving talks to our server.

Of those on the package index, `tf-serving` speaks REST and installs beside this TensorFlow;
min-tfs-client, tensorflow-serving-client and serving-utils speak gRPC alone, which ours does not.
It was written for a model that reads words: encoded images to their likeliest words, each with its
log-probability.
"""

import asyncio
import base64

import pytest
import tensorflow as tf
from rest_server import running

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")

from tfp_realnvp.serving.rest.application import application
from tfp_realnvp.serving.rest.model_config import models_of


class Words(tf.Module):
    """Two words for each string; one that is empty is refused."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def read(self, image):
        size = tf.strings.length(image)
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(size > 0), ["empty."])]):
            words = tf.strings.upper(tf.io.decode_base64(image))
        log_prob = -tf.cast(size, tf.float32)[:, None] / [1, 3]
        return {"preds": tf.stack([words, words + "?"], 1), "logprobs": log_prob}


@pytest.mark.slow
def test_tf_serving_of_the_package_index(tmp_path):
    client = pytest.importorskip("tf.serving", reason="pip install tf-serving: a client of others'")
    module = Words()
    tf.saved_model.save(module, str(tmp_path / "ocr" / "1"), signatures=module.read)
    images = [client.encode64(word) for word in (b"e4", b"Nf3", b"O-O-O")]
    assert images[0] == base64.urlsafe_b64encode(b"e4").decode()
    with running(application(models_of([tmp_path / "ocr"]))) as server:

        def ask(images, **where):
            return asyncio.run(client.predict(images, port=server.port, **where))

        answer = ask([image.rstrip("=") for image in images])
        assert answer.tag == "right", answer
        assert [each.preds for each in answer.value] == [
            ["E4", "E4?"],
            ["NF3", "NF3?"],
            ["O-O-O", "O-O-O?"],
        ]
        sizes = [len(image.rstrip("=")) for image in images]
        for each, size in zip(answer.value, sizes, strict=True):
            assert each.logprobs == pytest.approx([-size, -size / 3])
        for images, where, sentence in (
            (["e4", ""], {}, "empty."),
            ([1], {}, "JSON Value: 1 Type: Number is not of expected type: string"),
            ([], {}, "No values in 'instances' array"),
            (["e4"], {"endpoint": "/v1/models/none:predict"}, "Latest(none)"),
        ):
            answer = ask(images, **where)
            assert answer.tag == "left" and answer.value.tag == "tfserving-error"
            assert sentence in answer.value.error
