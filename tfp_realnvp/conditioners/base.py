"""The base of the conditioners: Keras 3 layers whose compute dtype can be set per call."""

from __future__ import annotations

import abc
from typing import Any

import keras
import tensorflow as tf

from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context, Scope, described, serializable
from tfp_realnvp.core.initial_values import seeded
from tfp_realnvp.kernels import Kernels


class Conditioner(keras.layers.Layer, abc.ABC):
    """A network that gives a coupling's parameters.

    Subclasses create weights in `build` with `weight` and compute in `run`, in the dtype of their
    input: the dtype travels with the data, so that a conditioner of policy `mixed_bfloat16` can
    still be asked for an exact float32 evaluation.

    Args:
        outputs: channels of the output; None to let the coupling say.
        **kwargs: see `keras.layers.Layer`.
    """

    #: Rank of the events that the network can see; None for any.
    event_ndims: int | None = None
    #: Rows over which the network reaches, the sum of its convolutions' halos, where nothing else
    #: in it sees more than a pixel; None where something does.
    reach: int | None = None
    #: Weight that says whether data have set the network, in one that starts from data.
    initialized: Any = None

    def __init__(self, *, outputs: int | None = None, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        if outputs is not None:
            arguments.whole(type(self).__name__, "outputs", outputs)
        self.outputs = outputs
        self.num_classes: int | None = None
        self.vector_size = 0
        #: Channels, behind the others of the input, that are a condition and no part of the event.
        self.condition_channels = 0
        self._scope_path: str = self.name
        self._scope_seed: int = 0

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        serializable(cls)

    def get_build_config(self) -> None:
        """Tells Keras to leave building to the coupling."""

    def prepare(self, *, outputs: int, scope: Scope) -> None:
        """Sets what the place in a flow decides; call before `build`.

        Args:
            outputs: channels that the coupling needs.
            scope: where the conditioner stands.

        Raises:
            ValueError: this conditioner was made for another number of outputs.
        """
        if self.outputs not in (None, outputs):
            raise ValueError(
                f"{scope.path} was made with outputs={self.outputs}, its coupling needs {outputs}."
            )
        self.outputs = outputs
        self.num_classes, self.vector_size = scope.num_classes, scope.vector_size
        self.condition_channels = scope.condition_channels
        self._scope_path, self._scope_seed = scope.path, scope.seed
        self.dtype_policy = keras.DTypePolicy(scope.conditioner_dtype or scope.dtype)

    def known_outputs(self) -> int:
        """Returns the channels of the output.

        Raises:
            ValueError: neither the constructor nor a coupling has said.
        """
        if self.outputs is None:
            raise ValueError(f"{self.name} needs outputs=, or a coupling that says how many.")
        return self.outputs

    def weight(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Any = "lecun_normal",
        **kwargs: Any,
    ) -> Any:
        """Adds a weight whose initial value is a function of (seed, path, name).

        Args:
            name: name of the weight within the conditioner.
            shape: its shape.
            initializer: a Keras initializer or its name.
            **kwargs: see `keras.layers.Layer.add_weight`.
        """
        initial = seeded(initializer, seed=self._scope_seed, path=f"{self._scope_path}/{name}")
        # The conditioner casts by itself: a model around it does not say what it computes in.
        return self.add_weight(
            shape=shape, initializer=initial, name=name.replace("/", "."), autocast=False, **kwargs
        )

    @property
    def given_size(self) -> int:
        """Size of what each row is given: classes, and then the vector of a condition."""
        return (self.num_classes or 0) + self.vector_size

    def given_kernel(self, name: str, width: int) -> Any:
        """Adds the weight `[given_size, width]` that what a row is given is multiplied with.

        It starts from 0: a network begins as if rows were given nothing, whatever the units of a
        condition.

        Args:
            name: name of the weight within the conditioner.
            width: channels that it adds to.

        Returns:
            The weight, or None where rows are given nothing.
        """
        return self.weight(name, (self.given_size, width), "zeros") if self.given_size else None

    @abc.abstractmethod
    def run(self, inputs: tf.Tensor, given: tf.Tensor | None, context: Context) -> tf.Tensor:
        """Computes `[N, ..., outputs]` from `[N, ..., K]`, in the dtype of the inputs.

        Args:
            inputs: what the coupling passes.
            given: what each row is given, `[N, given_size]` in the same dtype: its one-hot label
                and then the vector of its condition, of those that the flow has; None of neither.
            context: the per-call context.
        """

    def parameters(self, inputs: tf.Tensor, context: Context) -> tf.Tensor:
        """Computes a coupling's parameters, back in the dtype of its inputs.

        Raises:
            ValueError: labels or the condition are missing in a flow that has them.
        """
        compute = self.variable_dtype if context.exact else self.compute_dtype
        given = self._given(context, compute)

        def network(x: tf.Tensor, kernels: Kernels) -> tf.Tensor:
            return self.run(x, given, context.replace(kernels=kernels))

        x = tf.cast(inputs, compute)
        outputs = context.kernels.over_images(network, x, reach=self.reach)
        return tf.cast(outputs, inputs.dtype)

    @property
    def needs_data(self) -> bool:
        """Whether the network waits for `initialize` to set it from data."""
        if self.initialized is None:
            return False
        with tf.init_scope():
            return not bool(self.initialized.numpy())

    def initialize(self, inputs: tf.Tensor, context: Context) -> None:
        """Sets what depends on data, in a network that starts from data; eager only.

        Args:
            inputs: what the coupling passes.
            context: the per-call context.
        """

    def call(
        self, inputs: tf.Tensor, labels: Any = None, training: bool = False, vector: Any = None
    ) -> tf.Tensor:
        """Calls the conditioner as a plain Keras layer."""
        context = Context(labels=labels, vector=vector, training=bool(training))
        return self.parameters(inputs, context)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        """Returns the input's shape with `outputs` channels."""
        return (*input_shape[:-1], self.outputs)

    def _given(self, context, dtype):
        return given_to_rows(
            context, self.num_classes, self.vector_size, dtype, name=self._scope_path
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"outputs": self.outputs}

    def __repr__(self):
        return described(self, self.get_config())


def given_to_rows(
    context: Context, num_classes: int | None, vector_size: int, dtype: Any, *, name: str
) -> tf.Tensor | None:
    """Returns what each row is given as one vector; see `Conditioner.run`.

    Args:
        context: the per-call context inside of a flow.
        num_classes: number of classes; None for none.
        vector_size: size of the condition's vector; 0 for none.
        dtype: of the result.
        name: who needs it, for the message.

    Raises:
        ValueError: labels or the vector are missing.
    """
    parts = []
    if num_classes is not None:
        if context.labels is None:
            raise ValueError(f"{name} needs labels of {num_classes} classes.")
        parts.append(tf.one_hot(tf.cast(context.labels, tf.int32), num_classes, dtype=dtype))
    if vector_size:
        if context.vector is None:
            raise ValueError(f"{name} needs a condition of {vector_size} numbers.")
        parts.append(tf.cast(context.vector, dtype))
    return tf.concat(parts, -1) if parts else None
