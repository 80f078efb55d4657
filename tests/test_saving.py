"""Saved programs: what is saved, what is loaded, and that the two are the same."""

import os
import stat
import subprocess
import sys
import textwrap
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import dlc

ROOT = Path(__file__).parent.parent
RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 4)).astype(np.float32)
W = RNG.standard_normal((4, 20)).astype(np.float32)
posix = pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "program.dlc"


def saved(f, path, specs=None):
    dlc.save(f, path, specs=specs)
    return dlc.load(path)


def same(a, b):
    found, structure = dlc.tree.flatten(a)
    expected, other = dlc.tree.flatten(b)
    assert repr(structure) == repr(other)
    for x, y in zip(found, expected, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x.numpy(), y.numpy())


# Programs.


def dense(x):
    return dlc.tanh(x @ W)


def branches(x):
    return dlc.cond(dlc.sum(x) > 0, lambda: x * 2, lambda: x - 1)


def python_control_flow(x):
    total = dlc.sum(x)
    while total < 10:
        total = dlc.abs(total) + 3
    return total


def loops(x):
    carry, rows = dlc.scan(lambda c, row: (c + row, c * row), dlc.zeros(4), x)
    return carry, rows, dlc.fori_loop(0, 3, lambda k, v: v * 2, x)


def random_numbers(x):
    return x + dlc.random.normal(dlc.random.key(3), x.shape)


def gradients(x):
    return dlc.grad(lambda y: dlc.sum(dlc.sin(y) ** 2))(x)


def many_types(x):
    small = np.arange(3, dtype=np.int8)
    parts = x.astype(dlc.bfloat16), x > 0, dlc.argmax(x, axis=1), dlc.asarray(small)
    return {"parts": list(parts), "none": None, "half": x.astype("float16")}


def linear_algebra(x):
    return dlc.linalg.solve(x.T @ x + dlc.eye(4), dlc.ones(4))


@dlc.custom_vjp
def clipped(x):
    return dlc.clip(x, -1, 1)


clipped.defvjp(lambda x: (dlc.clip(x, -1, 1), x), lambda x, ct: (ct * 3 + 0 * x,))

PROGRAMS = [
    dense, branches, python_control_flow, loops, random_numbers, gradients, many_types,
    linear_algebra, clipped,
]  # fmt: skip


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: getattr(f, "__name__", "clipped"))
def test_a_program_is_the_same_after_loading(f, path):
    program = dlc.compile(f)
    loaded = saved(program, path, "f32[5,4]")
    same(loaded(X), program(X))
    same(loaded(-X), program(-X))
    assert loaded.stats.compilations == 1


@pytest.mark.parametrize("f", [dense, gradients, random_numbers, many_types])
def test_one_program_serves_any_batch(f, path):
    loaded = saved(f, path, "f32[b,4]")
    assert "x: f32[b,4]" in repr(loaded)
    assert loaded.specs == [(dlc.spec("f32[b,4]"),)]
    program = dlc.compile(f).warmup("f32[b,4]")
    for n in (1, 2, 5, 5, 5, 5, 33):
        x = np.resize(X, (n, 4))
        same(loaded(x), program(x))
    assert loaded.stats.compilations == 1


def test_without_specs_the_programs_that_were_made_are_saved(path):
    program = dlc.compile(dense)
    with pytest.raises(dlc.ValueRangeError, match="for what arguments"):
        program.save(path)
    program(X)
    program.save(path)
    loaded = dlc.load(path)
    same(loaded(X), program(X))
    with pytest.raises(dlc.ShapeError, match=r"f32\[6,4\].*\n.*x: f32\[5,4\]"):
        loaded(np.ones((6, 4), np.float32))


