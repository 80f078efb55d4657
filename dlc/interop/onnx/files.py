"""Reading models: protobufs from paths, bytes and objects, and the arrays in and beside them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.interop.onnx.element_types import COMPUTED, STRING, numpy_type
from dlc.interop.onnx.values import texts
from dlc.ir.errors import ArgumentError, FileFormatError

if TYPE_CHECKING:
    import onnx
    from onnx import ModelProto, SparseTensorProto, TensorProto

    from dlc.interop.onnx.values import Array


def onnx_package() -> Any:
    """The package `onnx`; ArgumentError where it is not installed."""
    try:
        import onnx
    except ImportError:
        raise ArgumentError(
            "ONNX models need the package onnx", hint="pip install 'dlc[onnx]'"
        ) from None
    return onnx


def read_model(source: Any) -> tuple[ModelProto, Path | None]:
    """The protobuf of a model, and the folder of its external data.

    Args:
        source: A path, the bytes of a file, or a ModelProto.

    Raises:
        FileNotFoundError: There is no such file.
        FileFormatError: It is no model.
        ArgumentError: It is something else.
    """
    onnx = onnx_package()
    if isinstance(source, onnx.ModelProto):
        return source, None
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return _parsed(onnx, path.read_bytes(), str(path)), path.resolve().parent
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _parsed(onnx, bytes(source), "the bytes given"), None
    raise ArgumentError(f"a model is a path, bytes or a ModelProto, got {type(source).__name__}")


def package_errors() -> tuple[type[Exception], ...]:
    """What the package protobuf raises for bytes that are no message."""
    from google.protobuf.message import DecodeError  # heavy and optional

    return DecodeError, ValueError


def _parsed(package: Any, data: bytes, where: str) -> ModelProto:
    model: onnx.ModelProto = package.ModelProto()
    try:
        model.ParseFromString(data)
    except package_errors():
        raise FileFormatError(
            f"{where}: no ONNX model, or one that is truncated ({len(data):,} bytes)"
        ) from None
    if not model.HasField("graph") or not model.opset_import:
        raise FileFormatError(f"{where}: an ONNX model needs a graph and opset versions")
    return model


class Arrays:
    """Turns TensorProtos into arrays; external data is read from files below one folder."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def __call__(self, proto: TensorProto) -> Array:
        """The array of a tensor.

        Raises:
            FileFormatError: Its data does not fit its shape, or is not to be found.
        """
        shape = tuple(proto.dims)
        dtype = numpy_type(proto.data_type)
        if any(d < 0 for d in shape):
            raise FileFormatError(f"the tensor {proto.name!r} has the shape {list(shape)}")
        if proto.data_location == type(proto).EXTERNAL:
            return self._external(proto, shape, dtype)
        from onnx import numpy_helper

        if proto.data_type in COMPUTED and proto.HasField("raw_data"):
            return self._from_bytes(proto, proto.raw_data, shape, dtype)
        try:
            made = numpy_helper.to_array(proto)
        except (ValueError, TypeError) as error:
            raise FileFormatError(f"the tensor {proto.name!r} cannot be read: {error}") from None
        return texts(made) if proto.data_type == STRING else made

    def _from_bytes(self, proto: TensorProto, data: Any, shape: Any, dtype: Any) -> Array:
        wanted = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if len(data) != wanted:
            raise FileFormatError(
                f"the tensor {proto.name!r} of shape {list(shape)} needs {wanted:,} bytes, "
                f"the file has {len(data):,}"
            )
        return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)

    def _external(self, proto: TensorProto, shape: Any, dtype: Any) -> Array:
        entries = {e.key: e.value for e in proto.external_data}
        path = self._inside(proto.name, entries.get("location", ""))
        try:
            offset = int(entries.get("offset", 0))
            size = path.stat().st_size
            length = int(entries.get("length", size - offset))
        except ValueError:
            raise FileFormatError(f"external data of {proto.name!r}: {entries}") from None
        except OSError as error:
            raise FileFormatError(
                f"external data of {proto.name!r}: {path}: {error.strerror}"
            ) from None
        if offset < 0 or length < 0 or offset + length > size:
            raise FileFormatError(
                f"external data of {proto.name!r}: bytes {offset:,} to {offset + length:,} of "
                f"{path}, which has {size:,}"
            )
        data = np.memmap(path, np.uint8, "r", offset, (length,)) if length else b""
        if proto.data_type not in COMPUTED:
            inner = type(proto)(data_type=proto.data_type, dims=shape, raw_data=bytes(data))
            return self(inner)
        return self._from_bytes(proto, data, shape, dtype)

    def _inside(self, name: str, location: str) -> Path:
        """The file, which must lie in the folder of the model."""
        if self.folder is None:
            raise FileFormatError(
                f"the data of {name!r} lies in the file {location!r}",
                hint="give the path of the model instead of its bytes",
            )
        path = (self.folder / location).resolve()
        if not location or not path.is_relative_to(self.folder):
            raise FileFormatError(
                f"the data of {name!r} lies in {location!r}, outside of the folder"
            )
        return path

    def sparse(self, proto: SparseTensorProto) -> Array:
        """The array of a sparse tensor, with its zeros.

        Raises:
            FileFormatError: Its indices do not fit.
        """
        values, indices = self(proto.values), self(proto.indices)
        shape = tuple(proto.dims)
        made = np.zeros(shape, values.dtype)
        try:
            if indices.ndim == 1:
                made.reshape(-1)[indices] = values
            else:
                made[tuple(indices.T)] = values
        except (IndexError, ValueError):
            raise FileFormatError(
                f"the sparse tensor {proto.values.name!r} has wrong indices"
            ) from None
        return made
