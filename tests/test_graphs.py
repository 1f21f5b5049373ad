"""What every bijector of the registry computes is the same eagerly, in a graph and by XLA."""

import numpy as np
import pytest
import tensorflow as tf
from constructors import BIJECTORS, Case
from tolerances import FLOAT32

from tfp_realnvp import Context


def cases():
    for name, case in BIJECTORS.items():
        # Their programs are those of the same without labels or a condition, and one product more.
        is_like_another = name.endswith(("_conditional", "_condition"))
        marks = [pytest.mark.slow] if is_like_another else []
        yield pytest.param(case, id=name, marks=marks)


@pytest.mark.parametrize("case", list(cases()))
def test_eager_graph_and_xla_agree(case: Case):
    bijector = case.build("float32")
    y = tf.constant(case.data(dtype="float32"))
    context = Context(**case.kwargs())

    def both(value):
        x, inverse = bijector.inverse_and_log_det(value, context)
        again, forward = bijector.forward_and_log_det(x, context)
        return x, inverse, again, forward

    unknown = [tf.TensorSpec([None, *case.shape], tf.float32)]
    expected = both(y)
    for compiled in (
        tf.function(both, input_signature=unknown),
        tf.function(both, jit_compile=True),
    ):
        for got, want in zip(compiled(y), expected, strict=True):
            np.testing.assert_allclose(got, want, atol=FLOAT32, rtol=FLOAT32)
