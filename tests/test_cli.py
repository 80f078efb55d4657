"""The command line: each command, its examples, and bad input of every kind."""

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import snippets

from dlc.cli import main as cli
from dlc.cli import opt
from dlc.cli.arguments import arguments_of, parse_argument
from dlc.cli.cache import size_text
from dlc.cli.run import summary
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_printer import print_kernel
from dlc.frontend.spec import spec
from dlc.ir.equal import same_structure
from dlc.ir.errors import ArgumentError, DlcError
from dlc.ir.parser import parse_function
from dlc.ir.printer import print_function
from dlc.passes import manager
from dlc.runtime.cache import DiskCache

ROOT = Path(__file__).parent.parent
DIGITS = "examples/digits.py"
PAGE = ROOT / "docs" / "command_line.md"
CORPUS = sorted((ROOT / "tests" / "corpus").glob("*.ir"))

USER_FILE = """
import json
import dlc

print("loading")

def softmax(x: "f32[8,4]"):
    e = dlc.exp(x - dlc.max(x, axis=1, keepdims=True))
    return e / dlc.sum(e, axis=1, keepdims=True)

def mismatch(x: "f32[8,4]", y: "f32[3]"):
    return x + y

def needs_a_number(x: "f32[8]"):
    return x * int(x.sum())

def bare(x, y=2):
    return x * y

def nested(p: {"w": "f32[4,4]", "b": ["f32[4]", "i32[2]"]}, x: "f32[2,4]", lr: float = 0.5):
    return {"y": (x @ p["w"] + p["b"][0]) * lr, "n": p["b"][1]}

def prints(x: "f32[2]"):
    print("tracing")
    return x

def parses(x: "f32[2]"):
    return json.loads("{")

def stops(x: "f32[2]"):
    raise KeyboardInterrupt

def integers(x: "i32[4]"):
    return x + 1

def solved(x: "f32[3,3]"):
    dlc.debug.print("a trace of {}", dlc.trace(x))
    return dlc.linalg.solve(x @ x.T + dlc.eye(3), x) - dlc.sin(x)

class Model:
    def __init__(self):
        self.w = dlc.Variable([1.0, 2.0])

    def __call__(self, x: "f32[3,2]"):
        return x * self.w

    def loss(self, x: "f32[3,2]"):
        self.w.assign_add(1)
        return dlc.sum(x * self.w)

model = Model()
number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files that the tests name, as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "user.py").write_text(USER_FILE)
    for block in snippets.blocks(PAGE.read_text(encoding="utf-8")):
        name = re.match(r"# (\w+\.\w+)\n", block.text)
        if name:
            (tmp_path / name[1]).write_text(block.text + "\n")
    return tmp_path


@pytest.fixture
def dlc(folder, capsys):
    """Runs a command line in this process; gives the exit status, what it printed and said."""

    def run(*words):
        capsys.readouterr()
        status = cli.main([str(w) for w in words])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def output(dlc):
    """The output of a command line that must succeed."""

    def run(*words):
        status, out, err = dlc(*words)
        assert status == 0, err
        return out

    return run


@pytest.fixture
def error(dlc):
    """What is said by a command line that must fail, and prints nothing."""

    def run(*words):
        status, out, err = dlc(*words)
        assert status == 2
        assert out == ""
        assert "internal error" not in err
        return err

    return run


def start(*words, **keywords):
    """Runs a command line in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **keywords.pop("environ", {})}
    command = [sys.executable, "-m", "dlc", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environ, timeout=120, **keywords
    )


# What the pages and help texts show.


def examples(text):
    """The commands of a console session with what is shown of their output."""
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif not line.strip():
            found.append((None, []))
        elif found:
            found[-1][1].append(line)
    return [(command, lines) for command, lines in found if command is not None]


def check_example(run, command, expected):
    words = shlex.split(command)
    assert words[0] == "dlc"
    status, out, err = run(*words[1:])
    shown = out if status == 0 else out + err
    parts = [re.escape(part.rstrip()) for part in expected]
    lines = [".*".join(p.split(re.escape("..."))) + "\n" for p in parts]
    whole = "".join("(?:.*\n)*" if line == ".*\n" else line for line in lines)
    assert re.fullmatch(whole, shown), f"$ {command}\n{shown}"


def test_the_pages_examples(dlc, tmp_path, monkeypatch):
    from dlc.ir.config import config

    sessions = [
        block
        for block in snippets.blocks(PAGE.read_text(encoding="utf-8"))
        if block.words == ("console",)
    ]
    commands = [example for block in sessions for example in examples(block.text)]
    assert {shlex.split(command)[1] for command, _ in commands} == set(cli.COMMANDS)
    with config.scope(cache_dir=tmp_path / "cache"):
        for command, expected in commands:
            check_example(dlc, command, expected)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_teaches(dlc, output, tmp_path, name):
    from dlc.ir.config import config

    text = output(name, "--help")
    description, _, rest = text.partition("options:")
    assert len(description.splitlines()) > 4
    options, _, shown = rest.partition("examples:\n")
    for line in re.findall(r"^  (-.*)", options, re.MULTILINE):
        assert re.search(r"\S  +\S|^\S+( \S+)?(, \S+ \S+)?$", line), f"no text: {line}"
    found = examples(re.sub(r"^  ", "", shown, flags=re.MULTILINE))
    assert len(found) >= 2
    with config.scope(cache_dir=tmp_path / "cache"):
        for command, expected in found:
            assert shlex.split(command)[:2] == ["dlc", name]
            assert expected
            check_example(dlc, command, expected)


