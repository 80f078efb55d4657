"""Calls of Python in compiled programs: arrays over slots, errors, threads, the cache, sizes."""

import gc
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import dlc
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_printer import print_kernel
from dlc.codegen.kernel_verifier import verify_kernel
from dlc.codegen.reference.interpreter import run_kernel
from dlc.frontend.apply import apply
from dlc.ir import op as op_module
from dlc.ir.config import config
from dlc.ir.errors import ParseError, VerifyError
from dlc.ir.matrix_error import LinAlgError
from dlc.ir.op import NoDerivative, Op
from dlc.runtime.executable import Options, compile_function
from dlc.runtime.host_calls import raise_pending
from dlc.runtime.program_table import Job, ProgramTable
from dlc.runtime.verification import verify_function

TEXT = """
kernel k(x0: f64[d0,d0], out o0: f64[d0,d0]):
 host cholesky {strict=true}
"""


def definite(n, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, n))
    return x @ x.T + n * np.eye(n)


@pytest.fixture
def host_op():
    """A row whose reference is the test's to say."""
    calls = []

    def reference(x):
        return calls[-1](x)

    row = op_module.register(
        Op(
            "test_host",
            "A function.",
            infer=lambda types, attrs: types[0],
            reference=reference,
            family="host",
            jvp=NoDerivative("piecewise"),
        )
    )
    yield calls
    op_module.unregister(row.name)


def test_text_and_reference_of_a_host_kernel():
    kernel = parse_kernel(TEXT)
    verify_kernel(kernel)
    assert parse_kernel(print_kernel(kernel)) == kernel
    assert "{strict=true}" in print_kernel(kernel)
    x, out = definite(3), np.zeros((3, 3))
    run_kernel(kernel, {"x0": x, "o0": out}, {"d0": 3})
    assert np.array_equal(out, np.linalg.cholesky(x))


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("cholesky", "choleski", ParseError),
        ("{strict=true}", "{strict=3}", ParseError),
        ("cholesky {strict=true}", "exp", VerifyError),
        ("out o0: f64[d0,d0]", "out o0: f32[d0,d0]", VerifyError),
        ("out o0: f64[d0,d0]", "out o0: f64[d0,d0], out o1: f64[d0]", VerifyError),
    ],
)
def test_wrong_host_kernels(old, new, error):
    with pytest.raises(error):
        verify_kernel(parse_kernel(TEXT.replace(old, new)))


def test_arrays_are_over_the_memory_of_the_program(host_op):
    seen = []

    def look(x):
        seen.append((x.flags.writeable, x.flags.owndata, x.flags.c_contiguous, x.shape))
        return x * 2

    host_op.append(look)
    f = dlc.compile(lambda x: apply("test_host", dlc.matrix_transpose(x)) + 1)
    x = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(f(x).numpy(), x.T * 2 + 1)
    assert seen == [(False, False, True, (3, 2))]
    assert f.stats.interpreted_ops == 0


def test_what_python_raises_reaches_the_caller_and_stops_the_program(host_op):
    def fail(x):
        raise KeyError(f"of {x.shape}")

    host_op.append(fail)
    f = dlc.compile(lambda x: dlc.exp(apply("test_host", x + 1)) + apply("test_host", x))
    x = np.ones(3)
    for _ in range(40):  # through Python at first, then through a native entry
        with pytest.raises(KeyError, match=r"of \(3,\)") as caught:
            f(x)
        assert "test_host_calls.py" in caught.value.__notes__[0]
    host_op.append(lambda x: x)
    assert np.array_equal(f(x).numpy(), np.exp(x + 1) + x)
    native = f.stats.native_calls
    f(x)
    assert f.stats.native_calls == native + 1


def test_errors_of_dlc_have_the_line_of_the_operation():
    @dlc.compile
    def factor(x):
        y = x + 0
        return dlc.linalg.cholesky(y)

    with pytest.raises(LinAlgError, match="is not positive definite") as caught:
        factor(-np.eye(3))
    assert "in factor" in str(caught.value)
    assert "dlc.linalg.cholesky(y)" in str(caught.value)
    assert isinstance(caught.value, np.linalg.LinAlgError)
    with pytest.raises(LinAlgError, match=r"matrix \[1\] of the stack"):
        factor(np.stack([np.eye(3), -np.eye(3)]))


def test_an_interrupt_in_python_stops_the_program(host_op):
    def interrupt(x):
        raise KeyboardInterrupt

    host_op.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        dlc.compile(lambda x: apply("test_host", x))(np.ones(3))


