"""Optimizers, learning rates, limits on gradients."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from dlc.frontend.misuse import publish as _publish
from dlc.frontend.suggesting import suggesting as _suggesting
from dlc.optim import lr_scheduler as lr_scheduler
from dlc.optim import schedules as schedules
from dlc.optim.clipping import clip_by_global_norm as clip_by_global_norm
from dlc.optim.clipping import clip_by_norm as clip_by_norm
from dlc.optim.clipping import clip_by_value as clip_by_value
from dlc.optim.clipping import clip_grad_norm_ as clip_grad_norm_
from dlc.optim.clipping import clip_grad_value_ as clip_grad_value_
from dlc.optim.clipping import global_norm as global_norm
from dlc.optim.lbfgs import LBFGS as LBFGS
from dlc.optim.loss_scaler import LossScaler as LossScaler
from dlc.optim.names import get as get
from dlc.optim.older import ASGD as ASGD
from dlc.optim.older import Rprop as Rprop
from dlc.optim.optimizer import Optimizer as Optimizer
from dlc.optim.rules import SGD as SGD
from dlc.optim.rules import Adagrad as Adagrad
from dlc.optim.rules import Adam as Adam
from dlc.optim.rules import AdamW as AdamW
from dlc.optim.rules import RMSprop as RMSprop
from dlc.optim.variants import Adadelta as Adadelta
from dlc.optim.variants import Adamax as Adamax
from dlc.optim.variants import Ftrl as Ftrl
from dlc.optim.variants import Lion as Lion
from dlc.optim.variants import NAdam as NAdam
from dlc.optim.variants import Nadam as Nadam
from dlc.optim.variants import RAdam as RAdam
from dlc.optim.whole import Adafactor as Adafactor
from dlc.optim.whole import Lamb as Lamb
from dlc.optim.whole import Muon as Muon

if not _TYPE_CHECKING:
    __getattr__ = _suggesting(__name__)
    _publish(globals())
