"""LLVM text to object code: a light pipeline, one object a module, nothing external.

Kernels come with explicit vectors, so that few of LLVM's passes are worth their time: scalar
replacement, instruction combining, control flow simplification, and helpers marked `alwaysinline`
merged into their callers. llvmlite is imported when the first module is compiled.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from dlc.codegen.backend import nothing
from dlc.codegen.cpu.blob import Blob
from dlc.codegen.cpu.elf import ElfObject
from dlc.codegen.cpu.emission import emit_objects
from dlc.codegen.cpu.isa import Isa, host_machine
from dlc.codegen.cpu.linking import link_entries, link_object
from dlc.codegen.cpu.pieces import Piece
from dlc.codegen.cpu.preparation import prepare, sample
from dlc.ir.cpus import available_cpus
from dlc.ir.errors import BackendError, excerpt
from dlc.ir.locks import hold_during_fork
from dlc.ir.record import dataclass

if TYPE_CHECKING:
    from llvmlite.binding import ModuleRef, TargetMachine

_DEFINE = re.compile(r"^define\b", re.MULTILINE)
_ADDRESS_KEYWORDS = re.compile(r"\s*(?:local_)?unnamed_addr\b")
_LLVM_LINE = re.compile(r"<string>:(\d+):(\d+): error: (.*)")
_DEFINITION = re.compile(r"^define\b.*", re.MULTILINE)
_OPTNONE = " optnone "
_INLINE_ASSEMBLY = re.compile(r"\bcall\b[^\n]*\basm\b|^module asm\b", re.MULTILINE)
# The number of the attribute group that is added; no emitter counts that far.
_GROUP = 65521


@dataclass(frozen=True)
class CompiledModule:
    """What LLVM makes of one module.

    Args:
        object: A relocatable ELF object for the level's architecture, without undefined symbols.
        pooled: Whether it has no global constants, only those of instructions.
        quick: Whether none of its functions is optimized.
    """

    object: bytes
    pooled: bool
    quick: bool = False

    @functools.cached_property
    def elf(self) -> ElfObject:
        """The object, parsed."""
        return ElfObject(self.object)

    def blob(self) -> Blob:
        """Link it into code that can be mapped; raises BackendError as `link_object` does."""
        return link_object(self.object)

    def pieces(self, entries: Sequence[str], outside: Collection[str] = ()) -> list[Piece]:
        """Link each of these functions with what it needs alone; raises as `link_entries` does."""
        return link_entries(self.elf, entries, outside=outside, pooled=self.pooled)


def compile_module(text: str, isa: Isa, *, outside: Collection[str] = ()) -> CompiledModule:
    r"""Compile LLVM text to an object.

    Functions need no attributes of their own for the target: vector width and the ban on library
    calls are added here. The level may be of another architecture. Safe to call from many threads;
    LLVM itself works for one of them at a time.

    Args:
        text: An LLVM module.
        isa: The level to compile for.
        outside: Names of functions that the module may declare without defining them.

    Raises:
        BackendError: for text that LLVM rejects (with the line), and for calls to anything else
            that the module does not define (with the names).

    Example:
        >>> compile_module("define void @f() { ret void }", isa_named("x86-64-v3")).object[:4]
        b'\x7fELF'
    """
    return compile_modules([text], isa, outside=outside)[0]


def compile_modules(
    texts: Iterable[str],
    isa: Isa,
    *,
    outside: Collection[str] = (),
    meanwhile: Callable[[], None] = nothing,
) -> list[CompiledModule]:
    """As `compile_module` for each text, on as many CPUs as there are; raises as it does.

    Texts are asked for one by one, while other threads are at work; best the longest first, so that
    none is left to one thread at the end. Then `meanwhile` is called. What is `outside` may still
    grow until all that has happened.
    """
    with _lock:
        compiled = _compiled(texts, isa, meanwhile)  # modules and contexts go before the lock does
    for module in compiled:
        _check_complete(module, isa, outside)
    if compiled:
        known = {module.quick for module in compiled}
        prepare(lambda: _compile_samples(isa, {True, False} - known))
    return compiled


def _compiled(
    texts: Iterable[str], isa: Isa, meanwhile: Callable[[], None]
) -> list[CompiledModule]:
    modules: list[ModuleRef] = []
    quick: list[bool] = []
    rest = iter(texts)
    first = next(rest, None)
    if first is None:
        meanwhile()
        return []

    def prepared() -> Iterator[tuple[ModuleRef, bool]]:
        for text in itertools.chain([first], rest):
            quick.append(_is_quick(text))
            modules.append(_optimized(text, isa, quick=quick[-1])[0])
            yield modules[-1], quick[-1]

    alone = meanwhile is nothing and isinstance(texts, Sequence) and len(texts) == 1
    lanes = [_Lane(isa, k) for k in range(1 if alone else available_cpus())]
    compiled: list[CompiledModule] = []
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [module.close() for module in modules])
        objects = emit_objects(prepared(), lanes, meanwhile)
        for made, module, q in zip(objects, modules, quick, strict=True):
            if isinstance(made, RuntimeError):
                raise BackendError(f"LLVM could not compile for {isa.name}: {made}") from None
            pooled = not list(module.global_variables)
            compiled.append(CompiledModule(made, pooled=pooled, quick=q))
    return compiled


def _compile_samples(isa: Isa, kinds: Collection[bool]) -> None:
    """Gets the code generators of another thread ready that are quick or not, as `kinds` says."""
    lane = _Lane(isa, 1)
    with _lock:
        for quick in kinds:
            module, _ = _optimized(sample(quick=quick), isa, quick=quick)
            with contextlib.closing(module):
                emit_objects([(module, quick)], [lane], nothing)


def _check_complete(module: CompiledModule, isa: Isa, outside: Collection[str]) -> None:
    undefined = [name for name in module.elf.undefined_names() if name not in outside]
    if undefined:
        raise BackendError(
            f"compiled for {isa.name}, the module needs {', '.join(undefined)}, "
            "which it does not define",
            hint="code must be complete in itself; operations without an instruction at this "
            "level have to be written out",
        )


def optimized_text(text: str, isa: Isa) -> str:
    """Give the LLVM text after the pipeline of `compile_module`; raises as it does."""
    with _lock, contextlib.closing(_optimized(text, isa, quick=_is_quick(text))[0]) as module:
        return str(module)


def assembly(text: str, isa: Isa) -> str:
    """Give the assembly of `compile_module`, undefined symbols included; raises as it does."""
    with _lock:
        module, machine = _optimized(text, isa, quick=_is_quick(text))
        with contextlib.closing(module):
            return machine.emit_assembly(module)


def _is_quick(text: str) -> bool:
    """Whether no function of a module is to be optimized: then nothing else need be looked at."""
    return all(_OPTNONE in line for line in _DEFINITION.findall(text))


def _optimized(text: str, isa: Isa, *, quick: bool) -> tuple[ModuleRef, TargetMachine]:
    # The caller closes the module. Were it left to the collector of garbage, as part of an error's
    # traceback, its context might go first.
    if isa.machine != host_machine() and _INLINE_ASSEMBLY.search(text):
        # LLVM would end the process: it has an assembler for this machine only.
        raise BackendError(f"inline assembly cannot be compiled for {isa.name} on this machine")
    machine = target_machine(isa, quick=quick)
    module = _parse(_with_attributes(text, isa), text)
    try:
        _check(module, machine, isa)
        if not quick:
            _run_pipeline(module, machine)
    except BaseException:
        module.close()
        raise
    return module, machine


def _check(module: ModuleRef, machine: TargetMachine, isa: Isa) -> None:
    module.triple = isa.triple
    module.data_layout = str(machine.target_data)
    import llvmlite.binding as llvm

    for function in module.functions:
        # Hidden symbols are addressed directly, not through a table of offsets.
        if not function.is_declaration and function.linkage == llvm.Linkage.external:
            function.visibility = "hidden"
    try:
        module.verify()
    except RuntimeError as error:
        raise BackendError(f"LLVM's verifier rejected a module: {str(error).strip()}") from None


def _parse(text: str, original: str) -> ModuleRef:
    import llvmlite.binding as llvm

    try:
        # A context of its own, or the types and constants of all modules would pile up in one.
        return llvm.parse_assembly(text, llvm.create_context())
    except RuntimeError as error:
        message = str(error)
    found = _LLVM_LINE.search(message)
    if found is None:
        raise BackendError(f"LLVM could not parse a module: {message.strip()}")
    line, column, complaint = int(found[1]), found[2], found[3]
    raise BackendError(
        f"LLVM text, line {line}, column {column}: {complaint}\n{excerpt(original, line)}"
    )


def _run_pipeline(module: ModuleRef, machine: TargetMachine) -> None:
    import llvmlite.binding as llvm

    options = llvm.create_pipeline_tuning_options(speed_level=1)
    manager = llvm.create_new_module_pass_manager()
    try:
        manager.add_always_inliner_pass()
        manager.add_sroa_pass()
        manager.add_instruction_combine_pass()
        manager.add_simplify_cfg_pass()
        manager.add_global_dead_code_eliminate_pass()
        manager.run(module, llvm.create_pass_builder(machine, options))
    finally:
        # Its own `close` does not reach it, behind that of a base class which frees nothing.
        library = getattr(llvm, "ffi").lib  # noqa: B009  it is not part of the stub
        library.LLVMPY_DisposeNewModulePassManger(manager)
        manager.detach()


def _attributes(isa: Isa) -> str:
    # Without the two widths, LLVM would split 512-bit vectors into halves. Tables of jumps would
    # lie beside constants of other functions of a module, which would then lead to the same code.
    return (
        f'nounwind "no-builtins" "no-jump-tables"="true" "tune-cpu"="generic" '
        f'"prefer-vector-width"="{isa.vector_bits}" "min-legal-vector-width"="{isa.vector_bits}"'
    )


def _with_attributes(text: str, isa: Isa) -> str:
    """Give every function definition of a module the attributes of the level."""
    pieces: list[str] = []
    end = 0
    for definition in _DEFINE.finditer(text):
        place = _after_parameters(text, definition.end())
        pieces += [text[end:place], f" #{_GROUP}"]
        end = place
    group = f"\nattributes #{_GROUP} = {{ {_attributes(isa)} }}\n"
    return "".join([*pieces, text[end:], group])


_TOKEN = re.compile(r'"[^"]*"|[@%][-\w$.]+|;[^\n]*|[(){]')


def _after_parameters(text: str, start: int) -> int:
    """Find where the attributes of a function definition go."""
    depth, named = 0, False
    for token in _TOKEN.finditer(text, start):
        kind = token[0]
        # The parameters are the parentheses after the name; a return type may have some too.
        named = named or (depth == 0 and kind.startswith("@"))
        if kind == "{" and named and depth == 0:
            break
        depth += (kind == "(") - (kind == ")")
        if kind == ")" and named and depth == 0:
            keywords = _ADDRESS_KEYWORDS.match(text, token.end())
            return keywords.end() if keywords else token.end()
    line = text.count("\n", 0, start) + 1
    raise BackendError(f"LLVM text, line {line}: no parameter list\n{excerpt(text, line)}")


# LLVM works for one thread at a time. Were it at work during a fork, it would never be free again
# in the child.
_lock = threading.RLock()
hold_during_fork(_lock)
_machines: dict[tuple[Isa, int, bool], TargetMachine] = {}


def target_machine(isa: Isa, lane: int = 0, *, quick: bool = False) -> TargetMachine:
    """Give LLVM's code generator for a level, one for the whole process and each of its lanes.

    That for functions which are not to be optimized leaves out what it can.
    """
    with _lock:
        return _Lane(isa, lane)[quick]


class _Lane(dict[bool, "TargetMachine"]):
    """The code generators of a lane, which are made when they are first needed.

    By the thread that the lane belongs to, while `_lock` is held for it.
    """

    def __init__(self, isa: Isa, lane: int) -> None:
        super().__init__()
        self.isa, self.lane = isa, lane
        if not _machines:
            _initialize()

    def __missing__(self, quick: bool) -> TargetMachine:
        key = self.isa, self.lane, quick
        if key not in _machines:
            import llvmlite.binding as llvm

            target = llvm.Target.from_triple(self.isa.triple)
            _machines[key] = target.create_target_machine(
                cpu=self.isa.cpu,
                features=self.isa.features,
                opt=0 if quick else 2,
                reloc="pic",
                codemodel="small",
            )
        self[quick] = _machines[key]
        return self[quick]


def _initialize() -> None:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.initialize_native_asmparser()
    # Strength reduction of loops takes a third to a half of all code generation and gains at most
    # 3 %. There is no narrower switch: it holds for all of llvmlite in this process.
    llvm.set_option("dlc", "-disable-lsr")