# report


def test_report(output, folder, monkeypatch):
    import dlc

    monkeypatch.setenv("HOME", str(folder / "home"))
    (folder / "home").mkdir()
    monkeypatch.chdir(folder / "home")
    Path("own.py").write_text("import dlc\ndef f(x: 'f32[2]'): return dlc.exp(x)\n")
    said = output("report", f"{folder}/home/own.py:f", "-o", "own.zip")
    with zipfile.ZipFile("own.zip") as archive:
        found = {name: archive.read(name).decode() for name in archive.namelist()}
    assert [line.split()[0] for line in said.splitlines()] == [*found, "wrote"]
    assert "target = ~/own.py:f" in found["options.txt"]
    assert f"numpy {np.__version__}" in found["packages.txt"].splitlines()
    assert found["doctor.txt"].startswith(f"dlc       {dlc.__version__}\n")
    assert "cache_dir" in found["settings.txt"]
    assert found["source/own.py"] == Path("own.py").read_text()
    assert 'loc("own.py":2' in found["stages/f.traced.ir"].replace("~/", "")
    assert "every stage agrees" in found["verify.txt"]
    assert not any(str(folder / "home") in text for text in found.values())
    output("report", "own.py:f", "--no-source", "-o", "own.zip")
    with zipfile.ZipFile("own.zip") as archive:
        assert "source/own.py" not in archive.namelist()
        assert b"loc(" not in archive.read("stages/f.traced.ir")


def test_report_of_an_error(output, error, folder):
    (folder / "wrong.py").write_text(
        "import dlc\ndef f(x: 'f32[2]', y: 'f32[3]'):\n    return x + y\n"
    )
    said = output("report", "wrong.py").splitlines()
    assert "error.txt ends with: " in said[-2]
    with zipfile.ZipFile("dlc-report.zip") as archive:
        text = archive.read("error.txt").decode()
        assert "verify.txt" not in archive.namelist()
    assert "ShapeError" in text
    assert "return x + y" in text
    assert "is written as .zip" in error("report", "-o", "report.tar")
    assert "there is no folder" in error("report", "-o", "none/report.zip")


def test_the_list_of_commands(output):
    text = output("--help")
    assert output() == text == output("help") == output("-h")
    for name in cli.COMMANDS:
        assert re.search(rf"^  {name} +\w", text, re.MULTILINE)
        assert f"`dlc {name}`" in PAGE.read_text(encoding="utf-8")
    assert output("--version").startswith("dlc ")


# dump


def stages_of(text):
    parts = re.split(r"^# ======== (\w+) ========\n", text, flags=re.MULTILINE)
    assert parts[0] == ""
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_kernels_that_call_python_have_no_code(output):
    stages = stages_of(output("dump", "user.py:solved", "--all"))
    assert "host" in stages["kernels"]
    assert "define void" in stages["llvm"]


def test_every_stage_of_the_main_example(dlc, monkeypatch):
    monkeypatch.chdir(ROOT)
    status, out, err = dlc("dump", f"{DIGITS}:train_step", "--all")
    assert (status, err) == (0, "")
    stages = stages_of(out)
    assert list(stages) == ["traced", "optimized", "kernels", "llvm", "asm"]
    for name in ("traced", "optimized"):
        function = parse_function(stages[name])
        assert same_structure(function, parse_function(print_function(function)))
        assert print_function(function) == stages[name].rstrip("\n")
    kernels, _, table = stages["kernels"].partition("\n# program train_step")
    texts = re.split(r"^(?=kernel )", kernels, flags=re.MULTILINE)[1:]
    assert len(texts) > 3
    for text in texts:
        kernel = parse_kernel(text)
        assert print_kernel(kernel).strip() == text.strip()
        assert kernel.name in table
    assert "define" in stages["llvm"]
    assert "ret" in stages["asm"]


def test_one_stage_is_printed_bare(output):
    traced = output("dump", "user.py:softmax")
    assert print_function(parse_function(traced)) + "\n" == traced
    assert "loc(" not in traced
    optimized = output("dump", "user.py:softmax", "--stage", "optimized", "--level", "O0")
    assert len([n for n in parse_function(optimized).nodes if n.op.name == "fusion"]) > 3
    several = stages_of(output("dump", "user.py:softmax", "--stage=kernels", "--stage=traced"))
    assert list(several) == ["kernels", "traced"]


def test_locations(output):
    text = output("dump", "user.py:softmax", "--locations")
    assert 'loc("user.py":8 in "softmax")' in text
    parse_function(text)


def test_the_ir_after_each_pass(output):
    stages = stages_of(output("dump", "twice.ir", "--passes", "--stage=optimized"))
    names = list(stages)
    assert names[-1] == "optimized"
    assert [n.partition("_")[2] for n in names[:-1]] == ["simplify", "fuse"]
    assert stages[names[-2]] == stages["optimized"]
    assert next(iter(stages_of(output("dump", "twice.ir", "--passes")))) == "traced"


def test_stages_in_a_folder(output, folder):
    printed = output("dump", "user.py:softmax", "--all", "--passes", "-o", "out/deep")
    paths = [Path(line) for line in printed.splitlines()]
    assert {p.suffix for p in paths} == {".ir", ".txt", ".ll", ".s"}
    assert sorted(paths) == sorted(p.relative_to(folder) for p in folder.glob("out/deep/*"))
    first = output("dump", "user.py:softmax")
    assert Path("out/deep/softmax.traced.ir").read_text() == first


