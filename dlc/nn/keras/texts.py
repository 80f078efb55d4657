"""`TextVectorization`: texts as numbers of words."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

import dlc
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.nn.described import one_of
from dlc.nn.keras.categories import StringLookup, batches
from dlc.nn.keras.layer import Layer

_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_BARE: Final = str.maketrans("", "", string.punctuation)
_WORDS: Final = re.compile(r"[^ \t\n\v\f\r]+")


class TextVectorization(Layer):
    """Texts as numbers of their words; for pipelines of data: compiled code has no texts.

    Args:
        max_tokens: The largest number of words in the vocabulary, with that for others (and, with
            "int", that for the end).
        standardize: "lower_and_strip_punctuation", "lower" or "strip_punctuation", of ASCII's
            characters as in Keras; a function of an array of texts; or None.
        split: "whitespace" (ASCII's), "character", a function that gives the words of a text, or
            None: a text is one word.
        ngrams: Up to how many words together are words of the vocabulary too; or a tuple of how
            many.
        output_mode: "int": the numbers, each text's as many as the longest one's, with 0 at the
            end; "multi_hot": whether each word is in a text; "count": how often; "tf_idf": how
            often, times how seldom texts have it.
        output_sequence_length: How many numbers each text has, with "int".
        pad_to_max_tokens: Whether vectors have `max_tokens` elements.
        vocabulary: The words, or the name of a file; `adapt` finds them otherwise.
        idf_weights: For "tf_idf", what each word of the vocabulary counts.
        sparse, ragged: False, for Keras's sake: there are no such tensors.
        encoding: That of texts that are bytes.
        common: `name` and `dtype` of the layer.

    Raises:
        ArgumentError: for arguments that are not of one mode.
        ValueRangeError: for another mode or name.

    Example:
        >>> layer = dlc.nn.TextVectorization()
        >>> layer.adapt(["The cat sat.", "The dog!"])
        >>> layer.get_vocabulary()
        ['', '[UNK]', 'the', 'sat', 'dog', 'cat']
        >>> layer(["a cat", "the dog sat"]).tolist()
        [[1, 5, 0], [2, 4, 3]]
    """

    def __init__(  # noqa: PLR0913, PLR0917  Keras's arguments
        self,
        max_tokens: int | None = None,
        standardize: str | Callable[[Any], Any] | None = "lower_and_strip_punctuation",
        split: str | Callable[[str], Sequence[str]] | None = "whitespace",
        ngrams: int | tuple[int, ...] | None = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if sparse or ragged:
            raise ArgumentError("TextVectorization: there are no sparse or ragged tensors")
        modes = ("int", "multi_hot", "count", "tf_idf")
        self.output_mode = one_of("TextVectorization", "output_mode", output_mode, modes)
        if output_sequence_length is not None and output_mode != "int":
            raise ArgumentError(
                f"TextVectorization: output_sequence_length with output_mode {output_mode!r}",
                hint='vectors are as long as the vocabulary; it is for output_mode="int"',
            )
        names = ("lower_and_strip_punctuation", "lower", "strip_punctuation", None)
        if not callable(standardize):
            one_of("TextVectorization", "standardize", standardize, names)
        if not callable(split):
            one_of("TextVectorization", "split", split, ("whitespace", "character", None))
        self.standardize, self.split, self.encoding = standardize, split, encoding
        given = () if ngrams is None else ngrams
        self.ngrams = tuple(range(1, given + 1)) if isinstance(given, int) else tuple(given)
        if ngrams is not None and (not self.ngrams or min(self.ngrams) < 1):
            raise ValueRangeError(f"TextVectorization(ngrams={ngrams!r}): at least 1")
        self.output_sequence_length = output_sequence_length
        self.lookup = StringLookup(
            max_tokens,
            mask_token="",
            output_mode="count" if output_mode == "tf_idf" else output_mode,
            pad_to_max_tokens=pad_to_max_tokens,
            dtype=common.get("dtype"),
        )
        self._factors: np.ndarray | None = None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)
        elif idf_weights is not None:
            raise ArgumentError("TextVectorization: idf_weights are those of a vocabulary")

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Says which words there are, and with "tf_idf" what each counts.

        See `StringLookup.set_vocabulary`; for weights of the words alone, without that of others,
        their mean is that.

        Raises:
            ArgumentError: for weights without "tf_idf", or that without weights.
            ValueRangeError: for another number of weights than of words.
        """
        if (idf_weights is None) == (self.output_mode == "tf_idf"):
            raise ArgumentError(
                f"TextVectorization: output_mode {self.output_mode!r} with"
                f"{'out' if idf_weights is None else ''} idf_weights",
                hint='they go with output_mode="tf_idf"; adapt finds them',
            )
        self.lookup.set_vocabulary(vocabulary)
        if idf_weights is not None:
            self._set_factors(np.asarray(idf_weights, np.float64))

    def _set_factors(self, factors: np.ndarray) -> None:
        words = len(self.get_vocabulary(include_special_tokens=False))
        if factors.shape == (words,):
            factors = np.append(factors.mean() if words else 0.0, factors)
        if factors.shape != (words + 1,):
            raise ValueRangeError(
                f"TextVectorization: idf_weights of shape {factors.shape} for {words} words"
            )
        self._factors = factors

    def adapt(self, data: Any) -> None:
        """Makes the vocabulary of the words of an array of texts, or of an iterable of them.

        The most frequent come first, those as frequent as each other in falling order, as in Keras.

        Raises:
            ArgumentError: for no data.
        """
        texts = [words for batch in batches(data) for words in self._words(batch)[0]]
        self.lookup.adapt([word for words in texts for word in words])
        if self.output_mode == "tf_idf":
            having = Counter(word for words in texts for word in set(words))
            counts = [having[w] for w in self.get_vocabulary(include_special_tokens=False)]
            self._set_factors(np.log1p(len(texts) / (1 + np.asarray(counts))))

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The words by their numbers."""
        return self.lookup.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        """How many numbers there are."""
        return self.lookup.vocabulary_size()

    def call(self, x: Any) -> dlc.Tensor:
        """The numbers [texts, words], int64; or the vectors [texts, vocabulary]."""
        if isinstance(x, dlc.Tensor):
            raise ArgumentError(
                f"TextVectorization of {x.tensor}, which has no texts",
                hint="call it with texts, in Dataset.map or before the model",
            )
        texts, single = self._words(x)
        length = self.output_sequence_length
        if length is None:
            length = max(map(len, texts), default=0)
        if self.output_mode != "int":
            length = max(length, 1)  # of which there is a largest
        table = np.full((len(texts), length), "", object)
        for row, words in zip(table, texts, strict=True):
            row[: len(words)] = words[:length]
        found = self.lookup(table)
        if self._factors is not None:
            found = found[:, : len(self._factors)] * self._factors.astype(found.dtype.numpy)
            more = self.lookup.max_tokens if self.lookup.pad_to_max_tokens else None
            if more is not None:
                found = dlc.pad(found, ((0, 0), (0, more - len(self._factors))))
        return found[0] if single else found

    def _words(self, given: Any) -> tuple[list[list[str]], bool]:
        """The words of each text, and whether there was one that is in no array."""
        held = np.asarray(given)
        if held.ndim > 1 and held.shape[-1] == 1:
            held = held[..., 0]
        if held.ndim > 1:
            raise ShapeError(
                f"TextVectorization of an array of shape {held.shape}: it takes [texts]"
            )
        flat = held.reshape(-1).tolist()
        if any(not isinstance(t, (str, bytes)) for t in flat):
            kinds = ", ".join(sorted({type(t).__name__ for t in flat} - {"str", "bytes"}))
            raise ArgumentError(f"TextVectorization of {kinds}: it takes texts")
        texts = [t.decode(self.encoding) if isinstance(t, bytes) else t for t in flat]
        return [list(self._split(t)) for t in self._standardized(texts)], held.ndim == 0

    def _standardized(self, texts: list[str]) -> list[str]:
        if callable(self.standardize):
            return [str(t) for t in np.asarray(self.standardize(np.asarray(texts, str))).tolist()]
        if self.standardize in ("lower", "lower_and_strip_punctuation"):
            texts = [t.translate(_LOWER) for t in texts]
        if self.standardize in ("strip_punctuation", "lower_and_strip_punctuation"):
            texts = [t.translate(_BARE) for t in texts]
        return texts

    def _split(self, text: str) -> Iterator[str]:
        if callable(self.split):
            words = list(self.split(text))
        elif self.split is None:
            words = [text]
        else:
            words = _WORDS.findall(text) if self.split == "whitespace" else list(text)
        if not self.ngrams:
            yield from words
        for number in self.ngrams:
            for k in range(len(words) - number + 1):
                yield " ".join(words[k : k + number])

    def extra_repr(self) -> str:
        """The mode."""
        return repr(self.output_mode)
