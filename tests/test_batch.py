"""Batching rules: every row's batched samples against a loop over their elements."""

import itertools

import numpy as np
import pytest
from op_cases import cases, fault, function_of, operands, random_values, same_bits

from dlc.ir.build import IRBuilder
from dlc.ir.dims import DimUnknown, symbol
from dlc.ir.errors import DlcError, VerifyError
from dlc.ir.interpret import interpret
from dlc.ir.op import OPS, Op, register, unregister
from dlc.ir.parser import parse_function
from dlc.ir.types import TensorType, dtype_of, float32
from dlc.ir.verifier import verify
from dlc.passes.batch import batch_function
from dlc.runtime.executable import Options, compile_function

# What functions are made of, and what has no operand and so never depends on a batch.
STRUCTURAL = {"param", "get", "fusion"}
NAMES = [
    op.name
    for op in OPS.values()
    if op.name not in STRUCTURAL and op.samples and any(s.inputs for s in op.samples())
]


def subsets(count):
    """Which operands to batch: all subsets of a few, of more each one and all."""
    every = itertools.product((True, False), repeat=count)
    return [s for s in every if any(s) and (count <= 3 or sum(s) in (1, count))]


def distinct(name):
    """The small samples of an op: the first of each shapes and attributes."""
    seen = {}
    for case in cases():
        if case.op.name != name or not case.sample.inputs:
            continue
        args = operands(case)
        if any(a.size > 2000 for a in args):
            continue
        key = repr(([a.shape for a in args], dict(case.sample.attrs)))
        seen.setdefault(key, []).append((case, args))
    return [group[0] for group in seen.values()]


def batch_of(case, args, batched, size):
    """Operands with a batch axis: of random values, and of indices that are rolled."""
    rng = np.random.default_rng(size)
    made = []
    for spec, a, has in zip(case.sample.inputs, args, batched, strict=True):
        if not has:
            made.append(a)
        elif isinstance(spec, tuple):
            made.append(random_values(rng, dtype_of(a.dtype), (size, *a.shape)))
        else:
            rolled = [np.roll(a, k) for k in range(size)]
            made.append(np.array(rolled, a.dtype).reshape((size, *a.shape)))
    return made


def element(args, batched, k):
    return [a[k] if has else a for a, has in zip(args, batched, strict=True)]


def faults(case, args, batched, result):
    """What is wrong with a batched result, for each element."""
    size = next(a.shape[0] for a, has in zip(args, batched, strict=True) if has)
    assert result.shape[0] == size
    for k in range(size):
        own = element(args, batched, k)
        found = fault(case, own, result[k])
        if found is not None:
            yield f"{case.id} {batched} element {k}: {found}"


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_batched_as_a_loop_over_the_reference(name):
    for case, args in distinct(name):
        for batched, size in itertools.product(subsets(len(args)), (3, 1, 0)):
            function, flags = batch_function(function_of(case, args), batched, size)
            assert flags == (True,)
            verify(function)
            given = batch_of(case, args, batched, size)
            (result,) = interpret(function, given)
            assert list(faults(case, given, batched, result)) == []


@pytest.mark.parametrize("name", NAMES)
def test_batches_of_any_size_and_extents_that_are_symbols(name):
    tried = 0
    for case, args in distinct(name)[:4]:
        try:
            function = function_of(case, args, symbolic=True)
        except (DlcError, DimUnknown):
            function = function_of(case, args)
        for batched in subsets(len(args)):
            made, _ = batch_function(function, batched, symbol("batch"))
            verify(made)
            given = batch_of(case, args, batched, 2)
            (result,) = interpret(made, given)
            assert list(faults(case, given, batched, result)) == []
            tried += 1
    assert tried


@pytest.mark.parametrize("name", NAMES)
def test_batched_rows_on_the_cpu(name):
    """All of an op in one function."""
    b = IRBuilder()
    parts, params, results = [], [], []
    for case, args in distinct(name)[:2]:
        for batched in subsets(len(args)):
            if len(args) > 2 and sum(batched) != len(args) and not batched[0]:
                continue
            function, _ = batch_function(function_of(case, args), batched, 3)
            parts.append((case, batch_of(case, args, batched, 3), batched))
            params += function.params
            results += function.results
            b.nodes += function.nodes
    executable = compile_function(
        b.function("batched", params, results), options=Options(verify=True)
    )
    found = executable([a for _, args, _ in parts for a in args])
    wrong = [f for (c, a, s), r in zip(parts, found, strict=True) for f in faults(c, a, s, r)]
    assert wrong == []
    assert executable.stats.interpreted_ops == 0


