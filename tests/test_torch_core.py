"""The core ATen operators: each has a row, or a reason why it has none."""

import numpy as np
import torch
from torch._decomp import core_aten_decompositions

import dlc
from dlc.interop.torch import dlc_backend
from dlc.interop.torch.decompositions import decompositions
from dlc.interop.torch.table import find

# What torch.compile answers before a backend sees it, or asks for complex numbers.
WITHOUT_A_ROW = {
    "_fft_c2r.default": "complex numbers",
    "_fft_r2c.default": "complex numbers",
    "_local_scalar_dense.default": "a number for Python: the graph ends there",
    "nonzero.default": "a shape that depends on the data: the graph ends there",
    "sym_is_contiguous.default": "a question about memory that the tracer answers",
}


def core():
    """The names of the operators that a functional graph may have."""
    for whole in torch._C._dispatch_get_all_op_names():
        space, _, name = whole.partition("::")
        packet, _, overload = name.partition(".")
        if space == "aten" and hasattr(torch.ops.aten, packet):
            operator = getattr(getattr(torch.ops.aten, packet), overload or "default", None)
            functional = operator is not None and not operator._schema.is_mutable
            if functional and torch.Tag.core in operator.tags:
                yield f"{packet}.{overload or 'default'}"


def test_all_core_operators_have_rows():
    names = set(core())
    assert len(names) > 180
    assert {n for n in names if find(n) is None} == names & set(WITHOUT_A_ROW)


def test_rows_of_operators_that_the_tracer_decomposes():
    rng = np.random.default_rng(0)
    decomposed = core_aten_decompositions()

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    x, mean, spread = draw(2, 6, 5), draw(2, 3), np.abs(draw(2, 3)) + 0.5
    cases = {
        "col2im": (draw(2, 12, 6), [5, 4], [2, 3], [1, 1], [1, 0], [2, 1]),
        "im2col": (draw(2, 3, 5, 4), [2, 3], [1, 1], [1, 0], [2, 1]),
        "native_group_norm_backward": (
            draw(2, 6, 5), x, mean, spread, draw(6), 2, 6, 5, 3, [True] * 3
        ),
        "var_mean.correction": (x, [1]),
    }  # fmt: skip
    for name, args in cases.items():
        packet, _, overload = name.partition(".")
        operator = getattr(getattr(torch.ops.aten, packet), overload or "default")
        assert operator in decomposed or packet == "var_mean"
        given = [torch.tensor(a) if isinstance(a, np.ndarray) else a for a in args]
        row = find(name)
        assert row is not None
        wanted = operator(*given)
        got = row(*(dlc.asarray(a) if isinstance(a, np.ndarray) else a for a in args))
        pairs = zip(got, wanted, strict=True) if isinstance(got, tuple) else [(got, wanted)]
        for a, b in pairs:
            assert np.allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-5), name


def test_operators_with_rows_stay_as_they_are():
    ruled = {o.__name__ for o in decompositions() if find(o.__name__) is not None}
    assert ruled == {
        "_scaled_dot_product_flash_attention_for_cpu.default",  # the rule checks extents only
    }


def test_products_and_sums_rounded_once():
    """What compiled optimizers call."""
    a, b = np.float32([1 + 2.0**-12, 3.0]), np.float32([[1 - 2.0**-12], [2.0]])
    row = find("fma.default")
    assert row is not None
    found = row(dlc.asarray(a), dlc.asarray(b), -1.0)
    assert np.array_equal(found.numpy(), (a.astype(np.float64) * b - 1).astype(np.float32))
    whole = [np.array(v, np.int32) for v in ([[3, -4]], [5, 2**30], [[1], [2]])]
    found = row(*map(dlc.asarray, whole))
    assert np.array_equal(found.numpy(), whole[0] * whole[1] + whole[2])
    mixed = row(dlc.asarray(a.astype(np.float64)), dlc.asarray(b), -1.0)
    assert np.array_equal(mixed.numpy(), a.astype(np.float64) * b - 1)


def test_operators_on_lists_of_tensors():
    def run(xs, ys, scalars):
        return (
            torch._foreach_addcmul(xs, ys, xs, value=0.5),
            torch._foreach_addcdiv(xs, ys, xs, [0.5, -2.0]),
            torch._foreach_maximum(xs, 0.5), torch._foreach_pow(2.0, xs),
            torch._foreach_norm(xs, 1, dtype=torch.float64), torch._foreach_lerp(xs, ys, 0.25),
            torch._foreach_add(xs, ys, alpha=2), torch._foreach_mul(xs, scalars[0]),
        )  # fmt: skip

    xs, ys = ([torch.rand(2, 3) + 1, torch.rand(4) + 1] for _ in range(2))
    got = torch.compile(run, backend=dlc_backend)(xs, ys, torch.tensor([0.5, -2.0]))
    for g, w in zip(got, run(xs, ys, torch.tensor([0.5, -2.0])), strict=True):
        for a, b in zip(g, w, strict=True):
            assert a.dtype == b.dtype
            assert torch.allclose(a, b, rtol=1e-6)
