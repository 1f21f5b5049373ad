"""`compress`, `decompress`, `list` and `test`, the way that they are typed."""

import io
import subprocess
import sys

import numpy as np
import pytest
from coded_flows import images, small
from PIL import Image

import tfp_realnvp as nvp
from tfp_realnvp.cli.main import main

RUN = "import sys; from tfp_realnvp.cli.main import main; sys.exit(main())"


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    path = tmp_path_factory.mktemp("codec") / "small.nvpm"
    nvp.Codec.of(small("uva_simple")).save(path)
    return str(path)


@pytest.fixture
def folder(tmp_path):
    x = images(5)
    for i, image in enumerate(x):
        path = tmp_path / "in" / ("a" if i % 2 else "b/c") / f"{i}.{'bmp' if i == 3 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(path)
    return tmp_path / "in"


def pixels(folder):
    return {
        path.relative_to(folder).as_posix(): np.asarray(Image.open(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_folder(folder, codec, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["compress", "in", "--model", codec]) == 0
    assert "in.nvp: 5 images" in capsys.readouterr().out
    assert main(["list", "in.nvp", "--names"]) == 0
    said = capsys.readouterr().out
    assert "5 images of 8x8x1, uint8, 1 frames" in said and "embedded" in said
    assert said.splitlines()[1:] == ["a/1.png", "a/3.bmp", "b/c/0.png", "b/c/2.png", "b/c/4.png"]
    assert main(["test", "in.nvp"]) == 0
    assert "every pixel comes back" in capsys.readouterr().out
    assert main(["decompress", "in.nvp", "out"]) == 0
    before, after = pixels(folder), pixels(tmp_path / "out")
    assert sorted(after) == sorted(n if n.endswith("png") else f"{n}.png" for n in before)
    for name, image in before.items():
        np.testing.assert_array_equal(after[name if name.endswith("png") else f"{name}.png"], image)


def test_nothing_is_replaced_or_removed_unasked(folder, codec, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", images(3))
    assert main(["compress", "x.npy", "--model", codec]) == 0
    before = (tmp_path / "x.nvp").read_bytes()
    assert main(["compress", "x.npy", "--model", codec]) == 2
    assert "x.nvp is there already: --force replaces it." in capsys.readouterr().err
    assert main(["decompress", "x.nvp"]) == 2
    assert main(["compress", "in", "x.nvp", "--model", codec, "--rm"]) == 2
    assert (tmp_path / "x.nvp").read_bytes() == before and folder.is_dir()
    assert main(["decompress", "x.nvp", "in"]) == 2
    assert "give the images another folder" in capsys.readouterr().err
    assert main(["compress", "x.npy", "--model", codec, "-f", "--rm"]) == 0
    assert not (tmp_path / "x.npy").exists()
    assert main(["decompress", "x.nvp", "--rm"]) == 0
    np.testing.assert_array_equal(np.load("x.npy"), images(3))
    assert not (tmp_path / "x.nvp").exists()
    assert {p.name for p in tmp_path.iterdir()} == {"in", "x.npy"}  # and nothing by halves


def test_labels_of_a_file(codec, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    nvp.save(small("uva_multiscale", num_classes=3), "classes.keras")
    x, labels = images(6), np.arange(6) % 3
    np.savez("x.npz", x=x, labels=labels)
    assert main(["compress", "x.npz", "--model", "classes.keras"]) == 0
    assert main(["decompress", "x.nvp", "y.npz", "--test"]) == 0
    assert main(["decompress", "x.nvp", "y.npz"]) == 0
    with np.load("y.npz") as back:
        np.testing.assert_array_equal(back["x"], x)
        np.testing.assert_array_equal(back["labels"], labels)
    assert main(["compress", "x.npz", "z.nvp", "--model", codec, "--images_per_frame", "2"]) == 0
    assert main(["decompress", "z.nvp", "z.npy", "--list"]) == 0


def test_streams(codec):
    file = io.BytesIO()
    np.save(file, images(4))
    data = file.getvalue()
    for command in (["compress", "-", "--model", codec], ["decompress", "-"]):
        run = [sys.executable, "-c", RUN, *command]
        data = subprocess.run(run, input=data, capture_output=True, check=True).stdout
    assert data == file.getvalue()


@pytest.mark.parametrize(
    ("files", "command", "sentence"),
    [
        ({}, ["compress", "nothing"], "No such file or directory: nothing"),
        (
            {"x.npy": np.zeros([2, 5, 5], int)},
            ["compress", "x.npy"],
            "no pretrained codec for images",
        ),
        ({"x.npy": np.zeros([2, 8, 8, 1])}, ["compress", "x.npy"], "whole numbers"),
        ({"x.npz": b"no zip"}, ["compress", "x.npz"], "x.npz is damaged"),
        ({"x.npy": b"nothing"}, ["compress", "x.npy"], "x.npy is damaged"),
        ({"x.nvp": b"nothing"}, ["decompress", "x.nvp"], "no archive of images"),
        ({"x.nvp": b"nothing"}, ["test", "x.nvp", "--model", "x.nvp"], "x.nvp"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    files, command, sentence, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        else:
            np.save(name, content)
    assert main(command) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.startswith("error: ") and len(said.splitlines()) == 1
    assert {p.name for p in tmp_path.iterdir()} == set(files)


def test_images_that_would_not_come_back_are_refused(codec, folder, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros([8, 8, 4], "uint8")).save(folder / "z.png")
    assert main(["compress", "in", "--model", codec]) == 2
    assert "z.png is of mode RGBA" in capsys.readouterr().err
    Image.fromarray(np.zeros([9, 8], "uint8")).save(folder / "z.png")
    assert main(["compress", "in", "--model", codec]) == 2
    assert "a/1.png is (8, 8, 1), z.png is (9, 8, 1)" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../a.png", "/a.png", "a/../b.png", "C:\\a.png", "a\nb.png", ""])
def test_names_that_lead_out_of_the_folder_are_refused(name, codec, capsys, tmp_path):
    with open(tmp_path / "x.nvp", "wb") as file:
        nvp.Codec.load(codec).write(file, images(1), names=[name], kind="folder")
    assert main(["decompress", str(tmp_path / "x.nvp"), str(tmp_path / "out")]) == 2
    assert "which is refused" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["x.nvp"]


def test_a_full_disk_leaves_nothing(codec, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", images(2))

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tfp_realnvp.codec.archive.json.dumps", full)
    assert main(["compress", "x.npy", "--model", codec]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["x.npy"]
