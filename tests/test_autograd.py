"""Tapes and `backward`: eager, inside compiled functions, through them, in several habits."""

import numpy as np
import pytest

import dlc

RNG = np.random.default_rng(0)


# backward


def test_backward_accumulates():
    x = dlc.Variable([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 4]
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5, 7]
    x.grad = None
    assert x.grad is None
    (x * 3).backward(np.array([1.0, 2.0], np.float32))
    assert x.grad.tolist() == [3, 6]
    x.zero_grad()
    assert x.grad is None


def test_backward_through_many_operations():
    w = dlc.Variable(RNG.standard_normal((3, 4)), requires_grad=True)
    b = dlc.Variable(np.zeros(4), requires_grad=True)
    x = RNG.standard_normal((5, 3))

    def loss(w, b):
        h = dlc.tanh(x @ w + b)
        h = dlc.softmax(h[:, ::-1]).reshape(-1)
        return -dlc.log(h[:10]).mean() + (w[1:] ** 2).sum()

    loss(w, b).backward()
    gw, gb = dlc.grad(loss, argnums=(0, 1))(w.data, b.data)
    np.testing.assert_allclose(w.grad.numpy(), gw.numpy(), rtol=1e-12)
    np.testing.assert_allclose(b.grad.numpy(), gb.numpy(), rtol=1e-12)


def test_backward_errors():
    x = dlc.Variable([1.0, 2.0], requires_grad=True)
    with pytest.raises(dlc.DerivativeError, match="no scalar"):
        (x * 2).backward()
    with pytest.raises(dlc.DerivativeError, match="only floats"):
        (x > 1).any().backward()
    with pytest.raises(dlc.DerivativeError, match="requires_grad=True"):
        dlc.asarray(1.0).backward()
    with pytest.raises(dlc.ShapeError):
        (x * 2).backward(np.ones(3, np.float32))
    with pytest.raises(dlc.DerivativeError):
        dlc.Variable(1.0).value().backward()


def test_constants_are_not_recorded():
    x = dlc.Variable([1.0], requires_grad=True)
    with dlc.no_grad():
        y = x * 2
    assert y._history is None
    assert x.data._history is None
    assert (x.detach() * 2)._history is None
    z = x.data * x
    z.sum().backward()
    assert x.grad.tolist() == [1]


def test_control_flow_in_python():
    x = dlc.Variable(3.0, requires_grad=True)
    y = x * x
    while y < 100:
        y = y * x
    y.backward()
    assert x.grad.item() == 5 * 3**4


