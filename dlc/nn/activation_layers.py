"""Activations as layers, by PyTorch's names; by its arguments or Keras's.

`inplace` is taken for PyTorch's sake and changes nothing: values never change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import dlc
from dlc.ir.errors import ShapeError
from dlc.nn import functional, initializers
from dlc.nn.activations import linear
from dlc.nn.described import one_of, positive
from dlc.nn.module import Module, Parameter


class _Elementwise(Module):
    """A function of a tensor, with the attributes `settings` as its further arguments."""

    function: ClassVar[Callable[..., dlc.Tensor]]
    settings: ClassVar[tuple[str, ...]] = ()

    def forward(self, x: Any) -> dlc.Tensor:
        """The function of `x`, element by element."""
        return type(self).function(x, *(getattr(self, name) for name in self.settings))

    def extra_repr(self) -> str:
        """The settings."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.settings)


class _Bare(_Elementwise):
    """The base of those without settings."""

    def __init__(self, inplace: bool = False, name: str | None = None) -> None:
        self.name = name


class Sigmoid(_Bare):
    """1 / (1 + exp(-x))."""

    function = staticmethod(dlc.sigmoid)


class Tanh(_Bare):
    """The hyperbolic tangent."""

    function = staticmethod(dlc.tanh)


class SiLU(_Bare):
    """x sigmoid(x) (Elfwing et al., 2018)."""

    function = staticmethod(dlc.silu)


class Mish(_Bare):
    """x tanh(log(1 + exp(x))) (Misra, 2019)."""

    function = staticmethod(functional.mish)


class SELU(_Bare):
    """The scaled ELU that keeps mean 0 and variance 1 (Klambauer et al., 2017)."""

    function = staticmethod(functional.selu)


class ReLU6(_Bare):
    """min(max(x, 0), 6)."""

    function = staticmethod(functional.relu6)


class Hardsigmoid(_Bare):
    """x / 6 + 1 / 2, cut off at 0 and 1."""

    function = staticmethod(functional.hardsigmoid)


class Hardswish(_Bare):
    """x times Hardsigmoid of x (Howard et al., 2019)."""

    function = staticmethod(functional.hardswish)


class LogSigmoid(_Bare):
    """log sigmoid(x)."""

    function = staticmethod(dlc.log_sigmoid)


class Softsign(_Bare):
    """x / (1 + |x|)."""

    function = staticmethod(functional.softsign)


class Tanhshrink(_Bare):
    """x - tanh(x)."""

    function = staticmethod(functional.tanhshrink)


class Identity(_Elementwise):
    """What it is given. Takes any arguments, as PyTorch's."""

    function = staticmethod(linear)

    def __init__(self, *_args: Any, name: str | None = None, **_kwargs: Any) -> None:
        self.name = name


class ReLU(Module):
    """max(x, 0); with Keras's arguments, other slopes, thresholds and limits.

    Args:
        inplace: Taken for PyTorch's sake.
        max_value: The largest result.
        negative_slope: The slope below the threshold.
        threshold: Where the result begins to be x.
        name: The layer's name.

    Example:
        >>> dlc.nn.ReLU(max_value=1.0)(dlc.asarray([-2.0, 0.5, 2.0]))
        Tensor([0. , 0.5, 1. ], dtype=float32)
    """

    def __init__(
        self,
        inplace: bool = False,
        *,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        name: str | None = None,
    ) -> None:
        self.name = name
        self.max_value, self.negative_slope = max_value, negative_slope
        self.threshold = threshold

    def forward(self, x: Any) -> dlc.Tensor:
        """The function of `x`, element by element."""
        if self.negative_slope == 0.0 and self.threshold == 0.0:
            y = dlc.relu(x)
        else:
            below = (x - self.threshold) * self.negative_slope
            y = dlc.where(x >= self.threshold, x, below)
        return y if self.max_value is None else dlc.minimum(y, self.max_value)

    def extra_repr(self) -> str:
        """Other settings than the defaults."""
        found = {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}
        return ", ".join(
            f"{name}={getattr(self, name)!r}"
            for name, usual in found.items()
            if getattr(self, name) != usual
        )


class ELU(_Elementwise):
    """x, and alpha (exp(x) - 1) where x is not positive (Clevert et al., 2015).

    Args:
        alpha: Minus the limit on the left.
        inplace: Taken for PyTorch's sake.
    """

    function, settings = staticmethod(functional.elu), ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False, name: str | None = None) -> None:
        self.alpha, self.name = alpha, name


class CELU(ELU):
    """x, and alpha (exp(x / alpha) - 1) where x is not positive (Barron, 2017).

    Args:
        alpha: Minus the limit on the left.
        inplace: Taken for PyTorch's sake.
    """

    function = staticmethod(functional.celu)


class LeakyReLU(_Elementwise):
    """x, and a multiple of it where x is not positive.

    Args:
        negative_slope: The factor there; 0.01 as in PyTorch, where Keras has 0.3.
        inplace: Taken for PyTorch's sake.
    """

    function, settings = staticmethod(functional.leaky_relu), ("negative_slope",)

    def __init__(
        self, negative_slope: float = 0.01, inplace: bool = False, name: str | None = None
    ) -> None:
        self.negative_slope, self.name = negative_slope, name


