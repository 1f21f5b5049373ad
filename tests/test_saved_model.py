"""The SavedModel: its signatures, its size, what it refuses; TensorFlow alone serves it."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
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
    origin = {"seed": (tf.int32, [None, 2]), "row": (tf.int32, [None])}
    draw = {"num_samples": (tf.int32, []), "temperature": (tf.float32, [])}
    latents = {"latents": (tf.float32, [None, 16])}
    assert described == {
        "serving_default": (data, {"log_prob": figure, "bits_per_dim": figure}),
        "log_prob": ({**data, **seed}, {"log_prob": figure}),
        "sample": ({**draw, **seed}, data),
        "encode": (data, latents),
        "decode": (latents, data),
        "log_prob_rows": ({**data, **origin}, {"log_prob": figure}),
        "sample_rows": ({"temperature": figure, **origin}, data),
    }


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


# Loads a model and copies of it, as a server does with new versions; prints the growth in MB.
LOADER = """
import gc, resource, shutil, sys, tempfile
import tensorflow as tf
def load(path):
    tf.saved_model.load(path)
    gc.collect()
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * resource.getpagesize() / 1e6
path, times = sys.argv[1], int(sys.argv[2])
load(path)
before = load(path)
for _ in range(times):
    load(path)
with tempfile.TemporaryDirectory() as folder:
    for version in range(times):
        after = load(shutil.copytree(path, f"{folder}/{version}"))
print(after - before)
"""


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_loading_again_and_new_versions_take_no_memory(tmp_path, times):
    small = nvp.flows.build("uva_simple", SHAPE, width=2, couplings=1, blocks=1)
    path = nvp.export(small, tmp_path / "flow")
    result = subprocess.run(
        [sys.executable, "-c", LOADER, str(path), str(times)],
        capture_output=True,
        text=True,
        check=True,
    )
    # With their gradients, TensorFlow keeps 28 MB of each.
    assert float(result.stdout) < 60
    assert "gradient" not in result.stderr  # a warning of each that is missing


def test_conditioners_in_bfloat16_are_exported_in_float32(tmp_path, images):
    dist = flow(conditioner_dtype="mixed_bfloat16")
    signatures = tf.saved_model.load(str(nvp.export(dist, tmp_path / "flow"))).signatures
    dtypes = {
        attribute.type
        for function in signatures.values()
        for nodes in (f.node_def for f in function.graph.as_graph_def().library.function)
        for node in nodes
        for attribute in node.attr.values()
    }
    assert tf.float32.as_datatype_enum in dtypes
    assert tf.bfloat16.as_datatype_enum not in dtypes
    context = {"seed": (3, 4), "exact": True}
    seeded = signatures["log_prob"](images=images, seed=tf.constant([3, 4]))["log_prob"]
    np.testing.assert_allclose(seeded, dist.log_prob(images, bijector_kwargs=context), rtol=FLOAT32)
    served = signatures["serving_default"]
    together = served(images=images)["log_prob"].numpy()
    alone = [served(images=images[i : i + 1])["log_prob"].numpy()[0] for i in range(len(images))]
    np.testing.assert_allclose(alone, together, rtol=1e-6)


def test_an_export_of_a_fixed_size_converts_to_litert(tmp_path, images):
    path = nvp.export(flow("uva_simple", num_classes=3), tmp_path / "flow", batch_size=2)
    signatures = tf.saved_model.load(str(path)).signatures
    inputs = {"images": images[:2], "labels": np.arange(2, dtype="int32")}
    expected = signatures["serving_default"](**{k: tf.constant(v) for k, v in inputs.items()})
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(path), signature_keys=["serving_default"]
    )
    program = Interpreter(model_content=converter.convert()).get_signature_runner()
    results = program(**inputs)
    assert set(results) == {"log_prob", "bits_per_dim"}
    for name, value in results.items():
        np.testing.assert_allclose(value, expected[name], rtol=FLOAT32)
    # Every call has its size, but that of `sample`.
    with pytest.raises(tf.errors.InvalidArgumentError, match="compatible with expected shape"):
        signatures["serving_default"](**{k: tf.constant(v)[:0] for k, v in inputs.items()})


def small_vectors():
    return nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,))


@pytest.mark.parametrize("through", ["missing folders", "a link", "a dangling link", "nothing"])
def test_where_an_export_goes(tmp_path, through):
    directory = tmp_path / "flow"
    if through == "missing folders":
        directory = tmp_path / "a" / "b" / "flow"
    elif through != "nothing":
        (tmp_path / "target").mkdir(exist_ok=through == "a link")
        directory.symlink_to(tmp_path / "target")
        if through == "a dangling link":
            (tmp_path / "target").rmdir()
    assert nvp.export(small_vectors(), directory) == directory
    assert "serving_default" in tf.saved_model.load(str(directory)).signatures
    assert not list(tmp_path.rglob(".writing-*"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"num_importance_samples": 0}, "num_importance_samples to be a whole number of at least"),
        ({"num_importance_samples": 1.5}, "num_importance_samples to be a whole number of at"),
        ({"batch_size": 0}, "batch_size to be a whole number of at least 1, got 0"),
        ({"batch_size": True}, "batch_size to be a whole number of at least 1, got True"),
    ],
)
def test_numbers_out_of_range_export_nothing(tmp_path, options, sentence):
    with pytest.raises(ValueError, match=f"^export needs {sentence}"):
        nvp.export(small_vectors(), tmp_path / "flow", **options)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_written_over(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "full")
    for name, error, sentence in (
        ("file", ValueError, "file is a file: give a directory"),
        ("full", ValueError, "full exists and is not empty: give another directory"),
        ("link", ValueError, "link exists and is not empty: give another directory"),
        ("file/flow", OSError, r"Cannot write .*flow: Not a directory\.$"),
    ):
        with pytest.raises(error, match=sentence):
            nvp.export(small_vectors(), tmp_path / name)
    with pytest.raises(TypeError, match="export needs dist to be a Flow, got"):
        nvp.export(small_vectors().bijector, tmp_path / "flow")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "file", "full", "link"]
