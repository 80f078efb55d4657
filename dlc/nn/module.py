"""`Module`: layers and models, whose attributes are their parameters and submodules.

A module is a node of trees, too: its leaves are the parameters that are trained, so that transforms
take modules as arguments and give gradients in the same form.
"""

from __future__ import annotations

import inspect
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, cast

import dlc
from dlc.frontend.context import current_trace, observe
from dlc.frontend.conversion import user_function
from dlc.frontend.misuse import STRAY, wrong_call
from dlc.frontend.suggesting import MODELS
from dlc.frontend.symbolic import SYMBOLIC
from dlc.frontend.trace import eager
from dlc.frontend.tree import register_node
from dlc.frontend.variable_state import UnfitNames, assign_state, check_state
from dlc.ir.dims import DimExpr
from dlc.ir.errors import ArgumentError, DlcError, ShapeError
from dlc.ir.record import NamedTuple
from dlc.nn import initializers
from dlc.nn.converting import Converting
from dlc.nn.fitting import Fitting
from dlc.nn.graph_calls import is_symbolic, symbolic_call
from dlc.nn.hooks import Hooking, set_slot
from dlc.nn.module_form import flatten_module, unflatten_module
from dlc.nn.walking import Walking, unique, variables
from dlc.nn.weights import NOT_BUILT
from dlc.train import added_losses
from dlc.train.modes import in_mode

__all__ = ["Buffer", "Module", "Parameter"]

_ENDS = ("input", "output")
_COMPUTING = ("forward", "call")  # names of the method that computes


def Parameter(value: Any, name: str | None = None, dtype: Any = None) -> dlc.Variable:  # noqa: N802
    """A variable that is trained: a `dlc.Variable` with `requires_grad`.

    Args:
        value: Its first value: floats, in a tensor, an array or a list.
        name: For messages.
        dtype: The element type; that of the value for None.

    Example:
        >>> dlc.nn.Parameter([1.0, 2.0]).requires_grad
        True
    """
    return dlc.Variable(value, True, name, dtype)


class _Buffer(NamedTuple):
    value: Any


def Buffer(value: Any) -> dlc.Variable:  # noqa: N802
    """State of a module that is saved and not trained, such as running means.

    Assigned to an attribute of a module, it becomes a `dlc.Variable` there, a copy of `value`.

    Example:
        >>> layer = dlc.nn.Module()
        >>> layer.mean = dlc.nn.Buffer(dlc.zeros(2))
        >>> [name for name, _ in layer.named_buffers()], list(layer.parameters())
        (['mean'], [])
    """
    return _Buffer(value)  # type: ignore[return-value]


_FIRST: Mapping[str, Any] = {
    "_backward_hooks": (), "_backward_pre_hooks": (), "_load_hooks": (), "_state_hooks": (),
    "_buffers": frozenset(), "_built": False, "_children": None, "_fitting": None,
    "_forward_hooks": (), "_items": (), "_leaves": (), "_name": None, "_pending": (),
    "_pre_hooks": (), "_source": None, "_symbolic": (), "_training": True,
    "_unsaved": frozenset(),
}  # fmt: skip


