"""Data: pipelines of elements, and loaders of batches with worker processes.

`Dataset` has the methods of TensorFlow's pipelines; `DataLoader` and what belongs to it the names
and defaults of PyTorch. Orders are functions of a seed and of the number of the epoch.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from dlc.data import loaders as loaders
from dlc.data.dataset import Dataset as Dataset
from dlc.data.dataset import IterableDataset as IterableDataset
from dlc.data.folders import image_dataset_from_directory as image_dataset_from_directory
from dlc.data.folders import text_dataset_from_directory as text_dataset_from_directory
from dlc.data.images import load_image as load_image
from dlc.data.iterator import DatasetIterator as DatasetIterator
from dlc.data.loader import DataLoader as DataLoader
from dlc.data.mapping import AUTOTUNE as AUTOTUNE
from dlc.data.padding import pad_sequence as pad_sequence
from dlc.data.padding import pad_sequences as pad_sequences
from dlc.data.samplers import BatchSampler as BatchSampler
from dlc.data.samplers import DistributedSampler as DistributedSampler
from dlc.data.samplers import RandomSampler as RandomSampler
from dlc.data.samplers import Sampler as Sampler
from dlc.data.samplers import SequentialSampler as SequentialSampler
from dlc.data.samplers import SubsetRandomSampler as SubsetRandomSampler
from dlc.data.samplers import WeightedRandomSampler as WeightedRandomSampler
from dlc.data.samples import ConcatDataset as ConcatDataset
from dlc.data.samples import Subset as Subset
from dlc.data.samples import TensorDataset as TensorDataset
from dlc.data.samples import default_collate as default_collate
from dlc.data.samples import default_convert as default_convert
from dlc.data.samples import random_split as random_split
from dlc.data.sequence import PyDataset as PyDataset
from dlc.data.series import timeseries_dataset_from_array as timeseries_dataset_from_array
from dlc.data.worker import WorkerInfo as WorkerInfo
from dlc.data.worker import get_worker_info as get_worker_info
from dlc.frontend.misuse import publish as _publish
from dlc.frontend.suggesting import suggesting as _suggesting

if not _TYPE_CHECKING:
    __getattr__ = _suggesting(__name__)
    _publish(globals())
