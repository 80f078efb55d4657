"""Loops and branches: values, eager and compiled, against loops in Python; their errors."""

import numpy as np
import pytest
from op_cases import same_bits

import dlc
from dlc.codegen.program import Loop
from dlc.ir.equal import same_structure
from dlc.ir.interpret import interpret
from dlc.ir.parser import parse_function
from dlc.ir.printer import print_function
from dlc.ir.verifier import verify
from dlc.runtime.executable import Options, compile_function
from dlc.runtime.program_check import run_program
from dlc.runtime.program_text import program_from_bytes, program_to_bytes

ALL_ROWS = """func @f(%n: i64[], %x: f32[m], %ys: f32[5,m]) -> (f32[m], f32[5,m], f32[m], f32[m], i64[]) {
  %0: (i64[], f32[m], i64[], f32[__trips,m]) = while(%x, %n, %x) {cond=func @c(%k: f32[m], %i: i64[], %y: f32[m]) -> (bool[]) {
    %0: i64[] = full() {value=3, shape=[], dtype=i64}
    %1: bool[] = lt(%i, %0)
    return %1
  }, body=func @b(%k: f32[m], %i: i64[], %y: f32[m]) -> (i64[], f32[m], f32[m]) {
    %0: i64[] = full() {value=1, shape=[], dtype=i64}
    %1: i64[] = add(%i, %0)
    %2: f32[m] = add(%y, %k)
    return %1, %2, %y
  }, consts=1, counted=true}
  %1: f32[m] = get(%0) {index=1}
  %2: i64[] = get(%0) {index=2}
  %3: f32[__trips,m] = get(%0) {index=3}
  %4: (f32[m]) = scan(%2, %x, %3) {body=func @s(%a: f32[m], %b: f32[m]) -> (f32[m]) {
    %0: f32[m] = add(%a, %b)
    %1: f32[m] = sub(%b, %0)
    return %1
  }, length=__trips, carries=1, reverse=true}
  %5: f32[m] = get(%4) {index=0}
  %6: (f32[m], f32[5,m]) = scan(%x, %ys) {body=func @s2(%a: f32[m], %b: f32[m]) -> (f32[m], f32[m]) {
    %0: f32[m] = add(%a, %b)
    return %0, %0
  }, length=5, carries=1, reverse=true}
  %7: f32[5,m] = get(%6) {index=1}
  %8: (f32[m]) = switch(%n, %x) {branches=[func @p(%a: f32[m]) -> (f32[m]) {
    %0: f32[m] = neg(%a)
    return %0
  }, func @q(%a: f32[m]) -> (f32[m]) {
    return %a
  }]}
  %9: f32[m] = get(%8) {index=0}
  return %1, %7, %9, %5, %2
}"""  # noqa: E501


def arguments(n):
    rng = np.random.default_rng(7)
    return [np.array(n), *(rng.standard_normal(s).astype(np.float32) for s in ((4,), (5, 4)))]


def test_the_text_is_complete():
    f = parse_function(ALL_ROWS)
    verify(f)
    assert print_function(f) == ALL_ROWS
    assert same_structure(f, parse_function(print_function(f)))


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_every_row_on_every_device(device, level):
    f = parse_function(ALL_ROWS)
    made = compile_function(f, options=Options(device=device, level=level, verify=True))
    for n in (-7, 0, 1, 2, 3, 5):
        args = arguments(n)
        expected = interpret(f, args)
        for _ in range(2):  # memory that a call leaves is that of the next one
            for got, want in zip(made(args), expected, strict=True):
                assert same_bits(got, want)
    assert made.stats.interpreted_ops == 0


@pytest.mark.parametrize("memory", ["own", "shared", "planned"])
def test_memory_plans_of_loops(memory):
    f = parse_function(ALL_ROWS)
    program = compile_function(f).program
    for n in (-1, 0, 1, 3):
        found = run_program(program, arguments(n), {"m": 4}, memory)
        for got, want in zip(found, interpret(f, arguments(n)), strict=True):
            assert same_bits(got, want)


def test_programs_with_loops_are_stored():
    program = compile_function(parse_function(ALL_ROWS)).program
    digests = ["a"] * len(program.kernels)
    again, _ = program_from_bytes(program_to_bytes(program, digests), program.name)
    assert again.steps == program.steps
    assert again.text() == program.text()
    assert sum(isinstance(s, Loop) for s in again.steps) == 3


# The public functions, each against a loop in Python.


def both(f):
    return [f, dlc.compile(f), dlc.compile(f, level="O0"), dlc.compile(f, device="reference")]


