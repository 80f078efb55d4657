"""Losses of sequences, with Keras's meanings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dlc
from dlc.frontend.apply import as_tensor, wide
from dlc.ir.deferred import deferred
from dlc.ir.errors import ShapeError
from dlc.losses.functions import rounded

# Only where it is used: layers are above.
if TYPE_CHECKING:
    from dlc.nn import functional
else:
    functional = deferred("dlc.nn.functional")


def ctc(y_true: Any, y_pred: Any) -> dlc.Tensor:
    """Minus the log probability of each label sequence, whatever its alignment.

    See `dlc.nn.functional.ctc_loss`; every step of the logits counts.

    Args:
        y_true: Labels [N, S], filled up at the end with 0, which is the class of no label.
        y_pred: Logits [N, T, C].

    Raises:
        ShapeError: The shapes do not fit.

    Example:
        >>> dlc.losses.ctc([[1, 0]], dlc.zeros((1, 3, 2))).numpy()
        array([0.287...], dtype=float32)
    """
    labels, logits = as_tensor(y_true), as_tensor(y_pred)
    if labels.ndim != 2 or logits.ndim != 3:
        raise ShapeError(
            f"ctc of labels {labels.tensor} and logits {logits.tensor}: they are [N, S] and "
            "[N, T, C]"
        )
    counts = (labels != 0).sum(axis=1)
    log_probs = dlc.log_softmax(dlc.moveaxis(wide(logits), 1, 0), axis=-1)
    each = functional.ctc_loss(log_probs, labels, logits.shape[1], counts, reduction="none")
    return rounded(each, y_pred)
