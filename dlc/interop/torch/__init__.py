"""The door from PyTorch: the backend `dlc` of `torch.compile`, and modules by `torch.export`."""

from dlc.interop.torch.backend import dlc_backend as dlc_backend
from dlc.interop.torch.model import TorchModel as TorchModel
from dlc.interop.torch.model import load as load
