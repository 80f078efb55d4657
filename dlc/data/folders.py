"""Datasets of folders: a folder for each class, as Keras's functions of the same names."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.data.dataset import Dataset
from dlc.data.images import load_image
from dlc.data.mapping import AUTOTUNE
from dlc.data.samplers import seed_of
from dlc.ir.errors import ArgumentError, FileFormatError, ShapeError, ValueRangeError, nearest

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
TEXTS = (".txt",)
_LABEL_MODES = ("int", "categorical", "binary")
_SUBSETS = ("training", "validation", "both")


def image_dataset_from_directory(  # noqa: PLR0913, PLR0917  Keras's arguments
    directory: str | os.PathLike[str],
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: tuple[int, int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
) -> Any:
    """Images in folders, a folder for each class, as float32[b,height,width,channels].

    Args:
        directory: Has a folder of images for each class.
        labels: "inferred" from the folders, a list of numbers (by sorted paths), or None for
            images alone.
        label_mode: "int" for int32 numbers, "categorical" for one-hot rows, "binary" for float32
            0 and 1, None for images alone.
        class_names: The folders in the order of their numbers; sorted for None.
        color_mode: "rgb", "rgba" or "grayscale".
        batch_size: Images of a batch; None for single ones.
        image_size: Height and width, to which images are brought.
        shuffle: Whether they are in another order in each epoch.
        seed: Of the orders, and of what is held out.
        validation_split: The share that is held out.
        subset: "training", "validation", or "both" for a pair of datasets.
        interpolation: "bilinear" or "nearest".

    Returns:
        A `Dataset` with the attribute `class_names`, or two.

    Raises:
        ArgumentError: for folders without images, classes without a folder, arguments that do not
            fit together.
        FileFormatError: while iterating, for a file that is no image: which.
    """
    load = functools.partial(
        load_image, color_mode=color_mode, image_size=image_size, interpolation=interpolation
    )
    found = _Files(directory, labels, label_mode, class_names, IMAGES)
    return found.datasets(load, batch_size, shuffle, seed, validation_split, subset)


def text_dataset_from_directory(
    directory: str | os.PathLike[str],
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int | None = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
) -> Any:
    """The texts of .txt files in folders, a folder for each class.

    The arguments are those of `image_dataset_from_directory`, and `max_length`: characters after
    which a text is cut off.
    """
    load = functools.partial(_load_text, length=max_length)
    found = _Files(directory, labels, label_mode, class_names, TEXTS)
    return found.datasets(load, batch_size, shuffle, seed, validation_split, subset)


def _load_text(path: str, length: int | None) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(-1 if length is None else length)
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path!r} is no utf-8 text: {error}") from None


class _Files:
    """Files in folders, and their labels."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        labels: Any,
        label_mode: str | None,
        class_names: Sequence[str] | None,
        endings: tuple[str, ...],
    ) -> None:
        self.root = os.fspath(directory)
        if label_mode is not None and label_mode not in _LABEL_MODES:
            raise ValueRangeError(
                f"label_mode={label_mode!r}", hint=nearest(str(label_mode), _LABEL_MODES)
            )
        folders = sorted(e.name for e in os.scandir(self.root) if e.is_dir())
        inferred = isinstance(labels, str)
        if inferred and not folders:
            raise ArgumentError(f"{self.root!r} has no folders, one for each class")
        if class_names is not None and inferred and set(class_names) != set(folders):
            raise ArgumentError(
                f"class_names {sorted(class_names)}, and the folders of {self.root!r} are {folders}"
            )
        self.class_names = list(class_names or folders) if inferred else list(class_names or ())
        self.paths, numbers = self._walk(inferred, endings)
        if not self.paths:
            raise ArgumentError(f"{self.root!r} has no files that end in {', '.join(endings)}")
        given = np.asarray(numbers if inferred else (labels or ()), np.int32)
        self.labels = None if labels is None or label_mode is None else given
        if self.labels is not None and len(self.labels) != len(self.paths):
            raise ShapeError(f"{len(self.labels)} labels of {len(self.paths)} files")
        if self.labels is not None:
            self.labels = self._encoded(self.labels, str(label_mode))

    def _walk(self, inferred: bool, endings: tuple[str, ...]) -> tuple[list[str], list[int]]:
        paths: list[str] = []
        numbers: list[int] = []
        tops = self.class_names if inferred else [""]
        for number, top in enumerate(tops):
            found = [
                os.path.join(folder, name)
                for folder, _, names in os.walk(os.path.join(self.root, top))
                for name in names
                if name.lower().endswith(endings)
            ]
            paths += sorted(found)
            numbers += [number] * len(found)
        return paths, numbers

    def _encoded(self, labels: np.ndarray[Any, Any], mode: str) -> np.ndarray[Any, Any]:
        count = len(self.class_names) or int(labels.max()) + 1
        if mode == "binary":
            if count != 2:
                raise ArgumentError(f'label_mode="binary" of {count} classes')
            return labels.astype(np.float32)[:, None]
        return np.eye(count, dtype=np.float32)[labels] if mode == "categorical" else labels

    def datasets(
        self,
        load: Callable[[str], Any],
        batch_size: int | None,
        shuffle: bool,
        seed: int | None,
        share: float | None,
        subset: str | None,
    ) -> Any:
        """The dataset, or two."""
        if (share is None) != (subset is None):
            raise ArgumentError("validation_split and subset are given together")
        if subset is not None and subset not in _SUBSETS:
            raise ValueRangeError(f"subset={subset!r}", hint=nearest(str(subset), _SUBSETS))
        if share is not None and not 0 < share < 1:
            raise ValueRangeError(f"validation_split={share}: between 0 and 1")
        if share is not None and shuffle and seed is None and subset != "both":
            raise ArgumentError(
                "validation_split without a seed: the two parts would have common files",
                hint='give a seed to both calls, or subset="both"',
            )
        drawn = seed_of(seed)
        order = np.arange(len(self.paths))
        if shuffle:
            order = np.random.default_rng(drawn).permutation(len(order))
        at = len(order) if share is None else len(order) - int(share * len(order))
        parts = {"training": order[:at], "validation": order[at:]}
        wanted = ["training", "validation"] if subset == "both" else [subset or "training"]
        made = [
            self._dataset(parts[w], load, batch_size, drawn if shuffle else None) for w in wanted
        ]
        return made[0] if len(made) == 1 else tuple(made)

    def _dataset(
        self,
        rows: np.ndarray[Any, Any],
        load: Callable[[str], Any],
        batch_size: int | None,
        seed: int | None,
    ) -> Dataset[Any]:
        paths = np.asarray(self.paths)[rows]
        data = paths if self.labels is None else (paths, self.labels[rows])
        dataset = Dataset.from_tensor_slices(data)
        if seed is not None:
            dataset = dataset.shuffle(max(1, len(rows)), seed)
        dataset = dataset.map(functools.partial(_loaded, load), AUTOTUNE)
        if batch_size is not None:
            dataset = dataset.batch(batch_size)
        dataset.class_names = self.class_names
        return dataset


def _loaded(load: Callable[[str], Any], path: Any, *label: Any) -> Any:
    found = load(str(path))
    return (found, *label) if label else found
