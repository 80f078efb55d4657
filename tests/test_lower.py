"""What groups are lowered to: statements and parameters of kernels, and what extents change."""

import numpy as np
import pytest
from functions_harness import trace
from test_fuse import PROGRAMS, fused

import dlc
from dlc.codegen.kernel_ir import Assign, For, Par, statements
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_printer import print_kernel
from dlc.codegen.kernel_verifier import verify_kernel
from dlc.codegen.lower_split import BLOCK
from dlc.codegen.program_builder import build_program
from dlc.ir.interpret import interpret
from dlc.ir.parser import parse_function
from dlc.ir.scalar import walk
from dlc.runtime.executable import compile_function


def program_of(function, *args, symbolic=False):
    return build_program(fused(trace(function, args, symbolic)[0]))


def assigned(kernel):
    return [s for s in statements(kernel.body) if isinstance(s, Assign)]


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize("name", list(PROGRAMS))
def test_kernels_are_legal_and_parse_back(name, symbolic):
    function, args, _, _ = PROGRAMS[name]
    program = program_of(function, *args, symbolic=symbolic)
    for kernel in program.kernels:
        verify_kernel(kernel)
        assert print_kernel(parse_kernel(print_kernel(kernel))) == print_kernel(kernel)
    for call in program.calls:
        kernel = program.kernels[call.kernel]
        assert len(call.args) == len(kernel.params)
        assert len(call.dims) == len(kernel.dims)


def test_a_row_chain_keeps_its_row_in_locals():
    (kernel,) = program_of(lambda x: dlc.softmax(x, axis=1), np.ones((5, 9), np.float32)).kernels
    (nest,) = kernel.body
    assert isinstance(nest, Par)
    assert len(nest.axes) == 1
    outs = [p.name for p in kernel.params if p.mode == "out"]
    # The maximum, the exponentials as a tile, their sum and its reciprocal; then the store.
    assert [bool(s.axes) for s in nest.body] == [False, True, False, False, True]
    assert [s.name in outs for s in nest.body] == [False] * 4 + [True]
    exponentials = [n for s in nest.body for n in walk(s.expr) if n.op == "exp"]
    assert len(exponentials) == 1


def test_extents_and_literals_are_arguments():
    """Programs that differ in extents, or in the numbers they use, share their kernels."""
    x, y = np.ones((5, 9), np.float32), np.ones((70, 33), np.float32)
    first = program_of(lambda x: dlc.tanh(x) + 1, x)
    second = program_of(lambda x: dlc.tanh(x) + 1, y)
    assert list(map(print_kernel, first.kernels)) == list(map(print_kernel, second.kernels))
    assert first.calls[0].dims != second.calls[0].dims


def test_indices_are_divided_by_numbers():
    (kernel,) = program_of(
        lambda x, b: dlc.reshape(dlc.transpose(x, (0, 2, 1, 3)), (5, 3, 6)) + b,
        np.ones((5, 2, 3, 3), np.float32),
        np.ones(6, np.float32),
    ).kernels
    assert ",k/3,j,k%3]" in print_kernel(kernel)


def test_a_result_is_walked_as_it_was_computed_before_its_last_reshape():
    def f(x):
        rows = x.reshape(6, 2, 4, 35)
        rows = rows - dlc.sum(rows, axis=(2, 3), keepdims=True)
        return (
            (rows * 2).reshape(x.shape),
            x.transpose(0, 2, 1).reshape(-1),
            dlc.sum(x, 2).reshape(3, 16),
        )

    x = np.random.default_rng(0).integers(-9, 9, (6, 8, 35)).astype(np.float32)
    program = program_of(f, x)
    texts = [print_kernel(k) for k in program.kernels]
    assert not any("/" in t or "%" in t for t in texts)
    assert sum("reduce_sum" in t for t in texts) == 2  # one writes what it has made of its rows
    rows = x.reshape(6, 2, 4, 35)
    expected = (rows - rows.sum((2, 3), keepdims=True)) * 2
    one, two, three = (y.numpy() for y in dlc.compile(f)(x))
    np.testing.assert_array_equal(one, expected.reshape(x.shape))
    np.testing.assert_array_equal(two, x.transpose(0, 2, 1).reshape(-1))
    np.testing.assert_array_equal(three, x.sum(2).reshape(3, 16))


def test_contiguous_axes_become_one():
    (kernel,) = program_of(dlc.exp, np.ones((3, 4, 5), np.float32)).kernels
    assert [len(p.dims) for p in kernel.params] == [1, 1]


