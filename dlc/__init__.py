"""dlc: a JIT-compiling deep learning compiler."""

__version__ = "0.1.0"
