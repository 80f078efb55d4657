"""custom_vjp, custom_jvp, autograd.Function: values, derivatives of any order, nesting, errors."""

import numpy as np
import pytest

import dlc
from dlc.ir.equal import same_structure
from dlc.ir.parser import parse_function
from dlc.ir.printer import print_function
from dlc.ir.verifier import verify

X = np.array([0.3, -1.2, 2.0])
Y = np.array([2.0, 0.5, -1.0])


@dlc.custom_vjp
def product(x, y):
    """sin(x) * y, whose derivative by x is said to be twice what it is."""
    return dlc.sin(x) * y


product.defvjp(
    lambda x, y: (product(x, y), {"c": dlc.cos(x), "s": dlc.sin(x), "y": y}),
    lambda kept, ct: (2 * ct * kept["c"] * kept["y"], ct * kept["s"]),
)


def both(f):
    return f, dlc.compile(f)


def loss(x, y):
    return product(x, y).sum()


def test_reverse_mode_uses_the_rule():
    np.testing.assert_allclose(product(X, Y).numpy(), np.sin(X) * Y)
    for g in (*both(dlc.grad(loss, argnums=(0, 1))), dlc.grad(dlc.compile(loss), argnums=(0, 1))):
        by_x, by_y = g(X, Y)
        np.testing.assert_allclose(by_x.numpy(), 2 * np.cos(X) * Y, rtol=1e-12)
        np.testing.assert_allclose(by_y.numpy(), np.sin(X), rtol=1e-12)


def test_forward_mode_transposes_the_rule():
    for way in both(lambda x, y: dlc.jvp(product, (x, y), (np.ones(3), Y))[1]):
        expected = 2 * np.cos(X) * Y + np.sin(X) * Y
        np.testing.assert_allclose(way(X, Y).numpy(), expected, rtol=1e-12)


def test_second_derivatives_are_those_of_the_rule():
    second = -2 * np.sin(X) * Y
    for h in (*both(dlc.hessian(loss)), dlc.jacrev(dlc.grad(loss)), dlc.jacfwd(dlc.jacfwd(loss))):
        np.testing.assert_allclose(np.diag(h(X, Y).numpy()), second, rtol=1e-12)


def test_batches():
    rows = np.stack([X, 2 * X])
    for f in both(dlc.vmap(product, in_axes=(0, None))):
        np.testing.assert_allclose(f(rows, Y).numpy(), np.sin(rows) * Y, rtol=1e-12)
    for g in both(dlc.vmap(dlc.grad(loss, argnums=(0, 1)), in_axes=(0, None))):
        by_x, by_y = g(rows, Y)
        np.testing.assert_allclose(by_x.numpy(), 2 * np.cos(rows) * Y, rtol=1e-12)
        np.testing.assert_allclose(by_y.numpy(), np.sin(rows), rtol=1e-12)

    def total(y):
        return dlc.vmap(product, in_axes=(0, None))(rows, y).sum()

    # What the elements share gets the sum of their cotangents.
    for g in both(dlc.grad(total)):
        np.testing.assert_allclose(g(Y).numpy(), np.sin(rows).sum(0), rtol=1e-12)


def test_tapes_and_backward():
    v = dlc.Variable(X, requires_grad=True)
    product(v, Y).sum().backward()
    np.testing.assert_allclose(v.grad.numpy(), 2 * np.cos(X) * Y, rtol=1e-12)
    with dlc.GradientTape() as tape:
        value = dlc.compile(loss)(v, Y)
    np.testing.assert_allclose(tape.gradient(value, v).numpy(), 2 * np.cos(X) * Y, rtol=1e-12)
    w = dlc.Variable(X, requires_grad=True)

    @dlc.compile
    def step(n):
        (product(w, Y).sum() * n).backward()
        w.assign_sub(0.5 * w.grad)
        w.grad = None

    step(1.0)
    np.testing.assert_allclose(w.numpy(), X - np.cos(X) * Y, rtol=1e-12)


def test_symbolic_extents():
    f = dlc.compile(dlc.grad(loss))
    for n in (3, 5, 8):
        x, y = np.linspace(-1, 1, n), np.linspace(1, 2, n)
        np.testing.assert_allclose(f(x, y).numpy(), 2 * np.cos(x) * y, rtol=1e-12)
    with dlc.GradientTape() as tape:
        x = dlc.asarray(np.linspace(-1, 1, 9))
        tape.watch(x)
        value = dlc.compile(loss)(x, np.ones(9))
    np.testing.assert_allclose(tape.gradient(value, x).numpy(), 2 * np.cos(x.numpy()), rtol=1e-12)


