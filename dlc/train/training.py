"""`Training`: a model with an optimizer, a loss and metrics; the loops over epochs and batches."""

from __future__ import annotations

import inspect
import itertools
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

import dlc
from dlc import optim
from dlc.callbacks.callback_list import CallbackList
from dlc.callbacks.history import History
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.ir.integers import at_least
from dlc.ir.record import NamedTuple
from dlc.train import added_losses, masks
from dlc.train.added_losses import collect_losses
from dlc.train.arrays import Arrays, Batch, is_arrays, leaves_of, split_tail
from dlc.train.batches import Source, source_of, unpack
from dlc.train.fit_state import FitState
from dlc.train.interrupts import Interrupts
from dlc.train.loss_watch import LossWatch
from dlc.train.modes import evaluating, in_mode
from dlc.train.outputs import Outputs
from dlc.train.pace import Pace
from dlc.train.progress import ProgressBar
from dlc.train.steps import Model, Steps

Numbers = dict[str, float]
_loss: Callable[[Any], Any] = operator.methodcaller("get", "loss")


class FitSettings(NamedTuple):
    """The settings of `dlc.nn.Module.fit`, under its names."""

    batch_size: int | None
    epochs: int
    verbose: Any
    callbacks: Sequence[Any] | None
    validation_split: float
    validation_data: Any
    shuffle: bool
    class_weight: dict[int, float] | None
    initial_epoch: int
    steps_per_epoch: int | None
    validation_steps: int | None
    validation_batch_size: int | None
    validation_freq: int


