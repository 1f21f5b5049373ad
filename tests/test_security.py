"""Nothing that is loaded runs code, and archives from elsewhere are refused before they unpack."""

import ast
import base64
import json
import marshal
import re
import stat
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfp_realnvp as nvp
from tfp_realnvp import datasets
from tfp_realnvp.datasets import DatasetError

ROOT = Path(__file__).resolve().parents[1]
RAN = "it ran"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A flow with a network of Keras, whose first layer has an activation."""
    layers = [keras.layers.Dense(7, "relu"), keras.layers.Dense(4)]
    coupling = nvp.bijectors.Coupling(nvp.bijectors.Halves(), keras.Sequential(layers))
    return nvp.save(nvp.Flow([coupling], (3,)), tmp_path_factory.mktemp("saved") / "flow.keras")


def touch(x):
    Path(RAN).touch()
    return x


CODE = base64.b64encode(marshal.dumps(touch.__code__)).decode()
FUNCTIONS = {
    "a lambda": {
        "class_name": "__lambda__",
        "config": {"value": CODE, "defaults": None, "closure": None},
    },
    "a layer of a lambda": {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"function": {"class_name": "__lambda__", "config": {"value": CODE}}},
        "registered_name": None,
    },
    "a function by its module": {
        "module": "os",
        "class_name": "function",
        "config": "getcwd",
        "registered_name": "function",
    },
    "a class by its module": {
        "module": "subprocess",
        "class_name": "Popen",
        "config": {"args": ["touch", RAN]},
        "registered_name": None,
    },
    "a loader of Keras": {
        "module": "keras.saving",
        "class_name": "function",
        "config": "load_model",
        "registered_name": "function",
    },
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_in_a_saved_flow_is_not_run(saved, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile("evil.keras", "w") as copy:
        for member in source.namelist():
            content = source.read(member)
            if member == "config.json":
                text = content.decode()
                assert text.count('"relu"') == 1
                content = text.replace('"relu"', json.dumps(FUNCTIONS[name])).encode()
            copy.writestr(member, content)
    with pytest.raises(ValueError, match=r"evil\.keras (is damaged or is no flow|needs )"):
        nvp.load("evil.keras")
    assert not Path(RAN).exists()


def test_arrays_of_objects_are_not_unpickled(tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return Path.touch, (Path(RAN),)

    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.array([Evil()] * 3), allow_pickle=True)
    np.savez("x.npz", allow_pickle=True, x=np.array([Evil()] * 3))
    for path in ("x.npy", "x.npz"):
        with pytest.raises(DatasetError, match=r"objects?, where numbers were expected"):
            datasets.load_arrays(tmp_path / path)
    assert not Path(RAN).exists()


def test_the_package_itself_runs_nothing_that_it_reads():
    """Of what could, nothing is called; NumPy's own reader is told to take no pickles each time."""
    never = {"eval", "exec", "loads", "enable_unsafe_deserialization", "extractall", "unsafe_load"}
    for path in [*ROOT.glob("tfp_realnvp/**/*.py"), *ROOT.glob("scripts/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {getattr(node, "module", None), *(alias.name for alias in node.names)}
                assert not names & {"pickle", "marshal", "dill", "shelve"}, path
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            owner = getattr(getattr(node.func, "value", None), "id", "")
            assert name not in never or (owner, name) == ("json", "loads"), (path, node.lineno)
            if (owner, name) == ("np", "load"):
                keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                assert keywords.get("allow_pickle") == "False", (path, node.lineno)


def member(name, content=b"x", *, link=False, compressed=False):
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    info.external_attr = (stat.S_IFLNK if link else stat.S_IFREG) << 16
    return info, content


MEMBERS = {
    "it holds ../../evil.png, a path that leads out of it": member("../../evil.png"),
    r"it holds a\..\..\evil.png, a path that leads out of it": member("a\\..\\..\\evil.png"),
    "it holds home.png, which is a link": member("home.png", b"/etc/passwd", link=True),
    "it holds a name of 60,000 characters": member("a" * 60_000),
    "it holds a name with control characters, 'a\\x1b[2J.png'": member("a\x1b[2J.png"),
    "it holds zeros.png, of which ": member("zeros.png", bytes(2**26 + 1), compressed=True),
}


@pytest.mark.parametrize("sentence", MEMBERS)
@pytest.mark.parametrize("suffix", [".keras", ".zip", ".npz"])
def test_archives_that_no_honest_program_makes_are_refused(saved, tmp_path, sentence, suffix):
    path = tmp_path / f"odd{suffix}"
    if suffix == ".keras":
        path.write_bytes(saved.read_bytes())
    elif suffix == ".npz":
        np.savez(path, x=np.zeros([9, 2]))
    else:
        Image.new("L", (4, 4)).save(tmp_path / "fine.png")
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / "fine.png", "fine.png")
    load = nvp.load if suffix == ".keras" else datasets.load_arrays
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(*MEMBERS[sentence])
    before = {p.name for p in tmp_path.parent.iterdir()}
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        load(path)
    assert len(str(caught.value).splitlines()) == 1
    assert {p.name for p in tmp_path.parent.iterdir()} == before


def test_a_model_that_reaches_for_files_or_python_is_not_served(tmp_path):
    pytest.importorskip("prometheus_client")
    from tfp_realnvp.serving.rest.loaded import Loaded

    class Reads(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="x")])
        def call(self, x):
            return {"content": tf.io.read_file(x)}

    class Calls(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], name="x")])
        def call(self, x):
            return {"y": tf.ensure_shape(tf.numpy_function(np.abs, [x], tf.float32), [None])}

    for module, operation in ((Reads(), "ReadFile"), (Calls(), "PyFunc")):
        path = tmp_path / operation
        tf.saved_model.save(module, str(path), signatures=module.call)
        with pytest.raises(ValueError, match=f"A model with the operation {operation} is not ser"):
            Loaded(path)
