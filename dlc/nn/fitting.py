"""`Fitting`: what makes a module a model that is compiled, fitted, evaluated and saved."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

import dlc
from dlc.callbacks import History
from dlc.frontend.misuse import explained
from dlc.ir.deferred import deferred
from dlc.ir.errors import ArgumentError, ShapeError
from dlc.nn import programs, summary, weights
from dlc.train import FitSettings, Training

# Only where it is used: it knows the classes of models.
if TYPE_CHECKING:
    from dlc.nn import keras_files
else:
    keras_files = deferred("dlc.nn.keras_files")


class Fitting:
    """The methods of Keras's models; a base of `dlc.nn.Module`."""

    __slots__ = ()

    if TYPE_CHECKING:
        _fitting: Training | None

        def parameters(self) -> Iterator[dlc.Variable]:
            """Of `dlc.nn.Module`."""
            ...

        def state_dict(self) -> dict[str, dlc.Tensor]:
            """Of `dlc.nn.Module`."""
            ...

        def load_state_dict(self, state: Any, strict: bool = True) -> Any:
            """Of `dlc.nn.Module`."""
            ...

    @explained
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        loss_weights: Any = None,
        run_eagerly: bool = False,
        jit_compile: bool | Literal["auto"] = "auto",
        steps_per_execution: int = 1,
    ) -> None:
        """Says how the model is trained.

        Args:
            optimizer: An optimizer of `dlc.optim`, or a name such as "adam".
            loss: A loss of `dlc.losses`, a name such as "mse", or a function of (y_true, y_pred);
                for several outputs a list or dict of them.
            metrics: A list of metrics of `dlc.metrics`, names such as "accuracy", or functions; for
                several outputs a list or dict of lists.
            weighted_metrics: The same, of metrics for which the weights of samples count.
            loss_weights: A factor for each of several losses.
            run_eagerly: Whether steps run op by op, for a debugger.
            jit_compile: False for the same; steps are compiled otherwise.
            steps_per_execution: How many steps callbacks and the progress bar see as one: their
                hooks of batches are called before the first and after the last of them, with the
                number of that step. The steps are the same.
        """
        model = cast(Any, self)
        training = Training(
            model, optimizer, loss, loss_weights, metrics, weighted_metrics, run_eagerly,
            jit_compile, steps_per_execution,
        )  # fmt: skip
        if type(self).train_step is Fitting.train_step and hasattr(self, "call"):
            training.outputs.wanted = True  # the loss may be one of the class
        object.__setattr__(self, "_fitting", training)

    def _training_or_error(self) -> Training:
        if self._fitting is None:
            raise ArgumentError(
                f"{type(self).__name__} does not know how to be trained",
                hint='call model.compile(optimizer="adam", loss="mse") first',
            )
        return self._fitting

    @property
    def optimizer(self) -> dlc.optim.Optimizer:
        """The optimizer that `compile` was given."""
        return self._training_or_error().optimizer

    @property
    def metrics(self) -> list[dlc.metrics.Metric]:
        """The means of losses, the metrics that `compile` was given, and those that are attributes.

        `fit` and `evaluate` let them begin again; a subclass may define others.
        """
        outputs = self._training_or_error().outputs
        modules = cast(Any, self).modules()
        own = [v for m in modules for v in vars(m).values() if isinstance(v, dlc.metrics.Metric)]
        return [*outputs.means, *(m.metric for m in outputs.metrics), *own]

    @property
    def input_types(self) -> Any:
        """The types of the arrays that it was last fitted on, any number of samples; or None."""
        return self._training_or_error().steps.input_types

    @property
    def history(self) -> History | None:
        """What the last `fit` returned."""
        return self._training_or_error().history

    @property
    def stop_training(self) -> bool:
        """Whether training ends; callbacks set it."""
        return self._training_or_error().stop_training

    @stop_training.setter
    def stop_training(self, value: bool) -> None:
        self._training_or_error().stop_training = value

    @property
    def trainable_variables(self) -> list[dlc.Variable]:
        """The parameters that are trained."""
        return [p for p in self.parameters() if p.requires_grad]

    @property
    def trainable_weights(self) -> list[dlc.Variable]:
        """The parameters that are trained; `trainable_variables`."""
        return self.trainable_variables

    @property
    def non_trainable_weights(self) -> list[dlc.Variable]:
        """Frozen parameters and buffers: what `get_weights` gives besides `trainable_weights`."""
        return [v for v in self._weights() if not v.requires_grad]

    @property
    def non_trainable_variables(self) -> list[dlc.Variable]:
        """Frozen parameters and buffers; `non_trainable_weights`."""
        return self.non_trainable_weights

    # Steps, to override.

    def train_step(self, batch: Any) -> dict[str, Any]:
        """A step of training on (x, y, sample_weight), a part of a compiled program.

        A subclass may define its own; it returns numbers by name.
        """
        return self._training_or_error().train_step(batch)

    def test_step(self, batch: Any) -> dict[str, Any]:
        """A step of an evaluation, as `train_step`."""
        return self._training_or_error().test_step(batch)

    def predict_step(self, batch: Any) -> Any:
        """The predictions for (x, None, None), a part of a compiled program."""
        return cast(Any, self)(batch[0])

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss that `compile` was given, of a batch, with what layers have added.

        A subclass may define its own. `training` is for it: whether this is a step of training.
        """
        return self._training_or_error().compute_loss(x, y, y_pred, sample_weight)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Adds a batch to the metrics that `compile` was given; returns them by name.

        A subclass may define its own.
        """
        return self._training_or_error().compute_metrics(x, y, y_pred, sample_weight)

    # Loops.

    @explained
    def fit(  # noqa: PLR0913, PLR0917  Keras's arguments
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Sequence[Any] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Trains the model.

        Args:
            x: Arrays, or trees of arrays, of samples; or something that gives batches, `(x, y)` or
                `(x, y, sample_weight)` each.
            y: The true values, where x are arrays.
            batch_size: Samples of a step; 32 for None.
            epochs: The number of the last epoch.
            verbose: 1 or "auto" for a bar (lines where there is no terminal), 2 for lines, 0 for
                nothing.
            callbacks: Of `dlc.callbacks`.
            validation_split: The share of samples at the end that is not trained with.
            validation_data: `(x, y)`, `(x, y, sample_weight)`, or something that gives batches.
            shuffle: Whether samples are in another order in each epoch, those of earlier fits too.
            class_weight: A factor for the loss of each class.
            sample_weight: A factor for the loss of each sample.
            initial_epoch: The number of epochs that have been.
            steps_per_epoch: Batches of an epoch, where x gives batches.
            validation_steps: Batches of a validation, where the data gives batches.
            validation_batch_size: Samples of a batch of a validation.
            validation_freq: Epochs between validations.

        Returns:
            Losses and metrics of each epoch.

        Raises:
            ArgumentError: before `compile`, and without a loss.
            ShapeError: for data that does not fit together, or not to the model.
            ValueRangeError: for labels that are no classes of the model.
            NanError: when the loss becomes NaN.
        """
        how = FitSettings(
            batch_size, epochs, verbose, callbacks, validation_split, validation_data, shuffle,
            class_weight, initial_epoch, steps_per_epoch, validation_steps, validation_batch_size,
            validation_freq,
        )  # fmt: skip
        return self._training_or_error().fit(x, y, sample_weight, how)

    @explained
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
        """The loss on data, or a list of the loss and the metrics; a dict with `return_dict`."""
        return self._training_or_error().evaluate(
            x, y, batch_size, verbose, sample_weight, steps, callbacks, return_dict
        )

    @explained
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = 0,
        steps: int | None = None,
        callbacks: Sequence[Any] | None = None,
    ) -> Any:
        """The predictions for all samples, as NumPy arrays; batch by batch, in evaluation mode."""
        if self._fitting is None:
            self.compile()
        return self._training_or_error().predict(x, batch_size, verbose, steps, callbacks)

    # One batch.

    @explained
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """A step of training on one batch.

        Returns:
            The loss, or a list of the loss and the metrics, by name with `return_dict`: means over
            the batches since `reset_metrics`, as Keras has it.
        """
        training = self._training_or_error()
        return training.on_batch("train_step", x, y, sample_weight, class_weight, return_dict)

    @explained
    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """A step of an evaluation on one batch; returns what `train_on_batch` does."""
        training = self._training_or_error()
        return training.on_batch("test_step", x, y, sample_weight, None, return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The predictions for one batch, as NumPy arrays."""
        if self._fitting is None:
            self.compile()
        return self._training_or_error().predict_on_batch(x)

    def reset_metrics(self) -> None:
        """Lets the mean of losses and the metrics begin again."""
        self._training_or_error().reset_metrics()

    # Weights, files, and a look at it.

    def _weights(self) -> list[dlc.Variable]:
        """Of each module, its parameters and then its other state, but no random state."""
        found: dict[int, dlc.Variable] = {}
        for module in cast(Any, self).modules():
            if not module.random_state:
                held = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
                found.update({id(v): v for v in held})
        return list(found.values())

    def count_params(self) -> int:
        """How many numbers `get_weights` gives: those of parameters and buffers."""
        return sum(math.prod(v.shape) for v in self._weights())

    def get_weights(self) -> list[np.ndarray[Any, Any]]:
        """The values of parameters and buffers, as arrays, in the order of the layers."""
        return [v.numpy() for v in self._weights()]

    @explained
    def set_weights(self, weights: Sequence[Any]) -> None:
        """Assigns what `get_weights` gave, or numbers of another type, which are converted.

        Raises:
            ShapeError: for another number of arrays, or other shapes. Nothing was assigned then.
        """
        own = self._weights()
        shapes = [tuple(np.shape(w)) for w in weights]
        wanted = [tuple(v.shape) for v in own]
        if shapes != wanted:
            raise ShapeError(
                f"{type(self).__name__} has weights of shapes {wanted}, not {shapes}",
                hint=None if own else "call the model once, which makes its parameters",
            )
        values = [dlc.asarray(w).astype(v.dtype) for v, w in zip(own, weights, strict=True)]
        for variable, value in zip(own, values, strict=True):
            variable.assign(value)

    @explained
    def save(self, path: str | os.PathLike[str], specs: Any = None) -> None:
        """Writes the model in evaluation mode as a program that `dlc.load` runs; see `dlc.save`.

        Args:
            path: The file, such as "model.dlc".
            specs: What it will be called with; by default its inputs, for a graph of layers and
                for a model that was fitted, with any number of samples.

        Raises:
            ValueRangeError: for a name of Keras's formats.
            ArgumentError: where `specs` are needed.

        Example:
            >>> model = dlc.nn.Sequential([dlc.nn.Input((4,)), dlc.nn.Dense(2)])
            >>> model.save("model.dlc")
            >>> dlc.load("model.dlc")(dlc.ones((3, 4))).shape
            (3, 2)
        """
        programs.save(self, path, specs)

    @explained
    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Writes parameters and buffers to a safetensors file, whole or not at all.

        Raises:
            ArgumentError: Layers have no parameters yet, which they make when they are called.
        """
        modules = cast(Any, self).named_modules()
        unbuilt = [f"{name!r}" for name, module in modules if not module.built]
        if unbuilt and not (self._fitting and self.input_types):
            raise ArgumentError(
                f"{type(self).__name__}.save_weights: {', '.join(unbuilt)} have no parameters yet",
                hint=weights.NOT_BUILT,
            )
        weights.save(self.state_dict(), path)

    @explained
    def load_weights(self, path: str | os.PathLike[str], strict: bool = True) -> None:
        """Reads parameters and buffers from a safetensors file; see `load_state_dict`.

        A file whose name ends in ".weights.h5" is one of Keras's; it needs the package h5py, and a
        model of layers by Keras's names, which must be built.
        """
        if os.fspath(path).endswith(".weights.h5"):
            keras_files.load(cast(Any, self), path, strict)
        else:
            self.load_state_dict(weights.load(path), strict)

    def summary(
        self,
        *inputs: Any,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], object] = print,
        expand_nested: bool | None = None,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
    ) -> None:
        """Prints a table of layers with their parameters.

        Args:
            inputs: Types (`dlc.spec`, or text such as "f32[8,4]") or arrays, for the shapes of
                what each layer gives.
            line_length: How wide the table is; without it, as wide as it has to be.
            positions: Where the columns end, in characters or as parts of `line_length`.
            print_fn: What is called with the text.
            expand_nested: Whether layers inside of layers are shown; without it, they are, but not
                in the table of a graph.
            show_trainable: Whether to show which layers are trained, in a column of its own.
            layer_range: The names, or regular expressions, of the first and the last layer.
        """
        print_fn(
            self.summary_text(
                *inputs,
                line_length=line_length,
                positions=positions,
                expand_nested=expand_nested,
                show_trainable=show_trainable,
                layer_range=layer_range,
            )
        )

    def summary_text(self, *inputs: Any, **keywords: Any) -> str:
        """The table that `summary` prints, with its keywords but `print_fn`."""
        given = tuple(dlc.spec(x) if isinstance(x, str) else x for x in inputs)
        return summary.summary(self, given, **keywords)  # type: ignore[arg-type]
