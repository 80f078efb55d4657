"""Files of weights: those of the package safetensors, and damaged ones."""

import json
import os
import random
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import dlc

ROOT = Path(__file__).parent.parent
RNG = np.random.default_rng(0)


def examples():
    found = {
        dtype.name: RNG.integers(0, 2, (2, 3)).astype(dtype.numpy)
        for dtype in (
            dlc.float64, dlc.float32, dlc.float16, dlc.int8, dlc.int16, dlc.int32, dlc.int64,
            dlc.uint8, dlc.uint16, dlc.uint32, dlc.uint64, dlc.bool,
        )
    }  # fmt: skip
    return {
        **found,
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(2.5, np.float32),
        "transposed": RNG.standard_normal((3, 4)).astype(np.float32).T,
        "né.ü weight": np.ones(5, np.int8),
    }


def same(found, expected):
    assert set(found) == set(expected)
    for name, a in expected.items():
        assert found[name].dtype == a.dtype, name
        np.testing.assert_array_equal(found[name], a)


def test_files_are_those_of_the_package(tmp_path):
    arrays = examples()
    path = tmp_path / "a.safetensors"
    dlc.safetensors.save_file(arrays, path, metadata={"format": "np"})
    same(safetensors.numpy.load_file(path), arrays)
    same(dlc.safetensors.load_file(path), arrays)
    plain = {k: np.ascontiguousarray(v).reshape(v.shape) for k, v in arrays.items()}
    same(dlc.safetensors.load(safetensors.numpy.save(plain)), arrays)
    same(dlc.safetensors.load(dlc.safetensors.save(arrays)), arrays)
    length = struct.unpack("<Q", path.read_bytes()[:8])[0]
    assert length % 8 == 0


def test_bfloat16_and_tensors(tmp_path):
    path = tmp_path / "b.safetensors"
    x = RNG.standard_normal((3, 2)).astype(ml_dtypes.bfloat16)
    dlc.safetensors.save_file({"x": dlc.asarray(x), "v": dlc.Variable([1.0])}, path)
    theirs = safetensors.torch.load_file(path)
    assert theirs["x"].dtype == torch.bfloat16
    np.testing.assert_array_equal(theirs["x"].float().numpy(), x.astype(np.float32))
    ours = dlc.safetensors.load(safetensors.torch.save(theirs))
    same(ours, {"x": x, "v": np.float32([1])})
    with pytest.raises(dlc.ArgumentError, match="str"):
        dlc.safetensors.save({"x": "text"})
    with pytest.raises(dlc.ArgumentError, match="int, not text"):
        dlc.safetensors.save({3: np.ones(2)})
    with pytest.raises(dlc.DTypeError, match="complex"):
        dlc.safetensors.save({"x": np.ones(2, np.complex64)})


def file_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


