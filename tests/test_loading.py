"""What `load` takes, and what it refuses before it builds anything."""

import json
import subprocess
import sys
import tracemalloc
import types
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from constructors import FLOWPP

import tfp_realnvp as nvp
from tfp_realnvp import registration

ROOT = Path(__file__).resolve().parents[1]
FLOWS = {
    "uva_simple": ((4, 4, 1), {"width": 2, "couplings": 1, "blocks": 1}),
    "lecture_realnvp": ((4, 4, 1), {"width": 2, "blocks": 1}),
    "glow": ((4, 4, 1), {"width": 2, "steps": 1}),
    "flowpp": ((4, 4, 1), FLOWPP),
    "jet": (
        (4, 4, 1),
        {"couplings": 2, "depth": 1, "width": 4, "heads": 2, "patch": 2},
    ),
    "tarflow": ((4, 4, 1), {"patch": 2, "width": 4, "blocks": 1, "layers": 1}),
    "realnvp": ((3,), {"couplings": 1, "widths": (4,)}),
    "maf": ((3,), {"layers": 1, "widths": (4,)}),
    "planar": ((3,), {"layers": 1}),
    "neural_ode": ((3,), {"widths": (4,)}),
    "residual": ((3,), {"blocks": 1, "widths": (4,)}),
    "sets": ((3, 2), {"couplings": 1, "widths": (4,)}),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")

    def save(name, **kwargs):
        path = folder / f"{name}{len(kwargs)}.keras"
        shape, options = FLOWS[name]
        return (
            path
            if path.exists()
            else nvp.save(nvp.flows.build(name, shape, **options, **kwargs), path)
        )

    return save


def edited(path, target, edit):
    """Copies a saved flow with an edited configuration."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                edit(config)
                content = json.dumps(config).encode()
            copy.writestr(name, content)
    return target


def inflated(config, key, value):
    """Sets an option wherever there is one of its name."""
    found = 0
    if isinstance(config, list):
        found += sum(inflated(entry, key, value) for entry in config)
    elif isinstance(config, dict):
        for name in list(config):
            if name == key:
                config[name], found = value, found + 1
            else:
                found += inflated(config[name], key, value)
    return found


def replaced(config, key, values):
    """Exchanges the values of an option wherever there is one of its name."""
    for entry in config.values() if isinstance(config, dict) else config:
        if isinstance(entry, dict | list):
            replaced(entry, key, values)
    if isinstance(config, dict) and key in config:
        config[key] = values[config[key]]


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("uva_simple", "event_shape", [30_000, 30_000, 1]),
        ("glow", "event_shape", [4, 4, 30_000]),
        ("realnvp", "event_shape", [10**6]),
        ("maf", "event_shape", [20_000]),
        ("planar", "event_shape", [10**9]),
        ("uva_simple", "width", 10**5),
        ("uva_simple", "blocks", 10**9),
        ("lecture_realnvp", "blocks", 10**9),
        ("glow", "width", 10**5),
        ("flowpp", "components", 10**8),
        ("jet", "width", 10**5),
        ("jet", "depth", 10**9),
        ("tarflow", "width", 10**5),
        ("tarflow", "depth", 10**9),
        ("realnvp", "widths", [10**9]),
        ("realnvp", "widths", [10] * 10**5),
        ("maf", "widths", [10**5, 10**5]),
        ("neural_ode", "widths", [10**9]),
        ("uva_simple", "num_classes", 10**9),
        ("lecture_realnvp", "num_classes", 10**9),
        ("realnvp", "num_classes", 10**9),
    ],
)
def test_a_file_that_asks_for_more_than_it_holds_is_refused_before_it_is_built(
    saved, tmp_path, name, key, value
):
    path = edited(saved(name), tmp_path / "big.keras", lambda c: inflated(c, key, value))
    # Where the conditioner's outputs are in the file as well, they are at odds first.
    refusals = r"big\.keras (asks for more than its [\d,]+ bytes of w|is damaged .* made with outp)"
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=refusals):
            nvp.load(path)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("units", [6, 10**9])
def test_a_layer_of_keras_asks_for_no_more_than_the_file_holds(tmp_path, units):
    layers = [keras.layers.Dense(7), keras.layers.Dense(4)]
    coupling = nvp.bijectors.Coupling(nvp.bijectors.Halves(), keras.Sequential(layers))
    path = nvp.save(nvp.Flow([coupling], (3,)), tmp_path / "plain.keras")
    big = edited(path, tmp_path / "big.keras", lambda c: replaced(c, "units", {7: units, 4: 4}))
    refusal = "asks for more" if units > 10**6 else "is damaged"
    with pytest.raises(ValueError, match=rf"big\.keras {refusal}"):
        nvp.load(big)
    assert nvp.load(path).event_shape == (3,)


def test_a_compressed_file_is_loaded_and_a_bomb_is_not(saved, tmp_path):
    path = saved("realnvp")
    for name, size in (("honest", 0), ("bomb", 5 * 10**7)):
        with (
            zipfile.ZipFile(path) as source,
            zipfile.ZipFile(tmp_path / f"{name}.keras", "w", zipfile.ZIP_DEFLATED) as copy,
        ):
            for member in source.namelist():
                padding = bytes(size if member == "model.weights.h5" else 0)
                copy.writestr(member, source.read(member) + padding)
    assert nvp.load(tmp_path / "honest.keras").event_shape == (3,)
    bomb = edited(tmp_path / "bomb.keras", tmp_path / "big.keras", lambda c: None)
    with zipfile.ZipFile(tmp_path / "bomb.keras") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content["config.json"])
    inflated(config, "widths", [10**7 - 10**6])
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in {**content, "config.json": json.dumps(config)}.items():
            archive.writestr(name, value)
    with pytest.raises(ValueError, match="asks for more than its"):
        nvp.load(bomb)


def test_a_class_that_is_not_imported_is_named(saved, tmp_path):
    def rename(config):
        member = config["config"]["dist"]["bijectors"][1]
        member.update(module="mine.bijectors", class_name="Mine", registered_name="mine>Mine")

    path = edited(saved("realnvp"), tmp_path / "custom.keras", rename)
    with pytest.raises(ValueError, match=r"needs the class Mine of mine\.bijectors: import what"):
        nvp.load(path)
    with keras.saving.custom_object_scope({"mine>Mine": nvp.bijectors.Coupling}):
        assert nvp.load(path).event_shape == (3,)


def test_the_reason_of_another_failure_is_told(saved, tmp_path):
    def break_it(config):
        inflated(config, "widths", [4.5])

    path = edited(saved("realnvp"), tmp_path / "broken.keras", break_it)
    with pytest.raises(ValueError, match=r"\.keras is damaged or is no flow .*: MLP needs wid"):
        nvp.load(path)


def test_an_unzipped_directory_of_keras_is_loaded_and_told_from_a_run(saved, tmp_path):
    dist = nvp.load(saved("realnvp"))
    keras.saving.save_model(nvp.FlowModel(dist), tmp_path / "unzipped", zipped=False)
    x = np.ones([2, 3])
    np.testing.assert_array_equal(nvp.load(tmp_path / "unzipped").log_prob(x), dist.log_prob(x))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"flow": "realnvp"}')
    with pytest.raises(FileNotFoundError, match=r"run is no run directory .*: it has no best"):
        nvp.load(tmp_path / "run")
    nvp.save(dist, tmp_path / "run" / "best.keras")
    assert nvp.load(tmp_path / "run").event_shape == (3,)
    config = json.loads((tmp_path / "unzipped" / "config.json").read_text())
    inflated(config, "widths", [10**8])
    (tmp_path / "unzipped" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="unzipped asks for more than its"):
        nvp.load(tmp_path / "unzipped")


def test_a_handle_of_the_hub_is_loaded_where_its_package_is(saved, tmp_path, monkeypatch):
    hook = "keras.src.saving.saving_lib.huggingface_hub"
    monkeypatch.setattr(hook, None)
    with pytest.raises(ImportError, match="hf://me/flow needs the package huggingface_hub: pip"):
        nvp.load("hf://me/flow")
    dist = nvp.load(saved("realnvp"))
    keras.saving.save_model(nvp.FlowModel(dist), tmp_path / "me/flow", zipped=False)
    hub = types.SimpleNamespace(snapshot_download=lambda repo_id, **_: str(tmp_path / repo_id))
    monkeypatch.setattr(hook, hub)
    np.testing.assert_array_equal(
        nvp.load("hf://me/flow").log_prob([[0.0] * 3]), dist.log_prob([[0.0] * 3])
    )


# What Keras finds by itself.


def test_every_class_that_is_saved_has_a_stand_in():
    listed = {f"tfp_realnvp>{name}" for names in registration.CLASSES.values() for name in names}
    known = {key for key in keras.saving.get_custom_objects() if key.startswith("tfp_realnvp>")}
    bases = {
        f"tfp_realnvp>{name}" for name in ("AffineFromData", "Container", "Gated", "Lipschitz")
    }  # abstract
    assert listed == {key for key in known if not key.startswith("tfp_realnvp>_")} - bases


@pytest.mark.parametrize("first", ["tfp_realnvp", "keras"])
def test_keras_loads_a_model_after_the_import_of_the_package_alone(saved, tmp_path, first):
    second = "keras" if first == "tfp_realnvp" else "tfp_realnvp"
    network = keras.Sequential([keras.Input((2,)), nvp.conditioners.MLP(widths=(3,), outputs=1)])
    network.compile(nvp.Adam(0.5), loss="mse")
    network.save(tmp_path / "network.keras")
    bijector = keras.saving.serialize_keras_object(nvp.bijectors.Permutation(order="reverse"))
    code = (
        f"import {first}, {second}, json, sys\n"
        "import importlib.util; importlib.util.find_spec('keras')\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "assert type(model).__name__ == 'FlowModel', type(model)\n"
        "network = keras.saving.load_model(sys.argv[2])\n"
        "assert type(network.optimizer) is tfp_realnvp.Adam\n"
        "assert type(network.layers[0]) is tfp_realnvp.conditioners.MLP\n"
        "bijector = keras.saving.deserialize_keras_object(json.loads(sys.argv[3]))\n"
        "assert type(bijector) is tfp_realnvp.bijectors.Permutation\n"
    )
    arguments = [str(saved("uva_simple")), str(tmp_path / "network.keras"), json.dumps(bijector)]
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT
    )
    assert run.returncode == 0, run.stderr


def test_the_import_of_the_package_imports_neither_keras_nor_tensorflow():
    code = (
        "import sys, importlib.util, tfp_realnvp\n"
        "importlib.util.find_spec('keras')\n"
        "print({'keras', 'tensorflow', 'numpy'} & set(sys.modules))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout == "set()\n", run.stderr
