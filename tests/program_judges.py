"""Ways to run a program of `source_programs`, which must agree; each raises `Wrong` where not."""

import random
import tempfile
import threading
from pathlib import Path

import numpy as np
from program_derivatives import derivatives
from program_wrong import Wrong, as_numpy, same_bits

import dlc
from dlc.codegen.cpu.isa import ISA_LEVELS, host_flags, host_machine
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_printer import print_kernel
from dlc.codegen.program_builder import build_program
from dlc.ir.config import config
from dlc.ir.equal import same_structure
from dlc.ir.errors import DlcError
from dlc.ir.parser import parse_function
from dlc.ir.printer import print_function
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of
from dlc.runtime.judge import Judge
from dlc.runtime.verification import verify_function

ISAS = [isa.name for isa in ISA_LEVELS if isa.runs_on(host_machine(), host_flags())]


class Case:
    """A program with arguments, traced once, and the interpreter's verdict on results."""

    def __init__(self, program, seed=0, *, special=False, level="O2"):
        self.program = program
        self.f = program.function()
        self.arrays = program.arrays(seed, special=special)
        self.compiled = dlc.compile(self.f, level=level)
        self.lowered = self.compiled.lower(*self.arrays)
        self.closure = self.lowered.closure
        captures = [c.numpy() for c in self.closure.captures]
        self.given = [np.ascontiguousarray(a).reshape(a.shape) for a in self.arrays] + captures
        self._judge = None

    @property
    def judge(self):
        if self._judge is None:
            with np.errstate(all="ignore"):
                self._judge = Judge(self.closure.function, self.given)
        return self._judge

    def hold(self, found, what):
        """Results must be right: what rounding explains is allowed."""
        with np.errstate(all="ignore"):
            wrong = self.judge.difference([as_numpy(r) for r in found])
        if wrong is not None:
            raise Wrong(f"{what}: {wrong}")

    def results(self, program=None):
        return [as_numpy(r) for r in (program or self.compiled)(*self.arrays)]


def stages(case, rng):
    """Every stage agrees with the interpreter, on one, two and three threads; text is read back."""
    function = case.closure.function
    level = rng.choice(("O2", "O2", "O2", "O1", "O3", "O0"))
    isa = rng.choice((None, None, *ISAS))
    with config.scope(**({"isa": isa} if isa else {})):
        report = verify_function(function, case.given, level=level)
    if not report.ok:
        raise Wrong(f"stages at {level} on {isa}: {report}")
    optimised = run_pipeline(function, pipeline_of(level))
    if not same_structure(parse_function(print_function(optimised)), optimised):
        raise Wrong("the optimised IR is not read back")
    for kernel in build_program(optimised).kernels:
        text = print_kernel(kernel)
        if print_kernel(parse_kernel(text)) != text:
            raise Wrong(f"a kernel is not read back: {text}")


def eager(case, rng):
    case.hold(case.f(*[dlc.asarray(a) for a in case.arrays]), "eager")


def calls(case, rng):
    """Calls of every kind: the same bits, arguments as they were."""
    before = [a.copy() for a in case.arrays]
    first = case.results()
    kept = [r.copy() for r in first]
    case.hold(first, "compiled")
    tensors = [dlc.asarray(a) for a in case.arrays]
    for k in range(4):
        same_bits(kept, case.results(), f"call {k + 2} with arrays")
        same_bits(kept, case.compiled(*tensors), f"call {k + 2} with tensors")
    for n in (1, 2, 3):
        same_bits(kept, case.results(dlc.compile(case.f, num_threads=n)), f"{n} threads")
    same_bits(kept, first, "results of the first call, after others")
    for k, (a, b) in enumerate(zip(before, case.arrays, strict=True)):
        same_bits([a], [b], f"argument {k} after calls")
        same_bits([a], [tensors[k]], f"tensor {k} after calls")
    other = case.program.arrays(seed=7)
    plain = [np.array(a) for a in other]
    same_bits(case.compiled(*other), case.compiled(*plain), "layouts of other arguments")
    same_bits(kept, case.results(), "the first arguments again")


def repeated(case, rng):
    """The same array for several arguments."""
    arrays = list(case.arrays)

    def kind(k):
        return arrays[k].shape, arrays[k].dtype, case.program.inputs[k].high

    for k in range(1, len(arrays)):
        for j in range(k):
            if kind(j) == kind(k):
                arrays[k] = arrays[j]
    apart = [a.copy() for a in arrays]
    for _ in range(3):
        same_bits(
            case.compiled(*apart), case.compiled(*arrays), "arguments that are the same array"
        )
    tensors = {id(a): dlc.asarray(a) for a in arrays}
    together = [tensors[id(a)] for a in arrays]
    for _ in range(3):
        same_bits(case.compiled(*apart), case.compiled(*together), "the same tensor twice")


def donated(case, rng):
    count = len(case.arrays)
    given = [k for k in range(count) if rng.random() < 0.6]
    kept = [r.copy() for r in case.results()]
    program = dlc.compile(case.f, donate_argnums=given)
    for k in range(3):
        tensors = [dlc.asarray(a) for a in case.arrays]
        same_bits(kept, program(*tensors), f"donated {given}, call {k}")
        for j in range(count):
            if j not in given:
                same_bits([case.arrays[j]], [tensors[j]], f"argument {j}, not donated")


