"""What versions of PyTorch do not have in common, as it is in the installed one."""

import pytest
import torch
from torch.utils import _pytree as pytree

import dlc
from dlc.interop.torch.operators import matrices
from dlc.interop.torch.versions import children_of, factors_are_transposed, keep_checks


class Spec26:
    children_specs = ("a", "b")


def test_children_of_both_kinds():
    assert children_of(Spec26()) == ("a", "b")
    structure = pytree.tree_flatten(((1, 2), {"k": 3}))[1]
    assert [child.num_leaves for child in children_of(structure)] == [2, 1]


def test_checks_are_kept():
    keep_checks()
    graph = torch.fx.Graph()
    codes = graph.placeholder("codes")
    check = torch.ops.aten._linalg_check_errors.default
    graph.call_function(check, (codes, "solve"), {"is_matrix": True})
    graph.output(())
    graph.eliminate_dead_code()
    assert any(n.target is check for n in graph.nodes)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_factors_as_eager_mode_has_them(left, transposed, turned):
    a = torch.randn(4, 4, dtype=torch.float64) + 3 * torch.eye(4)
    a = a.mT if turned else a
    b = torch.randn(4, 4, dtype=torch.float64)
    node = torch.fx.Graph().placeholder("a")
    node.meta["val"] = a
    user = node.graph.call_function(torch.ops.aten._linalg_solve_ex.default, (node, b))
    as_here = factors_are_transposed(user)
    x, packed, pivots, codes = matrices.solve_ex(
        dlc.asarray(a.numpy()), dlc.asarray(b.numpy()), left=left, strict=False,
        used=frozenset({1, 2}), transposed=transposed,
    )  # fmt: skip
    factors = torch.linalg.lu_factor(a.mT if transposed else a)
    torch.testing.assert_close(torch.tensor(packed.numpy()), factors.LU)
    assert pivots.numpy().tolist() == factors.pivots.tolist()
    assert not codes.numpy().any()
    want = torch.ops.aten._linalg_solve_ex(a, b, left=left)
    torch.testing.assert_close(torch.tensor(x.numpy()), want[0])
    if transposed == as_here:
        torch.testing.assert_close(torch.tensor(packed.numpy()), want[1])
