"""`config.debug_nans`: what made a NaN is named, wherever it ran, and nothing is lost."""

import numpy as np
import pytest

import dlc
from dlc.ir.op import OPS

ZERO = np.array([[1.0, 2.0], [0.0, 3.0]], np.float32)


@pytest.fixture(autouse=True)
def searching():
    with dlc.config.scope(debug_nans=True):
        yield


def caught(function, *args):
    with pytest.raises(dlc.NanError) as error:
        function(*args)
    return error.value


def entropy(p):
    scaled = p * 2
    product = scaled * dlc.log(p)
    return dlc.sum(dlc.exp(product))


@pytest.mark.parametrize("mode", ["eager", "compiled", "interpreted"])
def test_the_operation_its_place_its_inputs_and_the_line(mode):
    f = dlc.compile(entropy) if mode == "compiled" else entropy
    with dlc.config.scope(disable_jit=mode == "interpreted"):
        error = caught(f, dlc.asarray(ZERO))
    assert error.message == "mul gave NaN at [1, 0] of f32[2,2]"
    assert error.inputs == [
        "input 0: f32[2,2] from 0.0 to 6.0", "input 1: f32[2,2] from -inf to 1.0986123085021973"
    ]  # fmt: skip
    assert error.location.line == entropy.__code__.co_firstlineno + 2
    assert "product = scaled * dlc.log(p)" in str(error)


def test_gradients_name_the_line_of_the_forward_operation():
    def loss(x):
        return dlc.sum(dlc.sqrt(x * 0.0) * 0.0)

    error = caught(dlc.compile(dlc.grad(loss)), ZERO)
    assert error.message == "div gave NaN at [0, 0] of f32[2,2]"
    assert error.location.line == loss.__code__.co_firstlineno + 1
    assert error.inputs[1] == "input 1: f32[2,2] from 0.0 to 0.0"  # twice the root


def test_the_tape_is_searched_too():
    x = dlc.Variable(ZERO)
    with dlc.GradientTape() as tape:
        y = dlc.sum(dlc.sqrt(x * 0.0) * 0.0)
    assert "gave NaN" in caught(tape.gradient, y, x).message


def test_native_calls_and_operators_are_searched():
    f = dlc.compile(lambda x: x / x)
    good, bad = dlc.asarray(ZERO + 1), dlc.asarray(ZERO)
    with dlc.config.scope(debug_nans=False):
        for _ in range(50):  # calls go to native code after a few
            f(bad)
            bad / bad
    for call in (lambda: f(bad), lambda: bad / bad):
        assert caught(call).message == "div gave NaN at [1, 0] of f32[2,2]"
    assert f(good).numpy().tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_arguments_that_are_nan_already():
    x = ZERO.copy()
    x[0, 1] = np.nan
    error = caught(dlc.compile(lambda x: x + 1, name="f"), x)
    assert error.message == "the argument x of f is NaN at [0, 1] of f32[2,2]"
    # Where nothing of it reaches a result, there is nothing to say.
    assert dlc.compile(dlc.isnan)(x).numpy().sum() == 1


def test_variables_keep_their_values():
    v = dlc.Variable(np.array([1.0, 0.0], np.float32))

    @dlc.compile
    def step():
        v.assign(v / v)

    assert caught(step).message.startswith("div gave NaN at [1]")
    assert v.numpy().tolist() == [1.0, 0.0]
    with dlc.config.scope(debug_nans=False):
        step()
    assert np.isnan(v.numpy()[1])


def test_donated_arguments_are_searched_as_they_were():
    f = dlc.compile(lambda x: (x - x) / x, donate_argnums=0)
    error = caught(f, dlc.asarray(ZERO))
    assert error.inputs[1] == "input 1: f32[2,2] from 0.0 to 3.0"


@pytest.mark.parametrize("dtype", [dlc.float16, dlc.bfloat16, dlc.float64], ids=str)
def test_other_types_and_scalars(dtype):
    zero = dlc.zeros((), dtype=dtype)
    error = caught(dlc.compile(lambda x: x / x), zero)
    assert error.message == f"div gave NaN ({dtype.short}[])"


def test_values_that_no_result_shows_are_left_alone():
    f = dlc.compile(lambda x: dlc.where(x > 0, x / x, 0.0))
    assert f(ZERO).numpy().tolist() == [[1.0, 1.0], [0.0, 1.0]]


def test_functions_that_share_a_program_have_lines_of_their_own():
    def first(x):
        return x / x

    def second(y):
        return y / y

    for function in (first, second):
        error = caught(dlc.compile(function), ZERO)
        assert error.location.line == function.__code__.co_firstlineno + 1


def test_what_only_the_compiled_program_gives(monkeypatch):
    f = dlc.compile(lambda x: x / x, name="f")
    with dlc.config.scope(debug_nans=False):
        f(ZERO)
    monkeypatch.setitem(OPS["div"].__dict__, "reference", lambda a, b: np.ones_like(a))
    error = caught(f, ZERO)
    assert error.message.startswith("result 0 of f is NaN at [1, 0] of f32[2,2], where the ref")
    assert "dlc verify" in error.hint
