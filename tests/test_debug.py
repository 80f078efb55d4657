"""Prints, callbacks and pure functions in compiled code: kept, in order, once each."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest

import dlc
from dlc.ir.config import config
from dlc.ir.errors import ParseError
from dlc.ir.host_function import HostFunction
from dlc.ir.parser import parse_function
from dlc.ir.printer import print_function
from dlc.passes.autodiff import vjp_function
from dlc.runtime.verification import verify_function


def two(x):
    dlc.debug.print("a {}", x)
    y = x * 2
    dlc.debug.print("b {y:.1f} {}", 7, y=y)
    dlc.debug.print("a {}", x)
    return y


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
def test_prints_stay_in_their_order(capsys, level):
    f = dlc.compile(two, level=level)
    for x in (1.0, 2.0):
        assert f(np.float32(x)).item() == 2 * x
        assert capsys.readouterr().out == f"a {x}\nb {2 * x} 7\na {x}\n"
    assert two(dlc.asarray(1.0)).item() == 2
    assert capsys.readouterr().out == "a 1.0\nb 2.0 7\na 1.0\n"
    with config.scope(disable_jit=True):
        dlc.compile(two)(np.float32(3))
    assert capsys.readouterr().out == "a 3.0\nb 6.0 7\na 3.0\n"


def test_order_between_kernels(capsys):
    @dlc.compile
    def f(x):
        for k in range(6):
            dlc.debug.print("{} {}", k, dlc.sum(x) if k % 2 else x[0] + k)
            x = dlc.exp(x - dlc.max(x)) @ dlc.ones((4, 4))
        return x

    for _ in range(40):
        f(np.zeros(4, np.float32))
        assert [line[0] for line in capsys.readouterr().out.splitlines()] == list("012345")
    assert f.stats.native_calls > 0


def test_prints_of_constants_happen_in_every_call(capsys):
    @dlc.compile
    def f(x):
        dlc.debug.print("here {}", np.arange(3))
        dlc.debug.print("no operand")
        return x

    for _ in range(3):
        f(np.ones(2))
        assert capsys.readouterr().out == "here [0 1 2]\nno operand\n"


def test_gradients_and_batches(capsys):
    def f(x):
        dlc.debug.print("x {}", x)
        return x * x

    assert dlc.grad(f)(dlc.asarray(3.0)).item() == 6
    assert capsys.readouterr().out == "x 3.0\n"
    assert dlc.compile(dlc.value_and_grad(f))(np.float32(3))[1].item() == 6
    assert capsys.readouterr().out == "x 3.0\n"
    dlc.compile(dlc.vmap(f))(np.arange(3.0))
    assert capsys.readouterr().out == "x 0.0\nx 1.0\nx 2.0\n"
    dlc.jvp(f, (dlc.asarray(2.0),), (dlc.asarray(1.0),))
    assert capsys.readouterr().out == "x 2.0\n"


def test_prints_stay_where_rules_fire(capsys):
    @dlc.compile
    def f(x):
        y = (x + 0.0 - 0.0) * 1.0 - 0.0
        dlc.debug.print("{}", dlc.negative(dlc.negative(y)))
        return dlc.transpose(dlc.transpose(y)) * 1.0

    f(np.eye(2))
    assert capsys.readouterr().out.count("1.") == 2


def test_branches_and_loops(capsys):
    @dlc.compile
    def f(x):
        def body(k, x):
            dlc.debug.print("step {} {}", k, x)
            return x + 1

        return dlc.fori_loop(0, 3, body, x)

    assert f(np.float32(1)).item() == 4
    assert capsys.readouterr().out == "step 0 1.0\nstep 1 2.0\nstep 2 3.0\n"

    @dlc.compile
    def only_prints(x):
        def body(x, y):
            dlc.debug.print("of {}", y)
            return x, None

        dlc.scan(body, x, np.arange(2))
        return x

    only_prints(np.float32(1))
    assert capsys.readouterr().out == "of 0\nof 1\n"

    def told(word):
        def branch(x):
            dlc.debug.print(word)
            return x

        return branch

    g = dlc.compile(lambda x: dlc.cond(x > 0, told("yes"), told("no"), x))
    for x in (1.0, -1.0):
        g(np.float32(x))
    assert capsys.readouterr().out == "yes\nno\n"


def test_callbacks():
    seen = []

    @dlc.compile
    def f(x):
        dlc.debug.callback(lambda pair, z: seen.append((pair, z)), {"a": x, "b": x + 1}, x * 2)
        return dlc.sum(x)

    for k in range(40):
        f(np.full(3, k, np.float32))
    assert len(seen) == 40
    for k, (pair, z) in enumerate(seen):  # arrays of their own, which nothing overwrites
        assert pair["a"].tolist() == [k] * 3
        assert pair["b"].tolist() == [k + 1] * 3
        assert z.tolist() == [2 * k] * 3
    seen.clear()
    dlc.debug.callback(seen.append, np.ones(2))
    assert seen[0].tolist() == [1, 1]


def test_errors_of_callbacks_stop_the_program():
    after = []

    @dlc.compile
    def f(x):
        dlc.debug.callback(check, x)
        dlc.debug.callback(after.append, x)
        return x

    def check(x):
        if x > 2:
            raise RuntimeError(f"{x} is too large")

    for x in range(5):
        if x > 2:
            with pytest.raises(RuntimeError, match=f"{x}.0 is too large"):
                f(np.float32(x))
        else:
            f(np.float32(x))
    assert after == [0, 1, 2]
    for format_ in ("{y}", "{} {}", "{", "{1}", "{x.shape} {}", "{x:{}} {}"):
        with pytest.raises(dlc.ArgumentError, match="by the format"):
            dlc.compile(lambda x, f=format_: (dlc.debug.print(f, x=x), x)[1])(1.0)
    show = dlc.compile(lambda x: (dlc.debug.print("{:d}", x), x)[1])
    show(np.int32(3))
    with pytest.raises(dlc.ValueRangeError, match=r"of float32\[\] by the format '{:d}'"):
        show(np.float32(3))
    with pytest.raises(dlc.ValueRangeError, match="{:d}"):
        dlc.debug.print("{:d}", np.float32(3))
    with pytest.raises(dlc.ArgumentError, match="format comes first"):
        dlc.debug.print(np.ones(2))


def test_breakpoints(monkeypatch):
    stops = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: stops.append(sys._getframe(1).f_locals))
    dlc.compile(lambda x: (dlc.debug.breakpoint(x=x * 2), x)[1])(np.float32(2))
    assert stops[0]["values"]["x"] == 4


def test_pure_callbacks():
    calls = []

    def numbers(x):
        calls.append(x.shape)
        return np.sort(x)

    f = dlc.compile(lambda x: dlc.pure_callback(numbers, x, x * -1) + 1)
    for n in (3, 4, 5, 6):
        x = np.random.default_rng(n).standard_normal(n)
        assert np.array_equal(f(x).numpy(), np.sort(-x) + 1)
    assert f.stats.traces <= 3
    x = np.random.default_rng(0).standard_normal((2, 3))
    assert np.array_equal(dlc.vmap(f)(dlc.asarray(x)).numpy(), np.sort(-x, -1) + 1)
    calls.clear()
    g = dlc.compile(lambda x: (dlc.pure_callback(numbers, x, x), x)[1])
    g(np.ones(3))
    assert calls == []  # nothing needs it
    spec = {"s": dlc.spec((), dlc.float64), "n": dlc.spec((2,), "int32")}
    h = dlc.compile(
        lambda x: dlc.pure_callback(
            lambda x: {"s": x.sum(), "n": np.array(x.shape, np.int32)}, spec, x
        )
    )
    both = h(np.ones((3, 2)))
    assert both["s"].item() == 6
    assert both["n"].tolist() == [3, 2]
    assert dlc.pure_callback(np.sort, dlc.ones(2), dlc.asarray([2.0, 1.0])).tolist() == [1, 2]


def test_wrong_pure_callbacks():
    with pytest.raises(dlc.ShapeError, match=r"gave float64\[2\]"):
        dlc.compile(lambda x: dlc.pure_callback(lambda x: x[:2], x, x))(np.ones(3))
    with pytest.raises(dlc.ArgumentError, match="shape and dtype"):
        dlc.pure_callback(np.sort, 3, np.ones(3))
    with pytest.raises(dlc.DerivativeError):
        dlc.grad(lambda x: dlc.sum(dlc.pure_callback(np.sort, x, x)))(dlc.ones(3))


def test_text_names_functions_of_this_process():
    f = dlc.compile(lambda x: dlc.pure_callback(np.sort, x, x)).lower(np.ones(3)).function
    text = print_function(f)
    assert "function=@callback." in text
    assert print_function(parse_function(text)) == text
    with pytest.raises(ParseError, match="no Python function of this process"):
        parse_function(text.replace("@callback.", "@callback.9"))
    gone = repr(HostFunction(lambda: None))
    with pytest.raises(ParseError, match="no Python function"):
        parse_function(text.replace(text[text.index("@callback") :].split(",")[0], gone))
    assert verify_function(f, [np.array([3.0, 1, 2])]).ok
    assert len(vjp_function(dlc.compile(two).lower(1.0).function, [0]).nodes) > 3


SCRIPT = """
import numpy as np, dlc
f = dlc.compile(lambda x: (dlc.debug.print("x {}", x), x * 2)[1])
executable = f.lower(np.float32(1)).executable
f(np.float32(1))
print(executable.stats.program_from_cache)
"""


def test_what_is_stored(tmp_path, caplog):
    env = {**os.environ, "DLC_CACHE_DIR": str(tmp_path)}
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True
        ).stdout.split("\n")
        for _ in range(2)
    ]
    assert [out[:2] for out in outputs] == [["x 1.0", "False"], ["x 1.0", "True"]]
    with config.scope(cache_dir=tmp_path, logs="compile"), caplog.at_level(logging.INFO, "dlc"):
        dlc.compile(lambda x: (dlc.debug.callback(np.sort, x), x)[1])(np.ones(2))
    assert "is not stored: it calls the function sort" in caplog.text
