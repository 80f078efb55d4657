"""Losses as layers, by PyTorch's names: the functions of `dlc.nn.functional`, with their settings.

They take predictions first, `loss(input, target)`; those of `dlc.losses`, Keras's, true values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import dlc
from dlc.nn import functional
from dlc.nn.functional.arguments import check_reduction
from dlc.nn.module import Buffer, Module


class Criterion(Module):
    """The base of losses: a function with the attributes `settings` as keywords.

    Args:
        reduction: "mean", "sum", or "none" for all losses.

    Raises:
        ValueRangeError: There is no such reduction.
    """

    function: ClassVar[Callable[..., dlc.Tensor]]
    settings: ClassVar[tuple[str, ...]] = ()
    reductions: ClassVar[tuple[str, ...]] = ("mean", "sum", "none")

    def __init__(self, *, reduction: str = "mean") -> None:
        check_reduction(type(self).__name__, reduction, self.reductions)
        self.reduction = reduction

    def forward(self, input: Any, target: Any) -> dlc.Tensor:
        """The loss of predictions."""
        return self._of(input, target)

    def _of(self, *tensors: Any) -> dlc.Tensor:
        given = {name: getattr(self, name) for name in self.settings}
        return type(self).function(*tensors, reduction=self.reduction, **given)

    def extra_repr(self) -> str:
        """The settings."""
        plain = [n for n in self.settings if not isinstance(getattr(self, n), dlc.Tensor)]
        shown = [f"{n}={getattr(self, n)!r}" for n in plain]
        return ", ".join([*shown, f"reduction={self.reduction!r}"])


class _Weighted(Criterion):
    """The base of those with weights, which are state."""

    settings = ("weight",)

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.weight = None if weight is None else Buffer(dlc.asarray(weight))


class MSELoss(Criterion):
    """The mean of squared differences.

    Example:
        >>> dlc.nn.MSELoss()(dlc.asarray([1.0, 3.0]), dlc.asarray([1.0, 1.0]))
        Tensor(2., dtype=float32)
    """

    function = staticmethod(functional.mse_loss)


class L1Loss(Criterion):
    """The mean of the sizes of differences.

    Example:
        >>> dlc.nn.L1Loss()(dlc.asarray([1.0, 3.0]), dlc.asarray([1.0, 1.0]))
        Tensor(1., dtype=float32)
    """

    function = staticmethod(functional.l1_loss)


class SoftMarginLoss(Criterion):
    """log(1 + exp(-target input)) of labels 1 and -1.

    Example:
        >>> dlc.nn.SoftMarginLoss()(dlc.zeros(2), dlc.asarray([1.0, -1.0]))
        Tensor(0.693..., dtype=float32)
    """

    function = staticmethod(functional.soft_margin_loss)


class MultiLabelMarginLoss(Criterion):
    """Margins of several classes of an example; see `dlc.nn.functional.multilabel_margin_loss`.

    Example:
        >>> dlc.nn.MultiLabelMarginLoss()(dlc.asarray([[0.5, 0.0]]), dlc.asarray([[0, -1]]))
        Tensor(0.25, dtype=float32)
    """

    function = staticmethod(functional.multilabel_margin_loss)


class SmoothL1Loss(Criterion):
    """Half the squared difference over `beta` up to there, and straight on.

    Example:
        >>> dlc.nn.SmoothL1Loss()(dlc.asarray([0.5, 3.0]), dlc.zeros(2))
        Tensor(1.3125, dtype=float32)
    """

    function = staticmethod(functional.smooth_l1_loss)
    settings = ("beta",)

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.beta = beta


class HuberLoss(Criterion):
    """Half the squared difference up to `delta`, and straight on (Huber, 1964).

    Example:
        >>> dlc.nn.HuberLoss()(dlc.asarray([0.5, 3.0]), dlc.zeros(2))
        Tensor(1.3125, dtype=float32)
    """

    function = staticmethod(functional.huber_loss)
    settings = ("delta",)

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta


class KLDivLoss(Criterion):
    """target (log(target) - input), of logarithms of probabilities; see `functional.kl_div`.

    Args:
        reduction: One of "mean", "batchmean", "sum" and "none".
        log_target: Whether targets are logarithms too.

    Example:
        >>> loss = dlc.nn.KLDivLoss(reduction="batchmean")
        >>> loss(dlc.log(dlc.asarray([[0.5, 0.5]])), dlc.asarray([[1.0, 0.0]]))
        Tensor(0.693..., dtype=float32)
    """

    function = staticmethod(functional.kl_div)
    settings = ("log_target",)
    reductions = ("mean", "batchmean", "sum", "none")

    def __init__(self, *, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.log_target = log_target


class PoissonNLLLoss(Criterion):
    """The negative log likelihood of counts; see `functional.poisson_nll_loss`.

    Args:
        log_input: Whether predictions are logarithms of means: exp(input) - target input; else
            input - target log(input + eps).
        full: Whether Stirling's approximation of log(target!) is added.
        eps: See there.
        reduction: "mean", "sum" or "none".

    Example:
        >>> dlc.nn.PoissonNLLLoss()(dlc.zeros(2), dlc.asarray([1.0, 2.0]))
        Tensor(1., dtype=float32)
    """

    function = staticmethod(functional.poisson_nll_loss)
    settings = ("log_input", "full", "eps")

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        *,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.log_input, self.full, self.eps = log_input, full, eps


class GaussianNLLLoss(Criterion):
    """(log(var) + (input - target)**2 / var) / 2; see `functional.gaussian_nll_loss`.

    Args:
        full: Whether log(2 pi) / 2 is added.
        eps: The least variance.
        reduction: "mean", "sum" or "none".

    Example:
        >>> dlc.nn.GaussianNLLLoss()(dlc.zeros(2), dlc.ones(2), dlc.ones(2))
        Tensor(0.5, dtype=float32)
    """

    function = staticmethod(functional.gaussian_nll_loss)
    settings = ("full", "eps")

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full, self.eps = full, eps

    def forward(self, input: Any, target: Any, var: Any) -> dlc.Tensor:  # type: ignore[override]
        """The loss of means and variances."""
        return self._of(input, target, var)


class BCELoss(_Weighted):
    """The cross entropy of labels 0 and 1 and probabilities.

    Args:
        weight: A factor for each loss.
        reduction: "mean", "sum", or "none" for all losses.

    Example:
        >>> dlc.nn.BCELoss()(dlc.asarray([0.5, 0.5]), dlc.asarray([0.0, 1.0]))
        Tensor(0.693..., dtype=float32)
    """

    function = staticmethod(functional.binary_cross_entropy)


class BCEWithLogitsLoss(_Weighted):
    """The cross entropy of labels 0 and 1 and logits.

    Args:
        weight: A factor for each loss.
        reduction: "mean", "sum", or "none" for all losses.
        pos_weight: A factor for labels of 1.

    Example:
        >>> dlc.nn.BCEWithLogitsLoss()(dlc.zeros(2), dlc.asarray([0.0, 1.0]))
        Tensor(0.693..., dtype=float32)
    """

    function = staticmethod(functional.binary_cross_entropy_with_logits)
    settings = ("weight", "pos_weight")

    def __init__(
        self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None
    ) -> None:
        super().__init__(weight, reduction=reduction)
        self.pos_weight = None if pos_weight is None else Buffer(dlc.asarray(pos_weight))


class CrossEntropyLoss(_Weighted):
    """The cross entropy of classes, along axis 1, and logits; see `functional.cross_entropy`.

    Args:
        weight: A factor for each class.
        ignore_index: A target that does not count.
        reduction: "mean", "sum", or "none" for all losses.
        label_smoothing: How far targets are moved towards the same for all classes.

    Example:
        >>> dlc.nn.CrossEntropyLoss()(dlc.zeros((2, 4)), dlc.asarray([0, 3]))
        Tensor(1.386..., dtype=float32)
    """

    function = staticmethod(functional.cross_entropy)
    settings = ("weight", "ignore_index", "label_smoothing")

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction=reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing


class NLLLoss(_Weighted):
    """Minus the logarithm of the probability of the class, of logarithms of probabilities.

    Args:
        weight: A factor for each class.
        ignore_index: A target that does not count.
        reduction: "mean", "sum", or "none" for all losses.

    Example:
        >>> dlc.nn.NLLLoss()(dlc.asarray([[-1.0, -2.0]]), dlc.asarray([1]))
        Tensor(2., dtype=float32)
    """

    function = staticmethod(functional.nll_loss)
    settings = ("weight", "ignore_index")

    def __init__(
        self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction=reduction)
        self.ignore_index = ignore_index


class MultiLabelSoftMarginLoss(_Weighted):
    """The mean cross entropy of the labels of examples; see `multilabel_soft_margin_loss`.

    Args:
        weight: A factor for each class.
        reduction: "mean", "sum", or "none" for all losses.

    Example:
        >>> dlc.nn.MultiLabelSoftMarginLoss()(dlc.zeros((1, 2)), dlc.asarray([[0.0, 1.0]]))
        Tensor(0.693..., dtype=float32)
    """

    function = staticmethod(functional.multilabel_soft_margin_loss)


class MultiMarginLoss(_Weighted):
    """How much less than the margin the class is ahead; see `functional.multi_margin_loss`.

    Args:
        p: The exponent, 1 or 2.
        margin: How far the class should be ahead.
        weight: A factor for each class.
        reduction: "mean", "sum", or "none" for all losses.

    Example:
        >>> dlc.nn.MultiMarginLoss()(dlc.asarray([[0.5, 0.0]]), dlc.asarray([0]))
        Tensor(0.25, dtype=float32)
    """

    function = staticmethod(functional.multi_margin_loss)
    settings = ("p", "margin", "weight")

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Any = None, *, reduction: str = "mean"
    ) -> None:
        super().__init__(weight, reduction=reduction)
        self.p, self.margin = p, margin


class HingeEmbeddingLoss(Criterion):
    """Distances of the like, and how much less than the margin those of others are.

    Example:
        >>> dlc.nn.HingeEmbeddingLoss()(dlc.asarray([0.25, 0.25]), dlc.asarray([1, -1]))
        Tensor(0.5, dtype=float32)
    """

    function = staticmethod(functional.hinge_embedding_loss)
    settings = ("margin",)

    def __init__(self, margin: float = 1.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin


class _OfTwo(Criterion):
    """The base of those of two inputs."""

    settings = ("margin",)

    def __init__(self, margin: float = 0.0, *, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.margin = margin

    def forward(self, input1: Any, input2: Any, target: Any) -> dlc.Tensor:  # type: ignore[override]
        """The loss of two inputs."""
        return self._of(input1, input2, target)


class CosineEmbeddingLoss(_OfTwo):
    """1 less the cosine for the like, and how much above the margin it is for others.

    Example:
        >>> x = dlc.asarray([[1.0, 0.0]])
        >>> dlc.nn.CosineEmbeddingLoss()(x, x, dlc.asarray([-1]))
        Tensor(1., dtype=float32)
    """

    function = staticmethod(functional.cosine_embedding_loss)


class MarginRankingLoss(_OfTwo):
    """How much less than the margin the first of two is ahead; the second for a target of -1.

    Example:
        >>> dlc.nn.MarginRankingLoss()(dlc.zeros(1), dlc.ones(1), dlc.ones(1))
        Tensor(1., dtype=float32)
    """

    function = staticmethod(functional.margin_ranking_loss)


class TripletMarginLoss(Criterion):
    """How much less than the margin another is further away than the like.

    Args:
        margin: How much further it should be.
        p: The exponent of the norm.
        eps: What is added to differences.
        swap: Whether that of the other two counts where it is less.
        reduction: "mean", "sum", or "none" for all losses.

    Example:
        >>> a, b = dlc.zeros((1, 2)), dlc.ones((1, 2))
        >>> dlc.nn.TripletMarginLoss(margin=0.0)(a, b, b)
        Tensor(0., dtype=float32)
    """

    function = staticmethod(functional.triplet_margin_loss)
    settings = ("margin", "p", "eps", "swap")

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        *,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> dlc.Tensor:  # type: ignore[override]
        """The loss of what is looked at, the like, and another."""
        return self._of(anchor, positive, negative)


class CTCLoss(Criterion):
    """Minus the log probability of sequences, whatever their alignment; see `functional.ctc_loss`.

    Args:
        blank: The class of no label.
        reduction: "mean" of the losses each over the length of its target, "sum", or "none".
        zero_infinity: Whether the loss of a sequence too short for its labels is 0.

    Example:
        >>> log_probs = dlc.log_softmax(dlc.zeros((3, 1, 2)), axis=-1)
        >>> dlc.nn.CTCLoss()(log_probs, [[1]], [3], [1])
        Tensor(0.287..., dtype=float32)
    """

    function = staticmethod(functional.ctc_loss)
    settings = ("blank", "zero_infinity")

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction=reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(  # type: ignore[override]
        self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any
    ) -> dlc.Tensor:
        """The loss of logarithms of probabilities [T, N, C]."""
        return self._of(log_probs, targets, input_lengths, target_lengths)
