"""Archives of images: every pixel comes back, at the cost that the likelihood says."""

import io

import numpy as np
import pytest
from coded_flows import SMALL, images, small

import tfp_realnvp as nvp
from tfp_realnvp.codec import frames
from tfp_realnvp.codec.compile import model_of
from tfp_realnvp.codec.stack import Stack
from tfp_realnvp.flows import registry


def test_all_flows_of_couplings_are_here():
    of_images = {name for name, known in registry._DEFINITIONS.items() if known.keys() & {3, None}}
    others = {"autoregressive_pixels", "residual", "tarflow", "neural_ode", "nice"}
    assert of_images - others == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_every_pixel_comes_back(name):
    x = images(11)
    codec = nvp.Codec.of(small(name))
    y = codec.decompress(codec.compress(x))
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("name", ["uva_multiscale", "mixture_multiscale", "flowpp", "jet"])
def test_labels_come_back_too(name):
    x, labels = images(9), np.arange(9) % 3
    dist = small(name, num_classes=3)
    data = nvp.compress(dist, x, labels)
    y, back = nvp.decompress(data)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(back, labels)
    with pytest.raises(ValueError, match="give labels"):
        nvp.compress(dist, x)
    with pytest.raises(ValueError, match="labels must be integers"):
        nvp.compress(dist, x, labels + 1)


@pytest.mark.parametrize(
    ("shape", "levels"), [((8, 4, 3), 256), ((8, 8, 1), 17), ((8, 8, 1), 1000)]
)
def test_other_shapes_and_levels(shape, levels):
    x = images(5, shape=shape, levels=levels)
    dist = small("uva_multiscale", shape=shape, levels=levels)
    y = nvp.decompress(nvp.compress(dist, x))
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("name", ["realnvp", "mixture_multiscale", "nsf"])
def test_it_costs_what_the_likelihood_says(name):
    # What images cost whose noise is on the stack already: no seed, no index.
    dist, x = small(name, scale=0.01), images(200)
    stack = Stack(frames.seed(30_000))
    before = stack.bits
    model_of(dist).encode(x, None, stack)
    expected = nvp.bits_per_dim(dist, x, num_importance_samples=1).mean() * 64
    assert (stack.bits - before) / 200 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("name", ["flowpp", "glow", "mixture_multiscale", "uva_multiscale"])
def test_bits_by_pixel_are_those_of_the_image(name):
    codec, x = nvp.Codec.of(small(name, scale=0.01)), images(12)
    bits = nvp.bits_by_pixel(codec, x)
    stack = Stack(frames.seed(4 * x.size))
    before = stack.bits
    codec.model.encode(x, None, stack)
    assert bits.sum() == pytest.approx(stack.bits - before, rel=0.03)
    # What is alike but for one pixel costs there what it costs more.
    flat = np.full([1, 8, 8, 1], 100, "uint8")
    spot = flat.copy()
    spot[0, 2, 5] = 250
    more = nvp.bits_by_pixel(codec, spot) - nvp.bits_by_pixel(codec, flat)
    assert np.isfinite(more).all() and more.shape == flat.shape
    with pytest.raises(ValueError, match="integers from 0 to 255"):
        nvp.bits_by_pixel(codec, x.astype(int) + 1)


def test_frames_are_read_alone():
    x = images(25)
    data = nvp.compress(small("uva_simple"), x, images_per_frame=10)
    with nvp.Archive(io.BytesIO(data)) as opened:
        assert len(opened) == 25 and len(opened.content.frames) == 3
        np.testing.assert_array_equal(opened.frame(2)[0], x[20:])
        np.testing.assert_array_equal(opened.frame(0)[0], x[:10])
    np.testing.assert_array_equal(nvp.decompress(data), x)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images(count):
    x = images(count)
    y = nvp.decompress(nvp.compress(small("uva_vardeq"), x))
    np.testing.assert_array_equal(y, x)


def test_images_that_are_off_the_grid_are_kept_as_they_are():
    # Its last maps are so steep that most images' latents are far beyond all that is coded.
    dist = small("glow", alpha=1e-5)
    norms = [b for b in dist.bijector._all_within() if isinstance(b, nvp.bijectors.ActNorm)]
    norms[0].log_scale.assign_add([12.0] * 4)
    x = images(6)
    frame = frames.encode(model_of(dist), x.astype(np.int64), None)
    assert len(frame.apart)
    np.testing.assert_array_equal(nvp.decompress(nvp.compress(dist, x)), x)


def test_the_codec_is_in_the_archive_or_said_to_be_missing(tmp_path):
    x, dist = images(3), small("uva_simple")
    codec = nvp.Codec.of(dist)
    small_archive = codec.compress(x, embed=False)
    assert len(small_archive) < len(codec.compress(x)) - len(codec.data) + 200
    with pytest.raises(ValueError, match="neither in it nor among the pretrained ones"):
        nvp.decompress(small_archive)
    np.testing.assert_array_equal(nvp.decompress(small_archive, dist), x)
    codec.save(tmp_path / "mine.nvpm")
    again = nvp.Codec.load(tmp_path / "mine.nvpm")
    assert again.sha256 == codec.sha256
    np.testing.assert_array_equal(nvp.decompress(small_archive, again), x)
    with pytest.raises(ValueError, match="not by the codec that was given"):
        nvp.decompress(small_archive, small("uva_simple", width=5))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: nvp.flows.build("nsf", (2,)), "only images can be compressed"),
        (
            lambda: nvp.flows.build("tarflow", (8, 8, 1), patch=2, width=4, blocks=2),
            "no exact form",
        ),
        (lambda: nvp.flows.build("residual", (8, 8, 1)), "no exact form"),
        (lambda: nvp.flows.build("uva_simple", (8, 8, 1), condition_shape=(2,)), "has a condition"),
        (lambda: nvp.flows.build("uva_simple", (8, 8, 1), dtype="float64"), "float32 flows"),
    ],
)
def test_what_cannot_be_coded_says_so(make, reason):
    with pytest.raises(ValueError, match=reason):
        nvp.Codec.of(make())


def test_images_that_do_not_fit_are_refused():
    codec = nvp.Codec.of(small("uva_simple", levels=17))
    with pytest.raises(ValueError, match=r"events of shape \(8, 8, 1\)"):
        codec.compress(images(2, shape=(4, 4, 1)))
    with pytest.raises(ValueError, match="integers from 0 to 16"):
        codec.compress(images(2))
    with pytest.raises(ValueError, match="images_per_frame"):
        codec.compress(images(2, levels=17), images_per_frame=0)
