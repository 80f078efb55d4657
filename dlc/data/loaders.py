"""Real data: what scikit-learn and Python come with, and the standard files if you have them.

Nothing is downloaded. Functions return `(x, y), (x_test, y_test)`.
"""

from __future__ import annotations

import gzip
import math
import os
import pathlib
import struct
import sys
import sysconfig
import zlib
from typing import IO, Any, cast

import numpy as np

from dlc.ir.errors import ArgumentError, FileFormatError, ValueRangeError

Array = np.ndarray[Any, Any]
Split = tuple[tuple[Array, Array], tuple[Array, Array]]
Path = str | os.PathLike[str]

_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_CIFAR_RECORD = 1 + 3 * 32 * 32
_NOT_READ = {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3"}


def _sklearn(name: str) -> Any:
    try:
        import sklearn.datasets  # pyright: ignore[reportMissingTypeStubs]
    except ModuleNotFoundError:
        raise ArgumentError(
            f"the {name} data comes with the package scikit-learn, which is not installed",
            hint="pip install 'dlc[examples]'",
        ) from None
    return getattr(sklearn.datasets, f"load_{name}")()


def _split(x: Array, y: Array, test_share: float, seed: int) -> Split:
    """Samples in random order, the last of which are held out."""
    if not 0 <= test_share < 1:
        raise ValueRangeError(f"test_share={test_share}: at least 0, less than 1")
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order], y[order]
    at = len(x) - round(test_share * len(x))
    return (x[:at], y[:at]), (x[at:], y[at:])


def digits(test_share: float = 0.2, seed: int = 1) -> Split:
    """1,797 handwritten digits (Alpaydin and Kaynak, 1998): f32[n,8,8] from 0 to 1, i64[n].

    Args:
        test_share: The share of samples that is held out, from 0 to less than 1.
        seed: Of their order.

    Raises:
        ArgumentError: where scikit-learn is not installed, of which the data is a part.
        ValueRangeError: for a share out of range.

    Example:
        >>> (x, y), (x_test, y_test) = dlc.data.loaders.digits()
        >>> x.shape, y_test.shape
        ((1438, 8, 8), (359,))
    """
    data = _sklearn("digits")
    return _split((data.images / 16).astype(np.float32), _labels(data), test_share, seed)


def iris(test_share: float = 0.2, seed: int = 1) -> Split:
    """150 flowers of three kinds (Fisher, 1936): f32[n,4] in cm, i64[n]; see `digits`."""
    return _table("iris", test_share, seed)


def wine(test_share: float = 0.2, seed: int = 1) -> Split:
    """178 wines of three growers (Aeberhard et al., 1992): f32[n,13], i64[n]; see `digits`."""
    return _table("wine", test_share, seed)


def breast_cancer(test_share: float = 0.2, seed: int = 1) -> Split:
    """569 tumours, malignant (0) or benign (1) (Wolberg et al., 1993): f32[n,30], i64[n].

    See `digits`.
    """
    return _table("breast_cancer", test_share, seed)


def diabetes(test_share: float = 0.2, seed: int = 1) -> Split:
    """442 patients, and how a disease went on (Efron et al., 2004): f32[n,10], f32[n].

    See `digits`.
    """
    data = _sklearn("diabetes")
    target = data.target.astype(np.float32)
    return _split(data.data.astype(np.float32), target, test_share, seed)


def _table(name: str, test_share: float, seed: int) -> Split:
    data = _sklearn(name)
    return _split(data.data.astype(np.float32), _labels(data), test_share, seed)


def _labels(data: Any) -> Array:
    return data.target.astype(np.int64)


def library_text() -> tuple[bytes, bytes]:
    """The text of Python's own standard library, and that of every tenth file of it, held out."""
    root = pathlib.Path(sysconfig.get_path("stdlib"))
    files = sorted(f for f in root.rglob("*.py") if not _NOT_READ & set(f.relative_to(root).parts))
    if len(files) < 10:
        raise ArgumentError(
            f"Python {sys.version.split()[0]} has no files of its library in {root}"
        )
    texts = [f.read_bytes() for f in files]
    held_out = texts[::10]
    del texts[::10]
    return b"".join(texts), b"".join(held_out)


