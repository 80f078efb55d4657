"""Damaged and hostile files of saved programs: an error that says so, and nothing else."""

import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.frontend.saving.container import Entry, checksum, write

ROOT = Path(__file__).parent.parent
W = np.arange(80, dtype=np.float32).reshape(4, 20) / 80


def make(path):
    bias = dlc.Variable(np.ones(20, np.float32), name="bias", requires_grad=True)
    flags = dlc.asarray(np.arange(70) % 2 == 0)

    def f(p, k):
        bias.assign_sub(dlc.mean(p["x"] @ W, axis=0))
        return {"y": [p["x"] @ W * k + bias, flags]}

    dlc.compile(f, static_argnums=1).save(path, specs=[({"x": "f32[b,4]"}, 2)])


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "good.dlc"
    make(path)
    return path.read_bytes()


def contents_of(data, path):
    """The entries of a saved program by name."""
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sealed(contents, path):
    """A file of other contents, with their checksums; those in the manifest stay as they are."""
    entries = [Entry(name, len(data), checksum(data)) for name, data in contents.items()]
    with path.open("wb") as file:
        write(file, entries, contents.values())


def resealed(contents, path):
    """The same with checksums in the manifest corrected where there are places for them."""
    manifest = json.loads(contents["manifest.json"])
    for k, p in enumerate(manifest["programs"]):
        text = contents[f"programs/{k}.ir"]
        p["text"] = [len(text), checksum(text)]
    for k, a in enumerate(manifest["arrays"]):
        a[1] = checksum(contents.get(f"arrays/{k}", b""))
    sealed({**contents, "manifest.json": json.dumps(manifest).encode()}, path)


def refused(path, match="cannot be loaded"):
    with pytest.raises(dlc.FileFormatError, match=match) as caught:
        dlc.load(path)
    assert caught.value.code == "DLC505"
    assert str(path) in str(caught.value)


def test_truncated_at_every_class_of_length(good, tmp_path):
    path = tmp_path / "cut.dlc"
    lengths = {0, 1, 3, 4, 29, 30, 42, 43, 46, 62, 63, 64, 100, len(good) // 2}
    lengths |= {len(good) - k for k in (1, 2, 22, 23, 98, 200)}
    lengths |= set(range(0, len(good), 37))
    for n in sorted(lengths):
        path.write_bytes(good[:n])
        refused(path, "empty|cut off|damaged|no program")
    path.write_bytes(good + b"\0")
    refused(path, "damaged")


def test_every_flipped_bit_is_seen(good, tmp_path):
    path = tmp_path / "flipped.dlc"
    draw = random.Random(0)
    places = {k * 8 + draw.randrange(8) for k in range(0, len(good), 5)}
    for place in sorted(places):
        data = bytearray(good)
        data[place // 8] ^= 1 << place % 8
        path.write_bytes(data)
        refused(path)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"", "empty"),
        (b"\x80\x04\x95pickle", "no program that dlc saved"),
        (b'\x10\0\0\0\0\0\0\0{"a": 1}        ', "safetensors"),
        (b"\x89HDF\r\n\x1a\n", "no program"),
    ],
)
def test_other_files(tmp_path, start, said):
    path = tmp_path / "other"
    path.write_bytes(start + bytes(100) * bool(start))
    refused(path, said)


def test_other_archives(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, x=np.ones(3))
    refused(path, "another zip archive")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b" " * 10_000_000)
    refused(path)
    with pytest.raises(FileNotFoundError):
        dlc.load(tmp_path / "none.dlc")


def changed(key, value):
    def change(m):
        *above, last = key
        for part in above:
            m = m[part]
        if value is None:
            del m[last]
        else:
            m[last] = value

    return change


