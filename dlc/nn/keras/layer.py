"""What layers by Keras's names share: names, element types, where channels are, windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import dlc
from dlc.ir.errors import ArgumentError, nearest
from dlc.nn import constraints, regularizers
from dlc.nn.described import one_of
from dlc.nn.module import Module
from dlc.nn.module_form import at_path
from dlc.nn.walking import members
from dlc.train import added_losses

_COMMON = ("name", "dtype", "trainable", "activity_regularizer")


class Layer(Module):
    """The base of layers by Keras's names, and of your own that call `super().__init__(**kwargs)`.

    Args:
        name: The layer's name, by which `model.get_layer` finds it.
        dtype: The element type of the parameters; float32 for None.
        trainable: Whether the parameters are trained.
        kernel_regularizer, bias_regularizer: What is added to the loss for the attributes `kernel`
            and `bias` (see `dlc.nn.regularizers`).
        kernel_constraint, bias_constraint: What they are made to fulfil after each update (see
            `dlc.nn.constraints`).
        activity_regularizer: What is added for the result, over the number of samples.

    Example:
        >>> class Double(dlc.nn.Layer):
        ...     def call(self, x):
        ...         return x * 2
        >>> Double(name="twice").name
        'twice'
    """

    # The attributes of parameters whose penalties have an argument, by the first word of it.
    regularized: ClassVar[Mapping[str, str]] = {"kernel": "kernel", "bias": "bias"}

    def __init__(self, **common: Any) -> None:
        layer = type(self).__name__
        penalties = [f"{word}_regularizer" for word in self.regularized]
        limits = [f"{word}_constraint" for word in self.regularized]
        known_words = (*_COMMON, *penalties, *limits)
        for word in common:
            if word not in known_words:
                raise ArgumentError(
                    f"{layer} has no argument {word!r}", hint=nearest(word, known_words)
                )
        self.name = common.get("name")
        self.dtype = dlc.spec((), common.get("dtype")).dtype
        self._frozen = not common.get("trainable", True)
        for word in ("activity_regularizer", *penalties):
            setattr(self, word, regularizers.get(common.get(word)))
        for word in limits:
            setattr(self, word, constraints.get(common.get(word)))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Computes, and adds what the regularizers say to the loss."""
        result = super().__call__(*args, **kwargs)
        if added_losses.are_collected():
            self.add_penalties()
            if self.activity_regularizer is not None:
                self.add_loss(self.activity_regularizer(result) / result.shape[0])
        return result

    def add_penalties(self) -> None:
        """Adds what the regularizers of parameters say to the loss, once in a step."""
        for word, name in self.regularized.items():
            penalty, value = getattr(self, f"{word}_regularizer"), getattr(self, name, None)
            if penalty is not None and value is not None and not self.has_loss(name):
                self.add_loss(penalty(value), name)
        for name, held in members(self._source or self):
            if isinstance(held, dlc.Variable) and held.regularizer is not None:
                value = held if self._source is None else at_path(self, name)
                self.add_loss(held.regularizer(value), f"weight {name}")

    def add_weight(
        self,
        shape: Any = (),
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        name: str | None = None,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> dlc.Variable:
        """A new parameter or buffer, of the layer's element type.

        Args:
            shape: Its shape.
            initializer: A name or function; see `Module.add_weight`.
            dtype: Its element type; that of the layer for None.
            trainable: Whether it is trained.
            name: A name for messages.
            regularizer: What is added to the loss for it (see `dlc.nn.regularizers`).
            constraint: What it is made to fulfil after each update (see `dlc.nn.constraints`).
        """
        made = super().add_weight(shape, initializer, dtype or self.dtype, trainable, name)
        made.regularizer, made.constraint = (
            regularizers.get(regularizer),
            constraints.get(constraint),
        )
        return made

    def ensure_built(self, *shapes: Any) -> None:
        """Makes what `build` makes for inputs of these shapes, unless it is there."""
        before = self.built
        super().ensure_built(*shapes)
        if before:
            return
        for word, name in self.regularized.items():
            held, limit = getattr(self, name, None), getattr(self, f"{word}_constraint")
            if isinstance(held, dlc.Variable) and limit is not None:
                held.constraint = limit
        if self._frozen:
            self.requires_grad_(False)


def channels_last(layer: str, data_format: str | None) -> bool:
    """Whether channels are the last axis, as they are for None."""
    formats = (None, "channels_last", "channels_first")
    return one_of(layer, "data_format", data_format, formats) != "channels_first"


def known(layer: Module, extent: Any, what: str) -> int:
    """An extent from which a layer is built; ShapeError where it is a symbol."""
    if not isinstance(extent, int):
        raise dlc.ShapeError(f"{type(layer).__name__}: {what} must be known, it is {extent}")
    return extent
