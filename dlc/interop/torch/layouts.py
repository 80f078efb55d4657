"""Where results that share memory lie in it.

PyTorch makes results of a graph that are views, of its inputs or of other results, itself: of what
it has in that place, with the strides and the offset of what the graph returns.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlc.interop.torch.extents import expression_of, symbols_among
from dlc.interop.torch.running import is_tensor

if TYPE_CHECKING:
    from torch.fx import Node


class Layouts:
    """The layouts of a graph's results in memory, where they share it.

    Args:
        nodes: The nodes of the graph.
        count: How many of the results, the first ones, PyTorch may make views by.
    """

    def __init__(self, nodes: Sequence[Node], count: int) -> None:
        self._inputs = [n.meta.get("val") for n in nodes if n.op == "placeholder"]
        output: Any = nodes[-1].args[0]
        results = [(k, n.meta["val"]) for k, n in enumerate(output[:count]) if is_tensor(n)]
        values = [*self._inputs, *(v for _, v in results)]
        memory = [_memory(v) for v in values if _has_memory(v)]
        shared = {m for m in memory if memory.count(m) > 1}
        self._places = [(k, v) for k, v in results if _memory(v) in shared and not _is_plain(v)]
        self._known = functools.lru_cache(self._by_numbers)

    def of(self, function: Callable[..., Sequence[Any]]) -> Callable[..., Sequence[Any]]:
        """The graph's function, whose results begin their memory, element behind element."""
        if not self._places:
            return function

        def laid_out(*args: Any) -> Sequence[Any]:
            given = zip(self._inputs, args, strict=True)
            symbols = symbols_among([pair for x, a in given for pair in _numbers(x, a)])
            made = list(function(*args))
            layouts = self._known(tuple(symbols.items()))
            for (k, _), layout in zip(self._places, layouts, strict=True):
                made[k] = _placed(made[k], *layout)
            return made

        return laid_out

    def _by_numbers(self, numbers: tuple[tuple[Any, int], ...]) -> list[tuple[list[int], int]]:
        """The strides and the offset of each, by the numbers that PyTorch's symbols stand for."""
        known = dict(numbers)
        return [
            ([_value(s, known) for s in v.stride()], _value(v.storage_offset(), known))
            for _, v in self._places
        ]


def _has_memory(value: Any) -> bool:
    return hasattr(value, "untyped_storage")


def _memory(value: Any) -> int:
    return value.untyped_storage()._cdata


def _numbers(like: Any, given: Any) -> list[tuple[Any, Any]]:
    """The numbers of an input as PyTorch knows them, some by symbols, and as they are."""
    if not _has_memory(like):
        return [((like,), (given,))]
    offsets = ((like.storage_offset(),), (given.storage_offset(),))
    return [(like.shape, given.shape), (like.stride(), given.stride()), offsets]


def _is_plain(like: Any) -> bool:
    """Whether a tensor is known to begin its memory, one element behind the other."""
    from torch.fx.experimental.symbolic_shapes import statically_known_true

    wanted: list[Any] = [1]
    for extent in reversed(like.shape):
        wanted.append(wanted[-1] * extent)
    pairs = zip((like.storage_offset(), *reversed(like.stride())), (0, *wanted), strict=False)
    return all(statically_known_true(a == b) for a, b in pairs)


def _value(number: Any, known: Mapping[Any, int]) -> int:
    expression = expression_of(number)
    return number if expression is None else int(expression.subs(known))


def _placed(result: Any, strides: Sequence[int], offset: int) -> Any:
    """The elements of a result, in memory of their own with these strides."""
    import torch

    span = offset + 1 + sum((d - 1) * s for d, s in zip(result.shape, strides, strict=True))
    memory = torch.empty(max(span, 0), dtype=result.dtype).untyped_storage()
    made = torch.empty(0, dtype=result.dtype).set_(memory, offset, result.shape, strides)
    # Elements along an axis of stride 0 are one.
    once = tuple(slice(None, 1) if s == 0 else slice(None) for s in strides)
    made[once].copy_(result[once])
    return made
