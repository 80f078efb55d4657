"""`dlc.onnx.export`: a dlc function or model as an ONNX model."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.frontend import tree
from dlc.frontend.signature import ir_name
from dlc.interop.onnx.element_types import kind_of
from dlc.interop.onnx.files import onnx_package
from dlc.interop.onnx.model import OnnxModel
from dlc.interop.onnx.writing import (
    control,
    elements,
    recurrences,
    tensors,
    wide_functions,
    windows,
)
from dlc.interop.onnx.writing.elements import BITS_SINCE, reads_bits
from dlc.interop.onnx.writing.writer import WRITERS, Store, Writer
from dlc.ir.core import Function, Node, all_nodes
from dlc.ir.dims import DimExpr, dim_text
from dlc.ir.errors import (
    ArgumentError,
    IndexRangeError,
    ModelError,
    ValueRangeError,
    nearest,
)
from dlc.ir.types import TensorType, float64
from dlc.passes.expansion import expand
from dlc.runtime.files import write_whole

OLDEST, DEFAULT = 18, 20  # opset versions that are written
# Their import fills the table of writers.
_TABLES = (control, elements, recurrences, tensors, wide_functions, windows)


def export(
    f: Any,
    args: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    dynamic_shapes: Any = None,
    opset_version: int | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    check: bool = True,
) -> Any:
    """A function or model as an ONNX model.

    What it closes over (weights, variables) becomes part of the file.

    Args:
        f: A function of tensors, a compiled function, or a model (in its present mode).
        args: Its arguments: one, or a tuple of them, each a tensor, an array, a spec, or a tree of
            these. Named extents of specs stay open.
        path: Where the file is written; nowhere for None.
        dynamic_shapes: For each argument a dict from axes to names, for extents that stay open, or
            None; a dict of these, by the names or positions of arguments, may leave some out.
        opset_version: The version of the standard's operators, at least 18. By default 20, or 26
            for a function that reads the bits of floats, as `signbit` does.
        input_names: Names of the inputs, for the leaves of the arguments in order. By default those
            of the parameters, or those of a model that comes from ONNX.
        output_names: Names of the outputs. By default the keys of a dict, else `output_0` ...
        check: Whether `onnx.checker` has to accept the model.

    Returns:
        The ModelProto.

    Raises:
        ModelError: ONNX has no operator for something (all are listed), or the function changes
            variables.
        ValueRangeError: The version or the number of names does not fit, or `dynamic_shapes` has
            an argument that there is not.
        ArgumentError: `dynamic_shapes` is none.
        IndexRangeError: It has an axis that an argument has not.
        SaveError: The file cannot be written; what was there is still there.

    Example:
        >>> proto = dlc.onnx.export(lambda x: dlc.relu(x), dlc.spec(("n", 4)), "relu.onnx")
    """
    onnx = onnx_package()
    newest = onnx.defs.onnx_opset_version()
    if opset_version is not None and not OLDEST <= opset_version <= newest:
        raise ValueRangeError(f"opset_version={opset_version}: {OLDEST} to {newest} can be written")
    args = args if isinstance(args, tuple) else (args,)
    if isinstance(f, OnnxModel):
        input_names = f.input_names if input_names is None else input_names
        output_names = f.output_names if output_names is None else output_names
    compiled: Any = f if isinstance(f, dlc.CompiledFunction) else dlc.compile(f)
    parameters = compiled.signature.positional
    specs = _specs(args, _open_axes(dynamic_shapes, len(args), parameters, input_names))
    closure = compiled.lower(*specs).closure
    if closure.has_state:
        raise ModelError(
            "a function that assigns variables cannot be a model of ONNX",
            hint="put the model in evaluation mode: model.eval()",
        )
    function = _writable(closure.function)
    if opset_version is None:
        opset_version = BITS_SINCE if any(map(reads_bits, all_nodes(function))) else DEFAULT
    store = Store(opset_version)
    writer = Writer(store)
    given = closure.captures + [v.value() for v in closure.variables]
    inputs = _input_names(function.params[: closure.arguments], input_names)
    outputs = _output_names(closure.output, inputs, output_names)
    store.taken.update(inputs, outputs)
    _bind(writer, function, inputs, [t.numpy() for t in given])
    writer.write(function)
    proto = _model(writer, function, inputs, outputs)
    if check:
        _checked(onnx, proto)
    if path is not None:
        known = onnx.serialization.registry
        format_ = known.get_format_from_file_extension(os.path.splitext(path)[1]) or "protobuf"
        write_whole(path, lambda file: onnx.save(proto, file, format=format_))
    return proto


def _specs(args: tuple[Any, ...], open_axes: Sequence[Any]) -> tuple[Any, ...]:
    """The arguments without their data, with names for extents that stay open."""

    def spec(x: Any, names: Mapping[int, Any]) -> Any:
        if isinstance(x, dlc.Spec) or (isinstance(x, str) and "[" in x):
            return x
        t = dlc.asarray(x)
        shape: list[Any] = list(t.shape)
        for axis, name in names.items():
            if not -len(shape) <= axis < len(shape):
                raise IndexRangeError(f"dynamic_shapes: {t.tensor} has no axis {axis}")
            shape[axis] = str(getattr(name, "__name__", name))
        return dlc.spec(tuple(shape), t.dtype)

    return tuple(
        tree.map(lambda leaf, n=n: spec(leaf, n), a) for a, n in zip(args, open_axes, strict=True)
    )


def _open_axes(
    given: Any, count: int, parameters: Sequence[str], inputs: Sequence[str] | None
) -> list[Mapping[int, Any]]:
    """For each argument the names of its open axes, of what `dynamic_shapes` may be."""
    found: list[Any] = [None] * count
    if isinstance(given, Mapping):
        if count == 1 and given and all(isinstance(v, str) for v in given.values()):
            given = {0: given}
        names = list(inputs) if inputs is not None and len(inputs) == count else list(parameters)
        for key, axes in given.items():
            at = names.index(key) if key in names else key
            if not isinstance(at, int) or not 0 <= at < count:
                raise ValueRangeError(
                    f"dynamic_shapes: there is no argument {key!r}", hint=nearest(str(key), names)
                )
            found[at] = axes
    elif given is not None:
        if len(given) != count:
            raise ArgumentError(f"dynamic_shapes has {len(given)} parts for {count} arguments")
        found = list(given)
    for axes in found:
        if axes is not None and not isinstance(axes, Mapping):
            raise ArgumentError(
                f"dynamic_shapes: {axes!r} is no dict from axes to names",
                hint='for two arguments: [{0: "batch"}, None], or {"x": {0: "batch"}}',
            )
    return [axes or {} for axes in found]


def _writable(function: Function) -> Function:
    """The function with ops that have no writer of their own in terms of others."""
    if not any(map(_is_expanded, all_nodes(function))):
        return function
    return expand(function, _is_expanded)


def _is_expanded(node: Node) -> bool:
    """Whether an op has no writer, or a number that attributes of ONNX, at float32, would round."""
    if node.op.decompose is None:
        return False
    wide = isinstance(node.type, TensorType) and node.type.dtype is float64
    numbers = [v for v in node.attrs.values() if isinstance(v, float)] if wide else []
    return node.op.name not in WRITERS or any(float(np.float32(v)) != v for v in numbers)


def _input_names(params: Sequence[Node], given: Sequence[str] | None) -> list[str]:
    """The names given, or those of the parameters, where these differ."""
    if given is None:
        found = [p.name or f"input_{k}" for k, p in enumerate(params)]
        return found if len({*found}) == len(found) else [f"input_{k}" for k in range(len(params))]
    return _checked_names(given, len(params), "inputs", ())


def _output_names(
    structure: tree.Structure, inputs: Sequence[str], given: Sequence[str] | None
) -> list[str]:
    """The names given, or the keys under which results are, where these are names."""
    paths = structure.paths()
    if given is not None:
        return _checked_names(given, len(paths), "outputs", inputs)
    keys = [ir_name(p) if p else "0" for p in paths]
    stem = "output"
    while any(f"{stem}_{k}" in inputs for k in (*keys, *range(len(paths)))):
        stem += "_"
    found = [f"{stem}_{k}" if k[0].isdigit() or k in inputs else k for k in keys]
    return found if len({*found}) == len(found) else [f"{stem}_{k}" for k in range(len(paths))]


def _checked_names(given: Sequence[str], count: int, what: str, others: Sequence[str]) -> list[str]:
    """Names, each of one value.

    Raises:
        ValueRangeError: There are more or fewer than values, or one is empty, or has been given.
    """
    if len(given) != count:
        raise ValueRangeError(f"{len(given)} names for {count} {what}")
    for k, name in enumerate(given):
        if not name or name in given[:k] or name in others:
            raise ValueRangeError(
                f"the name {name!r} of the {what}: each value has a name of its own"
            )
    return list(given)


def _bind(writer: Writer, function: Function, inputs: Sequence[str], values: Sequence[Any]) -> None:
    """Names the parameters: arguments as inputs, the rest as constants."""
    params = function.params
    for param, name in zip(params, inputs, strict=False):
        writer.names[param] = name
        for axis, d in enumerate(param.tensor.shape):
            if isinstance(d, DimExpr):
                writer.store.sources.setdefault(dim_text(d), (name, axis))
    for param, value in zip(params[len(inputs) :], values, strict=True):
        writer.names[param] = writer.constant(value)


def _info(writer: Writer, name: str, node: Node) -> Any:
    shape = [d if isinstance(d, int) else dim_text(d) for d in node.tensor.shape]
    helper = writer.store.package.helper
    return helper.make_tensor_value_info(name, kind_of(node.tensor.dtype), shape)


def _model(
    writer: Writer, function: Function, inputs: Sequence[str], outputs: Sequence[str]
) -> Any:
    helper = writer.store.package.helper
    results = function.results
    for name, result in zip(outputs, results, strict=True):
        writer.nodes.append(helper.make_node("Identity", [writer.names[result]], [name]))
    used = _used(writer.nodes)
    graph = helper.make_graph(
        writer.nodes,
        function.name,
        [_info(writer, n, p) for n, p in zip(inputs, function.params, strict=False)],
        [_info(writer, n, r) for n, r in zip(outputs, results, strict=True)],
        [
            writer.store.package.numpy_helper.from_array(array, name)
            for name, array in writer.store.arrays.items()
            if name in used
        ],
    )
    opset = helper.make_opsetid("", writer.version)
    version = helper.find_min_ir_version_for([opset])
    return helper.make_model(
        graph, opset_imports=[opset], producer_name="dlc", producer_version=dlc.__version__,
        ir_version=version,
    )  # fmt: skip


def _used(nodes: Iterable[Any]) -> set[str]:
    """The names that nodes read, those in graphs inside included."""
    found: set[str] = set()
    for node in nodes:
        found.update(node.input)
        for attribute in node.attribute:
            found |= _used(attribute.g.node)
    return found


def _checked(onnx: Any, proto: Any) -> None:
    try:
        onnx.checker.check_model(proto, full_check=proto.ByteSize() < 1 << 30)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"onnx.checker refuses the model: {error}") from None