def extents(case, rng):
    """Another extent in the place of one: traced again with a symbol, and judged on its own."""
    sizes = sorted({d for p in case.program.inputs for d in p.shape if d > 1})
    if not sizes:
        return
    old = rng.choice(sizes)
    news = [rng.choice((old + 1, 2 * old, max(old - 1, 2), 3)) for _ in range(2)]
    case.hold(case.results(), f"extent {old}")
    for new in news:
        program = case.program.stretched(old, new)
        try:
            with config.scope(disable_jit=True), np.errstate(all="ignore"):
                case.f(*[dlc.asarray(a) for a in program.arrays()])
        except DlcError:
            continue
        other = Case(program)
        other.hold(case.compiled(*other.arrays), f"extent {old} as {new}")
        other.hold(case.compiled(*other.arrays), f"extent {old} as {new}, again")
    # The program of a symbol may round otherwise than the one of the number.
    case.hold(case.results(), f"extent {old} again after {news}")


def batches(case, rng):
    """A batch, against the program of each of its elements."""
    inputs = case.program.inputs
    axes = [0 if rng.random() < 0.7 else None for _ in inputs]
    if not any(a == 0 for a in axes):
        axes[0] = 0
    sets = [case.program.arrays(seed=s) for s in (1, 2, 3)]
    given = [np.stack([s[k] for s in sets]) if a == 0 else sets[0][k] for k, a in enumerate(axes)]
    batch = dlc.vmap(case.f, in_axes=tuple(axes))
    for name, run in (("vmap", batch), ("compiled vmap", dlc.compile(batch))):
        found = [as_numpy(r) for r in run(*map(dlc.asarray, given))]
        for n, seed in enumerate((1, 2, 3)):
            own = [g[n] if a == 0 else g for g, a in zip(given, axes, strict=True)]
            with np.errstate(all="ignore"):
                judge = Judge(case.closure.function, [*own, *case.given[len(own) :]])
                wrong = judge.difference([r[n] for r in found])
            if wrong is not None:
                raise Wrong(f"{name} {axes} at {n} (seed {seed}): {wrong}")


def saved(case, rng):
    program = dlc.compile(case.f)  # of these extents: `extents` may have left one of symbols
    kept = [r.copy() for r in case.results(program)]
    specs = tuple(dlc.spec(a.shape, dlc.asarray(a).dtype) for a in case.arrays)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "saved.dlc"
        program.save(path, specs=[specs])
        loaded = dlc.load(path)
        for _ in range(3):
            same_bits(kept, loaded(*case.arrays), "saved and loaded")


def exported(case, rng):
    """ONNX: the file read again, and what ONNX Runtime makes of it."""
    try:
        proto = dlc.onnx.export(case.f, tuple(case.arrays))
    except DlcError as error:
        if "ONNX" in str(error) or "onnx" in str(error):
            return
        raise
    again = dlc.onnx.load(proto)
    case.hold(again(*case.arrays), "exported and loaded")


def concurrent(case, rng):
    kept = [r.copy() for r in case.results()]
    wrong = []

    def work():
        try:
            for _ in range(8):
                same_bits(kept, case.results(), "in a thread")
        except BaseException as error:  # noqa: BLE001
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if wrong:
        raise wrong[0]


def options(case, rng):
    """What may not change meaning: levels, precision, the interpreter, checks."""
    level, precision = rng.choice(("O0", "O1", "O3")), rng.choice(("exact", "fast"))
    program = dlc.compile(case.f, level=level, precision=precision)
    case.hold(case.results(program), f"level {level}, precision {precision}")
    case.hold(case.results(dlc.compile(case.f, disable=True)), "without the compiler")
    kept = [r.copy() for r in case.results()]
    with config.scope(verify=True):
        same_bits(kept, case.results(dlc.compile(case.f, verify=True)), "verified")


def wrapped(case, rng):
    """The program inside other functions, and with arguments that it closes over."""
    f, tensors = case.f, [dlc.asarray(a) for a in case.arrays]
    forms = {
        "checkpoint": lambda: dlc.checkpoint(f)(*tensors),
        "compiled inside": lambda: dlc.compile(lambda *a: [*dlc.compile(f)(*a)])(*tensors),
        "a branch": lambda: dlc.compile(lambda p, *a: dlc.cond(p, f, f, *a))(True, *tensors),
        "a batch of one": lambda: [r[0] for r in dlc.vmap(f)(*[t[None] for t in tensors])],
        "a loop of one": lambda: [
            r[0] for r in dlc.scan(lambda c, _: (c, f(*tensors)), 0.0, dlc.zeros(1))[1]
        ],
        "closed over": dlc.compile(lambda: f(*tensors)),
        "variables": lambda: dlc.compile(f)(*map(dlc.Variable, tensors)),
        "beside a tangent": lambda: dlc.jvp(lambda z: (f(*tensors), z), (0.0,), (1.0,))[0][0],
    }
    for name in rng.sample(sorted(forms), 3):
        case.hold(forms[name](), name)


JUDGES = {
    "stages": stages, "eager": eager, "calls": calls, "repeated": repeated, "donated": donated,
    "extents": extents, "batches": batches, "saved": saved, "exported": exported,
    "concurrent": concurrent, "options": options, "wrapped": wrapped,
}  # fmt: skip


def judge(program, names, seed, *, special=False):
    """Judges a program by some of `JUDGES`, or by `derivatives`."""
    rng = random.Random(seed)
    if "derivatives" in names:
        derivatives(program, seed)
        return
    case = Case(program, special=special)
    for name in names:
        JUDGES[name](case, rng)
