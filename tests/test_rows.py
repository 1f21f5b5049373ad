"""Plans and the splitter: every row comes back in its place, with its number and its label."""

import numpy as np
import pytest
import tensorflow as tf

import tfp_realnvp as nvp
from tfp_realnvp.core.noise import normal_rows, row_noise
from tfp_realnvp.execution.plan import FEWEST_ROWS, Plan
from tfp_realnvp.execution.rows import in_turn, map_rows, sum_over_rows
from tfp_realnvp.kernels import Kernels

PLANS = [
    Plan(),
    Plan(parts=3),
    Plan(rows_at_once=8),
    Plan(parts=2, rows_at_once=16),
    Plan(parts=2, rows_at_once=16, kernels=Kernels(by_xla=True)),
    Plan(parts=4, rows_at_once=1),
]
COUNTS = [0, 1, 2, 7, 16, 17, 100]


@pytest.mark.parametrize("plan", PLANS, ids=repr)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("known", [True, False], ids=["known size", "unknown size"])
def test_parts_cover_a_batch(plan, count, known):
    number, size = (int(n) for n in plan.division(count if known else tf.constant(count)))
    assert number >= 1 and number * size >= count
    if plan.rows_at_once is not None:
        assert size * plan.side_by_side <= max(plan.rows_at_once, 1)
        assert (number - 1) * size < max(count, 1)  # no part is empty


def test_parts_are_not_tiny():
    assert Plan(parts=8, rows_at_once=128).division(16) == (4, FEWEST_ROWS)
    assert Plan(parts=2, rows_at_once=32).division(1) == (1, 1)


def test_xla_compiles_for_one_size():
    plan = Plan(parts=2, rows_at_once=32, kernels=Kernels(by_xla=True))
    assert {plan.division(count)[1] for count in range(1, 200)} == {16}


@pytest.mark.parametrize("plan", PLANS, ids=repr)
@pytest.mark.parametrize("jit", [False, True])
def test_values_are_those_of_the_whole_batch(plan, jit):
    @tf.function(jit_compile=jit, autograph=False)
    def mapped(x, labels):
        def function(rows, context):
            assert context.kernels == plan.kernels
            noise = row_noise(rows, context, "here")
            return tf.stack([rows[:, 0], tf.cast(context.labels, rows.dtype), noise[:, 1]], 1)

        context = nvp.Context(seed=(1, 2), labels=labels, first_row=5)
        return map_rows(function, [x], context, plan, dtype=x.dtype)

    field = row_noise(tf.zeros([105, 2], tf.float64), nvp.Context(seed=(1, 2)), "here")
    for count in COUNTS:
        x, labels = np.arange(2.0 * count).reshape(count, 2), np.arange(count)
        expected = np.stack([x[:, 0], labels, field[5 : 5 + count, 1]], 1)
        np.testing.assert_array_equal(mapped(x, labels), expected)


@pytest.mark.parametrize("plan", PLANS, ids=repr)
@pytest.mark.parametrize("jit", [False, True])
def test_sums_are_those_of_the_whole_batch(plan, jit):
    @tf.function(jit_compile=jit, autograph=False)
    def sums(x, weights):
        def function(rows, own, context):
            noise = row_noise(rows, context, "here")
            return [tf.reduce_sum(own[:, None] * rows * noise, 0), tf.reduce_sum(own)]

        context, like = nvp.Context(seed=(1, 2)), [x[:1][0] * 0, tf.zeros([], x.dtype)]
        return sum_over_rows(function, [x], weights, context, plan, like=like)

    field = row_noise(tf.zeros([100, 2], tf.float64), nvp.Context(seed=(1, 2)), "here").numpy()
    for count in COUNTS[1:]:
        x, weights = np.arange(2.0 * count).reshape(count, 2), np.arange(1.0, 1 + count)
        total, weight = sums(x, weights)
        expected = (weights[:, None] * x * field[:count]).sum(0)
        np.testing.assert_allclose(total, expected, rtol=1e-12)
        np.testing.assert_allclose(weight, weights.sum(), rtol=1e-12)


def test_one_label_for_all_and_a_condition_for_each():
    def function(rows, context):
        return rows + tf.cast(context.labels, rows.dtype) + context.condition

    x = tf.range(20.0)
    context = nvp.Context(labels=3, condition=100 * x)
    result = map_rows(function, [x], context, Plan(2, 8), dtype=x.dtype)
    np.testing.assert_array_equal(result, 101 * x + 3)