def test_the_gradient(output):
    function = parse_function(output("dump", "twice.ir", "--grad"))
    assert [str(p.type) for p in function.params] == ["f32[n]", "f32[n]"]
    assert len(function.results) == 2
    function = parse_function(output("dump", "user.py:model.loss", "--grad"))
    assert len(function.results) == 1 + 1 + 2  # the loss, the new variable, two gradients


def test_other_devices_have_other_stages(output, error):
    text = output("dump", "user.py:softmax", "--device", "reference", "--stage", "kernels")
    assert text.startswith("kernel ")
    assert "on reference" in error("dump", "user.py:softmax", "--device=reference", "--stage=llvm")


def test_trees_and_numbers_from_annotations(output):
    function = parse_function(output("dump", "user.py:nested"))
    shown = {p.name: str(p.type) for p in function.params}
    assert shown == {
        "p_b_0": "f32[4]",
        "p_b_1": "i32[2]",
        "p_w": "f32[4,4]",
        "x": "f32[2,4]",
        "lr": "f64[]",
    }


def test_types_given_on_the_command_line(output):
    text = output("dump", "user.py:bare", "--arg", "bf16[b,3]", "--arg", "0.5")
    assert parse_function(text).params[0].tensor.shape[1] == 3
    assert "bf16[b,3]" in text


def test_what_the_users_file_prints_is_no_output(dlc):
    status, out, err = dlc("dump", "user.py:prints")
    assert status == 0
    parse_function(out)
    assert err == "loading\ntracing\n"


ANNOTATED = """
def f(a: "f32[8, 4]", b: ("i64[]", ["bool[n]"]), c=3, *rest, d: spec("f16[2]"), **more): pass
def postponed(a: "'f32[2]'", b: "{'w': 'f32[3]'}", c: "int", d: "bool" = False, /): pass
def unknown(a: "np.ndarray", b: "list[int]", c: "f99[3]", d: "f32[8", e: int | None): pass
"""


def test_annotations():
    names = {"spec": spec}
    exec(ANNOTATED, names)
    assert arguments_of(names["f"], "f", []) == (
        (),
        {
            "a": spec("f32[8,4]"),
            "b": (spec("i64[]"), [spec("bool[n]")]),
            "d": spec("f16[2]"),
        },
    )
    expected = (spec("f32[2]"), {"w": spec("f32[3]")}, 1, False)
    assert arguments_of(names["postponed"], "g", []) == (expected, {})
    with pytest.raises(ArgumentError, match="type a, b, c, d, e are"):
        arguments_of(names["unknown"], "h", [])


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("-2.5", -2.5), ("1e3", 1000.0), ("True", True), ("inf", np.inf)]
)
def test_numbers_as_arguments(text, value):
    found = parse_argument(text)
    assert found == value
    assert type(found) is type(value)


# Finding what is meant.


def test_the_only_function_needs_no_name(output, folder):
    (folder / "one.py").write_text("import dlc\ndef f(x: 'f32[2]'): return -x\ndef main(): pass\n")
    assert "@f(" in output("dump", "one.py")
    (folder / "two.py").write_text(
        "import dlc\nfrom one import f\ndef helper(x): return x\n"
        "@dlc.compile\ndef g(x: 'f32[2]'): return f(helper(x))\n"
    )
    assert "@g(" in output("dump", "two.py")
    (folder / "three.py").write_text("import dlc\nx = dlc.asarray([1.0])\ndef f(x): return x\n")
    assert "@f(" in output("dump", "three.py", "--arg", "f32[2]")


def test_models_and_methods(output):
    assert "mul" in output("dump", "user.py:model")
    assert "%x: f32[3,2], %0: f32[2])" in output("dump", "user.py:model.loss")


def test_a_file_is_no_rival_of_a_module(output, folder):
    (folder / "json.py").write_text("def f(x: 'f32[2]'): return -x\n")
    import json

    assert "neg" in output("dump", "json.py:f")
    assert sys.modules["json"] is json


def test_saved_programs(output, error, folder):
    import dlc

    weight = dlc.Variable([1.0, 2.0], name="weight")
    dlc.save(lambda p, k: p["x"] * weight + k, folder / "net.dlc", ({"x": "f32[n,2]"}, 1.0))
    assert "%weight: f32[2]" in output("dump", "net.dlc")
    assert "# program" in output("dump", "net.dlc", "--stage", "kernels", "--level", "O0")
    np.savez(folder / "in.npz", **{"p['x']": np.ones((1, 2), np.float32)})
    assert output("run", "net.dlc", "--inputs", "in.npz") == "result f32[1,2] in 1 to 2: 1 2\n"
    assert "every stage agrees" in output("verify", "net.dlc", "--dim", "n=3")
    assert "did you mean" in error("dump", "nett.dlc")
    (folder / "bad.dlc").write_bytes(b"something")
    assert "DLC505" in error("run", "bad.dlc")
    assert "it is the program" in error("run", "net.dlc:other")


