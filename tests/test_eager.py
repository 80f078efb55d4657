"""Operations run at once: what is run again goes through native entries, with the same results."""

from __future__ import annotations

import functools
import inspect

import numpy as np
import pytest

import dlc
from dlc.frontend import eager
from dlc.frontend.apply import apply
from dlc.frontend.native_functions import natively
from dlc.runtime.entry import call_counts

RNG = np.random.default_rng(3)
X = RNG.standard_normal((5, 7)).astype(np.float32)
Y = RNG.standard_normal((5, 7)).astype(np.float32)

SECOND, TRUE, TURNED = dlc.asarray(Y), dlc.asarray(Y > 0), dlc.asarray(Y.T.copy())

FUNCTIONS = {
    "exp": lambda x, y: dlc.exp(x),
    "maximum": dlc.maximum,
    "same twice": lambda x, y: dlc.maximum(x, x),
    "sum": lambda x, y: dlc.sum(x, axis=1),
    "softmax": lambda x, y: dlc.softmax(x, axis=0),
    "where": lambda x, y: dlc.where(x > y, x, y),
    "concat": lambda x, y: dlc.concat([x, y], axis=1),
    "repeated": lambda x, y: dlc.maximum(x, y[:, :1]),
    "both repeated": lambda x, y: dlc.maximum(x[0], y[:, :1]),
    "turned": lambda x, y: dlc.matmul(x, y.T),
    "transposed": lambda x, y: dlc.exp(x.T),
    "sort": lambda x, y: dlc.sort(x, axis=1),
    "weak": lambda x, y: x + dlc.exp(1.0),
    "nothing": lambda x, y: dlc.exp(x[:0]),
}


def entries():
    return [usual.entry for usual in eager._usual.values() if usual.entry is not None]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_run_again_gives_the_same(name):
    function = FUNCTIONS[name]
    results = [function(dlc.asarray(X), dlc.asarray(Y)) for _ in range(5)]
    for result in results[1:]:
        assert result.dtype is results[0].dtype
        assert result.numpy().tobytes() == results[0].numpy().tobytes()
    changed = function(dlc.asarray(Y), dlc.asarray(X))
    with dlc.config.scope(disable_jit=True):
        wanted = function(dlc.asarray(Y), dlc.asarray(X))
    np.testing.assert_allclose(changed.numpy(), wanted.numpy(), rtol=2e-6)


def test_what_is_run_again_goes_through_an_entry():
    eager._usual.clear()
    for _ in range(5):
        apply("tan", dlc.asarray(X))
    (entry,) = entries()
    assert call_counts(entry) == (2, 0)
    apply("tan", dlc.asarray(X.astype(np.float64)))
    apply("tan", dlc.asarray(X[:3]))
    assert call_counts(entry) == (2, 0)


@pytest.mark.parametrize(("function", "call"), [
    (dlc.atanh, lambda f, x: f(x)), (dlc.relu, lambda f, x: f(x)), (dlc.gelu, lambda f, x: f(x)),
    (dlc.softmax, lambda f, x: f(x, axis=0)), (dlc.sum, lambda f, x: f(x, axis=(0, 1))),
    (dlc.argmin, lambda f, x: f(x, axis=1)), (dlc.maximum, lambda f, x: f(x, SECOND)),
    (dlc.where, lambda f, x: f(TRUE, x, SECOND)), (dlc.matmul, lambda f, x: f(x, TURNED)),
])  # fmt: skip
def test_functions_of_one_kernel_run_without_python(function, call, monkeypatch):
    call = functools.partial(call, natively(function.__wrapped__))
    x, y = dlc.asarray(X), dlc.asarray(Y)
    first = [call(x).numpy(), call(y).numpy()]
    for _ in range(4):
        call(x)
    ran = []
    plain = eager.run
    monkeypatch.setattr(eager, "run", lambda *a: ran.append(a) or plain(*a))
    assert call(x).numpy().tobytes() == first[0].tobytes()
    assert call(y).numpy().tobytes() == first[1].tobytes()
    assert not ran
    call(dlc.asarray(X[:1]))
    call(dlc.asarray(X.astype(np.float64)))
    assert len(ran) >= 2