def test_several_programs_and_keywords(path):
    def f(x, k=1, *, scale, half=False):
        return x * k * scale / (2 if half else 1)

    program = dlc.compile(f, static_argnames="half")
    specs = [{"x": "f32[n]", "scale": 2.0}, {"x": "i32[n]", "k": 2, "scale": 1, "half": True}]
    loaded = saved(program, path, specs)
    same(loaded(X[0], scale=3.0), program(X[0], scale=3.0))
    whole = np.arange(5, dtype=np.int32)
    same(loaded(whole, 3, scale=2, half=True), program(whole, 3, scale=2, half=True))
    same(loaded(whole, scale=2, half=True, k=3), program(whole, 3, scale=2, half=True))
    with pytest.raises(dlc.ArgumentError, match="no program"):
        loaded(whole, 3, scale=2, half=False)
    with pytest.raises(dlc.ArgumentError, match="scale"):
        loaded(X[0])
    with pytest.raises(dlc.DTypeError, match="f64"):
        loaded(X[0].astype(np.float64), scale=3.0)
    again = saved(loaded, path.with_name("again.dlc"), loaded.specs)
    same(again(whole, 3, scale=2, half=True), program(whole, 3, scale=2, half=True))


def test_static_arguments_are_compared_with_their_types(path):
    program = dlc.compile(lambda x, p, d: x.astype(d) * len(p), static_argnums=(1, 2))
    loaded = saved(program, path, ("f32[4]", (1, "a", None, 2.5), dlc.float16))
    same(loaded(X[0], (1, "a", None, 2.5), dlc.float16), program(X[0], (1, 2, 3, 4), dlc.float16))
    for p in ((1, "a", None), (True, "a", None, 2.5)):
        if p != (1, "a", None, 2.5):
            with pytest.raises(dlc.ArgumentError):
                loaded(X[0], p, dlc.float16)
    mapped = dlc.compile(lambda x, f: f(x), static_argnums=1)
    with pytest.raises(dlc.ArgumentError, match="static argument 1 is a function"):
        mapped.save(path, ("f32[4]", lambda x: x))


class Point(NamedTuple):
    left: Any
    right: Any


@dataclass
class Pair:
    a: object
    b: object


def test_trees_of_arguments_and_results(path):
    def f(p, q):
        return Point(p["w"] + q[0].left, {"k": [q[1], None]})

    loaded = saved(f, path, ({"w": "f32[n]"}, (Point("f32[n]", "f32[2]"), "i64[]")))
    one = np.int64(1)
    result = loaded({"w": X[0]}, (Point(X[1], X[0, :2]), one))
    same(result.left, dlc.asarray(X[0] + X[1]))
    assert type(result).__name__ == "Point"
    assert result.right["k"][1] is None
    with pytest.raises(dlc.ArgumentError, match="no program"):
        loaded({"w": X[0]}, [Point(X[1], X[0, :2]), one])
    with pytest.raises(dlc.ArgumentError, match=r"results of .* have a Pair"):
        dlc.save(lambda x: Pair(x, x), path, "f32[2]")
    with pytest.raises(dlc.ArgumentError, match=r"arguments of .* have a Pair"):
        dlc.save(lambda p: p.a, path, (Pair("f32[2]", "f32[2]"),))


# State.


def test_state_is_shared_between_programs(path):
    count = dlc.Variable(0, name="count")
    scale = dlc.Variable([2.0, 3.0], name="scale")

    def f(x):
        count.assign_add(1)
        return x * scale * count.astype(dlc.float32)

    loaded = saved(f, path, ["f32[2]", "f32[n,2]"])
    ones = np.ones(2, np.float32)
    assert loaded(ones).numpy().tolist() == [2, 3]
    assert loaded(ones[None]).numpy().tolist() == [[4, 6]]
    assert {k: v.numpy().tolist() for k, v in loaded.state_dict().items()} == {
        "count": 2,
        "scale": [2, 3],
    }
    assert count.item() == 0
    loaded.load_state_dict({"count": 10, "scale": [1.0, 1.0]})
    assert loaded(ones).numpy().tolist() == [11, 11]
    with pytest.raises(dlc.ValueRangeError, match=r"count: missing[\s\S]*other: not in"):
        loaded.load_state_dict({"scale": [1.0, 1.0], "other": 1})
    other = dlc.load(path)
    assert other(ones).numpy().tolist() == [2, 3]