def test_cond_runs_one_side():
    def f(x, y):
        return dlc.cond(dlc.sum(x) > 0, lambda a, b: {"r": a + b}, lambda a, b: {"r": a * b}, x, y)

    y = np.array([3.0, 4.0], np.float32)
    for x in (np.array([1.0, 2.0], np.float32), np.array([-1.0, 0.5], np.float32)):
        want = x + y if x.sum() > 0 else x * y
        for way in both(f):
            np.testing.assert_array_equal(way(x, y)["r"].numpy(), want)


def test_switch_takes_the_nearest_branch():
    branches = [lambda x: x, lambda x: -x, lambda x: x * x]
    for way in both(lambda k, x: dlc.switch(k, branches, x)):
        found = [way(np.int32(k), np.float32(3)).item() for k in (-5, 0, 1, 2, 9)]
        assert found == [3, 3, -3, 9, 9]
    assert dlc.switch(np.uint64(2**63 + 1), branches, 3.0).item() == 9


def test_while_loop_ends_when_it_says():
    def collatz(n):
        def step(c):
            k, steps = c
            return dlc.where(k % 2 == 0, k // 2, 3 * k + 1), steps + 1

        return dlc.while_loop(lambda c: c[0] != 1, step, (n, 0))[1]

    for way in both(collatz):
        assert [way(np.int64(n)).item() for n in (1, 2, 6, 27)] == [0, 1, 8, 111]


def test_fori_loop_counts_as_python_does():
    def f(lo, hi, x):
        return dlc.fori_loop(lo, hi, lambda i, c: c * 0.5 + i, x)

    for lo, hi in ((0, 5), (2, 7), (-3, 3), (4, 4), (5, 1)):
        want = np.float32(1.5)
        for i in range(lo, hi):
            want = want * np.float32(0.5) + np.float32(i)
        for way in both(f):
            assert way(np.int64(lo), np.int64(hi), np.float32(1.5)).item() == want
        assert dlc.fori_loop(lo, hi, lambda i, c: c * 0.5 + i, np.float32(1.5)).item() == want


def test_the_counter_is_like_a_number():
    half = dlc.fori_loop(0, 3, lambda i, c: c + i, dlc.ones((2,), dtype=dlc.bfloat16))
    assert half.dtype is dlc.bfloat16
    assert half.tolist() == [4.0, 4.0]
    by_tensor = dlc.fori_loop(0, dlc.asarray(np.int32(3)), lambda i, c: c + i, 1)
    assert (by_tensor.item(), by_tensor.dtype) == (4, dlc.int32)


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_goes_along_the_first_axis(reverse):
    def f(x, init):
        def step(c, row):
            new = c * 0.5 + row["a"]
            return new, (new, row["b"][0])

        return dlc.scan(step, init, {"a": x, "b": x}, reverse=reverse)

    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 8):
        x, c = rng.standard_normal((n, 3)).astype(np.float32), np.ones(3, np.float32)
        rows = [None] * n
        for k in reversed(range(n)) if reverse else range(n):
            c = c * np.float32(0.5) + x[k]
            rows[k] = c
        for way in both(f):
            last, (ys, firsts) = way(x, np.ones(3, np.float32))
            np.testing.assert_allclose(last.numpy(), c, rtol=1e-6)
            np.testing.assert_allclose(ys.numpy(), np.stack(rows), rtol=1e-6)
            np.testing.assert_array_equal(firsts.numpy(), x[:, 0])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("rows", "unroll"), [(1, 4), (6, 2), (7, 3), (5, 9), (0, 2)])
def test_unrolled_scans_are_scans(rows, unroll, reverse):
    rng = np.random.default_rng(rows)
    xs = {"a": rng.standard_normal((rows, 3)).astype("f"), "k": np.arange(rows)}

    def step(c, x):
        total, count = c
        total = total * 0.5 + dlc.sin(x["a"])
        return (total, count + x["k"]), (total[0], None, {"k": x["k"] * 2})

    def run(init, data, size):
        return dlc.scan(step, (init, 0), data, reverse=reverse, unroll=size)

    init = np.ones(3, np.float32)
    want = run(init, xs, 1)
    for way in (run, dlc.compile(run, static_argnames="size")):
        found = way(init, xs, size=unroll)
        assert found[1][1] is None
        for x, y in zip(dlc.tree.leaves(found), dlc.tree.leaves(want), strict=True):
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
            np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=2e-6)

    def loss(init, a, size):
        (total, _), ys = run(init, {"a": a, "k": xs["k"]}, size)
        return dlc.sum(total * total) + dlc.sum(ys[0])

    for k in (0, 1):
        ours, theirs = (dlc.grad(loss, argnums=k)(init, xs["a"], n) for n in (unroll, 1))
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("unroll", [1, 3, 9])
def test_unrolled_counted_loops(unroll):
    def run(x, n):
        return dlc.fori_loop(1, n, lambda i, c: (c[0] * 0.5 + i, c[1]), (x, 2), unroll=unroll)

    for way in (run, dlc.compile(run), dlc.compile(run, static_argnums=1)):
        assert [y.item() for y in way(1.0, 6)] == [8.0625 + 1 / 32, 2]
        assert way(4.0, 1)[0].item() == 4.0
    with pytest.raises(ValueError, match="unroll"):
        dlc.fori_loop(0, 3, lambda i, c: c, 0, unroll=0)
    with pytest.raises(dlc.DlcError, match="fori_loop"):
        dlc.fori_loop(0, 7, lambda i, c: (c, c), 0.0, unroll=unroll)


