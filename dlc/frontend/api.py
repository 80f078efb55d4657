"""The public names of tensors, functions and transforms, and what the methods of `Tensor` delegate to."""

from __future__ import annotations

import math
import sys
from typing import Any

from dlc.frontend import random, tree
from dlc.frontend.apply import asarray
from dlc.frontend.autograd import GradientTape, backward, note_leaf
from dlc.frontend.compile import CompiledFunction, compile
from dlc.frontend.dtypes import can_cast, finfo, from_dlpack, iinfo, isdtype, result_type
from dlc.frontend.functions.composed import (
    astype,
    clip,
    copysign,
    isfinite,
    isinf,
    isnan,
    logaddexp,
    nextafter,
    pow,
    round,
    sign,
    signbit,
    where,
)
from dlc.frontend.functions.creation import (
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    iota,
    linspace,
    meshgrid,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from dlc.frontend.functions.einsum import einsum
from dlc.frontend.functions.elementwise import (
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    cbrt,
    ceil,
    cos,
    cosh,
    divide,
    equal,
    erf,
    erfc,
    exp,
    exp2,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    hypot,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    positive,
    reciprocal,
    remainder,
    rsqrt,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
)
from dlc.frontend.functions.indexing import one_hot, take, take_along_axis
from dlc.frontend.functions.linalg import (
    dot,
    inner,
    matmul,
    outer,
    tensordot,
    vecdot,
)
from dlc.frontend.functions.nn import (
    cross_entropy,
    gelu,
    layer_norm,
    log_sigmoid,
    relu,
    rms_norm,
    sigmoid,
    silu,
    softplus,
)
from dlc.frontend.functions.rearrange import (
    diagonal,
    flip,
    pad,
    repeat,
    roll,
    tile,
    trace,
    tril,
    triu,
)
from dlc.frontend.functions.reduction import (
    all,
    any,
    argmax,
    argmin,
    count_nonzero,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    prod,
    softmax,
    std,
    sum,
    var,
)
from dlc.frontend.functions.shape import (
    broadcast_arrays,
    broadcast_shapes,
    broadcast_to,
    concat,
    expand_dims,
    flatten,
    matrix_transpose,
    moveaxis,
    permute_dims,
    ravel,
    reshape,
    split,
    squeeze,
    stack,
    swapaxes,
    transpose,
    unstack,
)
from dlc.frontend.numpy_interop import numpy_function, numpy_ufunc
from dlc.frontend.spec import Spec, spec
from dlc.frontend.subscript import getitem, setitem
from dlc.frontend.tensor import Tensor, make_like
from dlc.frontend.tensor import functions as method_functions
from dlc.frontend.transforms import grad, jvp, no_grad, stop_gradient, value_and_grad, vjp
from dlc.frontend.variable import Variable
from dlc.ir.config import config
from dlc.ir.errors import (
    ArgumentError,
    BackendError,
    CacheError,
    DerivativeError,
    DeviceError,
    DlcError,
    DonatedBufferError,
    DTypeError,
    IndexRangeError,
    LeakedTracerError,
    MemoryLimitError,
    ParseError,
    PassError,
    RecompileError,
    SettingError,
    ShapeError,
    TracedValueError,
    ValueRangeError,
    VerifyError,
)
from dlc.ir.types import (
    DType,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)

jit = compile
concatenate = concat
newaxis = None
pi, e, inf, nan = math.pi, math.e, math.inf, math.nan


def _namespace() -> Any:
    return sys.modules["dlc"]


method_functions.__dict__.update(
    {name: value for name, value in globals().items() if not name.startswith("_")},
    namespace=_namespace,
    rebuild=asarray,
    copy=make_like,
)
# Not among the public names of the Array API is `bool` as a function: it is the element type.
bool = bool_
_INTERNAL = {
    "Any", "annotations", "backward", "getitem", "make_like", "math", "method_functions", "note_leaf",
    "numpy_function", "numpy_ufunc", "setitem", "sys",
}  # fmt: skip
__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]
    name for name in globals() if not name.startswith("_") and name not in _INTERNAL
]
