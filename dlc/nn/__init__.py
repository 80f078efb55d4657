"""Layers and models.

Names spelt as PyTorch's have PyTorch's defaults and layouts; those spelt as Keras's, Keras's.
"""

from dlc.nn import functional as functional
from dlc.nn import initializers as initializers
from dlc.nn.activations import GELU as GELU
from dlc.nn.activations import Activation as Activation
from dlc.nn.activations import Identity as Identity
from dlc.nn.activations import LogSigmoid as LogSigmoid
from dlc.nn.activations import LogSoftmax as LogSoftmax
from dlc.nn.activations import ReLU as ReLU
from dlc.nn.activations import Sigmoid as Sigmoid
from dlc.nn.activations import SiLU as SiLU
from dlc.nn.activations import Softmax as Softmax
from dlc.nn.activations import Tanh as Tanh
from dlc.nn.containers import ModuleDict as ModuleDict
from dlc.nn.containers import ModuleList as ModuleList
from dlc.nn.containers import Sequential as Sequential
from dlc.nn.dropout import Dropout as Dropout
from dlc.nn.dropout import RandomState as RandomState
from dlc.nn.linear import Dense as Dense
from dlc.nn.linear import Embedding as Embedding
from dlc.nn.linear import Linear as Linear
from dlc.nn.module import Buffer as Buffer
from dlc.nn.module import Module as Module
from dlc.nn.module import Parameter as Parameter
from dlc.nn.normalization import LayerNorm as LayerNorm
from dlc.nn.normalization import RMSNorm as RMSNorm
from dlc.nn.sequence.multihead import MultiheadAttention as MultiheadAttention
from dlc.nn.sequence.torch_recurrent import GRU as GRU
from dlc.nn.sequence.torch_recurrent import LSTM as LSTM
from dlc.nn.sequence.torch_recurrent import RNN as RNN
from dlc.nn.sequence.torch_recurrent import GRUCell as GRUCell
from dlc.nn.sequence.torch_recurrent import LSTMCell as LSTMCell
from dlc.nn.sequence.torch_recurrent import RNNCell as RNNCell
from dlc.nn.sequence.transformer import Transformer as Transformer
from dlc.nn.sequence.transformer import TransformerDecoder as TransformerDecoder
from dlc.nn.sequence.transformer import TransformerDecoderLayer as TransformerDecoderLayer
from dlc.nn.sequence.transformer import TransformerEncoder as TransformerEncoder
from dlc.nn.sequence.transformer import TransformerEncoderLayer as TransformerEncoderLayer
