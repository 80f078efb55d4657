"""Every row of the op table: complete, and computed on every device as its reference says.

All samples of an op are compiled as one function, each with params and a result of its own, so
that the whole table takes seconds.
"""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from op_cases import (
    Case,
    cases,
    fault,
    function_of,
    function_of_many,
    operands,
    same_bits,
    special_operands,
)

import dlc
from dlc.ir.config import config
from dlc.ir.dims import DimUnknown, evaluate
from dlc.ir.errors import DlcError
from dlc.ir.interpret import bind_symbols, interpret
from dlc.ir.op import OPS, NoDerivative
from dlc.ir.verifier import verify
from dlc.passes.fuse import ORDERED
from dlc.runtime.executable import Options, compile_function

# What functions are made of, and what carries some, which has tests of its own.
WITHOUT_SAMPLES = {"param", "get", "fusion", "switch", "while", "scan"}
WITHOUT_SAMPLES |= {"custom_vjp", "custom_jvp", "checkpoint"}
NAMES = [op.name for op in OPS.values() if op.name not in WITHOUT_SAMPLES]
ROOT = Path(__file__).parent.parent
LEVELS = [("cpu", "O0"), ("cpu", "O2"), ("reference", "O0"), ("reference", "O2")]


def cases_of(name: str) -> list[Case]:
    return [c for c in cases() if c.op.name == name]


def holes(op):
    """What the row of an op lacks."""
    if not op.doc.endswith("."):
        yield "a sentence of documentation"
    if op.name in WITHOUT_SAMPLES:
        return
    if op.samples is None or not list(op.samples()):
        yield "samples"
    if op.reference is None and op.decompose is None:
        yield "a meaning: reference or decompose"
    own_statements = op.family in (*ORDERED, "host") or op.name == "constant"
    if op.lower is None and op.decompose is None and not own_statements:
        yield "code: lower or decompose"
    if op.jvp is None and op.decompose is None:
        yield "a derivative: jvp, NoDerivative or decompose"
    has_operands = op.samples is not None and any(s.inputs for s in op.samples())
    if has_operands and op.batch is None and op.decompose is None:
        yield "a batching rule: batch or decompose"
    if bool(op.linear) != (op.transpose is not None):
        yield "a transpose with the inputs in which the op is linear"
    if op.linear and (op.jvp is None or isinstance(op.jvp, NoDerivative)):
        yield "a jvp beside its transpose"
    if set(op.defaults) - set(op.attrs):
        yield "the attributes of its defaults"
    if op.cost < 0:
        yield "a cost"


@pytest.mark.parametrize("name", list(OPS))
def test_the_row_has_no_hole(name):
    assert list(holes(OPS[name])) == []


def test_a_hole_is_found():
    row = replace(
        OPS["exp"], samples=None, reference=None, lower=None, jvp=None, linear=(0,), doc="exp"
    )
    assert len(list(holes(row))) == 7
    assert list(holes(replace(OPS["exp"], batch=None))) == ["a batching rule: batch or decompose"]


@pytest.mark.parametrize("name", NAMES)
def test_references_keep_to_the_type_rule(name):
    # The interpreter raises where a reference gives another type than the rule.
    for case in cases_of(name):
        args = operands(case)
        function = function_of(case, args)
        verify(function)
        interpret(function, args)


