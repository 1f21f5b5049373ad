"""Figures hold what they were given."""

import numpy as np
import pytest
import tensorflow_probability as tfp

from tfp_realnvp import figures, flows, pictures

NORMAL = tfp.distributions.MultivariateNormalDiag(np.zeros(2, np.float32), np.ones(2, np.float32))


def test_densities_beside_their_data(rng):
    figure = figures.densities({"normal": NORMAL}, rng.normal(size=(50, 2)), resolution=9)
    assert [axis.get_title() for axis in figure.axes] == ["data", "normal"]
    drawn = figure.axes[1].collections[0].get_array().reshape(9, 9)
    assert drawn.max() == drawn[3:6, 3:6].max() > 10 * drawn[0, 0] > 0
    with pytest.raises(ValueError, match="span of data"):
        figures.densities({"normal": NORMAL})


def test_noise_histograms_have_area_one():
    counts, edges = np.array([1, 3, 4]), np.array([0.0, 0.2, 0.5, 1.0])
    axis = figures.noise_histograms({"noise": (counts, edges)}).axes[0]
    values = axis.patches[0].get_data().values
    assert values @ np.diff(edges) == pytest.approx(1)


def test_the_importance_curve_is_the_mean_over_images():
    bits = np.array([[3.0, 5.0], [2.0, 4.0]])
    axis = figures.importance_curve([1, 2], bits).axes[0]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), [4, 3])


def test_the_other_figures_have_a_panel_for_each_set(rng):
    grids = {name: rng.integers(0, 17, (5, 8, 8, 1)) for name in "abc"}
    titled = [axis.get_title() for axis in figures.images(grids, levels=17).axes]
    assert titled == ["a", "b", "c", ""]
    assert len(figures.points({"a": rng.normal(size=(9, 2))}).axes) == 1
    legend = figures.scores({"in": [1, 2, 3], "out": [2.0, 5.0]}).axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["in", "out"]


def test_data_lie_beneath_samples(rng):
    sets = {"a": rng.normal(size=(9, 2)), "b": rng.normal(size=(9, 2))}
    data = rng.normal(size=(20, 2))
    first, second = figures.points(sets, beneath={"a": data}).axes
    np.testing.assert_allclose(first.collections[0].get_offsets(), data)
    np.testing.assert_allclose(first.collections[1].get_offsets(), sets["a"])
    assert len(second.collections) == 1
    with pytest.raises(ValueError, match="beneath one of a, b, got 'c'"):
        figures.points(sets, beneath={"c": data})


def test_curves_have_labels_and_units():
    lines = {"training": ([1, 10], [3.0, 2.0]), "held out": ([1, 10], [3.1, 2.2])}
    (axis,) = figures.curves(lines, x="epoch", y="nats", log_x=True).axes
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_xscale()) == ("epoch", "nats", "log")
    assert [line.get_label() for line in axis.lines] == list(lines)
    np.testing.assert_allclose(axis.lines[1].get_ydata(), [3.1, 2.2])


def test_axes_have_the_names_of_columns(rng):
    columns = ["height", "weight", "age"]
    for figure in (
        figures.points({"a": rng.normal(size=(9, 2))}, columns=columns),
        figures.densities({"normal": NORMAL}, span=(-1, 1, -1, 1), resolution=3, columns=columns),
    ):
        axis = figure.axes[0]
        assert (axis.get_xlabel(), axis.get_ylabel()) == ("height", "weight")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_samples_of_any_size_are_drawn(tmp_path, rng, size):
    samples = rng.normal(size=(9, size))
    columns = ["a", "b", "c"][:size]
    pictures.write_samples(tmp_path / "s.png", samples, levels=None, data=samples, columns=columns)
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"


def test_a_transformation_begins_at_the_base_and_ends_at_samples(rng):
    flow = flows.build("realnvp", (2,), couplings=5)
    data = rng.normal(size=(30, 2))
    axes = figures.transformation(flow, data, stages=3, num=40).axes
    assert [axis.get_title() for axis in axes] == ["N(0, I)", "after 3 of 6", "samples"]
    base, *_, (beneath, last) = [axis.collections for axis in axes]
    np.testing.assert_allclose(beneath.get_offsets(), data)
    end, _ = flow.bijector.forward_and_log_det(np.float32(base[0].get_offsets()))
    np.testing.assert_allclose(last.get_offsets(), end, rtol=1e-5)
    with pytest.raises(ValueError, match="2 stages at least"):
        figures.transformation(flow, stages=1)


def test_dequantized_values_are_shown_before_and_behind_the_logit(rng):
    values = rng.integers(0, 256, 500) + rng.random(500)
    axes = figures.dequantized_values({"noise": values}).axes
    assert [axis.get_xlabel() for axis in axes] == ["pixel + noise", "logit"]
    assert axes[0].get_xlim()[1] > 250 and axes[1].get_xlim()[0] < -3
