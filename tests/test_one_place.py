"""Adding an op is one row, adding a backend one class and its loader: everything else follows."""

from dataclasses import replace

import numpy as np
import pytest
import test_batch
import test_derivatives
import test_op_table
from op_cases import same_bits
from overlapping_writes import make_program

import dlc
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_printer import print_kernel
from dlc.codegen.memory_plan import plan_memory
from dlc.codegen.reference.interpreter import run_kernel
from dlc.frontend.apply import apply
from dlc.ir import scalar
from dlc.ir.dims import evaluate
from dlc.ir.errors import DeviceError, DTypeError
from dlc.ir.op import Op, Sample, register, unregister
from dlc.ir.ops import batching
from dlc.ir.ops.families import elementwise_samples, half_aware, infer_elementwise
from dlc.ir.parser import parse_function
from dlc.ir.printer import print_function
from dlc.runtime.device import Device, register_device, unregister_device
from dlc.runtime.executable import Options, compile_function


def _softsign(x):
    one = scalar.const(1.0, x.dtype)
    return scalar.op("div", x, scalar.op("add", one, scalar.op("abs", x)))


def _softsign_jvp(b, out, x, t):
    one = b.full(value=1.0, shape=out.tensor.shape, dtype=out.tensor.dtype)
    slope = b.sub(one, b.abs(out))
    return b.mul(t[0], b.mul(slope, slope))


def _softsign_reference(x):
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        return np.asarray(wide / (1 + np.abs(wide))).astype(x.dtype)


SOFTSIGN = Op(
    "softsign",
    "x / (1 + |x|).",
    infer=infer_elementwise("softsign", "f"),
    reference=_softsign_reference,
    lower=lambda ix, inputs, attrs, type_: half_aware(_softsign, [inputs[0](*ix)]),
    jvp=_softsign_jvp,
    batch=batching.elementwise("softsign"),
    family="composite",  # a few roundings
    cost=9,
    samples=elementwise_samples(1, ("f32", "f64", "f16", "bf16")),
)


@pytest.fixture
def softsign():
    register(SOFTSIGN)
    yield lambda x: apply("softsign", x)
    unregister("softsign")


X = np.linspace(-3, 3, 35, dtype=np.float32).reshape(7, 5)


def test_the_op_runs_eagerly_and_compiled(softsign):
    expected = X / (1 + np.abs(X))
    for got in (
        softsign(X),
        dlc.compile(softsign)(X),
        dlc.compile(softsign, device="reference")(X),
    ):
        np.testing.assert_allclose(got.numpy(), expected, rtol=2e-7)
    with pytest.raises(DTypeError, match="softsign"):
        softsign(np.arange(3))


def test_the_op_is_differentiated(softsign):
    slope = 1 / (1 + np.abs(X)) ** 2
    for way in (lambda f: f, dlc.compile):
        found = way(dlc.grad(lambda x: dlc.sum(softsign(x))))(X)
        np.testing.assert_allclose(found.numpy(), slope, rtol=1e-6)
    second = dlc.grad(lambda x: dlc.sum(dlc.grad(lambda x: dlc.sum(softsign(x)))(x)))(X)
    np.testing.assert_allclose(second.numpy(), -2 * np.sign(X) * slope**1.5, rtol=1e-5, atol=1e-6)


def test_the_op_fuses_and_is_shown(softsign):
    lowered = dlc.compile(lambda x: dlc.sum(softsign(x * 2.0), axis=1)).lower(X)
    program = lowered.executable.program
    assert len(program.calls) == 1
    assert "softsign" in lowered.as_text("traced")
    assert "softsign" in program.kernels[0].name
    function = lowered.function
    assert print_function(parse_function(print_function(function))) == print_function(function)


@pytest.mark.parametrize(("device", "level"), test_op_table.LEVELS)
def test_the_tables_tests_take_the_op(softsign, device, level):
    test_op_table.test_the_row_has_no_hole("softsign")
    test_op_table.test_devices_compute_the_reference("softsign", device, level)
    test_op_table.test_one_program_serves_many_sizes("softsign", device, level)
    test_derivatives.test_first_derivatives("softsign")
    test_derivatives.test_second_derivatives("softsign")
    test_batch.test_rows_are_batched_as_a_loop_over_the_reference("softsign")
    test_batch.test_batched_rows_on_the_cpu("softsign")


def test_a_row_that_is_replaced_is_not_remembered(softsign):
    """Neither caches nor kernels of eager mode serve what the old row meant."""
    before = dlc.compile(softsign)(X), softsign(X)
    unregister("softsign")
    register(
        replace(
            SOFTSIGN,
            lower=lambda ix, inputs, attrs, type_: _softsign(scalar.op("neg", inputs[0](*ix))),
        )
    )
    for old, new in zip(before, (dlc.compile(softsign)(X), softsign(X)), strict=True):
        np.testing.assert_array_equal(new.numpy(), -old.numpy())


def test_an_op_that_stands_for_others_is_a_row_too():
    register(
        Op(
            "double_square",
            "(2x)^2.",
            infer=infer_elementwise("double_square", "f"),
            decompose=lambda b, x: b.mul(b.add(x, x), b.add(x, x)),
            samples=lambda: [Sample((((3, 5), "f64"),))],
            family="composite",
        )
    )
    try:
        test_op_table.test_the_row_has_no_hole("double_square")
        test_op_table.test_devices_compute_the_reference("double_square", "cpu", "O2")
        test_derivatives.test_first_derivatives("double_square")
        test_batch.test_rows_are_batched_as_a_loop_over_the_reference("double_square")
        found = dlc.compile(dlc.grad(lambda x: dlc.sum(apply("double_square", x))))(X)
        np.testing.assert_allclose(found.numpy(), 8 * X, rtol=1e-6)
    finally:
        unregister("double_square")


