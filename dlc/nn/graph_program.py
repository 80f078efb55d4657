"""Programs of models: graphs of layers as plain data, and how they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dlc
from dlc.frontend import tree
from dlc.frontend.apply import apply
from dlc.frontend.tree import Structure
from dlc.ir.build import attrs_at
from dlc.ir.dims import Dim, DimExpr, substitute, symbol, symbols_of
from dlc.ir.errors import ShapeError
from dlc.ir.record import NamedTuple, dataclass
from dlc.ir.types import TensorType
from dlc.nn.masking import call_with_mask
from dlc.train import masks

UNNAMED = "any"  # what names of extents that may be any and are like no other begin with


def is_unnamed(name: str) -> bool:
    """Whether an extent may be any and is like no other: `any0` and so on."""
    return name.removeprefix(UNNAMED).isdigit() and name.startswith(UNNAMED)


class Slot(NamedTuple):
    """Stands for a tensor in arguments, by its number."""

    number: int


def mapped(x: Any, change: Callable[[Any], Any]) -> Any:
    """Arguments with `change` of everything in them that is no list, tuple or dict."""
    if isinstance(x, Slot):
        return change(x)
    if isinstance(x, Mapping):
        return {k: mapped(v, change) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        items = [mapped(v, change) for v in x]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    return change(x)


class LayerStep(NamedTuple):
    """A layer by its name, its arguments with slots, and the slots and types of its results.

    supposed: Whether the types hold only if what was supposed of open extents does.
    """

    layer: str
    form: Any
    results: dict[int, int]
    types: list[TensorType]
    supposed: bool

    @property
    def reads(self) -> list[int]:
        """The slots that it reads."""
        found: list[int] = []
        mapped(self.form, lambda x: found.append(x.number) if isinstance(x, Slot) else None)
        return found

    @property
    def writes(self) -> list[int]:
        """The slots that it fills."""
        return list(self.results.values())


class OpStep(NamedTuple):
    """An op with the slots of its operands and its result."""

    op: str
    operands: tuple[int, ...]
    attrs: dict[str, Any]
    result: int

    @property
    def reads(self) -> tuple[int, ...]:
        """The slots that it reads."""
        return self.operands

    @property
    def writes(self) -> list[int]:
        """The slots that it fills."""
        return [self.result]


class ValueStep(NamedTuple):
    """A tensor from outside; a variable by its name among the model's attributes."""

    value: Any
    result: int

    @property
    def reads(self) -> tuple[int, ...]:
        """The slots that it reads: none."""
        return ()

    @property
    def writes(self) -> list[int]:
        """The slots that it fills."""
        return [self.result]


Step = LayerStep | OpStep | ValueStep


@dataclass(frozen=True)
class Program:
    """What a model does with its inputs, which have the first slots.

    steps: What is done, in order.
    input_types: Their types, whose symbols are extents that may be any.
    input_names: A name for each.
    input_form, output_form: The trees of inputs and outputs.
    outputs: The slots of the outputs.
    output_types: Their types.
    """

    steps: tuple[Step, ...]
    input_types: tuple[TensorType, ...]
    input_names: tuple[str, ...]
    input_form: Structure
    outputs: tuple[int, ...]
    output_types: tuple[TensorType, ...]
    output_form: Structure

    def run(self, holder: Any, values: Sequence[dlc.Tensor]) -> Any:
        """The outputs for a value of each input.

        Args:
            holder: Has the layers and variables as attributes.
            values: A tensor for each input.

        Raises:
            ShapeError: for values of other shapes.
        """
        held: dict[int, Any] = dict(enumerate(values))
        known: dict[int, Any] = {}  # masks
        dims = self._dims(values)
        for step in self.steps:
            if isinstance(step, LayerStep):
                fill = lambda x: held[x.number] if isinstance(x, Slot) else x  # noqa: E731
                args, kwargs = mapped(step.form, fill)
                layer = getattr(holder, step.layer)
                if len(args) == 1 and not kwargs and isinstance(args[0], dlc.Tensor):
                    mask = known.get(step.reads[0]) if step.reads else None
                    result, mask = call_with_mask(layer, args[0], mask)
                    known.update(dict.fromkeys(step.writes, mask))
                else:
                    result = layer(*args, **kwargs)
                leaves = tree.leaves(result)
                held.update({slot: leaves[k] for k, slot in step.results.items()})
                if step.supposed:
                    _compare(step, held, dims)
            elif isinstance(step, OpStep):
                attrs = attrs_at(step.attrs, lambda d: substitute(d, dims))
                held[step.result] = apply(step.op, *(held[k] for k in step.operands), **attrs)
            else:
                name = step.value
                held[step.result] = getattr(holder, name) if isinstance(name, str) else name
        for k in self.outputs:
            masks.note(held[k], known.get(k))
        return tree.unflatten(self.output_form, [held[k] for k in self.outputs])

    def _dims(self, values: Sequence[dlc.Tensor]) -> dict[str, Dim]:
        """What the symbols are for these values; ShapeError where they do not fit."""
        dims: dict[str, Dim] = {}
        fits = True
        for wanted, value in zip(self.input_types, values, strict=True):
            actual = value.tensor.shape
            fits = fits and len(actual) == wanted.rank
            for d, found in zip(wanted.shape, actual, strict=False):
                names = symbols_of(d)
                if len(names) == 1 and d == symbol(min(names)):
                    dims.setdefault(min(names), found)
                held = substitute(d, dims)
                known = isinstance(held, int) and isinstance(found, int)
                fits = fits and (held == found or not known)
        if not fits:
            raise ShapeError(
                f"the model takes {self.shown_inputs()}, not "
                + ", ".join(str(v.tensor) for v in values)
            )
        return dims

    def shown_inputs(self) -> str:
        """The inputs with their types, for messages."""
        pairs = zip(self.input_names, self.input_types, strict=True)
        return ", ".join(f"{name} {type_}" for name, type_ in pairs)


def _compare(step: LayerStep, held: Mapping[int, Any], dims: dict[str, Dim]) -> None:
    """ShapeError for results of a layer that have other shapes than the graph was made with.

    What may be any there gets into `dims`.
    """
    for slot, wanted in zip(step.writes, step.types, strict=True):
        for d, found in zip(wanted.shape, held[slot].tensor.shape, strict=False):
            if isinstance(d, DimExpr) and is_unnamed(str(d)):
                dims.setdefault(str(d), found)
        expected = tuple(substitute(d, dims) for d in wanted.shape)
        actual = held[slot].tensor.shape
        pairs = list(zip(expected, actual, strict=False))
        known = [(d, e) for d, e in pairs if isinstance(d, int) and isinstance(e, int)]
        if len(pairs) != len(actual) or len(pairs) != wanted.rank or any(d != e for d, e in known):
            raise ShapeError(
                f"layer {step.layer!r} gives {held[slot].tensor} here, where the model was made "
                f"with {wanted}",
                hint="it treats such inputs in another way: give nn.Input the extents as numbers",
            )
