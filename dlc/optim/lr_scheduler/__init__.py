"""Learning rates that a loop of your own moves, with PyTorch's names, formulas and defaults.

    scheduler = dlc.optim.lr_scheduler.StepLR(optimizer, step_size=30)
    for epoch in range(90):
        train(...)
        scheduler.step()

The rates are in variables of the optimizer: that they change compiles nothing anew.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from dlc.frontend.suggesting import suggesting as _suggesting
from dlc.optim.lr_scheduler.base import LRScheduler as LRScheduler
from dlc.optim.lr_scheduler.combined import ChainedScheduler as ChainedScheduler
from dlc.optim.lr_scheduler.combined import SequentialLR as SequentialLR
from dlc.optim.lr_scheduler.cycles import CyclicLR as CyclicLR
from dlc.optim.lr_scheduler.cycles import OneCycleLR as OneCycleLR
from dlc.optim.lr_scheduler.decays import ConstantLR as ConstantLR
from dlc.optim.lr_scheduler.decays import CosineAnnealingLR as CosineAnnealingLR
from dlc.optim.lr_scheduler.decays import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from dlc.optim.lr_scheduler.decays import ExponentialLR as ExponentialLR
from dlc.optim.lr_scheduler.decays import LambdaLR as LambdaLR
from dlc.optim.lr_scheduler.decays import LinearLR as LinearLR
from dlc.optim.lr_scheduler.decays import MultiplicativeLR as MultiplicativeLR
from dlc.optim.lr_scheduler.decays import MultiStepLR as MultiStepLR
from dlc.optim.lr_scheduler.decays import PolynomialLR as PolynomialLR
from dlc.optim.lr_scheduler.decays import StepLR as StepLR
from dlc.optim.lr_scheduler.plateau import ReduceLROnPlateau as ReduceLROnPlateau

if not _TYPE_CHECKING:
    __getattr__ = _suggesting(__name__)
