"""Data: pipelines of elements."""

from dlc.data.dataset import Dataset as Dataset
from dlc.data.dataset import IterableDataset as IterableDataset
from dlc.data.iterator import DatasetIterator as DatasetIterator
from dlc.data.mapping import AUTOTUNE as AUTOTUNE