def test_trees_integers_and_names():
    @dlc.custom_vjp
    def f(p, n, *, scale=3.0):
        return {"y": p["w"] * n, "n": n + 1}

    f.defvjp(lambda *a: None, lambda *a: None)
    with pytest.raises(dlc.ArgumentError, match="scale"):
        f({"w": X}, 2, scale=1.0)

    @dlc.custom_vjp
    def g(p, n, scale=3.0):
        return {"y": p["w"] * n * scale, "n": n + 1}

    def backward(kept, ct):
        assert ct["n"].dtype is dlc.int64
        return {"w": ct["y"] * 10, "b": None or ct["y"].sum()}, None, None

    g.defvjp(lambda p, n, scale: (g(p, n, scale), ()), backward)

    def total(p):
        made = g(p, n=dlc.asarray(2), scale=1.0)
        return made["y"].sum() * made["n"]

    for h in both(dlc.grad(total)):
        found = h({"w": X, "b": np.float64(0.0)})
        assert found["w"].tolist() == [30, 30, 30]
        assert found["b"].item() == 9


def test_arguments_that_are_no_data():
    calls = []

    def apply(f, x):
        return f(x)

    custom = dlc.custom_vjp(apply, nondiff_argnums=0)

    def backward(f, x, ct):
        calls.append(f)
        return (dlc.vjp(f, x)[1](ct)[0] * 3,)

    custom.defvjp(lambda f, x: (f(x), x), backward)
    g = dlc.grad(lambda x: custom(dlc.sin, x).sum())(X)
    np.testing.assert_allclose(g.numpy(), 3 * np.cos(X), rtol=1e-12)
    assert calls[0] is dlc.sin


def test_values_from_outside():
    w, v = dlc.asarray(Y), dlc.Variable(np.float64(2.0))

    @dlc.custom_vjp
    def f(x):
        return x * w * v

    f.defvjp(lambda x: (f(x), None), lambda kept, ct: (ct * w * v * 5,))
    for g in both(dlc.grad(lambda x: f(x).sum())):
        np.testing.assert_allclose(g(X).numpy(), 10 * Y)
    v.assign(3.0)
    np.testing.assert_allclose(dlc.grad(lambda x: f(x).sum())(X).numpy(), 15 * Y)

    def inner(y):
        @dlc.custom_vjp
        def closing(x):
            return x * y

        closing.defvjp(lambda x: (x * y, None), lambda kept, ct: (ct * y,))
        return closing(dlc.asarray(X)).sum()

    assert inner(dlc.asarray(Y)).item() == pytest.approx((X * Y).sum())
    for way in (lambda: dlc.grad(inner)(Y), lambda: dlc.jvp(inner, (Y,), (Y,))):
        with pytest.raises(dlc.DerivativeError, match="reads a value from outside"):
            way()


def test_clipped_gradients():
    """The rule is used as it is, linear or not."""

    @dlc.custom_vjp
    def clipped(x):
        return x

    clipped.defvjp(lambda x: (x, None), lambda kept, ct: (dlc.clip(ct, -1.0, 1.0),))
    g = dlc.grad(lambda x: (clipped(x) * np.array([3.0, -0.5, -7.0])).sum())
    for way in both(g):
        assert way(X).tolist() == [1, -0.5, -1]


def test_jvp_rules():
    @dlc.custom_jvp
    def root(x, n):
        return dlc.sqrt(x) * n

    @root.defjvp
    def rule(primals, tangents):
        x, n = primals
        return root(x, n), tangents[0] / (2 * root(x, 1)) * n + tangents[1] * 0 + 0 * tangents[0]

    x = np.array([1.0, 4.0, 9.0])
    first, second = 0.5 / np.sqrt(x), -0.25 * x**-1.5
    f = lambda x: root(x, 1.0)  # noqa: E731
    for g in (*both(dlc.vmap(dlc.grad(f))), dlc.grad(lambda x: f(x).sum()),
              lambda x: dlc.jvp(f, (x,), (np.ones(3),))[1]):  # fmt: skip
        np.testing.assert_allclose(g(x).numpy(), first, rtol=1e-12)
    for g in (dlc.vmap(dlc.grad(dlc.grad(f))), dlc.compile(dlc.vmap(dlc.jacfwd(dlc.grad(f))))):
        np.testing.assert_allclose(g(x).numpy(), second, rtol=1e-12)
    np.testing.assert_allclose(dlc.vmap(f)(x).numpy(), np.sqrt(x))
    third = dlc.grad(dlc.grad(dlc.grad(f)))(4.0).item()
    assert third == pytest.approx(3 / 8 * 4**-2.5)
    fifth = f
    for _ in range(5):
        fifth = dlc.grad(fifth)
    with pytest.raises(dlc.DerivativeError, match="derivative 5 of it"):
        fifth(4.0)


class Cube(dlc.autograd.Function):
    @staticmethod
    def forward(ctx, x, n):
        ctx.save_for_backward(x, None)
        ctx.n = n
        ctx.twice = 2 * x
        return n * x**3, x

    @staticmethod
    def backward(ctx, ct, other):
        x, nothing = ctx.saved_tensors
        assert nothing is None
        assert ctx.needs_input_grad == (True, False)
        return 3 * ctx.n * x * ctx.twice / 2 * ct + other, None


