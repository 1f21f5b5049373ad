"""Folders and zips of images: nothing is turned, converted or skipped without a word."""

import os
import socket
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from tfp_realnvp import datasets


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


@pytest.fixture
def folder(tmp_path):
    """Twelve colour images of 4x6 pixels, each of another content."""
    folder = tmp_path / "pets"
    folder.mkdir()
    for i in range(12):
        picture(i).save(folder / f"a{i:02}.png")
    return folder


def picture(seed=0, *, mode="RGB", size=(6, 4)):
    shape = (*size[::-1], len(Image.new(mode, (1, 1)).getbands()))
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return Image.fromarray(pixels.squeeze(2) if shape[2] == 1 else pixels, mode)


def everything(place, **options):
    """All examples of all splits, and what was said about them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        x = [datasets.load_arrays(place, s, **options)[0] for s in datasets.splits(place)]
    said = {str(warning.message) for warning in caught}
    assert all(issubclass(warning.category, datasets.DatasetWarning) for warning in caught)
    return np.concatenate(x), " ".join(sorted(said))


def refusal(place, **options):
    sentences = set()
    for split in datasets.splits(place):
        with pytest.raises(datasets.DatasetError) as caught:
            datasets.load_arrays(place, split, **options)
        sentences.add(str(caught.value))
    (sentence,) = sentences
    assert sentence.endswith(".") and "\n" not in sentence
    return sentence


def test_plain_images_are_taken_without_a_word(folder):
    x, said = everything(folder)
    assert (x.shape, said) == ((12, 4, 6, 3), "")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_orientation_turns_images_and_is_said(folder, suffix, orientation):
    size = (4, 6) if orientation >= 5 else (6, 4)
    upright = picture(size=(6, 4))
    stored = picture(size=size)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(
        folder / f"b.{suffix}", exif=exif, **({"lossless": True} if suffix == "webp" else {})
    )
    x, said = everything(folder)
    assert x.shape == (13, *upright.size[::-1], 3)
    assert said == f"{folder}: images turned as their EXIF orientation says: 1 of 13."
    turned = {2: np.fliplr, 3: lambda p: p[::-1, ::-1], 4: np.flipud, 6: lambda p: np.rot90(p, -1)}
    if suffix != "jpg" and orientation in turned:
        expected = turned[orientation](np.asarray(stored)).tobytes()
        assert expected in {image.tobytes() for image in x}


@pytest.mark.parametrize("suffix", ["webp", "tif", "tiff", "gif", "bmp", "png"])
def test_formats_without_loss_are_read_beside_png(folder, suffix):
    image = picture(100)
    image = image.quantize(16) if suffix == "gif" else image
    image.save(folder / f"b.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    x, said = everything(folder)
    assert len(x) == 13
    assert np.asarray(image.convert("RGB")).tobytes() in {image.tobytes() for image in x}
    assert said == (f"{folder}: images converted from P to RGB: 1 of 13." * (suffix == "gif"))


def test_other_files_are_skipped_with_counts(folder):
    for file in ("notes.txt", "b.heic", "labels.csv", ".DS_Store", ".hidden.png", ".thumbs/c.png"):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(b"something")
    for _ in range(2):  # the second time from the cache
        _, said = everything(folder)
        assert said == (
            f"{folder}: skipped files of other types (3, first b.heic), hidden images (2, first "
            ".hidden.png)."
        )


def test_images_outside_splits_and_classes_are_told(folder, tmp_path):
    for place in ("train", "test"):
        (folder / place).mkdir()
        picture().save(folder / place / "1.png")
        picture(1).save(folder / place / "2.png")
    _, said = everything(folder)
    assert said == f"{folder}: skipped images outside the folders of splits (12, first a00.png)."

    for place in ("cat", "dog"):
        (tmp_path / "x" / place).mkdir(parents=True)
        picture().save(tmp_path / "x" / place / "1.png")
    picture().save(tmp_path / "x" / "stray.png")
    _, said = everything(tmp_path / "x")
    assert said == (
        f"{tmp_path / 'x'}: there are no labels, for some images are in no folder of a class (1 of "
        "3, first stray.png)."
    )


def test_16_bits_are_refused(folder):
    deep = np.arange(24, dtype=np.uint16).reshape(4, 6) * 1000
    Image.fromarray(deep).save(folder / "b.png")
    assert "The image b.png has more than 8 bits per channel (mode I;16" in refusal(folder)
    Image.fromarray(deep).save(folder / "b.png", format="TIFF")
    assert "The image b.png has more than 8 bits per channel" in refusal(folder)
    # Pillow reduces 16-bit colour to 8 bits on its own.
    (folder / "b.png").write_bytes(png(6, 4, bits=16, colour=2, data=bytes(4 * (1 + 6 * 6))))
    assert "has more than 8 bits per channel (mode RGB)" in refusal(folder)
    Image.fromarray(deep.astype(np.float32)).save(folder / "b.png", format="TIFF")
    assert "has more than 8 bits per channel (mode F)" in refusal(folder)


def png(width, height, *, bits, colour, data):
    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_400_megapixels_are_refused_in_one_sentence(folder):
    (folder / "b.png").write_bytes(png(20_000, 20_000, bits=8, colour=0, data=b""))
    assert "The image b.png has more than the 178956970 pixels allowed." in refusal(folder)
    (folder / "a00.png").write_bytes((folder / "b.png").read_bytes())
    with pytest.raises(datasets.DatasetError, match=r"image .* has more than the \d+ pixels"):
        datasets.info(folder)


@pytest.mark.parametrize("suffix", ["gif", "png", "tif", "webp"])
def test_images_of_several_frames_are_refused(folder, suffix):
    picture().save(folder / f"b.{suffix}", save_all=True, append_images=[picture(1), picture(2)])
    assert f"The image b.{suffix} has 3 frames, where one was expected." in refusal(folder)


def test_a_jpeg_with_a_second_picture_gives_its_first_and_says_so(folder):
    picture().save(folder / "b.jpg", format="MPO", save_all=True, append_images=[picture(1)])
    _, said = everything(folder)
    assert said == (
        f"{folder}: images taken as the first of several pictures in their files: 1 of 13."
    )


@pytest.mark.parametrize("kind", ["RGBA", "LA", "PA", "P", "key"])
def test_transparency_is_laid_on_a_background_or_refused(folder, kind):
    if kind == "P":
        image = picture().quantize(8)
        options = {"transparency": 0}
    elif kind == "key":
        image = picture()
        options = {"transparency": image.getpixel((0, 0))}
    else:
        image = picture(mode="RGBA").convert(kind) if kind != "PA" else picture(mode="RGBA")
        options = {}
    image.save(folder / "b.png", **options)
    assert "The image b.png is transparent in places; background=" in refusal(folder)
    x, said = everything(folder, background="white")
    assert len(x) == 13 and "images laid on white: 1 of 13." in said
    back = np.asarray(Image.new("RGBA", (6, 4), "white"))
    with Image.open(folder / "b.png") as stored:
        expected = Image.alpha_composite(Image.fromarray(back), stored.convert("RGBA"))
    assert np.asarray(expected.convert("RGB")).tobytes() in {image.tobytes() for image in x}


def test_opaque_alpha_is_dropped_with_a_count(folder):
    opaque = picture(100)
    opaque.putalpha(255)
    opaque.save(folder / "b.png")
    x, said = everything(folder)
    assert said == f"{folder}: images converted from RGBA to RGB: 1 of 13."
    assert np.asarray(picture(100)).tobytes() in {image.tobytes() for image in x}


def test_colour_among_grey_is_refused_unless_asked_for(tmp_path):
    folder = tmp_path / "grey"
    folder.mkdir()
    for i in range(10):
        picture(i, mode="L").save(folder / f"b{i}.png")
    picture(3, mode="L").convert("RGB").save(folder / "z0.png")
    x, said = everything(folder)  # grey in three channels loses none
    assert x.shape == (11, 4, 6, 1)
    assert said == f"{folder}: images converted from RGB to L: 1 of 11."
    picture(20).save(folder / "z1.png")
    if datasets.info(folder).event_shape[-1] == 1:
        assert "The image z1.png is in colour, where the first is grey; channels=3" in refusal(
            folder
        )
    x, said = everything(folder, channels=3)
    assert x.shape == (12, 4, 6, 3) and "images converted from L to RGB: 10 of 12" in said
    x, said = everything(folder, channels=1)
    assert x.shape == (12, 4, 6, 1) and "images converted from RGB to L: 2 of 12" in said
    assert datasets.info(folder, channels=1).event_shape == (4, 6, 1)


def test_cmyk_is_converted_if_asked_for(folder):
    picture().convert("CMYK").save(folder / "b.jpg")
    assert "The image b.jpg is in mode CMYK, where grey, RGB or a palette" in refusal(folder)
    _, said = everything(folder, channels=3)
    assert said == f"{folder}: images converted from CMYK to RGB: 1 of 13."


def test_other_content_under_the_name_of_an_image_is_refused(folder):
    (folder / "b.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 4\n")
    assert "The image b.png cannot be decoded: it is no BMP, " in refusal(folder)
    (folder / "b.png").write_bytes(b"P6 6 4 65535\n" + bytes(144))
    assert "The image b.png cannot be decoded: it is no BMP, " in refusal(folder)
    (folder / "b.png").write_bytes(b"")
    assert "The image b.png cannot be decoded: it is no BMP, " in refusal(folder)


@pytest.mark.parametrize(
    "options",
    [
        {"image_size": 8},
        {"image_size": (8,)},
        {"image_size": (0, 8)},
        {"image_size": (8.5, 8)},
        {"image_size": ("a", "b")},
        {"image_size": (float("inf"), 8)},
        {"channels": 2},
        {"channels": "L"},
        {"background": "no colour"},
        {"background": 7},
    ],
)
def test_options_are_checked(folder, options):
    for ask in (datasets.load_arrays, datasets.info, datasets.splits):
        with pytest.raises(datasets.DatasetError, match=f"{next(iter(options))} must be .*; got"):
            ask(folder, **options)


def test_a_thin_crop_keeps_a_pixel(folder):
    assert everything(folder, image_size=(1, 200))[0].shape == (12, 1, 200, 3)


def test_loops_of_links_show_each_image_once(folder):
    (folder / "again").symlink_to(folder)
    (folder / "more").mkdir()
    (folder / "more" / "up").symlink_to("..")
    (folder / "more" / "itself").symlink_to("itself")
    (folder / "all").symlink_to("/")
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "b.png").symlink_to("a00.png")
    os.link(folder / "a01.png", folder / "more" / "a01.png")
    x, said = everything(folder)
    assert len(x) == len({image.tobytes() for image in x}) == 12
    assert said == (
        f"{folder}: skipped links that lead nowhere (2, first gone.png), links to folders seen "
        "already (3, first again), other names of the same files (2, first more/a01.png)."
    )


def test_links_that_leave_the_folder_are_followed_once(folder, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "one").symlink_to(folder)
    (tmp_path / "set" / "two").symlink_to(folder)
    x, said = everything(tmp_path / "set")
    assert len(x) == 12
    assert "links to folders seen already (1, first two)" in said
    (tmp_path / "link").symlink_to(folder)
    assert everything(tmp_path / "link")[1] == ""


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_what_is_no_regular_file_is_skipped(folder, kind, tmp_path, monkeypatch):
    if kind == "fifo":
        os.mkfifo(folder / "b.png")
    elif kind == "socket":
        monkeypatch.chdir(folder)  # the names of sockets are short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("b.png")
    else:
        (folder / "b.png").symlink_to("/dev/zero")
    x, said = everything(folder)
    assert len(x) == 12
    assert said == f"{folder}: skipped special files (1, first b.png)."


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet", ".zip"])
def test_a_pipe_in_the_place_of_a_file_is_refused(tmp_path, suffix):
    os.mkfifo(tmp_path / f"x{suffix}")
    for ask in (datasets.load_arrays, datasets.info, datasets.splits):
        with pytest.raises(datasets.DatasetError, match="is neither a file nor a folder: give a"):
            ask(tmp_path / f"x{suffix}")


def zipped(path, folder, rename=lambda name: name):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.glob("*.png")):
            archive.writestr(rename(file.name), file.read_bytes())
    return path


def test_backslashes_and_dots_in_names_of_a_zip_are_paths(folder, tmp_path):
    expected, _ = everything(folder)
    path = zipped(tmp_path / "x.zip", folder, rename=lambda name: f".\\pets\\{name}")
    x, said = everything(path)
    assert said == f"{path}: names with backslashes read as slashes: 12."
    assert {image.tobytes() for image in x} == {image.tobytes() for image in expected}
    path = zipped(tmp_path / "y.zip", folder, rename=lambda name: f"./{name}")
    np.testing.assert_array_equal(everything(path)[0], expected)


def test_faults_of_zips_are_told(folder, tmp_path):
    path = zipped(tmp_path / "x.zip", folder)
    whole = path.read_bytes()
    encrypted = bytearray(whole)
    encrypted[whole.index(b"PK\x01\x02") + 8] |= 1  # the first entry's flags
    cases = {
        "x.zip is encrypted: unpack it": bytes(encrypted),
        "x.zip is damaged, or is no zip": whole[:100],
        "The file a00.png in .*x.zip cannot be read: Bad CRC-32": whole.replace(
            b"IDAT", b"ITAD", 1
        ),
    }
    for sentence, damaged in cases.items():
        path.write_bytes(damaged)
        with pytest.raises(datasets.DatasetError, match=sentence):
            datasets.load_arrays(path)
    zipped(tmp_path / "inner.zip", folder)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "inner.zip", "inner.zip")
    with pytest.raises(
        datasets.DatasetError, match=r"webp files, but files of other types \(1, first inn"
    ):
        datasets.load_arrays(path)
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(datasets.DatasetError, match=r"x.zip holds no .* or \.webp files\.$"):
        datasets.load_arrays(path)


def test_info_compares_the_splits(tmp_path):
    for place, size in {"train": (6, 4), "test": (5, 4)}.items():
        (tmp_path / "x" / place).mkdir(parents=True)
        picture(size=size).save(tmp_path / "x" / place / "1.png")
    for ask in (datasets.info, datasets.load_arrays):
        with pytest.raises(datasets.DatasetError, match="4x5 pixels, where all must have the 4x6"):
            ask(tmp_path / "x")


def test_names_of_files_may_be_any_bytes(tmp_path):
    folder = tmp_path / "odd\nname"
    folder.mkdir()
    names = [b"line\nbreak.png", b"not utf-8 \xff.png", "häuser.png".encode(), b"a" * 250 + b".png"]
    for i, name in enumerate(names):
        with open(os.path.join(os.fsencode(folder), name), "wb") as stream:
            picture(i).save(stream, "PNG")
    x, said = everything(folder)
    assert (len(x), said) == (4, "")
    with open(os.path.join(os.fsencode(folder), names[1]), "wb") as stream:
        picture(mode="RGBA").save(stream, "PNG")
    assert "transparent in places" in refusal(folder)
