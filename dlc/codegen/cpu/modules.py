"""Kernels compiled together, in modules that share helper functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

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
from dlc.codegen.cpu.llvm import CompiledModule, assembly, compile_modules
from dlc.codegen.cpu.loops import emit_loops
from dlc.codegen.cpu.pieces import Piece, join
from dlc.codegen.cpu.stored_code import CpuCode
from dlc.codegen.cpu.tiles import emit_tiles
from dlc.codegen.cpu.transposes import emit_transpose
from dlc.codegen.kernel_ir import Kernel
from dlc.ir.record import dataclass

MODULE_SIZE = 16  # kernels that are compiled together
_SMALL_MODULE = 200  # lines up to which a further module costs more than another CPU saves
_FIRST_LINES = 300  # of the first module for each of two CPUs: they wait for it
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

    Modules are compiled while those after them are written. `meanwhile` is called once, while LLVM
    is at work.
    """
    work = _Work(isa, store)

    def beside() -> None:
        work.helpers.assemble()
        meanwhile()

    compiled = compile_modules(work.texts(kernels), isa, outside=work.names, meanwhile=beside)
    return work.payloads(compiled)


@dataclass(frozen=True)
class _Job:
    """What is compiled as one: functions of a module's kernels, or helpers, or both.

    Args:
        module: Whose functions there are, if any's.
        own: Their names.
        batches: The helpers by name, in one or more batches.
        emitters: All of them.
    """

    module: _Module | None
    own: list[str]
    batches: list[dict[str, Emitter]]
    emitters: list[Emitter]


class _Work:
    """Kernels on their way through LLVM."""

    def __init__(self, isa: Isa, store: HelperStore | None) -> None:
        self.isa, self.helpers = isa, Helpers(isa, store)
        self.names: set[str] = set()
        """Of all functions so far: what the code of one may refer to."""
        self._jobs: list[_Job] = []
        self._modules: list[_Module] = []

    def texts(self, kernels: Sequence[Kernel]) -> Iterator[str]:
        """The text of each job, which is written when it is asked for; each job's longest first."""
        for module in _modules(emit(k, self.isa) for k in kernels):
            self._modules.append(module)
            self.names |= module.outside()
            self.helpers.want(module.helpers())
            jobs = [_Job(module, [em.name for em in g], [], g) for g in module.groups()]
            for batch in self.helpers.batches():
                _place(batch, jobs)
            jobs.sort(key=lambda job: -_lines(job.emitters))
            self._jobs += jobs
            for job in jobs:
                yield open_module_text(job.emitters)

    def payloads(self, compiled: Sequence[CompiledModule]) -> list[bytes]:
        """The code of each kernel, from what LLVM made of each job."""
        for job, made in zip(self._jobs, compiled, strict=True):
            for batch in job.batches:
                self.helpers.take(batch, made, outside=self.names)
            if job.module is not None:
                own = made.pieces(job.own, outside=self.names)
                job.module.pieces |= zip(job.own, own, strict=True)
        payloads: dict[int, bytes] = {}
        for module in self._modules:
            own = module.pieces
            others = own | self.helpers.pieces(module.helpers())
            for number, code in zip(module.numbers, module.codes, strict=True):
                payloads[number] = _cpu_code(code, join(own[code.entry], others)).to_bytes()
        return [payloads[k] for k in range(len(payloads))]


def _lines(functions: Iterable[Emitter]) -> int:
    return sum(len(em.lines) for em in functions)


def _place(batch: dict[str, Emitter], jobs: list[_Job]) -> None:
    """Adds helpers to the first job of equal effort that stays small, or as one of their own."""
    helpers = list(batch.values())
    own = {em.name for em in helpers}
    most = MODULE_LINES if helpers[0].quick else _SMALL_MODULE
    for job in jobs:
        alike = job.emitters[0].quick == helpers[0].quick
        small = _lines([*job.emitters, *helpers]) <= most
        if alike and small and own.isdisjoint(em.name for em in job.emitters):
            job.batches.append(batch)
            job.emitters.extend(helpers)
            return
    jobs.append(_Job(None, [], [batch], helpers))


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

    def __init__(self, most: int) -> None:
        self._most = most  # lines
        self.numbers: list[int] = []
        self.codes: list[KernelCode] = []
        self.pieces: dict[str, Piece] = {}  # the code of its functions, once that is made
        self._functions: dict[str, str] = {}
        self._lines = 0

    def take(self, number: int, code: KernelCode) -> bool:
        """Adds a kernel, unless there are enough or names of its functions mean something else."""
        own = _functions(code)
        clash = any(self._functions.get(name, text) != text for name, text in own.items())
        if self.is_full() or code.entry in self._functions or clash:
            return False
        self._lines += _lines(code.emitters)
        self._functions |= own
        self.numbers.append(number)
        self.codes.append(code)
        return True

    def is_full(self) -> bool:
        """Whether it gets no more kernels."""
        return len(self.codes) == MODULE_SIZE or self._lines >= self._most

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


def _modules(codes: Iterable[KernelCode]) -> Iterator[_Module]:
    """Kernels cut into modules, small ones first, each of which is given as soon as it is full."""
    opened: list[_Module] = []
    begun = 0
    for number, code in enumerate(codes):
        if not any(module.take(number, code) for module in opened):
            opened.append(_Module(min(MODULE_LINES, _FIRST_LINES * (1 + begun // 2))))
            begun += 1
            opened[-1].take(number, code)
        full = [module for module in opened if module.is_full()]
        opened = [module for module in opened if not module.is_full()]
        yield from full
    yield from opened