MANIFESTS = {
    "a later version": (changed(["version"], 2), "version 2 .*saved by dlc"),
    "no version": (changed(["version"], "1"), "version"),
    "another format": (changed(["format"], "x"), "no program"),
    "a huge array": (changed(["arrays", 0, 0], "f32[1000000000000]"), "cut off"),
    "an array of many dims": (changed(["arrays", 0, 0], "f32[" + "9," * 40 + "9]"), "type of an"),
    "an array of no type": (changed(["arrays", 0, 0], "q7[3]"), "type of an array"),
    "an array of a symbol": (changed(["arrays", 0, 0], "f32[n]"), "has the type"),
    "negative": (changed(["arrays", 0, 0], "f32[-1]"), "type of an array"),
    "a huger array": (changed(["arrays", 0, 0], f"u8[{2**63 - 1}]"), "cut off"),
    "huge text": (changed(["programs", 0, "text", 0], 2**63 - 1), "cut off"),
    "a checksum of 33 bits": (changed(["programs", 0, "text", 1], 2**32), "checksum"),
    "another checksum": (changed(["arrays", 0, 1], 7), "damaged"),
    "another dtype": (changed(["arrays", 0, 0], "i32[4,20]"), "reads other values"),
    "another shape": (changed(["arrays", 0, 0], "f32[20,4]"), "reads other values"),
    "no programs": (changed(["programs"], []), "no program"),
    "a number for a list": (changed(["programs"], 3), "list"),
    "an array that is not there": (changed(["variables", 0, 1], 99), "no value"),
    "a variable that is not there": (changed(["programs", 0, "variables"], [7]), "not there"),
    "a number below 0": (changed(["programs", 0, "constants"], [-1]), "number"),
    "a truth value for a number": (changed(["programs", 0, "constants"], [True]), "number"),
    "fewer constants": (changed(["programs", 0, "constants"], [0]), "other values"),
    "nothing written": (changed(["programs", 0, "written"], []), "results are others"),
    "a missing key": (changed(["programs", 0, "weak"], None), "malformed"),
    "fewer leaves": (changed(["programs", 0, "weak"], []), "none"),
    "no tree": (changed(["programs", 0, "output"], {"list": 3}), "tree"),
    "a class": (changed(["programs", 0, "output"], {"os.system": []}), "tree"),
    "a keyword": (changed(["programs", 0, "output"], {"namedtuple": ["class", []]}), "tree"),
    "a field": (changed(["programs", 0, "output"], {"namedtuple": ["A", [["x;y", "*"]]]}), "tree"),
    "a parameter": (changed(["parameters", 0, 0], "x y"), "name"),
    "parameters twice": (changed(["parameters", 1, 0], "p"), "parameters"),
    "a kind": (changed(["parameters", 0, 1], "other"), "none of"),
    "a level": (changed(["level"], "O9"), "none of"),
    "a static place": (changed(["static"], [9]), "positional parameters"),
    "a static value": (changed(["programs", 0, "static"], [[1, {"call": "x"}]]), "value"),
    "a long name": (changed(["name"], "x" * 5000), "name"),
    "more results": (changed(["programs", 0, "outputs"], 5), "none"),
    "gradients for none": (changed(["programs", 0, "gradients"], [0]), "other values"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests(good, tmp_path, name):
    change, said = MANIFESTS[name]
    path = tmp_path / "changed.dlc"
    contents = contents_of(good, path)
    manifest = json.loads(contents["manifest.json"])
    change(manifest)
    contents["manifest.json"] = json.dumps(manifest).encode()
    sealed(contents, path)
    refused(path, said)


def test_manifests_that_are_none(good, tmp_path):
    path = tmp_path / "changed.dlc"
    contents = contents_of(good, path)
    for data in (b"", b"[]", b"3", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 5000, b"NaN"):
        sealed({**contents, "manifest.json": data}, path)
        refused(path)
    deep = "null"
    for _ in range(300):
        deep = f'{{"list":[{deep}]}}'
    text = contents["manifest.json"].decode()
    output = json.dumps(json.loads(text)["programs"][0]["output"], separators=(",", ":"))
    assert output in text
    sealed({**contents, "manifest.json": text.replace(output, deep).encode()}, path)
    refused(path, "tree")


TEXTS = {
    "no text": (lambda t: b"\xff\xfe" + t, "no text"),
    "nothing": (lambda t: b"", "expected|ends"),
    "not IR": (lambda t: b"import os", "found 'import'"),
    "two functions": (lambda t: t + t, "found .func."),
    "an unknown op": (lambda t: t.replace(b"dot_general(", b"os_system("), "no op"),
    "a callback": (
        lambda t: t.replace(b"  return", b"  %c: bool[] = debug_callback() "
                                         b"{function=@callback.1}\n  return"),
        "no Python function|calls a Python",
    ),
    "a format": (
        lambda t: t.replace(b"  return", b"  %c: bool[] = debug_print(%p_x) "
                                         b'{text="{0.__class__}"}\n  return'),
        "format",
    ),
    "another type": (lambda t: t.replace(b"f32[b,4]", b"f64[b,4]"), "declared|reads|needed|f64"),
    "deep": (lambda t: b"func @f(" + b"(" * 100_000, "expected|found"),
    "a wide format": (
        lambda t: t.replace(b"  return", b"  %c: bool[] = debug_print(%p_x) "
                                         b'{text="{:99999999999}"}\n  return'),
        "format",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_texts(good, tmp_path, name):
    held = dlc.compile(lambda x: dlc.pure_callback(np.sin, dlc.spec("f32[]"), x)).lower("f32[]")
    assert "@callback." in held.as_text()  # some function has a name in this process
    change, said = TEXTS[name]
    path = tmp_path / "changed.dlc"
    contents = contents_of(good, path)
    text = contents["programs/0.ir"]
    assert b"%p_x" in text
    contents["programs/0.ir"] = change(text)
    assert contents["programs/0.ir"] != text
    resealed(contents, path)
    refused(path, said)


def test_ir_of_another_version(good, tmp_path):
    path = tmp_path / "changed.dlc"
    contents = contents_of(good, path)
    manifest = json.loads(contents["manifest.json"])
    manifest["dlc"] = "99.1"
    contents["manifest.json"] = json.dumps(manifest).encode()
    contents["programs/0.ir"] = contents["programs/0.ir"].replace(b"dot_general(", b"dot_new(")
    resealed(contents, path)
    refused(path, r"(?s)no op 'dot_new'.*dlc 99.1 saved it")


def test_truth_values_that_are_none(good, tmp_path):
    path = tmp_path / "changed.dlc"
    contents = contents_of(good, path)
    (name,) = (n for n, data in contents.items() if len(data) == 70)
    contents[name] = b"\2" * 70
    resealed(contents, path)
    refused(path, "truth values")


FUZZ = """
import json, random, resource, sys
from pathlib import Path
import numpy as np
import test_saving_hostile as t
import dlc
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
draw = random.Random(int(sys.argv[1]))
path = Path(sys.argv[2])
good = path.read_bytes()
contents = t.contents_of(good, path)
WORDS = [b"f32", b"bool", b"99999999999", b"-1", b"%0", b"(", b"]", b"{", b"b", b"*", b"inf", b'"']

def mutated(data):
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5))):
        at = draw.randrange(len(data))
        kind = draw.randrange(8)
        if kind == 0:
            data[at] = draw.randrange(256)
        elif kind == 1:
            del data[at : at + draw.randrange(1, 20)]
        elif kind == 2:
            data[at:at] = draw.choice(WORDS)
        elif kind == 3:
            data[at : at + 3] = draw.choice(WORDS)
        elif kind > 4:
            places = [k for k, c in enumerate(data) if chr(c).isdigit()] or [0]
            data[draw.choice(places)] = ord(draw.choice("0123456789"))
        else:
            other = draw.randrange(len(data))
            data[at:at] = data[other : other + draw.randrange(1, 40)]
        data = data or bytearray(b" ")
    return bytes(data)

loaded = refused = 0
for k in range(int(sys.argv[3])):
    kind = draw.randrange(4)
    if kind == 0:
        path.write_bytes(mutated(good))
    elif kind == 1:
        t.sealed({**contents, "manifest.json": mutated(contents["manifest.json"])}, path)
    else:
        t.resealed({**contents, "programs/0.ir": mutated(contents["programs/0.ir"])}, path)
    try:
        f = dlc.load(path)
    except dlc.FileFormatError as error:
        str(error)
        refused += 1
        continue
    loaded += 1
    try:
        repr(f), f.state_dict(), f.lower()
        with dlc.config.scope(disable_jit=True):
            f({"x": np.ones((3, 4), np.float32)}, 2)
    except dlc.DlcError:
        pass
print(loaded, refused)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_mutations_crash_nothing(good, tmp_path):
    path = tmp_path / "fuzzed.dlc"
    path.write_bytes(good)
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, "7", str(path), "600"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    loaded, refused_ = map(int, done.stdout.split())
    assert loaded > 5
    assert refused_ > 300