def test_unrolled_iterations_are_in_the_program():
    x = np.ones((7, 4), np.float32)

    def f(x, unroll):
        return dlc.scan(lambda c, row: (c * 0.5 + dlc.sum(row), None), 0.0, x, unroll=unroll)[0]

    text = dlc.compile(lambda x: f(x, 3)).lower(x).as_text("kernels")
    assert "loop 2 times" in text or "loop d0 times" in text
    assert "loop 7 times" not in text
    assert dlc.scan(lambda c, _: (c + 1, c), 0, length=5, unroll=2)[1].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(dlc.DlcError, match="pair"):
        dlc.scan(lambda c, row: c, 0.0, x[:, 0], unroll=2)
    with pytest.raises(dlc.DlcError, match="carry"):
        dlc.scan(lambda c, row: ((c, c), None), 0.0, x[:, 0], unroll=2)


def test_scan_of_nothing():
    for way in both(lambda x: dlc.scan(lambda c, row: (c + row, row), 1.0, x)):
        last, ys = way(np.zeros(0, np.float32))
        assert (last.item(), ys.shape) == (1.0, (0,))


def test_one_program_serves_many_lengths():
    f = dlc.compile(lambda x: dlc.scan(lambda c, row: (c + row, c), 0.0, x))
    for n in (3, 5, 8, 1, 13):
        total, before = f(np.arange(n, dtype=np.float32))
        assert total.item() == n * (n - 1) / 2
        assert before.shape == (n,)
    assert f.stats.compilations == 2


def test_loops_inside_loops():
    def f(x):
        def outer(c, row):
            def inner(k, held):
                count, total = held
                return dlc.cond(
                    total > 20,
                    lambda: (count, total),
                    lambda: (count + 1, total + row[0] * k + dlc.sum(x)),
                )

            count, total = dlc.fori_loop(0, 4, inner, (0, c))
            left = dlc.while_loop(lambda t: t > 5, lambda t: t / 2, total)
            return left, (count, total)

        return dlc.scan(outer, 1.0, x)

    x = np.array([[1.0], [2.0], [0.25]], np.float32)
    c, counts, totals = 1.0, [], []
    for (row,) in x:
        count, total = 0, c
        for k in range(4):
            if total <= 20:
                count, total = count + 1, total + row * k + x.sum()
        counts.append(count)
        totals.append(total)
        c = total
        while c > 5:
            c /= 2
    for way in both(f):
        left, (found, sums) = way(x)
        assert (left.item(), found.tolist(), sums.tolist()) == (c, counts, totals)


def test_carries_may_change_places():
    def f(a, b, n):
        def step(c):
            k, x, y, kept = c
            return k + 1, y, x, kept

        return dlc.while_loop(lambda c: c[0] < n, step, (0, a, b, a))[1:]

    for n in range(4):
        want = (1, 2) if n % 2 == 0 else (2, 1)
        for way in both(f):
            assert tuple(t.item() for t in way(np.int64(1), np.int64(2), np.int64(n))) == (*want, 1)


def test_map_and_python_numbers():
    np.testing.assert_array_equal(dlc.map(lambda x: x * x, np.arange(4)).numpy(), [0, 1, 4, 9])
    assert dlc.cond(True, lambda: 1, lambda: 2.5).dtype is dlc.float32
    assert (
        dlc.cond(False, lambda: dlc.ones((), dtype=dlc.float16), lambda: 2.5).dtype is dlc.float16
    )
    assert dlc.while_loop(lambda x: x < 3, lambda x: x + 0.5, 0).item() == 3.0
    assert dlc.scan(lambda c, _: (c + 1, None), 0, length=4) == (dlc.asarray(4), None)
    assert dlc.map(lambda x: (x, 1), np.arange(2))[1].tolist() == [1, 1]