class Scale(dlc.nn.Module):
    """Divides by a running maximum, which it updates in training."""

    def __init__(self):
        super().__init__()
        self.register_buffer("largest", 1.0)

    def forward(self, x):
        if self.training:
            self.largest.assign(dlc.maximum(self.largest, dlc.max(dlc.abs(x))))
        return x / self.largest


def network():
    dlc.random.seed(1)
    nn = dlc.nn
    return nn.Sequential(nn.Linear(4, 8), Scale(), nn.ReLU(), nn.Linear(8, 2))


def test_a_model_in_its_mode(path):
    model = network().eval()
    loaded = saved(model, path, "f32[b,4]")
    same(loaded(X), dlc.compile(model)(X))
    names = set(model.state_dict())
    assert set(loaded.state_dict()) <= names
    assert "0.weight" in loaded.state_dict()
    assert loaded.variables["0.weight"].requires_grad
    assert not loaded.variables["1.largest"].requires_grad


def training_step():
    model = network()
    optimizer = dlc.optim.Adam(model.parameters(), lr=0.05)

    @dlc.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = dlc.mean((model(x) - y) ** 2)
        loss.backward()
        optimizer.step()
        return loss

    return step, model


def test_the_programs_of_the_present_mode_are_saved(path):
    model = dlc.nn.Dropout(0.5)
    f, x = dlc.compile(model), np.ones((2, 8), np.float32)
    model.train()
    f(x)
    model.eval()
    with pytest.raises(dlc.ValueRangeError, match="in the mode"):
        f.save(path)
    f(x)
    f.save(path)
    np.testing.assert_array_equal(dlc.load(path)(x).numpy(), x)


def test_a_training_step_goes_on_where_it_was_saved(path):
    step, model = training_step()
    y = X[:, :2]
    step(X, y)
    step(X, y)
    step.save(path)
    loaded = dlc.load(path)
    ours, theirs = [], []
    for k in range(8):
        ours.append(step(X, y).item())
        theirs.append(loaded(X, y).item())
        if k == 3:
            loaded.save(path)
            loaded = dlc.load(path)
    assert ours == theirs
    assert ours[-1] < ours[0]
    weights = [v.numpy() for v in loaded.variables.values() if v.shape == (8, 4)]
    assert any(np.array_equal(w, model[0].weight.numpy()) for w in weights)


def test_a_loaded_model_is_trained_further(path):
    model = network().eval()
    loaded = saved(model, path, "f32[b,4]")
    before = loaded.state_dict()["3.weight"].numpy().copy()
    optimizer = dlc.optim.SGD(loaded.parameters(), lr=0.1)
    other = dlc.optim.SGD(model.parameters(), lr=0.1)
    for f, o in ((loaded, optimizer), (model, other)):

        @dlc.compile
        def step(x, f=f, o=o):
            o.zero_grad()
            loss = dlc.mean(f(x) ** 2)
            loss.backward()
            o.step()
            return loss

        for _ in range(3):
            step(X)
    assert not np.array_equal(before, loaded.state_dict()["3.weight"].numpy())
    expected = {k: v for k, v in model.state_dict().items() if k in loaded.variables}
    same(dict(loaded.state_dict()), expected)


def test_gradients_that_are_kept_between_calls(path):
    w = dlc.Variable([1.0, 2.0], requires_grad=True, name="w")

    @dlc.compile
    def accumulate(x):
        dlc.sum(w * x).backward()

    accumulate.save(path, "f32[2]")
    loaded = dlc.load(path)
    loaded(X[0, :2])
    same(loaded.variables["w"].grad, dlc.asarray(X[0, :2]))
    with pytest.raises(dlc.ArgumentError, match="w has a gradient"):
        loaded(X[0, :2])
    accumulate(X[0, :2])
    accumulate(X[1, :2])
    accumulate.save(path)
    loaded = dlc.load(path)
    same(loaded.variables["w"].grad, w.grad)
    loaded(X[2, :2])
    same(loaded.variables["w"].grad, dlc.asarray(X[0, :2] + X[1, :2]) + X[2, :2])


