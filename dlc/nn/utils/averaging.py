"""Averages of the parameters of a model in training, by the names of `torch.optim.swa_utils`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import dlc
from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.nn.channel_norms import BatchNorm1d, BatchNorm2d, BatchNorm3d
from dlc.nn.module import Module
from dlc.nn.weights import NOT_BUILT

Average = Callable[[Any, Any, Any], Any]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The `avg_fn` of an exponential moving average: decay * average + (1 - decay) * new.

    Args:
        decay: The share of the old average, from 0 to 1.

    Raises:
        ValueRangeError: It is not.

    Example:
        >>> nn.utils.get_ema_avg_fn(0.75)(4.0, 8.0, 3)
        5.0
    """
    if not 0 <= decay <= 1:
        raise ValueRangeError(f"get_ema_avg_fn: decay={decay} is not from 0 to 1")
    return lambda average, new, _: average * decay + new * (1 - decay)


def get_swa_avg_fn() -> Average:
    """The `avg_fn` of the mean of all updates so far: what `AveragedModel` takes by default.

    Example:
        >>> nn.utils.get_swa_avg_fn()(4.0, 8.0, 3)
        5.0
    """
    return lambda average, new, count: average + (new - average) / (count + 1)


class AveragedModel(Module):
    """A copy of a model that holds averages of its parameters.

    Args:
        model: The model, which is copied and stays as it is.
        avg_fn: Of an average, a new value and the number of updates so far: the new average.
            `get_ema_avg_fn(decay)` makes an exponential moving average; by default all updates have
            the same weight (Izmailov et al., "Averaging weights leads to wider optima", 2018).
        use_buffers: Whether buffers are averaged, too; else they are those of the last update.

    Attributes:
        module: The copy, which calls are handed to.
        n_averaged: The number of updates, a buffer.

    Raises:
        ArgumentError: The model has no parameters yet.

    Example:
        >>> layer = dlc.nn.Linear(1, 1)
        >>> averaged = nn.utils.AveragedModel(layer)
        >>> for value in (1.0, 2.0, 6.0):
        ...     _ = layer.weight.assign([[value]])
        ...     averaged.update_parameters(layer)
        >>> averaged.module.weight.item(), averaged.n_averaged.item()
        (3.0, 3)
    """

    def __init__(
        self, model: Module, avg_fn: Average | None = None, use_buffers: bool = False
    ) -> None:
        _check_built("AveragedModel", model)
        self.module = copy.deepcopy(model)
        self.n_averaged = dlc.nn.Buffer(dlc.asarray(0, dtype=dlc.int64))
        self.avg_fn = get_swa_avg_fn() if avg_fn is None else avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the copy makes of the arguments."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Takes the parameters of the model, as they are now, into the averages.

        The first update copies them. It may be part of a compiled step that reads the model from
        outside.

        Raises:
            ArgumentError: The model has other parameters than the one that was copied.
        """
        held, new = dict(self.module.named_parameters()), dict(model.named_parameters())
        kept, other = dict(self.module.named_buffers()), dict(model.named_buffers())
        if held.keys() != new.keys() or kept.keys() != other.keys():
            raise ArgumentError(
                "AveragedModel.update_parameters: the model has other parameters than the copy",
                hint="give the model that the averages were made of",
            )
        count = self.n_averaged.value()
        for name, average in held.items():
            self._update(average, new[name], count)
        for name, buffer in kept.items():
            if self.use_buffers and buffer.dtype.is_float:
                self._update(buffer, other[name], count)
            else:
                buffer.assign(other[name].value())
        self.n_averaged.assign_add(1)

    def _update(self, average: dlc.Variable, new: dlc.Variable, count: dlc.Tensor) -> None:
        with dlc.no_grad():
            value = new.value()
            found = self.avg_fn(average.value(), value, count.astype(average.dtype))
            average.assign(dlc.where(count == 0, value, found).astype(average.dtype))


def update_bn(loader: Iterable[Any], model: Module) -> None:
    """Sets the running values of batch norms to those of data, for weights that are averages.

    Args:
        loader: Batches; of tuples and lists the first is the input.
        model: The model; it is called in training mode, and then is in the mode it was in.

    Raises:
        ArgumentError: The model has no parameters yet.

    Example:
        >>> norm = dlc.nn.BatchNorm1d(1)
        >>> nn.utils.update_bn([dlc.asarray([[1.0], [3.0]]), dlc.asarray([[5.0], [7.0]])], norm)
        >>> norm.running_mean.tolist()
        [4.0]
    """
    _check_built("update_bn", model)
    kinds = (BatchNorm1d, BatchNorm2d, BatchNorm3d)
    norms = [m for m in model.modules() if isinstance(m, kinds) and m.track_running_stats]
    if not norms:
        return
    momenta, training = [m.momentum for m in norms], model.training
    for m in norms:
        assert m.running_mean is not None
        assert m.running_var is not None
        assert m.num_batches_tracked is not None
        m.running_mean.assign(dlc.zeros_like(m.running_mean.value()))
        m.running_var.assign(dlc.ones_like(m.running_var.value()))
        m.num_batches_tracked.assign(dlc.zeros_like(m.num_batches_tracked.value()))
        m.momentum = None  # the mean of all batches
    model.train()
    try:
        with dlc.no_grad():
            for batch in loader:
                model(batch[0] if isinstance(batch, (tuple, list)) else batch)
    finally:
        model.train(training)
        for m, momentum in zip(norms, momenta, strict=True):
            m.momentum = momentum


def _check_built(name: str, model: Module) -> None:
    if not all(m.built for m in model.modules()):
        raise ArgumentError(f"{name}: the model has no parameters yet", hint=NOT_BUILT)
