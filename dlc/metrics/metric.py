"""`Metric`, and those that are means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import dlc
from dlc.frontend.apply import as_tensor, wide
from dlc.frontend.context import current_trace
from dlc.frontend.trace import eager
from dlc.frontend.variable_state import assign_state, restore
from dlc.ir.deferred import deferred
from dlc.ir.errors import ArgumentError
from dlc.losses import functions
from dlc.losses.classes import weighted

# Only where it is used: layers are above.
if TYPE_CHECKING:
    from dlc.nn import initializers
else:
    initializers = deferred("dlc.nn.initializers")

_First = tuple[
    dlc.Variable, Any
]  # state and what it is at first: an array or, of a scalar, a number


class Metric:
    """The base of metrics; a subclass defines `update_state` and `result`.

    Args:
        name: For the progress of training and its history; the class's name by default.

    State is made by `add_variable`, and is set back to its first value by `reset_state`.
    """

    # Whether a batch is added outside compiled steps, by Python.
    on_host: ClassVar[bool] = False

    def __init__(self, name: str | None = None) -> None:
        self.name = name or snake_case(type(self).__name__)
        self._state: list[_First] = []

    def add_variable(self, first: Any, dtype: Any = None) -> dlc.Variable:
        """State, with its first value; float32 numbers unless said otherwise."""
        with eager():  # state outlives the program that is being traced
            value = dlc.asarray(first, dtype=dtype or dlc.float32)
            variable = dlc.Variable(value)
        self._state.append((variable, value.numpy() if value.ndim else value.item()))
        return variable

    def add_weight(
        self, shape: Any = (), initializer: Any = None, dtype: Any = None, name: str | None = None
    ) -> dlc.Variable:
        """State by Keras's name for `add_variable`, with an initialiser in place of its value.

        As all state it is set back to its first value by `reset_state` (in Keras, to zeros).

        Args:
            shape: Its shape.
            initializer: A name such as "zeros" (the default), or a function of (shape, dtype).
            dtype: Its type; float32 by default.
            name: Its name, for messages.

        Example:
            >>> dlc.metrics.Metric().add_weight(shape=(2,), initializer="ones").numpy()
            array([1., 1.], dtype=float32)
        """
        kind = dtype or dlc.float32
        with eager():
            first = initializers.get(initializer or "zeros")(tuple(shape), kind)
        variable = self.add_variable(first, kind)
        variable.name = name
        return variable

    @property
    def variables(self) -> list[dlc.Variable]:
        """All state."""
        return [v for v, _ in self._state]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define update_state")

    def result(self) -> dlc.Tensor:
        """The value over all that was added, a scalar."""
        raise NotImplementedError(f"{type(self).__name__} does not define result")

    def reset_state(self) -> None:
        """Begins again."""
        _restore(self._state)

    def state_dict(self) -> dict[str, Any]:
        """All state, for a checkpoint."""
        return {str(k): variable.data for k, variable in enumerate(self.variables)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Assigns what `state_dict` gave.

        Raises:
            ValueRangeError: for a state of another kind of metric; nothing has been assigned then.
        """
        own = {str(k): variable for k, variable in enumerate(self.variables)}
        hint = "the metric must have been made in the same way"
        assign_state(type(self).__name__, "metric", own, state, hint)

    def merge_state(self, metrics: Iterable[Metric]) -> Self:
        """Adds what other metrics of this kind have seen; returns the metric.

        Raises:
            ArgumentError: for a metric of another kind.
        """
        for other in metrics:
            if type(other) is not type(self) or len(other.variables) != len(self.variables):
                raise ArgumentError(f"{self.name} cannot take in a {type(other).__name__}")
            for mine, theirs in zip(self.variables, other.variables, strict=True):
                mine.assign_add(theirs)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> dlc.Tensor:
        """Adds a batch; returns the value so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def reset_all(metrics: Sequence[Metric]) -> None:
    """Lets metrics begin again: those that have no way of their own in one go."""
    plain: list[_First] = []
    for metric in metrics:
        if type(metric).reset_state is Metric.reset_state:
            plain += metric._state
        else:
            metric.reset_state()
    _restore(plain)


def _restore(state: Sequence[_First]) -> None:
    if current_trace() is None:
        restore(state)
    else:
        for variable, first in state:
            variable.assign(first)


def snake_case(name: str) -> str:
    """`MeanSquaredError` as mean_squared_error; `AUC` as auc."""
    parts = [
        "_" + c if k and c.isupper() and not name[k - 1].isupper() else c
        for k, c in enumerate(name)
    ]
    return "".join(parts).lower()


def share(total: Any, count: Any) -> dlc.Tensor:
    """total / count, 0 where the count is 0."""
    return dlc.where(count == 0, dlc.zeros_like(total), total / dlc.where(count == 0, 1.0, count))


class Sum(Metric):
    """The sum of numbers.

    Example:
        >>> metric = dlc.metrics.Sum()
        >>> metric.update_state([1.0, 2.0])
        >>> metric([4.0]).item()
        7.0
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.total = self.add_variable(0.0)

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Adds numbers, times their weights."""
        x = dlc.astype(as_tensor(values), dlc.float32)
        x = x if sample_weight is None else weighted(x, sample_weight)[0]
        self.total.assign_add(x.sum())

    def result(self) -> dlc.Tensor:
        """The sum."""
        return self.total.value()


class Mean(Metric):
    """The mean of numbers, weighted if there are weights; 0 without any.

    Example:
        >>> metric = dlc.metrics.Mean()
        >>> metric.update_state([1.0, 3.0], sample_weight=[3.0, 1.0])
        >>> metric.result().item()
        1.5
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.total = self.add_variable(0.0)
        self.count = self.add_variable(0.0)

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Adds numbers, with their weights."""
        x = dlc.astype(as_tensor(values), dlc.float32)
        if sample_weight is None:
            weights = dlc.ones_like(x)
        else:
            x, weights = weighted(x, sample_weight)
        self.total.assign_add(x.sum())
        self.count.assign_add(weights.sum())

    def result(self) -> dlc.Tensor:
        """The mean."""
        return share(self.total.value(), self.count.value())


class MeanOf(Mean):
    """The mean of a function of true values and predictions, `(y_true, y_pred)` to a tensor."""

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        super().__init__(name or getattr(function, "__name__", None))
        self.function = function

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds a batch."""
        super().update_state(self.function(y_true, y_pred), sample_weight)


class MeanOfLoss(MeanOf):
    """The mean of a loss: predictions of a half type count at float32, at which it is kept."""

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Adds a batch."""
        super().update_state(y_true, wide(y_pred), sample_weight)


class MeanSquaredError(MeanOfLoss):
    """The mean of (y_true - y_pred)**2."""

    def __init__(self, name: str = "mean_squared_error") -> None:
        super().__init__(functions.mean_squared_error, name)


class MeanAbsoluteError(MeanOfLoss):
    """The mean of |y_true - y_pred|."""

    def __init__(self, name: str = "mean_absolute_error") -> None:
        super().__init__(functions.mean_absolute_error, name)


class RootMeanSquaredError(MeanSquaredError):
    """The root of the mean of (y_true - y_pred)**2."""

    def __init__(self, name: str = "root_mean_squared_error") -> None:
        super().__init__(name)

    def result(self) -> dlc.Tensor:
        """The root of the mean."""
        return dlc.sqrt(super().result())
