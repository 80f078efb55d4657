"""Data classes of `dlc.ir.record` behave as the standard library's."""

import copy
import dataclasses
import itertools
import pickle
from typing import Any

import pytest

from dlc.ir import record

_count = itertools.count().__next__


@record.dataclass(frozen=True)
class Base:
    a: int
    b: str = "b"


@record.dataclass(frozen=True)
class Derived(Base):
    c: list[int] = record.field(default_factory=list[int], compare=False)
    d: object = record.field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.a < 0:
            raise ValueError("negative")

    @property
    def double(self) -> int:
        return 2 * self.a


@record.dataclass
class Unkept:
    x: int


@record.dataclass
class Open:
    x: int
    late: int = record.field(init=False)
    n: int = record.field(default_factory=_count)


@record.dataclass(frozen=True, order=True)
class Ordered:
    major: int
    minor: int


@record.dataclass(frozen=True, eq=False)
class Identity:
    x: int


@record.dataclass(frozen=True)
class OwnEquality:  # noqa: PLW1641 - the decorator gives it the hash
    x: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnEquality)


def test_values_and_defaults() -> None:
    x = Derived(1)
    assert (x.a, x.b, x.c, x.d, x.double) == (1, "b", [], None, 2)
    assert Derived(1).c is not x.c
    y = Derived(1, d=4, b="q")
    assert repr(y) == "Derived(a=1, b='q', c=[])"
    assert [Open(1).n + 1, Open(1, 9).n] == [Open(1).n, 9]
    assert not hasattr(Open(1), "late")


@pytest.mark.parametrize("args", [(), (1, "b", [], None, 5)])
def test_wrong_arguments(args: tuple[Any, ...]) -> None:
    for _ in range(2):  # before `__init__` is compiled, and after
        with pytest.raises(TypeError, match=r"__init__\(\)"):
            Derived(*args)
    with pytest.raises(TypeError, match="unexpected keyword argument 'e'"):
        Derived(1, e=3)  # pyright: ignore[reportCallIssue]


def test_checks_run_on_each_instance() -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="negative"):
            Derived(-1)


def test_equality_and_hashes() -> None:
    assert Derived(1, c=[1]) == Derived(1, c=[2])
    assert hash(Derived(1, c=[1])) == hash(Derived(1, c=[2]))
    assert Derived(1, d=2) != Derived(1)
    assert Base(1) != Derived(1)
    assert Base(1) != 1
    assert len({Base(1), Base(1), Base(2)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Unkept(1))
    assert Unkept(1) == Unkept(1)
    assert Identity(1) != Identity(1)
    assert len({Identity(1), Identity(1)}) == 2
    assert OwnEquality(1) == OwnEquality(2)
    assert hash(OwnEquality(1)) == hash((1,))


def test_order() -> None:
    assert Ordered(1, 9) < Ordered(2, 0) <= Ordered(2, 0)
    assert max(Ordered(1, 2), Ordered(1, 3)).minor == 3
    with pytest.raises(TypeError):
        _ = Ordered(1, 1) < 3  # pyright: ignore[reportOperatorIssue]


def test_frozen() -> None:
    x = Derived(1)
    for name in ("a", "new"):
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"assign to field '{name}'"):
            setattr(x, name, 2)
    with pytest.raises(dataclasses.FrozenInstanceError, match="delete field 'a'"):
        del x.a
    Open(1).x = 2


def test_standard_functions_know_them() -> None:
    assert dataclasses.is_dataclass(Derived)
    assert [f.name for f in dataclasses.fields(Derived)] == ["a", "b", "c", "d"]
    assert dataclasses.fields(Base)[1].default == "b"
    assert dataclasses.replace(Derived(1, c=[3]), b="z") == Derived(1, "z")
    assert copy.copy(Base(3)) == pickle.loads(pickle.dumps(Base(3))) == Base(3)
    match Base(3, "q"):
        case Base(a, b):
            assert (a, b) == (3, "q")
    assert Open.__match_args__ == ("x", "n")