def test_calls_of_several_kernels_leave_others_their_entries():
    total, x = natively(dlc.sum.__wrapped__), dlc.asarray(X)
    for _ in range(9):
        for extent in (5, 4, 3, 2):
            assert total(x[:extent], axis=1, keepdims=True).shape == (extent, 1)
    for _ in range(9):
        total(x, axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eager, "run", None)
        total(x, axis=1)


def test_functions_that_look_at_values_look_at_each():
    for function in (dlc.take, dlc.take_along_axis):
        call = natively(inspect.unwrap(function))
        places = np.zeros((5, 7), np.int64) if function is dlc.take_along_axis else np.arange(5)
        for _ in range(9):
            call(SECOND, dlc.asarray(places), axis=0)
        places[1] = 5
        with pytest.raises(IndexError):
            call(SECOND, dlc.asarray(places), axis=0)


def test_other_arguments_are_other_calls():
    x = dlc.asarray(X)
    for _ in range(5):
        assert dlc.sum(x, axis=0).shape == (7,)
        assert dlc.sum(x, axis=1).shape == (5,)
        assert dlc.sum(x, axis=1, keepdims=True).shape == (5, 1)
        assert dlc.sum(x, axis=(1,), dtype=dlc.float64).dtype is dlc.float64
        assert dlc.sum(X, axis=0).shape == (7,)
        np.testing.assert_array_equal(dlc.sum(x, axis=()).numpy(), X)
        with pytest.raises(IndexError):
            dlc.sum(x, axis=2)
        with pytest.raises(dlc.DlcError):
            dlc.sum(x, axis=1.0)
        with pytest.raises(TypeError):
            dlc.sum(x, axes=1)


def test_functions_in_traces_and_under_tapes_are_not_run_natively():
    x = dlc.asarray(X)
    for _ in range(4):
        dlc.tanh(x)
    traced = dlc.compile(lambda v: dlc.tanh(v) + dlc.tanh(x))
    np.testing.assert_allclose(traced(Y).numpy(), np.tanh(Y) + np.tanh(X), rtol=1e-5)
    assert "tanh" in traced.lower(Y).as_text("traced")
    np.testing.assert_allclose(
        dlc.grad(lambda v: dlc.sum(dlc.tanh(v)))(x).numpy(),
        1 - np.tanh(X) ** 2,
        rtol=2e-5,
        atol=2e-6,
    )
    assert dlc.vmap(dlc.tanh)(x).numpy().tobytes() == dlc.tanh(x).numpy().tobytes()


def test_attributes_tell_entries_apart():
    x = dlc.asarray(X)
    for _ in range(5):
        assert dlc.sum(x, axis=0).shape == (7,)
        assert dlc.sum(x, axis=1).shape == (5,)
        assert dlc.argmax(x, axis=1).shape == (5,)
    for fill in (0.0, -0.0, 1.0, True):
        for _ in range(5):
            padded = dlc.pad(x, 1, constant_values=fill).numpy()
            assert padded[0, 0] == fill
            assert np.signbit(padded[0, 0]) == np.signbit(np.float32(fill))


def test_views_tell_entries_apart():
    x = dlc.asarray(X[:1])
    square = dlc.asarray(X[:, :5])
    for _ in range(5):
        for rows in (2, 5):
            found = dlc.exp(dlc.broadcast_to(x, (rows, 7)))
            np.testing.assert_array_equal(
                found.numpy(), dlc.exp(dlc.asarray(X[[0] * rows])).numpy()
            )
        np.testing.assert_array_equal(dlc.tan(square.T).numpy().T, dlc.tan(square).numpy())


def test_equal_steps_share_a_derivative_and_others_do_not():
    x = dlc.Variable(X, requires_grad=True)
    for power in (2, 3, 2, 3, 2):
        x.grad = None
        dlc.sum(x**power).backward()
        np.testing.assert_allclose(x.grad.numpy(), power * X ** (power - 1), rtol=1e-5)
    for scale in (0.5, 4.0, 0.5):
        with dlc.GradientTape() as outer:
            with dlc.GradientTape() as inner:
                loss = dlc.sum(dlc.sin(x * scale))
            (first,) = inner.gradient(loss, [x])
            total = dlc.sum(first)
        (second,) = outer.gradient(total, [x])
        wanted = -(scale**2) * np.sin(X.astype(np.float64) * scale)
        np.testing.assert_allclose(second.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_entries_leave_gradients_alone():
    for _ in range(5):
        dlc.tanh(dlc.asarray(X))
    for _ in range(5):
        x = dlc.Variable(X, requires_grad=True)
        dlc.sum(dlc.tanh(x)).backward()
        np.testing.assert_allclose(x.grad.numpy(), 1 - np.tanh(X) ** 2, rtol=2e-5, atol=2e-6)
        with dlc.GradientTape() as tape:
            tape.watch(y := dlc.asarray(X))
            loss = dlc.sum(dlc.tanh(y[1:]))
        wanted = np.concatenate([np.zeros((1, 7)), 1 - np.tanh(X[1:]) ** 2])
        np.testing.assert_allclose(tape.gradient(loss, y).numpy(), wanted, rtol=2e-5, atol=2e-6)


def test_settings_pass_by_entries():
    x = dlc.asarray(-np.abs(X))
    for _ in range(5):
        dlc.log(x)
    with dlc.config.scope(debug_nans=True), pytest.raises(dlc.DlcError, match="log"):
        dlc.log(x)
    dlc.config.debug_nans = True
    try:
        for _ in range(5):
            with pytest.raises(dlc.DlcError, match="log"):
                dlc.log(x)
    finally:
        dlc.config.debug_nans = False
    with dlc.autocast("bfloat16"):
        for _ in range(5):
            assert dlc.matmul(x, x.T).dtype is dlc.bfloat16
    assert dlc.matmul(x, x.T).dtype is dlc.float32


@pytest.mark.parametrize("index", [
    3, -1, (2, 3), slice(None), slice(1, 4), (slice(None), slice(2, None, 2)), None, ..., (..., 2),
    (None, 1, ...), slice(None, None, -1), slice(10, 20), (slice(-2, None), -3), slice(4, 1), (),
    (1, None, slice(3)), (slice(3, None, -2), slice(None, 9)),
])  # fmt: skip
def test_parts_by_integers_and_slices(index):
    found = dlc.asarray(X)[index]
    assert isinstance(found, dlc.Tensor)
    assert found.numpy().tobytes() == np.ascontiguousarray(X[index]).tobytes()
    assert found.shape == X[index].shape
    np.testing.assert_array_equal(dlc.exp(found).numpy(), dlc.exp(dlc.asarray(X[index])).numpy())


@pytest.mark.parametrize("index", [
    np.array([3, 0, -1, 3]), np.array([[1, 2], [-5, 4]]), np.array([], np.int64), X[:, 0] > 0,
    X > 0, np.zeros(5, bool), np.array([2], np.int8),
], ids=str)  # fmt: skip
def test_few_elements_at_places_or_under_a_mask(index):
    x = dlc.asarray(X)
    found = x[dlc.asarray(index)]
    assert found.shape == X[index].shape
    assert found.numpy().tobytes() == X[index].tobytes()
    v = dlc.Variable(X, requires_grad=True)
    dlc.sum(v[dlc.asarray(index)] ** 2).backward()
    wanted = np.zeros_like(X)
    np.add.at(wanted, index, 2 * X[index])
    np.testing.assert_allclose(v.grad.numpy(), wanted, rtol=1e-6)


@pytest.mark.parametrize("index", [np.array([5]), np.array([-6]), np.zeros(4, bool)], ids=str)
def test_places_that_there_are_not_are_told_in_dlcs_words(index):
    with pytest.raises((IndexError, ValueError)) as error:
        dlc.asarray(X)[dlc.asarray(index)]
    assert isinstance(error.value, dlc.DlcError)


def test_a_part_is_a_value_of_its_own():
    x = dlc.asarray(X)
    part, whole = x[1], x[...]
    x[1] = 0
    whole += 1
    np.testing.assert_array_equal(part.numpy(), X[1])
    np.testing.assert_array_equal(x[0].numpy(), X[0])


@pytest.mark.parametrize(("index", "kind"), [
    (5, IndexError), ((0, 7), IndexError), ((0, 0, 0), IndexError), ((..., ...), ValueError),
    (slice(None, None, 0), ValueError),
])  # fmt: skip
def test_parts_that_there_are_not_are_told_in_dlcs_words(index, kind):
    with pytest.raises(kind) as error:
        dlc.asarray(X)[index]
    assert isinstance(error.value, dlc.DlcError)
