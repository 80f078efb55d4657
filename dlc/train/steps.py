"""`Steps`: the compiled programs of the steps of a model, and what must be there before they run.

A program has a symbolic extent of the batch: a last batch of fewer samples compiles nothing.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

import dlc
from dlc.ir.errors import ShapeError
from dlc.runtime.buffers import is_usable
from dlc.train import masks
from dlc.train.added_losses import collect_losses
from dlc.train.arrays import Batch, leaves_of
from dlc.train.modes import evaluating
from dlc.train.outputs import Outputs


class Model(Protocol):
    """What is trained: see `dlc.nn.Module`."""

    training: bool

    def __call__(self, x: Any) -> Any:
        """The predictions."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Sets the mode."""
        ...

    def modules(self) -> Iterator[Any]:
        """The module and all below."""
        ...

    def named_modules(self) -> Iterator[tuple[str, Any]]:
        """The same, each with its path."""
        ...

    def train_step(self, batch: Batch) -> dict[str, Any]:
        """A step of the optimizer."""
        ...

    def test_step(self, batch: Batch) -> dict[str, Any]:
        """A step of an evaluation."""
        ...

    def predict_step(self, batch: Batch) -> Any:
        """The predictions for a batch."""
        ...

    @property
    def compute_loss(self) -> Callable[..., Any]:
        """The loss of a batch; which arguments it takes is up to the class."""
        ...

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> dict[str, Any]:
        """Adds a batch to the metrics; returns them."""
        ...

    @property
    def metrics(self) -> list[Any]:
        """All metrics."""
        ...


class Steps:
    """The programs of a model's steps.

    Args:
        model: The model.
        outputs: Its losses and metrics.
        run_eagerly: Whether steps run op by op, for a debugger.
    """

    def __init__(self, model: Model, outputs: Outputs, run_eagerly: bool = False) -> None:
        self.model, self.outputs, self.run_eagerly = model, outputs, run_eagerly
        self.input_types: Any = None  # of the batches whose program was made last
        self.predicted: Any = None  # by the step that is being traced
        self.functions: dict[str, Callable[..., Any]] = {}
        # Whether the loss that a step of training tells is that of its epoch so far.
        self.loss_is_mean = False
        self.form: Any = None  # of the batches of training: a tree of types as text
        self._known: set[tuple[Any, ...]] = set()
        self._patterns: dict[tuple[Any, ...], list[_Pattern]] = {}

    def prepare(self, name: str, batch: Batch, picks: Any = None) -> None:
        """Builds the model, and compiles the step for batches of this form and any number of rows.

        Costs next to nothing when that has been done.

        Args:
            name: Of the step.
            batch: A batch; all data where the step picks its rows.
            picks: The numbers of those, or None.
        """
        key = (name, picks is None, *map(_form, batch))
        if key in self._known:
            return
        if name == "train_step":
            self.form = _text_form(batch)
        self.build(batch)
        function = self._function(name, of_rows=picks is not None)
        if not self.run_eagerly:
            self._compile(function, name, batch, picks)
        self.input_types = dlc.tree.map(_any_rows, batch[0])
        self._known.add(key)

    def _compile(self, function: Any, name: str, batch: Batch, picks: Any) -> None:
        """Makes a program for batches of this form, unless there is one that takes them.

        When extents of samples differ from those of batches before, such as the lengths of texts,
        the program is for all of them.
        """
        given = batch if picks is None else (*batch, picks)
        leaves, structure = dlc.tree.flatten(given)
        kind = (name, structure, *((x.dtype, len(x.shape)) for x in leaves))
        rows = [tuple(x.shape[1:]) for x in leaves]
        names = ["batch"] * len(leaves)
        if picks is not None:
            names[:-1] = ["samples"] * (len(leaves) - 1)
        patterns = self._patterns.setdefault(kind, [])
        if any(_fits(rows, pattern) for pattern in patterns):
            return
        made = rows if not patterns else _generalised(rows, patterns[-1])
        try:
            function.warmup(*dlc.tree.unflatten(structure, _specs(made, leaves, names)))
        except ShapeError:
            if made == rows:
                raise
            made = rows  # the model needs to know them
            function.warmup(*dlc.tree.unflatten(structure, _specs(made, leaves, names)))
        patterns.append(made)

    def run(self, name: str, batch: Batch) -> Any:
        """What a step that was prepared gives: numbers by name, or predictions."""
        x, y, weight = batch
        found = self.functions[name](x, y, weight)
        if not self.outputs.on_host:
            return found
        found, outside = found
        if outside is not None:
            predicted, held = outside
            with masks.collect_masks():
                masks.note_each(predicted, held)
                self.outputs.update(y, predicted, weight, host=True)
        return found

    def runner(
        self, name: str, data: Batch | None = None
    ) -> Callable[[Iterable[Any]], Iterator[Any]]:
        """What runs a step that was prepared, for each of some batches, as its results are taken.

        No code of Python comes between the steps, unless metrics on the host are added to.

        Args:
            name: Of the step.
            data: Where the step reads the rows of a batch itself: what is run takes their numbers.
        """
        if data is not None:
            function = self._function(name, of_rows=True)
            return functools.partial(map, functools.partial(function, *data))
        if self.outputs.on_host:
            return functools.partial(map, functools.partial(self.run, name))
        return functools.partial(itertools.starmap, self.functions[name])

    def can_pick(self, data: Batch) -> bool:
        """Whether compiled steps can read rows of the data themselves; builds the model.

        Metrics on the host need them there, and so does a debugger; another device has to be given
        each batch; and arrays that are no plain memory would be copied whole.
        """
        if not self.outputs.built:
            self.build(data)  # which says what metrics there are
        if self.run_eagerly or self.outputs.on_host or not dlc.config.device.startswith("cpu"):
            return False
        return all(map(is_usable, leaves_of(data)))

    def _function(self, name: str, of_rows: bool = False) -> Callable[..., Any]:
        """The function of a batch, or of all data and the numbers of the rows that are a batch."""
        key = f"{name} of rows" if of_rows else name
        found = self.functions.get(key)
        if found is None:

            def run(x: Any, y: Any, weight: Any, *picks: Any) -> Any:
                batch = (x, y, weight)
                if picks:
                    (rows,) = picks
                    batch = dlc.tree.map(lambda a: dlc.take(a, rows, axis=0), batch)
                return self._step(name, batch)

            found = dlc.compile(run, name=name, disable=self.run_eagerly)
            self.functions[key] = found
        return found

    def _step(self, name: str, batch: Batch) -> Any:
        """The results of a step; where metrics on the host want them, predictions and masks too."""
        self.predicted = None
        with collect_losses(), masks.collect_masks():
            found = getattr(self.model, name)(batch)
            if name == "train_step":
                told, self.outputs.told_loss = self.outputs.told_loss, None
                loss = found.get("loss") if isinstance(found, dict) else None
                self.loss_is_mean = loss is not None and loss is told
            if not self.outputs.on_host:
                return found
            if self.predicted is None:
                return found, None
            return found, (self.predicted, masks.each_of(self.predicted))

    def build(self, batch: Batch) -> None:
        """Makes what depends on shapes, of the model and of the metrics, by tracing it once.

        Args:
            batch: A batch, or a tree of specs like one.
        """
        if self.outputs.built and all(m.built for m in self.model.modules()):
            return
        if not self.outputs.wanted and not hasattr(self.model, "forward"):
            return
        shapes: list[Any] = []

        def forward(x: Any) -> Any:
            predicted = self.model(x)
            leaves, structure = dlc.tree.flatten(predicted)
            shapes.append(dlc.tree.unflatten(structure, [_Shape(t.shape) for t in leaves]))
            return predicted

        with evaluating(self.model):
            dlc.compile(forward).lower(batch[0])
        functional = getattr(self.model, "is_functional", False)
        names = getattr(self.model, "output_names") if functional else None  # noqa: B009
        self.outputs.build(batch[1], dlc.tree.map(lambda s: s.extents, shapes[-1]), names)