def test_onnx_models(folder, output, error):
    import dlc

    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Mul", ["input.1", "w"], ["product"]),
        helper.make_node("Add", ["product", "input_1"], ["y"]),
        helper.make_node("Shape", ["y"], ["shape"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input.1", kinds.FLOAT, ["batch", 2]),
        helper.make_tensor_value_info("input_1", kinds.FLOAT, [None, 2]),
    ]
    results = [helper.make_tensor_value_info(n, k, None) for n, k in (("y", 1), ("shape", 7))]
    weight = onnx.numpy_helper.from_array(np.float32([1, 2]), "w")
    graph = helper.make_graph(nodes, "scaled", inputs, results, [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), "net.onnx")
    specs = dlc.onnx.load("net.onnx").input_specs
    assert list(map(str, specs)) == ["f32[batch,2]", "f32[input_1_0,2]"]
    np.savez(folder / "in.npz", np.float32([[1, 1]]), np.float32([[3, 4]]))
    fixed, one = (("--arg", f"f32[{n},2]") * 2 for n in (3, 1))
    assert "func @scaled(%input_1: f32[3,2], %input_1_1: f32[3,2])" in output(
        "dump", "net.onnx", *fixed
    )
    assert output("run", "net.onnx:scaled", "--inputs", "in.npz", *one).splitlines() == [
        "result[0] f32[1,2] in 4 to 6: 4 6",
        "result[1] i64[2] in 1 to 2: 1 2",
    ]
    assert "every stage agrees" in output("verify", "net.onnx", *fixed)
    assert "did you mean" in error("dump", "nett.onnx")
    (folder / "bad.onnx").write_bytes(b"something")
    assert "DLC505" in error("run", "bad.onnx")
    assert "it is the model scaled" in error("run", "net.onnx:other")


def test_a_folder_with_a_colon(output, folder):
    (folder / "a:b").mkdir()
    (folder / "a:b" / "c.ir").write_text((folder / "twice.ir").read_text())
    assert "@twice" in output("dump", "a:b/c.ir")
    assert "@twice" in output("dump", "a:b/c.ir:twice")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.py", None, ["DLC104", "there is no file none.py"]),
        ("usr.py", None, ["there is no file usr.py", "did you mean 'user.py'?"]),
        ("none.ir", None, ["DLC104", "there is no file none.ir"]),
        ("", None, ["empty"]),
        (".", None, ["is a folder"]),
        ("user.py:", None, ["is not FILE:NAME"]),
        ("user.py:sofmax", None, ["user.py has no 'sofmax'", "did you mean 'softmax'?"]),
        ("user.py:model.los", None, ["Model has no 'los'", "did you mean 'loss'?"]),
        ("user.py", None, ["several functions: ", "softmax", "user.py:"]),
        ("user.py:Model", None, ["is a class"]),
        ("user.py:number", None, ["type int"]),
        ("user.py:bare", None, ["bare(x, y=2) does not say of what type x is", "--arg f32[8,4]"]),
        ("notes.txt", b"hello", ["DLC104", "no file that dlc reads"]),
        ("noise.ir", bytes(range(255, 100, -1)), ["DLC301", "noise.ir, line 1, column 1", "UTF-8"]),
        ("late.ir", b"ab\ncd\xff", ["late.ir, line 2, column 3"]),
        ("noise.py", bytes(range(255, 100, -1)), ["no Python file"]),
        ("null.py", b"x = 1\0", ["no Python file"]),
        ("cookie.py", b"# coding: nonsense\n", ["no Python file"]),
        ("syntax.py", b"x = 1\ndef f(:\n", ["syntax.py", "line 2", "def f(:", "SyntaxError"]),
        ("empty.py", b"", ["defines no function"]),
        ("empty.ir", b"", ["defines no function"]),
        ("exits.py", b"import sys\nsys.exit(3)\n", ["ended the process", "__main__"]),
        ("broken.ir", b"func @f(%x: f32[2) -> () {}", ["broken.ir, line 1, column 18", "expected"]),
        ("twice.ir:twic", None, ["no function @twic", "did you mean 'twice'?"]),
    ],
)
def test_bad_targets(error, folder, name, content, said):
    if content is not None:
        (folder / name).write_bytes(content)
    text = error("dump", name)
    for part in said:
        assert part in text
    assert "site-packages" not in text
    assert str(ROOT / "dlc") not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dmp", "user.py"], ["no command 'dmp'", "did you mean 'dump'?"]),
        (["dump"], ["DLC104", "required", "`dlc dump --help`"]),
        (["dump", "twice.ir", "--stge", "x"], ["no option --stge", "'--stage'"]),
        (["dump", "twice.ir", "--stage", "kernls"], ["no stage 'kernls'", "'kernels'"]),
        (["dump", "twice.ir", "--all", "--stage", "asm"], ["exclude"]),
        (["dump", "twice.ir", "more"], ["'more' is one argument too many"]),
        (["dump", "twice.ir", "--arg", "f32[3]"], ["DLC104", "types in its file"]),
        (["dump", "twice.ir", "--level", "O5"], ["DLC105", "O3"]),
        (["dump", "twice.ir", "--device", "cpux"], ["DLC503", "cpu, cuda"]),
        (["dump", "user.py:bare", "--arg"], ["--arg: expected one argument"]),
        (["dump", "user.py:bare", "--arg", "f33[3]"], ["DLC102", "f33"]),
        (["dump", "user.py:bare", "--arg", "f32[3"], ["DLC301", "expected a type such as"]),
        (["dump", "user.py:bare", "--arg", "f32"], ["DLC301", "'f32' is no argument"]),
        (["dump", "user.py:bare", *["--arg", "f32[3]"] * 3], ["DLC104", "too many"]),
        (["dump", "user.py:integers", "--grad"], ["DLC203", "no gradient", "floating-point"]),
        (["dump", "user.py:softmax", "-o", "user.py"], ["'user.py': File exists"]),
        (["run", "twice.ir", "--dim", "m=3"], ["no extent 'm'"]),
        (["run", "twice.ir", "--dim", "n=x"], ["DLC301", "b=32"]),
        (["run", "twice.ir", "--threads", "0"], ["DLC401"]),
        (["run", "twice.ir", "--seed", "-1"], ["DLC104", "--seed: -1 is negative"]),
        (["run", "twice.ir", "--save", "x.txt"], [".npz"]),
        (["run", "twice.ir", "--inputs", "none.npz"], ["no file none.npz"]),
        (["run", "twice.ir", "--inputs", "user.py"], ["DLC301", "user.py"]),
        (["run", "twice.ir", "--dim", "n=99999999999999999"], ["DLC502"]),
        (["opt"], ["needs an .ir file"]),
        (["opt", "twice.ir"], ["either -p or --level"]),
        (["opt", "twice.ir", "-p", "dce", "--level", "O1"], ["either -p or --level"]),
        (["opt", "twice.ir", "-p", "simplfy"], ["DLC303", "'simplify'"]),
        (["opt", "twice.ir", "-p", "fuse{max_input=3}"], ["DLC303", "'max_inputs'"]),
        (["opt", "twice.ir", "-p", "fuse{max_inputs=yes}"], ["DLC303", "int"]),
        (["opt", "twice.ir", "-p", "dce,,"], ["DLC303", "column"]),
        (["opt", "twice.ir", "-p", "dce", "--print-after", "dc"], ["DLC303", "'dce'"]),
        (["opt", "twice.ir", "-p", "dce", "--stop-after", "cse"], ["DLC303", "'cse'"]),
        (["opt", "none.ir", "-p", "dce"], ["no file none.ir"]),
        (["verify", "twice.ir", "-p", "fus"], ["'fuse'"]),
        (["bisect", "twice.ir", "--dim", "k=2"], ["no extent 'k'"]),
        (["cache"], ["required"]),
        (["cache", "inf"], ["invalid choice", "info"]),
        (["cache", "export"], ["needs the archive"]),
        (["cache", "info", "x"], ["takes no path"]),
        (["cache", "import", "none"], ["DLC501", "none"]),
        (["cache", "import", "user.py"], ["DLC501", "user.py"]),
    ],
    ids=lambda value: " ".join(value) if value[:1] and " " not in value[0] else "",
)
def test_bad_command_lines(error, words, said):
    text = error(*words)
    for part in said:
        assert part in text
    assert "Traceback" not in text
    assert "\n  at " not in text  # nobody's line is at fault


