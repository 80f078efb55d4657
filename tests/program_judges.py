"""Ways to run a program of `source_programs`, which must agree; each raises `Wrong` where not."""

import random
import threading

import numpy as np

import dlc
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
from dlc.runtime.judge import Judge, first_exact_difference
from dlc.runtime.verification import verify_function

ISAS = ("x86-64-v4", "x86-64-v3", "x86-64-v2", "x86-64-amx")


class Wrong(AssertionError):
    """Two ways to run a program do not agree."""


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


def as_numpy(x):
    return x.numpy() if isinstance(x, dlc.Tensor) else np.asarray(x)


def same_bits(a, b, what):
    wrong = first_exact_difference([as_numpy(x) for x in a], [as_numpy(x) for x in b])
    if wrong is not None:
        raise Wrong(f"{what}: {wrong}")


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
    for k in range(1, len(arrays)):
        for j in range(k):
            if (arrays[j].shape, arrays[j].dtype) == (arrays[k].shape, arrays[k].dtype):
                if case.program.inputs[k].high == case.program.inputs[j].high:
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
    kept = [r.copy() for r in case.results()]
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
    same_bits(kept, case.results(), f"extent {old} again after {news}")


def batches(case, rng):
    """A batch, against the program of each of its elements."""
    inputs = case.program.inputs
    axes = [0 if rng.random() < 0.7 else None for _ in inputs]
    if not any(a == 0 for a in axes):
        axes[0] = 0
    sets = [case.program.arrays(seed=s) for s in (1, 2, 3)]
    given = [np.stack([s[k] for s in sets]) if a == 0 else sets[0][k] for k, a in enumerate(axes)]
    for name, run in (("vmap", dlc.vmap(case.f, in_axes=tuple(axes))),
                      ("compiled vmap", dlc.compile(dlc.vmap(case.f, in_axes=tuple(axes))))):  # fmt: skip
        found = [as_numpy(r) for r in run(*given)]
        for n, seed in enumerate((1, 2, 3)):
            own = [g[n] if a == 0 else g for g, a in zip(given, axes, strict=True)]
            with np.errstate(all="ignore"):
                judge = Judge(case.closure.function, [*own, *case.given[len(own) :]])
                wrong = judge.difference([r[n] for r in found])
            if wrong is not None:
                raise Wrong(f"{name} {axes} at {n} (seed {seed}): {wrong}")


def saved(case, rng, folder="/tmp/fuzz"):
    path = f"{folder}/saved.dlc"
    kept = [r.copy() for r in case.results()]
    specs = tuple(dlc.spec(a.shape, dlc.asarray(a).dtype) for a in case.arrays)
    case.compiled.save(path, specs=[specs])
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


JUDGES = {
    "stages": stages, "eager": eager, "calls": calls, "repeated": repeated, "donated": donated,
    "extents": extents, "batches": batches, "saved": saved, "exported": exported,
    "concurrent": concurrent,
}  # fmt: skip


def floats_of(results):
    return [as_numpy(r) for r in results if as_numpy(r).dtype.kind == "f"]


def derivatives(program, seed=0):
    """Reverse mode, forward mode and differences at float64; the value beside the gradient."""
    f, arrays = program.function(), program.arrays(seed, positive=True)
    wide = [k for k, a in enumerate(arrays) if a.dtype == np.float64]
    if not wide:
        return
    rng = np.random.default_rng(seed)

    def whole(*moved):
        given = list(arrays)
        for k, m in zip(wide, moved, strict=True):
            given[k] = m
        found = f(*given)
        total = dlc.asarray(0.0, dtype=dlc.float64)
        for n, r in enumerate(found):
            if np.dtype(dlc.asarray(r).dtype.numpy).kind == "f":
                r = dlc.asarray(r)
                weights = np.random.default_rng(n).normal(size=r.shape)
                total = total + dlc.sum(r * weights, axis=None)
        return total

    points = [arrays[k] for k in wide]
    steps = [rng.normal(size=p.shape) for p in points]
    value, grads = dlc.value_and_grad(whole, argnums=tuple(range(len(wide))))(*points)
    value, grads = float(as_numpy(value)), [as_numpy(g) for g in grads]
    plain = float(as_numpy(dlc.compile(whole)(*points)))
    out, slope = dlc.jvp(whole, tuple(points), tuple(steps))
    back = sum(float(np.sum(g * s)) for g, s in zip(grads, steps, strict=True))
    size = sum(float(np.sum(np.abs(g * s))) for g, s in zip(grads, steps, strict=True))
    slope = float(as_numpy(slope))
    if not (
        close(plain, value, abs(plain), 1e-9)
        and close(plain, float(as_numpy(out)), abs(plain), 1e-9)
    ):
        raise Wrong(f"values: {plain}, {value} beside the gradient, {out} beside the tangent")
    if not close(back, slope, size, 1e-8):
        raise Wrong(f"reverse mode {back!r}, forward mode {slope!r}, of {size!r}")
    compiled = dlc.compile(dlc.grad(whole, argnums=tuple(range(len(wide)))))(*points)
    for k, (a, b) in enumerate(zip(compiled, grads, strict=True)):
        if not close_all(as_numpy(a), b):
            raise Wrong(f"the compiled gradient {k} differs from the other by "
                        f"{np.nanmax(np.abs(as_numpy(a) - b))}")  # fmt: skip
    run = dlc.compile(whole)
    found = []
    for h in (1e-5, 1e-6, 3e-7):
        ahead = float(as_numpy(run(*[p + h * s for p, s in zip(points, steps, strict=True)])))
        behind = float(as_numpy(run(*[p - h * s for p, s in zip(points, steps, strict=True)])))
        found.append((ahead - behind) / (2 * h))
        if close(found[-1], back, size + abs(plain), 1e-4):
            return
    if np.isfinite(found).all() or not np.isfinite(back):
        if np.isfinite(plain) and np.ptp(found) < 1e-3 * abs(found[-1]):
            raise Wrong(f"differences {found}, reverse mode {back!r} (value {plain!r})")


def close(a, b, size, tolerance):
    if np.isnan(a) or np.isnan(b):
        return bool(np.isnan(a) and np.isnan(b))
    return a == b or abs(a - b) <= tolerance * max(size, 1e-3) or not np.isfinite(size)


def close_all(a, b):
    scale = np.nanmax(np.abs(np.where(np.isfinite(b), b, 0)), initial=0)
    return np.allclose(a, b, rtol=1e-8, atol=1e-9 * max(scale, 1e-3), equal_nan=True)


def judge(program, names, seed, *, special=False):
    """Judges a program by some of `JUDGES`, or by `derivatives`."""
    rng = random.Random(seed)
    if "derivatives" in names:
        derivatives(program, seed)
        return
    case = Case(program, special=special)
    for name in names:
        JUDGES[name](case, rng)
