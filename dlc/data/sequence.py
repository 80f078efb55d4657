"""`PyDataset`: batches by index, as Keras's class of this name."""

from __future__ import annotations

from typing import Any

from dlc.ir.integers import at_least


class PyDataset:
    """Batches by index, for `fit`; a subclass defines `__getitem__` and `__len__`.

    Args:
        workers: How many threads or processes make batches; 1 for the main thread.
        use_multiprocessing: Whether they are processes.
        max_queue_size: Of no effect: each worker has two batches ready.

    `fit` takes the batches in another order in each epoch unless it is told `shuffle=False`.

    Example:
        >>> class Rows(dlc.data.PyDataset):
        ...     def __len__(self):
        ...         return 3
        ...     def __getitem__(self, index):
        ...         return np.full((2, 1), index, np.float32), np.zeros((2, 1), np.float32)
        >>> Rows().num_batches
        3
    """

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        self.workers = at_least(workers, 1, "workers")
        self.use_multiprocessing, self.max_queue_size = use_multiprocessing, max_queue_size

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no __len__")

    @property
    def num_batches(self) -> int:
        """The number of batches."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before the batches of an epoch."""

    def on_epoch_end(self) -> None:
        """Called after them."""