# What else can be done with it.


def test_transforms_of_a_loaded_program(path):
    loaded = saved(dense, path, "f32[b,4]")

    def total(f):
        return lambda x: dlc.sum(f(x) ** 2)

    same(dlc.grad(total(loaded))(X), dlc.grad(total(dense))(X))
    same(dlc.compile(dlc.grad(total(loaded)))(X), dlc.compile(dlc.grad(total(dense)))(X))
    wide = np.stack([X, X + 1])
    same(dlc.vmap(loaded)(wide), dlc.vmap(dense)(wide))
    x = dlc.Variable(X, requires_grad=True)
    dlc.sum(loaded(x)).backward()
    np.testing.assert_allclose(
        x.grad.numpy(), dlc.grad(lambda x: dlc.sum(dense(x)))(X).numpy(), rtol=1e-6
    )
    with dlc.config.scope(disable_jit=True):
        np.testing.assert_allclose(loaded(X).numpy(), dense(X).numpy(), rtol=1e-6)


def test_custom_derivatives_are_saved(path):
    loaded = saved(clipped, path, "f32[4]")
    same(dlc.grad(lambda x: dlc.sum(loaded(x)))(X[0]), dlc.full(4, 3.0))


def test_looking_inside(path):
    loaded = saved(dense, path, "f32[b,4]")
    assert "dot_general" in loaded.lower().as_text()
    assert loaded.lower(X).as_text("optimized")
    assert repr(loaded).startswith("<loaded program.dlc: dense(x: f32[b,4]) -> f32[b,20]")
    assert isinstance(loaded, dlc.LoadedFunction)
    assert isinstance(loaded, dlc.CompiledFunction)

    class Holder:
        net = loaded

    same(Holder().net(X), loaded(X))


def test_what_cannot_be_saved(path):
    def log_it(x):
        pass

    def calls_back(x):
        dlc.debug.callback(log_it, x)
        return dlc.pure_callback(np.sin, dlc.spec("f32[4]"), x)

    with pytest.raises(dlc.ArgumentError, match=r"calls_back cannot be saved.*\(sin, .*log_it\)"):
        dlc.save(calls_back, path, "f32[4]")
    with pytest.raises(dlc.ArgumentError, match="cannot be called"):
        dlc.save(3, path, "f32[4]")
    assert not path.exists()


def test_prints_are_saved(path, capsys):
    def f(x):
        dlc.debug.print("x = {:.2f}", x)
        return x

    saved(f, path, "f32[]")(np.float32(0.5))
    assert capsys.readouterr().out == "x = 0.50\n"


# Files.


def test_the_file_is_an_archive_of_aligned_arrays(path):
    dlc.save(dense, path, specs="f32[b,4]")
    first = path.read_bytes()
    dlc.save(dense, path, specs="f32[b,4]")
    assert path.read_bytes() == first  # of equal programs
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", "programs/0.ir", "arrays/0"]
        assert archive.read("arrays/0") == W.tobytes()
        assert archive.read("programs/0.ir").startswith(b"func @dense")
    assert first.index(W.tobytes()) % 64 == 0
    assert str(ROOT).encode() not in first


def test_an_array_is_saved_once(path):
    weights = dlc.asarray(RNG.standard_normal((100, 100)).astype(np.float32))
    dlc.save(lambda x: x @ weights, path, specs=["f32[100]", "f32[n,100]"])
    assert path.stat().st_size < 60_000


