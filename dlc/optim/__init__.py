"""Optimizers, learning rates, limits on gradients."""

from dlc.optim import schedules as schedules
from dlc.optim.clipping import clip_by_global_norm as clip_by_global_norm
from dlc.optim.clipping import clip_by_norm as clip_by_norm
from dlc.optim.clipping import clip_by_value as clip_by_value
from dlc.optim.clipping import clip_grad_norm_ as clip_grad_norm_
from dlc.optim.clipping import clip_grad_value_ as clip_grad_value_
from dlc.optim.clipping import global_norm as global_norm
from dlc.optim.optimizer import Optimizer as Optimizer
from dlc.optim.rules import SGD as SGD
from dlc.optim.rules import Adagrad as Adagrad
from dlc.optim.rules import Adam as Adam
from dlc.optim.rules import AdamW as AdamW
from dlc.optim.rules import RMSprop as RMSprop
from dlc.optim.rules import get as get