def test_a_split_reduction_is_two_kernels():
    program = program_of(dlc.sum, np.ones((300, 400), np.float32))
    first, second = program.kernels
    (nest,) = first.body
    assert [a.block for a in nest.axes] == [BLOCK]
    (partial,) = [s for s in program.slots if s.kind == "temporary"]
    assert partial.type.shape == ((300 * 400 + BLOCK - 1) // BLOCK,)
    assert not any(a.block for s in statements(second.body) if isinstance(s, Par) for a in s.axes)


@pytest.mark.parametrize("count", [65535, 65536, 65537, 4096 * 17, 4096 * 17 + 1])
def test_splits_at_their_limits(count):
    function = parse_function(
        f"""func @f(%x: f64[{count}]) -> (f64[], f64[], f64[]) {{
          %0: f64[] = reduce_sum(%x) {{axes=[0]}}
          %1: f64[] = reduce_max(%x) {{axes=[0]}}
          %2: f64[] = reduce_min(%x) {{axes=[0]}}
          return %0, %1, %2 }}"""
    )
    x = np.random.default_rng(count).integers(-1000, 1000, count).astype(np.float64)
    for got, want in zip(compile_function(function)([x]), interpret(function, [x]), strict=True):
        assert got == want  # sums of integers are exact


def test_a_scatter_copies_then_adds_in_order():
    text = """func @f(%x: f32[6,3], %i: i64[4], %u: f32[4,3]) -> (f32[6,3]) {
      %0: f32[6,3] = scatter_add(%x, %i, %u) {axis=0}
      return %0 }"""
    (kernel,) = build_program(fused(parse_function(text))).kernels
    assert sum(isinstance(s, For) for s in statements(kernel.body)) == 1
    assert [s.accumulate for s in assigned(kernel)] == [False, True]


def test_only_pointwise_outputs_may_take_over_inputs():
    def aliases(function, *args):
        (kernel,) = program_of(function, *args).kernels
        return [p.may_alias for p in kernel.params if p.mode == "out"]

    x, w = np.ones((4, 4), np.float32), np.ones((4, 4), np.float32)
    assert aliases(lambda x: x + 1, x) != [()]
    assert aliases(lambda x: dlc.flip(x, axis=0), x) == [()]
    assert aliases(lambda x: x.T + 1, x) == [()]
    assert aliases(lambda x, w: x @ w, x, w) == [()]
    # A product that is stored in the order of what is added to it.
    given = (np.ones(s, np.float32) for s in ((4, 32), (4, 48), (48, 32)))
    assert aliases(lambda x, c, w: (x.T @ c).T + w, *given) != [()]
    # Of two results, one may be written before the other one's element is read.
    assert all(len(a) <= 1 for a in aliases(lambda x: (x + 1, x[::-1] * 2), x))
    assert aliases(lambda x: (x + 1, x[::-1] * 2), x) == [(), ()]
    # Stores of a row are one loop, in which the order of their iterations is not known.
    row = np.ones((3, 8), np.float32)

    def with_centred(f):
        return lambda x: (f(x) + (s := dlc.sum(x, axis=1, keepdims=True)), x - s)

    assert aliases(with_centred(lambda x: 2 * x), row)[1] == ("p0",)
    assert aliases(with_centred(lambda x: dlc.max(x, axis=1, keepdims=True)), row)[1] == ("p0",)
    assert aliases(with_centred(lambda x: x[:, ::-1]), row) == [(), ()]
    assert aliases(with_centred(lambda x: x[:, :4]), row) == [(), ()]


@pytest.mark.parametrize("shape", [(1024, 1024), (64, 32, 512), (2, 3, 50, 1000)])
def test_all_of_a_contiguous_input_is_read_as_one_axis(shape):
    x = np.ones(shape, np.float32)
    kernel = program_of(dlc.sum, x).kernels[0]
    assert [len(p.dims) for p in kernel.params] == [1, 1]
    assert "/" not in print_kernel(kernel)
    assert dlc.compile(lambda x: dlc.sum(x[..., 1:]))(x).item() == x[..., 1:].size


DIGITS = {  # of a tensor of some shape and a vector of 96
    "merged": ((3, 4, 32), lambda xp: lambda x, b: xp.moveaxis(x, 0, 1).reshape(4, 96) + b),
    "tiled": ((8, 48), lambda xp: lambda x, b: xp.tile(x, (2, 2)) * 2),
    "repeated": ((4, 96), lambda xp: lambda x, b: x + xp.tile(b[:48], 2)),
}


@pytest.mark.parametrize("name", DIGITS)
def test_nests_are_split_where_quotients_and_rests_are_read(name):
    shape, f = DIGITS[name]
    x = np.arange(384, dtype=np.float32).reshape(shape)
    b = np.arange(96, dtype=np.float32)
    (kernel,) = program_of(f(dlc), x, b).kernels
    text = print_kernel(kernel)
    assert not any(rest in text for rest in ("/", "%32", "%48"))
    np.testing.assert_array_equal(dlc.compile(f(dlc))(x, b).numpy(), f(np)(x, b))


@pytest.mark.parametrize(
    "f",
    [
        lambda x, b: x.reshape(8, 3, 16)[:, 1:].reshape(8, 32) + b[:32],  # 16 are too few
        lambda x, b: x.reshape(4, 96)[:, ::-1] + dlc.tile(b[:48], 2),  # used in another way
    ],
)
def test_nests_stay_whole_where_axes_are_used_otherwise(f):
    x, b = np.arange(384, dtype=np.float32), np.arange(96, dtype=np.float32)
    (kernel,) = program_of(f, x, b).kernels
    assert "%" in print_kernel(kernel)


def _rotary(xp):
    def rotate(x, c, s):
        a, b = x[..., ::2], x[..., 1::2]
        return xp.stack([a * c - b * s, a * s + b * c], -1).reshape(x.shape)

    return rotate


INTERLEAVED = {
    "stack": lambda xp: lambda x, c, s: xp.stack([x * 2, -x], -1),
    "flat": lambda xp: lambda x, c, s: xp.stack([c, s], -1).reshape(-1),
    "exchanged": lambda xp: lambda x, c, s: xp.stack([x[..., 1::2], x[..., ::2]], -1),
    "rotary": _rotary,
    "two": lambda xp: lambda x, c, s: xp.stack([xp.stack([c, s], -1), xp.stack([s, c], -1)]),
}


@pytest.mark.parametrize("name", INTERLEAVED)
@pytest.mark.parametrize("shape", [(2,), (6,), (3, 2), (2, 5, 64), (1, 130)])
def test_interleaved_parts_are_stored_pair_by_pair(name, shape):
    rng = np.random.default_rng(0)
    x = rng.integers(-9, 9, shape).astype(np.float32)
    c, s = (rng.integers(-9, 9, shape[-1] // 2).astype(np.float32) for _ in range(2))
    f = INTERLEAVED[name]
    want = f(np)(x, c, s)
    program = program_of(f(dlc), x, c, s)
    text = "".join(map(print_kernel, program.kernels))
    assert name == "two" or shape[-1] == 2 or "%2" not in text
    np.testing.assert_array_equal(dlc.compile(f(dlc))(x, c, s).numpy(), want)


def test_what_may_take_over_memory_is_not_cut_into_pairs():
    x, y = np.zeros((4, 64), np.float32), np.ones((4, 32), np.float32)
    (kernel,) = program_of(lambda x, y: x.at[:, ::2].set(y), x, y).kernels
    assert [p.may_alias for p in kernel.params if p.mode == "out"] != [()]


def test_names_show_what_a_kernel_does():
    (kernel,) = program_of(
        lambda x, w: dlc.relu(x @ w), *(np.ones((4, 4), np.float32),) * 2
    ).kernels
    assert kernel.name.startswith("dot_general")


def test_long_chains_do_not_exhaust_the_stack():
    def chain(x):
        for _ in range(700):
            x = x * 0.5 + 1
        return x, dlc.sum(x)

    def reads(x):
        for _ in range(200):
            x = x[::-1] * 0.5
        return x

    x = np.linspace(-3, 3, 10, dtype=np.float32)
    want = x
    for _ in range(700):
        want = want * np.float32(0.5) + np.float32(1)
    y, total = (r.numpy() for r in dlc.compile(chain)(x))
    np.testing.assert_allclose(y, want, rtol=1e-6)
    np.testing.assert_allclose(total, want.sum(), rtol=1e-6)
    (kernel,) = program_of(reads, x).kernels
    assert len(kernel.params) == 2
    np.testing.assert_array_equal(dlc.compile(reads)(x).numpy(), x * np.float32(0.5) ** 200)


def test_long_chains_that_are_reduced_padded_or_gathered():
    def chain(x, count):
        for _ in range(count):
            x = x * 0.5 + 1
        return x

    def f(m, x):
        nested = m.sum(chain(m.sum(chain(x, 65), axis=0), 65))
        y = x
        for _ in range(65):
            y = m.take(y, np.array([1, 2, 3, 0]), axis=1)
        return nested, m.argmax(chain(x, 70), axis=1), m.sum(m.pad(chain(x, 350), 1), axis=0), y

    x = np.linspace(-3, 3, 12).reshape(3, 4)
    for y, want in zip(dlc.compile(lambda x: f(dlc, x))(x), f(np, x), strict=True):
        np.testing.assert_allclose(y.numpy(), want, rtol=1e-12)