def test_standard_classes_derive_from_them() -> None:
    @dataclasses.dataclass(frozen=True)
    class Standard(Derived):
        e: int = 5

    assert repr(Standard(1, e=6)).endswith("Standard(a=1, b='b', c=[], e=6)")
    with pytest.raises(ValueError, match="negative"):
        Standard(-1)
    with pytest.raises(TypeError, match="frozen"):
        dataclasses.dataclass(type("Thawed", (Base,), {}))
    with pytest.raises(TypeError, match="standard library"):
        record.dataclass(frozen=True)(type("Back", (Standard,), {}))


@pytest.mark.parametrize("frozen", [True, False])
def test_init_is_compiled_after_some_calls_and_does_the_same(frozen: bool) -> None:
    @record.dataclass(frozen=frozen)
    class Used:
        x: int
        y: list[int] = record.field(default_factory=list[int])
        z: int = record.field(init=False)
        w: int = 4
        v: int = record.field(init=False, default=7)

        def __post_init__(self) -> None:
            object.__setattr__(self, "z", self.x + 1)

    assert "late" in Used.__init__.__code__.co_name
    for k in range(30):
        kept = [k]
        used = Used(k, kept, w=5) if k % 2 else Used(x=k)
        assert (used.x, used.z, used.v) == (k, k + 1, 7)
        assert (used.y, used.w) == ((kept, 5) if k % 2 else ([], 4))
        assert used == Used(k, used.y, used.w) != Used(k, used.y, 0)
    assert Used.__init__.__code__.co_name == "__init__"
    with pytest.raises(TypeError, match="multiple values"):
        Used(1, x=1)  # pyright: ignore[reportCallIssue]


@dataclasses.dataclass(frozen=True)
class Standard(Base):
    c: int = 3


def test_replace() -> None:
    x = Derived(1, c=[7])
    y = record.replace(x, a=2, d=4)
    assert (y.a, y.b, y.d, type(y)) == (2, "b", 4, Derived)
    assert y.c is x.c
    z = record.replace(Standard(1, "q", 5), c=6)
    assert (z, type(z)) == (Standard(1, "q", 6), Standard)
    with pytest.raises(ValueError, match="negative"):
        record.replace(x, a=-1)
    for wrong in (x, Open(1)):
        with pytest.raises(TypeError):
            record.replace(wrong, nothing=1)


class Point(record.NamedTuple):
    """A place."""

    x: int
    y: "list[Nowhere]"  # pyright: ignore[reportUndefinedVariable]  # noqa: F821  not looked at
    z: int = 3

    @property
    def total(self) -> int:
        return self.x + self.z


def test_named_tuples() -> None:
    p = Point(1, [])
    assert p == (1, [], 3) == tuple(p)
    assert (p.total, p._replace(z=5).total, Point._fields) == (4, 6, ("x", "y", "z"))
    assert repr(p) == "Point(x=1, y=[], z=3)"
    assert (Point.__doc__, Point.__module__, Point._field_defaults) == (
        "A place.",
        __name__,
        {"z": 3},
    )
    assert pickle.loads(pickle.dumps(p)) == copy.copy(p) == p
    assert isinstance(p, Point)
    with pytest.raises(TypeError, match="missing 1 required"):
        Point(1)  # pyright: ignore[reportCallIssue]
    with pytest.raises(AttributeError):
        p.x = 2  # pyright: ignore[reportAttributeAccessIssue]


def test_a_field_without_default_after_one_that_has():
    @record.dataclass
    class Wrong:
        x: int = 0
        y: int  # type: ignore[misc]

    with pytest.raises(TypeError, match="Wrong.y has no default"):
        [Wrong(k, k) for k in range(20)]


def test_alike_classes_share_code_but_for_names():
    def made(first, second):
        kind = record.dataclass(type("T", (), {"__annotations__": {first: "int", second: "int"}}))
        return [kind(**{first: k, second: k + 1}) for k in range(20)][-1]

    for names in (("f1", "f0"), ("put", "NONE"), ("make0", "names")):
        record_ = made(*names)
        assert [getattr(record_, name) for name in names] == [19, 20]
        with pytest.raises(TypeError, match=f"missing 1 required .* '{names[1]}'"):
            type(record_)(1)