def test_variables_inside():
    v, w = dlc.Variable([1.0, 2.0]), dlc.Variable(3)

    def f(n):
        def step(k, c):
            v.assign_add([1.0, 0.5])
            return dlc.cond(k > 1, lambda: c + v * w, lambda: c)

        return dlc.fori_loop(0, n, step, dlc.zeros(2))

    def g(x):
        def left():
            w.assign(x)
            return v + 1

        return dlc.cond(x > 4, left, lambda: v - 1)

    for way in both(f):
        v.assign([1.0, 2.0])
        assert way(np.int64(4)).tolist() == [27.0, 22.5]
        assert v.tolist() == [5.0, 4.0]
    for way in both(g):
        w.assign(3)
        assert way(np.int64(2)).tolist() == [4.0, 3.0]
        assert w.item() == 3
        assert way(np.int64(7)).tolist() == [6.0, 5.0]
        assert w.item() == 7


def test_random_keys_inside():
    def f(key):
        def step(k, _):
            k, use = dlc.random.split(k)
            return k, dlc.random.uniform(use, (2,))

        return dlc.scan(step, key, length=3)[1]

    key, want = dlc.random.key(5), []
    for _ in range(3):
        key, use = dlc.random.split(key)
        want.append(dlc.random.uniform(use, (2,)).tolist())
    for way in both(f):
        assert way(dlc.random.key(5)).tolist() == want


def test_a_million_steps_are_native():
    f = dlc.compile(lambda n: dlc.fori_loop(0, n, lambda i, c: (c * 5 + i) % 1_000_003, 1))
    c = 1
    for i in range(200_000):
        c = (c * 5 + i) % 1_000_003
    assert f(np.int64(200_000)).item() == c
    assert f.stats.interpreted_ops == 0


def test_threads_share_the_work_of_bodies():
    def f(x, w):
        def step(c, _):
            return dlc.tanh(c @ w), dlc.sum(c, axis=0)

        return dlc.scan(step, x, length=5)

    rng = np.random.default_rng(1)
    x = rng.standard_normal((256, 64)).astype(np.float32)
    w = rng.standard_normal((64, 64)).astype(np.float32) / 8
    first = dlc.compile(f, num_threads=1)(x, w)
    for n in (2, 3):
        for a, b in zip(first, dlc.compile(f, num_threads=n)(x, w), strict=True):
            assert same_bits(a.numpy(), b.numpy())


def test_without_compiling():
    with dlc.config.scope(disable_jit=True):
        f = dlc.compile(lambda n: dlc.while_loop(lambda c: c < n, lambda c: c * 3, 1))
        assert f(np.int64(50)).item() == 81
        assert f.stats.interpreted_ops > 0


# Errors.


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: dlc.while_loop(
                lambda c: c["a"] < 3,
                lambda c: {"a": c["a"].astype(dlc.int32)},
                {"a": dlc.asarray(1.0)},
            ),
            TypeError,
            r"the carry at \['a'\] is f32\[\] before the body and i32\[\] after",
        ),
        (
            lambda: dlc.scan(lambda c, x: (dlc.concat([c, c]), None), dlc.ones(2), dlc.ones(3)),
            ValueError,
            r"scan: the carry is f32\[2\] before the body and f32\[4\] after",
        ),
        (
            lambda: dlc.fori_loop(0, 3, lambda i, c: (c,), 1.0),
            ValueError,
            r"fori_loop: the body returns the carry tuple\(\[0\]: \*\), but it began as \*",
        ),
        (
            lambda: dlc.fori_loop(0, 3, lambda i, c: [c[0] > 1], [1.0]),
            TypeError,
            r"fori_loop: the carry at \[0\] is f32\[\] before the body and bool\[\] after",
        ),
        (lambda: dlc.cond(1.0, lambda: 1, lambda: 2), TypeError, r"f64\[\], but a bool"),
        (
            lambda: dlc.cond(dlc.asarray([True]), lambda: 1, lambda: 2),
            ValueError,
            r"bool\[1\], but a scalar",
        ),
        (lambda: dlc.cond(True, lambda: (1, 2), lambda: 2), ValueError, "structures differ"),
        (
            lambda: dlc.cond(True, lambda: [dlc.ones(2)], lambda: [dlc.ones(3)]),
            ValueError,
            r"true_fun returns f32\[2\] at \[0\], false_fun f32\[3\]",
        ),
        (
            lambda: dlc.switch(0, [lambda: dlc.ones(2), lambda: dlc.ones(2, dtype=dlc.int8)]),
            TypeError,
            r"branch 1 returns i8\[2\], branch 0 f32\[2\]",
        ),
        (lambda: dlc.switch(0.5, [lambda: 1]), TypeError, "an integer is needed"),
        (lambda: dlc.switch(dlc.ones(2, dtype=dlc.int8), [lambda: 1]), ValueError, "a scalar"),
        (lambda: dlc.switch(0, []), TypeError, "without branches"),
        (lambda: dlc.switch(0, [3]), TypeError, "branch 0 of switch is a int"),
        (lambda: dlc.while_loop(lambda c: c, lambda c: c, 1.0), TypeError, "but a bool is needed"),
        (lambda: dlc.scan(lambda c, x: (c, x), 1.0), TypeError, "needs a length"),
        (lambda: dlc.scan(lambda c, x: c, 1.0, dlc.ones(3)), TypeError, "a pair"),
        (lambda: dlc.scan(lambda c, x: (c, x), 1.0, 2.0), ValueError, "no axis"),
        (
            lambda: dlc.scan(lambda c, x: (c, x), 1.0, (dlc.ones(3), dlc.ones(4))),
            ValueError,
            r"xs\[1\] is f32\[4\], but xs\[0\] says 3",
        ),
        (lambda: dlc.scan(lambda c, x: (c, x), 1.0, length=-1), ValueError, "length=-1"),
        (lambda: dlc.scan(lambda c, x: (c, x), 1.0, length=2, unroll=0), ValueError, "unroll=0"),
        (lambda: dlc.fori_loop(0, 2.5, lambda i, c: c, 1), TypeError, "upper of fori_loop"),
        (
            lambda: dlc.cond(True, lambda x: x, lambda x: x, "a"),
            TypeError,
            r"operand \[0\] is a str",
        ),
        (lambda: dlc.cond(True, lambda: "a", lambda: 1), TypeError, "returned a str"),
    ],
)
def test_errors_say_what_is_wrong_and_where(call, kind, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert caught.value.location is not None
    assert caught.value.location.file == __file__


def test_a_condition_may_not_assign():
    v = dlc.Variable(0)

    def condition(c):
        v.assign_add(1)
        return c < 3

    with pytest.raises(TypeError, match="the condition assigns to a variable"):
        dlc.while_loop(condition, lambda c: c + 1, 0)


def test_nan_is_found_inside_a_loop():
    f = dlc.compile(lambda x: dlc.fori_loop(0, 5, lambda i, c: dlc.log(c) - 1, x))
    with dlc.config.scope(debug_nans=True), pytest.raises(FloatingPointError, match="log gave NaN"):
        f(np.float32(2.0))


def test_costs_count_iterations():
    def f(x, n):
        y = dlc.scan(lambda c, r: (c * r, None), x[0], x)[0]
        y = dlc.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] + x[0]), (0, y))[1]
        return dlc.cond(n > 1, lambda: y + y + y, lambda: y)

    lowered = dlc.compile(f, level="O0").lower(dlc.spec(("k", 8)), dlc.spec((), dlc.int64))
    costs = lowered.cost_analysis()
    # 8 a row; 8, 1 and 1 an iteration; 16 and 2 of branches.
    assert costs["operations"] == "8*k+28"
    fixed = dlc.compile(f).lower(dlc.spec((10, 8)), dlc.spec((), dlc.int64)).cost_analysis()
    assert fixed["operations"] == 108
    assert fixed["bytes"] > 10 * 3 * 8 * 4


def test_what_python_raises_ends_a_loop():
    def f(x):
        step = lambda c, a: (c + dlc.sum(dlc.linalg.cholesky(a)), None)  # noqa: E731
        return dlc.scan(step, 0.0, x)[0]

    compiled = dlc.compile(f)
    good = np.stack([np.eye(3, dtype=np.float32) * k for k in (1, 4, 9)])
    bad = good * np.array([1, -1, 1], np.float32)[:, None, None]
    for _ in range(2):
        assert compiled(good).item() == 18.0
        with pytest.raises(dlc.LinAlgError, match="positive definite"):
            compiled(bad)


def test_kernels_of_bodies_are_compiled_for_gpus():
    f = dlc.compile(lambda x: dlc.scan(lambda c, r: (dlc.tanh(c + r), c), x[0], x), device="cuda")
    kernels = f.lower(dlc.spec((5, 4))).as_text("triton")
    assert "tanh" in kernels
