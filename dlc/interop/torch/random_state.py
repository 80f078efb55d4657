"""The random state of a compiled graph: PyTorch's generator, read and advanced at each call."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch.fx import Node


def next_key() -> np.ndarray[Any, Any]:
    """A random key for one call: the next two words of PyTorch's default generator.

    So `torch.manual_seed` seeds the numbers, and the state is what `torch.get_rng_state` returns.
    """
    import torch

    words = torch.randint(0, 2**32, (2,), dtype=torch.int64, device="cpu")
    return words.numpy().astype(np.uint32)


def describe_drawn_again(nodes: Sequence[Node]) -> None:
    """Says of the nodes of checkpoints what their results are: the partitioner leaves that out."""
    import torch

    for node in nodes:
        name = getattr(node.target, "__name__", "")
        saves = name == "run_and_save_rng_state"
        if "val" in node.meta or not (saves or name == "run_with_rng_state"):
            continue
        users = [n for n in node.users if n.target is operator.getitem]
        results = _described(node.args if saves else node.args[1:], node.kwargs)
        if saves:
            shape = torch.get_rng_state().shape
            results = (_described((torch.empty, shape), {"dtype": torch.uint8}), results)
        node.meta["val"] = results
        for user in users:
            user.meta.setdefault("val", results[user.args[1]])  # type: ignore[index]


def _described(args: Sequence[Any], keywords: Any) -> Any:
    from torch._guards import detect_fake_mode
    from torch._subclasses import FakeTensorMode
    from torch.fx import Node
    from torch.fx.node import map_aggregate

    def value(x: Any) -> Any:
        return x.meta["val"] if isinstance(x, Node) else x

    call, *given = args
    filled: Any = map_aggregate(tuple(given), value)
    with detect_fake_mode(filled) or FakeTensorMode():
        return call(*filled, **map_aggregate(dict(keywords), value))
