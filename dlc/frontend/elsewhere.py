"""What PyTorch, JAX, Keras and NumPy call otherwise: for errors about names that there are not."""

from __future__ import annotations

from typing import Final

# Methods of PyTorch's tensors that are no functions of the same name.
_METHODS: Final = {
    "bool": "x.astype(dlc.bool)", "byte": "x.astype(dlc.uint8)", "clone": "x.copy()",
    "cuda": 'x.to("cuda")', "dim": "x.ndim", "double": "x.astype(dlc.float64)",
    "expand": "dlc.broadcast_to(x, shape)", "expand_as": "dlc.broadcast_to(x, other.shape)",
    "float": "x.astype(dlc.float32)", "half": "x.astype(dlc.float16)",
    "int": "x.astype(dlc.int32)", "long": "x.astype(dlc.int64)",
    "norm": "dlc.linalg.norm(x)", "numel": "x.size", "permute": "x.transpose(axes)",
    "requires_grad_": "dlc.Variable(x, requires_grad=True)", "t": "x.T",
    "type": "x.astype(dtype)", "type_as": "x.astype(other.dtype)", "unbind": "dlc.unstack(x)",
    "view": "x.reshape(shape)", "view_as": "x.reshape(other.shape)",
}  # fmt: skip

# Names of other frameworks' top level.
_NAMES: Final = {
    "Sequential": "dlc.nn.Sequential", "Model": "dlc.nn.Model", "Input": "dlc.nn.Input",
    "as_tensor": "dlc.asarray", "cast": "dlc.astype", "constant": "dlc.asarray",
    "convert_to_numpy": "x.numpy()", "convert_to_tensor": "dlc.asarray", "double": "dlc.float64",
    "float": "dlc.float32", "from_numpy": "dlc.asarray", "func": "dlc", "function": "dlc.compile",
    "functional": "dlc.nn.functional", "half": "dlc.float16", "image": "dlc.interpolate",
    "initializers": "dlc.nn.initializers", "int": "dlc.int32", "keras": "dlc.nn",
    "lax": "dlc", "layers": "dlc.nn", "long": "dlc.int64", "make_jaxpr": "dlc.compile(f).lower",
    "manual_seed": "dlc.random.seed", "multinomial": "dlc.random.categorical",
    "norm": "dlc.linalg.norm", "normalize": "dlc.nn.functional.normalize", "numpy": "dlc",
    "ops": "dlc", "optimizers": "dlc.optim", "rand": "dlc.random.uniform",
    "randint": "dlc.random.randint", "randn": "dlc.random.normal",
    "randperm": "dlc.random.permutation", "reduce_max": "dlc.max", "reduce_mean": "dlc.mean",
    "reduce_min": "dlc.min", "reduce_sum": "dlc.sum", "set_random_seed": "dlc.random.seed",
    "set_seed": "dlc.random.seed", "tensor": "dlc.asarray", "to_categorical": "dlc.one_hot",
    "utils": "dlc.data or dlc.optim",
}  # fmt: skip


def method(name: str) -> str:
    """What does here what a method of this name does in PyTorch."""
    if name in _METHODS:
        return _METHODS[name]
    if name.endswith("_"):  # values never change
        return f"x = dlc.{name[:-1]}(x, ...)"
    return f"dlc.{name}(x, ...)"


def function(name: str) -> str | None:
    """What is here for a name of another framework's top level, if that is known."""
    return _NAMES.get(name)