# Errors in the user's own code.


@pytest.mark.parametrize("ending", ["sys.exit()", "sys.exit(0)", 'sys.exit("no")', "sys.exit(1)"])
def test_programs_that_end_the_process_are_errors(error, folder, ending):
    lines = ["import sys", 'def f(x: "f32[2]"):', f"    {ending}"]
    (folder / "ends.py").write_text("\n".join(lines))
    assert "ended the process" in error("verify", "ends.py:f")


def test_errors_of_dlc_show_the_users_line(error):
    text = error("dump", "user.py:mismatch")
    assert text.startswith("loading\nDLC101: ")
    assert "at user.py:12 in mismatch\n    return x + y" in text
    assert "DLC201" in error("run", "user.py:needs_a_number")


def test_the_users_exceptions_show_the_users_lines_only(error, folder):
    (folder / "divides.py").write_text("def f():\n    return 1 / 0\n\nf()\n")
    text = error("dump", "divides.py")
    assert re.findall(r'File "([^"]+)", line (\d+)', text) == [
        ("divides.py", "4"),
        ("divides.py", "2"),
    ]
    assert text.rstrip().endswith("ZeroDivisionError: division by zero")
    text = error("dump", "user.py:parses")
    assert re.findall(r'File "([^"]+)"', text) == ["user.py"]
    assert "JSONDecodeError" in text
    (folder / "opens.py").write_text("open('nothing.csv')\n")
    assert "opens.py" in error("dump", "opens.py")


def test_the_whole_traceback(dlc):
    status, _, err = dlc("dump", "user.py:mismatch", "--traceback")
    assert status == 2
    assert "Traceback (most recent call last)" in err
    assert str(ROOT / "dlc") in err


def test_an_internal_error_is_called_one(dlc, monkeypatch):
    monkeypatch.setattr(opt, "read_ir", {}.__getitem__)
    status, _, err = dlc("opt", "twice.ir", "-p", "dce")
    assert status == 2
    assert "internal error" in err
    assert "KeyError: " in err


def test_interrupts(dlc):
    status, out, _ = dlc("dump", "user.py:stops")
    assert (status, out) == (130, "")


# opt


def test_passes_run_in_order(output, dlc):
    function = parse_function(output("opt", "twice.ir", "-p", "simplify,dce,fuse"))
    assert [n.op.name for n in function.nodes] == ["fusion"]
    stopped = output("opt", "twice.ir", "-p", "simplify,dce,fuse", "--stop-after", "dce")
    assert [n.op.name for n in parse_function(stopped).nodes] == ["add"]
    whole = output("opt", "twice.ir", "--level", "O2")
    assert whole == output("dump", "twice.ir", "--stage", "optimized")
    assert [n.op.name for n in parse_function(output("opt", "twice.ir", "-p", "")).nodes] == [
        "full", "mul", "add",
    ]  # fmt: skip


def test_what_is_said_about_passes(dlc):
    words = ["opt", "twice.ir", "-p", "simplify,dce", "--time", "--print-after"]
    status, out, err = dlc(*words, "simplify")
    assert status == 0
    assert re.search(r"^@twice simplify +[\d.]+ ms  1 nodes, 1 rewrites$", err, re.MULTILINE)
    assert err.count("func @twice") == 1
    assert out.count("func @twice") == 1
    assert dlc(*words, "all")[2].count("func @twice") == 2


def test_a_module_of_several_functions(output, error, folder):
    text = (folder / "twice.ir").read_text()
    (folder / "both.ir").write_text(text + text.replace("@twice", "@again"))
    out = output("opt", "both.ir", "-p", "simplify", "-o", "new.ir")
    assert out == ""
    assert Path("new.ir").read_text().count("add(") == 2
    assert "several functions: again, twice" in error("run", "new.ir")
    assert "@again" in output("dump", "new.ir:again")


def test_verifying_names_the_pass(error, monkeypatch):
    from dlc.passes.dce import Dce

    def breaks(self, function, context):
        return type(function)(function.name, function.params, function.results, ())

    monkeypatch.setattr(Dce, "run", breaks)
    text = error("opt", "twice.ir", "-p", "dce", "--verify")
    assert "DLC302" in text
    assert "after pass dce" in text


def test_the_list_of_passes(output):
    lines = output("opt", "--list").splitlines()
    for name in ("simplify", "cse", "dce", "decompose", "fold_constants", "fuse", "fuse_fma"):
        (found,) = [line for line in lines if re.match(rf"{name}($|\{{)", line)]
        assert len(manager.parse_pipeline(found)) == 1


def test_standard_input(folder):
    text = (folder / "twice.ir").read_text()
    done = start("opt", "-", "-p", "simplify", input=text, cwd=folder)
    assert done.returncode == 0
    assert "add(%x, %x)" in done.stdout
    done = start("opt", "-", "-p", "simplify", input="func", cwd=folder)
    assert done.returncode == 2
    assert "standard input, line 1" in done.stderr


# run


def test_results_are_those_of_numpy(output):
    x = np.random.default_rng(1).standard_normal((8, 4)).astype(np.float32)
    np.savez("in.npz", x=x)
    printed = output("run", "user.py:softmax", "--inputs", "in.npz", "--save", "out.npz")
    assert printed.startswith("result f32[8,4] in ")
    with np.load("out.npz") as found:
        (result,) = (found[name] for name in found.files)
    e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(result, e / e.sum(axis=1, keepdims=True), rtol=1e-6)


def test_given_arrays_say_their_types(output, error):
    np.savez("in.npz", np.float64([1, 2]))
    assert output("run", "user.py:bare", "--inputs", "in.npz") == "result f64[2] in 2 to 4: 2 4\n"
    np.savez("in.npz", y=np.float64([3]), x=np.float64([1, 2]))
    assert output("run", "user.py:bare", "--inputs", "in.npz") == "result f64[2] in 3 to 6: 3 6\n"
    np.savez("in.npz", z=np.float64([3]))
    assert "no parameter 'z'" in error("run", "user.py:softmax", "--inputs", "in.npz")


def test_given_arrays_must_fit(error):
    np.savez("in.npz", x=np.zeros((8, 4)))
    assert "DLC102" in error("run", "user.py:softmax", "--inputs", "in.npz")
    np.savez("in.npz", x=np.zeros((8, 5), np.float32))
    assert "DLC101" in error("run", "user.py:softmax", "--inputs", "in.npz")
    np.savez("in.npz", x=np.array([{}], dtype=object))
    assert "DLC301" in error("run", "user.py:softmax", "--inputs", "in.npz")
    np.save("in.npy", np.zeros(3))
    assert "is no .npz file" in error("run", "user.py:softmax", "--inputs", "in.npy")
    Path("in.npz").write_bytes(bytes(range(256)))
    assert "pickle" not in error("run", "user.py:softmax", "--inputs", "in.npz")


def test_extents(output, error):
    assert output("run", "twice.ir").startswith("result0 f32[8] ")
    assert output("run", "twice.ir", "--dim", "n=1").startswith("result0 f32[1] ")
    np.savez("in.npz", x=np.float32([1, 2, 3]))
    assert output("run", "twice.ir", "--inputs", "in.npz") == "result0 f32[3] in 2 to 6: 2 4 6\n"
    assert "DLC101" in error("run", "twice.ir", "--inputs", "in.npz", "--dim", "n=4")


def test_seeds(output):
    words = ["run", "twice.ir", "--threads", "2", "--seed"]
    assert output(*words, 1) == output(*words, 1) != output(*words, 2)


def test_results_of_every_kind(output):
    printed = output("run", "user.py:nested").splitlines()
    assert [line.partition(" in ")[0] for line in printed] == [
        "result['n'] i32[2]",
        "result['y'] f32[2,4]",
    ]


def test_half_types_survive_a_file(output):
    text = "func @f(%x: bf16[2]) -> (bf16[2]) { %0: bf16[2] = neg(%x) return %0 }"
    Path("half.ir").write_text(text)
    first = output("run", "half.ir", "--save", "out.npz")
    with np.load("out.npz") as found:
        np.savez("in.npz", x=found["result0"])
    second = output("run", "half.ir", "--inputs", "in.npz")
    assert (
        second.split(": ")[1].replace("-", "")
        == first.split("\n")[0].split(": ")[1].replace("-", "") + "\n"
    )


