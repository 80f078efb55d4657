"""Callbacks: what happens between the steps of training, with Keras's names and hooks."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from dlc.callbacks.averages import SwapEMAWeights as SwapEMAWeights
from dlc.callbacks.backup import BackupAndRestore as BackupAndRestore
from dlc.callbacks.base import Callback as Callback
from dlc.callbacks.base import LambdaCallback as LambdaCallback
from dlc.callbacks.callback_list import CallbackList as CallbackList
from dlc.callbacks.checkpoints import ModelCheckpoint as ModelCheckpoint
from dlc.callbacks.csv_logger import CSVLogger as CSVLogger
from dlc.callbacks.history import History as History
from dlc.callbacks.live_page import LivePage as LivePage
from dlc.callbacks.monitors import EarlyStopping as EarlyStopping
from dlc.callbacks.monitors import LearningRateScheduler as LearningRateScheduler
from dlc.callbacks.monitors import ReduceLROnPlateau as ReduceLROnPlateau
from dlc.callbacks.monitors import TerminateOnNaN as TerminateOnNaN
from dlc.callbacks.summary_writer import SummaryWriter as SummaryWriter
from dlc.callbacks.tensorboard import TensorBoard as TensorBoard
from dlc.frontend.misuse import publish as _publish
from dlc.frontend.suggesting import suggesting as _suggesting

if not _TYPE_CHECKING:
    __getattr__ = _suggesting(__name__)
    _publish(globals())
