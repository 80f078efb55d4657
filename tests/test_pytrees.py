"""`dlc.tree`."""

import collections
import dataclasses
from typing import NamedTuple

import numpy as np
import pytest

import dlc


class Point(NamedTuple):
    x: object
    y: object


@dataclasses.dataclass(frozen=True)
class Pair:
    left: object
    right: object
    scale: object = dataclasses.field(default=1, init=False)


class Box:
    def __init__(self, item, label):
        self.item, self.label = item, label


dlc.tree.register_node(
    Box, lambda b: ((b.item,), b.label), lambda label, items: Box(items[0], label)
)

TREES = [
    (1, [1]), (None, []), ([], []), ((), []), ({}, []), ([1, (2, 3)], [1, 2, 3]),
    ({"b": 1, "a": 2}, [2, 1]),
    (Point(1, [2]), [1, 2]), (Pair(1, {"k": 2}), [1, 2, 1]), ({2: "x", 1: None}, ["x"]),
    (collections.OrderedDict([("b", 1), ("a", 2)]), [1, 2]),
    (collections.defaultdict(list, {"b": 1, "a": 2}), [2, 1]),
    ({"a": 1, 2: 3}, None), ([[[[1]]], None, (None,)], [1]),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "leaves"), TREES, ids=repr)
def test_round_trip(tree, leaves):
    found, structure = dlc.tree.flatten(tree)
    if leaves is not None:
        assert found == leaves
    assert structure.num_leaves == len(found) == len(structure.paths())
    back = dlc.tree.unflatten(structure, found)
    assert back == tree
    assert type(back) is type(tree)
    assert dlc.tree.structure(back) == structure
    assert hash(dlc.tree.structure(back)) == hash(structure)


def test_structures_differ():
    trees = [tree for tree, _ in TREES] + [{"a": 1, "c": 2}, Point([1], 2), [None], (1,)]
    structures = [dlc.tree.structure(t) for t in trees]
    for i, s in enumerate(structures):
        assert sum(s == other for other in structures) == 1, trees[i]


def test_a_defaultdict_keeps_its_factory():
    tree = dlc.tree.map(lambda x: x, collections.defaultdict(list, a=1))
    assert tree["missing"] == []


def test_paths():
    paths = dlc.tree.structure({"w": [1, Point(2, 3)], "p": Pair(4, 5)}).paths("params")
    assert paths == [
        "params['p'].left", "params['p'].right", "params['p'].scale", "params['w'][0]",
        "params['w'][1].x", "params['w'][1].y",
    ]  # fmt: skip


def test_map():
    assert dlc.tree.map(lambda x, y: x * y, {"a": [1, 2]}, {"a": [3, 4]}) == {"a": [3, 8]}
    with pytest.raises(dlc.ShapeError, match="trees differ"):
        dlc.tree.map(lambda x, y: x, [1], [1, 2])
    with pytest.raises(dlc.ShapeError, match="1 leaves for a tree that has 2"):
        dlc.tree.unflatten(dlc.tree.structure([1, 2]), [1])


def test_nodes_that_count_as_leaves():
    tree = {"a": (1, 2), "b": [(3, 4), None]}
    whole = lambda x: isinstance(x, tuple)  # noqa: E731
    assert dlc.tree.leaves(tree, is_leaf=whole) == [(1, 2), (3, 4)]
    assert dlc.tree.structure(tree, whole) == dlc.tree.structure({"a": 0, "b": [0, None]})
    assert dlc.tree.map(sum, tree, is_leaf=whole) == {"a": 3, "b": [7, None]}
    # What others have there may be trees, but nothing above may differ.
    states = {"a": {"m": 1}, "b": [None, None]}
    assert dlc.tree.map(lambda x, y: y, {"a": 0, "b": [0, None]}, states) == states
    for other in ({"a": 1, "b": [1]}, {"a": 1, "b": [1, 2]}, {"a": 1, "c": [1, None]}, [1], 1):
        with pytest.raises(dlc.ShapeError, match="trees differ"):
            dlc.tree.map(lambda x, y: y, {"a": 0, "b": [0, None]}, other)


def test_registered_classes():
    box = dlc.tree.map(lambda x: x + 1, Box(1, "label"))
    assert (box.item, box.label) == (2, "label")
    assert dlc.tree.structure(Box(1, "a")) != dlc.tree.structure(Box(1, "b"))
    result = dlc.compile(lambda b: Box(b.item * 2, b.label))(Box(3.0, "x"))
    assert result.item.item() == 6
    with pytest.raises(dlc.ArgumentError, match="already"):
        dlc.tree.register_node(Box, None, None)
    assert dlc.tree.leaves(object) == [object]


def test_deep_trees():
    tree = 1
    for _ in range(200):
        tree = [tree]
    assert dlc.tree.leaves(tree) == [1]


def test_ravel_pytree():
    given = {"w": np.arange(4, dtype=np.float32).reshape(2, 2), "b": np.float64(9), "n": [5, None]}
    vector, unravel = dlc.ravel_pytree(given)
    assert (vector.dtype, vector.tolist()) == (dlc.float64, [9, 5, 0, 1, 2, 3])
    back = unravel(vector + 1)
    assert back["n"] == [6, None]
    assert [back[k].dtype for k in "wb"] == [dlc.float32, dlc.float64]
    np.testing.assert_array_equal(back["w"], given["w"] + 1)
    assert dlc.ravel_pytree(())[0].shape == (0,)
    for wrong in (np.ones(5), np.ones((6, 1))):
        with pytest.raises(dlc.ShapeError, match="the tree has 6 elements"):
            unravel(wrong)


def test_ravel_pytree_of_traced_trees():
    @dlc.compile
    def newton(tree):
        vector, unravel = dlc.ravel_pytree(tree)
        cost = lambda v: dlc.sum(dlc.cosh(v) + v**2)  # noqa: E731
        return unravel(vector - dlc.linalg.solve(dlc.hessian(cost)(vector), dlc.grad(cost)(vector)))

    for rows in (2, 3, 4):  # of an open extent from the second one on
        x = np.linspace(-1, 1, 2 * rows).reshape(rows, 2)
        found = newton({"x": x, "y": np.ones(1)})["x"]
        np.testing.assert_allclose(found, x - (np.sinh(x) + 2 * x) / (np.cosh(x) + 2), rtol=1e-12)
    assert newton.stats.compilations == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [("tree_map", "dlc.tree.map"), ("reduce", "functools.reduce"), ("unflaten", "'unflatten'")],
)
def test_names_of_trees_elsewhere(name, said):
    with pytest.raises(
        AttributeError, match=rf"module 'dlc.tree' has no attribute '{name}'.*{said}"
    ):
        getattr(dlc.tree, name)
