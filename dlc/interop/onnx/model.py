"""`dlc.onnx.load`: an ONNX model as a compiled function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.interop.onnx.element_types import COMPUTED, NAMES, STRING, Stored, kind_of
from dlc.interop.onnx.files import Arrays, onnx_package, read_model
from dlc.interop.onnx.graph import Graph, Known, Library, read_graph, type_of
from dlc.interop.onnx.runner import Runner, outputs_of
from dlc.interop.onnx.unknown_operators import unsupported
from dlc.interop.onnx.values import as_tensor, texts
from dlc.ir.errors import ArgumentError, DTypeError, ModelError, ShapeError, nearest


class OnnxModel:
    """A model from ONNX, compiled when it is called.

    It is called with arrays by position or by name, or with one dict of them, and returns a tuple
    in the order of the graph's outputs.

    Args:
        source: A path, the bytes of a file, or a ModelProto.
        keywords: Those of `dlc.compile`.

    Attributes:
        input_names: The inputs that a call has to give.
        output_names: The outputs.

    Raises:
        FileNotFoundError: There is no such file.
        FileFormatError: The file is no model, or is cut off.
        ModelError: It uses operators that dlc does not know; all of them are listed.

    Example:
        >>> model = dlc.onnx.load("model.onnx")
        >>> (scores,) = model({"image": image})
    """

    def __init__(self, source: Any, **keywords: Any) -> None:
        proto, folder = read_model(source)
        opsets = {o.domain: o.version for o in proto.opset_import}
        _check_opsets(opsets)
        library = Library(opsets, proto.functions, Arrays(folder))
        self.graph: Graph = read_graph(proto.graph, library)
        missing = [
            (n.domain, n.op, n.version)
            for n in self.graph.all_nodes()
            if n.row is None and n.body is None
        ]
        if missing:
            raise unsupported(missing)
        self._types = [type_of(i) for i in proto.graph.input if i.name not in self.graph.values]
        self._optional = {
            i.name: type_of(i) for i in proto.graph.input if i.name in self.graph.values
        }
        self.input_names = [t.name for t in self._types]
        self.output_names = list(self.graph.outputs)
        self.name = keywords.pop("name", None) or proto.graph.name or "onnx"
        self._runner = Runner(self.graph, _identifier(self.name), keywords)

    def __repr__(self) -> str:
        inputs = ", ".join(_shown(t) for t in self._types)
        return f"<ONNX model {self.name}({inputs}) -> ({', '.join(self.output_names)})>"

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs for arrays by position, by name, or in one dict."""
        values = self.call(self._given(args, kwargs))
        return tuple(values)

    def call(self, given: Mapping[str, Any]) -> list[Any]:
        """The outputs for inputs by name, which have been checked."""
        return outputs_of(self._runner(given))

    @property
    def input_specs(self) -> list[dlc.Spec | None]:
        """The types of the inputs, extents that are open by names; None where a type is open.

        Example:
            >>> model.input_specs
            [Spec(shape=('batch', 3, 224, 224), dtype=float32)]
        """
        return [_spec_of(t) for t in self._types]

    @property
    def programs(self) -> list[Any]:
        """The compiled functions that a call runs, for `lower` and `stats`."""
        return self._runner.programs

    def _given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if len(args) == 1 and isinstance(args[0], Mapping) and not kwargs:
            named = dict(args[0])
        else:
            if len(args) > len(self._types):
                raise ArgumentError(f"{self!r} takes {len(self._types)} inputs, got {len(args)}")
            named = dict(zip(self.input_names, args, strict=False))
            twice = [k for k in kwargs if k in named]
            if twice:
                raise ArgumentError(f"{self!r}: {', '.join(twice)} given twice")
            named.update(kwargs)
        return self._checked(named)

    def _checked(self, named: dict[str, Any]) -> dict[str, Any]:
        types = {t.name: t for t in self._types}
        unknown = [n for n in named if n not in types and n not in self._optional]
        if unknown:
            raise ArgumentError(
                f"{self!r} has no input {', '.join(map(repr, unknown))}",
                hint=nearest(unknown[0], list(types)),
            )
        absent = [n for n in types if n not in named and types[n].form != "optional"]
        if absent:
            raise ArgumentError(f"{self!r} needs {', '.join(map(repr, absent))}")
        both = {**self._optional, **types}
        return {
            **{n: None for n in types if n not in named},
            **{n: _checked_value(both[n], v) for n, v in named.items()},
        }