def test_files_that_cannot_be_written(path, tmp_path):
    dlc.save(dense, path, "f32[1,4]")
    before = path.read_bytes()
    folder = tmp_path / "folder"
    folder.mkdir()
    for wrong in (tmp_path / "none" / "a.dlc", folder, Path(os.devnull)):
        with pytest.raises(dlc.SaveError, match="could not be written"):
            dlc.save(dense, wrong, "f32[1,4]")
    with pytest.raises(OSError, match="could not be written"):
        dlc.save(dense, folder, "f32[1,4]")
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "program.dlc"]


@posix
def test_a_full_disk_loses_nothing(path):
    dlc.save(dense, path, "f32[1,4]")
    before = path.read_bytes()
    code = f"""
        import resource, signal
        import numpy as np
        import dlc
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        weights = dlc.asarray(np.ones((400, 400), np.float32))
        f = dlc.compile(lambda x: x @ weights)
        f(np.ones(400, np.float32))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            f.save({str(path)!r})
        except dlc.SaveError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "could not be written: File too large" in done.stdout
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


KILLED = """
import sys
import numpy as np
import dlc
weights = [dlc.Variable(np.full((300, 300), 1.0, np.float32))]
def f(x):
    return x @ weights[0]
print("ready", flush=True)
k = 0
while True:
    k += 1
    weights[0] = dlc.Variable(np.full((300, 300), float(k), np.float32), name="w")
    dlc.save(f, sys.argv[1], "f32[300]")
"""


@posix
def test_killed_while_saving(path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout.readline()
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    for k in range(5):  # read while it is replaced
        value = dlc.load(path).variables["w"].numpy()
        assert (value == value[0, 0]).all(), k
    process.kill()
    process.wait()
    process.stdout.close()
    value = dlc.load(path).variables["w"].numpy()
    assert (value == value[0, 0]).all()
    assert value[0, 0] >= 1


@posix
def test_links_and_modes(path, tmp_path):
    link = tmp_path / "link.dlc"
    link.symlink_to(path)
    dlc.save(dense, link, "f32[1,4]")
    assert link.is_symlink()
    assert path.is_file()
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


# Without the user's code.

ISOLATED = """
    import sys, sysconfig
    sys.path += {paths!r}
    BUILD = sysconfig._get_sysconfigdata_name()  # of the standard library too
    ALLOWED = {{"dlc", "numpy", "llvmlite", "ml_dtypes", BUILD}} | set(sys.stdlib_module_names)

    class Refuse:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] not in ALLOWED:
                raise ModuleNotFoundError(name)

    sys.meta_path.insert(0, Refuse())
    import numpy as np
    import dlc
    step = dlc.load({file!r})
    x, y = np.load({data!r}).values()
    print([step(x, y).item() for _ in range(4)])
"""


def test_a_fresh_environment_with_the_core_dependencies_only(path, tmp_path):
    import llvmlite
    import ml_dtypes

    step, _ = training_step()
    y = X[:, :2]
    step.save(path, ("f32[b,4]", "f32[b,2]"))
    np.savez(tmp_path / "data.npz", x=X, y=y)
    links = tmp_path / "core"
    links.mkdir()
    for package in (dlc, np, llvmlite, ml_dtypes):
        folder = Path(package.__file__).parent
        for part in folder.parent.glob(f"{folder.name}*"):
            if part.is_dir():
                (links / part.name).symlink_to(part)
    code = ISOLATED.format(paths=[str(links)], file=str(path), data=str(tmp_path / "data.npz"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", textwrap.dedent(code)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={k: v for k, v in os.environ.items() if k.startswith("DLC") or k == "HOME"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = dlc.load(path)
    assert done.stdout.strip() == str([loaded(X, y).item() for _ in range(4)])


def test_a_list_of_the_arguments_is_explained(tmp_path):
    f = dlc.compile(lambda a, b: a @ b)
    with pytest.raises(
        dlc.ArgumentError, match="missing(.|\n)*a list of specs is several programs"
    ):
        f.save(tmp_path / "f.dlc", specs=["f32[b,4]", "f32[4,3]"])
    f.save(tmp_path / "f.dlc", specs=("f32[b,4]", "f32[4,3]"))
