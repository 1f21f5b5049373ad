"""What the operations of a network's graph are in exact arithmetic; see `arithmetic`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from tfp_realnvp.codec import arithmetic

Values = list[Any]

#: By TensorFlow's name, what makes an operation's results of its inputs and attributes.
OPERATIONS: dict[str, Callable[[Values, dict[str, Any]], Any]] = {}


def _operation(*names: str) -> Callable:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            OPERATIONS[name] = function
        return function

    return add


def _elementwise(**functions: Callable[..., Any]) -> None:
    for name, function in functions.items():
        OPERATIONS[name] = functools.partial(lambda f, values, attributes: f(*values), function)


_elementwise(
    Abs=np.abs,
    AddV2=np.add,
    BiasAdd=np.add,
    Elu=arithmetic.elu,
    Exp=arithmetic.exp,
    FloorMod=np.mod,
    GreaterEqual=np.greater_equal,
    Greater=np.greater,
    Identity=lambda x: x,
    EnsureShape=lambda x: x,
    StopGradient=lambda x: x,
    IsFinite=np.isfinite,
    Less=np.less,
    LessEqual=np.less_equal,
    Log=arithmetic.log,
    Log1p=lambda x: arithmetic.log(1 + x),
    LogicalAnd=np.logical_and,
    LogicalNot=np.logical_not,
    Maximum=np.maximum,
    Minimum=np.minimum,
    Mul=np.multiply,
    Neg=np.negative,
    OnesLike=np.ones_like,
    RealDiv=np.divide,
    Relu=lambda x: np.maximum(x, 0),
    Rsqrt=lambda x: 1 / np.sqrt(x),
    SelectV2=np.where,
    Sigmoid=arithmetic.sigmoid,
    Sign=np.sign,
    Softplus=arithmetic.softplus,
    Sqrt=np.sqrt,
    Square=np.square,
    SquaredDifference=lambda x, y: np.square(x - y),
    Sub=np.subtract,
    Tanh=arithmetic.tanh,
    ZerosLike=np.zeros_like,
)

# What neither computes nor depends on the order of anything.
_elementwise(
    BroadcastTo=np.broadcast_to,
    ExpandDims=np.expand_dims,
    Fill=np.full,
    GatherV2=lambda x, indices, axis: np.take(x, indices, axis=int(axis)),
    Range=np.arange,
    Reshape=np.reshape,
    Shape=lambda x: np.array(np.shape(x), np.int64),
    Tile=np.tile,
    Transpose=np.transpose,
)


@_operation("IdentityN")
def _identities(values: Values, attributes: dict[str, Any]) -> tuple:
    return tuple(values)


@_operation("Cast")
def _cast(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    return np.asarray(values[0]).astype(attributes["DstT"])


@_operation("ConcatV2")
def _concatenate(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    return np.concatenate(values[:-1], int(values[-1]))


@_operation("TwoSidedElu")
def _two_sided_elu(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    return arithmetic.two_sided_elu(values[0], attributes["axis"])


@_operation("Pack")
def _pack(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    return np.stack(values, attributes["axis"])


@_operation("Unpack")
def _unpack(values: Values, attributes: dict[str, Any]) -> tuple:
    return tuple(np.moveaxis(values[0], attributes["axis"], 0))


@_operation("Split")
def _split(values: Values, attributes: dict[str, Any]) -> tuple:
    axis, x = values
    return tuple(np.split(x, attributes["num_split"], int(axis)))


@_operation("SplitV")
def _split_at(values: Values, attributes: dict[str, Any]) -> tuple:
    x, sizes, axis = values
    return tuple(np.split(x, np.cumsum(sizes)[:-1], int(axis)))


@_operation("Squeeze")
def _squeeze(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    return np.squeeze(values[0], tuple(attributes["squeeze_dims"]) or None)


@_operation("OneHot")
def _one_hot(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    indices, depth, on, off = values
    if attributes["axis"] != -1:
        raise NotImplementedError("one-hot numbers along another axis than the last")
    chosen = np.expand_dims(indices, -1) == np.arange(int(depth))
    return np.asarray(np.where(chosen, on, off))


@_operation("SpaceToDepth")
def _to_depth(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    (x,), side = values, attributes["block_size"]
    rows, height, width, channels = x.shape
    blocks = x.reshape(rows, height // side, side, width // side, side, channels)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(rows, height // side, width // side, -1)


@_operation("DepthToSpace")
def _to_space(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    (x,), side = values, attributes["block_size"]
    rows, height, width, _ = x.shape
    blocks = x.reshape(rows, height, width, side, side, -1).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(rows, height * side, width * side, -1)


@_operation("StridedSlice")
def _slice(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    x, *bounds = values
    index: list[Any] = []
    for i, (begin, end, stride) in enumerate(zip(*bounds, strict=True)):

        def marked(name: str, bit: int = 1 << i) -> bool:
            return bool(attributes[f"{name}_mask"] & bit)

        if marked("ellipsis"):
            index.append(Ellipsis)
        elif marked("new_axis"):
            index.append(None)
        elif marked("shrink_axis"):
            index.append(int(begin))
        else:
            start = None if marked("begin") else int(begin)
            index.append(slice(start, None if marked("end") else int(end), int(stride)))
    return np.asarray(x)[tuple(index)]


def _axes(values: Values) -> list[int]:
    """Returns the axes of a reduction, the last first."""
    x, axes = values
    return sorted((int(axis) % np.ndim(x) for axis in np.ravel(axes)), reverse=True)


@_operation("Sum")
def _sum(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    x = values[0]
    for axis in _axes(values):
        x = arithmetic.total(x, axis, keepdims=attributes["keep_dims"])
    return x


@_operation("Mean")
def _mean(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    count = np.prod([np.shape(values[0])[axis] for axis in _axes(values)])
    return _sum(values, attributes) / count


@_operation("Max")
def _max(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    return np.max(values[0], axis=tuple(_axes(values)), keepdims=attributes["keep_dims"])


@_operation("Prod")
def _product(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    if np.asarray(values[0]).dtype.kind not in "iu":
        raise NotImplementedError("products of real numbers along an axis")
    return np.prod(values[0], axis=tuple(_axes(values)), keepdims=attributes["keep_dims"])


@_operation("Cumsum")
def _running_sum(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    if attributes["exclusive"] or attributes["reverse"]:
        raise NotImplementedError("sums that leave out their last number, or run backwards")
    return np.cumsum(values[0], axis=int(values[1]))  # one after the other, by its definition


@_operation("Softmax")
def _softmax(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    x = arithmetic.exp(values[0] - np.max(values[0], -1, keepdims=True))
    return x / arithmetic.total(x, -1, keepdims=True)


@_operation("LogSoftmax")
def _log_softmax(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    x = values[0] - np.max(values[0], -1, keepdims=True)
    return x - arithmetic.log(arithmetic.total(arithmetic.exp(x), -1, keepdims=True))


def weights_of(operation: str, value: np.ndarray, attributes: dict[str, Any]) -> Any:
    """Returns a constant as a product takes it for its second factor."""
    if operation == "Conv2D":
        return value.shape[0], arithmetic.Weights.of(value.reshape(-1, value.shape[-1]))
    return arithmetic.Weights.of(value.T if _is_transposed(attributes) else value)


def _is_transposed(attributes: dict[str, Any]) -> bool:
    return bool(attributes.get("transpose_b") or attributes.get("adj_y"))


@_operation("Conv2D")
def _convolve(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    x, (side, weights) = values
    if side == 1:
        return arithmetic.contract(x, weights)
    whole, units = arithmetic.whole_rows(x, arithmetic.VALUE_BITS)
    rows, height, width, channels = whole.shape
    halo, run = side // 2, side * channels
    # The pixels of a row that a kernel sees side by side, with rows of zeros around the image.
    seen = np.zeros((rows, height + 2 * halo, width, run))
    for k in range(side):
        own = seen[:, halo : halo + height, :, k * channels : (k + 1) * channels]
        to, start = max(0, halo - k), max(0, k - halo)
        own[:, :, to : width - start] = whole[:, :, start : width - to]
    result: Any = 0.0
    for k in range(side):
        lines = seen[:, k : k + height].reshape(rows, height * width, run)
        result = result + lines @ weights.whole[k * run : (k + 1) * run]
    result *= (units * weights.unit).reshape(rows, 1, 1)
    return result.reshape(rows, height, width, -1)


@_operation("MatMul", "BatchMatMulV2")
def _multiply(values: Values, attributes: dict[str, Any]) -> np.ndarray:
    x, y = values
    if attributes.get("transpose_a") or attributes.get("adj_x"):
        x = np.swapaxes(x, -1, -2)
    if isinstance(y, arithmetic.Weights):
        return arithmetic.contract(x, y)
    return arithmetic.contract_rows(x, np.swapaxes(y, -1, -2) if _is_transposed(attributes) else y)
