"""x86-64 assembly in AT&T syntax: what `Code` writes, for readers and for an assembler."""

from __future__ import annotations

from collections.abc import Callable

from dlc.codegen.cpu.x86_code import Memory


class Assembly:
    """The lines of assembly being written; methods mean what those of `Code` do.

    Args:
        name: That of the function, for labels.
        vector_bits: Of a vector register.
        double: Whether vectors are of float64, else of float32.
    """

    def __init__(self, name: str, vector_bits: int, *, double: bool) -> None:
        self.name, self.lines, self.wide = name, list[str](), vector_bits == 512
        self._file = "zmm" if self.wide else "ymm"
        self._scalar, self._packed = ("sd", "pd") if double else ("ss", "ps")
        self._lanes = vector_bits // (64 if double else 32)
        self._labels = 0

    def push(self, register: str) -> None:
        """As `Code`."""
        self.lines.append(f"push %{register}")

    def pop(self, register: str) -> None:
        """As `Code`."""
        self.lines.append(f"pop %{register}")

    def load(self, target: str, place: Memory) -> None:
        """As `Code`."""
        self.lines.append(f"mov {_place(place)}, %{target}")

    def move(self, target: str, source: str) -> None:
        """As `Code`."""
        self.lines.append(f"mov %{source}, %{target}")

    def move_number(self, target: str, number: int) -> None:
        """As `Code`."""
        self.lines.append(f"movq ${number}, %{target}")

    def add(self, target: str, source: str) -> None:
        """As `Code`."""
        self.lines.append(f"add %{source}, %{target}")

    def add_number(self, target: str, number: int) -> None:
        """As `Code`."""
        self.lines.append(f"add ${number}, %{target}")

    def subtract_number(self, target: str, number: int) -> None:
        """As `Code`."""
        self.lines.append(f"sub ${number}, %{target}")

    def and_number(self, target: str, number: int) -> None:
        """As `Code`."""
        self.lines.append(f"and ${number}, %{target}")

    def multiply(self, target: str, source: str, number: int) -> None:
        """As `Code`."""
        self.lines.append(f"imul ${number}, %{source}, %{target}")

    def shift_left(self, target: str, count: int) -> None:
        """As `Code`."""
        self.lines.append(f"shl ${count}, %{target}")

    def address(self, target: str, place: Memory) -> None:
        """As `Code`."""
        self.lines.append(f"lea {_place(place)}, %{target}")

    def test(self, register: str) -> None:
        """As `Code`."""
        self.lines.append(f"test %{register}, %{register}")

    def prefetch(self, place: Memory, level: int) -> None:
        """As `Code`."""
        self.lines.append(f"prefetcht{level - 1} {_place(place)}")

    def leave(self) -> None:
        """As `Code`."""
        self.lines += ["vzeroupper", "ret"]

    def clear(self, target: int) -> None:
        """As `Code`."""
        register = self._name(target)
        self.lines.append(f"vxor{self._packed} {register}, {register}, {register}")

    def load_vector(self, target: int, place: Memory) -> None:
        """As `Code`."""
        self.lines.append(f"vmovu{self._packed} {_place(place)}, {self._name(target)}")

    def store_vector(self, place: Memory, source: int) -> None:
        """As `Code`."""
        self.lines.append(f"vmovu{self._packed} {self._name(source)}, {_place(place)}")

    def load_masked(self, target: int, place: Memory) -> None:
        """As `Code`."""
        into = f"{self._name(target)} {{%k1}} {{z}}"
        self.lines.append(f"vmovu{self._packed} {_place(place)}, {into}")

    def store_masked(self, place: Memory, source: int) -> None:
        """As `Code`."""
        self.lines.append(f"vmovu{self._packed} {self._name(source)}, {_place(place)} {{%k1}}")

    def mask_below(self, count: str, scratch: str) -> None:
        """As `Code`."""
        self.move_number(scratch, -1)
        self.lines.append(f"bzhi %{count}, %{scratch}, %{scratch}")
        half = scratch.replace("r", "e", 1) if scratch[1].isalpha() else f"{scratch}d"
        self.lines.append(f"kmovw %{half}, %k1")

    def load_element(self, target: int, place: Memory) -> None:
        """As `Code`."""
        self.lines.append(f"vmov{self._scalar} {_place(place)}, %xmm{target}")

    def store_element(self, place: Memory, source: int) -> None:
        """As `Code`."""
        self.lines.append(f"vmov{self._scalar} %xmm{source}, {_place(place)}")

    def broadcast(self, target: int, place: Memory) -> None:
        """As `Code`."""
        self.lines.append(f"vbroadcast{self._scalar} {_place(place)}, {self._name(target)}")

    def multiply_add(self, total: int, x: int, y: int | Memory) -> None:
        """As `Code`."""
        into = f"{self._name(x)}, {self._name(total)}"
        self.lines.append(f"vfmadd231{self._packed} {self._operand(y)}, {into}")

    def multiply_add_spread(self, total: int, x: int, place: Memory) -> None:
        """As `Code`."""
        factor = f"{_place(place)}{{1to{self._lanes}}}"
        into = f"{self._name(x)}, {self._name(total)}"
        self.lines.append(f"vfmadd231{self._packed} {factor}, {into}")

    def add_pairs(self, total: int, x: int, y: int) -> None:
        """As `Code`."""
        names = ", ".join(map(self._name, (y, x, total)))
        self.lines.append(f"vdpbf16ps {names}")

    def add_vector(self, total: int, y: int | Memory) -> None:
        """As `Code`."""
        register, other = self._name(total), self._operand(y)
        self.lines.append(f"vadd{self._packed} {other}, {register}, {register}")

    def repeat(self, count: int, write: Callable[[], None]) -> None:
        """As `Code`."""
        self.lines.append(f".rept {count}")
        write()
        self.lines.append(".endr")

    def loop(self, condition: str, write: Callable[[], None]) -> None:
        """As `Code`."""
        label = self._label()
        self.lines += [".p2align 4", f"{label}:"]
        write()
        self.lines.append(f"j{condition} {label}")

    def skip(self, condition: str, write: Callable[[], None]) -> None:
        """As `Code`, whose jump has 32 bits."""
        label = self._label()
        self.lines.append(f"{{disp32}} j{condition} {label}")
        write()
        self.lines.append(f"{label}:")

    def _label(self) -> str:
        self._labels += 1
        return f".L{self.name}.{self._labels}"

    def _name(self, register: int) -> str:
        return f"%{self._file}{register}"

    def _operand(self, y: int | Memory) -> str:
        return self._name(y) if isinstance(y, int) else _place(y)


def _place(place: Memory) -> str:
    scaled = "" if place.scaled is None else f",%{place.scaled}"
    scale = "" if place.scale == 1 else f",{place.scale}"
    return f"{place.offset or ''}(%{place.base}{scaled}{scale})"
