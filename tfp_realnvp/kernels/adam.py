"""Adam with one kernel per variable."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tfp_realnvp")
class Adam(keras.optimizers.Adam):
    r"""Keras' Adam, with TensorFlow's fused kernel for each variable's update.

    For the gradient g of a variable at step t,

        m = beta_1 m + (1 - beta_1) g
        v = beta_2 v + (1 - beta_2) g^2
        variable -= learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)

    Keras builds some forty operations per variable for it, which is most of the graph of a
    training step; here there are four, so tracing and small steps are faster. State, arguments and
    the file format are those of `keras.optimizers.Adam`, to which `amsgrad` and sparse gradients
    are left.

    Source: arXiv:1412.6980.

    Args:
        learning_rate: a number or a `keras.optimizers.schedules.LearningRateSchedule`.
        **kwargs: see `keras.optimizers.Adam`.

    Example:
        >>> import tfp_realnvp as nvp
        >>> model = nvp.FlowModel(nvp.flows.build("realnvp", (2,), couplings=2))
        >>> model.compile(nvp.Adam(1e-3, global_clipnorm=1.0))
    """

    def _backend_update_step(
        self, grads: list[Any], trainable_variables: list[Any], learning_rate: Any
    ) -> None:
        # What all variables share is computed once; Keras hands it on as the learning rate.
        shared = shared_by_dtype(
            trainable_variables,
            learning_rate=learning_rate,
            step=self.iterations + 1,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
        )
        super()._backend_update_step(grads, trainable_variables, shared)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable and its two moments."""
        shared = learning_rate[tf.as_dtype(variable.dtype).name]
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, shared["lr"])
            return
        index = self._get_variable_index(variable)
        update(variable, gradient, self._momentums[index], self._velocities[index], shared)


def shared_by_dtype(
    variables: list[Any], *, learning_rate: Any, step: Any, **constants: float
) -> dict[str, dict[str, tf.Tensor]]:
    """Returns what the updates of all variables of a dtype share, by its name.

    Args:
        variables: the variables.
        learning_rate: a number or a tensor.
        step: number of the step, 1 for the first.
        **constants: `beta1`, `beta2` and `epsilon`.
    """
    shared = {}
    for dtype in {tf.as_dtype(v.dtype).name for v in variables}:
        of_dtype = {name: tf.constant(value, dtype) for name, value in constants.items()}
        for beta in ("beta1", "beta2"):
            of_dtype[f"{beta}_power"] = tf.pow(of_dtype[beta], tf.cast(step, dtype))
        of_dtype["lr"] = tf.cast(tf.convert_to_tensor(learning_rate), dtype)
        shared[dtype] = of_dtype
    return shared


def update(
    variable: Any, gradient: tf.Tensor, m: Any, v: Any, shared: dict[str, tf.Tensor]
) -> None:
    """Updates one variable and its two moments, by what it shares with others of its dtype."""
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=m.value.handle,
        v=v.value.handle,
        grad=tf.cast(gradient, variable.dtype),
        **shared,
    )
