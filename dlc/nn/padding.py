"""Padding layers by PyTorch's names: zeros, a constant, reflection, replication, circular."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import dlc
from dlc.ir.errors import ArgumentError, ShapeError
from dlc.nn.described import AXES, described
from dlc.nn.functional.padding import surrounded
from dlc.nn.module import Module

Widths: TypeAlias = int | tuple[int, ...]

_PAD = """
    Args:
        padding: How many are added on each side; or (before, after) of the last axis, then of the
            one before it, and so on. A negative number takes elements away.{more}

    Example:
        >>> dlc.nn.{name}({settings})(dlc.ones((1, 2{sizes}))).shape
        (1, 2{longer})
"""


class _Pad(Module):
    rank: ClassVar[int]
    mode: ClassVar[str] = "constant"
    value: float = 0.0

    def __init__(self, padding: Widths) -> None:
        count = 2 * self.rank
        given = (padding,) * count if isinstance(padding, int) else tuple(padding)
        if len(given) != count or not all(isinstance(p, int) for p in given):
            raise ArgumentError(
                f"{type(self).__name__}(padding={padding!r}): it takes one integer, or {count}"
            )
        self.padding = given

    def forward(self, x: Any) -> dlc.Tensor:
        """x [N, C, ...], or without N, with more elements."""
        if len(x.shape) not in (self.rank + 1, self.rank + 2):
            raise ShapeError(
                f"{type(self).__name__} of an input of shape {tuple(x.shape)}: it takes "
                f"[N, C, {AXES[self.rank]}], or without N"
            )
        pairs = [(self.padding[2 * k], self.padding[2 * k + 1]) for k in range(self.rank)]
        return surrounded(x, pairs[::-1], self.mode, self.value)

    def extra_repr(self) -> str:
        """The widths."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Widths, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """The widths and the number."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_Pad):
    pass


class _ReflectionPad(_Pad):
    mode = "reflect"


class _ReplicationPad(_Pad):
    mode = "edge"


class _CircularPad(_Pad):
    mode = "wrap"


_plain = described(_PAD, settings="1", more="")
_constant = described(_PAD, settings="1, 0.5", more="\n        value: The number.")


@_constant
class ConstantPad1d(_ConstantPad):
    """One number around [N, C, L]."""

    rank = 1


@_constant
class ConstantPad2d(_ConstantPad):
    """One number around [N, C, H, W]."""

    rank = 2


@_constant
class ConstantPad3d(_ConstantPad):
    """One number around [N, C, D, H, W]."""

    rank = 3


@_plain
class ZeroPad1d(_ZeroPad):
    """Zeros around [N, C, L]."""

    rank = 1


@_plain
class ZeroPad2d(_ZeroPad):
    """Zeros around [N, C, H, W]."""

    rank = 2


@_plain
class ZeroPad3d(_ZeroPad):
    """Zeros around [N, C, D, H, W]."""

    rank = 3


@_plain
class ReflectionPad1d(_ReflectionPad):
    """[N, C, L] mirrored around its outermost elements."""

    rank = 1


@_plain
class ReflectionPad2d(_ReflectionPad):
    """[N, C, H, W] mirrored around its outermost elements."""

    rank = 2


@_plain
class ReflectionPad3d(_ReflectionPad):
    """[N, C, D, H, W] mirrored around its outermost elements."""

    rank = 3


@_plain
class ReplicationPad1d(_ReplicationPad):
    """[N, C, L] with its outermost elements repeated."""

    rank = 1


@_plain
class ReplicationPad2d(_ReplicationPad):
    """[N, C, H, W] with its outermost elements repeated."""

    rank = 2


@_plain
class ReplicationPad3d(_ReplicationPad):
    """[N, C, D, H, W] with its outermost elements repeated."""

    rank = 3


@_plain
class CircularPad1d(_CircularPad):
    """[N, C, L] continued at the other end."""

    rank = 1


@_plain
class CircularPad2d(_CircularPad):
    """[N, C, H, W] continued at the other end."""

    rank = 2


@_plain
class CircularPad3d(_CircularPad):
    """[N, C, D, H, W] continued at the other end."""

    rank = 3
