"""Images in files, as arrays of rows, columns and channels. Needs the package pillow."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from dlc.ir.errors import ArgumentError, FileFormatError, ValueRangeError, nearest

Array = np.ndarray[Any, Any]
_MODES = {"rgb": "RGB", "rgba": "RGBA", "grayscale": "L"}
INTERPOLATIONS = ("bilinear", "nearest")


def _pillow() -> Any:
    try:
        import PIL.Image
    except ModuleNotFoundError:
        raise ArgumentError(
            "images are read by the package pillow, which is not installed",
            hint="pip install 'dlc[train]'",
        ) from None
    return PIL.Image


def load_image(
    path: str | os.PathLike[str],
    color_mode: str = "rgb",
    image_size: tuple[int, int] | None = None,
    interpolation: str = "bilinear",
) -> Array:
    """An image from a file.

    Args:
        path: A file of any kind that Pillow reads; of several frames, the first. Of pixels of 16
            bits the upper 8 are taken, as TensorFlow does it.
        color_mode: "rgb", "rgba" or "grayscale": 3, 4 or 1 channels.
        image_size: Height and width; those of the file for None.
        interpolation: "bilinear" or "nearest", of a change of size.

    Returns:
        uint8[height,width,channels]; float32 if the size was given.

    Raises:
        FileFormatError: for a file that is no whole image, or has pixels of 32 bits.

    Example:
        >>> from PIL import Image
        >>> Image.new("RGB", (8, 6)).save("black.png")
        >>> dlc.data.load_image("black.png", image_size=(4, 4)).shape
        (4, 4, 3)
    """
    if color_mode not in _MODES:
        raise ValueRangeError(f"color_mode={color_mode!r}", hint=nearest(color_mode, _MODES))
    pillow = _pillow()
    try:
        with pillow.open(path) as image:
            found = np.array(_of_bytes(image, os.fspath(path)).convert(_MODES[color_mode]))
    except (FileNotFoundError, FileFormatError):
        raise
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        raise FileFormatError(f"{os.fspath(path)!r} is no whole image: {error}") from None
    array = found.reshape(*found.shape[:2], -1)
    return array if image_size is None else resized(array, image_size, interpolation)


def _of_bytes(image: Any, path: str) -> Any:
    """The image with pixels of 8 bits: what is larger, Pillow's own conversion cuts off at 255."""
    wide_png = image.mode == "I" and image.format == "PNG"  # as Pillow before 11 has them
    if image.mode.startswith("I;16") or wide_png:
        return _pillow().fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise FileFormatError(
            f"{path!r} has pixels of 32 bits, of which it is not known what 8 bits stand for",
            hint="read it by PIL.Image.open and np.asarray",
        )
    return image


def resized(image: Array, size: tuple[int, int], interpolation: str = "bilinear") -> Array:
    """An image of another size, float32[height,width,channels].

    Pixels are squares: the centre of a new one is looked up between the centres of the old ones,
    without smoothing, as TensorFlow, Keras and PyTorch do it.

    Args:
        image: [height,width,channels].
        size: The new height and width.
        interpolation: "bilinear" or "nearest".
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueRangeError(
            f"interpolation={interpolation!r}", hint=nearest(interpolation, INTERPOLATIONS)
        )
    if interpolation == "nearest":
        rows, columns = (
            (np.arange(new) + 0.5) * old // new for new, old in zip(size, image.shape, strict=False)
        )
        return image[rows.astype(np.int64)[:, None], columns.astype(np.int64)].astype(np.float32)
    image = image.astype(np.float32)
    for axis, new in enumerate(size):
        old = image.shape[axis]
        if new == old:
            continue
        place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, old - 1)
        share = (place - low).astype(np.float32).reshape(-1, *[1] * (2 - axis))
        image = np.take(image, low, axis) * (1 - share) + np.take(image, high, axis) * share
    return image