def load(source: Any, **keywords: Any) -> OnnxModel:
    """An ONNX model as a compiled function; `dlc.compile(path)` is the same.

    Args:
        source: A path, the bytes of a file, or a ModelProto.
        keywords: Those of `dlc.compile`.

    Raises:
        FileNotFoundError: There is no such file.
        FileFormatError: The file is no model, or is cut off.
        ModelError: It uses operators that dlc does not know; all of them are listed.
        ArgumentError: The package onnx is not installed, or source is something else.
    """
    return OnnxModel(source, **keywords)


def _check_opsets(opsets: Mapping[str, int]) -> None:
    onnx = onnx_package()
    version = opsets.get("", opsets.get("ai.onnx"))
    newest = onnx.defs.onnx_opset_version()
    if version is not None and version > newest:
        raise ModelError(
            f"the model has opset {version}; the package onnx knows those up to {newest}",
            hint="install a newer onnx",
        )


def _identifier(name: str) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
    return kept if kept[:1].isalpha() else f"onnx_{kept}"


def _spec_of(t: Known) -> dlc.Spec | None:
    if t.form != "tensor" or t.shape is None or t.kind not in COMPUTED:
        return None
    shape = (f"{t.name}_{k}" if d is None else d for k, d in enumerate(t.shape))
    dims = [d if isinstance(d, int) else _identifier(d) for d in shape]
    return dlc.spec(dims, COMPUTED[t.kind])


def _shown(t: Known) -> str:
    if t.form != "tensor":
        return f"{t.name}: {t.form}"
    shape = "..." if t.shape is None else ",".join("?" if d is None else str(d) for d in t.shape)
    return f"{t.name}: {NAMES.get(t.kind or 0, '?')}[{shape}]"


def _checked_value(t: Known, value: Any) -> Any:
    """An argument as a value of the graph.

    Raises:
        DTypeError: Its element type is not the input's.
        ShapeError: Its shape does not fit the input's.
    """
    if t.form == "sequence" or isinstance(value, (list, tuple)):
        if t.form == "tensor":
            value = np.asarray(value)
        else:
            return [as_tensor(_array(v)) for v in value]
    if value is None:
        return None
    made = as_tensor(_array(value))
    if t.form != "tensor" or t.kind is None:
        return made
    kind, shape = _kind_and_shape(made)
    if kind != t.kind:
        wanted, got = NAMES.get(t.kind, t.kind), NAMES.get(kind, kind)
        raise DTypeError(f"the input {t.name!r} is {wanted}, got {got}")
    if t.shape is not None and (
        len(shape) != len(t.shape)
        or any(isinstance(w, int) and w != d for w, d in zip(t.shape, shape, strict=True))
    ):
        raise ShapeError(f"the input {_shown(t)} got the shape {list(shape)}")
    return made


def _array(value: Any) -> Any:
    if isinstance(value, (dlc.Tensor, Stored)) or value is None:
        return value
    array = np.asarray(value)
    return texts(array) if array.dtype.kind in "OUST" else array


def _kind_and_shape(value: Any) -> tuple[int, Sequence[int]]:
    if isinstance(value, Stored):
        return value.kind, value.codes.shape
    if isinstance(value, np.ndarray):
        return STRING, value.shape
    return kind_of(value.dtype), value.shape
