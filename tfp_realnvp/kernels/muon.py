"""Muon for the hidden kernels of networks, Adam for all else."""

from __future__ import annotations

import re
from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.kernels import adam

# The last layers of networks learn by Adam, and so does what is no kernel.
_HIDDEN = re.compile(r"(?<!end)\.(kernel|direction)$")


@keras.saving.register_keras_serializable("tfp_realnvp")
class Muon(keras.optimizers.Muon):
    r"""Keras' Muon, of convolutions too, and fused for what learns by Adam.

    The kernel of a dense layer, or of a convolution as a matrix from all that it sees to one pixel,
    has `a` rows and `b` columns. With its gradient G at a step,

        M = momentum M + G
        kernel -= learning_rate rms_rate sqrt(max(a, b)) orthogonal(G + momentum M)

    where `orthogonal(U S V^T)` is about `U V^T`, by five steps of Newton and Schulz: all directions
    of a kernel learn at the same pace, also those in which gradients are small. Networks' last
    layers, whose outputs are parameters of many kinds, and all that is no kernel learn by Adam, at
    the same rate. No weight decays unless that is asked for.

    Source: arXiv:2502.16982.

    Args:
        learning_rate: a number or a `keras.optimizers.schedules.LearningRateSchedule`.
        weight_decay: decay of the kernels, in units of the learning rate.
        adam_weight_decay: decay of what learns by Adam, likewise.
        rms_rate: root mean square of an update of a kernel, in units of the learning rate; one of
            Adam's is about 0.2.
        **kwargs: see `keras.optimizers.Muon`.

    Example:
        >>> import tfp_realnvp as nvp
        >>> model = nvp.FlowModel(nvp.flows.build("realnvp", (2,), couplings=2))
        >>> model.compile(nvp.Muon(1e-3, global_clipnorm=1.0))
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        *,
        weight_decay: float | None = None,
        adam_weight_decay: float | None = None,
        rms_rate: float = 0.6,
        **kwargs: Any,
    ):
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            adam_weight_decay=adam_weight_decay,
            rms_rate=rms_rate,
            **kwargs,
        )

    def _should_use_adamw(self, variable: Any) -> bool:
        excluded = any(re.search(pattern, variable.path) for pattern in self.exclude_layers)
        return excluded or not _HIDDEN.search(variable.path)

    def _backend_update_step(
        self, grads: list[Any], trainable_variables: list[Any], learning_rate: Any
    ) -> None:
        shared = adam.shared_by_dtype(
            trainable_variables,
            learning_rate=learning_rate,
            step=self.iterations + 1,
            beta1=self.adam_beta_1,
            beta2=self.adam_beta_2,
            epsilon=self.epsilon,
        )
        super()._backend_update_step(grads, trainable_variables, shared)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable and what is remembered of its gradients."""
        shared = learning_rate[tf.as_dtype(variable.dtype).name]
        index = self._get_variable_index(variable)
        m, v = self.momentums[index], self.adam_velocities[index]
        gradient = tf.convert_to_tensor(gradient)
        if v is None:
            self._muon_update_step(gradient, variable, shared["lr"], m)
        else:
            rate = shared["lr"] * tf.cast(self.adam_lr_ratio, variable.dtype)
            adam.update(variable, gradient, m, v, shared | {"lr": rate})

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign(m, self.momentum * m + gradient)
        g = gradient + self.momentum * m if self.nesterov else tf.convert_to_tensor(m)
        matrix = tf.reshape(g, [-1, g.shape[-1]])
        size = self.rms_rate * max(matrix.shape) ** 0.5
        direction = size * self.zeropower_via_newtonschulz5(matrix, self.ns_steps)
        self.assign_sub(variable, lr * tf.reshape(direction, g.shape))