def test_a_round_s_graph_is_traced_once():
    traced = []

    def function(rows, context):
        traced.append(rows)
        return rows

    tf.function(lambda x: map_rows(function, [x], nvp.Context(), Plan(2, 8), dtype=x.dtype))(
        tf.range(100)
    )
    assert len(traced) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("event", [(2,), (43,), (5, 5, 3)])
def test_noise_of_a_slice_is_the_slice_of_the_noise(dtype, event):
    def drawn(count, context):
        return row_noise(tf.zeros([count, *event], dtype), context, "there").numpy()

    context = nvp.Context(seed=(3, -4))
    whole = drawn(30, context)
    assert ((whole >= 0) & (whole < 1)).all() and len(np.unique(whole)) > 0.99 * whole.size
    compiled = tf.function(
        drawn_in_a_graph := lambda first: row_noise(
            tf.zeros([9, *event], dtype), context.replace(first_row=first), "there"
        ),
        jit_compile=True,
    )
    for first in (0, 7, 21):
        own = context.replace(first_row=first)
        np.testing.assert_array_equal(drawn(9, own), whole[first : first + 9])
        number = tf.constant(first, tf.int64)
        np.testing.assert_array_equal(tf.function(drawn_in_a_graph)(number), whole[first:][:9])
        np.testing.assert_array_equal(compiled(number), whole[first : first + 9])
    far = drawn(3, context.replace(first_row=tf.constant(2**40, tf.int64)))
    again = drawn(2, context.replace(first_row=tf.constant(2**40 + 1, tf.int64)))
    np.testing.assert_array_equal(far[1:], again)
    others = [
        drawn(30, context.replace(draw=1)),
        drawn(30, context.replace(seed=(3, -5))),
        row_noise(tf.zeros([30, *event], dtype), context, "elsewhere").numpy(),
    ]
    for other in others:
        assert np.mean(other == whole) < 0.01


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_several_seeds_draw_what_each_seed_s_do(dtype):
    origins = [(3, -4, 0), (1, 2, 5), (3, -4, 7), (1, 2, 5)]
    for event in ((3,), (5, 1, 2)):
        context = nvp.Context(origins=tf.constant(origins))
        noise = row_noise(tf.zeros([4, *event], dtype), context, "here").numpy()
        for (*seed, row), drawn in zip(origins, noise, strict=True):
            own = nvp.Context(seed=seed, first_row=row)
            alone = row_noise(tf.zeros([1, *event], dtype), own, "here")
            np.testing.assert_array_equal(alone[0], drawn)
        assert np.array_equal(noise[1], noise[3]) and not np.array_equal(noise[0], noise[2])
    for size in (1, 2, 5, 8, 43):  # of Philox' 4 numbers, or 2, some begin and end inside
        drawn = tf.function(normal_rows)(tf.constant(origins), size, tf.as_dtype(dtype)).numpy()
        for (*seed, row), found in zip(origins, drawn, strict=True):
            whole = tf.random.stateless_normal([8, size], seed, dtype=dtype, alg="philox")
            np.testing.assert_array_equal(found, whole[row])
    nothing = tf.zeros([0, 3], tf.int32)
    assert normal_rows(nothing, 5, tf.float32).shape == (0, 5)
    empty = row_noise(tf.zeros([0, 4], dtype), nvp.Context(origins=nothing), "here")
    assert empty.shape == (0, 4)


def test_a_plan_s_parts_keep_where_the_noise_of_a_row_is_from():
    def noise(rows, context):
        return row_noise(rows, context, "here")

    origins = tf.stack([tf.range(11) % 3, tf.range(11), tf.range(11)], 1)
    rows, context = tf.zeros([11, 2]), nvp.Context(origins=origins)
    whole = noise(rows, context)
    for plan in (Plan(2, 8), Plan(3), Plan(1, 4)):
        mapped = tf.function(lambda x, p=plan: map_rows(noise, [x], context, p, dtype=x.dtype))
        np.testing.assert_array_equal(mapped(rows), whole)


def test_rows_in_turn():
    data, labels = np.arange(10), np.arange(10) % 3
    parts = list(in_turn(data, nvp.Context(labels=labels), 4))
    assert [len(rows) for rows, _ in parts] == [4, 4, 2]
    assert [int(context.first_row) for _, context in parts] == [0, 4, 8]
    np.testing.assert_array_equal(np.concatenate([c.labels for _, c in parts]), labels)
    assert not list(in_turn(data[:0], nvp.Context(), 4))
