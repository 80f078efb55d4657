"""Operators on texts and files of images, which no program sees: they run on the host.

Texts have to be known while a program is traced.
"""

from __future__ import annotations

import io
import itertools
import re
from typing import Any

import numpy as np

import dlc
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.values import is_text, texts
from dlc.ir.errors import ArgumentError, ModelError


def _texts(values: Any, shape: Any) -> Any:
    return texts(np.array(values, object)).reshape(shape)


@operator("StringConcat", since=20, raw=True)
def string_concat(_node: Any, a: Any, b: Any) -> Any:
    """Texts joined, element by element."""
    a, b = np.broadcast_arrays(a, b)
    pairs = zip(a.reshape(-1).tolist(), b.reshape(-1).tolist(), strict=True)
    return _texts([x + y for x, y in pairs], a.shape)


@operator("StringSplit", since=20, raw=True)
def string_split(node: Any, x: Any) -> Any:
    """The parts of texts, padded with empty ones, and how many there are."""
    delimiter = node.attr("delimiter", "") or None
    most = node.attr("maxsplit", -1)
    parts = [t.split(delimiter, most) if t else [] for t in x.reshape(-1).tolist()]
    width = max((len(p) for p in parts), default=0)
    flat = [t for p in parts for t in [*p, *[""] * (width - len(p))]]
    counts = np.array([len(p) for p in parts], np.int64).reshape(x.shape)
    return _texts(flat, (*x.shape, width)), counts


@operator("StringNormalizer", since=10, raw=True)
def string_normalizer(node: Any, x: Any) -> Any:
    """Texts without some words, in upper or lower case."""
    change = {"LOWER": str.lower, "UPPER": str.upper, "NONE": str}[
        node.attr("case_change_action", "NONE")
    ]
    exact = bool(node.attr("is_case_sensitive", 0))
    stop = {w if exact else w.lower() for w in node.attr("stopwords", [])}
    words = [change(t) for t in x.reshape(-1).tolist() if (t if exact else t.lower()) not in stop]
    words = words or [""]
    return _texts(words, (len(words),) if x.ndim < 2 else (1, len(words)))


@operator("RegexFullMatch", since=20, raw=True)
def regex_full_match(node: Any, x: Any) -> Any:
    """Whether texts match a regular expression as a whole."""
    try:
        pattern = re.compile(node.attr("pattern"))
    except re.error as error:
        raise ModelError(f"RegexFullMatch: {node.attr('pattern')!r}: {error}") from None
    found = [pattern.fullmatch(t) is not None for t in x.reshape(-1).tolist()]
    return np.array(found, bool).reshape(x.shape)


@operator("TfIdfVectorizer", raw=True)
def tf_idf_vectorizer(node: Any, x: Any) -> Any:
    """How often the n-grams of a pool occur, weighted."""
    pool = node.attr("pool_strings", None) or node.attr("pool_int64s")
    starts = [*node.attr("ngram_counts"), len(pool)]
    grams = [
        tuple(pool[k : k + n])
        for n, (a, b) in enumerate(itertools.pairwise(starts), 1)
        for k in range(a, b, n)
    ]
    width = max(node.attr("ngram_indexes")) + 1
    weights = node.attr("weights", None) or [1.0] * len(grams)
    mode = node.attr("mode")

    def weighted(counts: Any, k: int) -> Any:
        if mode == "TF":
            return counts
        present = (counts > 0) * 1.0
        return (present if mode == "IDF" else counts) * weights[k]

    columns: list[Any] = [None] * width
    for k, gram in enumerate(grams):
        counts = _occurrences(node, x, gram)
        columns[node.attr("ngram_indexes")[k]] = weighted(counts, k)
    zeros = 0.0 * _occurrences(node, x, grams[0])
    filled = [zeros if c is None else c for c in columns]
    if is_text(x):
        return np.stack(filled, axis=-1).astype(np.float32)
    return dlc.stack([dlc.astype(dlc.asarray(c), dlc.float32) for c in filled], axis=-1)


def _occurrences(node: Any, x: Any, gram: tuple[Any, ...]) -> Any:
    """How often an n-gram occurs in each row, its words up to `max_skip_count` apart."""
    low, high = node.attr("min_gram_length"), node.attr("max_gram_length")
    n, length = len(gram), x.shape[-1]
    total: Any = np.zeros(x.shape[:-1]) if is_text(x) else dlc.zeros(x.shape[:-1])
    if not low <= n <= high:
        return total
    skips = range(node.attr("max_skip_count") + 1) if n > 1 else range(1)
    for skip in skips:
        count = length - (n - 1) * (skip + 1)
        if count <= 0:
            continue
        hit: Any = True
        for k, word in enumerate(gram):
            start = k * (skip + 1)
            part = x[..., start : start + count] == word
            hit = part if hit is True else hit & part
        total = total + (
            hit.sum(-1) if is_text(x) else dlc.sum(dlc.astype(hit, dlc.float32), axis=-1)
        )
    return total


@operator("ImageDecoder", since=20, known=(0,))
def image_decoder(node: Any, data: Any) -> Any:
    """The pixels [height, width, channel] of an image file, by the package Pillow."""
    try:
        from PIL import Image
    except ImportError:
        raise ArgumentError(
            "ImageDecoder needs the package pillow", hint="pip install pillow"
        ) from None
    form = node.attr("pixel_format", "RGB")
    try:
        image = Image.open(io.BytesIO(data.astype(np.uint8).tobytes()))
        pixels = np.asarray(image.convert("L" if form == "Grayscale" else "RGB"))
    except (OSError, ValueError) as error:
        raise ModelError(f"ImageDecoder: {error}") from None
    if form == "BGR":
        pixels = pixels[:, :, ::-1]
    return np.ascontiguousarray(pixels[:, :, None] if form == "Grayscale" else pixels)
