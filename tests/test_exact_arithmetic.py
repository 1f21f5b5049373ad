"""Arithmetic of which every machine gives the same bits: right, and independent of any order."""

import numpy as np
import pytest

from tfp_realnvp.codec import arithmetic

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("ours", "reference", "largest"),
    [
        (arithmetic.exp, np.exp, 290.0),
        (arithmetic.sigmoid, lambda x: 1 / (1 + np.exp(-x)), 50.0),
        (arithmetic.tanh, np.tanh, 50.0),
        (arithmetic.softplus, lambda x: np.logaddexp(0, x), 50.0),
        (arithmetic.elu, lambda x: np.where(x > 0, x, np.expm1(x)), 50.0),
    ],
)
def test_functions_are_right(ours, reference, largest):
    x = RNG.uniform(-largest, largest, 10_000)
    np.testing.assert_allclose(ours(x), reference(x), rtol=2e-14, atol=1e-14)


def test_the_logarithm_is_right():
    x = np.exp(RNG.uniform(-300, 300, 10_000))
    np.testing.assert_allclose(arithmetic.log(x), np.log(x), rtol=1e-15, atol=1e-15)
    assert arithmetic.log(np.zeros(1)) == pytest.approx(np.log(1e-300))


def test_beyond_its_limits_the_exponential_stays():
    assert arithmetic.exp(np.array([1e9, 301.0])).tolist() == [arithmetic.exp(np.array(300.0))] * 2
    assert (arithmetic.exp(np.array([-1e9])) > 0).all()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64])
def test_totals(count):
    x = RNG.normal(size=(3, count, 2))
    np.testing.assert_allclose(arithmetic.total(x, 1), x.sum(1), rtol=1e-13, atol=1e-13)
    assert arithmetic.total(x, -2, keepdims=True).shape == (3, 1, 2)


def test_products_are_of_whole_numbers_and_exact():
    x, matrix = RNG.normal(size=(5, 7, 300)) * 100, RNG.normal(size=(300, 4))
    weights = arithmetic.Weights.of(matrix)
    whole, _ = arithmetic.whole_rows(x, arithmetic.VALUE_BITS)
    exact = whole.astype(np.int64).astype(object) @ weights.whole.astype(np.int64).astype(object)
    assert (whole @ weights.whole == exact.astype(float)).all()  # no digit was lost
    assert abs(exact).max() < 2**53
    np.testing.assert_allclose(arithmetic.contract(x, weights), x @ matrix, rtol=1e-5, atol=1e-3)


def test_products_do_not_depend_on_any_order():
    x, matrix = RNG.normal(size=(6, 300)), RNG.normal(size=(300, 4))
    expected = arithmetic.contract(x, arithmetic.Weights.of(matrix))
    order = RNG.permutation(300)
    permuted = arithmetic.contract(x[:, order], arithmetic.Weights.of(matrix[order]))
    np.testing.assert_array_equal(permuted, expected)
    one_by_one = [arithmetic.contract(row[None], arithmetic.Weights.of(matrix)) for row in x]
    np.testing.assert_array_equal(np.concatenate(one_by_one), expected)


def test_products_of_rows():
    x, y = RNG.normal(size=(5, 2, 7, 30)), RNG.normal(size=(5, 2, 30, 4))
    expected = arithmetic.contract_rows(x, y)
    np.testing.assert_allclose(expected, x @ y, rtol=1e-5, atol=1e-4)
    order = RNG.permutation(30)
    np.testing.assert_array_equal(
        arithmetic.contract_rows(x[..., order], y[..., order, :]), expected
    )


def test_a_row_without_anything_in_it():
    weights = arithmetic.Weights.of(RNG.normal(size=(3, 2)))
    assert not arithmetic.contract(np.zeros([2, 3]), weights).any()
    assert arithmetic.contract(np.zeros([0, 3]), weights).shape == (0, 2)
