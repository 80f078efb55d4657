"""Exported libraries: called without dlc, they give what the compiled program gives."""

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.codegen.cpu.elf import ElfObject
from dlc.codegen.cpu.isa import ISA_LEVELS, host_isa, host_machine

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 4)).astype(np.float32)
W = RNG.standard_normal((4, 20)).astype(np.float32)
COMPILER = shutil.which("cc") if sys.platform == "linux" else None
linked = pytest.mark.skipif(COMPILER is None, reason="needs a linker")


def module_of(made):
    spec = importlib.util.spec_from_file_location("exported", made.module)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dense(x):
    return dlc.softmax(dlc.tanh(x @ W), axis=1), dlc.sum(x, axis=0)


def branches(x):
    return dlc.cond(dlc.sum(x) > 0, lambda: x * 2, lambda: dlc.exp(x - 1))


def loops(x):
    carry, rows = dlc.scan(lambda c, row: (c + row, c * row), dlc.zeros(4), x)
    total = dlc.while_loop(lambda v: dlc.sum(v) < 100, lambda v: v * 2 + 1, dlc.abs(x))
    return carry, rows, total


def many_types(x):
    return {
        "half": x.astype("float16"),
        "brain": x.astype(dlc.bfloat16),
        "flags": x > 0,
        "places": dlc.argsort(x, axis=1),
        "small": (x * 10).astype(dlc.int8),
        "number": dlc.random.normal(dlc.random.key(1), (3,)),
    }


def gradient(x):
    return dlc.grad(lambda y: dlc.sum(dense(y)[0] ** 2))(x)


@linked
@pytest.mark.parametrize("f", [dense, branches, loops, many_types, gradient])
def test_a_library_gives_what_the_program_gives(f, tmp_path):
    made = dlc.export_library(f, tmp_path / "out", specs="f32[6,4]")
    got = getattr(module_of(made), f.__name__)(X)
    expected = dlc.tree.leaves(dlc.compile(f)(X))
    for a, tensor in zip(got if isinstance(got, tuple) else (got,), expected, strict=True):
        b = tensor.numpy()
        assert a.dtype == (np.uint16 if b.dtype.name == "bfloat16" else b.dtype)
        np.testing.assert_array_equal(a.view(b.dtype), b)
    with pytest.raises(ValueError, match=r"x is float32\[4, 6\], not float32\[6, 4\]"):
        getattr(module_of(made), f.__name__)(X.T)