def read_idx(path: Path) -> Array:
    """The array of an idx file, the format of MNIST; packed by gzip or not.

    Raises:
        FileFormatError: for a file that is cut off, or of another kind.
    """
    name = os.fspath(path)
    with open(name, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw) if packed else raw)
        try:
            return _idx(name, file)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FileFormatError(f"{name!r} is cut off or damaged: {error}") from None


def _idx(name: str, file: IO[bytes]) -> Array:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES:
        raise FileFormatError(
            f"{name!r} is no idx file: it begins with {head.hex(' ') or 'nothing'}"
        )
    text = file.read(4 * head[3])
    if len(text) < 4 * head[3]:
        raise FileFormatError(f"{name!r} is cut off in its header")
    shape = struct.unpack(f">{head[3]}I", text)
    dtype = np.dtype(_IDX_TYPES[head[2]])
    size = math.prod(shape) * dtype.itemsize
    content = file.read()
    if len(content) != size:
        raise FileFormatError(
            f"{name!r} has {len(content)} bytes of numbers; {dtype.newbyteorder('=').name}"
            f"{list(shape)} has {size}"
        )
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def mnist(folder: Path) -> Split:
    """MNIST (LeCun et al., 1998) from its four idx files: uint8[60000,28,28] images, int64 labels.

    Args:
        folder: Has `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-...`, with `.gz` or
            without.

    Raises:
        FileNotFoundError: where one is not there: which.
        FileFormatError: for one that is cut off, or does not fit to the others.
    """
    found = [_mnist_part(pathlib.Path(folder), part) for part in ("train", "t10k")]
    return found[0], found[1]


def fashion_mnist(folder: Path) -> Split:
    """Fashion-MNIST (Xiao et al., 2017), which has files of the same names; see `mnist`."""
    return mnist(folder)


def _mnist_part(folder: pathlib.Path, part: str) -> tuple[Array, Array]:
    images = read_idx(_one_of(folder, part, "images", 3))
    labels = read_idx(_one_of(folder, part, "labels", 1))
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise FileFormatError(
            f"{part} images and labels in {str(folder)!r} do not fit together: their shapes are "
            f"{images.shape} and {labels.shape}"
        )
    return images, labels.astype(np.int64)


def _one_of(folder: pathlib.Path, part: str, what: str, rank: int) -> pathlib.Path:
    names = [f"{part}-{what}{mark}idx{rank}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{str(folder)!r} has no file {names[0]} or {names[1]}")


def cifar10(folder: Path) -> Split:
    """CIFAR-10 (Krizhevsky, 2009) from its binary version: uint8[50000,32,32,3], int64 labels.

    Args:
        folder: Has `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`.

    Raises:
        ArgumentError: for the version for Python, whose files are pickles: reading one runs
            whatever code is in it.
        FileNotFoundError: where a file is not there: which.
        FileFormatError: for one that is cut off.
    """
    root = pathlib.Path(folder)
    if (root / "data_batch_1").is_file() and not (root / "data_batch_1.bin").is_file():
        raise ArgumentError(
            f"{str(root)!r} has CIFAR-10's version for Python, whose files are pickles: reading "
            "one runs whatever code is in it",
            hint='take the "binary version", cifar-10-binary.tar.gz',
        )
    train = [_cifar_file(root / f"data_batch_{k}.bin") for k in range(1, 6)]
    x, y = (np.concatenate(parts) for parts in zip(*train, strict=True))
    return (x, y), _cifar_file(root / "test_batch.bin")


def _cifar_file(path: pathlib.Path) -> tuple[Array, Array]:
    content = np.frombuffer(path.read_bytes(), np.uint8)
    if not len(content) or len(content) % _CIFAR_RECORD:
        raise FileFormatError(
            f"{str(path)!r} has {len(content)} bytes, not a whole number of {_CIFAR_RECORD}: it is "
            "cut off, or no file of CIFAR-10's binary version"
        )
    records = content.reshape(-1, _CIFAR_RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        raise FileFormatError(f"{str(path)!r} has a label {labels.max()}: classes are 0 to 9")
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels
