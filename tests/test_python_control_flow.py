"""Python's control flow over tensors: compiled functions do what Python does with numbers."""

import contextlib
import enum
import functools
import math
import threading

import numpy as np
import pytest
from control_programs import Programs, load

import dlc
from dlc.frontend.syntax.convert import converted, why_not


def plain(value):
    """What Python computed, as a compiled function would return it."""
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return np.float32(value) if isinstance(value, float) else np.asarray(value)


def numbers(value):
    return [numbers(v) for v in value] if isinstance(value, (tuple, list)) else value.numpy()


def agree(function, *cases):
    """The function, the function converted, and the function compiled give the same."""
    compiled = dlc.compile(function)
    rewritten = converted(function)
    for case in cases:
        want = function(*case)
        np.testing.assert_equal(rewritten(*case), want)
        got, wanted = numbers(compiled(*case)), plain(want)
        assert np.asarray(got, object).shape == np.asarray(wanted, object).shape
        np.testing.assert_array_equal(np.asarray(got, float), np.asarray(wanted, float))
    assert compiled.stats.interpreted_ops == 0
    return compiled


# Statements.


def branch(x):
    if x > 0:
        y = x + 1
    elif x > -2:
        y = -x
    else:
        y = x * 0.5
    return y * 2


def early_return(x):
    if x > 2:
        return x
    y = x * 2
    if y > 1:
        if y > 3:
            return y + 0.5
        y = y - 4
    return y * 3


def nested_return(x, n):
    for i in range(n):
        while x < 100:
            x = x * 2
            if x % 7 == 1:
                return x, i
        x = x - 99
    return x, n


def loop_else(x, n):
    found = -1
    for i in range(n):
        if i * i > x:
            found = i
            break
    else:
        found = -2
    while n > 3:
        n -= 2
        if n == x:
            break
    else:
        found += 10
    return found, n


def skipping(n):
    total = 0
    for i in range(1, n, 2):
        if i % 3 == 0:
            continue
        for j in range(i):
            if j > 4:
                break
            total += i * j
        total += 1
    return total


def left_early(x):
    table = [1, 2, 3]
    for i in range(50, 0, -3):
        if i * x > 100:
            break
        x = x + i
    for j in range(3):
        if x > table[j] * 50:
            break
        x = x * 2
    return x, i, j


def forever(x):
    while True:
        x = x * 2
        if x > 100:
            return x


def counted(x):
    steps = 0
    while x > 1.0 and not steps > 20:
        x /= 2
        steps += 1
    return x, steps


def collatz(n):
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


def bound_in_a_test(n):
    t = k = 0
    while (m := n - t) > 3:
        t += 1
        k += 1
        if m == 20:
            break
        if t == 2:
            continue
        t += 1
    return t, m, k


def down(n):
    total = 0
    for i in range(n, -1, -2):
        total = total * 3 % 1000 + i
    return total


def in_try(x):
    log = 0
    try:
        for _ in range(5):
            try:
                if x > 10:
                    break
                x = x * 2
            finally:
                log += 1
        else:
            log += 100
        if x > 40:
            return x, log
    finally:
        x = x + 1
    return x, log


CASES = [
    (branch, [(3.0,), (-1.0,), (-5.0,)]),
    (early_return, [(3.0,), (1.75,), (1.0,), (-1.0,)]),
    (nested_return, [(3.0, 4), (1.0, 0), (0.5, 3), (64.0, 2)]),
    (loop_else, [(5, 9), (100, 4), (3, 0), (4, 8)]),
    (skipping, [(0,), (1,), (12,)]),
    (left_early, [(0.5,), (3.0,), (-99.0,)]),
    (forever, [(3.0,), (99.0,)]),
    (counted, [(40.0,), (0.5,), (1e9,)]),
    (collatz, [(27,), (1,), (6,)]),
    (bound_in_a_test, [(8,), (2,), (22,), (23,)]),
    (down, [(9,), (0,), (-3,)]),
    (in_try, [(3.0,), (0.01,), (11.0,)]),
]


