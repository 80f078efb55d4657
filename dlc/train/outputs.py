"""`Outputs`: the losses and metrics of a model's outputs, one or several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import dlc
from dlc import losses, metrics
from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.ir.record import NamedTuple
from dlc.metrics.metric import Mean, Metric, reset_all
from dlc.metrics.names import accuracy_for
from dlc.train import masks
from dlc.train.arrays import Arrays, Batch
from dlc.train.batches import Source


def _paired(given: Any, names: Sequence[str], what: str) -> list[Any]:
    """What belongs to each output, of a list or a dict; one thing is for all."""
    if isinstance(given, Mapping):
        unknown = [n for n in given if n not in names]
        if unknown:
            raise ArgumentError(
                f"{what} for {unknown[0]!r}, but the outputs are {', '.join(names)}"
            )
        return [given.get(n) for n in names]
    if isinstance(given, (list, tuple)):
        if len(given) != len(names):
            raise ArgumentError(f"{len(given)} {what} for {len(names)} outputs")
        return list(given)
    return [given] * len(names)


def _names(shapes: Any, given: Sequence[str] | None = None) -> list[str]:
    """The outputs' names: keys of a dict, else those given or numbers; none for a single one."""
    if isinstance(shapes, Mapping):
        return [str(k) for k in sorted(shapes)]
    if isinstance(shapes, list) or (shapes and isinstance(shapes[0], (tuple, list))):
        numbered = [f"output_{k}" for k in range(len(shapes))]
        return list(given) if given is not None and len(given) == len(shapes) else numbered
    return [""]


def _parts(tree: Any, names: Sequence[str]) -> list[Any]:
    """The parts of a prediction, or of true values, for each output."""
    if names == [""]:
        return [tree]
    if isinstance(tree, Mapping):
        return [tree[n] for n in names]
    return list(tree)


def _masked(predicted: Any, weight: Any, reduction: str = "sum") -> Any:
    """The factors of samples, where predictions have a mask those of their steps."""
    mask = masks.of(predicted)
    return weight if mask is None else masks.with_weights(mask, weight, reduction)


def _are_classes(labels: np.ndarray[Any, Any], count: int) -> bool:
    """Whether all labels are from 0 to `count` - 1."""
    # Less code of NumPy's, which beside short steps is in no cache, than for the extremes as such.
    return labels.item(labels.argmax()) < count and labels.item(labels.argmin()) >= 0


class _Measured(NamedTuple):
    """A metric with the number of its output, and whether sample weights count."""

    output: int
    metric: Metric
    weighted: bool