def test_nothing_is_kept_after_an_error(host_op):
    class Marked(Exception):
        pass

    def fail(x):
        raise Marked

    host_op.append(fail)
    f = dlc.compile(lambda x: apply("test_host", x))
    error = None
    for _ in range(40):
        with pytest.raises(Marked) as caught:
            f(dlc.ones((1000,)))
        error = weakref.ref(caught.value)
    del caught
    gc.collect()
    assert error is not None
    assert error() is None


def test_variables_keep_their_values_when_python_raises(host_op):
    v = dlc.Variable(np.zeros(4))
    bad = [False]

    def check(x):
        if bad[0]:
            raise RuntimeError("stop")
        return x

    host_op.append(check)

    @dlc.compile
    def step(x):
        v.assign_add(x)
        return apply("test_host", v.value() * 2)

    for _ in range(40):
        step(np.ones(4))
    before = v.numpy().copy()
    bad[0] = True
    for _ in range(3):
        with pytest.raises(RuntimeError, match="stop"):
            step(np.ones(4))
    assert np.array_equal(v.numpy(), before)


def test_programs_run_from_many_threads(host_op):
    mine = threading.local()

    def shift(x):
        mine.calls = getattr(mine, "calls", 0) + 1
        if mine.calls % 5 == 0:
            raise ValueError(threading.get_ident())
        return x + mine.calls

    host_op.append(shift)
    f = dlc.compile(lambda x: apply("test_host", x * 2) * 0.5)
    x = np.full(5000, 3.0)
    faults = []

    def work():
        for k in range(1, 60):
            try:
                y = f(x).numpy()
                if k % 5 == 0 or not np.all(y == (6 + k) * 0.5):
                    faults.append(k)
            except ValueError as error:
                if k % 5 or error.args[0] != threading.get_ident():
                    faults.append(k)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert faults == []


def test_compiled_functions_may_be_called_from_python_in_a_program(host_op):
    inner = dlc.compile(lambda x: dlc.sum(x * 2))
    host_op.append(lambda x: x + inner(np.array(x)).numpy())
    f = dlc.compile(lambda x: apply("test_host", x) * 3)
    for _ in range(40):
        assert np.array_equal(f(np.ones(4)).numpy(), np.full(4, 27.0))


def test_one_program_serves_many_sizes_and_levels():
    f = dlc.compile(lambda x: dlc.linalg.inv(x) @ x)
    for n in (3, 4, 5, 9, 1):
        assert np.allclose(f(definite(n)).numpy(), np.eye(n), atol=1e-12)
    assert f.stats.traces <= 3
    assert f(np.zeros((0, 0))).shape == (0, 0)
    for level in ("O0", "O1", "O3"):
        g = dlc.compile(lambda x: dlc.linalg.inv(x * 2), level=level)
        assert np.allclose(g(definite(7)).numpy(), np.linalg.inv(2 * definite(7)))


def test_other_ways_to_run():
    function = dlc.compile(lambda x: dlc.linalg.cholesky(x) * 2).lower(definite(7)).function
    assert verify_function(function, [definite(7)]).ok
    reference = compile_function(function, options=Options(device="reference"))
    assert np.array_equal(reference([definite(7)])[0], 2 * np.linalg.cholesky(definite(7)))
    with config.scope(disable_jit=True):
        y = dlc.compile(dlc.linalg.cholesky)(definite(7))
        assert np.array_equal(y.numpy(), np.linalg.cholesky(definite(7)))
    with config.scope(debug_nans=True), pytest.raises(dlc.NanError, match="solve gave NaN"):
        dlc.compile(lambda x: apply("solve", x, x))(np.zeros((2, 2)))


def test_constant_matrices_are_factored_once():
    a = definite(7)
    f = dlc.compile(lambda x: dlc.linalg.inv(a) @ x)
    x = np.ones((7, 2))
    assert np.allclose(f(x).numpy(), np.linalg.solve(a, x))
    assert "once inverse" in f.lower(x).as_text("kernels")


def test_the_table_takes_no_python_into_a_region():
    table = ProgramTable(n_slots=1)
    with pytest.raises(ValueError, match="Python"):
        table.group([Job(8, 1, 1, (0,), host=len), Job(8, 1, 1, (0,))])
    with pytest.raises(AttributeError):
        raise_pending()


SCRIPT = """
import numpy as np, dlc
f = dlc.compile(lambda x: dlc.linalg.cholesky(x * 2) + 1, num_threads=2)
x = np.eye(7) * 2
executable = f.lower(x).executable
assert np.array_equal(f(x).numpy(), np.eye(7) * 2 + 1)
print(executable.stats.program_from_cache, executable.stats.kernels_compiled)
"""


def test_cached_programs_call_python_in_another_process(tmp_path):
    env = {**os.environ, "DLC_CACHE_DIR": str(tmp_path)}
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert outputs[1] == "True 0"
    assert outputs[0].startswith("False")
