"""Places out of range, through the door to PyTorch: eager mode's errors."""

import pytest

torch = pytest.importorskip("torch")

from dlc.interop.torch import dlc_backend  # noqa: E402

X = torch.arange(12.0).reshape(3, 4)
ONES = torch.ones(2, 4)
F = torch.nn.functional
READERS = {
    "index": lambda x, i: x[i],
    "index of the last axis": lambda x, i: x.mT[..., i],
    "indices of two axes": lambda x, i: x[i, i + 1],
    "index beside a mask": lambda x, i: torch.where(x > 3, x, 0)[i][:, :2],
    "take": lambda x, i: x.take(i * 4),
    "put": lambda x, i: x.put(i * 4, ONES[0, :2]),
    "index_put": lambda x, i: x.index_put((i,), ONES[0]),
    "index_put that adds": lambda x, i: x.index_put((i,), ONES[0], accumulate=True),
    "embedding": lambda x, i: F.embedding(i, x),
    "embedding_bag": lambda x, i: F.embedding_bag(i, x, i[:1] * 0),
    "index_select": lambda x, i: x.index_select(0, i),
    "gather": lambda x, i: x.gather(0, i[:, None]),
    "gather of a number": lambda x, i: x[0, 0].gather(0, i[1] // 2),
    "index_add": lambda x, i: x.index_add(0, i, ONES),
    "index_reduce": lambda x, i: x.index_reduce(0, i, ONES, "amax"),
    "scatter": lambda x, i: x.scatter(0, i[:, None], 9.0),
    "scatter_add": lambda x, i: x.scatter_add(0, i[:, None], ONES),
    "scatter_reduce": lambda x, i: x.scatter_reduce(0, i[:, None], ONES, "amin"),
    "nll_loss": lambda x, i: F.cross_entropy(x[:2, :3], i),
}


def outcome(function, *args):
    """The value, or the class of the error: a graph may be of other operators than eager mode's."""
    try:
        return function(*args)
    except (IndexError, RuntimeError):
        return IndexError


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("name", READERS)
def test_what_raises_in_eager_mode_raises(name):
    torch._dynamo.reset()
    run = torch.compile(READERS[name], backend=dlc_backend, fullgraph=True)
    raised = 0
    for places in ([0, 2], [2, 0], [0, 3], [0, -1], [-3, -2], [-4, 0], [1, 900]):
        expected = outcome(READERS[name], X, torch.tensor(places))
        found = outcome(run, X, torch.tensor(places))
        if expected is IndexError:
            assert found is IndexError, places
            raised += 1
        else:
            torch.testing.assert_close(found, expected)
    assert 2 <= raised <= 5


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_training_step_changes_nothing(dynamic):
    torch._dynamo.reset()
    table = torch.nn.Embedding(5, 4)
    run = torch.compile(lambda i: table(i).sum(), backend=dlc_backend, dynamic=dynamic)
    for count in (3, 4):
        run(torch.arange(count)).backward()
    before = table.weight.grad.clone()
    with pytest.raises(IndexError, match="out of range"):
        run(torch.tensor([0, 1, 5]))
    assert torch.equal(table.weight.grad, before)


def test_masks_and_no_places_are_never_out_of_range():
    torch._dynamo.reset()
    none = torch.zeros(0, dtype=torch.int64)
    run = torch.compile(
        lambda x, mask, i: (x.index_put((mask,), ONES[0, 0]), x[i]), backend=dlc_backend
    )
    mask = torch.zeros(3, dtype=torch.bool)
    found = run(X, mask, none)
    torch.testing.assert_close(found[0], X)
    assert found[1].shape == (0, 4)
