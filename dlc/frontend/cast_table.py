"""Mixed precision: inside `autocast`, products are computed of half types, sums at float32.

Each public function of the table below converts its float operands when it is called, and what it
is made of keeps those types. All other functions take what they are given: promotion decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

import numpy as np

from dlc.frontend.apply import as_tensor, convert
from dlc.frontend.context import cast_type
from dlc.frontend.native_functions import by_position, parameters_of, with_signature_of
from dlc.frontend.tensor import Tensor
from dlc.ir.types import DType, bfloat16, float16, float32, float64

P = ParamSpec("P")
Result = TypeVar("Result")
_CAST: Final = (float32, bfloat16, float16)

# Products: of float32 and half operands at the type of `autocast`; float64 stays.
LOW: Final = frozenset((
    "addmm", "affine", "baddbmm", "bilinear", "conv", "conv1d", "conv2d", "conv3d",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "dot", "einsum",
    "inner", "linear", "matmul", "multi_dot", "scaled_dot_product_attention", "tensordot", "vecdot",
))  # fmt: skip
_SUMS: Final = (
    "average", "convolve", "corrcoef", "correlate", "cov", "cumprod", "cumsum", "cumulative_prod",
    "cumulative_sum", "cumulative_trapezoid", "log_softmax", "logcumsumexp", "logsumexp", "mean",
    "nanmean", "nanprod", "nanstd", "nansum", "nanvar", "prod", "softmax", "std", "sum",
    "trapezoid", "var",
)  # fmt: skip
_NORMS: Final = (
    "batch_norm", "cond", "group_norm", "instance_norm", "layer_norm", "local_response_norm",
    "matrix_norm", "norm", "normalize", "rms_norm", "vector_norm",
)  # fmt: skip
_LOSSES: Final = (
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "binary_crossentropy",
    "binary_focal_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy",
    "categorical_hinge", "cosine_embedding_loss", "cosine_similarity", "cross_entropy", "ctc_loss",
    "dice", "dice_loss", "gaussian_nll_loss", "hinge", "hinge_embedding_loss", "hinge_loss",
    "huber", "huber_loss", "kl_div", "kl_divergence", "l1_loss", "log_cosh", "log_cosh_loss",
    "margin_ranking_loss", "mean_absolute_error", "mean_absolute_percentage_error",
    "mean_squared_error", "mean_squared_logarithmic_error", "mse_loss", "multi_margin_loss",
    "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "pairwise_distance",
    "poisson_nll_loss", "sigmoid_focal_loss", "smooth_l1_loss", "soft_margin_loss",
    "sparse_categorical_crossentropy", "squared_hinge", "squared_hinge_loss",
    "triplet_margin_loss", "tversky",
)  # fmt: skip
_MATRICES: Final = (
    "cdist", "cholesky", "cholesky_solve", "det", "eigh", "eigvalsh", "expm", "inv", "lstsq", "lu",
    "lu_factor", "lu_solve", "matrix_power", "matrix_rank", "pinv", "qr", "slogdet", "solve",
    "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve", "trace",
)  # fmt: skip
_PLACES: Final = ("affine_grid", "grid_sample", "multivariate_normal", "quantile", "percentile")
# At float32: half operands are converted to it.
FULL: Final = frozenset((*_SUMS, *_NORMS, *_LOSSES, *_MATRICES, *_PLACES))


def casts(function: Callable[P, Result]) -> Callable[P, Result]:
    """A function of the table, which converts its operands inside `autocast`."""
    name: str = getattr(function, "__name__", "")
    low = name in LOW
    assert low or name in FULL, name
    given = parameters_of(function)
    usual = "_function({positional}, {named})" if given.rest else "_native({ordered})"
    scope: dict[str, Any] = {
        "_active": cast_type.get, "_function": function, "_cast": _cast, "_low": low
    }  # fmt: skip
    if not given.rest:
        scope["_native"] = by_position(function)
    body = (
        "if _active() is None:\n"
        f"        return {usual}\n"
        "    return _cast(_function, _low, [{positional}], dict({named}))"
    )
    return with_signature_of(function, body, scope)


def _cast(function: Callable[..., Any], low: bool, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Calls a function with converted operands; what it is made of keeps their types."""
    target = cast_type.get()
    token = cast_type.set(None)
    try:
        if low and any(map(_is_double, [*args, *kwargs.values()])):
            return function(*args, **kwargs)
        wanted: Any = target if low else float32
        held = {k: _converted(x, wanted) for k, x in kwargs.items()}
        return function(*(_converted(x, wanted) for x in args), **held)
    finally:
        cast_type.reset(token)


def _is_double(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_is_double, x))
    if isinstance(x, Tensor):
        return x.tensor.dtype is float64 and not x._weak
    return isinstance(x, (np.ndarray, np.generic)) and x.dtype == np.float64


def _converted(x: Any, target: DType) -> Any:
    """An argument of the type wanted, where it is a float tensor of fewer than 64 bits."""
    if type(x) in (list, tuple):
        return type(x)(_converted(v, target) for v in x)
    if isinstance(x, (np.ndarray, np.generic)) and x.dtype in [d.numpy for d in _CAST]:
        x = as_tensor(x)
    if not isinstance(x, Tensor) or x._weak or x.tensor.dtype not in _CAST:
        return x
    return convert(x, target)
