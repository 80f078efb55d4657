"""Matrices stored in panels: the order in which a matrix product reads them.

A matrix `w` of K rows and N columns, in panels of W columns, is a tensor `p` of shape
[ceil(N/W), K, W] with `w[k,j] == p[j/W,k,j%W]`; what lies behind the last column is padding. A load
at such indices is how passes, kernels and backends say, and see, that a matrix is stored so.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.ir.record import NamedTuple
from dlc.ir.scalar import Expr, integer_of, walk


class Panels(NamedTuple):
    """The axis that runs over the columns of a matrix in panels, and the panels' width."""

    axis: str
    width: int


def panels_of(ix: Sequence[Expr]) -> Panels | None:
    """What indices `j/W, k, j%W` mean; None for any others.

    Example:
        >>> panels_of(load.args)
        Panels(axis='j', width=32)
    """
    if len(ix) != 3:
        return None
    number, row, column = ix
    if number.op != "floordiv" or column.op != "mod" or number.args != column.args:
        return None
    axis, by = column.args
    width = integer_of(by)
    if axis.op != "index" or width is None:
        return None
    if any(x.op == "index" and x.attr == axis.attr for x in walk(row)):
        return None
    return Panels(axis.attr, width)
