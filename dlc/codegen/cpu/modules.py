"""Kernels compiled together, in modules that share helper functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from dlc.codegen.backend import nothing
from dlc.codegen.cpu.blob import Blob
from dlc.codegen.cpu.contraction import emit_contraction, is_contraction
from dlc.codegen.cpu.emit import (
    Emitter,
    all_helpers,
    module_text,
    open_module_text,
)
from dlc.codegen.cpu.helper_code import MODULE_LINES, Helpers, HelperStore
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.cpu.kernel_code import KernelCode
from dlc.codegen.cpu.llvm import assembly, compile_modules
from dlc.codegen.cpu.loops import emit_loops
from dlc.codegen.cpu.pieces import Piece, join
from dlc.codegen.cpu.stored_code import CpuCode
from dlc.codegen.cpu.tiles import emit_tiles
from dlc.codegen.cpu.transposes import emit_transpose
from dlc.codegen.kernel_ir import Kernel

MODULE_SIZE = 16  # kernels that are compiled together
_SMALL_MODULE = 200  # lines up to which a further module costs more than another CPU saves
_NAME = re.compile(r"@([-\w$.]+)\(")


def emit(kernel: Kernel, isa: Isa) -> KernelCode:
    """The kernel as LLVM functions."""
    if is_contraction(kernel, isa):
        return emit_contraction(kernel, isa)
    return emit_transpose(kernel, isa) or emit_tiles(kernel, isa) or emit_loops(kernel, isa)


def compile_kernels(
    kernels: Sequence[Kernel],
    isa: Isa,
    store: HelperStore | None = None,
    meanwhile: Callable[[], None] = nothing,
) -> list[bytes]:
    """The code of each kernel, complete in itself; helpers are taken from `store` and put there.

    `meanwhile` is called once, while LLVM is at work.
    """
    modules = _modules([emit(k, isa) for k in kernels])
    helpers = Helpers(isa, store)
    for module in modules:
        helpers.want(module.helpers())
    batches = helpers.batches()
    groups = [group for module in modules for group in module.groups()]
    places = [_place(list(batch.values()), groups) for batch in batches]
    names = {name for m in modules for name in m.outside()}

    def beside() -> None:
        helpers.assemble()
        meanwhile()

    texts = [open_module_text(g) for g in groups]
    compiled = compile_modules(texts, isa, outside=names, meanwhile=beside)
    for batch, place in zip(batches, places, strict=True):
        helpers.take(batch, compiled[place], outside=names)
    made = iter(compiled)
    found: list[tuple[_Module, dict[str, Piece]]] = []
    for module in modules:
        pieces: dict[str, Piece] = {}
        for group in module.groups():
            own = [em.name for em in group]
            pieces |= zip(own, next(made).pieces(own, outside=names), strict=True)
        found.append((module, pieces))
    payloads: dict[int, bytes] = {}
    for module, pieces in found:
        others = pieces | helpers.pieces(module.helpers())
        for number, code in zip(module.numbers, module.codes, strict=True):
            payloads[number] = _cpu_code(code, join(pieces[code.entry], others)).to_bytes()
    return [payloads[k] for k in range(len(kernels))]


def _place(helpers: list[Emitter], groups: list[list[Emitter]]) -> int:
    """Adds helpers to the first group of equal effort that stays small, or as one of their own.

    Returns:
        The number of the group.
    """
    own = {em.name for em in helpers}
    most = MODULE_LINES if helpers[0].quick else _SMALL_MODULE
    for number, group in enumerate(groups):
        alike = group[0].quick == helpers[0].quick
        lines = sum(len(em.lines) for em in (*group, *helpers))
        if alike and lines <= most and own.isdisjoint(em.name for em in group):
            group.extend(helpers)
            return number
    groups.append(helpers)
    return len(groups) - 1


def llvm_text(kernels: Sequence[Kernel], isa: Isa) -> str:
    """The kernels as LLVM text, in the modules that `compile_kernels` makes of them."""
    return "\n".join(m.text() for m in _modules([emit(k, isa) for k in kernels]))


def assembly_text(kernels: Sequence[Kernel], isa: Isa) -> str:
    """The kernels as assembly, module by module."""
    return "\n".join(assembly(m.text(), isa) for m in _modules([emit(k, isa) for k in kernels]))


def _cpu_code(code: KernelCode, blob: Blob) -> CpuCode:
    return CpuCode(blob, code.entry, code.units, code.chunk, code.scratch, code.cost)


class _Module:
    """Kernels that are compiled together, with the helper functions that they share."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.codes: list[KernelCode] = []
        self._functions: dict[str, str] = {}
        self._lines = 0

    def take(self, number: int, code: KernelCode) -> bool:
        """Adds a kernel, unless there are enough or names of its functions mean something else."""
        own = _functions(code)
        clash = any(self._functions.get(name, text) != text for name, text in own.items())
        full = len(self.codes) == MODULE_SIZE or self._lines >= MODULE_LINES
        if full or code.entry in self._functions or clash:
            return False
        self._lines += sum(len(em.lines) for em in code.emitters)
        self._functions |= own
        self.numbers.append(number)
        self.codes.append(code)
        return True

    def text(self) -> str:
        """The LLVM text, helpers included."""
        return module_text(self._emitters())

    def groups(self) -> list[list[Emitter]]:
        """The functions that are compiled with equal effort."""
        split = [[em for em in self._emitters() if em.quick is quick] for quick in (False, True)]
        return [group for group in split if group]

    def outside(self) -> set[str]:
        """The names of functions that each group may find in another place."""
        return {em.name for em in self._emitters()} | self.helpers().keys()

    def helpers(self) -> dict[str, Emitter]:
        """The helpers that are compiled apart, by name."""
        return all_helpers(self._emitters())

    def _emitters(self) -> list[Emitter]:
        return [em for code in self.codes for em in code.emitters]


def _functions(code: KernelCode) -> dict[str, str]:
    """The text of each function of a kernel by name; its own functions are its alone."""
    found: dict[str, str] = {}
    for em in code.emitters:
        found[em.name] = f"{code.entry}: {em.name}"
        for declaration in em.declarations:
            name = _NAME.search(declaration)
            if name is not None:
                found[name[1]] = declaration
    found |= {name: h.key() for name, h in all_helpers(code.emitters).items()}
    return found


def _modules(codes: Sequence[KernelCode]) -> list[_Module]:
    """Kernels cut into modules; those with most helpers go first, so that they share them."""
    modules: list[_Module] = []
    helpers = [sum(len(em.declarations) for em in code.emitters) for code in codes]
    for number in sorted(range(len(codes)), key=lambda k: -helpers[k]):
        if not any(module.take(number, codes[number]) for module in modules):
            modules.append(_Module())
            modules[-1].take(number, codes[number])
    return modules
