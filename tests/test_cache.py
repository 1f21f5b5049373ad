"""The cache of decoded arrays: whose it is, and that it says what was put in."""

import os

import numpy as np
import pytest

from tfp_realnvp.datasets import DatasetWarning
from tfp_realnvp.datasets import cache as cache_module
from tfp_realnvp.datasets.cache import cache_root, cached

X = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1)
LABELS = np.array([3, 1])


def load(root, *, notes=(), split="train", builds=None):
    def build(scratch):
        if builds is not None:
            builds.append(scratch)
        return {"train": (X, LABELS), "test": (X[:1], None)}, notes

    return cached(split, build, root=root, name="pets", label="pets" * 100, identity=["pets"])


@pytest.fixture(autouse=True)
def _no_other_places(tmp_path, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache_module.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))


def test_splits_and_labels_come_back(tmp_path):
    builds = []
    for _ in range(2):
        x, labels = load(tmp_path, builds=builds)
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(labels, LABELS)
        assert load(tmp_path, split="test", builds=builds)[1] is None
    assert len(builds) == 1


def test_any_flipped_byte_is_noticed(tmp_path):
    with pytest.warns(DatasetWarning):
        load(tmp_path, notes=["images turned: 1 of 2"])
    (file,) = tmp_path.glob("*/train.npz")
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        found = cache_module._read(file)
        if found is None:
            continue
        (x, labels), notes = found  # the byte says nothing, as a time or an attribute
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(labels, LABELS)
        assert notes == ["images turned: 1 of 2"]


def test_what_is_damaged_is_built_anew(tmp_path):
    builds = []
    load(tmp_path, builds=builds)
    (file,) = tmp_path.glob("*/train.npz")
    for damaged in (
        b"",
        file.read_bytes()[:-30],
        file.read_bytes().replace(X.tobytes(), b"x" * 24),
    ):
        file.write_bytes(damaged)
        np.testing.assert_array_equal(load(tmp_path, builds=builds)[0], X)
    assert len(builds) == 4


def test_notes_are_said_from_the_cache_too(tmp_path):
    for _ in range(2):
        with pytest.warns(DatasetWarning, match=r"^pets: images turned: 1 of 2\.$"):
            load(tmp_path, notes=["images turned: 1 of 2"])


def test_the_folder_is_the_users_alone(tmp_path):
    folder = tmp_path / "mine"
    root = cache_root(folder)
    load(root)
    assert root == folder / "tfp_realnvp" and not root.stat().st_mode & 0o077
    assert cache_root(folder) == root
    root.chmod(0o777)
    assert cache_root(folder) == tmp_path / "home" / ".cache" / "tfp_realnvp"


@pytest.mark.parametrize("whose", ["another's", "writable", "link", "file"])
def test_a_folder_of_others_is_not_used(tmp_path, monkeypatch, whose):
    monkeypatch.setattr(cache_module, "is_writable", lambda folder: False)
    root = tmp_path / "tmp" / f"tfp_realnvp-{os.getuid()}"
    assert cache_root(None) == root
    (tmp_path / "tmp").mkdir()
    if whose == "file":
        root.touch()
    elif whose == "link":
        root.symlink_to(tmp_path / "nowhere")
    else:
        root.mkdir(mode=0o700)
        assert cache_root(None) == root
    if whose == "writable":
        root.chmod(0o770)
    elif whose == "another's":
        uid = os.getuid() + 1
        root = root.rename(root.with_name(f"tfp_realnvp-{uid}"))
        monkeypatch.setattr(cache_module.os, "getuid", lambda: uid)
    with pytest.warns(DatasetWarning, match=f"{root} is not used, for it belongs to another user"):
        other = cache_root(None)
    assert other not in (root, root.resolve()) and other.stat().st_mode & 0o077 == 0
    np.testing.assert_array_equal(load(other)[0], X)


def test_a_folder_that_may_not_be_looked_into_is_passed_over(tmp_path):
    shut = tmp_path / "shut"
    shut.mkdir(mode=0)
    if os.geteuid() == 0:  # root may look into everything
        os.seteuid(65_534)
    try:
        assert shut not in cache_root(shut / "data").parents
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
