# What dlc uses of llvmlite, which has no annotations of its own.
from llvmlite import binding as binding

__version__: str