def test_state_is_read_and_not_changed(output, folder):
    words = ["run", "user.py:model.loss", "--seed", "0"]
    lines = output(*words).splitlines()
    assert lines[1] == "new model.w f32[2] in 2 to 3: 2 3"
    assert output(*words).splitlines() == lines
    np.savez("in.npz", **{"x": np.ones((3, 2), np.float32), "model.w": np.float32([5, 6])})
    printed = output("run", "user.py:model.loss", "--inputs", "in.npz").splitlines()
    assert printed == ["result f32[] in 39 to 39: 39", "new model.w f32[2] in 6 to 7: 6 7"]


STATEFUL = """
import dlc
weights = {"w": [dlc.Variable([1.0, 2.0], requires_grad=True)], "unused": None}
weights["itself"] = weights
listed = [dlc.Variable([1.0, 2.0], requires_grad=True)]
table = dlc.asarray([3.0, 4.0])

def again(x: "f32[2]"):
    loss = dlc.sum(x * counted)
    loss.backward()
    return loss

counted = dlc.Variable([1.0, 2.0], requires_grad=True)
counted.grad = dlc.asarray([1.0, 1.0])

def step(x: "f32[2]"):
    inner = dlc.asarray([1.0, 1.0])
    loss = dlc.sum(x * listed[0] * table + inner)
    loss.backward()
    return loss
"""


def test_state_has_the_names_of_the_file(output, folder):
    (folder / "stateful.py").write_text(STATEFUL)
    np.savez("in.npz", x=np.float32([1, 2]))
    lines = output("run", "stateful.py:step", "--inputs", "in.npz").splitlines()
    assert lines == [
        "result f32[] in 21 to 21: 21",
        "new listed[0].grad f32[2] in 3 to 8: 3 8",
    ]
    lines = output("run", "stateful.py:again", "--inputs", "in.npz").splitlines()
    assert lines == ["result f32[] in 5 to 5: 5", "new counted.grad f32[2] in 2 to 3: 2 3"]


def test_arrays_that_are_closed_over(output, folder):
    text = "import dlc, numpy\nW = numpy.ones((4, 2), numpy.float32)\n"
    (folder / "closes.py").write_text(f"{text}\ndef f(x: 'f32[3,4]'):\n    return x @ W\n")
    assert output("run", "closes.py:f").startswith("result f32[3,2]")


def test_devices_agree(output):
    with_cpu = output("run", "user.py:softmax", "--save", "cpu.npz")
    output("run", "user.py:softmax", "--save", "reference.npz", "--device", "reference")
    with np.load("cpu.npz") as cpu, np.load("reference.npz") as reference:
        np.testing.assert_allclose(cpu["result"], reference["result"], rtol=1e-6)
    assert "f32[8,4]" in with_cpu


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_the_corpus_runs(output, file):
    lines = output("run", file).splitlines()
    assert len(lines) == len(parse_function(file.read_text()).results)
    assert output("dump", file, "--stage", "kernels").startswith("kernel ")


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.float32([1, 2, np.nan]), "f32[3] in 1 to 2, 1 NaN: 1 2 nan"),
        (np.float64([np.inf, -np.inf]), "f64[2] 2 infinite: inf -inf"),
        (np.int8([-128, 127]), "i8[2] in -128 to 127: -128 127"),
        (np.array([True, False]), "bool[2]: true false"),
        (np.float32(-0.0), "f32[] in -0 to -0: -0"),
        (np.zeros((0, 3), np.float32), "f32[0,3], empty"),
        (np.arange(9, dtype=np.uint64), "u64[9] in 0 to 8: 0 1 2 3 4 5 6 7 ..."),
    ],
)
def test_summaries(array, text):
    assert summary(np.asarray(array)) == text


# verify and bisect


def test_a_sound_program_verifies(output):
    text = output("verify", "user.py:model.loss", "--level", "O3")
    assert text.startswith("@loss: every stage agrees\n")
    assert re.search(r"^  cpu .* ok$", text, re.MULTILINE)
    assert "cpu" not in output("verify", "twice.ir", "--device", "reference")
    np.savez("in.npz", x=np.float32([1, np.nan]))
    assert "every stage" in output("verify", "twice.ir", "--inputs", "in.npz")
    assert output("bisect", "twice.ir", "-p", "simplify") == "@twice: nothing is wrong\n"


def test_a_wrong_pass_is_found(dlc, monkeypatch):
    from dlc.ir.build import IRBuilder
    from dlc.passes.cse import Cse

    def breaks(self, function, context):
        b = IRBuilder()
        b.nodes.extend(function.nodes)
        return b.function(function.name, function.params, [b.neg(r) for r in function.results])

    monkeypatch.setattr(Cse, "run", breaks)
    status, out, err = dlc("verify", "twice.ir")
    assert (status, err) == (1, "")
    assert out.startswith("@twice: a stage is wrong")
    assert out.splitlines()[-1].startswith("  cse ")
    status, out, err = dlc("bisect", "twice.ir")
    assert (status, err) == (1, "")
    assert out.startswith("@twice: cse, ")


