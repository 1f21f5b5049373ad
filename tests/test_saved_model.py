"""The SavedModel: its signatures, its size, what it refuses; TensorFlow alone serves it."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from constructors import perturb_weights
from tolerances import FLOAT32

import tfp_realnvp as nvp

SHAPE, LEVELS = (4, 4, 1), 256

# A served process in which this package and TensorFlow Probability cannot be imported.
SERVER = """
import sys, importlib.abc
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("tfp_realnvp", "tensorflow_probability", "keras", "tf_keras"):
            raise ImportError(name)
import tensorflow as tf
sys.meta_path.insert(0, Refuse())
for name in [m for m in sys.modules if m.split(".")[0] in ("tfp_realnvp", "keras")]:
    del sys.modules[name]
import numpy as np
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
images = np.arange(32, dtype="uint8").reshape(2, 4, 4, 1) * 8
print(*[float(v).hex() for v in served(images=tf.constant(images))["log_prob"]])
"""


def flow(name="uva_vardeq", **kwargs):
    dist = nvp.flows.build(name, SHAPE, levels=LEVELS, width=4, couplings=2, blocks=1, **kwargs)
    perturb_weights(dist.bijector)
    return dist


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, LEVELS, (5, *SHAPE)).astype("uint8")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    dist = flow()
    path = nvp.export(dist, tmp_path_factory.mktemp("export") / "flow")
    return dist, path, tf.saved_model.load(str(path)).signatures


def test_signatures_of_images(exported):
    _, _, signatures = exported
    described = {
        key: (
            {k: (s.dtype, s.shape.as_list()) for k, s in f.structured_input_signature[1].items()},
            {k: (s.dtype, s.shape.as_list()) for k, s in f.structured_outputs.items()},
        )
        for key, f in signatures.items()
    }
    data = {"images": (tf.uint8, [None, *SHAPE])}
    figure = (tf.float32, [None])
    seed = {"seed": (tf.int32, [2])}
    draw = {"num_samples": (tf.int32, []), "temperature": (tf.float32, [])}
    latents = {"latents": (tf.float32, [None, 16])}
    assert described == {
        "serving_default": (data, {"log_prob": figure, "bits_per_dim": figure}),
        "log_prob": ({**data, **seed}, {"log_prob": figure}),
        "sample": ({**draw, **seed}, data),
        "encode": (data, latents),
        "decode": (latents, data),
    }


def test_an_empty_batch_gives_empty_results(exported):
    _, _, signatures = exported
    none = tf.zeros([0, *SHAPE], tf.uint8)
    assert signatures["serving_default"](images=none)["bits_per_dim"].shape == [0]
    latents = signatures["encode"](images=none)["latents"]
    assert latents.shape == [0, 16]
    assert signatures["decode"](latents=latents)["images"].shape == [0, *SHAPE]
    seed = tf.constant([0, 1])
    drawn = signatures["sample"](
        num_samples=tf.constant(0), temperature=tf.constant(1.0), seed=seed
    )
    assert drawn["images"].shape == [0, *SHAPE]


def test_served_values_are_those_of_the_flow(exported, images):
    dist, _, signatures = exported
    seeded = signatures["log_prob"](images=images, seed=tf.constant([3, 4]))["log_prob"]
    expected = dist.log_prob(images, bijector_kwargs={"seed": (3, 4)})
    np.testing.assert_allclose(seeded, expected, rtol=FLOAT32)
    served = signatures["serving_default"](images=images)
    np.testing.assert_allclose(
        served["bits_per_dim"], -served["log_prob"] / (16 * np.log(2)), rtol=1e-6
    )
    latents = signatures["encode"](images=images)["latents"]
    np.testing.assert_allclose(latents, nvp.encode(dist, images), atol=FLOAT32)
    np.testing.assert_array_equal(signatures["decode"](latents=latents)["images"], images)
    draw = {"temperature": tf.constant(1.0), "seed": tf.constant([0, 1])}
    samples = signatures["sample"](num_samples=tf.constant(64), **draw)["images"].numpy()
    assert samples.shape == (64, *SHAPE) and samples.std() > 1


def test_a_row_does_not_depend_on_the_rows_beside_it(exported, images):
    _, _, signatures = exported
    served = signatures["serving_default"]
    together = served(images=images)["log_prob"].numpy()
    np.testing.assert_array_equal(together, served(images=images)["log_prob"])
    for i in range(len(images)):
        alone = served(images=images[i : i + 1])["log_prob"].numpy()
        np.testing.assert_allclose(alone, together[i : i + 1], rtol=1e-6)


def test_batches_of_one_and_of_more_take_turns(exported, images):
    _, _, signatures = exported
    draw = {"temperature": tf.constant(1.0), "seed": tf.constant([0, 1])}
    for count in (1, 3, 1, 5):
        latents = signatures["encode"](images=images[:count])["latents"]
        assert latents.shape == [count, 16]
        decoded = signatures["decode"](latents=latents)["images"]
        np.testing.assert_array_equal(decoded, images[:count])
        drawn = signatures["sample"](num_samples=tf.constant(count), **draw)["images"]
        assert drawn.shape == [count, *SHAPE]


@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (2, 4, 4, 3), (4, 4, 1)])
def test_a_wrong_shape_is_refused(exported, shape):
    _, _, signatures = exported
    for key, more in (("serving_default", {}), ("log_prob", {"seed": tf.constant([0, 1])})):
        with pytest.raises((ValueError, TypeError, tf.errors.InvalidArgumentError)):
            signatures[key](images=tf.zeros(shape, tf.uint8), **more)
    with pytest.raises((ValueError, TypeError, tf.errors.InvalidArgumentError)):
        signatures["decode"](latents=tf.zeros([2, 1]))


def test_pixels_out_of_range_are_refused(tmp_path):
    dist = nvp.flows.build("uva_simple", SHAPE, levels=8, width=4, couplings=2)
    signatures = tf.saved_model.load(str(nvp.export(dist, tmp_path / "flow"))).signatures
    bad = tf.fill([1, *SHAPE], tf.constant(8, tf.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError, match="integers from 0 to 7"):
        signatures["serving_default"](images=bad)


def test_tensorflow_alone_serves_it(exported):
    _, path, signatures = exported
    result = subprocess.run(
        [sys.executable, "-c", SERVER, str(path)], capture_output=True, text=True, check=True
    )
    served = [float.fromhex(value) for value in result.stdout.split()]
    images = np.arange(32, dtype="uint8").reshape(2, *SHAPE) * 8
    np.testing.assert_allclose(
        served, signatures["serving_default"](images=images)["log_prob"], rtol=1e-6
    )


def test_vectors_and_labels(tmp_path):
    dist = nvp.flows.build("realnvp", (3,), num_classes=4, couplings=2, widths=(8,))
    perturb_weights(dist.bijector)
    signatures = tf.saved_model.load(str(nvp.export(dist, tmp_path / "flow"))).signatures
    x, labels = np.random.default_rng(0).normal(size=(4, 3)).astype("float32"), np.arange(4)
    served = signatures["serving_default"](x=x, labels=labels.astype("int32"))
    assert set(served) == {"log_prob"}
    expected = dist.log_prob(x, bijector_kwargs={"labels": labels})
    np.testing.assert_allclose(served["log_prob"], expected, rtol=FLOAT32, atol=FLOAT32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="integers from 0 to 3"):
        signatures["serving_default"](x=x, labels=np.full(4, 9, "int32"))


def test_one_image_takes_one_label(tmp_path, images):
    path = nvp.export(flow("uva_simple", num_classes=3), tmp_path / "flow")
    signatures = tf.saved_model.load(str(path)).signatures
    served, sample = signatures["serving_default"], signatures["sample"]
    draw = {"temperature": tf.constant(1.0), "seed": tf.constant([0, 1])}
    one, two = tf.constant([1]), tf.constant([1, 2])
    assert served(images=images[:1], labels=one)["log_prob"].shape == [1]
    assert sample(num_samples=tf.constant(1), labels=one, **draw)["images"].shape == [1, *SHAPE]
    with pytest.raises(tf.errors.InvalidArgumentError, match="One example has one label"):
        served(images=images[:1], labels=two)
    with pytest.raises(tf.errors.InvalidArgumentError, match="One example has one label"):
        sample(num_samples=tf.constant(1), labels=two, **draw)


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("uva_simple", {"couplings": 1, "blocks": 2, "width": 128}, 728_067),
        pytest.param("uva_multiscale", {}, 1_711_818, marks=pytest.mark.slow),
    ],
)
def test_weights_are_stored_once(tmp_path, name, options, count):
    dist = nvp.flows.build(name, (28, 28, 1), **options)
    path = nvp.export(dist, tmp_path / "flow")
    parameters = sum(int(tf.size(v)) for v in dist.variables)
    assert parameters == count
    stored = sum(file.stat().st_size for file in (path / "variables").iterdir())
    assert stored <= 1.02 * 4 * parameters
    assert (path / "saved_model.pb").stat().st_size <= 10e6


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        message = "{{function_node x}} variables/part; No space left on device [Op:SaveV2]"
        raise tf.errors.ResourceExhaustedError(None, None, message)

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(OSError, match=r"Cannot write .*flow: No space left on device\.$"):
        nvp.export(flow("uva_simple"), tmp_path / "flow")
    assert list(tmp_path.iterdir()) == []


def test_xla_between_convolutions(tmp_path, images):
    with pytest.raises(ValueError, match=r"bfloat16 gated convolutions; .* has none"):
        nvp.export(flow(), tmp_path / "none", by_xla=True)
    dist = flow(conditioner_dtype="mixed_bfloat16")
    results = []
    for by_xla in (False, True):
        path = nvp.export(dist, tmp_path / str(by_xla), by_xla=by_xla)
        signatures = tf.saved_model.load(str(path)).signatures
        for key in ("serving_default", "log_prob", "sample", "encode"):
            library = signatures[key].graph.as_graph_def().library.function
            operations = {node.op for function in library for node in function.node_def}
            assert ("Bitcast" in operations) == (by_xla and key != "encode")  # pairs as words
        for count in (0, 1, 5):
            batch = tf.constant(images[:count])
            results.append(signatures["serving_default"](images=batch)["log_prob"].numpy())
        latents = signatures["encode"](images=tf.constant(images))["latents"]
        np.testing.assert_array_equal(signatures["decode"](latents=latents)["images"], images)
    plain, compiled = results[:3], results[3:]
    np.testing.assert_array_equal(compiled[1], plain[1])  # one image stays as it is
    np.testing.assert_allclose(compiled[2], plain[2], rtol=5e-3)
    assert compiled[0].shape == (0,)