ONE = b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
FOUR = bytes(4)
HOSTILE = {
    "nothing": (b"", "0 bytes"),
    "cut off in the length": (b"\x10\0\0", "3 bytes"),
    "a huge header": (struct.pack("<Q", 2**63) + b"{}", "header is said"),
    "a header longer than the file": (struct.pack("<Q", 100) + b"{}", "cut off"),
    "no JSON": (file_of(b"{"), "JSON"),
    "no text": (file_of(b'{"\xff":1}'), "JSON"),
    "deep": (file_of(b"[" * 100_000), "JSON"),
    "no object": (file_of(b"[]"), "JSON object"),
    "a name twice": (file_of(b'{"a":' + ONE + b',"a":' + ONE + b"}", FOUR), "'a' twice"),
    "nothing about a tensor": (file_of({"a": 3}), "nothing proper"),
    "no offsets": (file_of({"a": {"dtype": "F32", "shape": [1]}}), "nothing proper"),
    "a shape that is none": (file_of({"a": entry(["1"], 0, 4)}, FOUR), "nothing proper"),
    "a negative extent": (file_of({"a": entry([-1], 0, 4)}, FOUR), "nothing proper"),
    "a truth value": (file_of({"a": entry([True], 0, 4)}, FOUR), "nothing proper"),
    "a float": (file_of({"a": entry([1.0], 0, 4)}, FOUR), "nothing proper"),
    "an unknown type": (file_of({"a": entry([1], 0, 4, "Q7")}, FOUR), "'Q7'"),
    "a huge shape": (file_of({"a": entry([2**40, 2**40], 0, 4)}, FOUR), "of 4 bytes"),
    "many dims": (file_of({"a": entry([1] * 100, 0, 4)}, FOUR), "of 4 bytes"),
    "another size": (file_of({"a": entry([2], 0, 4)}, FOUR), "of 4 bytes"),
    "overlapping": (file_of({"a": entry([1], 0, 4), "b": entry([1], 2, 6)}, bytes(6)), "overlap"),
    "a gap": (file_of({"a": entry([1], 4, 8)}, bytes(8)), "gap"),
    "beyond the end": (file_of({"a": entry([2], 0, 8)}, FOUR), "cut off"),
    "more than there should be": (file_of({"a": entry([1], 0, 4)}, bytes(9)), "damaged"),
    "a truth value of 2": (file_of({"a": entry([4], 0, 4, "BOOL")}, b"\2" * 4), "truth"),
    "a pickle": (b"\x80\x04\x95" + bytes(30), "safetensors file"),
    "an archive": (b"PK\3\4" + b"\x99" * 30, "safetensors file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name, tmp_path):
    data, said = HOSTILE[name]
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(data)
    with pytest.raises(dlc.FileFormatError, match=said):
        dlc.safetensors.load(data)
    with pytest.raises(dlc.FileFormatError, match=f"hostile.safetensors.*{said}"):
        dlc.safetensors.load_file(path)


def test_types_that_dlc_does_not_have():
    with pytest.raises(dlc.DTypeError, match="'a' has the element type F8_E4M3"):
        dlc.safetensors.load(file_of({"a": entry([4], 0, 4, "F8_E4M3")}, FOUR))


def test_every_truncation_and_many_mutations():
    data = dlc.safetensors.save({"a": np.ones((3, 4), np.float32), "b": np.zeros(5, np.int8)})
    for n in range(len(data)):
        with pytest.raises(dlc.FileFormatError):
            dlc.safetensors.load(data[:n])
    draw = random.Random(1)
    for _ in range(1000):
        changed = bytearray(data)
        for _ in range(draw.choice((1, 2, 5))):
            changed[draw.randrange(len(data) - 53)] = draw.randrange(256)
        try:
            dlc.safetensors.load(bytes(changed))
        except (dlc.FileFormatError, dlc.DTypeError):
            continue


def small():
    return dlc.nn.Sequential(dlc.nn.Linear(2, 3), dlc.nn.Linear(3, 1))


def test_weights_that_do_not_fit_are_listed_at_once(tmp_path):
    path = tmp_path / "w.safetensors"
    model = small()
    state = {k: v.numpy() for k, v in model.state_dict().items()}
    state["0.weight"] = np.ones((7, 7), np.float32)
    state["1.bais"] = state.pop("1.bias")
    dlc.safetensors.save_file(state, path)
    before = {k: v.numpy() for k, v in model.state_dict().items()}
    with pytest.raises(dlc.ValueRangeError) as caught:
        model.load_weights(path)
    said = str(caught.value)
    assert "0.weight: the model has f32[3,2], the state f32[7,7]" in said
    assert "1.bias: missing" in said
    assert "1.bais: not in the model; did you mean '1.bias'?" in said
    same({k: v.numpy() for k, v in model.state_dict().items()}, before)
    model.save_weights(path)
    other = small()
    other.load_weights(path)
    same({k: v.numpy() for k, v in other.state_dict().items()}, before)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("w.pt", "safetensors.torch.save_file"),
        ("w.h5", "name.weights.h5"),
        ("w.npz", "dlc.safetensors.save_file"),
        ("w.txt", "w.safetensors"),
    ],
)
def test_other_formats_say_what_to_do(name, said, tmp_path):
    with pytest.raises(dlc.ValueRangeError, match=said):
        small().load_weights(tmp_path / name)


def test_the_conversions_that_errors_name(tmp_path):
    theirs = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(torch.load(tmp_path / "w.pt", weights_only=True), path)
    model = small()
    model.load_weights(path)
    x = RNG.standard_normal((4, 2)).astype(np.float32)
    expected = theirs(torch.asarray(x)).detach().numpy()
    np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-5, atol=1e-6)
    np.savez(tmp_path / "w.npz", **{k: v.numpy() for k, v in model.state_dict().items()})
    dlc.safetensors.save_file(dict(np.load(tmp_path / "w.npz")), path)
    small().load_weights(path)
    path.write_bytes((tmp_path / "w.pt").read_bytes())
    with pytest.raises(dlc.FileFormatError, match=r"(?s)safetensors file.*PyTorch"):
        model.load_weights(path)


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_full_disk_loses_nothing(tmp_path):
    path = tmp_path / "w.safetensors"
    small().save_weights(path)
    before = path.read_bytes()
    code = f"""
        import resource, signal
        import dlc
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        model = dlc.nn.Linear(300, 300)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            model.save_weights({str(path)!r})
        except dlc.SaveError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "DLC506" in done.stdout, done.stderr
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
