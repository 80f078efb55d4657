"""`dlc.nn.utils`: tools for modules, by the names of `torch.nn.utils`."""

from dlc.frontend.suggesting import suggesting as _suggesting
from dlc.nn.utils import parametrizations as parametrizations
from dlc.nn.utils import parametrize as parametrize
from dlc.nn.utils.averaging import AveragedModel as AveragedModel
from dlc.nn.utils.averaging import get_ema_avg_fn as get_ema_avg_fn
from dlc.nn.utils.averaging import get_swa_avg_fn as get_swa_avg_fn
from dlc.nn.utils.averaging import update_bn as update_bn
from dlc.nn.utils.functional import functional_call as functional_call
from dlc.nn.utils.parametrizations import spectral_norm as spectral_norm
from dlc.nn.utils.parametrizations import weight_norm as weight_norm
from dlc.nn.utils.vectors import parameters_to_vector as parameters_to_vector
from dlc.nn.utils.vectors import vector_to_parameters as vector_to_parameters
from dlc.optim.clipping import clip_grad_norm_ as clip_grad_norm_
from dlc.optim.clipping import clip_grad_value_ as clip_grad_value_

__getattr__ = _suggesting(__name__)
