"""Data from files: tables, arrays, texts, images, the standard sets; and broken ones."""

from __future__ import annotations

import builtins
import gzip
import struct

import numpy as np
import pytest

import dlc
from dlc.data import Dataset, image_dataset_from_directory, load_image, loaders
from dlc.data import text_dataset_from_directory as texts_of
from dlc.data.images import resized

RNG = np.random.default_rng(3)

TABLE = """\
name, "age",height,"kind"
Ann,31,1.5,a
"Bob, jr.",7,,b
"two
lines",-2,1e3,a
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(TABLE.replace(', "age"', ",age"), encoding="utf-8")
    return path


def test_tables_find_the_types_of_their_columns(table):
    rows = list(Dataset.from_csv(table, label="age"))
    assert [int(y) for _, y in rows] == [31, 7, -2]
    assert [str(x["name"]) for x, _ in rows] == ["Ann", "Bob, jr.", "two\nlines"]
    heights = [x["height"] for x, _ in rows]
    assert heights[0].dtype == np.float32
    assert heights[0] == 1.5
    assert np.isnan(heights[1])
    assert heights[2] == 1000
    spec = Dataset.from_csv(table, columns=["age", "height"], types={"age": dlc.float32}).batch(2)
    assert dlc.tree.map(str, spec.element_spec) == {"age": "f32[batch]", "height": "f32[batch]"}
    x, y = next(iter(Dataset.from_csv(table, "age", ["height"], as_matrix=True).batch(3)))
    assert x.shape == (3, 1)
    assert y.tolist() == [31, 7, -2]


def test_tables_in_several_files_packed_and_without_a_header(tmp_path):
    for k in range(2):
        with gzip.open(tmp_path / f"{k}.csv.gz", "wt") as file:
            file.write(f"{k};2\n\n{k};4\n")
    paths = sorted(tmp_path.iterdir())
    (batch,) = Dataset.from_csv(paths, header=False, delimiter=";").batch(9)
    assert {k: v.tolist() for k, v in batch.items()} == {"0": [0, 0, 1, 1], "1": [2, 4, 2, 4]}
    (batch,) = Dataset.from_csv(paths, columns=["a", "b"], header=False, delimiter=";").batch(9)
    assert list(batch) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "settings", "error", "match"),
    [
        ("a,b\n1,2\n3\n", {}, dlc.FileFormatError, "line 3: 1 fields, where there are 2 columns"),
        (
            "a,b\n1,2\n3,x\n",
            {"types": {"b": np.int64}},
            dlc.FileFormatError,
            "line 3, column 'b': 'x' is no int64",
        ),
        (
            "a\n1\n\n",
            {"types": {"a": np.float64}, "columns": ["aa"]},
            dlc.ArgumentError,
            r"no column 'aa'[\s\S]*did you mean 'a'",
        ),
        ("a\n1\n", {"label": "b"}, dlc.ArgumentError, "no column 'b'"),
        ("", {}, dlc.FileFormatError, "has no header"),
        ('a,b\n"x,2\n', {}, dlc.FileFormatError, "line 2: unexpected end"),
        ("a\n300\n", {"types": {"a": "uint8"}}, dlc.FileFormatError, "line 2.*'300' is no uint8"),
        ("a\nx\n", {"as_matrix": True}, dlc.ArgumentError, "column 'a' has texts, such as 'x'"),
    ],
)
def test_tables_that_are_wrong_say_where(tmp_path, text, settings, error, match):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(error, match=match):
        Dataset.from_csv(tmp_path / "t.csv", **settings)


def test_fields_with_underscores_are_texts(tmp_path):
    path = tmp_path / "months.csv"
    path.write_text("month,share\n2020_01,1_0.5\n2020_02,2\n")
    (batch,) = Dataset.from_csv(path).batch(2)
    assert batch["month"].tolist() == ["2020_01", "2020_02"]
    assert batch["share"].tolist() == ["1_0.5", "2"]
    with pytest.raises(dlc.FileFormatError, match=r"line 2, column 'month': '2020_01' is no int64"):
        Dataset.from_csv(path, types={"month": np.int64})


def test_lines(tmp_path):
    (tmp_path / "a.txt").write_text("ä\nb", encoding="utf-8")
    with gzip.open(tmp_path / "b.txt.gz", "wb") as file:
        file.write(b"c\n\n")
    dataset = Dataset.from_lines([tmp_path / "a.txt", tmp_path / "b.txt.gz"])
    assert list(dataset) == list(dataset) == ["ä", "b", "c", ""]
    (tmp_path / "b.txt.gz").write_bytes((tmp_path / "b.txt.gz").read_bytes()[:-4])
    with pytest.raises(dlc.FileFormatError, match=r"b.txt.gz' is no whole"):
        list(dataset)
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(dlc.FileFormatError, match=r"no whole utf-8 text"):
        list(dataset)


def test_files_of_numpy_are_mapped(tmp_path):
    x, y = RNG.standard_normal((50, 3)).astype(np.float32), np.arange(50)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "d.npz", x=x, y=y, f=np.asfortranarray(x))
    np.savez_compressed(tmp_path / "c.npz", x=x)
    (batch,) = Dataset.from_numpy(tmp_path / "x.npy").batch(50)
    np.testing.assert_array_equal(batch, x)
    assert isinstance(batch.base, np.memmap) or isinstance(batch, np.memmap)
    dataset = Dataset.from_numpy(tmp_path / "d.npz", ("x", {"label": "y"})).shuffle(50, 1).batch(9)
    for a, b in dataset:
        np.testing.assert_array_equal(a, x[b["label"]])
    (whole,) = Dataset.from_numpy(tmp_path / "d.npz").batch(50)
    np.testing.assert_array_equal(whole["f"], x)
    np.testing.assert_array_equal(next(iter(Dataset.from_numpy(tmp_path / "c.npz", "x"))), x[0])
    np.save(tmp_path / "o.npy", np.asarray([{}, None]), allow_pickle=True)
    np.savez(tmp_path / "o.npz", a=np.asarray([{}, None]))
    cut = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "cut.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-8])
    (tmp_path / "no.npy").write_bytes(b"hello")
    (tmp_path / "odd.npy").write_bytes((tmp_path / "x.npy").read_bytes().replace(b"}", b"{"))
    packed = (tmp_path / "c.npz").read_bytes()
    (tmp_path / "odd.npz").write_bytes(packed[:60] + bytes(20) + packed[80:])
    for name in ("o.npy", "o.npz", "cut.npz", "cut.npy", "no.npy", "odd.npy", "odd.npz"):
        with pytest.raises(dlc.FileFormatError, match=f"{name}' is no whole file of NumPy's"):
            Dataset.from_numpy(tmp_path / name)
    with pytest.raises(dlc.ArgumentError, match="no array 'z'"):
        Dataset.from_numpy(tmp_path / "d.npz", "z")
    with pytest.raises(FileNotFoundError):
        Dataset.from_numpy(tmp_path / "none.npy")


@pytest.mark.parametrize("size", [(5, 9), (20, 4), (7, 7), (1, 1)])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_sizes_change_as_pytorch_changes_them(size, interpolation):
    import torch

    image = RNG.integers(0, 256, (7, 8, 3)).astype(np.uint8)
    planes = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    mode = {"nearest": "nearest-exact"}.get(interpolation, interpolation)
    wanted = torch.nn.functional.interpolate(planes, size, mode=mode)[0].permute(1, 2, 0).numpy()
    found = resized(image, size, interpolation)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-3)


@pytest.fixture
def pictures(tmp_path):
    from PIL import Image

    for number, kind in enumerate(("cat", "dog")):
        (tmp_path / kind / "more").mkdir(parents=True)
        for k in range(5):
            pixels = np.full((6, 4 + k, 3), 100 * number + k, np.uint8)
            name = f"more/{k}.JPG" if k == 4 else f"{k}.png"
            Image.fromarray(pixels).save(tmp_path / kind / name, quality=95)
        (tmp_path / kind / "readme.md").write_text("no image")
    return tmp_path


def test_folders_of_images(pictures):
    dataset = image_dataset_from_directory(pictures, image_size=(3, 5), batch_size=4, seed=1)
    assert dataset.class_names == ["cat", "dog"]
    assert len(dataset) == 3
    epochs = [list(dataset) for _ in range(2)]
    for epoch in epochs:
        x, y = (np.concatenate(parts) for parts in zip(*epoch, strict=True))
        assert (x.shape, x.dtype, y.dtype) == ((10, 3, 5, 3), np.float32, np.int32)
        assert (abs(x - 100 * y[:, None, None, None]) < 7).all()
        assert sorted(y) == [0] * 5 + [1] * 5
    assert any((a[1] != b[1]).any() for a, b in zip(*epochs, strict=True))
    names = ["dog", "cat"]
    plain = image_dataset_from_directory(
        pictures, label_mode="categorical", class_names=names, shuffle=False, batch_size=None,
        color_mode="grayscale", image_size=(2, 2), interpolation="nearest",
    )  # fmt: skip
    x, y = next(iter(plain))
    assert (x.shape, y.tolist()) == ((2, 2, 1), [1, 0])
    assert abs(x - 100).max() <= 1
    binary = image_dataset_from_directory(pictures, label_mode="binary", image_size=(2, 2))
    assert next(iter(binary))[1].shape == (10, 1)
    alone = image_dataset_from_directory(pictures, labels=None, image_size=(2, 2))
    assert next(iter(alone)).shape == (10, 2, 2, 3)


def test_images_of_more_than_8_bits(tmp_path):
    from PIL import Image

    wide = np.uint16([[0, 255], [256, 65535]])
    Image.fromarray(wide).save(tmp_path / "wide.png")
    for mode in ("grayscale", "rgb"):
        found = load_image(tmp_path / "wide.png", mode)
        assert found.dtype == np.uint8
        assert found[..., 0].tolist() == [[0, 0], [1, 255]]
    for number in (wide.astype(np.int32), wide / np.float32(65535)):
        Image.fromarray(number).save(tmp_path / "wider.tif")
        with pytest.raises(dlc.FileFormatError, match=r"wider\.tif' has pixels of 32 bits"):
            load_image(tmp_path / "wider.tif")


def test_parts_of_folders_have_no_common_files(pictures):
    def pixels(dataset):
        return sorted(float(x[0, 0, 0]) for x, _ in dataset.unbatch())

    settings = {"image_size": (1, 1), "validation_split": 0.3, "seed": 4}
    a, b = image_dataset_from_directory(pictures, subset="both", **settings)
    assert (len(pixels(a)), len(pixels(b))) == (7, 3)
    assert len(set(pixels(a) + pixels(b))) == 10
    for part, same in (("training", a), ("validation", b)):
        assert pixels(image_dataset_from_directory(pictures, subset=part, **settings)) == pixels(
            same
        )


def test_broken_images_and_folders_say_which(pictures):
    whole = (pictures / "cat" / "2.png").read_bytes()
    for broken in (whole[:40], b"", b"GIF89a"):
        (pictures / "cat" / "2.png").write_bytes(broken)
        with pytest.raises(dlc.FileFormatError, match=r"2\.png' is no whole image"):
            list(image_dataset_from_directory(pictures, image_size=(2, 2)))
    with pytest.raises(FileNotFoundError):
        load_image(pictures / "none.png")
    call = image_dataset_from_directory
    for error, match, settings in (
        (dlc.ArgumentError, "no folders", {"directory": pictures / "cat" / "more"}),
        (dlc.ArgumentError, r"class_names \['a'\]", {"class_names": ["a"]}),
        (dlc.ShapeError, "2 labels of 10 files", {"labels": [0, 1]}),
        (dlc.ValueRangeError, "label_mode='in'", {"label_mode": "in"}),
        (dlc.ValueRangeError, "subset='train'", {"subset": "train", "validation_split": 0.5}),
        (dlc.ValueRangeError, "validation_split=2", {"subset": "both", "validation_split": 2}),
        (dlc.ArgumentError, "given together", {"validation_split": 0.5}),
        (
            dlc.ArgumentError,
            "without a seed",
            {"subset": "training", "validation_split": 0.5},
        ),
    ):
        with pytest.raises(error, match=match):
            call(**{"directory": pictures, **settings})
    with pytest.raises(dlc.ArgumentError, match="has no files that end in"):
        texts_of(pictures)
    with pytest.raises(dlc.ValueRangeError, match=r"color_mode='RGB'[\s\S]*rgb"):
        load_image(pictures / "cat" / "1.png", color_mode="RGB")


def test_folders_of_texts(tmp_path):
    for kind in ("bad", "good"):
        (tmp_path / kind).mkdir()
        for k in range(3):
            (tmp_path / kind / f"{k}.txt").write_text(f"{kind} é {k}", encoding="utf-8")
    dataset = texts_of(tmp_path, shuffle=False, batch_size=4, max_length=6)
    x, y = next(iter(dataset))
    assert x.tolist() == ["bad é ", "bad é ", "bad é ", "good é"]
    assert y.tolist() == [0, 0, 0, 1]
    (tmp_path / "bad" / "0.txt").write_bytes(b"\xff")
    with pytest.raises(dlc.FileFormatError, match=r"0.txt' is no utf-8 text"):
        list(dataset)


def test_sets_that_come_with_scikit_learn():
    for load, count, shape, classes in (
        (loaders.digits, 1797, (8, 8), 10),
        (loaders.iris, 150, (4,), 3),
        (loaders.wine, 178, (13,), 3),
        (loaders.breast_cancer, 569, (30,), 2),
        (loaders.diabetes, 442, (10,), None),
    ):
        (x, y), (x_test, y_test) = load(test_share=0.25, seed=2)
        assert len(x) + len(x_test) == len(y) + len(y_test) == count
        assert len(x_test) == round(count / 4)
        assert x.shape[1:] == x_test.shape[1:] == shape
        assert x.dtype == np.float32
        assert y.dtype == (np.float32 if classes is None else np.int64)
        assert classes is None or set(y_test) <= set(y) == set(range(classes))
        np.testing.assert_array_equal(x, load(0.25, 2)[0][0])
        assert (load(0.25, 3)[0][0] != x).any()
    with pytest.raises(dlc.ValueRangeError, match="test_share"):
        loaders.iris(1)


def test_the_text_of_the_library():
    text, held_out = loaders.library_text()
    assert b"import" in held_out
    assert 5 < len(text) / len(held_out) < 20


def idx(array, kind):
    head = struct.pack(">HBB", 0, kind, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def test_files_of_mnist(tmp_path):
    arrays = {
        "train-images-idx3-ubyte": RNG.integers(0, 256, (6, 4, 5)).astype(np.uint8),
        "train-labels-idx1-ubyte.gz": RNG.integers(0, 10, 6).astype(np.uint8),
        "t10k-images.idx3-ubyte": RNG.integers(0, 256, (2, 4, 5)).astype(np.uint8),
        "t10k-labels-idx1-ubyte": RNG.integers(0, 10, 2).astype(np.uint8),
    }
    for name, array in arrays.items():
        content = idx(array, 8)
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    (x, y), (x_test, y_test) = loaders.mnist(tmp_path)
    for found, wanted in zip((x, y, x_test, y_test), arrays.values(), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert y.dtype == np.int64
    np.testing.assert_array_equal(loaders.fashion_mnist(tmp_path)[1][0], x_test)
    for kind, dtype in (
        (9, np.int8),
        (11, np.int16),
        (12, np.int32),
        (13, np.float32),
        (14, float),
    ):
        array = (RNG.standard_normal((3, 2)) * 90).astype(dtype)
        (tmp_path / "other").write_bytes(idx(array, kind))
        found = loaders.read_idx(tmp_path / "other")
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype
    whole, packed = idx(x, 8), gzip.compress(idx(x, 8))
    for content, match in (
        (whole[:-1], r"has 119 bytes of numbers; uint8\[6, 4, 5\] has 120"),
        (whole + b"x", "has 121 bytes"),
        (whole[:10], "cut off in its header"),
        (b"", "begins with nothing"),
        (b"PNG!", "is no idx file"),
        (b"\0\0\x08\x02" + b"\xff" * 8, "has 0 bytes"),
        (packed[:-20], "is cut off or damaged"),
        (packed[:30] + b"\0" * 20 + packed[50:], "is cut off or damaged"),
    ):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(dlc.FileFormatError, match=match):
            loaders.read_idx(tmp_path / "other")
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(y[:3].astype(np.uint8), 8))
    with pytest.raises(dlc.FileFormatError, match=r"do not fit together.*\(2, 4, 5\) and \(3,\)"):
        loaders.mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte or t10k"):
        loaders.mnist(tmp_path)


def test_files_of_cifar(tmp_path):
    with pytest.raises(FileNotFoundError):
        loaders.cifar10(tmp_path)
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02.")
    with pytest.raises(dlc.ArgumentError, match="whose files are pickles"):
        loaders.cifar10(tmp_path)
    images = RNG.integers(0, 256, (18, 3, 32, 32)).astype(np.uint8)
    labels = RNG.integers(0, 10, 18).astype(np.uint8)
    records = np.concatenate([labels[:, None], images.reshape(18, -1)], 1)
    names = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
    for k, name in enumerate(names):
        (tmp_path / name).write_bytes(records[3 * k : 3 * k + 3].tobytes())
    (x, y), (x_test, y_test) = loaders.cifar10(tmp_path)
    np.testing.assert_array_equal(x, images[:15].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(y, labels[:15])
    np.testing.assert_array_equal(x_test[2, :, :, 1], images[17, 1])
    assert y_test.dtype == np.int64
    for content, match in ((records[:3].tobytes()[:-1], "not a whole number"), (b"", "0 bytes")):
        (tmp_path / names[2]).write_bytes(content)
        with pytest.raises(dlc.FileFormatError, match=match):
            loaders.cifar10(tmp_path)
    (tmp_path / names[2]).write_bytes(b"\x0b" * 3073)
    with pytest.raises(dlc.FileFormatError, match="has a label 11"):
        loaders.cifar10(tmp_path)


@pytest.mark.parametrize(
    ("package", "call"),
    [("PIL", lambda: load_image("x.png")), ("sklearn", loaders.iris)],
)
def test_packages_that_are_missing_are_named(package, call, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(dlc.ArgumentError, match="not installed[\\s\\S]*pip install"):
        call()
