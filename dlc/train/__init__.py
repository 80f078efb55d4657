"""Loops over epochs and batches: what `model.compile`, `fit`, `evaluate` and `predict` do."""

from dlc.train.added_losses import collect_losses as collect_losses
from dlc.train.checkpoints import Checkpoint as Checkpoint
from dlc.train.checkpoints import CheckpointManager as CheckpointManager
from dlc.train.training import FitSettings as FitSettings
from dlc.train.training import Training as Training
