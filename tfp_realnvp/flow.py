"""`Flow`: bijectors and a standard normal base as one `tfd.TransformedDistribution`."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_realnvp.bijectors.base import trained_by_keras
from tfp_realnvp.bijectors.composition import Composition
from tfp_realnvp.bijectors.conditional import Conditional
from tfp_realnvp.bijectors.dequantization import Dequantization
from tfp_realnvp.bijectors.factor_out import end_flat
from tfp_realnvp.bijectors.recomputation import check_recomputation
from tfp_realnvp.core import arguments
from tfp_realnvp.core.context import Context, Scope, stateless_seed
from tfp_realnvp.core.data_checks import check_data, check_pixels, given_to_examples
from tfp_realnvp.core.keras_caller import check_caller_holds
from tfp_realnvp.core.standard_normal import standard_normal

tfd = tfp.distributions

# The class whose instances `tfd.TransformedDistribution(...)` returns for bijectors that are not
# composite tensors. A subclass of the public name would be taken for a composite tensor, and a
# `tf.Module` that holds it would no longer find its variables.
_TransformedDistribution = tfd.TransformedDistribution.__mro__[1]


class Flow(_TransformedDistribution):  # type: ignore[valid-type, misc]
    r"""A normalizing flow: `y = b_1(... b_n(z))` with `z` standard normal on a flat vector.

    `log_prob(y) = log N(b^{-1}(y); 0, I) + log|det db^{-1}/dy|`, in nats, from one walk through
    the bijectors. Where the first bijector dequantizes, `y` are integer images and `log_prob` is a
    lower bound of their log-probability that draws fresh noise on every call; divide by `-D ln 2`
    for bits per dimension.

    Keyword arguments of `log_prob` and `sample`: `bijector_kwargs={"seed": (1, 2), "labels": y}`
    and the other attributes of `nvp.Context`; `sample` and `experimental_sample_and_log_prob` also
    take `temperature`, the standard deviation of the base. Labels are integers: one for each row
    (`[N]`, or `[N, 1]` as Keras' data sets have them), or one for all. A condition c, of a flow
    that models `p(y | c)`, is likewise one for each row, `[N, *condition_shape]`, or one for all.

    Args:
        bijectors: members from data to latent. What is no vector at the latent end is
            flattened.
        event_shape: shape of one example, `(H, W, C)`, `(D,)`, or `(P, D)` for a set of points.
        seed: seed of the initial values.
        dtype: dtype of the arithmetic, `"float32"` or `"float64"`.
        conditioner_dtype: Keras dtype policy of the conditioners, such as `"mixed_bfloat16"`;
            None for `dtype`.
        num_classes: number of classes of a class-conditional flow, or None.
        condition_shape: shape of what the flow is conditional on, with classes or without: `(K,)`
            for vectors, which every conditioner sees; of images also `(H, W, K)` for features of
            each pixel, which every coupling sees at its own resolution; or None.
        encoder: a Keras model that makes the condition of what is given as `condition`: of raw
            observations, such as images or series. Its weights are the flow's, and are trained
            along. It says the `condition_shape` by itself.
        recompute: whether the gradient of `log_prob` runs the members again, one by one, instead of
            keeping their activations: less memory, and one more run of every conditioner in a
            training step.
        name: name of the distribution.

    Raises:
        ValueError: the bijectors do not fit the event shape, an argument out of range, or nothing
            to recompute.

    Example:
        >>> import tfp_realnvp as nvp
        >>> couplings = [
        ...     nvp.bijectors.Coupling(
        ...         nvp.bijectors.Halves(inverted=i % 2 == 1), nvp.conditioners.MLP()
        ...     )
        ...     for i in range(4)
        ... ]
        >>> dist = nvp.Flow(couplings, (3,))
        >>> dist.log_prob(dist.sample(5)).shape
        TensorShape([5])
    """

    def __init__(
        self,
        bijectors: Sequence[tfp.bijectors.Bijector],
        event_shape: Sequence[int],
        *,
        seed: int = 0,
        dtype: str = "float32",
        conditioner_dtype: str | None = None,
        num_classes: int | None = None,
        condition_shape: Sequence[int] | None = None,
        encoder: keras.Model | None = None,
        recompute: bool = False,
        name: str = "flow",
    ):
        parameters = dict(locals())
        shape = arguments.event_shape(event_shape)
        if not bijectors:
            raise ValueError("A flow needs at least one bijector.")
        if num_classes is not None:
            arguments.whole("Flow", "num_classes", num_classes)
        condition = arguments.condition_shape(condition_shape, shape, encoder=encoder)
        kind: Any = Composition
        if condition is not None:
            kind = functools.partial(Conditional, encoder=encoder)
        bijector = kind(end_flat(bijectors, ndims=len(shape)), ndims=len(shape), name=name)
        scope = Scope(
            path="flow",
            seed=arguments.whole("Flow", "seed", seed, least=None),
            dtype=arguments.flow_dtype(dtype),
            conditioner_dtype=arguments.dtype_policy(conditioner_dtype),
            num_classes=num_classes,
            condition_shape=condition,
            condition_channels=condition[-1] if condition and len(condition) == 3 else 0,
            recompute=recompute,
        )
        latent_shape = bijector.build(shape, scope)
        if scope.is_conditional and not bijector.is_conditional:
            what = f"{num_classes} classes" if condition is None else "a condition"
            sees = "labels" if condition is None else "one"
            raise ValueError(
                f"{name} is to be conditional on {what}, but none of its bijectors sees {sees}: it "
                "needs a conditioner."
            )
        if recompute:
            check_recomputation(bijector, name=name)
        base = standard_normal(math.prod(latent_shape), dtype)
        super().__init__(distribution=base, bijector=bijector, parameters=parameters, name=name)
        self._seed = seed
        self._conditioner_dtype = conditioner_dtype
        self._num_classes = num_classes
        self._seen_shape = self._no_dependency(condition)
        self._recompute = recompute
        self._flow_event_shape = self._no_dependency(shape)
        #: Graphs traced of this flow, by name; see `tfp_realnvp.execution.graphs`.
        self.graphs = self._no_dependency({})

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return {}

    def _event_shape(self):
        return tf.TensorShape(self._flow_event_shape)

    def _event_shape_tensor(self):
        return tf.constant(self._flow_event_shape, tf.int32)

    def _batch_shape(self):
        return tf.TensorShape([])

    def _batch_shape_tensor(self):
        return tf.constant([], tf.int32)

    @property
    def quantizer(self) -> Dequantization | None:
        """The dequantizing first bijector, or None for a flow of continuous data."""
        first = self.bijector.bijectors[0]
        return first if isinstance(first, Dequantization) else None

    @property
    def levels(self) -> int | None:
        """Number of integer levels of the data, or None for continuous data."""
        return self.quantizer.levels if self.quantizer is not None else None

    @property
    def num_classes(self) -> int | None:
        """Number of classes of a class-conditional flow, or None."""
        return self._num_classes

    @property
    def condition_shape(self) -> tuple[int | None, ...] | None:
        """Shape of one row's condition, of an observation where there is an encoder; or None."""
        return self.bijector.condition_shape

    @property
    def encoder(self) -> keras.Model | None:
        """What makes the condition of observations, or None."""
        return getattr(self.bijector, "encoder", None)

    def with_encoder(self, encoder: keras.Model) -> Flow:
        """Returns a flow of the same bijectors and variables that is given raw observations.

        Args:
            encoder: makes the condition of observations; see the constructor.

        Raises:
            TypeError: no Keras model.
            ValueError: this flow has no condition, or the model makes one of another shape.
        """
        settings = {**self._settings(), "encoder": encoder}
        return self._with_units_of_this(type(self)(self.bijector.bijectors, **settings))

    def _with_units_of_this(self, made: Flow) -> Flow:
        if self._seen_shape is not None:
            made.bijector.use_units_of(self.bijector)
        return made

    @property
    def continuous(self) -> Composition:
        """The flow without its quantizer: a true bijector of real-valued data."""
        if self.quantizer is None:
            return self.bijector
        kind = type(self.bijector)
        return kind(list(self.bijector.bijectors)[1:], name="continuous").share(
            self.bijector, self._flow_event_shape
        )

    @property
    def keras_layers(self) -> tuple[keras.layers.Layer, ...]:
        """The Keras layers that hold all variables, each once."""
        return self.bijector.keras_layers

    @property
    def latent_sizes(self) -> list[int]:
        """Sizes of the parts of a latent vector scale by scale, finest first."""
        return self.bijector.latent_sizes

    def initialize(self, data: Any, labels: Any = None, condition: Any = None) -> None:
        """Sets what depends on data: standardization, ActNorm.

        Args:
            data: a batch `[N, *event]`; what is set already stays as it is.
            labels: `[N]` for class-conditional flows.
            condition: `[N, *condition_shape]` for flows with one.

        Raises:
            ValueError: bad data.
        """
        data = np.asarray(data)
        check_data(data, self._flow_event_shape, self.levels, name=self.name, dtype=self.dtype)
        if not len(data):
            raise ValueError(f"{self.name} starts from data, got a batch of none.")
        given = given_to_examples(self, len(data), labels, condition)
        self.bijector.initialize(data, **given)

    def encode_and_log_det(self, y: Any, context: Context) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps data to latents in one walk; see `FlowBijector.inverse_and_log_det`.

        Raises:
            ValueError: images that are not integers in `0 .. levels - 1`, where values can be
                looked at; labels or a condition missing or uncalled for.
        """
        if self.levels is not None:
            check_pixels(y, self.levels)
        return self.bijector.inverse_and_log_det(y, context)

    def log_prob_in(self, y: Any, context: Context) -> tf.Tensor:
        """Returns the log-probability in nats under a ready-made context."""
        z, log_det = self.encode_and_log_det(y, context)
        return self.distribution.log_prob(z) + log_det

    def _context(self, method: str, kwargs: dict[str, Any], *, takes: tuple[str, ...] = ()):
        """Returns the context that a method's keyword arguments make; refuses those it lacks."""
        known = ("bijector_kwargs", *takes)
        unknown = sorted(key for key, value in kwargs.items() if key not in known and value != {})
        if unknown:
            raise TypeError(
                f"{method} of {self.name} has no argument {', '.join(unknown)}; it takes "
                f"{', '.join(known)}, such as bijector_kwargs={{'seed': (1, 2)}}."
            )
        return Context.from_kwargs(kwargs.get("bijector_kwargs") or {})

    # TFP's wrappers call one or the other.

    def _call_log_prob(self, value, name, **kwargs):
        check_caller_holds(self)
        context = self._context("log_prob", kwargs)
        with self._name_and_control_scope(name):
            return self.log_prob_in(value, context)

    def _log_prob(self, value, **kwargs):
        return self.log_prob_in(value, self._context("log_prob", kwargs))

    def experimental_local_measure(self, value, backward_compat=False, **kwargs):
        """Returns the log-probability, and TFP's sign that its measure is the whole space's."""
        del backward_compat
        return self.log_prob(value, **kwargs), tfp.experimental.tangent_spaces.FullSpace()

    def _call_sample_n(self, sample_shape, seed, **kwargs):
        context = self._context("sample", kwargs, takes=("temperature",))
        z = self._draw(sample_shape, seed, kwargs.get("temperature", 1.0))
        return self.bijector.forward(z, context=context)

    def _sample_and_log_prob(self, sample_shape, seed, **kwargs):
        method = "experimental_sample_and_log_prob"
        context = self._context(method, kwargs, takes=("temperature",))
        z = self._draw(sample_shape, seed, kwargs.get("temperature", 1.0))
        y, log_det = self.bijector.forward_and_log_det(z, context)
        if self.quantizer is not None:
            return y, self.log_prob_in(y, context)
        return y, self.distribution.log_prob(z) - log_det

    def _draw(self, sample_shape, seed, temperature):
        """Returns latents of a temperature."""
        check_caller_holds(self)
        if not tf.is_tensor(temperature):
            arguments.real("sample", "temperature", temperature, least=0)
        arguments.sample_shape(sample_shape)
        # A `tfp.util.SeedStream` gives integers of hundreds of bits.
        seed = tfp.random.sanitize_seed(seed) if callable(seed) else stateless_seed(seed)
        z = self.distribution.sample(sample_shape, seed=seed)
        return z * tf.cast(temperature, z.dtype)

    def copy(self, **overrides: Any) -> Flow:
        """Returns a flow of the same bijectors, which share their variables.

        Args:
            **overrides: `name`, of the copy.

        Raises:
            TypeError: another argument, which bijectors that are built cannot take.
        """
        if unknown := sorted(overrides.keys() - {"name"}):
            raise TypeError(
                f"A copy of {self.name} shares its bijectors and can have another name only, got "
                f"{', '.join(unknown)}: make another flow."
            )
        return self._with_units_of_this(super().copy(**overrides))

    def __getitem__(self, slices):
        if slices in (Ellipsis, ()):
            return self
        raise ValueError(
            f"{self.name} has no batch dimensions to take {slices!r} of; tfd.BatchBroadcast and "
            "tfd.Sample add dimensions, nvp.given makes a batch of classes."
        )

    @property
    def trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The variables that Keras trains: none of a layer with `trainable = False`."""
        return trained_by_keras(super().trainable_variables, self.keras_layers)

    def __reduce__(self):
        # For `pickle` and `copy.deepcopy`: a flow with variables of its own.
        values = [variable.numpy() for variable in self.bijector.variables]
        return _revived, (type(self), self.get_config(), values)

    def __repr__(self):
        given = {"num_classes": self._num_classes, "condition_shape": self.condition_shape}
        more = "".join(f" {key}={value}" for key, value in given.items() if value is not None)
        return super().__repr__().removesuffix(">") + more + ">"

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serializable by Keras."""
        serialized = keras.saving.serialize_keras_object
        encoder = self.encoder
        return {
            "bijectors": [serialized(b) for b in self.bijector.bijectors],
            **self._settings(),
            "encoder": None if encoder is None else serialized(encoder),
            "frozen": [i for i, layer in enumerate(self.keras_layers) if not layer.trainable],
        }

    def _settings(self) -> dict[str, Any]:
        return {
            "event_shape": list(self._flow_event_shape),
            "seed": self._seed,
            "dtype": self.dtype.name,
            "conditioner_dtype": self._conditioner_dtype,
            "num_classes": self._num_classes,
            "condition_shape": None if self._seen_shape is None else list(self._seen_shape),
            "recompute": self._recompute,
            "name": self.name.rstrip("/"),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Flow:
        """Makes a flow of equal architecture, with fresh initial values."""
        config = dict(config)
        frozen = config.pop("frozen", [])
        deserialized = keras.saving.deserialize_keras_object
        members = [deserialized(b) for b in config.pop("bijectors")]
        encoder = config.pop("encoder", None)
        flow = cls(members, encoder=encoder and deserialized(encoder), **config)
        for index in frozen:
            flow.keras_layers[index].trainable = False
        return flow


@tfd.RegisterKL(Flow, Flow)
def _kl_divergence(a: Flow, b: Flow, name: str | None = None) -> tf.Tensor:
    if a.bijector == b.bijector:
        return tfd.kl_divergence(a.distribution, b.distribution, name=name)
    raise NotImplementedError(
        f"The Kullback-Leibler divergence of {a.name} from {b.name} has no closed form: estimate "
        "it from samples y of the first, as the mean of a.log_prob(y) - b.log_prob(y)."
    )


def _revived(cls: type[Flow], config: dict[str, Any], values: list[np.ndarray]) -> Flow:
    flow = cls.from_config(config)
    for variable, value in zip(flow.bijector.variables, values, strict=True):
        variable.assign(value)
    return flow