class GELU(Module):
    """x times the normal distribution function of x (Hendrycks and Gimpel, 2016).

    Args:
        approximate: "none", or "tanh" for the formula with a hyperbolic tangent.
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = one_of("GELU", "approximate", approximate, ("none", "tanh"))

    def forward(self, x: Any) -> dlc.Tensor:
        """The activation of `x`."""
        return dlc.gelu(x, approximate=self.approximate == "tanh")

    def extra_repr(self) -> str:
        """The setting."""
        return f"approximate={self.approximate!r}"


class Softplus(_Elementwise):
    """log(1 + exp(beta x)) / beta.

    Args:
        beta: How sharp the bend is.
        threshold: From which beta x on the function is taken for x.
    """

    function, settings = staticmethod(functional.softplus), ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta, self.threshold = beta, threshold


class Hardtanh(_Elementwise):
    """x cut off at two values.

    Args:
        min_val: The least value.
        max_val: The largest.
        inplace: Taken for PyTorch's sake.
    """

    function, settings = staticmethod(functional.hardtanh), ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        self.min_val, self.max_val = min_val, max_val


class Softshrink(_Elementwise):
    """x moved towards 0 by `lambd`, and 0 where its magnitude is at most that.

    Args:
        lambd: How far.
    """

    function, settings = staticmethod(functional.softshrink), ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = lambd


class Hardshrink(Softshrink):
    """x, and 0 where its magnitude is at most `lambd`.

    Args:
        lambd: The largest magnitude that becomes 0.
    """

    function = staticmethod(functional.hardshrink)


class Threshold(_Elementwise):
    """x where it is above a threshold, else a value.

    Args:
        threshold: The largest x that is replaced.
        value: What replaces it.
        inplace: Taken for PyTorch's sake.
    """

    function, settings = staticmethod(functional.threshold), ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        self.threshold, self.value = threshold, value


class GLU(_Elementwise):
    """The first half of x along an axis, times the sigmoid of the second (Dauphin et al., 2016).

    Args:
        dim: The axis, of even extent.
    """

    function, settings = staticmethod(functional.glu), ("dim",)

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim


class _AlongAxis(_Elementwise):
    settings = ("dim",)

    def __init__(
        self, dim: int | None = None, *, axis: int | None = None, name: str | None = None
    ) -> None:
        given = dim if axis is None else axis
        self.name = name
        self.dim = -1 if given is None else given


def _softmax(x: Any, axis: int) -> dlc.Tensor:
    return dlc.softmax(x, axis=axis)


def _log_softmax(x: Any, axis: int) -> dlc.Tensor:
    return dlc.log_softmax(x, axis=axis)


class Softmax(_AlongAxis):
    """exp(x) / sum(exp(x)) over an axis.

    Args:
        dim: The axis (PyTorch's name); the last one for None.
        axis: The same by Keras's name.
    """

    function = staticmethod(_softmax)


class LogSoftmax(_AlongAxis):
    """The logarithm of Softmax, computed without it.

    Args:
        dim: The axis (PyTorch's name); the last one for None.
        axis: The same by Keras's name.
    """

    function = staticmethod(_log_softmax)


class Softmin(_AlongAxis):
    """Softmax of -x.

    Args:
        dim: The axis; the last one for None.
        axis: The same by another name.
    """

    function = staticmethod(functional.softmin)


class Softmax2d(Module):
    """Softmax over the channels of [N, C, H, W], or without N."""

    def forward(self, x: Any) -> dlc.Tensor:
        """The shares, which add up to 1 at each pixel."""
        return dlc.softmax(x, axis=-3)


class PReLU(Module):
    """x, and a learned multiple of it where x is not positive (He et al., 2015).

    Args:
        num_parameters: 1, or the number of channels of [N, C, ...].
        init: The first factor.
        dtype: The element type of the factors.
        alpha_initializer: As Keras has it: the factors at first, one for each element of an
            example, of an input that decides about their shape; "zeros" for None with
            `shared_axes`.
        shared_axes: As Keras has it: the axes, counted from 1, along which a factor is shared.
        name: The layer's name.

    Attributes:
        weight: [num_parameters]; with Keras's arguments, of the shape of an example, with 1 for
            axes that are shared.

    Example:
        >>> dlc.nn.PReLU()(dlc.asarray([-4.0, 1.0]))
        Tensor([-1.,  1.], dtype=float32)
    """

    weight: dlc.Variable

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        dtype: Any = None,
        *,
        alpha_initializer: Any = None,
        shared_axes: Sequence[int] | None = None,
        name: str | None = None,
    ) -> None:
        (self.num_parameters,) = positive("PReLU", num_parameters=num_parameters)
        self.init, self.name = init, name
        self.as_keras = alpha_initializer is not None or shared_axes is not None
        self.shared_axes = tuple(shared_axes or ())
        self.dtype = dtype or dlc.float32
        self.alpha_initializer = initializers.get(alpha_initializer or "zeros")
        if not self.as_keras:
            held = dlc.full((num_parameters,), init, dtype=self.dtype)
            self.weight = Parameter(held, "weight")
            self._built = True

    def build(self, shape: tuple[Any, ...]) -> None:
        """Makes the factors for inputs of this shape."""
        extents = [1 if k + 1 in self.shared_axes else d for k, d in enumerate(shape[1:])]
        if not all(isinstance(d, int) for d in extents):
            raise ShapeError(
                f"PReLU of an input of shape {shape}: extents must be known, or in shared_axes"
            )
        self.weight = Parameter(self.alpha_initializer(extents, self.dtype), "weight")

    def forward(self, x: Any) -> dlc.Tensor:
        """The activation of `x`."""
        if self.as_keras:
            return dlc.relu(x) - self.weight * dlc.relu(-x)
        return functional.prelu(x, self.weight)

    def extra_repr(self) -> str:
        """The number of factors, or the axes that share them."""
        if self.as_keras:
            return f"shared_axes={self.shared_axes}"
        return f"num_parameters={self.num_parameters}"