# A backend: a class that makes bytes of kernels, and a loader that runs them.


class ArenaBackend:
    """Kernels stay text."""

    name = "arena"
    stages = ("upper",)
    panel_bits = 256

    def key_entries(self):
        return (("arena", "1"),)

    def compile(self, kernels, meanwhile):
        meanwhile()
        return [print_kernel(k).encode() for k in kernels]

    def text(self, kernels, stage):
        return "\n".join(print_kernel(k).upper() for k in kernels)


class ArenaProgram:
    """Runs kernels in random orders, temporaries and shared slots where the plan puts them."""

    def __init__(self, program, payloads, fixed):
        self.program, self.fixed = program, fixed
        self.kernels = [parse_kernel(p.decode()) for p in payloads]

    def bind(self, values):
        return BoundArenaProgram(self, dict(values))


class BoundArenaProgram:
    def __init__(self, code, values):
        self.code, self.values = code, values
        self.plan = plan_memory(code.program, values)

    def run(self, inputs, num_threads):
        program = self.code.program
        arena = np.full(self.plan.arena_bytes, 0xA5, np.uint8)
        arrays = []
        for k in range(len(program.slots)):
            arrays.append(self._array(k, arena, inputs, arrays))
        for number, call in enumerate((*program.once, *program.calls)):
            kernel = self.code.kernels[call.kernel]
            dims = {
                n: evaluate(d, self.values) for n, d in zip(kernel.dims, call.dims, strict=True)
            }
            named = {
                p.name: arrays[a].reshape([evaluate(d, dims) for d in p.dims])
                for p, a in zip(kernel.params, call.args, strict=True)
            }
            run_kernel(kernel, named, dims, order_seed=number)
        outputs = {
            s.position: a for s, a in zip(program.slots, arrays, strict=True) if s.kind == "output"
        }
        return [outputs[k] for k in range(len(outputs))]

    def _array(self, k, arena, inputs, arrays):
        slot = self.code.program.slots[k]
        shape = [evaluate(d, self.values) for d in slot.type.shape]
        dtype = slot.type.dtype.numpy
        if slot.shares is not None:
            return arrays[slot.shares].view(dtype).reshape(shape)
        if slot.kind == "input":
            return inputs[slot.position]
        if slot.kind == "constant":
            return self.code.program.constants[slot.position]
        if slot.kind == "fixed":
            return self.code.fixed[slot.position]
        if slot.kind in ("output", "kept"):
            return np.empty(shape, dtype)
        start = self.plan.offsets[k]
        return (
            arena[start : start + int(np.prod(shape)) * dtype.itemsize].view(dtype).reshape(shape)
        )


@pytest.fixture
def arena():
    register_device("arena", Device(ArenaBackend, ArenaProgram))
    yield "arena"
    unregister_device("arena")


def test_the_backend_compiles_functions(arena):
    def step(x, w):
        loss, slope = dlc.value_and_grad(lambda w: dlc.mean(dlc.softmax(x @ w, axis=1) ** 2))(w)
        return loss, w - 0.1 * slope

    w = np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)
    compiled = dlc.compile(step, device=arena)
    for rows in (7, 3, 6):  # later extents are symbols
        for got, want in zip(compiled(X[:rows], w), dlc.compile(step)(X[:rows], w), strict=True):
            np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-7)
    assert compiled.stats.interpreted_ops == 0
    assert "PAR" in compiled.lower(X, w).as_text("upper")


@pytest.mark.parametrize("level", ["O0", "O2"])
@pytest.mark.parametrize(
    "name", ["exp", "reduce_sum", "dot_general", "slice_update", "scatter_add", "layer_norm"]
)
def test_the_tables_tests_take_the_backend(arena, name, level):
    test_op_table.test_devices_compute_the_reference(name, arena, level)


@pytest.mark.parametrize("level", ["O0", "O2"])
def test_the_backend_writes_into_donated_memory(arena, level):
    text = """func @f(%x: f32[n], %y: f32[n]) -> (f32[n], f32[n]) {
      %0: f32[n] = add(%x, %y)
      %1: f32[n] = tanh(%0)
      %2: f32[n] = flip(%0) {axes=[0]}
      return %1, %2 }"""
    function = parse_function(text)
    x, y = np.arange(9, dtype=np.float32), np.ones(9, np.float32)
    plain = compile_function(function, options=Options(device=arena, level=level))([x, y])
    run = compile_function(function, options=Options(device=arena, level=level, donated=(0, 1)))
    for got, want in zip(run([x.copy(), y.copy()]), plain, strict=True):
        assert same_bits(got, want)


def test_the_backend_updates_variables_in_place(arena):
    """Any order of a kernel's iterations is right, also where outputs take over inputs."""
    programs = [make_program(k, dlc) for k in range(10_000, 10_100)]
    state = [[dlc.Variable(a) for a in p.args] for p in programs]

    @dlc.compile(device=arena)
    def step():
        for p, variables in zip(programs, state, strict=True):
            results = p.run_dlc(*(v.value() for v in variables))
            for v, r in zip(variables, results, strict=True):
                v.assign(r)

    step()
    step()
    for p, variables in zip(programs, state, strict=True):
        assert p.fault([v.value() for v in variables], times=2) is None


def test_an_unknown_device_is_an_error():
    with pytest.raises(DeviceError, match="arena"):
        dlc.compile(lambda x: x + 1, device="arena")(X)
