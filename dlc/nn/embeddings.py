"""Tables of vectors that are learned: `Embedding`, `EmbeddingBag`."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.ir.errors import ArgumentError, DTypeError, ValueRangeError
from dlc.nn import constraints, functional, initializers, regularizers
from dlc.nn.described import one_of, positive
from dlc.nn.functional.arguments import tensor
from dlc.nn.module import Module, Parameter


def _padding_row(layer: str, padding_idx: int | None, rows: int) -> int | None:
    """The row counted from 0; ValueRangeError where there is no such row."""
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise ValueRangeError(f"{layer}(padding_idx={padding_idx}): there are {rows} rows")
    return padding_idx % rows


def _table(rows: int, width: int, padding: int | None, init: Any, dtype: Any) -> dlc.Variable:
    table = initializers.get(init)((rows, width), dtype or dlc.float32)
    if padding is not None:
        table[padding] = 0.0
    return Parameter(table, "weight")


class Embedding(Module):
    """Rows of a table by number; with PyTorch's defaults, or by Keras's arguments with Keras's.

    Args:
        num_embeddings: The number of rows.
        embedding_dim: The extent of a row.
        padding_idx: A row that is zero at first and is not trained.
        dtype: The element type of the table.
        input_dim: The number of rows by Keras's name.
        output_dim: The extent of a row by Keras's name.
        embeddings_initializer: The table at first: normal of deviation 1, as in PyTorch, or, by
            Keras's names, uniform within 0.05.
        embeddings_regularizer: What is added to the loss for the table (see
            `dlc.nn.regularizers`).
        embeddings_constraint: What it is made to fulfil after each update (see
            `dlc.nn.constraints`).
        mask_zero: Whether 0 is no number of a row but padding, which a mask leaves out: in a
            `Sequential` and in graphs of layers it goes to those with an argument `mask`, and from
            the predictions to losses and metrics.
        name: The layer's name.

    Attributes:
        weight: [num_embeddings, embedding_dim].

    Example:
        >>> dlc.nn.Embedding(10, 4)(dlc.asarray([[1, 2, 3]])).shape
        (1, 3, 4)
    """

    def __init__(  # noqa: PLR0913  PyTorch's arguments and Keras's
        self,
        num_embeddings: int | None = None,
        embedding_dim: int | None = None,
        padding_idx: int | None = None,
        dtype: Any = None,
        *,
        input_dim: int | None = None,
        output_dim: int | None = None,
        embeddings_initializer: Any = None,
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        name: str | None = None,
    ) -> None:
        self.name = name
        as_keras = input_dim is not None or output_dim is not None
        rows = num_embeddings if input_dim is None else input_dim
        width = embedding_dim if output_dim is None else output_dim
        if rows is None or width is None:
            raise ArgumentError(
                "Embedding needs num_embeddings and embedding_dim",
                hint="or input_dim and output_dim, which are Keras's names",
            )
        rows, width = positive("Embedding", num_embeddings=rows, embedding_dim=width)
        self.num_embeddings, self.embedding_dim = rows, width
        self._converts = as_keras
        self.mask_zero = bool(mask_zero)
        self.padding_idx = _padding_row("Embedding", padding_idx, rows)
        usual = "uniform" if as_keras else initializers.normal(0.0, 1.0)
        init = usual if embeddings_initializer is None else embeddings_initializer
        self.weight = _table(rows, width, self.padding_idx, init, dtype)
        self.weight.constraint = constraints.get(embeddings_constraint)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)

    def forward(self, indices: Any) -> dlc.Tensor:
        """The rows of integers [...]: [..., embedding_dim].

        By Keras's arguments floats are taken too, as an `Input` without a type has them.

        Raises:
            DTypeError: for floats, by PyTorch's arguments.
        """
        at = tensor(indices)
        if at.dtype.is_float and not self._converts:
            raise DTypeError(
                f"Embedding of {at.tensor}: indices are integers",
                hint='in a graph of layers: nn.Input(shape, dtype="int64"); '
                "Embedding(input_dim=, output_dim=) converts floats, as Keras does",
            )
        indices = dlc.astype(at, dlc.int64) if at.dtype.is_float else at
        if self.embeddings_regularizer is not None:
            self.add_loss(self.embeddings_regularizer(self.weight), "embeddings")
        return functional.embedding(indices, self.weight, padding_idx=self.padding_idx)

    def compute_mask(self, indices: Any, mask: Any = None) -> Any:
        """[...]: False for padding, with `mask_zero`; else the mask that was given."""
        return tensor(indices) != 0 if self.mask_zero else mask

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.num_embeddings}, {self.embedding_dim}"


class EmbeddingBag(Module):
    """Sums, means or maxima of rows of a table, for each bag of numbers, with PyTorch's defaults.

    Args:
        num_embeddings: The number of rows.
        embedding_dim: The extent of a row.
        mode: "mean", "sum" or "max".
        include_last_offset: Whether the last of the offsets is the number of indices.
        padding_idx: A row that is in no bag, and zero at first.
        dtype: The element type of the table.

    Attributes:
        weight: [num_embeddings, embedding_dim], normal at first.

    Example:
        >>> bags = dlc.nn.EmbeddingBag(10, 4)
        >>> bags([[1, 2], [3, 4]]).shape, bags([1, 2, 3], offsets=[0, 1]).shape
        ((2, 4), (2, 4))
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        mode: str = "mean",
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        dtype: Any = None,
    ) -> None:
        sizes = {"num_embeddings": num_embeddings, "embedding_dim": embedding_dim}
        rows, width = positive("EmbeddingBag", **sizes)
        self.num_embeddings, self.embedding_dim = rows, width
        self.mode = one_of("EmbeddingBag", "mode", mode, ("mean", "sum", "max"))
        self.include_last_offset = include_last_offset
        self.padding_idx = _padding_row("EmbeddingBag", padding_idx, rows)
        normal = initializers.normal(0.0, 1.0)
        self.weight = _table(rows, width, self.padding_idx, normal, dtype)

    def forward(
        self, indices: Any, offsets: Any = None, per_sample_weights: Any = None
    ) -> dlc.Tensor:
        """The bags [B, embedding_dim].

        Args:
            indices: [B, L]; or one after the other [L], with `offsets`.
            offsets: Where each bag begins [B].
            per_sample_weights: A factor for each index, for mode "sum".
        """
        if offsets is not None and self.include_last_offset:
            offsets = dlc.asarray(offsets, copy=None)[:-1]
        return functional.embedding_bag(
            indices, self.weight, offsets, mode=self.mode,
            per_sample_weights=per_sample_weights, padding_idx=self.padding_idx,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The sizes and the mode."""
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"
