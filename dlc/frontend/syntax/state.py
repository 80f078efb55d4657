"""The variables that blocks change, reached through the cells of the functions made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CellType, FunctionType
from typing import Any

Path = tuple[str, Callable[[], Any], str]


class Unset:
    """What stands for the value of a variable that has none."""

    def __repr__(self) -> str:
        return "unset"


UNSET = Unset()


class Slot:
    """A variable: its name, and how it is read and bound.

    mutated: whether blocks change what it holds in place.
    dead: whether nobody reads it after the blocks before it is bound again.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.mutated = self.dead = False

    def get(self) -> Any:
        """The value, UNSET where there is none."""
        raise NotImplementedError

    def set(self, value: Any) -> None:
        """Binds the variable, or unbinds it with UNSET."""
        raise NotImplementedError


class CellSlot(Slot):
    """A variable of a function."""

    def __init__(self, name: str, cell: CellType) -> None:
        super().__init__(name)
        self.cell = cell

    def get(self) -> Any:
        """The value, UNSET where there is none."""
        try:
            return self.cell.cell_contents
        except ValueError:
            return UNSET

    def set(self, value: Any) -> None:
        """Binds the variable, or unbinds it with UNSET."""
        if value is not UNSET:
            self.cell.cell_contents = value
        elif self.get() is not UNSET:
            del self.cell.cell_contents


class AttributeSlot(Slot):
    """An attribute of the object that `base` gives."""

    def __init__(self, name: str, base: Callable[[], Any], attribute: str) -> None:
        super().__init__(name)
        self.base, self.attribute = base, attribute

    def get(self) -> Any:
        """The value, UNSET where there is none, or no object."""
        try:
            return getattr(self.base(), self.attribute)
        except (AttributeError, NameError):
            return UNSET

    def set(self, value: Any) -> None:
        """Binds the variable, or unbinds it with UNSET."""
        if self.get() is value:
            return  # setting may do more than that
        if value is not UNSET:
            setattr(self.base(), self.attribute, value)
        else:
            delattr(self.base(), self.attribute)


class GlobalSlot(Slot):
    """A name of a module."""

    def __init__(self, name: str, names: dict[str, Any]) -> None:
        super().__init__(name)
        self.names = names

    def get(self) -> Any:
        """The value, UNSET where there is none."""
        return self.names.get(self.name, UNSET)

    def set(self, value: Any) -> None:
        """Binds the variable, or unbinds it with UNSET."""
        if value is UNSET:
            self.names.pop(self.name, None)
        else:
            self.names[self.name] = value


def slots_of(
    functions: Sequence[FunctionType],
    names: Sequence[str],
    paths: Sequence[Path],
    mutated: Sequence[str],
    dead: Sequence[str],
) -> list[Slot]:
    """The variables that blocks change.

    Args:
        functions: Those made of the blocks.
        names: Variables of the function around.
        paths: Attributes: the text, what gives the object, the name. Without an object, a name of
            the module.
        mutated: Those of them that are changed in place.
        dead: Those that nobody reads later.
    """
    cells: dict[str, CellType] = {}
    for f in functions:
        cells.update(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True))
    around = functions[0].__globals__
    slots: list[Slot] = [
        CellSlot(n, cells[n]) if n in cells else GlobalSlot(n, around)
        for n in names
        if n in cells or n in around
    ]
    for text, base, name in paths:
        if text == name:
            slots.append(GlobalSlot(name, around))
        else:
            slots.append(AttributeSlot(text, base, name))
    for s in slots:
        s.mutated, s.dead = s.name in mutated, s.name in dead
    return slots