def test_programs_with_calls_of_the_host(dlc, monkeypatch):
    from dlc.ir.build import IRBuilder
    from dlc.passes.cse import Cse

    status, out, err = dlc("verify", "user.py:solved")
    assert status == 0
    assert out.startswith("@solved: every stage agrees")
    assert "a trace of" in err  # what it prints is no output of dlc
    status, out, err = dlc("bisect", "user.py:solved")
    assert (status, out) == (0, "@solved: nothing is wrong\n")
    status, out, err = dlc("run", "user.py:solved")
    assert out.startswith("result ")
    assert "a trace of" in err

    def breaks(self, function, context):
        b = IRBuilder()
        b.nodes.extend(function.nodes)
        return b.function(function.name, function.params, [b.neg(r) for r in function.results])

    monkeypatch.setattr(Cse, "run", breaks)
    status, out, err = dlc("bisect", "user.py:solved")
    assert status == 1
    assert out.startswith("@solved: cse, ")


# cache and doctor


def test_the_cache(dlc, output, tmp_path, capsys):
    from dlc.ir.config import config

    with config.scope(cache_dir=tmp_path / "cache"):
        assert "entries  0" in output("cache", "info")
        # No other test has compiled this one, which this process would remember.
        Path("new.ir").write_text(Path("twice.ir").read_text().replace("value=1", "value=1234567"))
        output("run", "new.ir", "--dim", "n=3")
        text = output("cache", "info")
        count = int(re.search(r"entries  (\d+)", text)[1])
        assert count > 0
        assert re.search(r"kernel +\d+", text)
        assert output("cache", "export", "all.dlc").startswith(f"exported {count} entr")
        assert output("cache", "clear").startswith(f"removed {count} entr")
        assert output("cache", "import", "all.dlc").startswith(f"imported {count} entr")
        assert f"entries  {count}" in output("cache", "info")
    assert DiskCache(tmp_path / "cache").info().entries == count


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536 << 10, "1.5 MiB"),
        (2 << 30, "2.0 GiB"),
        (5 << 50, "5120.0 TiB"),
    ],
)
def test_sizes(size, text):
    assert size_text(size) == text


def test_the_doctor(output, folder):
    text = output("doctor")
    for label in ("dlc", "python", "package   numpy", "package   llvmlite", "llvm", "isa"):
        assert re.search(rf"^{label} +\S", text, re.MULTILINE)
    assert "device    cpu: compiles and runs" in text
    assert "setting   cache_dir" in text  # the tests have one of their own
    assert text.endswith("all is well\n")


def test_the_doctor_finds_what_is_wrong(dlc, monkeypatch, folder):
    from dlc.cli import doctor
    from dlc.ir.config import config

    monkeypatch.setattr(doctor, "_REQUIRED", ("numpy", "no-such-package"))
    (folder / "file").write_text("")
    with config.scope(cache_dir=folder / "file", num_threads=3):
        status, out, _ = dlc("doctor")
    assert status == 1
    assert "PROBLEM: no-such-package is not installed" in out
    assert re.search(r"^cache +PROBLEM: ", out, re.MULTILINE)
    assert "threads   3 (the setting num_threads" in out
    assert out.endswith("2 problems\n")


def test_the_doctor_finds_a_cache_without_room(dlc, folder):
    from dlc.ir.config import config

    with config.scope(cache_dir=folder / "small", cache_size=10):
        status, out, _ = dlc("doctor", "--quiet")
    assert status == 1
    assert "limit of 10 bytes is too small" in out


def test_the_doctor_tries_devices(dlc, monkeypatch):
    from dlc.codegen.cpu.backend import CpuBackend

    def breaks(self, kernels):
        raise DlcError("no LLVM today")

    monkeypatch.setattr(CpuBackend, "compile", breaks)
    status, out, _ = dlc("doctor", "--quiet")
    assert (status, out) == (1, "device    PROBLEM: DLC100: no LLVM today\n1 problem\n")


# Processes.


def test_as_a_command(folder):
    done = start("dump", "user.py:softmax", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "loading\n")
    parse_function(done.stdout)
    done = start("dump", "user.py:sofmax", cwd=folder)
    assert done.returncode == 2
    assert "  at " not in done.stderr
    assert done.stdout == ""


def test_a_reader_that_leaves_early(folder):
    command = f"{shlex.quote(sys.executable)} -m dlc dump user.py:softmax --all | head -n 1"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True, text=True, check=False, env=environ, cwd=folder, timeout=120,
    )  # fmt: skip
    assert done.stdout == "# ======== traced ========\n"
    assert done.stderr == "loading\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk(folder):
    command = f"{shlex.quote(sys.executable)} -m dlc dump twice.ir --all > /dev/full"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True, text=True, check=False, env=environ, cwd=folder, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "dlc: No space left on device\n"


def test_bad_settings_are_errors(folder):
    done = start("run", "twice.ir", cwd=folder, environ={"DLC_THREADS": "3"})
    assert done.returncode == 2
    assert done.stderr.startswith("DLC401: unknown environment variable DLC_THREADS\n  hint:")
    done = start("run", "twice.ir", cwd=folder, environ={"DLC_NUM_THREADS": "some"})
    assert done.returncode == 2
    assert "DLC401" in done.stderr
    assert "Traceback" not in done.stderr


def test_warnings_are_one_line(folder):
    (folder / "open").mkdir(mode=0o777)
    (folder / "open").chmod(0o777)
    done = start("run", "twice.ir", cwd=folder, environ={"DLC_CACHE_DIR": "open"})
    assert done.returncode == 0
    assert done.stderr.startswith("warning: the cache folder ")
    assert done.stderr.count("\n") == 1


def test_help_loads_next_to_nothing():
    code = (
        "import sys\nfrom dlc.cli.main import main\nmain(['--help'])\n"
        "print(*({'numpy', 'llvmlite', 'dlc.frontend'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stderr == "\n"
    assert "dump" in done.stdout
