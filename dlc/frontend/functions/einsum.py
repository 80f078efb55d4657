"""`einsum`: its subscripts, and how they become products, sums and transpositions.

Every axis of an operand has a label: a letter, or `.k` for the k-th axis from the end of those
that an ellipsis stands for. Two operands at a time are contracted: labels that nobody needs any
more are summed over.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

from dlc.frontend.apply import apply, materialise
from dlc.frontend.cast_table import casts
from dlc.frontend.functions import elementwise
from dlc.frontend.functions.arguments import (
    ArrayLike,
    new_handle,
    reshaped,
    same_dtype,
    transposed,
    types_text,
)
from dlc.frontend.functions.linalg import contraction
from dlc.frontend.functions.rearrange import diagonal
from dlc.frontend.functions.reduction import any as any_true
from dlc.frontend.tensor import Tensor
from dlc.ir.dims import Dim, dims_equal, product
from dlc.ir.errors import ArgumentError, ParseError, ShapeError
from dlc.ir.record import NamedTuple
from dlc.ir.types import TensorType, bool_

Labels = tuple[str, ...]


class Term(NamedTuple):
    """What the subscripts say of one operand or of the output: its letters, and what came where."""

    text: str
    start: int  # in the whole text
    before: str  # letters in front of the ellipsis, all of them where there is none
    after: str
    ellipsis: bool


class Operand(NamedTuple):
    """A tensor and the label of each of its axes."""

    value: Tensor
    labels: Labels


@casts
def einsum(subscripts: str, *operands: ArrayLike) -> Tensor:
    """Sums of products, by Einstein's convention: `einsum("ij,jk->ik", x, y)` is a matrix product.

    Args:
        subscripts: A letter for each axis of each operand, with commas in between; after `->` those
            of the output, in its order. What the output lacks is summed over. Without `->` the
            output has the letters that occur once, in alphabetic order. A letter that an operand
            has twice takes its diagonal. `...` stands for axes that broadcast.
        *operands: Tensors, arrays or numbers, as many as there are subscripts. Their dtypes are
            promoted.

    Returns:
        A tensor of the common dtype. Half types are added at float32.

    Raises:
        ParseError: The subscripts do not follow the grammar; it points at the place.
        ArgumentError: `subscripts` is not a string.
        ShapeError: The number of operands or of axes differs from that of the subscripts, or a
            letter stands for different extents.
        DTypeError: The dtypes have none in common.

    Example:
        >>> x = dlc.asarray([[1, 2], [3, 4]])
        >>> dlc.einsum("ij->j", x)
        Tensor([4, 6], dtype=int64)
        >>> dlc.einsum("ii", x)
        Tensor(5, dtype=int64)
    """
    if not isinstance(subscripts, str):
        raise ArgumentError(
            f"einsum takes subscripts first, got {type(subscripts).__name__}",
            hint='write for example dlc.einsum("ij,jk->ik", x, y)',
        )
    inputs, output = parse(subscripts)
    if len(operands) != len(inputs):
        raise ShapeError(
            f"einsum {subscripts!r}: {len(inputs)} operands are described and {len(operands)} given"
        )
    tensors = [materialise(t) for t in same_dtype(operands)]
    named = [_labels(subscripts, t, x.tensor) for t, x in zip(inputs, tensors, strict=True)]
    wide = max((sum(v[0] == "." for v in labels) for labels in named), default=0)
    result = _output_labels(subscripts, inputs, output, wide)
    extents = _extents(subscripts, named, [t.tensor for t in tensors])
    held = [_prepared(x, v, extents) for x, v in zip(tensors, named, strict=True)]
    return _arranged(_contract_all(held, result, extents), result)


# Subscripts.


def parse(text: str) -> tuple[list[Term], Term | None]:
    """The terms of the operands and that of the output, None where it is not given.

    Raises:
        ParseError: with the place of what is wrong.
    """
    for k, c in enumerate(text):
        if c not in string.ascii_letters and c not in " ,.->":
            raise _error(text, k, f"einsum: {c!r} is no letter", 'letters, ",", "..." or "->"')
    left, arrow, right = text.partition("->")
    for part, start in ((left, 0), (right, len(left) + 2)):
        for k, c in enumerate(part):
            if c in "->":
                raise _error(text, start + k, f"einsum: {c!r} stands alone", 'one "->"')
    inputs: list[Term] = []
    start = 0
    for part in left.split(","):
        inputs.append(_term(text, part, start))
        start += len(part) + 1
    if not arrow:
        return inputs, None
    start = len(left) + 2
    if "," in right:
        raise _error(text, start + right.index(","), "einsum has one output", "letters")
    output = _term(text, right, start)
    _check_output(text, inputs, output)
    return inputs, output


def _error(text: str, place: int, message: str, expected: str) -> ParseError:
    return ParseError(message, column=place + 1, expected=expected, text=text)


def _term(text: str, part: str, start: int) -> Term:
    """One operand's subscripts; spaces are skipped."""
    first = part.find(".")
    if first < 0:
        return Term(part, start, part.replace(" ", ""), "", False)
    if part[first : first + 3] != "...":
        raise _error(text, start + first, "einsum: an ellipsis has three dots", '"..."')
    rest = part[first + 3 :]
    if "." in rest:
        place = start + first + 3 + rest.index(".")
        raise _error(text, place, "einsum: an operand has one ellipsis", "letters")
    return Term(part, start, part[:first].replace(" ", ""), rest.replace(" ", ""), True)