@linked
def test_a_model_without_dlc(tmp_path):
    model = dlc.nn.Sequential(dlc.nn.Linear(4, 8), dlc.nn.ReLU(), dlc.nn.Linear(8, 2))
    net = dlc.compile(model, name="net")
    made = dlc.export_library(net, tmp_path, specs="f32[6,4]")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["libnet.so", "net.h", "net.o", "net.py"]
    np.save(tmp_path / "x.npy", X)
    code = f"""
        import sys
        sys.path += [{str(Path(np.__file__).parent.parent)!r}, {str(tmp_path)!r}]
        sys.modules["dlc"] = None
        import numpy as np
        import net
        sys.stdout.buffer.write(net.net(np.load({str(tmp_path / "x.npy")!r})).tobytes())
    """
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", textwrap.dedent(code)], capture_output=True, check=True
    )
    assert done.stdout == net(X).numpy().tobytes()
    symbols = subprocess.run(
        ["nm", "-D", made.library], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert [s.split()[-1] for s in symbols if " T " in s] == ["net"]
    assert not any(" U " in s for s in symbols)


C_PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include "count.h"

int main(void) {
    int32_t steps = count_initial_steps[0], next;
    float x[3] = {1, 2, 3}, y[3];
    void *workspace = malloc(COUNT_0_WORKSPACE);
    for (int k = 0; k < 3; k++) {
        if (count_0(x, &steps, y, &next, workspace)) return 1;
        steps = next;
        printf("%d %g %g %g\\n", steps, y[0], y[1], y[2]);
    }
    free(workspace);
    return 0;
}
"""


@linked
def test_state_and_several_functions_in_c(tmp_path):
    steps = dlc.Variable(np.int32(4), name="steps")
    scale = dlc.Variable(0.5, name="scale")

    def count(x):
        steps.assign_add(1)
        return x * scale * steps.astype(dlc.float32)

    made = dlc.export_library(count, tmp_path, specs=["f32[3]", "f32[2,2]"])
    (tmp_path / "main.c").write_text(C_PROGRAM)
    command = [COMPILER, "-Wall", "-Werror", "-O1", "main.c", "count.o", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    assert done.stdout == "5 2.5 5 7.5\n6 3 6 9\n7 3.5 7 10.5\n"
    module = module_of(made)
    assert module.count_initial_steps == 4
    y, new = module.count_1(np.ones((2, 2), np.float32), module.count_initial_steps)
    assert (y.tolist(), int(new)) == ([[2.5, 2.5], [2.5, 2.5]], 5)
    assert steps.item() == 4


def convolution(x):
    image = dlc.reshape(x, (1, 1, -1, 4))
    return dlc.conv2d(image, np.ones((2, 1, 3, 3), np.float32), padding=1)[0, :, ::2]


@linked
@pytest.mark.parametrize("f", [dense, branches, loops, gradient, convolution])
def test_named_extents(f, tmp_path):
    made = dlc.export_library(f, tmp_path, specs="f32[b,4]")
    run = getattr(module_of(made), f.__name__)
    program = dlc.compile(f).warmup("f32[b,4]")
    for n in (1, 2, 6, 37, 300):
        x = np.resize(X, (n, 4))
        got, expected = run(x), dlc.tree.leaves(program(x))
        for a, b in zip(got if isinstance(got, tuple) else (got,), expected, strict=True):
            np.testing.assert_array_equal(a, b.numpy())
    with pytest.raises(ValueError, match="extent_b is 0, and must be at least 1"):
        run(X[:0])
    with pytest.raises(ValueError, match="3 dims, not 2"):
        run(X[None])
    with pytest.raises(ValueError, match=r"x is float32\[6, 3\], not float32\[6, 4\]"):
        run(X[:, :3])
    text = Path(made.header).read_text()
    assert f"int64_t {f.__name__}_workspace(int64_t extent_b);" in text


@linked
def test_two_named_extents(tmp_path):
    made = dlc.export_library(
        lambda x, y: dlc.concat([x, y], axis=0) @ W, tmp_path, specs=("f32[n,4]", "f32[m,4]")
    )
    run = module_of(made)._lambda
    for n, m in ((1, 2), (5, 3), (40, 1)):
        x, y = np.resize(X, (n, 4)), np.resize(X, (m, 4))
        expected = dlc.compile(lambda x, y: dlc.concat([x, y], axis=0) @ W)(x, y)
        np.testing.assert_allclose(run(x, y), expected.numpy(), rtol=1e-5, atol=1e-5)


@linked
def test_threads_with_a_workspace_each(tmp_path):
    module = module_of(dlc.export_library(dense, tmp_path, specs="f32[6,4]"))
    inputs = [X + k for k in range(8)]
    expected = [module.dense(x)[0] for x in inputs]
    wrong = []

    def work(k):
        wrong.extend(
            k for _ in range(50) if not np.array_equal(module.dense(inputs[k])[0], expected[k])
        )

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


@linked
@pytest.mark.parametrize(
    "isa",
    [i for i in ISA_LEVELS if i.machine == host_machine() and not i.matrix],
    ids=lambda i: i.name,
)
def test_every_level_of_this_machine(isa, tmp_path):
    if ISA_LEVELS.index(isa) < ISA_LEVELS.index(host_isa()):
        pytest.skip("this machine does not run it")
    made = dlc.export_library(dense, tmp_path, specs="f32[6,4]", target=isa.name)
    assert f"code for {isa.name}" in Path(made.header).read_text()
    got, expected = module_of(made).dense(X)[0], dlc.compile(dense)(X)[0].numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-6)  # some levels have no fused products


def test_code_for_another_architecture(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    other = "aarch64" if host_machine() == "x86_64" else "x86-64-v3"
    with pytest.warns(UserWarning, match=r"no linker for .* cc -shared -nostdlib loops.o"):
        made = dlc.export_library(loops, tmp_path, specs="f32[6,4]", target=other)
    assert made.library is None
    elf = ElfObject(Path(made.object).read_bytes())
    assert elf.machine != host_machine()
    assert elf.undefined_names() == []
    assert [s.name for s in elf.symbols if not s.local] == ["loops"]
    (constants,) = {s.symbol.section for s in elf.relocations}
    assert elf.sections[constants].name == ".rodata"
    assert "int32_t loops(" in Path(made.header).read_text()


def test_a_loaded_program_is_exported(tmp_path):
    dlc.save(dense, tmp_path / "dense.dlc", specs="f32[6,4]")
    made = dlc.export_library(dlc.load(tmp_path / "dense.dlc"), tmp_path)
    assert Path(made.object).exists()


@pytest.mark.filterwarnings("ignore:no shared library")
def test_what_cannot_be_exported(tmp_path, monkeypatch):
    with pytest.raises(dlc.SettingError, match="did you mean 'x86-64-v3'"):
        dlc.export_library(dense, tmp_path, specs="f32[6,4]", target="x86-64-w3")
    with pytest.raises(dlc.BackendError, match="runs in Python"):
        dlc.export_library(lambda x: dlc.linalg.solve(x, x), tmp_path, specs="f32[4,4]")

    def unknown(x):
        return dlc.grad(
            lambda y: dlc.sum(dlc.while_loop(lambda v: dlc.sum(v) < 100, lambda v: v * v + 1, y))
        )(x)

    with pytest.raises(dlc.BackendError, match="loop of unknown length"):
        dlc.export_library(unknown, tmp_path, specs="f32[4]")
    with pytest.raises(dlc.ValueRangeError, match="for what arguments"):
        dlc.export_library(dense, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(dlc.SaveError, match="could not be made"):
        dlc.export_library(dense, tmp_path / "file", specs="f32[6,4]")
    if COMPILER is not None:
        monkeypatch.setenv("LD_LIBRARY_PATH", os.environ.get("LD_LIBRARY_PATH", ""))
        broken = tmp_path / "cc"
        broken.write_text("#!/bin/sh\necho no space >&2\nexit 1\n")
        broken.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        with pytest.raises(dlc.SaveError, match="failed: no space"):
            dlc.export_library(dense, tmp_path / "out", specs="f32[6,4]")
        assert not (tmp_path / "out" / "libdense.so").exists()


def test_names_of_c(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "which", lambda name: None)
        with pytest.warns(UserWarning, match="no shared library"):
            made = dlc.export_library(
                lambda double, x: {"int": double["a b"] + x, "1": x},
                tmp_path,
                specs=({"a b": "f32[2]"}, "f32[2]"),
            )
    text = Path(made.header).read_text()
    assert "double_a_b" in text
    assert "result_int" in text
    assert "int32_t _lambda(" in text


@linked
def test_extents_out_of_range(tmp_path):
    def f(x):
        return x[2:, :3] * 2

    made = dlc.export_library(f, tmp_path, specs="f32[b,4<=n<=9]")
    module = module_of(made)
    for shape in ((3, 4), (2, 9), (40, 5)):
        x = np.ones(shape, np.float32)
        np.testing.assert_array_equal(module.f(x), x[2:, :3] * 2)
    for shape, said in (
        ((1, 4), "extent_b is 1, and must be at least 2"),
        ((3, 10), "extent_n is 10, and must be between 4 and 9"),
    ):
        with pytest.raises(ValueError, match=said):
            module.f(np.ones(shape, np.float32))
    workspace = module._library.f_workspace
    assert workspace(ctypes.c_int64(1), ctypes.c_int64(4)) == 0
    assert workspace(ctypes.c_int64(2), ctypes.c_int64(10)) == 0
    assert workspace(ctypes.c_int64(2), ctypes.c_int64(9)) > 0
    assert "/* f[b>=2, 4<=n<=9](" in Path(made.header).read_text()
