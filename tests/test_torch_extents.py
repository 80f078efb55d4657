"""Open extents through the backend of `torch.compile`: one program for all of them."""

import pytest
import torch
import transformers_suite as suite
from torch import nn
from torch_fixtures import fresh  # noqa: F401  of each test here

from dlc.frontend.symbols import Extents
from dlc.interop.torch import dlc_backend
from dlc.interop.torch.extents import Line, Step
from dlc.ir.dims import DimUnknown, at_least, maximum, symbol


def heads(x):
    """Flattened and split extents."""
    b, n, _ = x.shape
    y = x.reshape(b * n, 8).view(b, n, 2, 4).transpose(1, 2)
    return (y @ y.mT).softmax(-1).sum(1)


def parted(x):
    """Extents that PyTorch knows to be multiples of numbers."""
    b, n, width = x.shape
    pairs = x.view(b, n // 3, 3, 2, width // 2).sum(2)
    return pairs.reshape(b, -1, width) * pairs.flatten(1).mean()


table = torch.randn(64, 8)
FUNCTIONS = {
    "flattened": heads,
    "the beginning of a table": lambda x: x + table[: x.shape[1]],
    "a later part of a table": lambda x: x + table[2 : x.shape[1] + 2],
    "every second row of a table": lambda x: x + table[: 2 * x.shape[1] : 2],
    "the last ones": lambda x: x[:, -3:] * 2,
    "all but the first": lambda x: x[:, 1:] - x[:, :-1],
    "halves": lambda x: torch.cat([x[:, x.shape[1] // 2 :], x[:, : x.shape[1] // 2]], 1),
    "padded": lambda x: nn.functional.pad(x, (0, 0, 2, 1)).cumsum(1),
    "positions": lambda x: x * torch.arange(x.shape[1])[:, None] + x.shape[0],
    "a mask": lambda x: x.masked_fill(torch.ones(x.shape[1], 8).tril() == 0, 0.0),
    "mean": lambda x: x.mean((0, 1)) + x.numel(),
    "written": lambda x: torch.zeros(64, 8).index_put((torch.arange(x.shape[1]),), x[0]),
    "grown": lambda x: torch.cat([x, x.new_ones(x.shape[0], 5, 8)], 1).flatten(0, 1),
}
convolution = nn.Conv1d(8, 5, 4)
# With extents that are multiples of 3.
OF_THREES = {
    "parted": parted,
    "pairs": lambda x: x.view(x.shape[0], -1, 3, 8).transpose(1, 2).reshape(x.shape),
    "taken together and repeated": lambda x: x + nn.functional.interpolate(
        nn.functional.avg_pool1d(x.mT, 3), scale_factor=3
    ).mT,
    "a third": lambda x: x.split(x.shape[1] // 3, 1)[0] * 2,
    "the second of three": lambda x: x.chunk(3, 1)[1] * 2,
    "differences": lambda x: x.diff(n=2, dim=1),
    "deviation": lambda x: x.std(1),
    "a convolution": lambda x: convolution(x.mT),
}  # fmt: skip
EXTENTS = dict.fromkeys(FUNCTIONS, ((2, 6), (3, 9), (4, 7), (2, 12)))
EXTENTS |= dict.fromkeys(OF_THREES, ((2, 6), (3, 9), (4, 15), (2, 12)))
FUNCTIONS |= OF_THREES


@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_program_for_all_extents(name):
    function = FUNCTIONS[name]
    run = torch.compile(function, backend=dlc_backend, fullgraph=True, dynamic=True)
    with suite.programs() as made:
        for b, n in EXTENTS[name]:
            x = torch.randn(b, n, 8)
            given = [x.clone().requires_grad_() for _ in range(2)]
            got, wanted = run(given[0]), function(given[1])
            torch.testing.assert_close(got, wanted)
            weights = torch.randn_like(wanted)
            (got * weights).sum().backward()
            (wanted * weights).sum().backward()
            torch.testing.assert_close(given[0].grad, given[1].grad)
    assert [p.stats.traces for p in made if p.stats.calls] == [1, 1]


def test_numbers_that_are_no_sums_of_products_of_extents():
    def function(x):
        n = x.shape[0]
        return [
            x[: int(n * 0.75)] * n**-1.5, x[: n & 6] * 2**n, x[: round(n / 4)],
            torch.arange(n - 0.5) * x[0, 0], torch.add(x, x, alpha=1 / n),
        ]  # fmt: skip

    run = torch.compile(function, backend=dlc_backend, fullgraph=True, dynamic=True)
    for n in (6, 9):
        given = [torch.randn(n, 2, dtype=torch.float64).requires_grad_()]
        given.append(given[0].detach().clone().requires_grad_())
        results = [f(x) for f, x in zip((run, function), given, strict=True)]
        torch.testing.assert_close(*results)
        for values in results:
            sum(v.square().sum() for v in values).backward()
        torch.testing.assert_close(*[x.grad for x in given])


CONVOLUTIONS = {
    "one": lambda x, w: nn.functional.conv2d(x, w, padding=1),
    "strided": lambda x, w: nn.functional.conv2d(x, w, padding=1, stride=2),
    "two": lambda x, w: nn.functional.conv2d(
        nn.functional.conv2d(x, w, padding=1).relu(), w.mT.transpose(0, 1).contiguous(), padding=1
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_weights_of_convolutions_with_open_extents(name):
    function = CONVOLUTIONS[name]
    run = torch.compile(function, backend=dlc_backend, fullgraph=True, dynamic=True)
    with suite.programs() as made:
        for b, n, size in ((2, 6, 3), (4, 9, 3), (3, 7, 5)):
            shapes = (b, 4, n, n + 3), (6, 4, size, size)
            given = [torch.randn(s, dtype=torch.float64) for s in shapes]
            found = []
            for f in (run, function):
                x, w = (t.clone().requires_grad_() for t in given)
                result = f(x, w)
                result.square().mean().backward()
                found.append((result.detach(), x.grad, w.grad))
            torch.testing.assert_close(found[0], found[1])
    assert max(p.stats.traces for p in made) == 1  # PyTorch has another graph for 5


def test_extents_that_are_more_than_others():
    run = torch.compile(
        lambda x, y: x[: y.shape[0] + 1].sum() + x[y.shape[0] :].sum() + y.sum(),
        backend=dlc_backend,
        fullgraph=True,
        dynamic=True,
    )
    with suite.programs() as made:
        for n, m in ((7, 4), (9, 3), (5, 4), (4, 4), (3, 5), (8, 8)):
            x, y = torch.randn(n), torch.randn(m)
            wanted = x[: m + 1].sum() + x[m:].sum() + y.sum()
            torch.testing.assert_close(run(x, y), wanted)
    assert made[0].stats.traces == 1


def test_numbers_that_no_tensor_has():
    def function(x, n):
        return x * n + torch.ones(n).sum()

    run = torch.compile(function, backend=dlc_backend, fullgraph=True, dynamic=True)
    x = torch.randn(3)
    with suite.programs() as made:
        for n in (5, 7, 4, 11):
            torch.testing.assert_close(run(x, n), function(x, n))
    assert sum(p.stats.traces for p in made) == 1


def test_extents_of_0_and_1():
    run = torch.compile(heads, backend=dlc_backend, fullgraph=True, dynamic=True)
    for b, n in ((2, 6), (1, 6), (2, 1), (0, 6), (3, 5)):
        x = torch.randn(b, n, 8)
        torch.testing.assert_close(run(x), heads(x))


def updated(x):
    x.mul_(2)
    return x.chunk(2, 1)


VIEWS = {
    "halves of an input": lambda x: x.chunk(2, 1),
    "an input turned": lambda x: x.transpose(0, 1).reshape(x.shape),
    "one row for all": lambda x: x[:1].expand(x.shape[0], x.shape[1]),
    "halves of an input that is written": updated,
    "halves of a result": lambda x: ((x * 2).T.chunk(2, 1), x.exp()),
}


@pytest.mark.parametrize(
    ("name", "fallback"), [*((name, "error") for name in VIEWS), ("halves of an input", "aten")]
)
def test_views_of_open_extents(name, fallback):
    """PyTorch makes them itself, by the strides and offsets of what the graph returns."""
    function, options = VIEWS[name], {"fallback": fallback}
    run = torch.compile(function, backend=dlc_backend, dynamic=True, options=options)
    for n in (4, 6):
        for x in (torch.randn(n, n), torch.randn(2 * n, n)[::2, :]):
            got, wanted = (
                torch.utils._pytree.tree_leaves(f(y)) for f, y in ((run, x.clone()), (function, x))
            )
            torch.testing.assert_close(got, wanted)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # PyTorch looks for one
@pytest.mark.parametrize("gradient", [False, True])
def test_views_of_a_part_that_is_written(gradient):
    """The new value has neither its strides nor its offset, but views are made of the input."""

    def write(x):
        views = x.hsplit(1)[0], x.mT[1:], x[None, :, 0], x.detach()
        x.mul_(2)
        return views

    run = torch.compile(write, backend=dlc_backend, dynamic=True)
    for n, m in ((5, 3), (4, 6)):
        leaf = torch.randn(n + 2, 2 * m, requires_grad=gradient)
        given = [(leaf * 1)[2:, 1::2] for _ in range(2)]
        for got, wanted in zip(run(given[0]), write(given[1]), strict=True):
            assert torch.equal(got, wanted)
            assert got.data_ptr() - given[0].data_ptr() == wanted.data_ptr() - given[1].data_ptr()
        assert torch.equal(*given)


WINDOWS = {
    "the first of each row": lambda x: x.as_strided((x.shape[0], 2), (x.shape[1], 1)) * 2,
    "the first row, everywhere": lambda x: x.as_strided(x.shape, (0, 1)).exp(),
    "rows from the second": lambda x: x.as_strided((2, x.shape[1]), (x.shape[1], 1), x.shape[1]),
    "set": lambda x: torch.as_strided_scatter(x, x[:, 0].exp(), (x.shape[0],), (x.shape[1],), 1),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_places_in_memory_with_open_extents(name):
    """One program for all: the values of PyTorch's trace are not those of the next call."""
    function = WINDOWS[name]
    run = torch.compile(function, backend=dlc_backend, fullgraph=True, dynamic=True)
    with suite.programs() as made:
        for shape in ((5, 3), (4, 6), (9, 12), (7, 5)):
            given = [torch.randn(shape, requires_grad=True)]
            given.append(given[0].detach().clone().requires_grad_())
            got, wanted = run(given[0]), function(given[1])
            torch.testing.assert_close(got, wanted)
            for result in (got, wanted):
                result.square().sum().backward()
            torch.testing.assert_close(given[0].grad, given[1].grad)
    assert max(p.stats.traces for p in made) == 1


def test_places_in_memory_that_are_written():
    """A new value lies where the input does, of which PyTorch's description has no offset."""

    def write(x):
        part = x.as_strided((4,), (1,), x.storage_offset())
        part.sub_(part, alpha=2)
        return part.exp()

    run = torch.compile(write, backend=dlc_backend, fullgraph=True, dynamic=True)
    for shape in ((5, 3), (4, 6)):
        given = [x[1:] for x in torch.randn(shape).expand(2, *shape).clone()]
        torch.testing.assert_close(run(given[0]), write(given[1]))
        assert torch.equal(*given)


STRIDES = {
    "as numbers": lambda x: x * x.stride(0) + x.stride(1),
    "the offset": lambda x: x + x.storage_offset(),
    "of a result": lambda x: x * x.new_empty_strided(x.shape, x.stride()).fill_(3),
    "given back": lambda x: (x.exp(), x.stride()),
    "in an extent": lambda x: x.exp().sum() * torch.ones(x.stride(0) + 1).cumsum(0),
}


@pytest.mark.parametrize("fallback", ["error", "aten"])
@pytest.mark.parametrize("more", [0, 3])
@pytest.mark.parametrize("name", STRIDES)
def test_strides_that_are_open(name, more, fallback):
    """Of whole rows PyTorch has no symbol for the stride of rows, but reads it in the graph."""
    function, options = STRIDES[name], {"fallback": fallback}
    run = torch.compile(function, backend=dlc_backend, dynamic=True, options=options)
    with suite.programs() as made:
        for n, m, step in ((5, 7, 2), (4, 9, 3), (6, 8, 5)):
            x = torch.randn(n + 2, m * step + more)[2:, more::step]
            given = [x.detach().requires_grad_() for _ in range(2)]
            got, wanted = run(given[0]), function(given[1])
            torch.testing.assert_close(got, wanted)
            for result in (got, wanted):
                torch.utils._pytree.tree_leaves(result)[0].sum().backward()
            torch.testing.assert_close(given[0].grad, given[1].grad)
    assert max(p.stats.traces for p in made) == 1


@pytest.mark.parametrize("step", [Step(1, 1), Step(3, 0), Step(4, 2)])
def test_steps_of_extents(step):
    counts = [step.count(n) for n in range(30)]
    fitting = [n for n in range(30) if n % step.of == 0 and n > step.of * step.above]
    assert [n for n, k in enumerate(counts) if k and step.extent(k) == n] == fitting


def test_steps_beside_other_extents():
    n, k = symbol("n"), symbol("k")
    step = Step(1, 1, (Line((("k", 2),), -3),))
    assert step.extent(n, {"k": k}) == n + maximum(1, 2 * k - 3)
    assert at_least(step.extent(n, {"k": k}), 2 * k - 2)
    assert step.count(9, {"k": 4}) == 4
    assert step.count(5, {"k": 4}) == 0


def test_patterns_with_formulas():
    n, m = symbol("n"), symbol("m")
    extents = Extents([("n", "m"), (n * m, n + 1)], {"n": 2, "m": 3})
    assert extents.dims() == [(n, m), (n * m, n + 1)]
    assert extents.matches([(2, 3), (6, 3)])
    assert extents.matches([(4, 5), (20, 5)])
    assert not extents.matches([(2, 3), (5, 3)])
    assert not extents.matches([(2, 3), (6, 2)])
    assert extents.bind([(4, 5), (20, 5)]) == {"n": 4, "m": 5}
    extents.resolve(DimUnknown(m, 4, ">="))
    assert extents.patterns == (("n", 3), (3 * n, n + 1))
    extents.resolve(DimUnknown(n, 1, "=="))
    assert extents.patterns == ((2, 3), (6, 3))
    same = Extents([("n", "m"), (n * m, m)], {"n": 3, "m": 3})
    same.resolve(DimUnknown(n, m, "=="))
    (first, _), (product, last) = same.patterns
    assert first == last
    assert product == symbol(first) * symbol(first)