def _check_output(text: str, inputs: Sequence[Term], output: Term) -> None:
    known = {c for t in inputs for c in t.before + t.after}
    seen: set[str] = set()
    for k, c in enumerate(output.text):
        if c in " .":
            continue
        if c not in known:
            shown = ", ".join(sorted(known)) or "no letter"
            raise _error(text, output.start + k, f"einsum: no operand has {c!r}", shown)
        if c in seen:
            raise _error(
                text, output.start + k, f"einsum: the output has {c!r} twice", "each letter once"
            )
        seen.add(c)


def _labels(text: str, term: Term, type_: TensorType) -> Labels:
    """The label of each axis of an operand."""
    letters = len(term.before) + len(term.after)
    free = type_.rank - letters
    if free < 0 or (free and not term.ellipsis):
        raise ShapeError(
            f"einsum {text!r}: {term.text.strip()!r} describes {letters} axes and the operand is "
            f"{type_}",
            hint='"..." stands for further axes' if free > 0 else None,
        )
    return (*term.before, *_wide(free), *term.after)


def _wide(count: int) -> Labels:
    """The labels of the axes that an ellipsis stands for, the first of them first."""
    return tuple(f".{k}" for k in reversed(range(count)))


def _output_labels(text: str, inputs: Sequence[Term], output: Term | None, wide: int) -> Labels:
    if output is not None:
        if wide and not output.ellipsis:
            raise _error(
                text,
                output.start + len(output.text),
                'einsum: the axes of "..." are missing from the output',
                '"..."',
            )
        middle = _wide(wide) if output.ellipsis else ()
        return (*output.before, *middle, *output.after)
    letters = "".join(t.before + t.after for t in inputs)
    return (*_wide(wide), *sorted(c for c in set(letters) if letters.count(c) == 1))


def _extents(text: str, named: Sequence[Labels], types: Sequence[TensorType]) -> dict[str, Dim]:
    """The extent of each label; one of 1 broadcasts to another."""
    found: dict[str, Dim] = {}
    for labels, type_ in zip(named, types, strict=True):
        for label, d in zip(labels, type_.shape, strict=True):
            known = found.setdefault(label, d)
            if known == 1:
                found[label] = d
            elif d != 1 and not dims_equal(known, d):
                shown = "..." if label[0] == "." else label
                raise ShapeError(
                    f"einsum {text!r} of {types_text(types)}: {shown!r} stands for {known} and "
                    f"for {d} elements"
                )
    return found


# Operands.


def _prepared(x: Tensor, labels: Labels, extents: dict[str, Dim]) -> Operand:
    """The operand with each label once, and without axes of extent 1 that broadcast."""
    while len(set(labels)) < len(labels):
        label = next(v for v in labels if labels.count(v) > 1)
        i = labels.index(label)
        j = labels.index(label, i + 1)
        rest = tuple(v for k, v in enumerate(labels) if k not in (i, j))
        shape = x.tensor.shape
        if shape[i] == 1 or shape[j] == 1:  # the other axis is the diagonal
            gone = i if shape[i] == 1 else j
            x, labels = _without(x, labels, gone)
        else:
            x, labels = diagonal(x, axis1=i, axis2=j), (*rest, label)
    k = 0
    while k < len(labels):
        if x.tensor.shape[k] == 1 and extents[labels[k]] != 1:
            x, labels = _without(x, labels, k)
        else:
            k += 1
    return Operand(x, labels)


