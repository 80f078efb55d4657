"""Every row of the op table as a model of ONNX: what ONNX Runtime makes of its samples."""

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
from op_cases import cases, function_of_many, is_elementwise, operands, special_operands

import dlc
from dlc.interop.onnx.writing.writer import WRITERS
from dlc.ir.interpret import interpret
from dlc.ir.op import OPS

# Neither ONNX nor its other operators have it, or it runs Python; layouts are made by passes alone.
NOTHING = {
    "cholesky", "cofactors", "complete_qr", "debug_callback", "debug_print", "det", "eigh",
    "eigvalsh", "expm", "expm_tangent", "from_panels", "full_svd", "inverse", "panels", "pinv",
    "pure_callback", "qr", "slogdet", "solve", "svd", "svdvals", "triangular_solve",
}  # fmt: skip
# ONNX Runtime has no kernel of Erf for float64.
NO_KERNEL = {("erf", "float64"), ("erfc", "float64"), ("gelu", "float64")}
# What differs where operands are special: an infinite product of finite numbers (fma), infinity
# beside NaN (hypot), differences from 1 that are small (erfc, gelu).
ONLY_ORDINARY = {"fma", "hypot", "erfc", "gelu"}
NOISE = {"attention_lse_low"}  # what another value is off for rounding
ROWS = [n for n, op in OPS.items() if op.samples is not None and n not in NOTHING | NOISE]
UNITS = {"float64": 1e-12, "float32": 4e-6, "float16": 2e-3, "bfloat16": 1.6e-2}


def chosen(name):
    for case in cases():
        if case.op.name != name:
            continue
        args = operands(case)
        if args and (name, args[0].dtype.name) in NO_KERNEL:
            continue
        yield case, args
        if is_elementwise(case) and case.op.family != "composite" and name not in ONLY_ORDINARY:
            special = special_operands(case)
            if special is not None:
                yield case, special


def near(got, wanted):
    """Whether numbers are equal but for rounding, of the type of the result."""
    if got.shape != wanted.shape:
        return False
    if wanted.dtype.kind in "biu":
        return np.array_equal(got, wanted)
    unit = UNITS[wanted.dtype.name]
    a, b = got.astype(np.float64), wanted.astype(np.float64)
    with np.errstate(all="ignore"):
        scale = np.max(np.abs(b), initial=0.0, where=np.isfinite(b) & (np.abs(b) < 1e4))
        close = np.abs(a - b) <= unit * np.maximum(np.abs(b), scale)
    return bool(np.all(close | (a == b) | (np.isnan(a) & np.isnan(b))))


def outside(x):
    """What NumPy and ONNX Runtime pass to each other: they have no common bfloat16."""
    return x.astype(np.float32) if x.dtype == ml_dtypes.bfloat16 else np.array(x, order="C")


# The first opset has no dilations of means of windows.
@pytest.mark.parametrize(("name", "version"), [*((n, None) for n in ROWS), ("window_sum", 18)])
def test_row(name, version):
    function, parts = function_of_many(chosen(name))
    compiled = dlc.compile(function)
    given = [a for part in parts for a in part.args]

    def f(*args):
        made = compiled(
            *(dlc.astype(a, dlc.asarray(g).dtype) for a, g in zip(args, given, strict=True))
        )
        made = made if isinstance(made, tuple | list) else (made,)
        return tuple(m.astype(dlc.float32) if m.dtype == dlc.bfloat16 else m for m in made)

    shown = [outside(a) for a in given]
    specs = tuple(dlc.spec(a.shape, a.dtype) for a in shown)
    proto = dlc.onnx.export(f, specs, opset_version=version)
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [i.name for i in session.get_inputs()]
    found = session.run(None, dict(zip(names, shown, strict=True)))
    wanted = interpret(function, given)
    for part in parts:
        got, want = found[part.result], np.asarray(wanted[part.result])
        assert got.dtype == outside(want).dtype, part.case.id
        assert near(got, want), (part.case.id, got, want)


def test_what_has_no_writer():
    without = {n for n, op in OPS.items() if n not in WRITERS and op.decompose is None}
    assert without - {"param", "get", "fusion"} == NOTHING
