"""What the backend of `torch.compile` refuses: with the reason, the node and the user's line."""

import inspect

import pytest
import torch

import dlc
from dlc.interop.torch import dlc_backend


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def refused(function, *given, **options):
    """The error of dlc's that a call raises."""
    run = torch.compile(function, backend=dlc_backend, fullgraph=True, options=options)
    with pytest.raises(torch._dynamo.exc.BackendCompilerFailed) as caught:
        run(*given)
    error = caught.value.inner_exception
    assert isinstance(error, dlc.DlcError)
    assert error.hint
    assert error.location.file == __file__
    return error


def line_of(function, text):
    """The number of the line of a function that has a text."""
    lines, first = inspect.getsourcelines(function)
    return first + next(k for k, line in enumerate(lines) if text in line)


def unknown(x):
    y = torch.fft.rfft(x)
    return torch.fft.irfft(y, n=3)


def test_operators_that_are_unknown_are_all_listed_with_their_lines():
    error = refused(unknown, torch.ones(3))
    assert isinstance(error, dlc.ModelError)
    for name, text in (("_fft_r2c", ".rfft"), ("_fft_c2r", ".irfft")):
        line = line_of(unknown, text)
        assert f"aten.{name}.default: {__file__}:{line} in unknown" in str(error)
    assert error.location.line == line_of(unknown, ".irfft")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("level", "O9", "level='O9'"),
        ("precision", "exactly", "precision='exactly'"),
        ("num_threads", -1, "num_threads is -1"),
        ("fallback", "atem", "fallback='atem'"),
        ("freeze", "no", "freeze='no'"),
        ("levl", "O1", "option 'levl'"),
    ],
)
def test_options_that_are_wrong(option, value, message):
    error = refused(lambda x: x + 1, torch.ones(3), **{option: value})
    assert isinstance(error, ValueError)
    assert message in str(error)


def added(x):
    return x + 1


def made_elsewhere(x):
    y = torch.zeros(3, device="meta")
    return x + 1, y


def test_tensors_that_are_not_in_the_memory_of_the_host():
    error = refused(added, torch.ones(3, device="meta"))
    assert isinstance(error, dlc.DeviceError)
    assert "a tensor lies on meta" in str(error)
    assert error.location.line == line_of(added, "x + 1")
    error = refused(made_elsewhere, torch.ones(3))
    assert "aten.zeros.default" in str(error)
    assert error.location.line == line_of(made_elsewhere, "meta")


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_elements_that_dlc_has_not(dtype):
    error = refused(added, torch.ones(3, dtype=dtype))
    assert isinstance(error, TypeError)
    assert f"no element type for {dtype}" in str(error)
    assert error.location.line == line_of(added, "x + 1")


def test_what_dlc_has_not_runs_in_pytorch_where_that_is_allowed():
    def function(x):
        return (torch.complex(x, x) * 2).abs() + 1

    run = torch.compile(function, backend=dlc_backend, options={"fallback": "aten"})
    x = torch.randn(4)
    torch.testing.assert_close(run(x), function(x))


@pytest.mark.parametrize("form", [torch.Tensor.to_sparse, torch.Tensor.to_sparse_csr])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_sparse_tensors_stay_with_pytorch(form):
    x = torch.eye(3)
    run = torch.compile(lambda s, y: (s @ y) * 2 + 1, backend=dlc_backend)
    assert torch.equal(run(form(x), x), x * 2 + 1)
