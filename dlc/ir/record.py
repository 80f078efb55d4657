"""Data classes that cost little to define.

The standard library's `dataclass` writes the methods of each class as text and compiles it, which
takes longer than all else in most modules, and for a process that finds its programs in the cache
longer than all else together. Here a method is compiled when it is first called. Type checkers see
the standard decorator; `dataclasses.fields`, `replace` and `is_dataclass` work, and standard data
classes may derive from these.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from operator import attrgetter, ge, gt, le, lt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace

__all__ = ["dataclass", "field", "replace"]

_Methods = dict[str, Any]
_NONE: Any = object()
_FIELDS = "__dataclass_fields__"


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


def _init_text(fields: _Fields, *, checked: bool) -> tuple[str, _Methods]:
    """`__init__` that takes the fields; with `checked`, it ends by calling `__post_init__`."""
    names: _Methods = {"NONE": _NONE, "put": object.__setattr__}
    parameters, body = ["self"], list[str]()
    for name, given in fields.options.items():
        value = name
        if "default_factory" in given:
            names["make_" + name] = given["default_factory"]
            made = f"make_{name}()"
            value = f"{made} if {name} is NONE else {name}" if given.get("init", True) else made
        if given.get("init", True):
            names["default_" + name] = given.get("default", _NONE)
            optional = "default" in given or "default_factory" in given
            parameters.append(f"{name}=default_{name}" if optional else name)
        elif value is name:
            continue
        body.append(f"put(self, {name!r}, {value})" if fields.frozen else f"self.{name} = {value}")
    if checked:
        body.append("self.__post_init__()")
    return f"def __init__({', '.join(parameters)}):\n  " + "\n  ".join(body or ["pass"]), names


def _eq_text(fields: _Fields) -> str:
    return (
        "def __eq__(self, other):\n"
        "  if other.__class__ is not self.__class__: return NotImplemented\n"
        f"  return {_tuple_text('self', fields)} == {_tuple_text('other', fields)}"
    )


def _hash_text(fields: _Fields) -> str:
    return f"def __hash__(self): return hash({_tuple_text('self', fields)})"


def _tuple_text(owner: str, fields: _Fields) -> str:
    return "(" + "".join(f"{owner}.{name}, " for name in fields.having("compare")) + ")"


def _late(cls: Any, method: str, fields: _Fields) -> Callable[..., Any]:
    """A method that is compiled when it is first called, and then replaced by what it became."""

    def late(*args: Any, **given: Any) -> Any:
        if vars(cls)[method] is late:
            names: _Methods = {}
            if method == "__init__":
                text, names = _init_text(fields, checked=hasattr(cls, "__post_init__"))
            else:
                text = _eq_text(fields) if method == "__eq__" else _hash_text(fields)
            exec(text, names)  # the standard library does the same
            compiled = names[method]
            compiled.__qualname__ = f"{cls.__qualname__}.{method}"
            setattr(cls, method, compiled)
        return vars(cls)[method](*args, **given)

    return late


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
        "__init__": _late(cls, "__init__", fields),
        "__repr__": _repr(fields),
        **(_order(fields) if order else {}),
        **(_frozen(cls, fields) if frozen else {}),
    }
    if eq:
        methods["__eq__"] = _late(cls, "__eq__", fields)
        methods["__hash__"] = _late(cls, "__hash__", fields) if frozen else None
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
