"""Variables: eager and inside compiled functions, donation of their memory, threads."""

import copy
import pickle
import threading

import numpy as np
import pytest

import dlc


def test_basics():
    v = dlc.Variable([1.0, 2.0], name="v")
    assert (v.shape, v.dtype, v.ndim, v.size, len(v)) == ((2,), dlc.float32, 1, 2, 2)
    assert isinstance(v, dlc.Tensor)
    assert (v + 1).tolist() == [2, 3]
    assert (1 - v).tolist() == [0, -1]
    assert np.asarray(v).tolist() == [1, 2]
    assert repr(v) == "Variable('v', [1., 2.], dtype=float32)"
    assert v[1].item() == 2
    assert type(v * 1) is dlc.Tensor
    assert dlc.Variable(3).dtype is dlc.int64
    assert dlc.Variable([1], dtype="f16").dtype is dlc.float16


def test_the_value_is_copied():
    array = np.ones(2, np.float32)
    x = dlc.asarray(array)
    v, w = dlc.Variable(array), dlc.Variable(x)
    array[0] = 5
    x[0] = 5
    assert v.tolist() == w.tolist() == [1, 1]


def test_assignment():
    v = dlc.Variable([1.0, 2.0])
    before, view = v.value(), v.numpy()
    assert v.assign([3, 4]) is v
    v.assign_add(1.0).assign_sub([1.0, 0.0])
    assert v.tolist() == [3, 5]
    v.data = 7
    assert v.data.tolist() == [7, 7]
    v[0] = -1
    assert v.tolist() == [-1, 7]
    same = v
    v += 1
    v -= 1
    v *= 2
    v /= 2
    assert v is same
    assert v.tolist() == [-1, 7]
    assert before.tolist() == view.tolist() == [1, 2]


def test_bad_assignments():
    v, n = dlc.Variable([1.0, 2.0]), dlc.Variable([1, 2])
    for wrong in ([1.0, 2.0, 3.0], np.ones((2, 2), np.float32)):
        with pytest.raises(dlc.ShapeError):
            v.assign(wrong)
    with pytest.raises(dlc.DTypeError, match="astype"):
        v.assign(np.ones(2))
    with pytest.raises(dlc.DTypeError):
        n.assign(1.5)
    v.assign(np.ones(2, np.int32))
    assert v.tolist() == [1, 1]
    assert v.dtype is dlc.float32
    with pytest.raises(dlc.DTypeError):
        dlc.Variable([1], requires_grad=True)


def test_copies_and_pickles():
    v = dlc.Variable([1.0], requires_grad=True, name="n")
    for w in (copy.copy(v), copy.deepcopy(v), pickle.loads(pickle.dumps(v))):
        w.assign([5.0])
        assert (w.name, w.requires_grad, type(w)) == ("n", True, dlc.Variable)
    assert v.tolist() == [1]


# Inside compiled functions


def test_updates_inside():
    v = dlc.Variable(np.zeros(3, np.float32))

    @dlc.compile
    def step(x):
        v.assign_add(x)
        doubled = v * 2
        v.assign(v + 1)
        return doubled

    for k in range(1, 4):
        result = step(np.ones(3, np.float32))
        assert v.tolist() == [2 * k] * 3
        assert result.tolist() == [4 * k - 2] * 3
    assert (step.stats.compilations, step.stats.native_calls) == (1, 3)


def test_a_variable_can_be_assigned_outside_between_calls():
    v = dlc.Variable(1.0)
    f = dlc.compile(lambda x: v * x)
    assert f(2.0).item() == 2
    v.assign(10)
    assert f(2.0).item() == 20
    assert f.stats.compilations == 1


def test_memory_is_reused():
    v = dlc.Variable(np.zeros(1000, np.float32))
    step = dlc.compile(lambda: (v.assign_add(1.0), None)[1])
    step()
    address = v.numpy().ctypes.data
    for _ in range(5):
        step()
    assert v.numpy().ctypes.data == address
    assert v.numpy()[0] == 6


def test_memory_that_others_see_is_not_reused():
    v = dlc.Variable(np.zeros(1000, np.float32))

    @dlc.compile
    def step():
        v.assign_add(1.0)

    seen = []
    for k in range(4):
        seen += [(k, v.numpy()), (k, v.value()), (k, v[:500]), (k, np.from_dlpack(v)), (k, v.data)]
        step()
    for k, held in seen:
        assert (np.asarray(held) == k).all()


def test_variables_as_arguments():
    v = dlc.Variable([1.0, 2.0])

    @dlc.compile
    def f(x):
        x += 1
        return x

    assert f(v).tolist() == [2, 3]
    assert v.tolist() == [1, 2]


