"""Label sequences from the results of a network: greedy and by beam search."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.frontend import tree
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.nn.functional.arguments import wide

_NONE = -1  # no label

# A beam: prefixes [N, W, T] with `_NONE` after their ends, their lengths [N, W], and the logarithms
# of the probabilities of the alignments that end with a blank and of those that end with a label.
_Beam = tuple[dlc.Tensor, dlc.Tensor, dlc.Tensor, dlc.Tensor]


def ctc_decode(
    inputs: Any,
    sequence_lengths: Any,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> tuple[dlc.Tensor, dlc.Tensor]:
    """The label sequences that a network trained with the CTC loss sees, as Keras's `ctc_decode`.

    Args:
        inputs: Logits [N, T, C].
        sequence_lengths: How many steps of each sequence count, [N].
        strategy: "greedy" for the labels of the most probable alignment; "beam_search" for the most
            probable label sequences, of all their alignments (Graves, 2012; Hannun et al., 2014).
        beam_width: How many sequences a beam search goes on with after each step.
        top_paths: How many of them it returns.
        merge_repeated: Whether a label that comes again without a blank between is one; in a beam
            search it always is.
        mask_index: The class of no label, the blank.

    Returns:
        Labels [1, N, T], or [top_paths, N, T] with the best first, with -1 after their ends; and
        [N, 1], minus the sums of the largest logits, or [N, top_paths], the logarithms of the
        probabilities.

    Raises:
        ShapeError: The shapes do not fit.
        ValueRangeError: There is no such strategy or class, or more paths than the beam is wide.

    Example:
        >>> logits = dlc.log(dlc.asarray([[[0.6, 0.4], [0.6, 0.4]]]))
        >>> dlc.nn.functional.ctc_decode(logits, [2])[0].tolist()
        [[[-1, -1]]]
        >>> dlc.nn.functional.ctc_decode(logits, [2], "beam_search")[0].tolist()
        [[[1, -1]]]
    """
    (logits,), _ = wide(inputs)
    lengths = dlc.asarray(sequence_lengths, copy=None)
    if logits.ndim != 3 or tuple(lengths.shape) != (logits.shape[0],):
        raise ShapeError(
            f"ctc_decode of {logits.tensor} and lengths {lengths.tensor}: they are [N, T, C] and "
            "[N]"
        )
    classes = logits.shape[2]
    if not -classes <= mask_index < classes:
        raise ValueRangeError(f"ctc_decode(mask_index={mask_index}) of {classes} classes")
    blank = mask_index % classes
    if strategy == "greedy":
        return _greedy(logits, lengths, merge_repeated, blank)
    if strategy != "beam_search":
        raise ValueRangeError(f"ctc_decode(strategy={strategy!r}): it is 'greedy' or 'beam_search'")
    if not 1 <= top_paths <= beam_width:
        raise ValueRangeError(
            f"ctc_decode(top_paths={top_paths}, beam_width={beam_width}): there are at least one "
            "and at most as many as the beam is wide"
        )
    return _beam_search(logits, lengths, beam_width, top_paths, blank)


def _greedy(
    logits: dlc.Tensor, lengths: dlc.Tensor, merge: bool, blank: int
) -> tuple[dlc.Tensor, dlc.Tensor]:
    steps = dlc.arange(logits.shape[1])
    counts = steps < lengths[:, None]
    labels = dlc.where(counts, dlc.argmax(logits, axis=-1), blank)
    kept = labels != blank
    if merge:
        kept &= (steps == 0) | (labels != dlc.roll(labels, 1, axis=1))
    order = dlc.argsort(dlc.where(kept, steps, logits.shape[1]), axis=1)
    found = dlc.take_along_axis(dlc.where(kept, labels, _NONE), order, axis=1)
    scores = dlc.where(counts, dlc.max(logits, axis=-1), 0)
    return found[None], -dlc.sum(scores, axis=1, keepdims=True)


def _beam_search(
    logits: dlc.Tensor, lengths: dlc.Tensor, width: int, top: int, blank: int
) -> tuple[dlc.Tensor, dlc.Tensor]:
    count, steps, _ = logits.shape
    log_probs = dlc.log_softmax(logits, axis=-1)
    first = dlc.where(dlc.arange(width) == 0, 0.0, -dlc.inf).astype(logits.dtype)
    beam = (
        dlc.full((count, width, steps), _NONE, dtype=dlc.int64),
        dlc.zeros((count, width), dtype=dlc.int64),
        dlc.broadcast_to(first, (count, width)),
        dlc.full((count, width), -dlc.inf, dtype=logits.dtype),
    )

    def step(before: _Beam, item: Any) -> tuple[_Beam, None]:
        place, row = item
        after = _extended(before, row, blank)
        goes_on = place < lengths
        return tree.map(lambda a, b: _choose(goes_on, a, b), after, before), None

    rows = dlc.arange(steps), dlc.moveaxis(log_probs, 1, 0)
    (paths, _, blanks, labels), _ = dlc.scan(step, beam, rows)
    scores, order = dlc.topk(dlc.logaddexp(blanks, labels), top, axis=-1)
    return dlc.moveaxis(_picked(paths, order), 1, 0), scores


def _extended(beam: _Beam, row: dlc.Tensor, blank: int) -> _Beam:
    """The best prefixes after one more step.

    Args:
        beam: Those before.
        row: The logarithms of the probabilities of classes, [N, C].
        blank: The class of no label.
    """
    paths, lengths, blanks, labels = beam
    width, steps, classes = paths.shape[1], paths.shape[2], row.shape[1]
    total = dlc.logaddexp(blanks, labels)
    last = _last(paths, lengths)
    label = dlc.arange(classes)
    # With another label: after itself only behind a blank.
    same = label == last[..., None]
    longer = row[:, None, :] + dlc.where(same, blanks[..., None], total[..., None])
    longer = dlc.where(label == blank, -dlc.inf, longer)
    # The prefix stays: by a blank, by its last label again, or as that of a shorter one which gets
    # this label.
    child = _children(paths, lengths) & (total > -dlc.inf)[:, None, :]
    of_label = dlc.take_along_axis(longer, dlc.broadcast_to(dlc.maximum(last, 0)[:, None, :],
                                   (*last.shape, width)), axis=2)  # fmt: skip
    joined = dlc.logsumexp(dlc.where(child, of_label, -dlc.inf), axis=1)
    again = labels + dlc.take_along_axis(row, dlc.maximum(last, 0), axis=1)
    stay_blanks = total + row[:, blank, None]
    stay_labels = dlc.logaddexp(dlc.where(last < 0, -dlc.inf, again), joined)
    taken = dlc.any(child[..., None] & (label == last[:, None, :, None]), axis=2)
    longer = dlc.where(taken, -dlc.inf, longer)
    # The best of all.
    stay = dlc.logaddexp(stay_blanks, stay_labels)
    scores = dlc.concat([stay, longer.reshape(-1, width * classes)], axis=1)
    _, chosen = dlc.topk(scores, width, axis=-1)
    grows = chosen >= width
    at = dlc.maximum(chosen - width, 0)
    parent = dlc.where(grows, at // classes, dlc.minimum(chosen, width - 1))
    ends = _picked(lengths, parent)
    new = (dlc.arange(steps) == ends[..., None]) & grows[..., None]
    grown = dlc.take_along_axis(longer.reshape(-1, width * classes), at, axis=1)
    return (
        dlc.where(new, (at % classes)[..., None], _picked(paths, parent)),
        ends + grows,
        dlc.where(grows, -dlc.inf, _picked(stay_blanks, parent)),
        dlc.where(grows, grown, _picked(stay_labels, parent)),
    )


def _last(paths: dlc.Tensor, lengths: dlc.Tensor) -> dlc.Tensor:
    """The last label of each prefix, [N, W]; `_NONE` of those without."""
    found = dlc.take_along_axis(paths, dlc.maximum(lengths - 1, 0)[..., None], axis=2)[..., 0]
    return dlc.where(lengths == 0, _NONE, found)


def _children(paths: dlc.Tensor, lengths: dlc.Tensor) -> dlc.Tensor:
    """Whether a prefix is another one with one more label: [N, shorter, longer]."""
    at = dlc.arange(paths.shape[2])
    begun = dlc.where(at == (lengths - 1)[..., None], _NONE, paths)  # without their last labels
    fits = (lengths + 1)[:, :, None] == lengths[:, None, :]
    return fits & dlc.all(paths[:, :, None] == begun[:, None], axis=-1)


def _picked(x: dlc.Tensor, order: dlc.Tensor) -> dlc.Tensor:
    """Elements [N, ...] of [N, W, ...] along the second axis."""
    rest = x.shape[2:]
    at = order.reshape(*order.shape, *(1 for _ in rest))
    return dlc.take_along_axis(x, dlc.broadcast_to(at, (*order.shape, *rest)), axis=1)


def _choose(condition: dlc.Tensor, a: dlc.Tensor, b: dlc.Tensor) -> dlc.Tensor:
    return dlc.where(condition.reshape(-1, *(1 for _ in a.shape[1:])), a, b)
