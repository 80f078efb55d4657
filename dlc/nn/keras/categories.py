"""Layers that make categories of values, and numbers of categories, by Keras's names."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.ir.errors import ArgumentError, DTypeError, ValueRangeError
from dlc.nn.described import one_of
from dlc.nn.keras.layer import Layer

MODES = ("one_hot", "multi_hot", "count")


def encoded(x: dlc.Tensor, mode: str, depth: int, dtype: Any, factors: Any = None) -> dlc.Tensor:
    """Categories as vectors of `depth` numbers; those that are none add nothing.

    Args:
        x: Integers.
        mode: "one_hot": a vector for each; "count": how often each category is along axis 1;
            "multi_hot": whether it is.
        depth: The number of categories.
        dtype: The type of the numbers.
        factors: What each counts, with "count"; 1 for None.
    """
    x = x[None] if x.ndim == 0 else x
    if mode == "one_hot" and x.ndim > 1 and x.shape[-1] == 1:
        x = dlc.squeeze(x, axis=-1)
    found = dlc.equal(x[..., None], dlc.arange(depth)).astype(dtype)
    if mode == "one_hot":
        return found
    axis = 1 if x.ndim > 1 else 0
    if mode == "multi_hot":
        return dlc.max(found, axis=axis)
    if factors is not None:
        found = found * dlc.asarray(factors, copy=None)[..., None]
    return dlc.sum(found, axis=axis)


def _integers(layer: Layer, x: Any) -> dlc.Tensor:
    """Integers, also those that are floats, as a graph of layers has them."""
    held = dlc.asarray(x, copy=None)
    if held.dtype.kind == "b":
        raise DTypeError(f"{type(layer).__name__} of {held.tensor}: it takes integers")
    return held.astype(dlc.int64) if held.dtype.is_float else held


class CategoryEncoding(Layer):
    """Numbers of categories as vectors.

    Args:
        num_tokens: How many categories there are.
        output_mode: "multi_hot": whether each category is in a sample; "one_hot": a vector for each
            number; "count": how often each category is in a sample.
        common: `name` and `dtype` of the layer.

    A number that is no category is an error; in compiled code it adds nothing.

    Example:
        >>> dlc.nn.CategoryEncoding(4)(dlc.asarray([[0, 1], [3, 3]])).tolist()
        [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    """

    def __init__(self, num_tokens: int, output_mode: str = "multi_hot", **common: Any) -> None:
        super().__init__(**common)
        if num_tokens < 1:
            raise ValueRangeError(f"CategoryEncoding(num_tokens={num_tokens}): at least 1")
        self.num_tokens = num_tokens
        self.output_mode = one_of("CategoryEncoding", "output_mode", output_mode, MODES)

    def call(self, x: Any, count_weights: Any = None) -> dlc.Tensor:
        """The vectors; `count_weights` are what each number counts, with "count"."""
        if count_weights is not None and self.output_mode != "count":
            raise ArgumentError(
                f"CategoryEncoding: count_weights with output_mode {self.output_mode!r}",
                hint='they are for output_mode="count"',
            )
        held = _integers(self, x)
        if not held.is_traced and held.size:
            numbers = held.numpy()
            wrong = numbers[(numbers < 0) | (numbers >= self.num_tokens)]
            if wrong.size:
                raise ValueRangeError(
                    f"CategoryEncoding: {wrong[0]} is no category: there are {self.num_tokens}, "
                    f"0 to {self.num_tokens - 1}"
                )
        return encoded(held, self.output_mode, self.num_tokens, self.dtype, count_weights)

    def extra_repr(self) -> str:
        """The number of categories and the mode."""
        return f"{self.num_tokens}, {self.output_mode!r}"


class Discretization(Layer):
    """The number of the bin in which each value lies.

    Args:
        bin_boundaries: Where each bin but the first begins, in order.
        num_bins: How many there are, instead: `adapt` finds boundaries between equally many values.
        epsilon: Taken for Keras's sake: `adapt` finds exact quantiles.
        output_mode: "int": the numbers; else vectors as `CategoryEncoding` makes them.
        common: `name` and `dtype` of the layer.

    Example:
        >>> dlc.nn.Discretization([0.0, 1.0])(dlc.asarray([-5.0, 0.0, 0.5, 7.0])).tolist()
        [0, 1, 1, 2]
    """

    def __init__(
        self,
        bin_boundaries: Sequence[float] | None = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if (bin_boundaries is None) == (num_bins is None):
            raise ArgumentError("Discretization takes either bin_boundaries or num_bins")
        if num_bins is not None and num_bins < 1:
            raise ValueRangeError(f"Discretization(num_bins={num_bins}): at least 1")
        self.num_bins, self.epsilon = num_bins, epsilon
        self.output_mode = one_of("Discretization", "output_mode", output_mode, ("int", *MODES))
        self.bin_boundaries = None if bin_boundaries is None else _rising(bin_boundaries)

    def adapt(self, data: Any) -> None:
        """Finds the boundaries for an array, or for all that an iterable of arrays gives.

        Raises:
            ArgumentError: for no data, and for a layer that was given boundaries.
        """
        if self.num_bins is None:
            raise ArgumentError(
                "Discretization.adapt: the layer was given boundaries", hint="give it num_bins"
            )
        parts = [np.ravel(np.asarray(b, np.float64)) for b in batches(data)]
        values = np.concatenate(parts) if parts else np.empty(0)
        if not values.size:
            raise ArgumentError("Discretization.adapt of no data")
        shares = np.arange(1, self.num_bins) / self.num_bins
        self.bin_boundaries = _rising(np.unique(np.quantile(values, shares)))

    def call(self, x: Any) -> dlc.Tensor:
        """The numbers, int32; or the vectors."""
        if self.bin_boundaries is None:
            raise ArgumentError(
                "Discretization does not know its boundaries", hint="call layer.adapt(data) first"
            )
        held = dlc.asarray(x, copy=None)
        held = held if held.dtype.is_float else held.astype(dlc.float32)
        limits = dlc.asarray(self.bin_boundaries, dtype=held.dtype)
        found = dlc.searchsorted(limits, held, side="right").astype(dlc.int32)
        if self.output_mode == "int":
            return found
        return encoded(found, self.output_mode, len(self.bin_boundaries) + 1, self.dtype)

    def extra_repr(self) -> str:
        """The number of bins."""
        known = self.bin_boundaries
        return f"{self.num_bins if known is None else len(known) + 1} bins"


def _rising(boundaries: Iterable[float]) -> tuple[float, ...]:
    found = tuple(map(float, boundaries))
    if any(not a < b for a, b in itertools.pairwise(found)):
        raise ValueRangeError(f"Discretization: boundaries are in rising order, not {found}")
    return found


def batches(data: Any) -> list[Any]:
    """The arrays of an iterable; one of a list or an array."""
    return [data] if hasattr(data, "shape") or isinstance(data, (list, tuple)) else list(data)


class _Lookup(Layer):
    """A table of tokens and their numbers.

    First come the mask (0, if there is a `mask_token`), then the numbers of tokens that are not
    known, then those of the vocabulary in order.
    """

    output_modes = ("int", *MODES)

    def _set_up(
        self, max_tokens: int | None, num_oov_indices: int, mask_token: Any, oov_token: Any,
        vocabulary: Any, invert: bool, output_mode: str, pad_to_max_tokens: bool,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        if num_oov_indices not in (0, 1):
            raise ValueRangeError(
                f"{name}(num_oov_indices={num_oov_indices}): 0 or 1",
                hint="several, among which tokens are spread by a hash, are not there",
            )
        if max_tokens is not None and max_tokens < 2:
            raise ValueRangeError(f"{name}(max_tokens={max_tokens}): at least 2")
        if pad_to_max_tokens and max_tokens is None:
            raise ArgumentError(f"{name}: pad_to_max_tokens needs max_tokens")
        if invert and output_mode != "int":
            raise ArgumentError(f'{name}: invert goes with output_mode "int" alone')
        self.max_tokens, self.num_oov_indices = max_tokens, num_oov_indices
        self.mask_token, self.oov_token, self.invert = mask_token, oov_token, invert
        self.output_mode = one_of(name, "output_mode", output_mode, self.output_modes)
        self.pad_to_max_tokens = pad_to_max_tokens
        self._known: list[Any] | None = None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary)

    @property
    def _masks(self) -> bool:
        """Whether the mask has a number, as it has among integers."""
        return self.mask_token is not None and self.output_mode == "int"

    def _special(self) -> list[Any]:
        mask = [self.mask_token] if self._masks else []
        return mask + [self.oov_token] * self.num_oov_indices

    def _numbering(self) -> tuple[int, int]:
        """The number of the vocabulary's first token, and that of what is not known, or -1."""
        first = len(self._special())
        return first, first - 1 if self.num_oov_indices else -1

    def set_vocabulary(self, vocabulary: Any) -> None:
        """Says which tokens there are: a list or array, or the name of a file with one a line.

        The tokens for the mask and for what is not known may come first, as `get_vocabulary` has
        them.

        Raises:
            ValueRangeError: for a token that is there twice, and for more than `max_tokens`.
        """
        if isinstance(vocabulary, str):
            with open(vocabulary, encoding="utf-8") as file:
                vocabulary = file.read().splitlines()
        tokens, special = [self._as_token(t) for t in vocabulary], self._special()
        if special and tokens[: len(special)] == special:
            tokens = tokens[len(special) :]
        name = type(self).__name__
        twice = [t for t, n in Counter(tokens).items() if n > 1]
        twice += [t for t in tokens if t in (*special, self.mask_token)]
        if twice:
            raise ValueRangeError(f"{name}: the token {twice[0]!r} is there twice")
        if self.max_tokens is not None and len(special) + len(tokens) > self.max_tokens:
            raise ValueRangeError(
                f"{name}: a vocabulary of {len(tokens)} tokens and {len(special)} for others is "
                f"more than max_tokens, {self.max_tokens}"
            )
        self._known = tokens
        self._order = np.argsort(np.asarray(tokens)) if tokens else np.empty(0, np.int64)

    def adapt(self, data: Any) -> None:
        """Makes the vocabulary of the tokens of an array, or of an iterable of them.

        The most frequent come first, those as frequent as each other in falling order, as in Keras.

        Raises:
            ArgumentError: for no data.
        """
        counts: Counter[Any] = Counter()
        for batch in batches(data):
            counts.update(map(self._as_token, np.ravel(np.asarray(batch))))
        for token in (self.mask_token, self.oov_token):
            counts.pop(token, None)
        if not counts:
            raise ArgumentError(f"{type(self).__name__}.adapt of no data")
        tokens = sorted(counts, key=lambda t: (counts[t], t), reverse=True)
        most = None if self.max_tokens is None else self.max_tokens - len(self._special())
        self.set_vocabulary(tokens[:most])

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The tokens by their numbers."""
        known = self._tokens()
        return [*self._special(), *known] if include_special_tokens else list(known)

    def vocabulary_size(self) -> int:
        """How many numbers there are."""
        return len(self.get_vocabulary())

    def _tokens(self) -> list[Any]:
        if self._known is None:
            raise ArgumentError(
                f"{type(self).__name__} has no vocabulary",
                hint="give it one, or call layer.adapt(data) first",
            )
        return self._known

    def _as_token(self, given: Any) -> Any:
        """A token as the vocabulary has it."""
        raise NotImplementedError(type(self).__name__)

    def _finish(self, numbers: dlc.Tensor) -> dlc.Tensor:
        """Numbers, or the vectors of them: the mask, which is -1 there, adds nothing."""
        if self.output_mode == "int":
            return numbers
        size = self.vocabulary_size()
        depth = self.max_tokens if self.pad_to_max_tokens and self.max_tokens else size
        return encoded(numbers, self.output_mode, depth, self.dtype)

    def extra_repr(self) -> str:
        """The number of tokens."""
        return "no vocabulary" if self._known is None else f"{self.vocabulary_size()} tokens"


class IntegerLookup(_Lookup):
    """Integers as numbers of a vocabulary, in compiled code too.

    Args:
        max_tokens: The largest number of tokens, with those for the mask and what is not known.
        num_oov_indices: 1: what is not in the vocabulary has a number; 0: it is an error where it
            is known, and -1 in compiled code.
        mask_token: An integer with the number 0, which adds nothing to vectors.
        oov_token: What stands for what is not known, in `get_vocabulary` and with `invert`.
        vocabulary: The integers, or the name of a file; `adapt` finds them otherwise.
        invert: Whether numbers are made integers.
        output_mode: "int": the numbers; else vectors as `CategoryEncoding` makes them.
        pad_to_max_tokens: Whether vectors have `max_tokens` elements.
        common: `name` and `dtype` of the layer.

    Example:
        >>> dlc.nn.IntegerLookup(vocabulary=[12, 36])(dlc.asarray([36, 12, 7])).tolist()
        [2, 1, 0]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, invert, output_mode,
            pad_to_max_tokens,
        )  # fmt: skip

    def _as_token(self, given: Any) -> int:
        return int(given)

    def call(self, x: Any) -> dlc.Tensor:
        """The numbers, int64; or the vectors."""
        held, known = _integers(self, x).astype(dlc.int64), self._tokens()
        if self.invert:
            table = dlc.asarray([*self.get_vocabulary(), self.oov_token], dtype=dlc.int64)
            last = table.shape[0] - 1
            there = (held >= 0) & (held < last)
            return dlc.take(table, dlc.where(there, held, last), axis=0)
        first, unknown = self._numbering()
        if not known:
            numbers = dlc.full_like(held, unknown)
        else:
            tokens = dlc.asarray(np.asarray(known, np.int64)[self._order])
            place = dlc.clip(dlc.searchsorted(tokens, held), max=len(known) - 1)
            found = dlc.take(dlc.asarray(self._order + first), place, axis=0)
            numbers = dlc.where(dlc.take(tokens, place, axis=0) == held, found, unknown)
        masked = None if self.mask_token is None else held == self.mask_token
        if unknown < 0 and not held.is_traced:
            lost = numbers.numpy() < 0
            if masked is not None:
                lost &= ~masked.numpy()
            _check_known(self, lost, held.numpy())
        if masked is not None:
            numbers = dlc.where(masked, 0 if self._masks else -1, numbers)
        return self._finish(numbers)


