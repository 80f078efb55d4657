"""Overlapping writes: 10,000 generated programs, and six that are easily got wrong.

All of them run eagerly, by compiled kernels of one op, and compiled, many in one function: the
first 1,000 by native code, whose compilation takes most of the time, the others by the reference
device, which runs the same fused kernels. Some also run as steps that update variables in place.
Together they take two minutes of one core.
"""

import numpy as np
import pytest
from overlapping_writes import make_program

import dlc
from dlc.ir.build import IRBuilder
from dlc.ir.types import TensorType, float32, int32
from dlc.runtime.executable import Options, compile_function

COUNT, NATIVE, BATCH = 10_000, 1000, 50


def programs(first, last):
    return [make_program(k, dlc) for k in range(first, last)]


def run_compiled(chosen, **options):
    """The results of all programs, by one compiled function."""

    @dlc.compile(**options)
    def batch(operands):
        return [p.run_dlc(*a) for p, a in zip(chosen, operands, strict=True)]

    results = batch([p.args for p in chosen])
    assert batch.stats.interpreted_ops == 0
    return results


def faults(chosen, results):
    found = (p.fault(r) for p, r in zip(chosen, results, strict=True))
    return [f for f in found if f is not None]


@pytest.mark.parametrize("first", range(0, COUNT, 500))
def test_compiled_programs_equal_numpy(first):
    device = "cpu" if first < NATIVE else "reference"
    for k in range(first, first + 500, BATCH):
        chosen = programs(k, k + BATCH)
        before = [a.copy() for p in chosen for a in p.args]
        assert faults(chosen, run_compiled(chosen, device=device)) == []
        after = [a for p in chosen for a in p.args]
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("first", range(0, COUNT, 1000))
def test_eager_programs_equal_numpy(first):
    for p in programs(first, first + 1000):
        assert p.fault(p.run_dlc(*map(dlc.asarray, p.args))) is None


@pytest.mark.parametrize("level", ["O0", "O1", "O3"])
def test_other_levels_equal_numpy(level):
    chosen = programs(100, 150)
    assert faults(chosen, run_compiled(chosen, level=level)) == []


@pytest.mark.parametrize("first", range(0, 500, 250))
def test_variables_equal_numpy(first):
    """Compiled steps write into the memory of the values that they replace."""
    for k in range(first, first + 250, BATCH):
        chosen = programs(k, k + BATCH)
        state = [[dlc.Variable(a) for a in p.args] for p in chosen]

        @dlc.compile
        def step(chosen=chosen, state=state):
            for p, variables in zip(chosen, state, strict=True):
                results = p.run_dlc(*(v.value() for v in variables))
                for v, r in zip(variables, results, strict=True):
                    v.assign(r)

        for _ in range(3):
            step()
        found = [
            p.fault([v.value() for v in vs], times=3) for p, vs in zip(chosen, state, strict=True)
        ]
        assert [f for f in found if f is not None] == []


def test_a_wrong_result_is_found():
    (program,) = programs(3, 4)
    results = [dlc.asarray(a) for a in program.expected()]
    assert program.fault(results) is None
    assert "program 3" in program.fault([results[0] + 1, *results[1:]])


# Programs that compilers are known to get wrong, each with what NumPy says of copies.


def shift(x):
    x[1:] = x[:-1]
    return x


def update_many(x):
    tensors, others = [x], [dlc.flip(x, axis=0)]
    (result,) = [a + b for a, b in zip(tensors, others, strict=True)]
    return result


def put_then_add_flipped(x):
    x[2] = x[5]
    x[x > 1] = 0
    x[:] = x + dlc.flip(x, axis=0)
    return x


def copy_then_add_to_the_source(x):
    target = dlc.zeros_like(x)
    target[:] = x[:]
    x[:] = x + 1
    return target, x


def interpolate_in_place(x):
    y = dlc.flip(x, axis=0)
    x[:] = x + 0.25 * (y - x)
    y[:] = y + 0.25 * (x - y)
    return x, y


def _put_numpy(x):
    x[2] = x[5]
    x[x > 1] = 0
    return x + x[::-1]


def _interpolate_numpy(x):
    y = x[::-1].copy()
    x = x + np.float32(0.25) * (y - x)
    return x, y + np.float32(0.25) * (x - y)


PROGRAMS = [
    (shift, lambda x: np.concatenate([x[:1], x[:-1]])),
    (update_many, lambda x: x + x[::-1]),
    (put_then_add_flipped, _put_numpy),
    (copy_then_add_to_the_source, lambda x: (x, x + 1)),
    (interpolate_in_place, _interpolate_numpy),
]


@pytest.mark.parametrize(
    ("program", "expected"), PROGRAMS, ids=lambda f: getattr(f, "__name__", "")
)
@pytest.mark.parametrize("way", ["eager", "compiled", "reference", "variable"])
def test_known_hard_programs(program, expected, way):
    # Eighths, so that all sums and the multiply-add are exact.
    x = (np.random.default_rng(1).integers(-64, 64, (64, 16)) / 8).astype(np.float32)
    want = expected(x.copy())
    if way == "eager":
        got = program(dlc.asarray(x))
    elif way == "variable":
        v = dlc.Variable(x)
        got = dlc.compile(lambda: program(v.value()))()
    else:
        got = dlc.compile(program, device="cpu" if way == "compiled" else way)(x.copy())
    for g, w in zip(*((r if isinstance(r, tuple) else (r,)) for r in (got, want)), strict=True):
        np.testing.assert_array_equal(g.numpy(), w)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_bits_read_before_a_write_stay(device):
    """The sixth: the bits of x as integers are read, then x is overwritten."""
    b = IRBuilder()
    x = b.param(TensorType(float32, (64, 16)), "x")
    bits = b.bitcast(x, dtype=int32)
    new = b.add(x, b.const(1.0, x.tensor))
    function = b.function("f", [x], [b.add(bits, b.const(1, bits.tensor)), new])
    value = np.random.default_rng(2).standard_normal((64, 16)).astype(np.float32)
    expected = value.view(np.int32) + 1, value + np.float32(1)
    for donated in ((), (0,)):
        run = compile_function(function, options=Options(device=device, donated=donated))
        for got, want in zip(run([value.copy()]), expected, strict=True):
            np.testing.assert_array_equal(got, want)