@pytest.mark.parametrize(("device", "level"), LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_devices_compute_the_reference(name, device, level):
    chosen = []
    for case in cases_of(name):
        chosen.append((case, operands(case)))
        special = special_operands(case)
        if special is not None:
            chosen.append((case, special))
    function, parts = function_of_many(chosen)
    executable = compile_function(
        function, options=Options(level=level, device=device, verify=True)
    )
    results = executable([a for p in parts for a in p.args])
    for result, type_ in zip(results, executable.program.results, strict=True):
        assert (result.dtype, result.shape) == (type_.dtype.numpy, type_.shape)
    faults = ((p.case.id, fault(p.case, p.args, results[p.result])) for p in parts)
    assert [f for f in faults if f[1] is not None] == []
    assert executable.stats.interpreted_ops == 0


def symbolic_cases(name: str) -> list[Case]:
    """The cases whose attributes allow symbols for all extents."""
    allowed = []
    for case in cases_of(name):
        args = operands(case)
        if not any(d > 1 for a in args for d in a.shape):
            continue
        try:
            bind_symbols(function_of(case, args, symbolic=True), args)
        except (DlcError, DimUnknown):
            continue
        allowed.append(case)
    return allowed


WITHOUT_SYMBOLS = {
    "constant", "full", "iota", "dim",  # no operand
    "random_bits",  # the extent of a key is 2
    "from_panels",  # the width of panels is a number
}  # fmt: skip


@pytest.mark.parametrize(("device", "level"), [("cpu", "O2"), ("reference", "O2")])
@pytest.mark.parametrize("name", [n for n in NAMES if n not in WITHOUT_SYMBOLS])
def test_one_program_serves_many_sizes(name, device, level):
    chosen = symbolic_cases(name)
    if name not in (
        "reshape",
        "broadcast_to",
        "slice",
        "slice_update",
        "spread_windows",
        "convolution_transpose",
    ):  # rules that need to know the extents
        assert chosen
    function, parts = function_of_many([(c, operands(c)) for c in chosen], symbolic=True)
    executable = compile_function(function, options=Options(level=level, device=device))
    for resize in (
        lambda d: d,
        lambda d: d + 1 if d > 1 else d,
        lambda d: 3 * d + 2 if d > 1 else d,
    ):
        args = [a for c in chosen for a in operands(c, resize)]
        values = bind_symbols(function, args)
        results = executable(args)
        for part, result, expected in zip(parts, results, interpret(function, args), strict=True):
            shape = tuple(evaluate(d, values) for d in function.results[part.result].shape)
            assert (result.shape, result.dtype) == (shape, expected.dtype)
            if not same_bits(result, expected):
                assert fault(part.case, operands(part.case, resize), result) is None, part.case.id


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_a_wrong_lowering_is_found(device, tmp_path):
    row = OPS["sub"]
    right = row.lower
    object.__setattr__(row, "lower", OPS["add"].lower)
    try:
        with config.scope(cache_dir=tmp_path), pytest.raises(AssertionError, match="sub-0"):
            test_devices_compute_the_reference("sub", device, "O2")
    finally:
        object.__setattr__(row, "lower", right)


LAYOUTS = {
    "transposed": lambda a: a.T.copy().T,
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "every second column": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "reversed": lambda a: np.flip(a).copy()[::-1, ::-1],
    "a window": lambda a: np.pad(a, ((1, 1), (2, 3)))[1:-1, 2:-3],
    "repeated rows": lambda a: np.broadcast_to(a[:1], a.shape),
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
}  # fmt: skip


def _unaligned(a):
    raw = np.zeros(a.nbytes + 1, np.uint8)[1:]
    raw[:] = np.frombuffer(a.tobytes(), np.uint8)
    return raw.view(a.dtype).reshape(a.shape)


def _read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS |= {"unaligned": _unaligned, "read-only": _read_only}


def _many(x, y):
    return (
        dlc.exp(x) - y,
        dlc.sum(x, axis=0),
        dlc.softmax(y, axis=1),
        x @ y.T,
        x[1:, ::2],
        dlc.flip(y, axis=1),
    )


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_the_layout_of_arguments_does_not_show(layout):
    rng = np.random.default_rng(3)
    compiled = dlc.compile(_many)
    for dtype in (np.float32, np.float64):
        x, y = (rng.standard_normal((7, 19)).astype(dtype) for _ in range(2))
        odd_x, odd_y = LAYOUTS[layout](x), LAYOUTS[layout](y)
        expected = compiled(odd_x.astype(dtype, "C"), odd_y.astype(dtype, "C"))
        before = odd_x.tobytes()
        for got in (compiled(odd_x, odd_y), _many(dlc.asarray(odd_x), dlc.asarray(odd_y))):
            for g, e in zip(got, expected, strict=True):
                assert same_bits(g.numpy(), e.numpy())
        assert odd_x.tobytes() == before


def test_the_page_of_ops_is_generated():
    path = ROOT / "docs" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate", path)
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = generate.OPS_PAGE.read_text(encoding="utf-8")
    made = f"{generate.reason_lines()}\n\n{generate.op_sections()}"
    assert page == generate.page_with(made, page), "run: python docs/generate.py"
    for name in OPS:
        assert f"| `{name}` |" in page


def test_rows_whose_nodes_carry_functions_say_so():
    carry = {name for name, op in OPS.items() if op.carries}
    assert {"fusion", "switch", "while", "scan"} <= carry
    assert not carry & {"add", "reshape", "dot_general"}