@pytest.mark.parametrize(("function", "cases"), CASES, ids=lambda c: getattr(c, "__name__", ""))
def test_statements(function, cases):
    agree(function, *cases)


def test_one_program_serves_all_branches():
    f = agree(branch, (3.0,), (-1.0,), (-5.0,))
    assert f.stats.compilations == 1


# Expressions.


def test_expressions():
    agree(lambda x, y: (x > 0 and y > 0) or not x > 1, (1.0, 2.0), (-1.0, 2.0), (5.0, -1.0))
    agree(lambda x: 1 if 0 < x < 5 else (2 if x in (7, 8) else 3), (1.0,), (7.0,), (8.0,), (9.0,))
    agree(lambda x: 1 if x not in [7, 8] else 0, (1,), (7,))
    agree(lambda n: (n or 7) + (n and 3), (0,), (5,))
    agree(lambda x: 1 if any(v > x for v in (1, 2)) else 0, (1.5,), (3.0,))
    agree(lambda x: 1 if all(v > x for v in (1, 2)) else 0, (1.5,), (0.0,))
    agree(lambda x, y: max(x, y, 2.0) - min(x, y), (1.0, 5.0), (3.0, -3.0))
    agree(lambda x, y: all([x > 0, y > 0]) + 2 * any((x > 1, y > 1)), (0.5, 0.5), (2.0, -1.0))


def test_operands_are_evaluated_once_and_in_order():
    seen = []

    def note(value):
        seen.append(value)
        return value

    f = converted(lambda a, b, c: note(a) < note(b) < note(c))
    assert f(3, 2, 1) is False
    assert f(1, 2, 3) is True
    assert seen == [3, 2, 1, 2, 3]


def test_the_second_operand_runs_only_where_python_would():
    def halvings(n):
        steps = 0
        while n % 2 == 0:  # has no end for 0
            n //= 2
            steps += 1
        return steps

    agree(lambda n: n != 0 and halvings(n) > 1, (8,), (6,), (0,))


# Tensors.


def test_rows():
    def positive(rows):
        total = 0.0
        for row in rows:
            if row.sum() > 0:
                total = total + row.sum()
        return total

    x = np.arange(12, dtype=np.float32).reshape(4, 3) - 5
    want = sum(r.sum() for r in x if r.sum() > 0)
    f = dlc.compile(positive)
    assert f(x).item() == want
    assert f.lower(x).as_text("traced").count("scan(") == 1
    assert f(x[:2]).item() == 0


def test_enumerate_and_zip():
    def weighted(x, y):
        total = 0.0
        for k, (a, b) in enumerate(zip(x, y)):
            if a > b:
                total = total + k * a
        return total

    x, y = np.float32([1, 5, 2]), np.float32([3, 1, 0])
    assert dlc.compile(weighted)(x, y).item() == 1 * 5 + 2 * 2


def test_rows_without_a_fixed_structure_are_rolled_out(caplog):
    def collected(x):
        rows = []
        for row in x:
            if row.sum() > 3:
                rows.append(row * 2)
            else:
                rows.append(row)
        return rows

    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    f = dlc.compile(collected)
    with caplog.at_level("INFO", logger="dlc"), dlc.config.scope(logs="compile"):
        f(x)
    assert "a loop over 3 items is rolled out" in caplog.text
    for n in (3, 2, 1):
        assert [g.tolist() for g in f(x[:n])] == [[0, 1], [4, 6], [8, 10]][:n]


def test_comprehensions_over_tensors():
    f = dlc.compile(lambda x: dlc.stack([r * 2 if r.sum() > 1 else r for r in x]))
    assert f(np.float32([[0, 1], [2, 3]])).tolist() == [[0, 1], [4, 6]]


def test_loop_of_a_symbolic_extent():
    def total(x):
        s = 0.0
        for v in x:
            s = s + v * v
        return s

    f = dlc.compile(total)
    for n in (3, 4, 5, 7):
        assert f(np.arange(n, dtype=np.float32)).item() == sum(k * k for k in range(n))
    assert f.stats.compilations == 2


def test_items_and_attributes():
    class Model:
        def __init__(self):
            self.seen = {"n": 0, "sums": [0.0, 0.0]}
            self.last = None

    def f(x):
        model = Model()
        y = dlc.zeros((3,))
        if x > 0:
            model.seen["n"] += 1
            model.seen["sums"][1] = x
            model.last = x
            y[1] = x
        else:
            model.last = -x
        while y.sum() < 8:
            y[2] = y[2] + 1.5
            model.seen["n"] += 2
        return model.seen, model.last, y

    seen, last, y = dlc.compile(f)(2.0)
    assert (seen["n"].item(), [v.item() for v in seen["sums"]]) == (9, [0, 2])
    assert (last.item(), y.tolist()) == (2, [0, 2, 6])
    seen, last, y = dlc.compile(f)(-2.0)
    assert (seen["n"].item(), last.item(), y.tolist()) == (12, 2, [0, 0, 9])


def test_variables_are_written_in_branches_and_loops():
    v = dlc.Variable(np.float32(1))

    @dlc.compile
    def f(x):
        if x > 0:
            v.assign_add(x)
        while v < 10:
            v.assign(v * 2)
        return v + 0

    assert f(4.0).item() == 10
    assert v.item() == 10
    assert f(-1.0).item() == 10


def test_gradients():
    def f(x):
        y = x
        if x.sum() > 0:
            y = y * 2
        for row in y:
            if row > 1:
                y = y * row
        return (y * y).sum()

    x = np.float32([0.25, 0.75])

    def by_hand(x):
        y = 2 * x
        return ((y * y[1]) ** 2).sum()

    want = dlc.grad(by_hand)(x).numpy()
    np.testing.assert_allclose(dlc.compile(dlc.grad(f))(x).numpy(), want, rtol=1e-6)
    np.testing.assert_allclose(dlc.grad(dlc.compile(f))(x).numpy(), want, rtol=1e-6)
    np.testing.assert_allclose(dlc.grad(f)(x).numpy(), want, rtol=1e-6)


@pytest.mark.parametrize("seed", range(2000, 2005))
def test_gradients_of_random_programs(seed):
    f = load(Programs(seed, depth=2).source(), f"program {seed}")
    gradient = dlc.compile(dlc.grad(lambda x, a, b: f(a, b, x)[2]))
    for a, b, value in [(3, 4, 1.5), (0, 7, -2.0), (11, 2, 0.25)]:
        x = dlc.Variable(value, requires_grad=True)
        loss = f(a, b, x)[2] + 0 * x  # eagerly: Python itself decides
        loss.backward()
        np.testing.assert_allclose(gradient(value, a, b).item(), x.grad.item(), rtol=1e-6)


def test_transforms_convert_the_functions_they_are_given():
    def clipped(x):
        if x > 2:
            return x - 2
        return x * 0

    many = dlc.vmap(clipped)
    assert many(np.float32([1, 3])).tolist() == [0, 1]
    assert dlc.compile(many)(np.float32([1, 3])).tolist() == [0, 1]
    assert dlc.compile(dlc.grad(dlc.checkpoint(clipped)))(3.0).item() == 1

    def escape(c):
        n, z = 0, c * 0
        while z * z < 4 and n < 20:
            z = z * z + c
            n += 1
        return n

    points = np.float32([0.1, 0.3, 1, 2, -3])
    assert dlc.vmap(escape)(points).tolist() == [escape(p) for p in points]

    class Steep(dlc.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.x = x
            return x if x > 0 else x * 0.1

        @staticmethod
        def backward(ctx, g):
            return g * 5 if ctx.x > 0 else g

    assert [dlc.grad(Steep.apply)(v).item() for v in (2.0, -2.0)] == [5, 1]


def test_names_of_variables():
    v = dlc.Variable(3.0)

    @dlc.compile
    def f(x):
        w = u = v
        if x > 0:
            w = w * 2
        while u < x:
            u = u * 2
        v.assign(v + 1)
        return w, u, v + 0

    assert [t.item() for t in f(20.0)] == [6, 24, 4]
    assert [t.item() for t in f(-1.0)] == [4, 4, 5]


def test_backward_needs_the_computation_in_the_same_branch():
    w = dlc.Variable(3.0, requires_grad=True)

    def apart(x):
        loss = w * x
        if x > 0:
            loss.backward()
        return loss

    def together(x):
        w.grad = None
        g = 0.0
        if x > 0:
            g = dlc.grad(lambda w: w * w * x)(w + 0)
        return g

    fails(apart, dlc.DerivativeError, "outside of it", "in there too")
    assert dlc.compile(together)(2.0).item() == 12


# Functions of all kinds.


def helper(x, n):
    if n == 0:
        return x
    if x > 100:
        return x * 2
    return helper(x * n, n - 1)


def through(f):
    @functools.wraps(f)
    def wrapper(*args):
        return f(*args) + 1 if args[0] > 0 else f(*args)

    return wrapper


@through
def decorated(x):
    return x * 2 if x > 1 else x


def through_control(x):
    return dlc.cond(x > 0, lambda: x if x > 1 else x * 2, lambda: -x)


def test_calls_at_any_depth():
    agree(lambda x: helper(x, 5), (1.0,), (30.0,))
    agree(decorated, (2.0,), (0.5,), (-1.0,))
    f = dlc.compile(through_control)
    assert [f(v).item() for v in (2.0, 0.5, -1.0)] == [2, 1, 1]
    double = functools.partial(helper, n=1)
    agree(lambda x: double(x), (1.0,), (300.0,))
    agree(lambda x: dlc.tree.map(lambda v: v if v > 0 else -v, [x, x * 2]), (1.0,), (-3.0,))
    agree(lambda x: sum(map(lambda v: v if v > 0 else -v, [x, -x, 2 * x])), (1.0,), (-3.0,))


class Base:
    limit = 3

    def __init__(self, scale):
        self.__scale = scale if scale > 0 else -scale

    def scaled(self, x):
        if x > self.limit:
            return x * self.__scale
        return x

    @classmethod
    def limited(cls, x):
        return x if x < cls.limit else cls.limit * 1.0

    @staticmethod
    def sign(x):
        return 1 if x > 0 else -1

    def copied(self, x):
        other = Base(2.0) if isinstance(self, Base) else None
        return other.scaled(x) + Base.sign(x)


class Derived(Base):
    def scaled(self, x):
        y = super().scaled(x) if x > 0 else -x
        return y + 1

    def __call__(self, x):
        if x > 0:
            return self.scaled(x) + self.limited(x)
        return self.sign(x) * x


def test_methods_and_objects():
    d = Derived(2.0)
    agree(lambda x: d(x), (5.0,), (1.0,), (-2.0,))
    agree(lambda x: Base(x).scaled(x + 2), (5.0,), (-2.0,))
    agree(lambda x: d.copied(x * 2) if x > 1 else d.sign(x), (5.0,), (-2.0,))
    f = dlc.compile(d)
    assert [f(v).item() for v in (5.0, 1.0, -2.0)] == [d(v) for v in (5.0, 1.0, -2.0)]


def test_private_names():
    class Counter:
        def __init__(self):
            self.__count = 0

        def step(self, x):
            __half = x
            if x > 0:
                __half = x / 2
                self.__count += 1
            return __half, self.__count

    def f(x):
        counter = Counter()
        counter.step(x)
        return counter.step(x - 2)

    agree(f, (3.0,), (1.0,), (-1.0,))


def test_modules():
    class Gate(dlc.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = dlc.nn.Parameter(2.0)

        def forward(self, x):
            if x.sum() > 0:
                return x * self.scale
            return x

    class Twice(dlc.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [Gate(), Gate()]

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
                if x.sum() > 3:
                    break
            return x

    f = dlc.compile(Twice())
    for x, want in [(1.0, 4), (2.0, 4), (-1.0, -1)]:
        assert f(np.float32([x])).tolist() == [want]


def test_closures_share_their_cells():
    total = 0

    def add(x):
        nonlocal total
        total = total + x if x > 0 else total
        return total

    def f(x):
        nonlocal total
        total = 1
        add(x)
        return add(x * 2)

    agree(f, (2.0,), (-3.0,))


LEVEL = 1


def uses_a_global(x):
    global LEVEL
    LEVEL = 1
    if x > 0:
        LEVEL = x * 2
    y = LEVEL + 1
    LEVEL = 1
    return y


def test_globals():
    agree(uses_a_global, (2.0,), (-3.0,))
    assert LEVEL == 1


def test_the_original_is_untouched():
    code = branch.__code__
    f = converted(branch)
    assert f is not branch
    assert branch.__code__ is code
    assert (f.__name__, f.__qualname__, f.__module__) == ("branch", "branch", __name__)
    assert f.__code__.co_filename == __file__
    assert converted(f) is f


def test_defaults_and_keywords():
    def f(x, *rest, scale=2, **more):
        return [x * scale if x > 0 else more["y"], *rest]

    g = converted(f)
    assert g(1, 5, y=3) == f(1, 5, y=3) == [2, 5]
    assert [v.item() for v in dlc.compile(f)(-1.0, 5.0, y=3.0)] == [3, 5]


def test_threads_convert_once():
    def f(x):
        return x * 2 if x > 0 else x

    found = []

    def run():
        found.append(converted(f).__code__)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len({id(c) for c in found}) == 1


def test_what_is_left_alone():
    def generator(x):
        if x > 0:
            yield x

    for function, reason in [
        (generator, "generator"),
        (math.sqrt, None),
        (functools.wraps, "standard library"),
        (np.testing.assert_equal, "installed package"),
        (dlc.relu, "dlc's own"),
        (lambda x: x + 1, "neither branches nor calls"),
    ]:
        if reason is not None:
            assert converted(function) is function
            assert reason in why_not(function.__code__)


def test_a_function_is_traced_twice_only_once():
    traces = []

    class Model(dlc.nn.Module):
        def forward(self, x):
            traces.append(x)
            return x if x.sum() > 0 else -x

    def f(x):
        traces.append(x)
        return x if x.sum() > 0 else -x

    for function in (f, Model()):
        traces.clear()
        compiled = dlc.compile(function)
        compiled(np.ones(3, np.float32))
        assert len(traces) == 2
        compiled(np.ones((2, 3), np.float32))
        assert len(traces) == 3


def test_functions_that_need_nothing_are_not_rewritten():
    def untouched(x, deep=True):
        return dlc.relu(x) if deep else x

    dlc.compile(untouched)(np.ones(3, np.float32))
    assert why_not(untouched.__code__) is None
    assert all("untouched" not in c.co_qualname for c in _codes())


def _codes():
    from dlc.frontend.syntax import convert

    return convert._codes


# Random programs.


@pytest.mark.parametrize("seed", range(80))
def test_random_programs_in_python(seed):
    f = load(Programs(seed, depth=4).source(), f"program {seed}")
    g = converted(f)
    for case in [(3, 4, 1.5), (0, 7, -2.0), (11, 2, 0.25)]:
        assert g(*case) == f(*case)


@pytest.mark.parametrize("seed", range(3000, 3040))
def test_programs_that_only_python_can_run(seed):
    source = Programs(seed, depth=4, wide=True).source()
    f = load(source, f"program {seed}", suppress=contextlib.suppress)
    g = converted(f)
    for case in [(3, 4, 1.5), (0, 7, -2.0), (11, 2, 0.25)]:
        assert outcome(g, case) == outcome(f, case)


def outcome(function, arguments):
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - whichever it is
        return type(error), str(error)


@pytest.mark.parametrize("seed", range(1000, 1008))
def test_random_programs_compiled(seed):
    f = load(Programs(seed, depth=2).source(), f"program {seed}")
    agree(f, (3, 4, 1.5), (0, 7, -2.0), (11, 2, 0.25), (5, 5, 9.0))


# Errors.


def fails(function, kind, *words, args=(1.0,)):
    with pytest.raises(kind) as error:
        dlc.compile(function)(*args)
    text = str(error.value)
    assert all(w in text for w in words), text
    location = error.value.location
    assert location.file == __file__
    return error.value


def line_of(function, offset):
    return function.__code__.co_firstlineno + offset


def test_unset_variables():
    def one_branch(x):
        if x > 0:
            y = x
        return y

    error = fails(one_branch, dlc.UnsetVariableError, "'y'", "only where the condition is true")
    assert error.location.line == line_of(one_branch, 3)

    def in_loop(x):
        while x < 3:
            z = x
            x = x + 1
        return z

    fails(in_loop, UnboundLocalError, "'z'", "no iteration")

    def unread(x):
        if x > 0:
            y = x
        return x

    assert dlc.compile(unread)(1.0).item() == 1


def test_kinds_that_differ():
    def names(x):
        if x > 0:
            mode = "up"
        else:
            mode = "down"
        return x if mode == "up" else -x

    error = fails(names, dlc.ControlFlowError, "'mode'", "'up'", "'down'")
    assert error.location.line == line_of(names, 1)

    def returns(x):
        if x > 0:
            return x
        return None

    fails(returns, dlc.ControlFlowError, "what the function returns", "None")

    def falls_off(x):
        if x > 0:
            return x

    fails(falls_off, dlc.ControlFlowError, "what the function returns", "None")

    def shapes(x):
        if x.sum() > 0:
            x = x[:2]
        return x

    fails(shapes, dlc.ShapeError, "'x'", "f32[2]", "f32[3]", args=(np.ones(3, np.float32),))

    def types(x):
        y = x
        while y.sum() < 10:
            y = y.astype(dlc.float64) * 2
        return y

    fails(types, dlc.DTypeError, "'y'", "f32[3]", "f64[3]", args=(np.ones(3, np.float32),))

    def grows(x):
        items = []
        while x < 3:
            items.append(x)
            x = x + 1
        return items

    fails(grows, dlc.ControlFlowError, "'items'", "full size")

    def begins(x):
        best = None
        while x < 3:
            best = x
            x = x + 1
        return best

    fails(begins, dlc.ControlFlowError, "'best' is None before the loop", "before the loop")

    def marks(x):
        seen = {1}
        if x > 0:
            seen.add(2)
        return x * len(seen)

    fails(marks, dlc.ControlFlowError, "'seen'", "{1, 2}", "{1}")


def test_what_is_not_converted_says_why():
    def comprehension(x):
        return [v for v in (1, 2) if x > v]

    fails(comprehension, dlc.TracedValueError, "a comprehension", "dlc.where")

    def matches(x):
        match [x, 1]:
            case [0, _]:
                return x
            case _:
                return -x

    fails(matches, dlc.TracedValueError, "`match`")

    def generator(x):
        def items():
            if x > 0:
                yield x

        return list(items())

    fails(generator, dlc.TracedValueError, "is a generator")

    @dlc.do_not_convert
    def marked(x):
        return x if x > 0 else -x

    fails(marked, dlc.TracedValueError, "do_not_convert")

    class Celsius:
        def __init__(self, value):
            self.value = value

        @property
        def clipped(self):
            return self.value if self.value > 0 else 0.0

    fails(lambda x: Celsius(x).clipped, dlc.TracedValueError, "called by Python", "a property")

    def recursion(n):
        return 1 if n <= 1 else n * recursion(n - 1)

    fails(recursion, dlc.ControlFlowError, "recursion", "loop", args=(3,))

    def raises(x):
        if x < 0:
            raise ValueError("negative")
        return x

    fails(raises, dlc.TracedValueError, "raise")

    def asserts(x):
        assert x > 0
        return x

    fails(asserts, dlc.TracedValueError, "assert")

    def looks(x):
        y = x if x > 0 else -x
        return locals()["y"]

    fails(looks, dlc.TracedValueError, "uses locals()")

    def listed(n):
        return list(range(n))

    fails(listed, dlc.TracedValueError, "`for` statement", args=(3,))

    def many(x):
        return x or -x

    fails(many, dlc.ShapeError, ".any()", args=(np.ones(3, np.float32),))


def test_errors_of_the_function_have_its_lines():
    def f(x, n):
        if x > 0:
            y = x
        for _ in range(n):
            raise KeyError("here")
        return x

    with pytest.raises(KeyError) as error:
        dlc.compile(f, static_argnames="n")(1.0, 2)
    frames = [t for t in error.traceback if str(t.path) == __file__]
    assert [t.lineno + 1 for t in frames[-2:]] == [line_of(f, 3), line_of(f, 4)]
    assert frames[-1].name == "f"


def test_without_source():
    names = {}
    exec("def f(x):\n    return x if x > 0 else -x\n", names)
    with pytest.raises(dlc.TracedValueError, match="source of f cannot be read"):
        dlc.compile(names["f"])(1.0)


def test_do_not_convert_takes_functions():
    with pytest.raises(dlc.ArgumentError):
        dlc.do_not_convert(3)


def test_places_of_operations():
    def f(x):
        if x > 0:
            y = dlc.exp(x)
        else:
            y = (
                dlc.sin(x)
                if x < -1 else dlc.cos(x)
            )  # fmt: skip
        return y

    text = dlc.compile(f).lower(1.0).as_text("traced")
    for op, offset in (("exp", 2), ("sin", 5), ("cos", 6), ("gt", 1)):
        line = next(t for t in text.splitlines() if f" {op}(" in t)
        assert f':{line_of(f, offset)} in "f"' in line, line


def grade(n, scale):
    match n:
        case 0 | 1:
            word = 10.0
        case 2 if scale > 1:
            word = 20.0
        case k if k > 7:
            word = 30.0 * scale
            scale = k + scale
        case (3 | 4) as held:
            return held * 1.0
        case -1:
            word = -1.0
        case None:
            word = 5.0
        case _:
            word = 0.5
    return word + scale


def returning(x, n):
    if n == 0:
        word, more = x * 2, 1
    elif n == 1:
        return x - 1
    elif n == 2:
        word, more = x, n * 2
    else:
        if x > 5:
            return -x
        word, more = x + 7, 3
    return word * more


def test_variables_of_branches_that_do_not_return():
    agree(returning, *((x, n) for x in (1.5, 6.0) for n in range(4)))


def collatz_step(n):
    for _ in range(3):
        match n % 2:
            case 0:
                n = n // 2
                continue
            case _:
                if n > 30:
                    break
                n = 3 * n + 1
    return n


def test_match_of_values():
    compiled = agree(grade, *((n, s) for n in (0, 1, 2, 3, 4, 5, 8, 9, -1) for s in (0.5, 2.0)))
    assert compiled.stats.compilations == 1
    agree(collatz_step, *((n,) for n in (1, 6, 7, 27, 40, 64)))


class Side(enum.Enum):
    LEFT = 1
    RIGHT = 2


def test_match_of_what_is_known():
    """What Python decides, it decides as ever: patterns of values, and others."""

    @dlc.compile(static_argnames=("side", "shape"))
    def f(x, side, shape):
        y = dlc.zeros(()) if x > 100 else x  # so that the function is converted
        match side:
            case Side.LEFT:
                y = y + 1
            case Side.RIGHT | None:
                y = y - 1
        match shape:
            case {"kind": "row", "size": n}:
                return y * n
            case [a, *_]:
                return y * a
            case str() as text:
                return y * len(text)
        return y

    assert f(1.0, side=Side.LEFT, shape=(3, 4)).item() == 6.0
    assert f(1.0, side=None, shape="abcd").item() == 0.0
    assert f(3.0, side=Side.RIGHT, shape=7).item() == 2.0


def test_gradients_through_match():
    def f(x, n):
        match n:
            case 0:
                return x * x
            case 1:
                return x * x * x
        return x

    slope = dlc.compile(dlc.grad(f))
    assert [slope(2.0, n).item() for n in (0, 1, 5)] == [4.0, 12.0, 1.0]
