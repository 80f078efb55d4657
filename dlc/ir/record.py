"""Data classes and named tuples that cost little to define.

The standard library's `dataclass` writes the methods of each class as text and compiles it, which
takes longer than all else in most modules, and for a process that finds its programs in the cache
longer than all else together. Here `__init__` is compiled when it has been called some times. Type
checkers see the standard decorator; `dataclasses.fields`, `replace` and `is_dataclass` work, and
standard data classes may derive from these. `NamedTuple` is the standard one, which would compile
each annotation.
"""

from __future__ import annotations

import functools
import importlib
from collections import namedtuple
from collections.abc import Callable
from operator import attrgetter, ge, gt, le, lt
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace
    from typing import NamedTuple

__all__ = ["NamedTuple", "dataclass", "field", "replace"]

_Methods = dict[str, Any]
_NONE: Any = object()
_FIELDS = "__dataclass_fields__"
_FEW_CALLS = 10


class _Given:
    """What `field` was given."""

    __slots__ = ("options",)

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options


class _Fields:
    """The fields of a class, its bases' first, each with the options of `field`."""

    __slots__ = ("frozen", "options")

    def __init__(self, cls: type, *, frozen: bool) -> None:
        self.frozen = frozen
        self.options: dict[str, dict[str, Any]] = {}
        for base in reversed(cls.__mro__[1:]):
            inherited = vars(base).get("__record__")
            if inherited is not None:
                self.options |= inherited.options
            elif _FIELDS in vars(base):
                raise TypeError(f"{cls.__name__} derives from a dataclass of the standard library")
        own = vars(cls)
        for name, annotation in cls.__annotations__.items():
            if not str(annotation).startswith(("ClassVar", "typing.ClassVar")):
                value = own.get(name, _NONE)
                options = {} if value is _NONE else {"default": value}
                self.options[name] = value.options if isinstance(value, _Given) else options

    def having(self, option: str) -> list[str]:
        """The names of those fields that this option is not turned off for."""
        return [name for name, given in self.options.items() if given.get(option, True)]


def _source(place: int, given: _Methods) -> str | None:
    """Where `__init__` has the value of a field from, as an expression; None: it sets none."""
    name, made = f"f{place}", f"make{place}()"
    if "default_factory" not in given:
        return name if given.get("init", True) else None
    return f"{made} if {name} is NONE else {name}" if given.get("init", True) else made


@functools.cache
def _template(sources: tuple[str | None, ...], *, frozen: bool, checked: bool) -> CodeType:
    """The code of an `__init__` whose fields are named `f0`, `f1` and so on."""
    names = [f"f{k}" for k in range(len(sources))]
    parameters = [n for n, source in zip(names, sources, strict=True) if source and n in source]
    body = [
        f"put(self, {name!r}, {source})" if frozen else f"self.{name} = {source}"
        for name, source in zip(names, sources, strict=True)
        if source
    ]
    body += ["self.__post_init__()"] if checked else ["pass"]
    found: _Methods = {}
    # The standard library does the same, for each class.
    exec(f"def __init__({', '.join(['self', *parameters])}):\n  " + "\n  ".join(body), found)
    return found["__init__"].__code__