class _Shape:
    """The extents of an output, as a leaf."""

    def __init__(self, extents: Sequence[Any]) -> None:
        self.extents = tuple(extents)


# The extents of a sample in each array of a batch; names for those that may be any.
_Pattern = list[tuple[int | str, ...]]


def _fits(rows: _Pattern, pattern: _Pattern) -> bool:
    """Whether samples of these extents fit a pattern, where equal names are equal extents."""
    values: dict[str, Any] = {}
    return all(
        values.setdefault(want, extent) == extent if isinstance(want, str) else want == extent
        for shape, wanted in zip(rows, pattern, strict=True)
        for extent, want in zip(shape, wanted, strict=True)
    )


def _generalised(rows: _Pattern, before: _Pattern) -> _Pattern:
    """A pattern for what differs; what was equal then and is equal now has one name."""
    names: dict[tuple[Any, Any], str] = {}

    def extent(new: Any, old: Any) -> Any:
        if new == old:
            return new
        return names.setdefault((old, new), f"extent{len(names)}")

    return [
        tuple(extent(n, o) for n, o in zip(new, old, strict=True))
        for new, old in zip(rows, before, strict=True)
    ]


def _specs(pattern: _Pattern, leaves: Sequence[Any], names: Sequence[str]) -> list[Any]:
    each = zip(pattern, leaves, names, strict=True)
    return [dlc.spec((name, *shape), x.dtype) for shape, x, name in each]


def _form(part: Any) -> Any:
    """What a step is compiled for: all of a batch but its number of rows."""
    if part is None:
        return None
    if isinstance(part, np.ndarray):
        return part.dtype, part.shape[1:]
    leaves, structure = dlc.tree.flatten(part)
    return structure, *((x.dtype, tuple(x.shape[1:])) for x in leaves)


def _text_form(batch: Batch) -> Any:
    """The types of a batch as text, if it is made of tuples, lists and dicts."""

    def plain(tree: Any) -> bool:
        children = tree.values() if type(tree) is dict else tree
        return (
            tree is None
            or type(tree) is str
            or (type(tree) in (tuple, list, dict) and all(map(plain, children)))
        )

    form = dlc.tree.map(lambda x: str(_any_rows(x)), batch)
    return form if plain(form) else None


def _any_rows(x: Any) -> Any:
    """The type of an array with any number of rows."""
    return dlc.spec(("batch", *x.shape[1:]), x.dtype)
