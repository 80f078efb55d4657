"""What the Array API asks of the namespace and of tensors, beside its functions."""

import numpy as np
import pytest

import dlc


def test_the_namespace_of_a_tensor():
    x = dlc.ones(2)
    assert x.__array_namespace__() is dlc
    assert x.__array_namespace__(api_version="2024.12") is dlc
    with pytest.raises(ValueError, match="no Array API '2019.12'"):
        x.__array_namespace__(api_version="2019.12")
    assert dlc.__array_api_version__ == "2025.12"


def test_inspection():
    info = dlc.__array_namespace_info__()
    assert info.devices() == dlc.devices() == ("cpu",)
    assert info.default_device() == dlc.ones(2).device
    assert info.default_dtypes(device="cpu")["integral"] == dlc.arange(2).dtype
    assert info.default_dtypes()["real floating"] == dlc.asarray(1.0).dtype
    assert set(info.dtypes(kind=("bool", "real floating"))) == {"bool", "float32", "float64"}
    assert "float16" not in info.dtypes()
    assert info.dtypes()["int8"] is dlc.int8
    assert info.capabilities()["boolean indexing"]
    assert info.capabilities()["data-dependent shapes"]
    dlc.ones((1,) * info.capabilities()["max dimensions"])
    with pytest.raises(dlc.DeviceError, match="cuda"):
        info.dtypes(device="cuda")


def test_complex_numbers_are_absent_and_say_so():
    for wrong in (lambda: dlc.complex64, lambda: dlc.complex128):
        with pytest.raises(AttributeError, match="no complex numbers"):
            wrong()
    with pytest.raises(dlc.ArgumentError, match="no complex numbers"):
        dlc.asarray(1j)
    with pytest.raises(dlc.DTypeError, match="real and imaginary parts"):
        dlc.asarray(np.ones(2, np.complex64))
    x = np.array([1.5, -2.0], np.float32)
    assert np.array_equal(dlc.conj(x).numpy(), x)
    assert np.array_equal(dlc.real(x).numpy(), x)
    for dtype in (np.float32, np.int8, np.bool_):
        got = dlc.imag(x.astype(dtype)).numpy()
        assert got.dtype == dtype
        assert not got.any()


def test_lists_become_what_is_wanted_without_a_detour():
    assert dlc.asarray([16777217.0, 0.1], dtype=dlc.float64).tolist() == [16777217.0, 0.1]
    assert dlc.asarray([2**24 + 1.0], dtype="i64").tolist() == [2**24]  # by float32, the default
    assert dlc.asarray([[]], dtype="f64").shape == (1, 0)


def test_dtypes_equal_what_names_them_and_nothing_else():
    assert dlc.float32 == np.float32 == dlc.float32
    assert dlc.float32 == "float32"
    for other in (None, "no dtype", "x,y", 3, {}, object(), dlc.float64, "", "?!"):
        assert dlc.float32 != other


def test_the_old_exchange_protocol_gets_memory_of_its_own():
    x = dlc.asarray([1.0, 2.0])
    for version in (None, (0, 8)):
        held = np.from_dlpack(_Exporter(x.__dlpack__(max_version=version)))
        assert held.tolist() == [1.0, 2.0]
        assert not np.shares_memory(held, x.numpy())
    assert np.shares_memory(np.from_dlpack(x), x.numpy())


class _Exporter:
    def __init__(self, capsule):
        self.capsule = capsule

    def __dlpack__(self, **_):
        return self.capsule

    def __dlpack_device__(self):
        return (1, 0)


def test_conversions_name_their_device():
    assert dlc.astype(dlc.ones(2), "i8", device="cpu").dtype == dlc.int8
    with pytest.raises(dlc.DeviceError, match="cuda"):
        dlc.astype(dlc.ones(2), "i8", device="cuda")


def test_pseudo_inverses_with_a_tolerance_for_each_matrix():
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    for tolerance in (np.array([0.5, 1e-9]), np.array(0.3)):
        want = np.linalg.pinv(x, rtol=tolerance)
        for function in (dlc.linalg.pinv, dlc.compile(dlc.linalg.pinv)):
            assert np.allclose(function(x, rtol=tolerance).numpy(), want, atol=1e-12)
    assert dlc.linalg.pinv(np.ones((0, 2)), rtol=np.array(0.1)).shape == (2, 0)
