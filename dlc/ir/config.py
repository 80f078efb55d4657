"""The settings: one declaration each, in the class `Config`.

A setting `verify` is the environment variable `DLC_VERIFY`, the attribute `config.verify` and the
keyword of `config.scope(verify=True)`. The innermost scope wins, then the last assignment, then
the environment (read when the setting is first used), then the default.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from dlc.ir.cpus import available_cpus
from dlc.ir.deferred import deferred
from dlc.ir.errors import SettingError, nearest
from dlc.ir.logs import LOG_TOPICS, choose_by, unwatch, watch, watching

if TYPE_CHECKING:
    import pathlib
    from pathlib import Path
else:
    pathlib = deferred("pathlib")

Value = TypeVar("Value")
Given = TypeVar("Given", contravariant=True)


class Setting(Generic[Value, Given]):
    """One setting of `Config`: `Value` is what reading gives, `Given` what may be assigned.

    Args:
        check: Turns an assigned value, or a variable's text, into the setting's value; raises
            ValueError with what was expected.
        default: The value where nothing is set.
        kind: The accepted values in words, for the documentation.
        doc: What the setting does.
    """

    name: str
    variable: str

    def __init__(
        self, check: Callable[[object], Value], default: Value, *, kind: str, doc: str
    ) -> None:
        self.check = check
        self.default = default
        self.kind = kind
        self.__doc__ = doc

    def __set_name__(self, owner: type[Config], name: str) -> None:
        self.name = name
        self.variable = "DLC_" + name.upper()

    @overload
    def __get__(self, config: None, owner: type[Config]) -> Setting[Value, Given]: ...
    @overload
    def __get__(self, config: Config, owner: type[Config]) -> Value: ...
    def __get__(self, config: Config | None, owner: type[Config]) -> Setting[Value, Given] | Value:
        if config is None:
            return self
        overrides = config._overrides.get()
        if overrides is not None and self.name in overrides:
            return overrides[self.name]
        try:
            return config._values[self.name]
        except KeyError:
            return config._read(self)

    def __set__(self, config: Config, value: Given) -> None:
        config._assign(self.name, self.convert(value, f"config.{self.name}"))

    def convert(self, value: object, where: str) -> Value:
        """Check a value that `where` gave; raises SettingError."""
        try:
            return self.check(value)
        except ValueError as error:
            raise SettingError(
                f"{where} is {value!r}, which is not {self.kind}", hint=str(error) or None
            ) from None


if not TYPE_CHECKING:
    # The standard one compiles each type that is given as text.
    Setting.__class_getitem__ = classmethod(lambda cls, types: cls)


class FolderSetting(Setting["Path | None", "str | os.PathLike[str] | None"]):
    """A folder. It is kept as text: `pathlib` takes longer to load than a program from the cache.

    Args:
        doc: What it is for.
    """

    def __init__(self, *, doc: str) -> None:
        # What is checked is the text; reading gives the path.
        check: Any = _path
        super().__init__(check, None, kind="the path of a folder", doc=doc)

    @overload
    def __get__(self, config: None, owner: type[Config]) -> FolderSetting: ...
    @overload
    def __get__(self, config: Config, owner: type[Config]) -> Path | None: ...
    def __get__(self, config: Config | None, owner: type[Config]) -> FolderSetting | Path | None:
        if config is None:
            return self
        text = self.text(config)
        return None if text is None else pathlib.Path(text)

    def text(self, config: Config) -> str | None:
        """The folder as text."""
        found: Any = super().__get__(config, type(config))
        return found


def _boolean(value: object) -> bool:
    if isinstance(value, str):
        value = {
            "1": True, "true": True, "yes": True, "on": True,
            "0": False, "false": False, "no": False, "off": False,
        }.get(value.strip().lower())  # fmt: skip
    if not isinstance(value, bool):
        raise ValueError("write 1 or 0 (true or false, yes or no, on or off)")
    return value


def _path(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ValueError("write the path of a folder")
    return os.path.expanduser(os.fsdecode(value))


def _count(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError("write a whole number of at least 1")
    return value


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _size(value: object) -> int:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+)\s*([KMGT]?)(?:i?B)?\s*", value, re.IGNORECASE)
        if match is not None:
            value = int(match[1]) * _UNITS[match[2].upper()]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("write bytes, or a number with a unit, as in 512M or 2GiB")
    return value


def _topics(value: object) -> frozenset[str]:
    if isinstance(value, str):
        value = [topic for topic in re.split(r"[,\s]+", value) if topic]
    if not isinstance(value, Iterable):
        raise ValueError("write topics separated by commas")
    topics: set[str] = set()
    for topic in value:
        if topic not in LOG_TOPICS:
            raise ValueError(f"unknown topic {topic!r}: {nearest(str(topic), LOG_TOPICS)}")
        topics.add(topic)
    return frozenset(topics)


def _device(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9_]*(:\d+)?", value):
        raise ValueError('write a device such as "cpu" or "cuda:0"')
    return value


def _isa(value: object) -> str | None:
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise ValueError("write a level such as x86-64-v3")
    return value


class Config:
    """The settings of one process, as `dlc.config`; read the module's text for who wins.

    Args:
        environ: The environment variables.

    Raises:
        SettingError: for an unknown `DLC_*` variable or a bad `DLC_LOGS`, at once; for other bad
            values, when the setting is first read.

    Example:
        >>> config = Config({"DLC_NUM_THREADS": "2"})
        >>> config.num_threads
        2
        >>> with config.scope(num_threads=4):
        ...     config.thread_count()
        4
    """

    # Native code reads the slot: a generation is an object of its own, which never comes back.
    __slots__ = ("__dict__", "_generation")
    _generation: int

    cache_dir = FolderSetting(
        doc="Folder of the disk cache; without one, the platform's cache folder.",
    )
    cache_size = Setting[int, "int | str"](
        _size,
        2 << 30,
        kind="a size in bytes",
        doc="Size that the disk cache is kept under; units as in `512M` and `2GiB` are accepted.",
    )
    logs = Setting["frozenset[str]", "str | Iterable[str]"](
        _topics,
        frozenset(),
        kind="a list of topics",
        doc="Topics whose log records go to standard error, separated by commas: "
        + ", ".join(f"`{topic}`" for topic in LOG_TOPICS)
        + ". They are the loggers `dlc.compile` and so on.",
    )
    dump_ir = FolderSetting(
        doc="Folder into which every stage of every compilation is written as text.",
    )
    verify = Setting[bool, bool](
        _boolean,
        False,
        kind="a boolean",
        doc="Verify the IR after every pass.",
    )
    debug_nans = Setting[bool, bool](
        _boolean,
        False,
        kind="a boolean",
        doc="Raise where a result is NaN, with the operation that made it and your line. Slow.",
    )
    autotune = Setting[bool, bool](
        _boolean,
        False,
        kind="a boolean",
        doc="On a GPU, time some schedules of each product and attention, and keep the quickest.",
    )
    disable_jit = Setting[bool, bool](
        _boolean,
        False,
        kind="a boolean",
        doc="Run everything in the interpreter, without compiling.",
    )
    num_threads = Setting["int | None", "int | None"](
        _count,
        None,
        kind="a number of threads",
        doc="Threads that a compiled program may use. Without it, `OMP_NUM_THREADS` counts, then "
        "the CPUs that the affinity mask and the control group's quota leave to the process.",
    )
    device = Setting[str, str](
        _device,
        "cpu",
        kind="a device",
        doc="Device of new tensors and of programs that name none, such as `cpu` or `cuda:0`.",
    )
    isa = Setting["str | None", "str | None"](
        _isa,
        None,
        kind="an instruction set level",
        doc="Instruction set level that CPU code is generated for, such as `x86-64-v3`; without "
        "one, the best that this machine runs.",
    )
    progress = Setting[bool, bool](
        _boolean,
        True,
        kind="a boolean",
        doc="Show progress bars in long runs; without them `fit` writes plain lines.",
    )
    full_tracebacks = Setting[bool, bool](
        _boolean,
        False,
        kind="a boolean",
        doc="Show dlc's own lines too in tracebacks of errors that compiled functions raise.",
    )

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._values: dict[str, Any] = {}
        self._assigned: set[str] = set()
        self._openmp: int | None = None  # OMP_NUM_THREADS once it was read, 0 where it says nothing
        self._generation = 0  # counts assignments, and what else entries depend on
        self._overrides: ContextVar[dict[str, Any] | None] = ContextVar("dlc.config", default=None)
        known = [setting.variable for setting in self.settings()]
        for variable in environ:
            if variable.startswith("DLC_") and variable not in known:
                raise SettingError(
                    f"unknown environment variable {variable}", hint=nearest(variable, known)
                )
        watch(self.logs)

    @classmethod
    def settings(cls) -> list[Setting[Any, Any]]:
        """All declarations, in the order of the class."""
        return [value for value in vars(cls).values() if isinstance(value, Setting)]

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_"):
            self._declaration(name)
        object.__setattr__(self, name, value)

    @contextlib.contextmanager
    def scope(self, **overrides: object) -> Generator[None]:
        """Override settings inside a `with`, for the calling thread or task only.

        Scopes nest. Threads started inside begin without the overrides, unless they are given
        the context (`contextvars.copy_context().run`).

        Args:
            **overrides: Settings by name.

        Raises:
            SettingError: for an unknown setting or a bad value.
        """
        checked = {
            name: self._declaration(name).convert(value, f"config.scope({name}=)")
            for name, value in overrides.items()
        }
        token = self._overrides.set({**(self._overrides.get() or {}), **checked})
        try:
            with watching(checked.get("logs", ())):
                yield
        finally:
            self._overrides.reset(token)

    def thread_count(self, requested: int | None = None) -> int:
        """Decide how many threads a call uses.

        Args:
            requested: The call's own argument, which wins.

        Returns:
            The first that is set of: `requested`, `num_threads` (scope, assignment,
            `DLC_NUM_THREADS`), `OMP_NUM_THREADS`, the CPUs available to the process.

        Raises:
            SettingError: for a `requested` that is not a whole number of at least 1.
        """
        if requested is not None:
            requested = type(self).num_threads.convert(requested, "num_threads")
        count = requested or self.num_threads or self._openmp_threads()
        return count or available_cpus()

    def cache_folder(self) -> str:
        """Give the disk cache's folder: `cache_dir`, else `dlc` in the platform's cache folder."""
        chosen = type(self).cache_dir.text(self)
        if chosen is not None:
            return os.path.join(os.getcwd(), chosen)
        home = os.path.expanduser("~")
        if sys.platform == "win32":
            base = self._environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
        elif sys.platform == "darwin":
            base = os.path.join(home, "Library", "Caches")
        else:
            base = self._environ.get("XDG_CACHE_HOME", "")
            if not os.path.isabs(base):  # the standard says to ignore those
                base = os.path.join(home, ".cache")
        return os.path.join(base, "dlc")

    def describe(self) -> list[dict[str, object]]:
        """List every setting, for `dlc doctor` and the documentation.

        Returns:
            A dict each, with the keys name, variable, value, default, source ("scope",
            "assignment", "environment" or "default"), kind and doc.
        """
        return [
            {
                "name": setting.name,
                "variable": setting.variable,
                "value": getattr(self, setting.name),
                "default": setting.default,
                "source": self._source(setting),
                "kind": setting.kind,
                "doc": setting.__doc__,
            }
            for setting in self.settings()
        ]

    def _declaration(self, name: str) -> Setting[Any, Any]:
        setting = vars(type(self)).get(name)
        if not isinstance(setting, Setting):
            known = [setting.name for setting in self.settings()]
            raise SettingError(f"unknown setting {name!r}", hint=nearest(name, known))
        return setting

    def _read(self, setting: Setting[Value, Any]) -> Value:
        text = self._environ.get(setting.variable)
        value = setting.default
        if text:  # an empty variable counts as one that is not set
            value = setting.convert(text, f"environment variable {setting.variable}")
        return self._values.setdefault(setting.name, value)

    def _assign(self, name: str, value: Any) -> None:
        if name in (self._overrides.get() or {}):
            raise SettingError(
                f"config.{name} is assigned inside a config.scope({name}=...)",
                hint="the scope would hide the assignment; nest another scope, or assign outside",
            )
        if name == "logs":
            previous = self.logs
            watch(value)
            unwatch(previous)
        self._values[name] = value
        self._assigned.add(name)
        self._generation += 1

    def end_entries(self) -> None:
        """Ends the native entries that there are: what they take for granted holds no more."""
        self._generation += 1

    def _source(self, setting: Setting[Any, Any]) -> str:
        if setting.name in (self._overrides.get() or {}):
            return "scope"
        if setting.name in self._assigned:
            return "assignment"
        return "environment" if self._environ.get(setting.variable) else "default"

    def _openmp_threads(self) -> int | None:
        # A list gives the count of each nesting level; a value that OpenMP itself would reject is
        # not dlc's to complain about.
        if self._openmp is None:
            first = self._environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
            self._openmp = int(first) if first.isdecimal() else 0
        return self._openmp or None


config = Config(os.environ)
choose_by(lambda: config.logs)
