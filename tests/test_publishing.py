"""Numbered versions of an export, and what comes with each: warm-up requests, a card."""

import hashlib
import re

import numpy as np
import pytest
import tensorflow as tf

import tfp_realnvp as nvp
from tfp_realnvp.cli.main import main
from tfp_realnvp.serving.messages import ModelServerConfig, PredictionLog
from tfp_realnvp.serving.versions import BATCHING, versions_of
from tfp_realnvp.serving.warmup import FILE, read_warmup

KEYS = ["decode", "encode", "log_prob", "log_prob_rows", "sample", "sample_rows", "serving_default"]


def small(**options):
    return nvp.flows.build("realnvp", (2,), couplings=1, widths=(4,), **options)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    options = {"levels": 8, "width": 4, "couplings": 1, "blocks": 1, "num_classes": 3}
    dist = nvp.flows.build("uva_simple", (4, 4, 1), **options)
    base = tmp_path_factory.mktemp("labelled") / "base"
    return base, nvp.export(dist, base, version=7, facts={"data": "noise", "bits/dim": 3.21})


def test_versions_are_published_and_kept(tmp_path):
    base, dist = tmp_path / "made" / "base", small()
    assert versions_of(base) == []
    assert nvp.export(dist, base, version="next") == base / "1"
    assert nvp.export(dist, base, version=4) == base / "4"
    (base / "9").mkdir()  # half of one, by another hand: it counts, and is not served
    (base / "010").mkdir()
    assert nvp.export(dist, base, version="next", keep=2) == base / "10"
    assert versions_of(base) == [4, 10]
    assert sorted(p.name for p in base.iterdir()) == ["010", "10", "4", "9", BATCHING]
    assert "max_batch_size" in (base / BATCHING).read_text()
    served = tf.saved_model.load(str(base / "10")).signatures
    assert sorted(served) == KEYS


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"version": 1}, "has a version 1 already"),
        ({"version": "latest"}, "version to be a whole number or \"next\", got 'latest'"),
        ({"version": -1}, "version to be a whole number of at least 0"),
        ({"version": 2, "keep": 0}, "keep to be a whole number of at least 1"),
        ({"keep": 1}, "export needs a version where keep is given"),
    ],
)
def test_what_is_not_published(tmp_path, options, sentence):
    (tmp_path / "1").mkdir()
    with pytest.raises(ValueError, match=sentence):
        nvp.export(small(), tmp_path, **options)
    assert [p.name for p in tmp_path.iterdir()] == ["1"]


def test_warm_up_requests_are_of_every_signature_and_run(labelled):
    _, path = labelled
    signatures = tf.saved_model.load(str(path)).signatures
    seen = []
    for name, inputs in read_warmup(path):
        specs = signatures[name].structured_input_signature[1]
        assert inputs.keys() == specs.keys()
        for key, value in inputs.items():
            assert value.dtype == specs[key].dtype.as_numpy_dtype
        results = signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        seen.append((name, next(iter(results.values())).shape[0]))
    assert sorted(seen) == [(key, size) for key in KEYS for size in (1, 2)]


def test_a_record_is_on_the_wire_as_tensorflow_serving_reads_it(labelled):
    """By the field numbers of prediction_log.proto and predict.proto, read without our messages."""
    _, path = labelled
    record = next(iter(tf.data.TFRecordDataset(str(path / FILE)).as_numpy_iterator()))
    [(number, log)] = fields(record)
    assert number == 6  # PredictionLog.predict_log
    [(number, request)] = fields(log)
    assert number == 1  # PredictLog.request
    (number, spec), *inputs = fields(request)
    assert number == 1 and fields(spec) == [(3, b"serving_default")]  # ModelSpec.signature_name
    assert [number for number, _ in inputs] == [2, 2]  # PredictRequest.inputs
    entries = [dict(fields(entry)) for _, entry in inputs]
    assert [entry[1] for entry in entries] == [b"images", b"labels"]
    proto = tf.make_tensor_proto(np.zeros([1, 4, 4, 1], "uint8"))
    assert entries[0][2] == proto.SerializeToString()
    assert PredictionLog.FromString(record).SerializeToString() == record


def fields(message):
    """Returns numbers and contents of a message whose fields are all of bytes."""
    found, at = [], 0
    while at < len(message):
        numbers = []
        for _ in range(2):
            value = shift = 0
            while True:
                byte, at = message[at], at + 1
                value, shift = value | (byte & 127) << shift, shift + 7
                if byte < 128:
                    break
            numbers.append(value)
        assert numbers[0] & 7 == 2
        found.append((numbers[0] >> 3, message[at : at + numbers[1]]))
        at += numbers[1]
    return found


def test_damaged_warm_up_requests_are_told(tmp_path):
    assert list(read_warmup(tmp_path)) == []
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_bytes(b"damaged" * 9)
    with pytest.raises(ValueError, match="holds no warm-up requests"):
        list(read_warmup(tmp_path))


def test_the_card_says_what_it_is(labelled):
    _, path = labelled
    text = (path / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: tf\npipeline_tag: unconditional-image-generation\n")
    assert "| data | noise |\n| bits/dim | 3.21 |" in text and "| classes | 3 |" in text
    assert "| `sample` | input | `labels` | int32 `[N]` | classes, from 0 to 2" in text
    assert "| `serving_default` | output | `bits_per_dim` | float32 `[N]` | bits for" in text
    sums = dict(re.findall(r"^\| `(\S+)` \| ([0-9a-f]{64}) \|$", text, re.M))
    files = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
    assert sums.keys() == files - {"README.md"}
    for name, expected in sums.items():
        assert hashlib.sha256((path / name).read_bytes()).hexdigest() == expected


def test_no_operation_is_foreign_to_tensorflow_serving(labelled):
    """Those that its binary is linked with are TensorFlow's kernels: no Python, no custom ops."""
    _, path = labelled

    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        loaded = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(path)).graph_def
    nodes = [*loaded.node, *(n for f in loaded.library.function for n in f.node_def)]
    known = {f.signature.name for f in loaded.library.function}
    operations = {node.op for node in nodes} - known
    assert not {op for op in operations if "PyFunc" in op or op.startswith(("_", "Xla"))}
    assert not {d for node in nodes if "CPU" not in (d := node.device) and d}


def test_export_publishes_from_the_command_line(tmp_path, capsys):
    nvp.save(small(), tmp_path / "flow.keras")
    line = [str(tmp_path / "flow.keras"), str(tmp_path / "base"), "--version"]
    assert main([*line, "next", "--keep", "1"], command="export") == 0
    assert main([*line, "next", "--keep", "1"], command="export") == 0
    assert capsys.readouterr().out.endswith("base/2\n")
    assert versions_of(tmp_path / "base") == [2]
    with pytest.raises(SystemExit):
        main([*line, "newest"], command="export")
    assert "argument --version: invalid" in capsys.readouterr().err


def test_a_model_config_is_read():
    from google.protobuf import text_format

    text = """model_config_list { config { name: 'a' base_path: '/b' model_platform: "tensorflow"
        model_version_policy { specific { versions: 1 versions: 2 } }
        version_labels { key: 'stable' value: 1 } } }"""
    [config] = text_format.Parse(text, ModelServerConfig()).model_config_list.config
    assert (config.name, config.base_path) == ("a", "/b")
    assert list(config.model_version_policy.specific.versions) == [1, 2]
    assert {label.key: label.value for label in config.version_labels} == {"stable": 1}
