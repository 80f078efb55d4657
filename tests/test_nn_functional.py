"""`dlc.nn.functional` against PyTorch: values and gradients, special values, every float type."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as ref

import dlc
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.nn import activations
from dlc.nn import functional as fn

RNG = np.random.default_rng(3)
X = RNG.standard_normal((4, 6)) * 2.5
EXTREME = np.array([0.0, 1e4, -1e4, 88.0, -88.0, 1e-8, -1e-8, 20.5, -20.5, math.inf, -math.inf])

# Names of both with the same arguments.
ACTIVATIONS = [
    ("hardtanh", ()), ("hardtanh", (-0.5, 2.0)), ("relu6", ()), ("elu", ()), ("elu", (0.7,)),
    ("selu", ()), ("celu", ()), ("celu", (1.5,)), ("softplus", ()), ("softplus", (2.0, 3.0)),
    ("mish", ()), ("softsign", ()), ("hardsigmoid", ()), ("hardswish", ()), ("hardshrink", ()),
    ("hardshrink", (1.2,)), ("softshrink", ()), ("softshrink", (0.3,)), ("tanhshrink", ()),
    ("threshold", (0.2, -3.0)), ("leaky_relu", ()), ("leaky_relu", (0.3,)), ("glu", ()),
    ("glu", (0,)), ("logsigmoid", ()), ("softmin", (-1,)), ("softmin", (0,)), ("relu", ()),
    ("gelu", ()), ("silu", ()), ("sigmoid", ()), ("tanh", ()), ("softmax", (1,)),
    ("log_softmax", (0,)), ("rrelu", ()), ("normalize", ()), ("normalize", (1.0, 0)),
]  # fmt: skip


# PyTorch's own multiplies gradients by 1/6 as a float32.
TORCH = {"hardsigmoid": lambda x: ref.hardtanh(x / 6 + 0.5, 0.0, 1.0)}


def near(got, want, bound=1e-12):
    want = np.asarray(want, np.float64)
    assert got.shape == want.shape
    with np.errstate(all="ignore"):
        error = np.abs(got.astype(np.float64) - want)
    good = (got == want) | (np.isnan(got) & np.isnan(want)) | (error <= bound * (1 + np.abs(want)))
    assert good.all(), (got[~good], want[~good])


def agree(f, g, *args, bound=1e-11, wrt=None, compiled=True):
    """`f` of dlc and `g` of torch: values and gradients at float64, eager and compiled."""
    numbers = tuple(range(len(args))) if wrt is None else tuple(wrt)
    leaves = [torch.tensor(a, requires_grad=k in numbers) for k, a in enumerate(args)]
    want = g(*leaves)
    weights = np.random.default_rng(1).standard_normal(tuple(want.shape))
    (want * torch.tensor(weights)).sum().backward()

    def loss(*xs):
        return dlc.sum(f(*xs) * weights)

    given = [dlc.asarray(a) for a in args]
    ways = [(f, dlc.grad(loss, argnums=numbers))]
    if compiled:
        ways.append((dlc.compile(f), dlc.compile(dlc.grad(loss, argnums=numbers))))
    for value, gradient in ways:
        near(value(*given).numpy(), want.detach().numpy(), bound)
        for x, k in zip(gradient(*given), numbers, strict=True):
            near(x.numpy(), leaves[k].grad.numpy(), bound)


@pytest.mark.parametrize(("name", "args"), ACTIVATIONS)
def test_activations(name, args):
    f, g = getattr(fn, name), TORCH.get(name) or getattr(ref, name)
    agree(lambda x: f(x, *args), lambda x: g(x, *args), X, compiled=False)
    if X[..., :11].size and name not in ("glu", "softmin", "softmax", "log_softmax", "normalize"):
        x = EXTREME[:-2] if name in ("mish", "tanhshrink", "gelu", "softsign") else EXTREME
        if name in ("silu", "hardswish"):
            x = EXTREME[:-1]  # -inf times 0
        near(f(dlc.asarray(x), *args).numpy(), g(torch.tensor(x), *args).numpy())
        assert np.isnan(f(dlc.asarray(np.nan), *args).numpy())
    for dtype, unit in (("float32", 2e-6), ("float16", 1e-3), ("bfloat16", 8e-3)):
        x = dlc.asarray(X[:, :2].astype(np.float32), dtype=dtype)
        got = f(x, *args)
        assert str(got.dtype.name) == dtype
        want = g(torch.tensor(x.astype("float64").numpy()), *args).numpy()
        near(got.astype("float64").numpy(), want, unit)


def test_one_hot_is_of_integers():
    labels = np.array([[0, 2], [1, 1]])
    for classes in ((), (-1,), (4,)):
        got, want = fn.one_hot(labels, *classes), ref.one_hot(torch.tensor(labels), *classes)
        assert got.dtype == dlc.int64
        np.testing.assert_array_equal(got.numpy(), want.numpy())
    assert fn.one_hot(labels, 3, axis=0, dtype=dlc.float16).shape == (3, 2, 2)
    with pytest.raises(ValueRangeError, match="num_classes"):
        fn.one_hot(labels[:0])


@pytest.mark.parametrize("name", ["hardswish", "sparse_plus"])
def test_gradients_beyond_both_ends(name):
    x = dlc.asarray([-math.inf, -1e30, 1e30, math.inf])
    gradient = dlc.grad(lambda x: dlc.sum(getattr(fn, name)(x)))(x)
    assert gradient.numpy().tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ["elu", "selu", "celu"])
def test_gradients_far_below_zero_do_not_vanish(name):
    x = np.array([-80, -30, -20, -17, -5, -1, 3], np.float32)
    got = dlc.grad(lambda x: dlc.sum(getattr(fn, name)(x)))(x)
    exact = torch.tensor(x.astype(np.float64), requires_grad=True)
    getattr(ref, name)(exact).sum().backward()
    np.testing.assert_allclose(got, exact.grad, rtol=3e-7)


def test_compiled_activations_equal_eager_ones():
    def all_of(x):
        return [getattr(fn, name)(x, *args) for name, args in ACTIVATIONS]

    def loss(x):
        return sum(dlc.sum(y * k) for k, y in enumerate(all_of(x), 1))

    x = dlc.asarray(X)
    for got, want in zip(dlc.compile(all_of)(x), all_of(x), strict=True):
        near(got.numpy(), want.numpy(), 1e-14)
    near(dlc.compile(dlc.grad(loss))(x).numpy(), dlc.grad(loss)(x).numpy(), 1e-12)


# By the formulas of Keras.
KERAS = {
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)),
    "sparse_sigmoid": lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) / 2, 1)),
    "exponential": np.exp,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "swish": lambda x: x / (1 + np.exp(-x)),
}


@pytest.mark.parametrize("name", list(KERAS))
def test_activations_of_keras(name):
    near(getattr(fn, name)(X).numpy(), KERAS[name](X), 1e-13)
    x = dlc.asarray(X)
    h = 1e-6
    slope = (KERAS[name](X + h) - KERAS[name](X - h)) / (2 * h)
    near(dlc.grad(lambda x: dlc.sum(getattr(fn, name)(x)))(x).numpy(), slope, 1e-6)


def test_squareplus_far_out():
    near(fn.squareplus(np.array([-1e8, 1e200])).numpy(), [1e-8, 1e200], 1e-12)


def test_sparsemax_is_the_nearest_point_of_the_simplex():
    for axis in (0, 1):
        p = fn.sparsemax(X, axis).numpy()
        near(p.sum(axis), np.ones(X.shape[1 - axis]), 1e-12)
        assert (p >= 0).all()
        assert (p == 0).any()
        for _ in range(50):  # no other point is nearer
            q = RNG.dirichlet(np.ones(X.shape[axis]), X.shape[1 - axis])
            q = q.T if axis == 0 else q
            assert (((p - X) ** 2).sum(axis) <= ((q - X) ** 2).sum(axis) + 1e-12).all()
    g = dlc.grad(lambda x: fn.sparsemax(x)[0])(dlc.asarray([0.5, 0.4, -3.0]))
    near(g.numpy(), [0.5, -0.5, 0.0], 1e-6)


def test_prelu():
    agree(fn.prelu, ref.prelu, X, RNG.standard_normal(1))
    agree(fn.prelu, ref.prelu, RNG.standard_normal((2, 3, 4)), RNG.standard_normal(3))


def test_random_activations():
    key = dlc.random.key(1)
    x = -np.ones((100, 100), np.float32)
    y = fn.rrelu(x, 0.2, 0.4, training=True, key=key).numpy()
    assert (y >= -0.4).all()
    assert (y <= -0.2).all()
    assert abs(y.mean() + 0.3) < 0.002
    logits = np.log(np.array([0.1, 0.2, 0.7], np.float32)) * np.ones((20000, 1), np.float32)
    hard = fn.gumbel_softmax(logits, hard=True, key=key).numpy()
    assert np.allclose(hard.sum(-1), 1)
    near(hard.mean(0), [0.1, 0.2, 0.7], 0.01)
    soft = fn.gumbel_softmax(logits, 0.5, key=key)
    assert (soft.numpy().argmax(-1) == hard.argmax(-1)).all()
    grads = [
        dlc.grad(lambda x, hard=hard: dlc.sum(fn.gumbel_softmax(x, 0.5, hard, key=key)[:, 0]))(
            dlc.asarray(logits)
        )
        for hard in (False, True)
    ]
    near(grads[1].numpy(), grads[0].numpy(), 1e-6)


REDUCTIONS = ("mean", "sum", "none")
P = RNG.uniform(0.05, 0.95, (4, 6))
Q = RNG.uniform(0.05, 0.95, (4, 6))
SIGN = np.where(RNG.uniform(size=(4, 6)) < 0.5, -1.0, 1.0)
W = RNG.uniform(0.5, 2.0, 6)

PAIRS = [
    ("mse_loss", X, Q, {}), ("l1_loss", X, Q, {}), ("smooth_l1_loss", X, Q, {}),
    ("smooth_l1_loss", X, Q, {"beta": 0.3}), ("smooth_l1_loss", X, Q, {"beta": 0.0}),
    ("huber_loss", X, Q, {}), ("huber_loss", X, Q, {"delta": 2.5}),
    ("kl_div", np.log(P), Q, {}), ("kl_div", np.log(P), np.log(Q), {"log_target": True}),
    ("binary_cross_entropy", P, Q, {}), ("binary_cross_entropy_with_logits", X, Q, {}),
    ("poisson_nll_loss", X, Q * 5, {}), ("poisson_nll_loss", X, Q * 5, {"full": True}),
    ("poisson_nll_loss", P, Q * 5, {"log_input": False}), ("soft_margin_loss", X, SIGN, {}),
    ("hinge_embedding_loss", X, SIGN, {}), ("hinge_embedding_loss", X, SIGN, {"margin": 0.4}),
    ("multilabel_soft_margin_loss", X, (SIGN > 0) * 1.0, {}),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize(("name", "x", "y", "keywords"), PAIRS)
def test_losses_of_pairs(name, x, y, keywords):
    f, g = getattr(fn, name), getattr(ref, name)
    constant = ("hinge_embedding_loss", "poisson_nll_loss", "soft_margin_loss")
    wrt = (0,) if name in constant else (0, 1)
    for reduction in (*REDUCTIONS, *(["batchmean"] if name == "kl_div" else [])):
        agree(
            lambda x, y, r=reduction: f(x, y, reduction=r, **keywords),
            lambda x, y, r=reduction: g(x, y, reduction=r, **keywords),
            x,
            y,
            wrt=wrt,
            compiled=reduction == "mean",
        )
    for dtype in ("float16", "bfloat16"):
        half = [dlc.asarray(a, dtype=dtype) for a in (x, y)]
        got = f(*half, reduction="none", **keywords)
        assert got.dtype == half[0].dtype
        args = [torch.tensor(h.astype("float64").numpy()) for h in half]
        near(got.astype("float64").numpy(), g(*args, reduction="none", **keywords).numpy(), 1e-2)
    with pytest.raises(ShapeError, match="one shape"):
        f(x, y[:2])
    with pytest.raises(ValueRangeError, match="mean"):
        f(x, y, reduction="men")


def test_weights_of_binary_cross_entropy():
    for f, g, x in (
        (fn.binary_cross_entropy, ref.binary_cross_entropy, P),
        (fn.binary_cross_entropy_with_logits, ref.binary_cross_entropy_with_logits, X),
    ):
        agree(lambda x, y, f=f: f(x, y, W), lambda x, y, g=g: g(x, y, torch.tensor(W)), x, Q)
    agree(
        lambda x, y: fn.binary_cross_entropy_with_logits(x, y, pos_weight=W),
        lambda x, y: ref.binary_cross_entropy_with_logits(x, y, pos_weight=torch.tensor(W)),
        X,
        Q,
    )
    agree(
        lambda x, y: fn.multilabel_soft_margin_loss(x, y, W),
        lambda x, y: ref.multilabel_soft_margin_loss(x, y, torch.tensor(W)),
        X,
        Q,
    )


def test_losses_at_the_ends():
    p, y = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0, 1.0])
    near(fn.binary_cross_entropy(p, y, reduction="none").numpy(), [0, 0, 100, 100])
    slope = dlc.grad(lambda p, y: fn.binary_cross_entropy(p, y, reduction="sum"))
    for f in (slope, dlc.compile(slope)):
        np.testing.assert_allclose(f(p, y).numpy(), [1, -1, 1e12, -1e12])
        top = float(np.finfo(np.float16).max)
        half = f(dlc.astype(p, "float16"), dlc.astype(y, "float16")).numpy()
        np.testing.assert_allclose(half, [1, -1, top, -top])
    x = np.array([1e4, -1e4, 1e4, -1e4])
    got = fn.binary_cross_entropy_with_logits(x, y, reduction="none").numpy()
    near(got, [1e4, 1e4, 1e4, 1e4])
    near(fn.kl_div(np.log([0.5]), np.zeros(1)).numpy(), 0.0)
    near(fn.log_cosh_loss(np.array([800.0]), np.zeros(1)).numpy(), 800 - math.log(2))
    near(fn.hinge_loss(np.array([0.5, 3.0]), np.array([1.0, -1.0])).numpy(), 2.25)
    near(fn.squared_hinge_loss(np.array([0.5, 3.0]), np.array([1.0, -1.0])).numpy(), 8.125)


def test_gaussian_nll_loss():
    for full in (False, True):
        agree(
            lambda x, y, v, full=full: fn.gaussian_nll_loss(x, y, v, full=full),
            lambda x, y, v, full=full: ref.gaussian_nll_loss(x, y, v, full=full),
            X,
            Q,
            P,
        )
    near(fn.gaussian_nll_loss(X, X, np.zeros_like(X)).numpy(), 0.5 * math.log(1e-6))


def test_ranking_and_embedding_losses():
    a, b, c = (RNG.standard_normal((5, 3)) for _ in range(3))
    y = np.array([1.0, -1, 1, -1, 1])
    for r in REDUCTIONS:
        agree(
            lambda a, b, r=r: fn.margin_ranking_loss(a, b, y[:, None], margin=0.3, reduction=r),
            lambda a, b, r=r: ref.margin_ranking_loss(
                a, b, torch.tensor(y[:, None]), margin=0.3, reduction=r
            ),
            a,
            b,
        )
        agree(
            lambda a, b, r=r: fn.cosine_embedding_loss(a, b, y, margin=0.1, reduction=r),
            lambda a, b, r=r: ref.cosine_embedding_loss(
                a, b, torch.tensor(y), margin=0.1, reduction=r
            ),
            a,
            b,
            bound=1e-9,
        )
        for keywords in ({}, {"swap": True, "margin": 2.0}, {"p": 1.0}):
            agree(
                lambda a, b, c, r=r, k=keywords: fn.triplet_margin_loss(a, b, c, reduction=r, **k),
                lambda a, b, c, r=r, k=keywords: ref.triplet_margin_loss(a, b, c, reduction=r, **k),
                a,
                b,
                c,
            )


CLASSES = RNG.integers(0, 3, (4, 5))


@pytest.mark.parametrize("weight", [None, np.array([0.5, 1.0, 2.0])])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_of_classes(weight, reduction, smoothing):
    x = RNG.standard_normal((4, 3, 5))
    w = None if weight is None else torch.tensor(weight)
    labels = CLASSES.copy()
    labels[1, 2] = -100
    labels[0, 0] = 1
    for ignored in (-100, 1):
        target = np.where(labels == -100, 0, labels) if ignored == 1 else labels
        keywords = {
            "ignore_index": ignored, "reduction": reduction, "label_smoothing": smoothing
        }  # fmt: skip
        agree(
            lambda x, t=target, k=keywords: fn.cross_entropy(x, t, weight, **k),
            lambda x, t=target, k=keywords: ref.cross_entropy(x, torch.tensor(t), w, **k),
            x,
            compiled=ignored == 1,
        )
        del keywords["label_smoothing"]
        agree(
            lambda x, t=target, k=keywords: fn.nll_loss(x, t, weight, **k),
            lambda x, t=target, k=keywords: ref.nll_loss(x, torch.tensor(t), w, **k),
            x,
            compiled=False,
        )
    agree(
        lambda x, y: fn.cross_entropy(
            x, y, weight, reduction=reduction if reduction != "mean" else "sum",
            label_smoothing=smoothing,
        ),
        lambda x, y: ref.cross_entropy(
            x, y, w, reduction=reduction if reduction != "mean" else "sum",
            label_smoothing=smoothing,
        ),
        x,
        RNG.dirichlet(np.ones(3), (4, 5)).transpose(0, 2, 1),
        compiled=False,
    )  # fmt: skip


def test_the_mean_of_soft_targets():
    y = RNG.dirichlet(np.ones(3), (4, 5)).transpose(0, 2, 1)
    agree(fn.cross_entropy, ref.cross_entropy, RNG.standard_normal((4, 3, 5)), y)


def test_classes_that_are_none():
    for f in (fn.cross_entropy, fn.nll_loss):
        with pytest.raises(dlc.IndexRangeError, match="3 elements"):
            f(np.zeros((1, 3)), np.array([3]))
        for label in (3, -1):
            assert np.isnan(dlc.compile(f)(np.zeros((1, 3)), np.array([label])).item())
    with pytest.raises(ShapeError, match="axis 1"):
        fn.cross_entropy(np.zeros((2, 3)), np.array([1, 2, 0]))
    with pytest.raises(ValueRangeError, match="label_smoothing"):
        fn.cross_entropy(np.zeros((2, 3)), np.array([1, 2]), label_smoothing=2.0)
    one = fn.cross_entropy(np.zeros(4), np.array(2))
    near(one.numpy(), math.log(4))


def test_margin_losses_of_classes():
    x = RNG.standard_normal((5, 4))
    y = RNG.integers(0, 4, 5)
    w = RNG.uniform(0.5, 2, 4)
    many = np.array([[3, 0, -1, 1], [-1, 2, 2, 2], [0, 1, 2, 3], [2, -1, 0, 0], [1, 1, -1, 0]])
    many[4] = [1, 2, -1, 0]
    for r in REDUCTIONS:
        for p in (1, 2):
            agree(
                lambda x, r=r, p=p: fn.multi_margin_loss(
                    x, y, p=p, margin=0.7, weight=w, reduction=r
                ),
                lambda x, r=r, p=p: ref.multi_margin_loss(
                    x, torch.tensor(y), p=p, margin=0.7, weight=torch.tensor(w), reduction=r
                ),
                x,
                compiled=r == "mean",
            )
        agree(
            lambda x, r=r: fn.multilabel_margin_loss(x, many, reduction=r),
            lambda x, r=r: ref.multilabel_margin_loss(x, torch.tensor(many), reduction=r),
            x,
            compiled=r == "mean",
        )


def test_focal_and_dice_losses():
    y = (SIGN > 0) * 1.0

    def focal(x, target):
        p = torch.sigmoid(x)
        ce = ref.binary_cross_entropy_with_logits(x, target, reduction="none")
        p_t = p * target + (1 - p) * (1 - target)
        return ce * (1 - p_t) ** 2 * (0.25 * target + 0.75 * (1 - target))

    agree(fn.sigmoid_focal_loss, focal, X, y, wrt=(0,))
    agree(
        lambda x, y: fn.dice_loss(x, y, axis=1),
        lambda x, y: (
            1 - (2 * (x * y).sum(1) + 1e-7) / (x.sum(1) + y.sum(1) + 1e-7)
        ).mean(),
        P,
        Q,
    )  # fmt: skip


def test_distances():
    a, b = RNG.standard_normal((5, 3)), RNG.standard_normal((5, 3))
    agree(fn.cosine_similarity, ref.cosine_similarity, a, b)
    agree(
        lambda a, b: fn.cosine_similarity(a, b, dim=0),
        lambda a, b: ref.cosine_similarity(a, b, dim=0),
        a,
        b[:, :1],
    )
    for p in (1.0, 2.0, 3.0):
        agree(
            lambda a, b, p=p: fn.pairwise_distance(a, b, p, keepdim=True),
            lambda a, b, p=p: ref.pairwise_distance(a, b, p, keepdim=True),
            a,
            b,
        )
    assert fn.cosine_similarity(np.zeros((1, 3)), a[:1]).item() == 0


def test_linear_maps_and_embeddings():
    x, w, b = RNG.standard_normal((2, 4, 3)), RNG.standard_normal((5, 3)), RNG.standard_normal(5)
    agree(fn.linear, ref.linear, x, w, b)
    agree(fn.linear, ref.linear, x, w[0])
    y, v = RNG.standard_normal((2, 4, 6)), RNG.standard_normal((5, 3, 6))
    agree(fn.bilinear, ref.bilinear, x, y, v, b)
    at = RNG.integers(0, 5, (4, 6))
    at[0, 0] = 2
    index = torch.tensor(at)
    agree(lambda w: fn.embedding(at, w), lambda w: ref.embedding(index, w), w)
    for padding in (2, -3):
        agree(
            lambda w, p=padding: fn.embedding(at, w, padding_idx=p),
            lambda w, p=padding: ref.embedding(index, w, padding_idx=p),
            w,
        )
        for mode in ("sum", "mean", "max"):
            agree(
                lambda w, m=mode, p=padding: fn.embedding_bag(at, w, mode=m, padding_idx=p),
                lambda w, m=mode, p=padding: ref.embedding_bag(index, w, mode=m, padding_idx=p),
                w,
            )
    agree(
        lambda w, s: fn.embedding_bag(at, w, mode="sum", per_sample_weights=s),
        lambda w, s: ref.embedding_bag(index, w, mode="sum", per_sample_weights=s),
        w,
        RNG.standard_normal((4, 6)),
    )
    assert fn.embedding_bag(np.full((1, 2), 2), w, mode="max", padding_idx=2).tolist() == [[0] * 3]


def test_rotary_embedding_turns_by_the_distance():
    q, k = RNG.standard_normal((1, 8)), RNG.standard_normal((1, 8))
    for interleaved in (False, True):
        scores = [
            np.vdot(
                fn.rotary_embedding(q, np.array([i]), interleaved=interleaved).numpy(),
                fn.rotary_embedding(k, np.array([i + 3]), interleaved=interleaved).numpy(),
            )
            for i in (0, 5, 50)
        ]
        near(np.array(scores), np.full(3, scores[0]), 1e-12)
        first = fn.rotary_embedding(np.stack([q[0], q[0]]), interleaved=interleaved).numpy()
        near(first[0], q[0], 0)
        pair = [0, 1] if interleaved else [0, 4]
        turn = np.array([[math.cos(1), -math.sin(1)], [math.sin(1), math.cos(1)]])
        near(first[1, pair], turn @ q[0, pair], 1e-12)
    with pytest.raises(ShapeError, match="even"):
        fn.rotary_embedding(np.ones((2, 3)))


def test_attention_with_dropout():
    q, k, v = (RNG.standard_normal((2, 4, 5, 8)) for _ in range(3))
    key = dlc.random.key(0)
    agree(fn.scaled_dot_product_attention, ref.scaled_dot_product_attention, q, k, v, bound=1e-9)
    tiny = 1e-12  # takes the other way and drops nothing
    for keywords in ({}, {"is_causal": True}, {"scale": 0.3}):
        got = fn.scaled_dot_product_attention(q, k, v, dropout_p=tiny, random_key=key, **keywords)
        want = dlc.scaled_dot_product_attention(q, k, v, **keywords)
        near(got.numpy(), want.numpy(), 1e-10)
    mask = RNG.uniform(size=(5, 5)) < 0.5
    mask[2] = False
    for m in (mask, np.where(mask, 0.0, -1.5)):
        got = fn.scaled_dot_product_attention(q, k, v, m, tiny, random_key=key)
        near(got.numpy(), dlc.scaled_dot_product_attention(q, k, v, m).numpy(), 1e-10)
    grouped = fn.scaled_dot_product_attention(
        q, k[:, :2], v[:, :2], dropout_p=tiny, enable_gqa=True, random_key=key
    )
    want = dlc.scaled_dot_product_attention(q, k[:, :2], v[:, :2], enable_gqa=True)
    near(grouped.numpy(), want.numpy(), 1e-10)
    ones = np.ones((1, 1, 2000, 1))
    many = fn.scaled_dot_product_attention(ones, ones, ones, dropout_p=0.3, random_key=key)
    assert abs(many.numpy().mean() - 1) < 0.01


def test_dropout():
    key = dlc.random.key(2)
    x = np.ones((200, 100, 2), np.float32)
    y = fn.dropout(x, 0.3, key=key).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((y == 0).mean() - 0.3) < 0.01
    z = fn.dropout2d(x, 0.3, key=key).numpy()
    assert (z[..., 0] == z[..., 1]).all()
    assert abs((z == 0).mean() - 0.3) < 0.02
    for f in (fn.dropout, fn.alpha_dropout, fn.feature_dropout, fn.feature_alpha_dropout):
        assert f(x, 0.0, key=key).tolist() == x.tolist()
        assert f(x, training=False).tolist() == x.tolist()
        assert not f(x, 1.0).numpy().any()
        with pytest.raises(ValueRangeError, match="probability"):
            f(x, 1.5)
        compiled = dlc.compile(lambda x, k, f=f: f(x, 0.4, key=k))
        near(compiled(x, key).numpy(), f(x, 0.4, key=key).numpy(), 1e-6)
    g = dlc.grad(lambda x: dlc.sum(fn.dropout(x, 0.3, key=key)))(dlc.asarray(x))
    assert np.array_equal(g.numpy(), y)
    with pytest.raises(ShapeError, match="N, C"):
        fn.dropout1d(np.ones(3))


def test_alpha_dropout_keeps_mean_and_variance():
    x = RNG.standard_normal((400, 300)).astype(np.float32)
    for f in (fn.alpha_dropout, fn.feature_alpha_dropout):
        y = f(x[..., None] if f is fn.feature_alpha_dropout else x, 0.2, key=dlc.random.key(3))
        assert abs(y.numpy().mean()) < 0.01
        assert abs(y.numpy().std() - 1) < 0.01


def test_symbolic_extents():
    f = dlc.compile(lambda x, y: fn.cross_entropy(fn.mish(x), y) + dlc.sum(fn.glu(x)))
    for n in (3, 4, 5, 8):
        x, y = RNG.standard_normal((n, 4)), RNG.integers(0, 4, n)
        want = (
            ref.cross_entropy(ref.mish(torch.tensor(x)), torch.tensor(y))
            + ref.glu(torch.tensor(x)).sum()
        )
        near(f(x, y).numpy(), want.numpy(), 1e-11)
    assert f.stats.traces <= 3


def test_padding_is_pytorchs():
    x = RNG.standard_normal((2, 3, 4, 5))
    for widths in ((1, 2), (1, 0, 2, 1), (-1, 2), (0, -2, 1, 1), ()):
        agree(lambda x, w=widths: fn.pad(x, w), lambda x, w=widths: ref.pad(x, w), x)
    agree(lambda x: fn.pad(x, (1, 1), value=2.5), lambda x: ref.pad(x, (1, 1), value=2.5), x)
    for mode in ("reflect", "replicate", "circular"):
        agree(lambda x, m=mode: fn.pad(x, (2, 1), m), lambda x, m=mode: ref.pad(x, (2, 1), m), x[0])
    with pytest.raises(ArgumentError, match=r"two for each axis[\s\S]*dlc.pad takes a pair"):
        fn.pad(X, ((1, 1), (2, 2)))
    with pytest.raises(ShapeError, match="it has fewer axes"):
        fn.pad(X, (1,) * 6)
    with pytest.raises(ValueRangeError, match="no mode 'zeros'"):
        fn.pad(X, (1, 1), "zeros")


def test_norms_have_pytorchs_arguments():
    x, w, b = RNG.standard_normal((2, 3, 4)), RNG.standard_normal(4), RNG.standard_normal(4)
    means, variances = RNG.standard_normal(3), RNG.random(3) + 0.5

    def of(module):
        return [
            lambda x, w, b: module.layer_norm(x, (4,), w, b),
            lambda x, w, b: module.layer_norm(x, (3, 4)),
            lambda x, w, b: module.rms_norm(x, (4,), w),
            lambda x, w, b: module.instance_norm(x),
        ]

    for mine, theirs in zip(of(fn), of(ref), strict=True):
        agree(lambda *a, f=mine: f(*a) + 0 * a[1] * a[2],
              lambda *a, f=theirs: f(*a) + 0 * a[1] * a[2], x, w, b)  # fmt: skip
    given = means, variances, None, None, False
    wanted = ref.instance_norm(*(torch.tensor(a) for a in (x, means, variances)), None, None, False)
    near(fn.instance_norm(x, *given).numpy(), wanted)
    with pytest.raises(ArgumentError, match="use_input_stats=False"):
        fn.instance_norm(x, means, variances)
    with pytest.raises(ShapeError, match=r"last axes \(3,\) of a tensor of shape \(2, 3, 4\)"):
        fn.layer_norm(x, 3)


def test_softmax_has_both_names_of_an_axis():
    for name in ("softmax", "log_softmax", "softmin"):
        wanted = getattr(ref, name)(torch.tensor(X), dim=0)
        near(getattr(fn, name)(X, dim=0).numpy(), wanted, 1e-12)
        near(getattr(fn, name)(X, axis=0).numpy(), wanted, 1e-12)


def test_wrong_arguments():
    for call in (
        lambda: fn.softshrink(1.0, -1.0),
        lambda: fn.smooth_l1_loss(1.0, 1.0, beta=-1.0),
        lambda: fn.huber_loss(1.0, 1.0, delta=0.0),
        lambda: fn.multi_margin_loss(np.ones((1, 2)), np.array([0]), p=3),
        lambda: fn.embedding_bag(np.zeros((1, 1), int), np.ones((1, 1)), mode="avg"),
        lambda: fn.embedding_bag(
            np.zeros((1, 1), int), np.ones((1, 1)), per_sample_weights=np.ones((1, 1))
        ),
    ):
        with pytest.raises(ValueRangeError):
            call()
    with pytest.raises(ShapeError, match="bags"):
        fn.embedding_bag(np.zeros(3, int), np.ones((1, 1)))


def test_strings_name_activations():
    for name in ("relu6", "elu", "selu", "mish", "hard_sigmoid", "sparsemax", "squareplus"):
        near(dlc.nn.Activation(name)(X).numpy(), getattr(fn, name)(X).numpy(), 0)
    near(dlc.nn.Activation("leaky_relu")(-1.0).numpy(), -0.2, 1e-6)  # Keras's slope
    # All of Keras and PyTorch that need a tensor only, and a hint for the others.
    known = {name for name, _ in ACTIVATIONS} | set(KERAS)
    for name in known:
        if name not in ("normalize", "prelu", "threshold"):
            assert activations.get(name)(X).shape[0] == 4, name
    for name in ("threshold", "prelu", "gumbel_softmax"):
        with pytest.raises(ValueRangeError, match=f"functional.{name}"):
            activations.get(name)
    with pytest.raises(ValueRangeError, match="hard_silu"):
        activations.get("hard_silo")
