"""Imports point down the floors of the house, at the top of the file, without cycles."""

import ast
import functools
import graphlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "dlc"

FLOORS = {
    "ir": 0,
    "passes": 1,
    "codegen": 2,
    "runtime": 3,
    "frontend": 4,
    "callbacks": 5,
    "losses": 5,
    "metrics": 5,
    "nn": 5,
    "optim": 5,
    "train": 5,
    "data": 5,
    "bench": 6,
    "cli": 6,
    "interop": 6,
    "models": 6,
}
FACE = 5  # who imports `dlc` itself stands at least here
TOP = 7  # files of dlc/ itself

# Heavy or optional: imported where they are used, inside functions, and nowhere else.
HEAVY = {
    "PIL", "cuda", "google", "huggingface_hub", "jax", "llvmlite", "matplotlib", "onnx",
    "onnxruntime", "openvino", "safetensors", "sklearn", "tensorboard", "tensorboardX", "torch",
    "triton",
}  # fmt: skip
CORE = {"dlc", "ml_dtypes", "numpy"}


@dataclass(frozen=True)
class Import:
    file: Path
    line: int
    target: str  # dotted name of a module
    in_function: bool
    for_types: bool

    def __str__(self):
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.target}"


def module_name(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}


class Finder(ast.NodeVisitor):
    def __init__(self, file):
        self.file = file
        self.functions = 0
        self.for_types = False
        self.found = []
        self.deferred = []

    def add(self, node, target):
        found = Import(self.file, node.lineno, target, self.functions > 0, self.for_types)
        self.found.append(found)

    def visit_Import(self, node):
        for alias in node.names:
            self.add(node, alias.name)

    def visit_ImportFrom(self, node):
        assert node.level == 0, f"{self.file}:{node.lineno}: a relative import"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            self.add(node, whole if whole in FILES else node.module)

    def visit_FunctionDef(self, node):
        self.functions += 1
        self.generic_visit(node)
        self.functions -= 1

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Call(self, node):
        if isinstance(node.func, ast.Name) and node.func.id == "deferred":
            self.deferred.append(ast.literal_eval(node.args[0]))
        self.generic_visit(node)

    visit_Lambda = visit_FunctionDef

    def visit_If(self, node):
        outside = self.for_types
        self.for_types = outside or "TYPE_CHECKING" in ast.unparse(node.test)
        for child in node.body:
            self.visit(child)
        self.for_types = outside
        for child in node.orelse:
            self.visit(child)


def finder_of(file):
    finder = Finder(file)
    finder.visit(ast.parse(file.read_text(encoding="utf-8")))
    return finder


def imports_of(file):
    return finder_of(file).found


@functools.cache
def finders():
    return {name: finder_of(file) for name, file in FILES.items()}


def imports_of_files():
    return {name: finder.found for name, finder in finders().items()}


def all_imports():
    return [found for finder in finders().values() for found in finder.found]


def top(name):
    return name.partition(".")[0]


def floor(module):
    parts = module.split(".")
    return FLOORS[parts[1]] if len(parts) > 1 and parts[1] in FLOORS else TOP


def test_every_folder_has_a_floor():
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/**/*.py")} - {
        "__pycache__"
    }
    assert folders <= FLOORS.keys()


def test_imports_point_down():
    wrong = []
    for name, imports in imports_of_files().items():
        for found in imports:
            if top(found.target) != "dlc":
                continue
            needed = FACE if found.target == "dlc" else floor(found.target)
            if needed > floor(name):
                wrong.append(str(found))
            if found.target == "dlc" and floor(name) < FACE:
                wrong.append(f"{found}, the face of the whole")
    assert not wrong


def test_imports_stand_at_the_top():
    assert not [
        str(found)
        for found in all_imports()
        if found.in_function and top(found.target) not in HEAVY
    ]


def test_deferred_modules_are_named_for_the_type_checker():
    """So that the floors hold for them too."""
    wrong = []
    for name, finder in finders().items():
        named = {found.target for found in finder.found if found.for_types}
        wrong += [f"{name}: {target}" for target in finder.deferred if target not in named]
    assert not wrong


def test_heavy_packages_are_imported_in_functions():
    assert not [
        str(found)
        for found in all_imports()
        if top(found.target) in HEAVY and not (found.in_function or found.for_types)
    ]


def test_only_declared_packages_are_imported():
    known = CORE | HEAVY | set(sys.stdlib_module_names)
    assert not [str(found) for found in all_imports() if top(found.target) not in known]


def test_files_of_the_lower_floors_have_no_cycles():
    graph = {
        name: {
            found.target
            for found in imports
            if found.target in FILES and not found.for_types and not found.in_function
        }
        for name, imports in imports_of_files().items()
        if floor(name) <= FLOORS["frontend"]
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("a cycle: " + " -> ".join(error.args[1]))


def test_finder_sees_what_it_should(tmp_path):
    file = tmp_path / "sample.py"
    file.write_text(
        "import numpy as np\n"
        "from dlc.ir import errors\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    import torch\n"
        "class C:\n"
        "    def f(self):\n"
        "        import llvmlite.binding\n"
    )
    found = {(item.target, item.in_function, item.for_types) for item in imports_of(file)}
    assert found == {
        ("numpy", False, False),
        ("dlc.ir.errors", False, False),
        ("typing", False, False),
        ("torch", False, True),
        ("llvmlite.binding", True, False),
    }


def loaded_after(statement):
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_import_of_dlc_loads_no_heavy_package():
    loaded = loaded_after("import dlc")
    assert "dlc" in loaded
    assert not loaded & HEAVY


def test_modules_of_the_lower_floors_load_no_heavy_package():
    names = [name for name in FILES if floor(name) <= FLOORS["frontend"]]
    loaded = loaded_after("\n".join(f"import {name}" for name in names))
    assert not loaded & HEAVY


def test_links_at_the_root_lead_into_the_package():
    for name in ("ir", "passes", "codegen", "bench"):
        assert (ROOT / name).is_symlink()
        assert (ROOT / name).resolve() == PACKAGE / name


# Where the environment may be touched, and why.
READERS = {
    "dlc.ir.config": "the settings",
    "dlc.bench.process": "what the processes of other frameworks start with",
}


def environment_uses(tree):
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names:
            yield node.lineno
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (node.lineno for alias in node.names if alias.name in names)


def test_only_the_settings_read_the_environment():
    uses = {
        name: list(environment_uses(ast.parse(file.read_text(encoding="utf-8"))))
        for name, file in FILES.items()
    }
    assert uses["dlc.ir.config"], "the search finds nothing at all"
    assert not {name: lines for name, lines in uses.items() if lines and name not in READERS}
