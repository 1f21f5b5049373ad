"""What a call costs: each conditioner runs once, in graphs and eagerly."""

import collections

import numpy as np
import pytest
import tensorflow as tf

import tfp_realnvp as nvp
from tfp_realnvp.conditioners import gated_conv

SHAPE = (8, 8, 1)
# Convolutions in a gated conditioner: first, last, and two in each of three blocks.
EACH = 8
# Conditioners that log_prob runs, and that sample runs: drawing needs no dequantization noise.
CONDITIONERS = {"uva_simple": (8, 8), "uva_vardeq": (12, 8), "uva_multiscale": (12, 8)}


@pytest.fixture(params=CONDITIONERS)
def flow(request):
    return nvp.flows.build(request.param, SHAPE, levels=17), CONDITIONERS[request.param]


def test_convolutions_in_the_traced_graphs(flow):
    dist, (in_log_prob, in_sample) = flow
    images = tf.TensorSpec([None, *SHAPE], tf.uint8)
    log_prob = tf.function(dist.log_prob).get_concrete_function(images)
    assert convolutions(log_prob.graph) == EACH * in_log_prob
    sample = tf.function(lambda: dist.sample(4)).get_concrete_function()
    assert convolutions(sample.graph) == EACH * in_sample


@pytest.mark.parametrize("wrap", [np.asarray, tf.constant], ids=["numpy", "tensor"])
def test_convolutions_of_eager_calls(flow, wrap, monkeypatch):
    dist, (in_log_prob, in_sample) = flow
    count = counted(monkeypatch)
    images = wrap(np.zeros([2, *SHAPE], "uint8"))
    dist.log_prob(images)
    assert count.pop("runs") == EACH * in_log_prob
    dist.sample(2)
    assert count.pop("runs") == EACH * in_sample
    dist.experimental_sample_and_log_prob(2)
    assert count.pop("runs") == EACH * (in_sample + in_log_prob)


def test_value_then_log_det_of_one_tensor_runs_once(flow, monkeypatch):
    dist, (_, couplings) = flow
    count = counted(monkeypatch)
    y = tf.random.uniform([2, *SHAPE], 1, 16)
    x = dist.continuous.inverse(y)
    dist.continuous.inverse_log_det_jacobian(y, 3)
    assert count.pop("runs") == EACH * couplings
    dist.continuous.forward_log_det_jacobian(tf.identity(x), 1)
    assert count.pop("runs") == EACH * couplings


def test_training_step_runs_each_conditioner_once(flow):
    dist, (in_log_prob, _) = flow
    model = nvp.FlowModel(dist)
    model.compile("adam")
    step = tf.function(lambda x: model.compute_loss(y_pred=dist.log_prob(x)))
    graph = step.get_concrete_function(tf.TensorSpec([None, *SHAPE], tf.uint8)).graph
    assert convolutions(graph) == EACH * in_log_prob


def convolutions(graph) -> int:
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return sum(node.op == "Conv2D" for node in nodes)


def counted(monkeypatch) -> collections.Counter:
    count: collections.Counter = collections.Counter()
    original = gated_conv.tf.nn.conv2d

    def conv2d(*args, **kwargs):
        count["runs"] += 1
        return original(*args, **kwargs)

    monkeypatch.setattr(gated_conv.tf.nn, "conv2d", conv2d)
    return count