def test_classes():
    def f(x):
        cube, same = Cube.apply(x, 2)
        return cube.sum() + same.sum()

    assert Cube.apply(np.float64(2.0), 2)[0].item() == 16
    for g in (*both(dlc.grad(f)), dlc.grad(dlc.compile(f))):
        np.testing.assert_allclose(g(X).numpy(), 6 * X**2 + 1, rtol=1e-12)
    for h in both(dlc.hessian(f)):
        np.testing.assert_allclose(np.diag(h(X).numpy()), 12 * X, rtol=1e-12)
    each = dlc.vmap(dlc.grad(f))(X)
    np.testing.assert_allclose(each.numpy(), 6 * X**2 + 1, rtol=1e-12)
    v = dlc.Variable(X, requires_grad=True)
    f(v).backward()
    np.testing.assert_allclose(v.grad.numpy(), 6 * X**2 + 1, rtol=1e-12)
    _, slope = dlc.jvp(f, (X,), (Y,))
    assert slope.item() == pytest.approx(((6 * X**2 + 1) * Y).sum())


def broken_function(returned):
    class Broken(dlc.autograd.Function):
        @staticmethod
        def forward(ctx, x, n):
            return x

        @staticmethod
        def backward(ctx, ct):
            return returned(ct)

    return Broken


def test_errors_of_classes():
    for returned, kind, message in (
        (lambda ct: ct, dlc.ShapeError, "returned 1 cotangents for 2 arguments"),
        (lambda ct: (ct[:1], None), dlc.ShapeError, "cotangent 0 of Broken.backward"),
        (lambda ct: (ct, ct), dlc.ArgumentError, "cotangent of argument 1"),
    ):
        with pytest.raises(kind, match=message):
            broken_function(returned).apply(X, 3)
    with pytest.raises(NotImplementedError, match="static method forward"):
        dlc.autograd.Function.apply(X)


def made(forward, backward, f=lambda x: x * 2):
    custom = dlc.custom_vjp(f)
    custom.defvjp(forward, backward)
    return lambda: dlc.grad(lambda x: custom(x).sum())(X)


V = dlc.Variable(1.0)


def good(x):
    return x * 2, None


ERRORS = [
    (lambda: dlc.custom_vjp(good)(X), dlc.DerivativeError, "good has no derivative rule"),
    (lambda: dlc.custom_jvp(good)(X), dlc.DerivativeError, "defjvp"),
    (lambda: dlc.custom_vjp(3), dlc.ArgumentError, "custom_vjp of a int"),
    (made(lambda x: x, lambda k, c: (c,)), dlc.DerivativeError, r"pair \(value, kept\)"),
    (made(lambda x: (x[:1], x), lambda k, c: (c,)), dlc.DerivativeError, r"f64\[1\].*f64\[3\]"),
    (made(good, lambda k, c: c), dlc.ShapeError, "returned Tensor, but must return a tuple of 1"),
    (made(good, lambda k, c: (c, c)), dlc.ShapeError, "returned 2"),
    (made(good, lambda k, c: (c[:2],)), dlc.ShapeError, r"cotangent 0 .* is f64\[2\].*f64\[3\]"),
    (made(good, lambda k, c: ([c],)), dlc.ShapeError, "cotangent 0"),
    (made(good, lambda k, c: (c,), lambda x: V.assign(2.0) * x), dlc.ArgumentError, "assigns"),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS)
def test_errors(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_rules_are_not_traced_where_nothing_is_recorded():
    traced = []

    def forward(x):
        traced.append(x)
        return x * 2, None

    custom = dlc.custom_vjp(lambda x: x * 2)
    custom.defvjp(forward, lambda kept, ct: (ct * 3,))
    v = dlc.Variable(X, requires_grad=True)
    np.testing.assert_array_equal(custom(X).numpy(), X * 2)
    with dlc.no_grad():
        np.testing.assert_array_equal(custom(v).numpy(), X * 2)
    assert not traced
    custom(v).sum().backward()
    assert traced
    np.testing.assert_array_equal(v.grad.numpy(), np.full_like(X, 3))


def test_variables_that_a_function_reads_are_recorded():
    v = dlc.Variable(2.0, requires_grad=True)
    custom = dlc.custom_vjp(lambda x: x * v)
    custom.defvjp(lambda x: (x * v, None), lambda kept, ct: (ct,))
    assert custom(np.float32(3)).item() == 6
    with pytest.raises(dlc.DerivativeError, match="outside"):
        custom(np.float32(3)).backward()


def test_the_text_form():
    for f in (loss, dlc.grad(loss), lambda x, y: Cube.apply(x, 2)[0] + y):
        function = dlc.compile(f).lower(X, Y).function
        verify(function)
        assert same_structure(parse_function(print_function(function)), function)


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
def test_programs_have_no_trace_of_rules(level):
    lowered = dlc.compile(loss, level=level).lower(X, Y)
    assert "custom_vjp" in lowered.as_text("traced")
    assert "custom_vjp" not in lowered.as_text("optimized")
    assert "cos" not in lowered.as_text("optimized")
    plain = dlc.compile(lambda x, y: (dlc.sin(x) * y).sum(), level=level).lower(X, Y)
    assert len(plain.executable.program.calls) == len(lowered.executable.program.calls)
