"""`dlc.nn.functional`: layers without state, by the names and defaults of `torch.nn.functional`.

Activations that only Keras knows are here too. What `dlc` itself has by the same name and meaning
is the very function.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from dlc import adaptive_avg_pool1d as adaptive_avg_pool1d
from dlc import adaptive_avg_pool2d as adaptive_avg_pool2d
from dlc import adaptive_avg_pool3d as adaptive_avg_pool3d
from dlc import adaptive_max_pool1d as adaptive_max_pool1d
from dlc import adaptive_max_pool2d as adaptive_max_pool2d
from dlc import adaptive_max_pool3d as adaptive_max_pool3d
from dlc import affine_grid as affine_grid
from dlc import avg_pool1d as avg_pool1d
from dlc import avg_pool2d as avg_pool2d
from dlc import avg_pool3d as avg_pool3d
from dlc import batch_norm as batch_norm
from dlc import channel_shuffle as channel_shuffle
from dlc import conv1d as conv1d
from dlc import conv2d as conv2d
from dlc import conv3d as conv3d
from dlc import conv_transpose1d as conv_transpose1d
from dlc import conv_transpose2d as conv_transpose2d
from dlc import conv_transpose3d as conv_transpose3d
from dlc import fold as fold
from dlc import gelu as gelu
from dlc import grid_sample as grid_sample
from dlc import group_norm as group_norm
from dlc import interpolate as interpolate
from dlc import local_response_norm as local_response_norm
from dlc import log_sigmoid as log_sigmoid
from dlc import lp_pool1d as lp_pool1d
from dlc import lp_pool2d as lp_pool2d
from dlc import lp_pool3d as lp_pool3d
from dlc import max_pool1d as max_pool1d
from dlc import max_pool2d as max_pool2d
from dlc import max_pool3d as max_pool3d
from dlc import max_unpool1d as max_unpool1d
from dlc import max_unpool2d as max_unpool2d
from dlc import max_unpool3d as max_unpool3d
from dlc import pdist as pdist
from dlc import pixel_shuffle as pixel_shuffle
from dlc import pixel_unshuffle as pixel_unshuffle
from dlc import relu as relu
from dlc import sigmoid as sigmoid
from dlc import silu as silu
from dlc import tanh as tanh
from dlc import unfold as unfold
from dlc.frontend.misuse import publish as _publish
from dlc.frontend.suggesting import suggesting as _suggesting
from dlc.nn.functional.activations import celu as celu
from dlc.nn.functional.activations import elu as elu
from dlc.nn.functional.activations import exponential as exponential
from dlc.nn.functional.activations import glu as glu
from dlc.nn.functional.activations import gumbel_softmax as gumbel_softmax
from dlc.nn.functional.activations import hard_shrink as hard_shrink
from dlc.nn.functional.activations import hard_sigmoid as hard_sigmoid
from dlc.nn.functional.activations import hard_silu as hard_silu
from dlc.nn.functional.activations import hard_swish as hard_swish
from dlc.nn.functional.activations import hard_tanh as hard_tanh
from dlc.nn.functional.activations import hardshrink as hardshrink
from dlc.nn.functional.activations import hardsigmoid as hardsigmoid
from dlc.nn.functional.activations import hardswish as hardswish
from dlc.nn.functional.activations import hardtanh as hardtanh
from dlc.nn.functional.activations import leaky_relu as leaky_relu
from dlc.nn.functional.activations import log_softmax as log_softmax
from dlc.nn.functional.activations import logsigmoid as logsigmoid
from dlc.nn.functional.activations import mish as mish
from dlc.nn.functional.activations import prelu as prelu
from dlc.nn.functional.activations import relu6 as relu6
from dlc.nn.functional.activations import rrelu as rrelu
from dlc.nn.functional.activations import selu as selu
from dlc.nn.functional.activations import soft_shrink as soft_shrink
from dlc.nn.functional.activations import softmax as softmax
from dlc.nn.functional.activations import softmin as softmin
from dlc.nn.functional.activations import softplus as softplus
from dlc.nn.functional.activations import softshrink as softshrink
from dlc.nn.functional.activations import softsign as softsign
from dlc.nn.functional.activations import sparse_plus as sparse_plus
from dlc.nn.functional.activations import sparse_sigmoid as sparse_sigmoid
from dlc.nn.functional.activations import sparsemax as sparsemax
from dlc.nn.functional.activations import squareplus as squareplus
from dlc.nn.functional.activations import swish as swish
from dlc.nn.functional.activations import tanh_shrink as tanh_shrink
from dlc.nn.functional.activations import tanhshrink as tanhshrink
from dlc.nn.functional.activations import threshold as threshold
from dlc.nn.functional.class_losses import cosine_embedding_loss as cosine_embedding_loss
from dlc.nn.functional.class_losses import cross_entropy as cross_entropy
from dlc.nn.functional.class_losses import multi_margin_loss as multi_margin_loss
from dlc.nn.functional.class_losses import multilabel_margin_loss as multilabel_margin_loss
from dlc.nn.functional.class_losses import nll_loss as nll_loss
from dlc.nn.functional.class_losses import triplet_margin_loss as triplet_margin_loss
from dlc.nn.functional.decoding import ctc_decode as ctc_decode
from dlc.nn.functional.distances import cosine_similarity as cosine_similarity
from dlc.nn.functional.distances import normalize as normalize
from dlc.nn.functional.distances import pairwise_distance as pairwise_distance
from dlc.nn.functional.dropouts import alpha_dropout as alpha_dropout
from dlc.nn.functional.dropouts import dropout as dropout
from dlc.nn.functional.dropouts import dropout1d as dropout1d
from dlc.nn.functional.dropouts import dropout2d as dropout2d
from dlc.nn.functional.dropouts import dropout3d as dropout3d
from dlc.nn.functional.dropouts import feature_alpha_dropout as feature_alpha_dropout
from dlc.nn.functional.dropouts import feature_dropout as feature_dropout
from dlc.nn.functional.linear_maps import affine as affine
from dlc.nn.functional.linear_maps import bilinear as bilinear
from dlc.nn.functional.linear_maps import embedding as embedding
from dlc.nn.functional.linear_maps import embedding_bag as embedding_bag
from dlc.nn.functional.linear_maps import linear as linear
from dlc.nn.functional.linear_maps import one_hot as one_hot
from dlc.nn.functional.linear_maps import rotary_embedding as rotary_embedding
from dlc.nn.functional.linear_maps import (
    scaled_dot_product_attention as scaled_dot_product_attention,
)
from dlc.nn.functional.losses import binary_cross_entropy as binary_cross_entropy
from dlc.nn.functional.losses import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from dlc.nn.functional.losses import dice_loss as dice_loss
from dlc.nn.functional.losses import gaussian_nll_loss as gaussian_nll_loss
from dlc.nn.functional.losses import hinge_embedding_loss as hinge_embedding_loss
from dlc.nn.functional.losses import hinge_loss as hinge_loss
from dlc.nn.functional.losses import huber_loss as huber_loss
from dlc.nn.functional.losses import kl_div as kl_div
from dlc.nn.functional.losses import l1_loss as l1_loss
from dlc.nn.functional.losses import log_cosh_loss as log_cosh_loss
from dlc.nn.functional.losses import margin_ranking_loss as margin_ranking_loss
from dlc.nn.functional.losses import mse_loss as mse_loss
from dlc.nn.functional.losses import multilabel_soft_margin_loss as multilabel_soft_margin_loss
from dlc.nn.functional.losses import poisson_nll_loss as poisson_nll_loss
from dlc.nn.functional.losses import sigmoid_focal_loss as sigmoid_focal_loss
from dlc.nn.functional.losses import smooth_l1_loss as smooth_l1_loss
from dlc.nn.functional.losses import soft_margin_loss as soft_margin_loss
from dlc.nn.functional.losses import squared_hinge_loss as squared_hinge_loss
from dlc.nn.functional.norms import instance_norm as instance_norm
from dlc.nn.functional.norms import layer_norm as layer_norm
from dlc.nn.functional.norms import rms_norm as rms_norm
from dlc.nn.functional.padding import pad as pad
from dlc.nn.functional.sequences import ctc_loss as ctc_loss

if not _TYPE_CHECKING:
    __getattr__ = _suggesting(__name__)
    _publish(globals())