SCALED = """
func @f(%x: f32[3], %y: f32[3], %c: f32[3]) -> (f32[3], f32[3], f32[3]) {
  %0: f32[3] = exp(%c)
  %1: f32[3] = mul(%x, %0)
  %2: f32[3] = add(%y, %y)
  return %1, %2, %0
}
"""


def test_what_does_not_depend_on_the_batch_is_computed_once():
    function = parse_function(SCALED)
    made, flags = batch_function(function, (True, False, False), 4)
    assert flags == (True, False, False)
    assert [str(r.type) for r in made.results] == ["f32[4,3]", "f32[3]", "f32[3]"]
    assert made.nodes[0] is function.nodes[0]
    assert made.params[1:] == function.params[1:]
    verify(made)


def test_results_can_be_asked_to_have_the_batch_axis():
    function = parse_function(SCALED)
    made, flags = batch_function(function, (True, False, False), 4, results=(False, True, False))
    assert flags == (True, True, False)
    assert [str(r.type) for r in made.results] == ["f32[4,3]", "f32[4,3]", "f32[3]"]
    made, flags = batch_function(function, (False, False, False), 4, results=True)
    assert flags == (True, True, True)
    x = np.arange(3, dtype=np.float32)
    for result, once in zip(
        interpret(made, [x, x, x]), interpret(function, [x, x, x]), strict=True
    ):
        assert same_bits(result, np.stack([once] * 4))


def test_batches_of_batches():
    rng = np.random.default_rng(1)
    x, y, c = (rng.standard_normal(s).astype(np.float32) for s in ((5, 4, 3), (5, 3), (4, 3)))
    once, flags = batch_function(parse_function(SCALED), (True, False, True), 4)
    assert flags == (True, False, True)
    twice, flags = batch_function(once, (True, True, False), 5)
    assert flags == (True, True, False)
    verify(twice)
    found = interpret(twice, [x, y, c])
    np.testing.assert_allclose(found[0], x * np.exp(c), rtol=1e-6)
    np.testing.assert_allclose(found[1], y + y)


def test_a_row_without_a_rule_is_an_error_that_names_it():
    register(Op("toy", "For a test.", infer=lambda types, attrs: types[0], reference=np.copy))
    try:
        b = IRBuilder()
        x = b.param(TensorType(float32, (3,)), "x")
        function = b.function("f", [x], [b.toy(x)])
        with pytest.raises(VerifyError, match="op toy has no batching rule"):
            batch_function(function, (True,), 2)
    finally:
        unregister("toy")


def test_a_wrong_rule_is_found():
    row = OPS["sub"]
    right = row.batch
    object.__setattr__(row, "batch", OPS["add"].batch)
    try:
        with pytest.raises(AssertionError, match="sub-0"):
            test_rows_are_batched_as_a_loop_over_the_reference("sub")
    finally:
        object.__setattr__(row, "batch", right)


MATMUL = {"lhs_batch": (), "lhs_contract": (1,), "rhs_batch": (), "rhs_contract": (0,)}


@pytest.mark.parametrize(
    ("columns", "batched", "ops"),
    [
        (9, (True, True), ["dot_general"]),
        (9, (True, False), ["dot_general"]),
        (None, (False, True), ["dot_general"]),
        (9, (False, True), ["broadcast_to", "dot_general"]),
        # Repeated, the first would have a cotangent larger than that of the result.
        (3, (False, True), ["dot_general", "transpose"]),
    ],
)
def test_batches_of_products(columns, batched, ops):
    b = IRBuilder()
    x = b.param(TensorType(float32, (5, 7)))
    y = b.param(TensorType(float32, (7,) if columns is None else (7, columns)))
    made, _ = batch_function(b.function("f", [x, y], [b.dot_general(x, y, **MATMUL)]), batched, 4)
    assert [n.op.name for n in made.nodes] == ops
