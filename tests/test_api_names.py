"""The names that users may rely on exist and are documented."""

import inspect
from pathlib import Path

import pytest

import dlc

# Dotted names below `dlc`, a line each, sorted. A name is listed when it is finished, and never
# taken out again.
NAMES = (Path(__file__).parent / "api_names.txt").read_text().split()
# Dotted names below `dlc`. A name is listed here when it is finished, and never taken out again.
NAMES = [
    "ArgumentError", "BackendError", "CacheError", "CompiledFunction", "DType",
    "DTypeError", "DerivativeError", "DeviceError", "DlcError", "DonatedBufferError",
    "GradientTape", "IndexRangeError", "LeakedTracerError", "LinAlgError", "MemoryLimitError",
    "NanError", "ParseError", "PassError", "RecompileError", "SettingError", "ShapeError", "Spec",
    "Tensor", "TracedValueError", "ValueRangeError", "Variable", "VerifyError",
    "__version__", "abs", "acos", "acosh", "add", "all", "any", "arange", "argmax",
    "argmin", "asarray", "asin", "asinh", "astype", "atan", "atan2", "atanh", "bfloat16",
    "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_or",
    "bitwise_right_shift", "bitwise_xor", "bool", "bool_", "broadcast_arrays",
    "broadcast_shapes", "broadcast_to", "can_cast", "cbrt", "ceil", "clip", "compile",
    "concat", "concatenate", "config", "copysign", "cos", "cosh", "count_nonzero",
    "cross_entropy", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum",
    "diagonal", "diff", "divide", "dot", "einsum", "empty", "empty_like", "equal",
    "erf", "erfc", "exp", "exp2", "expand_dims", "expm1", "eye", "finfo", "flatten", "flip",
    "float16", "float32", "float64", "floor", "floor_divide", "from_dlpack", "full",
    "full_like", "gelu", "grad", "greater", "greater_equal", "hypot", "iinfo", "inner",
    "int16", "int32", "int64", "int8", "iota", "isdtype", "isfinite", "isinf", "isnan",
    "jit", "jvp", "layer_norm", "less", "less_equal", "linalg", "linspace", "log", "log10", "log1p",
    "log2", "log_sigmoid", "log_softmax", "logaddexp", "logical_and", "logical_not",
    "logical_or", "logical_xor", "logsumexp", "matmul", "matrix_transpose", "max",
    "maximum", "mean", "meshgrid", "min", "minimum", "moveaxis", "multiply", "negative",
    "nextafter", "no_grad", "not_equal", "one_hot", "ones", "ones_like", "outer", "pad",
    "permute_dims", "positive", "pow", "prod", "random", "ravel", "reciprocal", "relu",
    "remainder", "repeat", "reshape", "result_type", "rms_norm", "roll", "round", "rsqrt",
    "scaled_dot_product_attention",
    "sigmoid", "sign", "signbit", "silu", "sin", "sinh", "softmax", "softplus", "spec",
    "split", "sqrt", "square", "squeeze", "stack", "std", "stop_gradient", "subtract",
    "sum", "swapaxes", "take", "take_along_axis", "tan", "tanh", "tensordot", "tile",
    "trace", "transpose", "tree", "tril", "triu", "trunc", "uint16", "uint32", "uint64",
    "uint8", "unstack", "value_and_grad", "var", "vecdot", "vjp", "where", "zeros",
    "zeros_like", "CompiledFunction.explain", "CompiledFunction.lower",
    "CompiledFunction.stats", "CompiledFunction.warmup", "GradientTape.gradient",
    "GradientTape.stop_recording", "GradientTape.watch", "Tensor.T", "Tensor.astype",
    "Tensor.backward", "Tensor.block_until_ready", "Tensor.detach", "Tensor.device",
    "Tensor.dtype", "Tensor.item", "Tensor.mT", "Tensor.ndim", "Tensor.numpy",
    "Tensor.shape", "Tensor.size", "Tensor.to", "Tensor.tolist", "Variable.assign",
    "Variable.assign_add", "Variable.assign_sub", "Variable.data", "Variable.grad",
    "Variable.zero_grad", "config.scope", "e", "inf", "nan", "newaxis", "pi",
    "linalg.LinAlgError", "linalg.cholesky", "linalg.inv", "linalg.matmul",
    "linalg.matrix_transpose", "linalg.outer", "linalg.solve", "linalg.solve_triangular",
    "linalg.tensordot", "linalg.vecdot", "random.bernoulli",
    "random.bits", "random.fold_in", "random.key", "random.normal",
    "random.seed", "random.split", "random.uniform", "tree.flatten", "tree.leaves",
    "cond", "fori_loop", "map", "scan", "switch", "while_loop",
    "tree.map", "tree.register_node", "tree.structure", "tree.unflatten",
    "hessian", "jacfwd", "jacobian", "jacrev", "vmap",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_name(name):
    value = dlc
    for part in name.split("."):
        value = getattr(value, part)
    if inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value):
        assert inspect.getdoc(value), f"dlc.{name} has no docstring"


def test_every_public_name_is_listed():
    assert set(dlc.__all__) <= set(NAMES)


def test_names_are_sorted_and_listed_once():
    assert sorted(set(NAMES)) == NAMES