class Outputs:
    """The losses and metrics of a model.

    Args:
        loss: A loss for the only output, or for each; None for none.
        loss_weights: A factor for each loss.
        plain: Metrics for the only output, or lists of them for each; sample weights do not count.
        weighted: The same, of metrics for which they do.
    """

    def __init__(self, loss: Any, loss_weights: Any, plain: Any, weighted: Any = None) -> None:
        self._given = loss, loss_weights
        # Without any, a model of steps of its own need not give predictions.
        self.wanted = any(x is not None for x in (loss, plain, weighted))
        self._metrics = plain, weighted
        self.mean = Mean("loss")
        self.names: list[str] = [""]
        self.losses: list[losses.Loss | None] = []
        self.parts: list[Mean | None] = []  # means of the losses of several outputs
        self.weights: list[float] = []
        self.metrics: list[_Measured] = []
        self._all: list[Metric] = [self.mean]
        self._outside: list[Metric] = []  # of compiled steps: what is added to by Python
        self.told_loss: dlc.Tensor | None = None  # the mean of losses that was asked for last
        self.built = False
        self._classes: int | None = None

    def build(self, y: Any, shapes: Any, names: Sequence[str] | None = None) -> None:
        """Chooses losses and metrics by the shapes of true values and predictions.

        Args:
            y: The true values.
            shapes: Those of the predictions.
            names: Of several predictions that are no dict, if they have any.
        """
        loss, weights = self._given
        self.names = _names(shapes, names)
        count = len(self.names)
        given = [loss] if count == 1 and not isinstance(loss, (list, dict)) else loss
        self.losses = [
            None if x is None else losses.get(x) for x in _paired(given, self.names, "losses")
        ]
        self.weights = [
            1.0 if w is None else float(w) for w in _paired(weights, self.names, "loss weights")
        ]
        several = sum(x is not None for x in self.losses) > 1
        self.parts = [
            Mean(f"{name}_loss") if several and held is not None else None
            for name, held in zip(self.names, self.losses, strict=True)
        ]
        true = [None] * count if y is None else self._true(y)
        parts = _parts(shapes, self.names)
        for metric, counts in zip(self._metrics, (False, True), strict=True):
            nested = count > 1 and isinstance(metric, (list, tuple, dict))
            each = _paired(metric, self.names, "lists of metrics") if nested else [metric] * count
            for k, wanted in enumerate(each):
                for m in wanted if isinstance(wanted, (list, tuple)) else [wanted]:
                    if m is not None:
                        found = self._metric(k, m, true[k], parts[k])
                        found.name = self._free_name(k, found.name, counts)
                        self.metrics.append(_Measured(k, found, counts))
        self._all = [*self.means, *(m.metric for m in self.metrics)]
        self._outside = [m for m in self._all if m.on_host]
        only = self.losses[0] if count == 1 else None
        if isinstance(only, losses.SparseCategoricalCrossentropy) and shapes:
            extent, ignored = shapes[-1], only.settings["ignore_class"]
            self._classes = extent if isinstance(extent, int) and ignored is None else None
        self.built = True

    def _metric(self, k: int, given: Any, y: Any, shape: Sequence[Any]) -> Metric:
        if given in ("accuracy", "acc"):
            found = accuracy_for(getattr(y, "shape", ()), shape)
        else:
            found = metrics.get(given)
        if isinstance(given, str):
            found.name = given  # as Keras: what the user calls it
        if self.names[k] and not isinstance(given, Metric):
            found.name = f"{self.names[k]}_{found.name}"
        found.reset_state()  # it may have been used before
        return found

    def _free_name(self, k: int, name: str, weighted: bool) -> str:
        """The name of a metric, or where another one has it the one that Keras gives it."""
        taken = {m.metric.name for m in self.metrics}
        if weighted and name in taken:
            prefix = f"{self.names[k]}_" if self.names[k] else ""
            name = f"{prefix}weighted_{name.removeprefix(prefix)}"
        numbered, count = name, 0
        while numbered in taken:
            count += 1
            numbered = f"{name}_{count}"
        return numbered

    def _true(self, y: Any, needed: Iterable[int] = ()) -> list[Any]:
        """The true values of each output.

        Args:
            y: All of them.
            needed: The outputs that must have some.

        Raises:
            ArgumentError: where they have none, or are not one for each.
        """
        names = self.names
        if names == [""]:
            return [y]
        if isinstance(y, Mapping):
            if missing := [names[k] for k in needed if names[k] not in y]:
                raise ArgumentError(
                    f"no true values for the output {missing[0]!r}",
                    hint=f"given were {', '.join(map(repr, y))}; the outputs are "
                    f"{', '.join(map(repr, names))}",
                )
            return [y.get(n) for n in names]
        if not isinstance(y, (list, tuple)) or len(y) != len(names):
            found = f"{len(y)} parts" if isinstance(y, (list, tuple)) else "one array"
            raise ArgumentError(
                f"true values in {found} for {len(names)} outputs",
                hint=f"give a list, or a dict of the outputs {', '.join(names)}",
            )
        return list(y)

    def check_labels(self, batch: Batch, source: Source, where: str) -> None:
        """Looks at the numbers of classes in a batch, or in all data where that is in memory.

        Args:
            batch: A batch.
            source: Where it comes from.
            where: What batch it is.

        Raises:
            ValueRangeError: for a class that the model does not have.
        """
        y = batch[1]
        if isinstance(source, Arrays):
            y, where = source.data[1], source.what
        if self._classes is None or not isinstance(y, np.ndarray) or not y.size:
            return
        if _are_classes(y, self._classes):
            return
        wrong = np.argwhere(~((y >= 0) & (y < self._classes)))[0]
        raise ValueRangeError(
            f"label {y[tuple(wrong)]} of sample {wrong[0]} of {where}: the model has "
            f"{self._classes} classes, 0 to {self._classes - 1}"
        )

    def loss(self, y: Any, predicted: Any, weight: Any, rows: Any, added: Any = 0) -> Any:
        """The loss of a batch, a scalar.

        Of several outputs, each one's is added to its own mean, without its factor.

        Args:
            y: The true values.
            predicted: The predictions.
            weight: A factor for each sample, or None.
            rows: How many samples there are, for the means.
            added: What layers have added, 0 for nothing.

        Raises:
            ArgumentError: for a model without a loss, and for true values that are missing.
        """
        total = added if isinstance(added, dlc.Tensor) else None
        if not any(self.losses):
            if total is not None:
                return total
            raise ArgumentError(
                "there is no loss to train with",
                hint='give one: model.compile(optimizer, loss="mse"), or define compute_loss',
            )
        if y is None:
            raise ArgumentError("the data has no true values, which the loss needs")
        wanted = [k for k, held in enumerate(self.losses) if held is not None]
        pairs = zip(self._true(y, wanted), _parts(predicted, self.names), strict=True)
        weights = _paired(weight, self.names, "sample weights")
        for k, (true, pred) in enumerate(pairs):
            held = self.losses[k]
            if held is not None:
                part = held(true, pred, _masked(pred, weights[k], held.reduction))
                if (mean := self.parts[k]) is not None:
                    mean.update_state(dlc.stop_gradient(part), rows)
                part = part * self.weights[k]
                total = part if total is None else total + part
        return total

    def update(self, y: Any, predicted: Any, weight: Any, host: bool = False) -> None:
        """Adds a batch to the metrics that run inside compiled steps, or (`host`) to the others."""
        if y is None:
            return
        true = self._true(y, [m.output for m in self.metrics])
        pred = _parts(predicted, self.names)
        weights = _paired(weight, self.names, "sample weights")
        for k, metric, counts in self.metrics:
            if metric.on_host == host:
                factors = _masked(pred[k], weights[k] if counts else None)
                metric.update_state(true[k], pred[k], factors)

    @property
    def on_host(self) -> bool:
        """Whether any metric is added to outside compiled steps."""
        return bool(self._outside)

    @property
    def means(self) -> list[Mean]:
        """The mean of losses, and those of several outputs."""
        return [self.mean, *(m for m in self.parts if m is not None)]

    def results(self) -> dict[str, dlc.Tensor]:
        """The mean of losses and the metrics, so far."""
        found = {m.name: m.result() for m in self._all if not m.on_host}
        self.told_loss = found[self.mean.name]
        return found

    def in_order(self, logs: Mapping[str, Any]) -> dict[str, Any]:
        """Numbers by name, the loss first, then the metrics, then others."""
        found: dict[str, Any] = {}
        for metric in self._all:
            if metric.name in logs:
                found[metric.name] = logs[metric.name]
        return {**found, **logs}

    def host_results(self) -> dict[str, float]:
        """The metrics that are added to outside compiled steps."""
        return {m.name: m.result().item() for m in self._outside} if self._outside else {}

    def state_dict(self) -> dict[str, Any]:
        """The state of the metrics, for a checkpoint."""
        held = [m.metric.state_dict() for m in self.metrics]
        return {"means": [m.state_dict() for m in self.means], "metrics": held}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state_dict` gave.

        Raises:
            ValueRangeError: for another number of metrics.
        """
        found, wanted = state["metrics"], len(self.metrics)
        # A state of before losses had means of their own has that of the whole loss.
        means = state["means"] if "means" in state else [state["mean"]]
        if len(found) != wanted or len(means) != len(self.means):
            saved = len(found) + len(means)
            raise ValueRangeError(
                f"a checkpoint of {saved} metrics, with those of losses, for a model with "
                f"{wanted + len(self.means)}"
            )
        for mean, one in zip(self.means, means, strict=True):
            mean.load_state_dict(one)
        for held, one in zip(self.metrics, found, strict=True):
            held.metric.load_state_dict(one)

    def reset(self, others: Iterable[Metric] = ()) -> None:
        """Begins again, and so do other metrics of the model."""
        known = {id(m) for m in self._all}
        reset_all([*self._all, *(m for m in others if id(m) not in known)])