class Training:
    """How a model is trained; `model.compile` makes one.

    Args:
        model: The model.
        optimizer: An optimizer of `dlc.optim`, or a name.
        loss: A loss, a name or a function of (y_true, y_pred); for several outputs a list or dict.
        loss_weights: A factor for each of several losses.
        metrics: Metrics, names or functions; for several outputs a list or dict of lists.
        weighted_metrics: The same, of metrics for which sample weights count.
        run_eagerly: Whether steps run op by op, for a debugger.
        jit_compile: False for the same as run_eagerly.
        steps_per_execution: How many steps callbacks see as one.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        jit_compile: bool | Literal["auto"] = "auto",
        steps_per_execution: int = 1,
    ) -> None:
        self.model = model
        self.optimizer = optim.get(optimizer)
        self.outputs = Outputs(loss, loss_weights, metrics, weighted_metrics)
        self.steps = Steps(model, self.outputs, run_eagerly or jit_compile is False)
        self.steps_per_execution = at_least(steps_per_execution, 1, "steps_per_execution")
        self.stop_training = False
        self.history: History | None = None
        self.state: FitState | None = None  # of the last fit
        self.seed = int(dlc.random.bits(None, (1,)).numpy()[0])
        self._in_step = False  # of the default ones, which add to the mean of losses themselves
        self._lately: dict[int, float] = {}  # seconds of a step, by the samples of a batch
        self.passes = 0  # over data in orders of that seed

    # Steps, which are compiled.

    def train_step(self, batch: Batch) -> dict[str, Any]:
        """A step of the optimizer; returns the metrics so far."""
        x, y, weight = unpack(batch)

        def loss_of(model: Model) -> tuple[Any, Any]:
            with collect_losses():  # of this trace
                predicted = model(x)
                loss = self._loss_of(model, x, y, predicted, weight, training=True)
                return loss, (predicted, masks.each_of(predicted))

        (_, (predicted, found)), gradients = dlc.value_and_grad(loss_of, has_aux=True)(self.model)
        self.optimizer.apply(dlc.tree.leaves(gradients), dlc.tree.leaves(self.model))
        masks.note_each(predicted, found)
        return self.model.compute_metrics(x, y, predicted, weight)

    def test_step(self, batch: Batch) -> dict[str, Any]:
        """Adds a batch to the metrics; returns them."""
        x, y, weight = unpack(batch)
        predicted = self.model(x)
        self._loss_of(self.model, x, y, predicted, weight, training=False)
        return self.model.compute_metrics(x, y, predicted, weight)

    def _loss_of(
        self, model: Model, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool
    ) -> Any:
        """What `compute_loss` of the model or its class gives, which the mean of losses gets."""
        mode: dict[str, Any] = {}
        if "training" in inspect.signature(model.compute_loss).parameters:
            mode["training"] = training
        self._in_step = True
        try:
            loss = model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **mode)
        finally:
            self._in_step = False
        self.outputs.mean.update_state(dlc.stop_gradient(loss), _rows(x))
        return loss

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
    ) -> Any:
        """The loss of a batch, with what layers have added; it is added to the mean of losses."""
        rows = _rows(y_pred if x is None else x)
        loss = self.outputs.loss(y, y_pred, sample_weight, rows, added_losses.take())
        if not self._in_step:
            self.outputs.mean.update_state(dlc.stop_gradient(loss), rows)
        return loss

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Adds a batch to the metrics; returns them, with the mean of losses."""
        self.steps.predicted = y_pred
        self.outputs.update(y, y_pred, sample_weight)
        return self.outputs.results()

    def reset_metrics(self) -> None:
        """Lets the mean of losses and all metrics of the model begin again."""
        self.outputs.reset(self.model.metrics)

    def on_batch(
        self,
        name: str,
        x: Any,
        y: Any,
        sample_weight: Any,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """A step of training or of a test on one batch; see `dlc.nn.Module.train_on_batch`."""
        source = source_of(x, y, sample_weight, sys.maxsize, class_weight=class_weight)
        (batch,) = source.epoch(0)
        with in_mode(self.model, name == "train_step"):
            self._examine(name, batch, source, "the batch")
            logs = self.steps.run(name, batch)
        return _listed({**self._numbers(logs), **self.outputs.host_results()}, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The predictions for one batch, as NumPy arrays."""
        (batch,) = source_of(x, batch_size=sys.maxsize).epoch(0)
        with evaluating(self.model):
            self.steps.prepare("predict_step", batch)
            return dlc.tree.map(lambda t: t.numpy(), self.steps.run("predict_step", batch))

    # Loops.

    def fit(self, x: Any, y: Any, sample_weight: Any, how: FitSettings) -> History:
        """Trains for some epochs; see `dlc.nn.Module.fit`."""
        source, checked = self._sources(x, y, sample_weight, how)
        verbose = _verbosity(how.verbose)
        hooks = self._hooks(source, verbose, how.callbacks, how.epochs, add_history=True)
        if how.validation_freq != 1:
            hooks.params["validation_freq"] = how.validation_freq
        history = self.history = hooks.history
        assert history is not None
        self.stop_training = False
        self.model.train()
        state = self.state = FitState(self, hooks, how.initial_epoch)
        hooks.call("on_train_begin", {})
        if state.resumed:  # with another order of samples
            source, checked = self._sources(x, y, sample_weight, how)
        with Interrupts() as interrupts:
            while state.epoch < how.epochs and (state.step or not self.stop_training):
                epoch = state.epoch
                hooks.call("on_epoch_begin", epoch, {})
                if state.step:
                    state.load_again()
                if epoch > how.initial_epoch and not self.model.training:
                    self.model.train()  # a hook has changed it
                if verbose:
                    print(f"Epoch {epoch + 1}/{how.epochs}", flush=True)
                bar = ProgressBar(source.steps, verbose)
                logs = self._train_epoch(source, state, bar, interrupts)
                done = state.step
                if checked is not None and (epoch + 1) % how.validation_freq == 0:
                    found = self._evaluate(checked, hooks)
                    logs.update({f"val_{name}": value for name, value in found.items()})
                bar.finish(done, logs)
                interrupts.inside = True
                state.epoch, state.step, state.logs = epoch + 1, 0, logs
                hooks.call("on_epoch_end", epoch, logs)
                interrupts.leave()
        if self.optimizer.settings["use_ema"] and history.epoch:
            self.optimizer.finalize_variable_values()
        hooks.call("on_train_end", state.logs)
        return history

    def _sources(
        self, x: Any, y: Any, sample_weight: Any, how: FitSettings
    ) -> tuple[Source, Source | None]:
        """Where the batches of training and of validation come from."""
        share, held_out = how.validation_split, how.validation_data
        at_least(how.epochs, 0, "epochs")
        at_least(how.initial_epoch, 0, "initial_epoch")
        at_least(how.validation_freq, 1, "validation_freq")
        if not 0 <= share < 1:
            raise ValueRangeError(f"validation_split={share}: at least 0, less than 1")
        if share and held_out is None:
            parts = [split_tail(t, share) for t in (x, y, sample_weight)]
            (x, y, sample_weight), held_out = zip(*parts, strict=True)
        seed = self.seed if how.shuffle else None
        source = source_of(
            x, y, sample_weight, how.batch_size, seed, how.steps_per_epoch, how.class_weight,
            how.initial_epoch,
        )  # fmt: skip
        if held_out is None:
            return source, None
        size = how.validation_batch_size or how.batch_size
        return source, _validation_source(held_out, size, how.validation_steps)

    def _train_epoch(
        self, source: Source, state: FitState, bar: ProgressBar, interrupts: Interrupts
    ) -> Numbers:
        epoch, start, hooks = state.epoch, state.step, state.hooks
        number = epoch + state.passes_before if source.ordered else epoch
        self.passes = state.passes_before + epoch + 1
        logs: dict[str, Any] = dict(state.logs)
        if not start:
            self.reset_metrics()
            logs = {}
        begins, ends = hooks.wants("on_train_batch_begin"), hooks.wants("on_train_batch_end")
        picked = self._picked(source)
        data = None if picked is None else picked.data
        batches = source.epoch(number, start) if picked is None else picked.picks(number, start)
        losses, together = LossWatch(epoch, hooks.handles_nan, self.steps), self.steps_per_execution
        alike = isinstance(source, Arrays)
        whole = source.steps if alike else -1  # others have to be asked for another batch
        pace = self._pace(source, seen=begins or ends)
        ended, done, shown, run = start > 0 and self.stop_training, start, start, None
        while not ended and done != whole:
            part = list(itertools.islice(batches, pace.steps(done)))
            if not part:
                break
            if begins and not done % together:
                hooks.call("on_train_batch_begin", done, {})
            if run is None or not alike:
                where = f"step {done + 1} of epoch {epoch + 1}"
                self._examine("train_step", part[0], source, where, data)
                if bar.verbose:
                    bar.samples = len(leaves_of(part[0])[0])
                run = self.steps.runner("train_step", data)
            noted, logs = _run(run, part, state, interrupts)
            losses.note(done, noted)
            done = state.step
            if done % together:
                continue
            if bar.verbose == 1 and bar.wants_update(done - shown):
                bar.update(done, self.outputs.in_order(logs))
            shown = done
            if ends:
                losses.look()
                hooks.call("on_train_batch_end", done - 1, self._numbers(logs))
            ended = self.stop_training
        losses.look()
        if isinstance(source, Arrays):
            self._lately[source.batch_size] = pace.note(done)
        if ends and done > start and done % together:  # fewer were left
            hooks.call("on_train_batch_end", done - 1, self._numbers(logs))
        return {**self._numbers(logs), **self.outputs.host_results()}

    def _pace(self, source: Source, seen: bool) -> Pace:
        """How many steps run together; one by one where hooks see them, or batches differ."""
        if not isinstance(source, Arrays):
            return Pace(1, hurried=False)
        return Pace(self.steps_per_execution, not seen, self._lately.get(source.batch_size, 0.0))

    def _picked(self, source: Source) -> Arrays | None:
        """The source, where steps pick the rows of batches out of all data themselves."""
        if not isinstance(source, Arrays) or source.order is None:
            return None
        return source if self.steps.can_pick(source.data) else None

    def _examine(
        self, name: str, batch: Any, source: Source, where: str, data: Batch | None = None
    ) -> None:
        """Compiles the step for a batch, and looks at its labels; once for arrays.

        Args:
            name: The step.
            batch: A batch, or the numbers of its rows.
            source: Where it comes from.
            where: What batch it is.
            data: What it has the rows of.
        """
        given, picks = (batch, None) if data is None else (data, batch)
        if isinstance(source, Arrays):
            if source.examined:
                return
            source.examined = True
        elif 0 in leaves_of(batch)[0].shape[:1] or not leaves_of(batch)[0].shape:
            raise ShapeError(f"{where}: the batch has no samples")
        self.steps.prepare(name, given, picks)
        self.outputs.check_labels(given, source, where)

    def _numbers(self, logs: dict[str, Any]) -> Numbers:
        found: Numbers = {}
        for name, value in self.outputs.in_order(logs).items():
            if isinstance(value, dlc.Tensor) and value.size != 1:
                raise ArgumentError(
                    f"the metric {name!r} gives {value.tensor}, not a number",
                    hint="give a metric for each of its numbers, such as one threshold",
                )
            found[name] = float(value.item() if isinstance(value, dlc.Tensor) else value)
        return found

    def _evaluate(
        self, source: Source, hooks: CallbackList, bar: ProgressBar | None = None
    ) -> Numbers:
        self.reset_metrics()
        hooks.call("on_test_begin", {})
        begins, ends = hooks.wants("on_test_batch_begin"), hooks.wants("on_test_batch_end")
        together, done = self.steps_per_execution, 0
        logs: dict[str, Any] = {}
        with evaluating(self.model):
            for step, batch in enumerate(source.epoch(0)):
                if begins and not step % together:
                    hooks.call("on_test_batch_begin", step, {})
                self._examine("test_step", batch, source, f"batch {step + 1} of the evaluation")
                logs = self.steps.run("test_step", batch)
                if bar is not None and bar.wants_update():
                    bar.update(step + 1, self.outputs.in_order(logs))
                done = step + 1
                if ends and not done % together:
                    hooks.call("on_test_batch_end", step, self._numbers(logs))
            if ends and done % together:
                hooks.call("on_test_batch_end", done - 1, self._numbers(logs))
            numbers = {**self._numbers(logs), **self.outputs.host_results()}
            hooks.call("on_test_end", numbers)
        return numbers

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Sequence[Any] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss and the metrics on data; see `dlc.nn.Module.evaluate`."""
        source = source_of(x, y, sample_weight, batch_size, steps=steps, use="an evaluation")
        verbose = _verbosity(verbose)
        hooks = self._hooks(source, verbose, callbacks, epochs=1)
        bar = ProgressBar(source.steps, verbose)
        numbers = self._evaluate(source, hooks, bar)
        bar.finish(source.steps or 0, numbers)
        return _listed(numbers, return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = 0,
        steps: int | None = None,
        callbacks: Sequence[Any] | None = None,
    ) -> Any:
        """The predictions for all samples, as NumPy arrays; see `dlc.nn.Module.predict`."""
        source = source_of(x, None, None, batch_size, steps=steps, use="a prediction")
        verbose = _verbosity(verbose)
        hooks = self._hooks(source, verbose, callbacks, epochs=1)
        bar = ProgressBar(source.steps, verbose)
        found: list[Any] = []
        with evaluating(self.model):
            hooks.call("on_predict_begin", {})
            for step, (given, *_) in enumerate(source.epoch(0)):
                hooks.call("on_predict_batch_begin", step, {})
                self.steps.prepare("predict_step", (given, None, None))
                predicted = self.steps.run("predict_step", (given, None, None))
                found.append(dlc.tree.map(lambda t: t.numpy(), predicted))
                hooks.call("on_predict_batch_end", step, {"outputs": found[-1]})
                if bar.wants_update():
                    bar.update(step + 1, {})
            hooks.call("on_predict_end", {})
        bar.finish(len(found), {})
        return dlc.tree.map(lambda *parts: np.concatenate(parts), *found)

    def _hooks(
        self,
        source: Source,
        verbose: int,
        callbacks: Sequence[Any] | None,
        epochs: int,
        add_history: bool = False,
    ) -> CallbackList:
        """The callbacks, told how they are called."""
        hooks = CallbackList(
            callbacks, add_history, self.model, epochs=epochs, steps=source.steps, verbose=verbose
        )
        if self.steps_per_execution != 1:
            hooks.params["steps_per_execution"] = self.steps_per_execution
        return hooks


def _rows(x: Any) -> dlc.Tensor:
    """How many samples there are, as the weight of their mean."""
    return dlc.astype(dlc.asarray(dlc.tree.leaves(x)[0].shape[0]), dlc.float32)


def _verbosity(verbose: Any) -> int:
    if verbose not in ("auto", 0, 1, 2):
        raise ValueRangeError(f'verbose={verbose!r} must be "auto", 0, 1 or 2')
    return 1 if verbose == "auto" else int(verbose)


def _run(
    run: Callable[[Iterable[Any]], Iterator[Any]],
    batches: Sequence[Any],
    state: FitState,
    interrupts: Interrupts,
) -> tuple[list[Any], dict[str, Any]]:
    """The losses of steps on batches, each of which is made whole or not, and the last's numbers.

    What is not kept of a step is memory that the next one has its results in.
    """
    losses: list[Any] = []
    before = state.step
    interrupts.inside = True
    try:
        losses.extend(map(_loss, run(batches[:-1])))
        (last,) = run(batches[-1:])
        losses.append(_loss(last))
    finally:
        state.step = before + len(losses)
    interrupts.inside = False
    if interrupts.pending:
        interrupts.leave()
    return losses, last


def _listed(numbers: Numbers, return_dict: bool) -> Any:
    """Numbers by name, or in a list, or the only one."""
    values = list(numbers.values())
    return numbers if return_dict else values[0] if len(values) == 1 else values


def _validation_source(data: Any, batch_size: int | None, steps: int | None) -> Source:
    if isinstance(data, (tuple, list)):
        return source_of(*unpack(data), batch_size, steps=steps, use="a validation")
    size = batch_size if is_arrays(data) else None
    return source_of(data, batch_size=size, steps=steps, use="a validation")