def _init(cls: Any, fields: _Fields) -> Callable[..., None]:
    """`__init__` that takes the fields; it ends by calling `__post_init__` where there is one.

    To compile one takes as long as some hundred calls of it: those of classes with fields alike
    have the same code but for the names.
    """
    options = list(fields.options.values())
    sources = tuple(_source(place, given) for place, given in enumerate(options))
    checked = hasattr(cls, "__post_init__")
    code = _template(sources, frozen=fields.frozen, checked=checked)
    names = {f"f{place}": name for place, name in enumerate(fields.options)}

    def named(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(names.get(v, v) if isinstance(v, str) else v for v in values)

    code = code.replace(
        co_varnames=named(code.co_varnames),
        co_names=named(code.co_names),
        co_consts=named(code.co_consts),
        co_qualname=f"{cls.__qualname__}.__init__",
    )
    held: _Methods = {"NONE": _NONE, "put": object.__setattr__}
    held |= {
        f"make{k}": g["default_factory"] for k, g in enumerate(options) if "default_factory" in g
    }
    return FunctionType(code, held, "__init__", _defaults(cls, fields))


def _defaults(cls: type, fields: _Fields) -> tuple[Any, ...]:
    """The defaults of the last parameters."""
    defaults: list[Any] = []
    for name in fields.having("init"):
        given = fields.options[name]
        if "default" in given or "default_factory" in given:
            defaults.append(given.get("default", _NONE))
        elif defaults:
            raise TypeError(f"{cls.__name__}.{name} has no default and follows fields that have")
    return tuple(defaults)


def _late_init(cls: Any, fields: _Fields) -> Callable[..., None]:
    """An `__init__` that goes by the fields for a few calls, then is what was compiled for them.

    What is not given as it should be is left to the compiled one too, which says what is wrong.
    """
    left = _FEW_CALLS

    def late(self: Any, *args: Any, **given: Any) -> None:
        nonlocal left
        left -= 1
        values = _assigned(fields, args, given) if left >= 0 else None
        if values is not None:
            put = object.__setattr__ if fields.frozen else setattr
            for name, value in values.items():
                put(self, name, value)
            if hasattr(cls, "__post_init__"):
                self.__post_init__()
            return
        if vars(cls)["__init__"] is late:
            cls.__init__ = _init(cls, fields)
        vars(cls)["__init__"](self, *args, **given)

    return late


def _assigned(fields: _Fields, args: tuple[Any, ...], given: _Methods) -> _Methods | None:
    """The value of each field; None for arguments that do not fit."""
    names = fields.having("init")
    if len(args) > len(names):
        return None
    values = dict(zip(names, args, strict=False))
    if not given.keys() <= set(names) - values.keys():
        return None
    values |= given
    for name, options in fields.options.items():
        if name not in values:
            if "default_factory" in options:
                values[name] = options["default_factory"]()
            elif "default" in options and options.get("init", True):
                values[name] = options["default"]
            elif options.get("init", True):
                return None
    return {name: values[name] for name in fields.options if name in values}


def _comparison(fields: _Fields, *, hashed: bool) -> _Methods:
    """`__eq__` and, of what is frozen, `__hash__`, by the tuple of the fields."""
    names = fields.having("compare")
    key: Callable[[Any], tuple[Any, ...]]
    if len(names) > 1:
        key = attrgetter(*names)
    elif names:
        only = attrgetter(*names)
        key = lambda record: (only(record),)  # noqa: E731
    else:
        key = lambda record: ()  # noqa: E731

    def equal(self: Any, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return key(self) == key(other)

    return {"__eq__": equal, "__hash__": (lambda self: hash(key(self))) if hashed else None}


def _order(fields: _Fields) -> _Methods:
    key = attrgetter(*fields.having("compare"))

    def method(compare: Callable[[Any, Any], bool]) -> Callable[[Any, object], Any]:
        def ordered(self: Any, other: object) -> Any:
            if other.__class__ is not self.__class__:
                return NotImplemented
            return compare(key(self), key(other))

        return ordered

    return {f"__{f.__name__}__": method(f) for f in (lt, le, gt, ge)}


def _repr(fields: _Fields) -> Callable[[Any], str]:
    def text(self: Any) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in fields.having("repr"))
        return f"{type(self).__qualname__}({shown})"

    return text


def _frozen(cls: type, fields: _Fields) -> _Methods:
    def refuse(self: Any, name: str, *value: object) -> None:
        if type(self) is cls or name in fields.options:
            error = importlib.import_module("dataclasses").FrozenInstanceError
            raise error(f"cannot {'assign to' if value else 'delete'} field {name!r}")
        super(cls, self).__setattr__(name, *value) if value else super(cls, self).__delattr__(name)

    return {"__setattr__": refuse, "__delattr__": refuse}


class _Standard:
    """An attribute in which `dataclasses` keeps what it knows of a class: made when it asks."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: Any) -> Any:
        holder = next(base for base in owner.__mro__ if "__record__" in vars(base))
        fields: _Fields = holder.__record__
        dataclasses = importlib.import_module("dataclasses")
        body: dict[str, Any] = {
            "__annotations__": dict.fromkeys(fields.options, Any),
            "__doc__": "",  # else it writes one
        }
        body |= {
            name: dataclasses.field(**given) for name, given in fields.options.items() if given
        }
        decorate = dataclasses.dataclass(init=False, repr=False, eq=False, frozen=fields.frozen)
        value = getattr(decorate(type("_", (), body)), self.name)
        setattr(holder, self.name, value)
        return value


def _define(cls: Any, *, frozen: bool, eq: bool, order: bool) -> Any:
    fields = _Fields(cls, frozen=frozen)
    own = dict(vars(cls))
    for name, value in own.items():
        if isinstance(value, _Given):
            if "default" in value.options:
                setattr(cls, name, value.options["default"])
            else:
                delattr(cls, name)
    methods: _Methods = {
        "__init__": _late_init(cls, fields),
        "__repr__": _repr(fields),
        **(_order(fields) if order else {}),
        **(_frozen(cls, fields) if frozen else {}),
    }
    if eq:
        methods |= _comparison(fields, hashed=frozen)
    if own.get("__hash__", _NONE) is None and "__eq__" in own:
        del own["__hash__"]  # Python itself put it there, for the sake of `__eq__`
    for name, method in methods.items():
        if name not in own:
            setattr(cls, name, method)
    cls.__match_args__ = tuple(fields.having("init"))
    cls.__record__ = fields
    for name in (_FIELDS, "__dataclass_params__"):
        setattr(cls, name, _Standard(name))
    return cls


if not TYPE_CHECKING:

    def dataclass(
        cls: type | None = None, /, *, frozen: bool = False, eq: bool = True, order: bool = False
    ) -> Any:
        """As the standard one, with these options."""
        if cls is None:
            return lambda cls: _define(cls, frozen=frozen, eq=eq, order=order)
        return _define(cls, frozen=frozen, eq=eq, order=order)

    def field(**options: Any) -> Any:
        """As the standard one, with `default`, `default_factory`, `init`, `compare`, `repr`."""
        return _Given(options)

    def replace(record: Any, /, **changes: Any) -> Any:
        """As the standard one, which would make all that `dataclasses` wants to know first."""
        cls: Any = type(record)
        known = next(c for c in cls.__mro__ if vars(c).keys() & {"__record__", _FIELDS})
        if "__record__" not in vars(known):  # a data class of the standard library
            return importlib.import_module("dataclasses").replace(record, **changes)
        names = cls.__record__.having("init")
        return cls(**{name: getattr(record, name) for name in names} | changes)

    class _TupleMeta(type):
        def __new__(mcs, name: str, _bases: tuple[Any, ...], body: dict[str, Any]) -> Any:
            """The tuple class for the body of a class: its annotated names, in their order."""
            fields = body.get("__annotations__", {})
            defaults = [body.pop(field) for field in tuple(fields) if field in body]
            module = body.pop("__module__")
            made = namedtuple(name, fields, defaults=defaults, module=module)  # noqa: PYI024  as it does
            for key, value in body.items():
                setattr(made, key, value)
            return made

    class _NamedTuple:
        """As `typing.NamedTuple`; annotations are not looked at."""

        def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
            return (_TUPLE,)

    _TUPLE = type.__new__(_TupleMeta, "_Tuple", (), {})
    NamedTuple = _NamedTuple()