def _without(x: Tensor, labels: Labels, axis: int) -> tuple[Tensor, Labels]:
    shape = x.tensor.shape
    return reshaped(x, (*shape[:axis], *shape[axis + 1 :])), (*labels[:axis], *labels[axis + 1 :])


def _summed(x: Operand, kept: set[str]) -> Operand:
    """The sum over the labels that are not kept."""
    axes = tuple(k for k, v in enumerate(x.labels) if v not in kept)
    if not axes:
        return x
    is_bool = x.value.tensor.dtype is bool_
    total = any_true(x.value, axis=axes) if is_bool else apply("reduce_sum", x.value, axes=axes)
    return Operand(total, tuple(v for v in x.labels if v in kept))


# Contraction.


def _contract_all(held: list[Operand], output: Labels, extents: dict[str, Dim]) -> Operand:
    while len(held) > 1:
        i, j = _cheapest(held, output, extents)
        second, first = held.pop(j), held.pop(i)
        needed = set(output).union(*(x.labels for x in held))
        held.insert(i, _contract(first, second, needed))
    last = _summed(held[0], set(output))
    missing = [v for v in output if v not in last.labels]  # of extent 1 in every operand
    if missing:
        value = reshaped(last.value, (*last.value.tensor.shape, *(extents[v] for v in missing)))
        last = Operand(value, (*last.labels, *missing))
    return last


def _cheapest(held: Sequence[Operand], output: Labels, extents: dict[str, Dim]) -> tuple[int, int]:
    """The pair whose contraction makes memory grow least; the first where extents are unknown."""
    pairs = [(i, j) for j in range(len(held)) for i in range(j)]
    if len(pairs) == 1 or not all(isinstance(d, int) for d in extents.values()):
        return pairs[0]

    def growth(pair: tuple[int, int]) -> int:
        first, second = (held[k] for k in pair)
        others = (x.labels for k, x in enumerate(held) if k not in pair)
        needed = set(output).union(*others)
        result = {*first.labels, *second.labels} & needed
        sizes = [product(extents[v] for v in s) for s in (result, first.labels, second.labels)]
        return sizes[0] - sizes[1] - sizes[2]  # type: ignore[operator,return-value]

    return min(pairs, key=growth)


def _contract(first: Operand, second: Operand, needed: set[str]) -> Operand:
    """Two operands as one, summed over the labels that nobody else needs."""
    shared = [v for v in first.labels if v in second.labels]
    first = _summed(first, needed.union(shared))
    second = _summed(second, needed.union(shared))
    if all(v in needed for v in shared):
        return _multiplied(first, second)
    batch = [(first.labels.index(v), second.labels.index(v)) for v in shared if v in needed]
    gone = [(first.labels.index(v), second.labels.index(v)) for v in shared if v not in needed]
    value = contraction(first.value, second.value, batch, gone)
    labels = [v for v in shared if v in needed]
    labels += [v for v in (*first.labels, *second.labels) if v not in shared]
    return Operand(value, tuple(labels))


def _multiplied(first: Operand, second: Operand) -> Operand:
    """The products of two operands, without a sum: each repeated along the labels it lacks."""
    labels = (*first.labels, *(v for v in second.labels if v not in first.labels))
    value = elementwise.multiply(_spread(first, labels), _spread(second, labels))
    return Operand(value, labels)


def _spread(x: Operand, labels: Labels) -> Tensor:
    """The operand's axes in the order of `labels`, with extent 1 for those it lacks."""
    own = [v for v in labels if v in x.labels]
    value = transposed(x.value, [x.labels.index(v) for v in own])
    shape = dict(zip(own, value.tensor.shape, strict=True))
    return reshaped(value, tuple(shape.get(v, 1) for v in labels))


def _arranged(x: Operand, output: Labels) -> Tensor:
    return new_handle(transposed(x.value, [x.labels.index(v) for v in output]))
