"""`dlc.autocast`: regions in which products are computed of half types."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from dlc.frontend.apply import dtype_argument
from dlc.frontend.context import cast_type
from dlc.frontend.conversion import user_function
from dlc.frontend.functions.arguments import check_device
from dlc.frontend.functions.inspection import check_is_there
from dlc.ir.errors import ArgumentError, DTypeError
from dlc.ir.types import DType, bfloat16, float16

Function = TypeVar("Function", bound=Callable[..., Any])


class autocast:  # noqa: N801
    """A region in which products are computed of half types, and sums at float32; a decorator too.

    Contractions, convolutions and attention convert their float32 operands to the half type, add
    at float32, and give the half type. Reductions, norms, softmax and losses convert half types to
    float32. Everything else takes what it is given, and what is float64 stays. Parameters stay
    float32, and so do their gradients: the derivative of a conversion is one back. The page on
    mixed precision lists the functions.

    It holds for the thread or task that is in the region, eagerly and while a function is traced: a
    compiled function that is called in a region has programs for it of its own.

    Args:
        device_type: The device, as PyTorch has it: "cpu" or "cuda". The dtype may be given in its
            place.
        dtype: bfloat16 (the default) or float16, of which small gradients need
            `dlc.optim.LossScaler`.
        enabled: False makes a region without conversions, inside of another one.
        cache_enabled: Accepted for PyTorch's sake: compiled functions convert a weight once anyway.

    Raises:
        ArgumentError: Two dtypes are given.
        DTypeError: The dtype is no half type.
        DeviceError: There is no such device.

    Example:
        >>> x, w = dlc.ones((2, 3)), dlc.ones((3, 4))
        >>> with dlc.autocast(dlc.bfloat16):
        ...     y = x @ w
        ...     total = dlc.sum(y)
        >>> y.dtype, total.dtype
        (dlc.bfloat16, dlc.float32)
    """

    def __init__(
        self,
        device_type: Any = None,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if device_type is not None and _names_dtype(device_type):
            if dtype is not None:
                raise ArgumentError(f"autocast({device_type!r}, dtype={dtype!r}): which of both?")
            device_type, dtype = None, device_type
        check_device(device_type)
        if device_type is not None and ":" in str(device_type):
            check_is_there(device_type)
        held = bfloat16 if dtype is None else dtype_argument(dtype)
        if enabled and held not in (bfloat16, float16):
            raise DTypeError(
                f"autocast to {held.name}", hint="it is for dlc.bfloat16 and dlc.float16"
            )
        self.dtype = held
        self.enabled = enabled
        self._tokens: list[Token[DType | None]] = []

    def __enter__(self) -> Self:
        self._tokens.append(cast_type.set(self.dtype if self.enabled else None))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        cast_type.reset(self._tokens.pop())

    def __call__(self, function: Function) -> Function:
        """`function`, all of which is such a region."""

        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with autocast(dtype=self.dtype, enabled=self.enabled):
                return user_function(function)(*args, **kwargs)

        return cast(Function, inside)


def _names_dtype(given: Any) -> bool:
    if isinstance(given, str) and given.partition(":")[0] in ("cpu", "cuda"):
        return False
    try:
        dtype_argument(given)
    except DTypeError:
        return False
    return True


def get_autocast_dtype() -> DType | None:
    """The type that products are computed of at present; None outside of `dlc.autocast`.

    Returns:
        bfloat16, float16 or None.

    Example:
        >>> with dlc.autocast(dlc.float16):
        ...     print(dlc.get_autocast_dtype())
        f16
    """
    return cast_type.get()
