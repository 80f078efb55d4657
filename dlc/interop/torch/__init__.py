"""The door from PyTorch: the backend `dlc` of `torch.compile`."""

from dlc.interop.torch.backend import dlc_backend as dlc_backend