class StringLookup(_Lookup):
    """Texts as numbers of a vocabulary; for pipelines of data: compiled code has no texts.

    Args:
        max_tokens: The largest number of tokens, with those for the mask and what is not known.
        num_oov_indices: 1: what is not in the vocabulary has a number; 0: it is an error.
        mask_token: A text with the number 0, which adds nothing to vectors.
        oov_token: What stands for what is not known, in `get_vocabulary` and with `invert`.
        vocabulary: The texts, or the name of a file; `adapt` finds them otherwise.
        invert: Whether numbers are made texts.
        output_mode: "int": the numbers; else vectors as `CategoryEncoding` makes them.
        pad_to_max_tokens: Whether vectors have `max_tokens` elements.
        common: `name` and `dtype` of the layer.

    Example:
        >>> dlc.nn.StringLookup(vocabulary=["cat", "dog"])(["dog", "cow"]).tolist()
        [2, 0]
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str = "[UNK]",
        vocabulary: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self._set_up(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, invert, output_mode,
            pad_to_max_tokens,
        )  # fmt: skip

    def _as_token(self, given: Any) -> str:
        return given.decode() if isinstance(given, bytes) else str(given)

    def call(self, x: Any) -> Any:
        """The numbers, int64; or the vectors; with `invert`, an array of texts."""
        if isinstance(x, dlc.Tensor) and x.is_traced:
            raise DTypeError(
                "StringLookup in compiled code, which has no texts",
                hint="call it in Dataset.map, or before the model",
            )
        if self.invert:
            table = dict(enumerate(self.get_vocabulary()))
            numbers = np.asarray(x)
            texts = [table.get(int(k), self.oov_token) for k in numbers.flat]
            return np.asarray(texts, dtype=str).reshape(numbers.shape)
        (first, unknown), texts = self._numbering(), np.asarray(x)
        table = {t: first + k for k, t in enumerate(self._tokens())}
        if self.mask_token is not None:
            table[self.mask_token] = 0 if self._masks else -1
        found = [table.get(self._as_token(t)) for t in texts.flat]
        lost = np.asarray([k is None for k in found], bool).reshape(texts.shape)
        if unknown < 0:
            _check_known(self, lost, texts)
        numbers = np.asarray([unknown if k is None else k for k in found], np.int64)
        return self._finish(dlc.asarray(numbers.reshape(texts.shape)))


def _check_known(layer: _Lookup, lost: Any, given: Any) -> None:
    if np.any(lost):
        raise ValueRangeError(
            f"{type(layer).__name__}: {given[lost].flat[0]!s} is not in the vocabulary",
            hint="with num_oov_indices=1 it has a number",
        )