def test_swapping_two_variables():
    a, b = dlc.Variable([1.0, 2.0]), dlc.Variable([3.0, 4.0])

    @dlc.compile
    def swap():
        x = a + 0
        a.assign(b)
        b.assign(x)

    for _ in range(3):
        swap()
    assert (a.tolist(), b.tolist()) == ([3, 4], [1, 2])


def test_assigning_a_variable_to_itself():
    a = dlc.Variable(np.arange(4, dtype=np.float32))

    @dlc.compile
    def f():
        a[1:] = a[:-1]
        return a[0]

    f()
    assert a.tolist() == [0, 0, 1, 2]


def test_nested_functions_update_too():
    v = dlc.Variable(0.0)

    @dlc.compile
    def inner(x):
        v.assign_add(x)
        return v * 1

    @dlc.compile
    def outer(x):
        return inner(x) + inner(x)

    assert outer(1.0).item() == 3
    assert v.item() == 2

    def loss(x):
        v.assign_add(1.0)
        return (x * v).sum()

    assert dlc.grad(loss)(2.0).item() == 3
    assert v.item() == 3
    assert dlc.compile(dlc.grad(loss))(2.0).item() == 4
    assert v.item() == 4


def test_an_exception_leaves_the_values():
    a, b = dlc.Variable([1.0]), dlc.Variable([2.0])

    @dlc.compile
    def f(x):
        a.assign(x)
        b.assign(np.ones((2, 2), np.float32))

    with pytest.raises(dlc.ShapeError):
        f(np.zeros(1, np.float32))
    assert (a.tolist(), b.tolist()) == ([1], [2])


def test_a_failing_call_leaves_the_values(monkeypatch):
    v = dlc.Variable(np.ones(4, np.float32))
    step = dlc.compile(lambda: (v.assign_add(1.0), None)[1])
    step()
    specialisation = next(iter(step._order.values()))[1]

    def fail(arrays):
        raise KeyboardInterrupt

    monkeypatch.setattr(specialisation, "program", fail)
    with pytest.raises(KeyboardInterrupt):
        step()
    assert v.tolist() == [2] * 4


def test_variables_cannot_be_made_inside():
    with pytest.raises(dlc.ArgumentError, match="make it before"):
        dlc.compile(dlc.Variable)(1.0)


def test_values_cannot_be_read_inside():
    v = dlc.Variable(1.0)
    for use in (bool, float, lambda v: v.numpy(), lambda v: v.item()):
        with pytest.raises(dlc.TracedValueError):
            dlc.compile(lambda use=use: use(v))()


def test_updates_from_many_threads():
    v = dlc.Variable(np.zeros(64, np.int64))
    other = dlc.compile(lambda: v + 0)

    @dlc.compile
    def step():
        v.assign_add(1)
        return v + 0

    torn = []

    def write():
        for _ in range(40):
            result = step().numpy()
            if (result != result[0]).any():
                torn.append(result)

    def read():
        for _ in range(40):
            results = (other().numpy(), v.numpy(), (v * 1).numpy())
            torn.extend(r for r in results if (r != r[0]).any())

    threads = [threading.Thread(target=t) for t in (write, read) * 4]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not torn
    assert v.numpy()[0] == 160


def test_shapes_may_change_around_variables():
    w = dlc.Variable(np.ones((3, 2), np.float32))

    @dlc.compile
    def step(x):
        w.assign_sub(x.mean(axis=0)[:, None] * 0.5)
        return (x @ w).sum()

    for n in (2, 3, 4, 5):
        step(np.zeros((n, 3), np.float32))
    assert step.stats.compilations == 2


@pytest.mark.parametrize("dtype", ["float32", "int8", "bool", "bfloat16", "float64"])
@pytest.mark.parametrize("value", [0, 1, -0.0])
def test_large_variables_of_one_number_have_memory_of_their_own(dtype, value):
    """That of zeros is made when it is read."""
    first, second = (dlc.Variable(dlc.full((300, 400), value, dtype=dtype)) for _ in range(2))
    want = np.full((300, 400), value, first.dtype.numpy)
    assert first.numpy().tobytes() == want.tobytes()
    changed = np.array(want)
    changed[7, 5] = 1 - value
    first.assign(dlc.asarray(changed))
    third = dlc.Variable(dlc.full((300, 400), value, dtype="float64"), dtype=dtype)
    assert first.numpy().tobytes() == changed.tobytes()
    assert second.numpy().tobytes() == third.numpy().tobytes() == want.tobytes()