class Module(Walking, Converting, Hooking, Fitting):
    """The base of layers and models.

    A subclass makes its parameters (`dlc.Variable`, `dlc.nn.Parameter`), buffers (`dlc.nn.Buffer`)
    and submodules in `__init__`, also in lists, tuples and dicts of them, and computes in
    `forward(self, ...)` or, which is the same, `call(self, ...)`. What depends on the shapes of the
    inputs may be made in `build(self, *input_shapes)`, which runs before the first call. There is
    no need to call `super().__init__()`.

    A float variable that is assigned to an attribute becomes a parameter: `requires_grad` is set.

    Called with symbolic tensors (`dlc.nn.Input`), a module gives symbolic results, and becomes a
    layer of the model that is made of these; it has them as its `input` and `output` then.

    Programs that were compiled with a module depend on it: when `training` or another attribute is
    assigned, they are traced again.

    Example:
        >>> class Scale(dlc.nn.Module):
        ...     def __init__(self, n):
        ...         self.weight = dlc.nn.Parameter(dlc.ones(n))
        ...
        ...     def forward(self, x):
        ...         return x * self.weight
        >>> [(name, p.shape) for name, p in Scale(3).named_parameters()]
        [('weight', (3,))]
    """

    __slots__ = (
        "__dict__", "__weakref__", "_backward_hooks", "_backward_pre_hooks", "_buffers", "_built",
        "_children", "_fitting", "_forward_hooks", "_items", "_leaves", "_load_hooks", "_name",
        "_pending", "_pre_hooks", "_source", "_state_hooks", "_symbolic", "_token", "_training",
        "_unsaved",
    )  # fmt: skip
    _buffers: frozenset[str]
    _built: bool
    _children: tuple[object, list[Module]] | None  # those below, the last first, as of a `_token`
    _forward_hooks: tuple[Callable[..., Any], ...]
    _items: tuple[str, ...]  # of a container: the names of what it contains, in order
    _leaves: tuple[str, ...]  # of a copy with other parameters: the names of those parameters
    _name: str | None
    _pending: tuple[dlc.Variable, ...]  # made by `add_weight`, not trained, not yet attributes
    _pre_hooks: tuple[Callable[..., Any], ...]
    _source: Module | None  # of a copy with other parameters: what it is a copy of
    _symbolic: tuple[Any, ...]  # what a symbolic call was given, and its results
    _token: object  # another one after each change of an attribute
    _training: bool
    _unsaved: frozenset[str]  # buffers that are no part of the state
    shown: ClassVar[bool] = True  # whether `repr` of a module above shows it
    random_state: ClassVar[bool] = False  # whether its state is a place among random numbers
    _takes_training: ClassVar[bool] = False  # whether what computes has an argument `training`

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        """Makes a module without attributes, so that `super().__init__()` need not be called."""
        self = object.__new__(cls)
        for name, value in _FIRST.items():
            set_slot(self, name, value)
        set_slot(self, "_token", object())
        return self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        register_node(cls, flatten_module, unflatten_module)
        compute = next((f for n in _COMPUTING if (f := getattr(cls, n, None)) is not None), None)
        if compute is not None:
            cls._takes_training = "training" in inspect.signature(compute).parameters

    # Attributes.

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
            return
        if isinstance(value, _Buffer):
            self.register_buffer(name, value.value)
            return
        if (computed := self._parametrized(name)) is not None:
            computed.assign(value)
            return
        if any(value is v for v in self._pending):
            set_slot(self, "_buffers", self._buffers | {name})
            set_slot(self, "_pending", tuple(v for v in self._pending if v is not value))
        elif isinstance(value, dlc.Variable) and name not in self._buffers and value.dtype.is_float:
            value.requires_grad = True
        object.__setattr__(self, name, value)
        set_slot(self, "_token", object())

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        set_slot(self, "_buffers", self._buffers - {name})
        set_slot(self, "_unsaved", self._unsaved - {name})
        set_slot(self, "_token", object())

    def __getattr__(self, name: str) -> Any:
        # Asked for what is no attribute only: a module may have attributes of these names.
        if (computed := self._parametrized(name)) is not None:
            return computed()
        if name in _ENDS:
            if self._symbolic:
                return self._symbolic[_ENDS.index(name)]
            own = getattr(type(self), f"{name}s", None)  # of graphs and of nn.Sequential
            if isinstance(own, property):
                found = getattr(self, f"{name}s")
                return found[0] if len(found) == 1 else found
        if name == "weights":  # Keras's name
            return self._weights()
        hint = f"; it is {MODELS[name]} here" if name in MODELS else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    def _parametrized(self, name: str) -> Any:
        """What computes an attribute; None for one that is kept (`dlc.nn.utils.parametrize`)."""
        known = vars(self).get("parametrizations")
        return vars(known).get(name) if isinstance(known, Module) else None

    def _note_call(self, given: Any, results: Any) -> None:
        """Keeps what a symbolic call was given, and its results, as `input` and `output`."""
        set_slot(self, "_symbolic", (given, results))

    def add_module(self, name: str, module: Module | None) -> None:
        """Makes an attribute that is a module, or None, as `setattr` does.

        Raises:
            ArgumentError: for anything else.
        """
        if module is not None and not isinstance(module, Module):
            raise ArgumentError(f"add_module({name!r}) of a {type(module).__name__}: no module")
        setattr(self, name, module)

    register_module = add_module

    def register_parameter(self, name: str, param: dlc.Variable | None) -> None:
        """Makes an attribute that is trained: a variable of floats, or None for none yet.

        Raises:
            ArgumentError: for anything else.
        """
        if param is not None and not (isinstance(param, dlc.Variable) and param.dtype.is_float):
            raise ArgumentError(
                f"register_parameter({name!r}) of a {type(param).__name__}, which is not trained",
                hint="make it by nn.Parameter(value), or use register_buffer",
            )
        setattr(self, name, param)

    def register_buffer(self, name: str, value: Any, persistent: bool = True) -> None:
        """Makes an attribute that is not trained; without `persistent`, no part of the state."""
        held = value if isinstance(value, dlc.Variable) else dlc.Variable(value, name=name)
        held.requires_grad = False
        set_slot(self, "_buffers", self._buffers | {name})
        kept = self._unsaved - {name} if persistent else self._unsaved | {name}
        set_slot(self, "_unsaved", kept)
        setattr(self, name, held)

    def add_weight(
        self,
        shape: Any = (),
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> dlc.Variable:
        """A new parameter, or (with `trainable=False`) buffer, to be assigned to an attribute.

        Args:
            shape: Its shape.
            initializer: A name or function (see `dlc.nn.initializers`); "glorot_uniform" for
                floats, else zeros.
            dtype: Its element type; float32 for None.
            trainable: Whether it is trained.
            name: A name for messages.

        Raises:
            ShapeError: for an extent that may be any.

        Example:
            >>> class Scale(dlc.nn.Module):
            ...     def build(self, input_shape):
            ...         self.scale = self.add_weight((input_shape[-1],), "ones", name="scale")
            ...
            ...     def call(self, x):
            ...         return x * self.scale
            >>> Scale()(dlc.ones((2, 3))).shape
            (2, 3)
        """
        held = dlc.spec((), dtype).dtype
        found = initializer or ("glorot_uniform" if held.is_float else "zeros")
        extents: tuple[Any, ...] = (shape,) if isinstance(shape, (int, DimExpr)) else tuple(shape)
        if any(isinstance(d, DimExpr) for d in extents):
            raise ShapeError(
                f"{type(self).__name__}: the shape of a weight must be known, it is {extents}",
                hint="give nn.Input these extents as numbers",
            )
        value = initializers.get(found)(extents, held)
        variable = dlc.Variable(value, trainable and held.is_float, name)
        if not trainable:
            set_slot(self, "_pending", (*self._pending, variable))
        return variable

    @property
    def name(self) -> str:
        """The name; that of the class in lower case, if it was given none."""
        return self._name or snake_case(type(self).__name__)

    @name.setter
    def name(self, value: str | None) -> None:
        set_slot(self, "_name", value)

    @property
    def training(self) -> bool:
        """Whether layers such as dropout behave as in training; see `train` and `eval`."""
        return observe(self._source or self, "_training")

    @training.setter
    def training(self, mode: bool) -> None:
        set_slot(self._source or self, "_training", bool(mode))

    def train(self, mode: bool = True) -> Self:
        """Sets `training` here and in all submodules; returns the module."""
        for module in self.modules():
            if (module._source or module)._training is not mode:
                module.training = mode
        return self

    def eval(self) -> Self:
        """Unsets `training` here and in all submodules; returns the module."""
        return self.train(False)

    def __getstate__(self) -> Any:
        """What copies and pickles have: not how it is trained, and no symbolic tensors."""
        attributes, slots = cast(tuple[Any, dict[str, Any]], object.__getstate__(self))
        return attributes, {**slots, "_children": None, "_fitting": None, "_symbolic": ()}

    # Training some of the parameters.

    @property
    def trainable(self) -> bool:
        """Whether any parameter is trained; assigning to it freezes or thaws all of them."""
        return any(p.requires_grad for p in self.parameters())

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Trains all parameters here and below, or (with False) none; returns the module.

        Compiled steps that call the modules follow.
        """
        for p in self.parameters():
            p.requires_grad = bool(requires_grad) and p.dtype.is_float
        for module in self.modules():
            set_slot(module, "_token", object())
        return self

    def count_params(self) -> int:
        """How many numbers there are in all parameters and buffers, but for random states.

        Example:
            >>> dlc.nn.Linear(3, 2).count_params()
            8
        """
        held = unique(variables(self, "", random=False))
        return sum(math.prod(v.shape) for _, v in held)

    def zero_grad(self) -> None:
        """Sets the gradients of all parameters to None."""
        for p in self.parameters():
            p.grad = None

    # Calling.

    def add_loss(self, value: Any, name: str | None = None) -> None:
        """Adds a scalar to the loss that is minimised, in a call of the module.

        `fit` adds it, and `compute_loss`; in loops of your own, see `dlc.train.collect_losses`.

        Args:
            value: The scalar.
            name: A name that makes the module add it once, however often it is called in a step.
        """
        added_losses.add(value, None if name is None else self._key_of_loss(name))

    def has_loss(self, name: str) -> bool:
        """Whether the module has added a scalar of this name to the loss, in this step."""
        return added_losses.has(self._key_of_loss(name))

    def _key_of_loss(self, name: str) -> tuple[int, str]:
        return id(self._source or self), name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Computes, with the hooks around it; builds the module first if need be."""
        if SYMBOLIC.used and current_trace() is None and is_symbolic((args, kwargs)):
            return symbolic_call(self, args, kwargs)
        source = self._source or self
        observe(source, "_token")
        try:
            self.ensure_built(*map(_shapes, args))
            for hook in self._pre_hooks:
                changed = user_function(hook)(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
            args, gates = self._gated(args)
            result = gates(self._result(args, kwargs))
            for hook in self._forward_hooks:
                changed = user_function(hook)(self, args, result)
                result = result if changed is None else changed
        except DlcError as error:
            _name_layer(error, self)
            raise
        except STRAY as error:
            if (wrong := _misuse(self, args, kwargs, error)) is None:
                raise
            _name_layer(wrong, self)
            raise wrong from error
        return result

    def _result(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What is computed, in the mode that `training` says, or the module is in."""
        compute = user_function(self._compute())
        mode = kwargs.get("training")
        if self._takes_training:
            return compute(*args, **{**kwargs, "training": self.training if mode is None else mode})
        rest = {k: v for k, v in kwargs.items() if k != "training"}
        if mode is None:
            return compute(*args, **rest)
        with in_mode(self, bool(mode)):
            return compute(*args, **rest)

    def _compute(self) -> Callable[..., Any]:
        for name in _COMPUTING:
            found = getattr(self, name, None)
            if found is not None:
                return found
        raise ArgumentError(
            f"{type(self).__name__} cannot be called: it has no method forward",
            hint="define forward(self, ...) or call(self, ...)",
        )

    @property
    def built(self) -> bool:
        """Whether all that `build` makes is there."""
        return self._built or type(self).build is Module.build

    @built.setter
    def built(self, value: bool) -> None:
        set_slot(self, "_built", bool(value))  # as layers for Keras write it at the end of `build`

    def build(self, *_input_shapes: Any, **_more: Any) -> None:
        """Makes what depends on the shapes of the inputs: nothing, unless a subclass says what."""

    def ensure_built(self, *shapes: Any) -> None:
        """Makes what `build` makes for inputs of these shapes, unless it is there."""
        if self.built:
            return
        with eager():  # parameters are made once, and outlive the program that is being traced
            self.build(*shapes[: _taken(self.build)])
        set_slot(self, "_built", True)

    # State.

    def state_dict(self, prefix: str = "", random: bool = True) -> OrderedDict[str, dlc.Tensor]:
        """The values of all parameters and buffers by name; later updates do not change them.

        Args:
            prefix: What names begin with.
            random: Whether the state of random numbers is among them, such as that of dropout;
                PyTorch's state dicts have none.
        """
        found: OrderedDict[str, dlc.Tensor] = OrderedDict()
        for name, variable in variables(self, prefix, random=random, unsaved=False):
            found[name] = variable.data
        return self._after_state_dict(found, prefix)

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> UnfitNames:
        """Assigns values to parameters and buffers by name.

        Args:
            state: Tensors or arrays by name, as `state_dict` gives them.
            strict: Whether a name that is missing or not known is an error. The state of random
                numbers may be missing: it stays as it was.

        Returns:
            The names that do not fit, which there are without `strict` alone: `missing_keys` of the
            model, and `unexpected_keys` of the state.

        Raises:
            ArgumentError: for a state that is no dict from names.
            ValueRangeError: for names that are missing or not known, and shapes that differ: all of
                them at once. Nothing has been assigned then.
        """
        check_state(state)
        state = self._before_load_state_dict(state, strict)
        hint = "strict=False leaves out names that are missing or not known"
        if not all(module.built for module in self.modules()):
            hint = NOT_BUILT
        own = dict(variables(self, "", unsaved=False))
        needed = [n for n, _ in variables(self, "", random=False, unsaved=False)]
        return assign_state(type(self).__name__, "model", own, state, hint, strict, needed)

    def extra_repr(self) -> str:
        """What `repr` shows of the module itself."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        shown = ((n, c) for n, c in self.named_children() if c.shown)
        children = [f"({n}): {c!r}".replace("\n", "\n  ") for n, c in shown]
        if not children:
            return f"{type(self).__name__}({extra})"
        lines = [f"  {line}" for line in ([extra] if extra else []) + children]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


def snake_case(name: str) -> str:
    """`batch_normalization` of `BatchNormalization`."""
    return re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _shapes(x: Any) -> Any:
    """The shape of an argument; of lists, tuples and dicts those of what is in them."""
    if hasattr(x, "shape"):
        return tuple(x.shape)
    if isinstance(x, dict):
        return {k: _shapes(v) for k, v in x.items()}
    return [_shapes(v) for v in x] if isinstance(x, (list, tuple)) else ()


def _taken(build: Callable[..., Any]) -> int | None:
    """How many arguments by position it takes, None for any number.

    As in Keras, a `build(self, input_shape)` of a layer of several arguments gets the first's.
    """
    parameters = inspect.signature(build).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _misuse(
    module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception
) -> DlcError | None:
    """What is wrong with what was given to a layer of dlc's: of other kinds, or no tensor."""
    if not type(module).__module__.startswith("dlc.nn."):
        return None
    compute = module._compute()
    if not module._takes_training:
        kwargs = {k: v for k, v in kwargs.items() if k != "training"}
    wrong = wrong_call(type(module).__name__, compute, args, kwargs, error)
    takes_a_tensor = isinstance(error, (AttributeError, KeyError, TypeError))
    return _no_tensor_error(module, args) if wrong is None and takes_a_tensor else wrong


def _no_tensor_error(module: Module, args: Sequence[Any]) -> ArgumentError | None:
    """What is wrong with something else given to a layer that takes a tensor."""
    given = next((x for x in args if isinstance(x, dict)), args[0] if args else None)
    if hasattr(given, "shape") or next(module.children(), None) is not None:
        return None
    kind = f"an argument of type {type(given).__name__}"
    if isinstance(given, dict):
        kind = f"a dict of {', '.join(map(repr, given))}"
    return ArgumentError(
        f"{kind}, where the layer takes a tensor",
        hint="give one array; models of several inputs are made of nn.Input, or have a forward of "
        "their own",
    )


def _name_layer(error: DlcError, module: Module) -> None:
    """Says in an error which layer it is from: by its path from the outermost module."""
    layer = error.__dict__.setdefault("layer", module)
    path = next((n for n, m in module.named_modules() if m is layer), "")
    within = f" {path!r} of {type(module).__name__}" if path else ""
    if not path and layer._name is not None:
        within = f" {layer._name!r}"
    text = f"{type(layer).__name__}({layer.extra_repr()})"
    error.context = f"in layer{within}: {text}"


register_node(Module, flatten_module, unflatten_module)
