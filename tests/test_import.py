"""What `import dlc` loads: next to nothing, and never a heavy package."""

from __future__ import annotations

import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

import pytest

from dlc.ir.deferred import late_names

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEAVY = {
    "cuda", "jax", "keras", "llvmlite", "matplotlib", "onnx", "onnxruntime", "safetensors",
    "scipy", "sklearn", "tensorboard", "tensorflow", "torch", "triton",
}  # fmt: skip


def run(code: str) -> str:
    # Without settings, which have to be looked at.
    env = {k: v for k, v in os.environ.items() if not k.startswith("DLC_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    return done.stdout


def modules_of(code: str) -> set[str]:
    """The modules that `code` loads, without those that were there before."""
    shown = run(f"import sys, json\nbefore = set(sys.modules)\n{code}\n"
                "print(json.dumps(sorted(set(sys.modules) - before)))")  # fmt: skip
    return set(json.loads(shown))


# The settings, which are checked at once; all else when a name is first used.
AT_ONCE = {
    "dlc", "dlc.ir", "dlc.ir.collection", "dlc.ir.config", "dlc.ir.cpus", "dlc.ir.deferred",
    "dlc.ir.errors", "dlc.ir.location", "dlc.ir.logs", "dlc.ir.record",
    "dlc.ir.version",
}  # fmt: skip


def test_import_loads_settings_only():
    found = modules_of("import dlc")
    assert {m for m in found if m.startswith("dlc")} == AT_ONCE
    assert {m.partition(".")[0] for m in found} - {"dlc"} <= set(sys.stdlib_module_names)


def test_no_name_loads_a_heavy_package():
    found = modules_of(
        "import dlc\nfor name in dir(dlc): getattr(dlc, name)\ndlc.config.describe()"
    )
    tops = {m.partition(".")[0] for m in found} - {"__mp_main__"}  # another name of __main__
    assert not tops & HEAVY
    outside = {t for t in tops if t not in sys.stdlib_module_names} - {"dlc", "numpy", "ml_dtypes"}
    assert {t for t in outside if "cython" not in t} == set()  # parts of NumPy
    late = ("dlc.cli", "dlc.interop.torch", "dlc.codegen.triton")
    assert not any(m.startswith(late) for m in found)


# What takes longer to load than a program from the cache, and is not needed for that.
SLOW = {
    "_hashlib", "difflib", "fractions", "logging", "ml_dtypes", "numpy.ma", "numpy.random",
    "numpy.typing", "pathlib", "random", "tarfile",
}  # fmt: skip
COMPILING = ("dlc.passes.", "dlc.codegen.lower", "dlc.codegen.cpu.llvm", "dlc.codegen.cpu.emit")


def test_running_from_the_cache_loads_no_heavy_package(tmp_path):
    code = (
        "import numpy as np, dlc\nf = dlc.jit(lambda x: dlc.tanh(x @ x).sum())\n"
        f"with dlc.config.scope(cache_dir={str(tmp_path)!r}): f(np.ones((5, 5)))"
    )
    assert {"llvmlite", "dlc.passes.fuse", "dlc.codegen.lower"} <= modules_of(code)
    found = modules_of(code)
    assert not {m.partition(".")[0] for m in found} & HEAVY
    assert not found & SLOW
    assert not any(m.startswith(COMPILING) for m in found)


def test_a_name_loads_what_it_needs():
    found = modules_of(
        "import dlc\nassert dlc.jit is dlc.compile and dlc.linalg.inv and dlc.pi > 3\n"
        "assert float((dlc.asarray([1.0, -2.0]) + 1).sum()) == 1"
    )
    assert {"dlc.frontend.compile", "dlc.frontend.operators", "dlc.frontend.linalg"} <= found
    unused = {"api", "vmap", "subscript", "numpy_interop", "functions.einsum", "functions.nn"}
    assert not found & {f"dlc.frontend.{name}" for name in unused}


def test_names_are_those_of_the_file_that_gathers_them():
    run(
        "import dlc\nnames = {name: getattr(dlc, name) for name in dlc.__all__}\n"
        "from dlc.frontend import api\nassert set(api.__all__) == names.keys() - {'__version__'}\n"
        "for name in api.__all__:\n value = getattr(api, name)\n"
        " held = getattr(names[name], '__wrapped__', None)\n"  # of functions
        " assert names[name] is value or held is value or names[name] == value, name"
    )
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("import dlc\ndlc.einsam")
    assert "did you mean 'einsum'?" in caught.value.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="takes a process for each module")
def test_modules_load_on_their_own():
    # In whichever order names are first used.
    files = sorted((ROOT / "dlc" / "frontend").rglob("*.py"))
    names = [".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files]
    code = "import os, sys, importlib, numpy, dlc.ir.config\nfor name in sys.argv[1:]:\n"
    code += " pid = os.fork()\n if not pid:\n  importlib.import_module(name); os._exit(0)\n"
    code += " assert os.waitpid(pid, 0)[1] == 0, name\n"
    names = [n.removesuffix(".__init__") for n in names]
    done = subprocess.run(
        [sys.executable, "-c", code, *names], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_late_names(tmp_path, monkeypatch):
    (tmp_path / "gathered").mkdir()
    (tmp_path / "gathered" / "__init__.py").write_text("")
    (tmp_path / "gathered" / "one.py").write_text("a = 1\n")
    (tmp_path / "gathered" / "names.py").write_text(
        "from math import pi\nfrom gathered import one\nfrom gathered.one import a\n"
        "from gathered.two import b\nc = a\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = late_names("gathered.names", "gathered")
    assert found["pi"] == math.pi
    assert "gathered.one" not in sys.modules
    assert found["a"].value() == found["c"].value() == found["one"].value().a == 1
    with pytest.raises(ModuleNotFoundError, match=r"gathered\.two"):
        found["b"].value()
    with pytest.raises(ModuleNotFoundError, match=r"gathered\.nothing"):
        late_names("gathered.nothing", "gathered")


def test_time(capsys):
    # Printed, not asserted: machines that run tests are busy.
    codes = {"numpy": "import numpy", "dlc": "import dlc", "first name": "import dlc; dlc.Tensor"}
    times: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(5):
        for name, code in codes.items():
            start = time.perf_counter()
            run(code)
            times[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values) for name, values in times.items()}
    with capsys.disabled():
        for name in ("dlc", "first name"):
            print(f"\n{name}: {median[name] / median['numpy']:.2f} of `import numpy`", end=" ")
