"""Archives that are damaged: refused in a sentence, never read wrongly."""

import io

import numpy as np
import pytest
from coded_flows import images, small

import tfp_realnvp as nvp
from tfp_realnvp.codec import archive, frames, model_file


@pytest.fixture(scope="module")
def written():
    codec, x = nvp.Codec.of(small("uva_vardeq")), images(4)
    return codec, x, codec.compress(x, embed=False)


def damaged(data, rng):
    kind = rng.integers(4)
    changed = bytearray(data)
    if kind == 0:
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(len(data))] ^= 1 << rng.integers(8)
        return bytes(changed)
    first, last = sorted(rng.integers(0, len(data), 2))
    if kind == 1:
        return data[:first]
    return data[:first] + data[last:] if kind == 2 else data[:last] + data[first:]


def check_damage(written, *, times, seed):
    codec, x, data = written
    rng = np.random.default_rng(seed)
    refused = 0
    for _ in range(times):
        changed = damaged(data, rng)
        try:
            y = codec.decompress(changed)
        except ValueError as error:
            assert str(error) and "\n" not in str(error)
            refused += 1
        else:  # what is between the parts is not read
            np.testing.assert_array_equal(y, x)
    assert refused > 0.8 * times


def test_damage_is_found(written):
    check_damage(written, times=200, seed=0)


@pytest.mark.slow
def test_much_damage_is_found(written):
    check_damage(written, times=10_000, seed=1)


def test_a_frame_that_was_made_up_is_found(written):
    # Someone who changes a frame can change its digests as well.
    codec, x, data = written
    described = archive.read_content(io.BytesIO(data)).frames[0]
    frame = data[described["offset"] :][: described["length"]]
    rng = np.random.default_rng(2)
    for _ in range(150):
        changed = bytearray(frame)
        changed[rng.integers(len(frame))] ^= 1 << rng.integers(8)
        with pytest.raises(ValueError, match="damaged"):
            most = 4 * (x.size + len(x))
            y, _ = frames.decode(
                codec.model, frames.Frame.from_bytes(bytes(changed), most_plain=most)
            )
            raise ValueError("damaged" if y.shape != x.shape or (y != x).any() else "the same")


def test_damaged_codecs(written):
    codec, *_ = written
    rng = np.random.default_rng(3)
    for length in rng.integers(0, len(codec.data), 20):
        with pytest.raises(ValueError, match="codec"):
            model_file.from_bytes(codec.data[:length])
    newer = codec.data[:4] + b"\7" + codec.data[5:]
    with pytest.raises(ValueError, match="version 7, where 1 is the newest"):
        model_file.from_bytes(newer)


def test_other_versions_and_files(written):
    codec, _, data = written
    with pytest.raises(ValueError, match="version 9, where 1 is the newest"):
        codec.decompress(data[:4] + b"\x09" + data[5:])
    with pytest.raises(ValueError, match="no archive"):
        codec.decompress(b"PK\3\4 and so on")
    with pytest.raises(ValueError, match="no archive"):
        codec.decompress(b"")