def test_assignment_after_use():
    x = dlc.Variable([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    x.assign([10.0, 20.0])
    y.backward()
    assert x.grad.tolist() == [2, 4]


def test_writes_into_tensors_are_differentiated():
    x = dlc.Variable([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 2
    y[0] = y[2] * y[1]
    y.sum().backward()
    assert x.grad.tolist() == [0, 2 + 12, 2 + 8]


def test_numpy_operands_keep_the_history():
    x = dlc.Variable([1.0, 2.0], requires_grad=True)
    (np.array([3.0, 4.0], np.float32) * x).sum().backward()
    assert x.grad.tolist() == [3, 4]


def test_a_gradient_has_no_history():
    x = dlc.Variable(2.0, requires_grad=True)
    (x**3).backward()
    assert x.grad._history is None


# Tapes


def test_tapes_watch_variables():
    w, b = dlc.Variable(3.0), dlc.Variable([1.0, 2.0])
    with dlc.GradientTape() as tape:
        loss = (w * w * b).sum()
    gradients = tape.gradient(loss, {"w": w, "b": [b]})
    assert gradients["w"].item() == 18
    assert gradients["b"][0].tolist() == [9, 9]
    assert (w * 2)._history is None


SAME = {
    "reshape": lambda x: dlc.reshape(x, x.shape),
    "astype": lambda x: x.astype(dlc.float64),
    "asarray": dlc.asarray,
    "index": lambda x: x[...],
    "roll": lambda x: dlc.roll(x, 0, axis=0),
    "positive": lambda x: +x,
}


@pytest.mark.parametrize("name", SAME)
def test_tapes_watch_variables_that_an_operation_leaves_as_they_are(name):
    v = dlc.Variable(np.array([1.0, 2.0]))
    with dlc.GradientTape() as tape:
        y = SAME[name](v)
        loss = (y * y).sum()
    assert tape.gradient(loss, v).tolist() == [2, 4]


@pytest.mark.parametrize("name", SAME)
def test_what_an_operation_leaves_as_it_is_is_constant_in_no_grad(name):
    x = dlc.Variable(np.array([1.0, 2.0]), requires_grad=True)

    def loss(x):
        with dlc.no_grad():
            y = SAME[name](x)
        return (x * y).sum()

    def step():
        loss(x * 1).backward()

    for run in (step, dlc.compile(step)):
        x.grad = None
        run()
        assert x.grad.tolist() == [1, 2]
    for function in (loss, lambda x: loss(x * 1)):
        assert dlc.grad(function)(x.data).tolist() == [1, 2]


def test_tapes_watch_tensors_when_told():
    x = dlc.asarray([1.0, 2.0])
    with dlc.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        z = (y * x).sum()
    assert tape.gradient(z, x).tolist() == [3, 12]
    assert tape.gradient(z, y).tolist() == [1, 2]
    assert tape.gradient(y, x).tolist() == [2, 4]
    assert tape.gradient([z, y], x).tolist() == [5, 16]
    assert tape.gradient(y, x, output_gradients=np.array([1.0, 10.0], np.float32)).tolist() == [
        2,
        40,
    ]


def test_what_a_target_does_not_depend_on():
    v, w = dlc.Variable(1.0), dlc.Variable([1.0, 2.0])
    x = dlc.asarray(1.0)
    with dlc.GradientTape(persistent=True) as tape:
        loss = v * 2
    assert tape.gradient(loss, [w, v, x])[0] is None
    assert tape.gradient(loss, x) is None
    assert tape.gradient(dlc.asarray(2.0), v) is None
    assert tape.gradient(loss, w, unconnected_gradients="zero").tolist() == [0, 0]


def test_tapes_are_used_once_unless_persistent():
    v = dlc.Variable(1.0)
    with dlc.GradientTape() as tape:
        y = v * v
    tape.gradient(y, v)
    with pytest.raises(dlc.DerivativeError, match="persistent=True"):
        tape.gradient(y, v)
    with pytest.raises(dlc.ArgumentError):
        dlc.GradientTape().watch("x")


def test_tapes_that_watch_nothing_by_themselves():
    v, w = dlc.Variable(2.0), dlc.Variable(3.0)
    with dlc.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(w)
        y = v * w
    dv, dw = tape.gradient(y, [v, w])
    assert dv is None
    assert dw.item() == 2


@pytest.mark.parametrize("way", [lambda f: f, dlc.compile])
def test_sources_that_are_computed_from_other_sources(way):
    """The gradient of a variable goes through what was computed from it and asked for, too."""
    x = dlc.Variable(3.0)

    def gradients():
        with dlc.GradientTape() as tape:
            h = x * x
            k = h * x
            y = k * 2 + h + x
        return tape.gradient(y, [h, x, k])  # y = 2 h x + h + x, h = x^2

    assert [g.item() for g in way(gradients)()] == [2 * 3 + 1, 6 * 9 + 2 * 3 + 1, 2]


def test_gradients_within_a_loss():
    w, x = dlc.Variable([1.0, 2.0], requires_grad=True), dlc.Variable([3.0, -1.0], True)

    def loss(create_graph):
        w.grad = x.grad = None
        y = (w * x**3).sum()
        (slope,) = dlc.autograd.grad(y, x, create_graph=create_graph)  # 3 w x^2
        assert x.grad is None
        (slope * w).sum().backward()
        return slope, w.grad, x.grad

    for way in (lambda f: f, lambda f: dlc.compile(f, static_argnums=0)):
        slope, dw, dx = way(loss)(True)
        assert (slope.tolist(), dw.tolist(), dx.tolist()) == ([27, 6], [54, 12], [18, -24])
        slope, dw, dx = way(loss)(False)  # a constant, as in PyTorch
        assert (slope.tolist(), dw.tolist()) == ([27, 6], [27, 6])
        assert dx is None or not dx.numpy().any()
    halfway = w * 2
    found = dlc.autograd.grad([halfway, halfway.sum()], [halfway, w], [dlc.ones(2), None])
    assert [g.tolist() for g in found] == [[2, 2], [4, 4]]
    y = halfway.sum()
    assert dlc.autograd.grad(y, [x, w], allow_unused=True)[0] is None
    with pytest.raises(dlc.DerivativeError, match="do not depend on input 1"):
        dlc.autograd.grad(y, [w, x])
    with pytest.raises(dlc.DerivativeError, match="no scalar"):
        dlc.autograd.grad(halfway, w)
    with pytest.raises(dlc.ArgumentError, match="1 outputs, with 2 grad_outputs"):
        dlc.autograd.grad(y, w, [None, None])


def test_nested_tapes():
    x = dlc.Variable(3.0)
    with dlc.GradientTape() as outer:
        with dlc.GradientTape() as inner:
            y = x * x * x
        slope = inner.gradient(y, x)
    assert slope.item() == 27
    assert outer.gradient(slope, x).item() == 18


def test_tape_over_grad():
    x = dlc.Variable([1.0, 2.0])
    with dlc.GradientTape() as tape:
        g = dlc.grad(lambda z: (z**3).sum())(x)
        s = g.sum()
    assert tape.gradient(s, x).tolist() == [6, 12]


def test_tape_over_compiled_functions():
    w = dlc.Variable(RNG.standard_normal((3, 2)))
    f = dlc.compile(lambda x: dlc.tanh(x @ w).sum(axis=1))
    for n in (2, 3, 4):
        x = RNG.standard_normal((n, 3))
        with dlc.GradientTape() as tape:
            loss = (f(x) ** 2).sum()
        wanted = dlc.grad(lambda w, x=x: (dlc.tanh(x @ w).sum(axis=1) ** 2).sum())(w.data)
        np.testing.assert_allclose(tape.gradient(loss, w).numpy(), wanted.numpy(), rtol=1e-10)


def test_backward_through_compiled_functions():
    w = dlc.Variable([1.0, 2.0], requires_grad=True)
    f = dlc.compile(lambda x: (x * w * w, x.sum()))
    y, _ = f(np.ones(2, np.float32))
    y.sum().backward()
    assert w.grad.tolist() == [2, 4]
    z, _ = f(w * 3)
    w.grad = None
    z.sum().backward()
    assert w.grad.tolist() == [9, 36]


# Inside compiled functions


def train(step, n=20):
    return [step().item() for _ in range(n)]


def make_data():
    x = RNG.standard_normal((16, 3)).astype(np.float32)
    return x, (x @ np.array([[1.0], [-2.0], [0.5]], np.float32) + 0.3).astype(np.float32)


def test_three_habits_give_equal_losses():
    x, y = make_data()
    w0, b0 = np.zeros((3, 1), np.float32), np.zeros(1, np.float32)

    def loss_of(w, b):
        return ((x @ w + b - y) ** 2).mean()

    w1, b1 = dlc.Variable(w0, requires_grad=True), dlc.Variable(b0, requires_grad=True)

    def torch_step():
        w1.grad = b1.grad = None
        loss = loss_of(w1, b1)
        loss.backward()
        with dlc.no_grad():
            w1.assign_sub(0.1 * w1.grad)
            b1.assign_sub(0.1 * b1.grad)
        return loss

    w2, b2 = dlc.Variable(w0), dlc.Variable(b0)

    def tape_step():
        with dlc.GradientTape() as tape:
            loss = loss_of(w2, b2)
        dw, db = tape.gradient(loss, [w2, b2])
        w2.assign_sub(0.1 * dw)
        b2.assign_sub(0.1 * db)
        return loss

    state = [dlc.asarray(w0), dlc.asarray(b0)]

    def numpy_step():
        loss, (dw, db) = dlc.value_and_grad(loss_of, argnums=(0, 1))(*state)
        state[:] = [state[0] - 0.1 * dw, state[1] - 0.1 * db]
        return loss

    wanted = train(numpy_step)
    assert wanted[-1] < wanted[0] / 10
    np.testing.assert_allclose(train(torch_step), wanted, rtol=1e-5)
    np.testing.assert_allclose(train(tape_step), wanted, rtol=1e-5)
    for v, start in ((w1, w0), (b1, b0), (w2, w0), (b2, b0)):
        v.assign(start)
    compiled = dlc.compile(torch_step)
    np.testing.assert_allclose(train(compiled), wanted, rtol=1e-5)
    # The gradient was there at the eager steps' end and is there after each compiled one.
    assert (compiled.stats.traces, compiled.stats.interpreted_ops) == (1, 0)
    np.testing.assert_allclose(train(dlc.compile(tape_step)), wanted, rtol=1e-5)


def test_gradients_are_state_of_compiled_functions():
    x = dlc.Variable([1.0, 2.0], requires_grad=True)

    @dlc.compile
    def accumulate():
        (x * x).sum().backward()

    accumulate()
    assert x.grad.tolist() == [2, 4]
    accumulate()
    assert x.grad.tolist() == [4, 8]
    accumulate()
    assert x.grad.tolist() == [6, 12]
    assert accumulate.stats.compilations == 2
    assert "gradient" in accumulate.explain()

    @dlc.compile
    def clear():
        had = x.grad
        x.grad = None
        return had

    assert clear().tolist() == [6, 12]
    assert x.grad is None
    assert clear() is None


def test_two_steps_in_one_function():
    x = dlc.Variable(1.0, requires_grad=True, dtype="f64")

    def two():
        for _ in range(2):
            x.grad = None
            (x**3).backward()
            x.assign_sub(0.1 * x.grad)
        return x.grad

    assert two().item() == pytest.approx(3 * 0.7**2)
    after = x.item()
    x.assign(1.0)
    assert dlc.compile(two)().item() == pytest.approx(3 * 0.7**2)
    assert x.item() == pytest.approx(after)


def test_backward_errors_inside():
    x = dlc.Variable([1.0, 2.0], requires_grad=True)
    for f, text in (
        (lambda: (x * 2).backward(None), "no scalar"),
        (lambda: dlc.ones(()).backward(), "requires_grad"),
    ):
        with pytest.raises(dlc.DerivativeError, match=text):
            dlc.compile(f)()
    assert x.grad is None


def test_tapes_inside():
    w = dlc.Variable([1.0, 2.0])

    @dlc.compile
    def f(x):
        with dlc.GradientTape() as tape:
            tape.watch(x)
            y = (x * x * w).sum()
        return tape.gradient(y, [x, w])

    dx, dw = f(np.array([3.0, 4.0], np.float32))
    assert dx.tolist() == [6, 16]
    assert dw.tolist() == [9, 16]


def test_a_sum_that_is_kept_and_read_in_part():
    """The gradient of a slice's gradient reads, under a pad, what the same kernel stores."""
    rng = np.random.default_rng(0)
    x, c = rng.standard_normal((8, 9)), rng.standard_normal((8, 7))
    first = dlc.grad(lambda x, c: (dlc.sin((x @ x.T)[:, :-1]) * c).sum())
    second = dlc.grad(lambda x, c: (first(x, c) ** 2).sum(), argnums=(0, 1))
    with dlc.config.scope(disable_jit=True):
        wanted = second(x, c)
    for got, want in zip(dlc.compile(second)(x, c), wanted, strict=True):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=0, atol=1e-11)


def test_gradients_of_means_of_nothing_beside_open_extents():
    f = dlc.compile(dlc.grad(lambda x, c: (dlc.sin(x) * c).mean()))
    for shape in ((5, 5), (0, 8), (1, 8), (0, 9), (3, 0)):
        x = np.linspace(0, 1, num=shape[0] * shape[1], dtype=np.float32).reshape(shape)
        wanted = np.cos(x.astype(np.float64)) * x / max(x.size, 1)
        np.testing.assert_allclose(f(x, x).numpy(), wanted, rtol=0, atol=1e-7)


@pytest.mark.parametrize("compiled", [False, True])
def test_lists_of_tensors_are_stacked(compiled):
    x = dlc.Variable(2.0, requires_grad=True)

    def step():
        y = x * x
        loss = dlc.sum([y, x * 3, 1.0]) + dlc.max([[x], [y]]) + dlc.dot([x, x], np.float32([1, 2]))
        loss.backward()
        return loss

    loss = (dlc.compile(step) if compiled else step)()
    assert (loss.item(), x.grad.item()) == (21, 14)
    with dlc.GradientTape() as tape:
        y = dlc.mean([x * 2, x * 4])
    assert tape.gradient(y, x).item() == 3


def test_lists_of_tensors_are_places():
    place = dlc.Variable(2)
    read = dlc.compile(lambda x: (x[[place, place + 1, 0]], dlc.take(x, [place, 1])))
    for value in (2, 3):  # read anew at each call
        place.assign(value)
        one, other = read(np.arange(5))
        assert (one.tolist(), other.tolist()) == ([value, value + 1, 0], [value, 1])
