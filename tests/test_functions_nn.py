"""Activations, normalisation and cross entropy against NumPy at float64."""

import math

import functions_harness as h
import numpy as np
import pytest

import dlc

SLOW = ("interpreted", "traced")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_activations():
    erf = np.vectorize(math.erf, otypes=[float])
    for dtype in h.FLOATS:
        x = h.values((40,), dtype)
        ways = tuple(h.WAYS) if dtype == "float32" else SLOW
        for function, reference in (
            (dlc.relu, lambda v: np.maximum(v, 0)), (dlc.sigmoid, sigmoid),
            (dlc.silu, lambda v: v * sigmoid(v)), (dlc.softplus, lambda v: np.log1p(np.exp(v))),
            (dlc.log_sigmoid, lambda v: np.log(sigmoid(v))),
            (dlc.gelu, lambda v: v * (1 + erf(v / np.sqrt(2))) / 2),
            (lambda v: dlc.gelu(v, approximate="tanh"),
             lambda v: v / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v**3)))),
        ):  # fmt: skip
            h.check(function, reference, [x], ulps=8, floor=0.5, ways=ways, dtype=dtype)
    assert dlc.relu(np.array([-3, 4], np.int8)).numpy().tolist() == [0, 4]
    assert dlc.softplus(np.float32([1000, -1000])).numpy().tolist() == [1000, 0]
    with pytest.raises(ValueError, match="gelu has no approximation 'erf'"):
        dlc.gelu(1.0, approximate="erf")


def layer_norm(x, w=1.0, b=0.0, axes=(-1,), eps=1e-5):
    m = x.mean(axes, keepdims=True)
    return (x - m) / np.sqrt(x.var(axes, keepdims=True) + eps) * w + b


def test_norms():
    x, w, b = h.values((3, 4, 10)), h.values((10,), seed=1), h.values((10,), seed=2)
    h.check(dlc.layer_norm, layer_norm, [x, w, b], ulps=16, floor=1.0)
    h.check(dlc.layer_norm, layer_norm, [x], ulps=16, floor=1.0)
    h.check(
        lambda v, u: dlc.layer_norm(v, bias=u),
        lambda v, u: layer_norm(v, 1.0, u),
        [x, b],
        ulps=16,
        floor=1.0,
    )
    h.check(
        lambda v, u: dlc.layer_norm(v, u, axis=1, eps=0.1),
        lambda v, u: layer_norm(v, u, axes=(1, 2), eps=0.1),
        [x, h.values((4, 10))],
        ulps=16,
        floor=1.0,
    )

    def rms(v, u=1.0):
        return v / np.sqrt((v * v).mean(-1, keepdims=True) + 1e-6) * u

    h.check(dlc.rms_norm, rms, [x, w], ulps=16)
    h.check(dlc.rms_norm, rms, [x], ulps=16)
    for dtype in ("float16", "bfloat16"):
        v = h.values((3, 10), dtype)
        h.check(dlc.rms_norm, rms, [v], ulps=2, dtype=dtype, ways=SLOW)
        h.check(dlc.layer_norm, layer_norm, [v], ulps=2, floor=1.0, dtype=dtype, ways=SLOW)
    with pytest.raises(
        ValueError, match=r"layer_norm of f32\[3,4,10\] from axis 2 on: the weight is f32\[4\]"
    ):
        dlc.layer_norm(x, h.values((4,)))


def test_cross_entropy():
    x, labels = h.values((6, 5)) * 3, np.array([0, 4, 1, 1, 3, 2])
    log_p = x.astype(float) - np.logaddexp.reduce(x.astype(float), axis=1, keepdims=True)
    each = -log_p[np.arange(6), labels]
    for how, want in (("mean", each.mean()), ("sum", each.sum()), ("none", each)):
        h.check(
            lambda v, i, r=how: dlc.cross_entropy(v, i, reduction=r),
            lambda v, i, w=want: w,
            [x, labels],
            ulps=16,
        )
        hot = np.eye(5, dtype=np.float32)[labels]
        h.check(
            lambda v, i, r=how: dlc.cross_entropy(v, i, reduction=r),
            lambda v, i, w=want: w,
            [x, hot],
            ulps=16,
        )
    even = -log_p.mean(1)
    want = (0.9 * each + 0.1 * even).mean()
    for target in (labels, np.eye(5)[labels]):
        got = dlc.cross_entropy(x, target, label_smoothing=0.1)
        assert np.isclose(got.item(), want, rtol=1e-5)
    turned = np.ascontiguousarray(x.T)
    assert np.isclose(dlc.cross_entropy(turned, labels, axis=0).item(), each.mean(), rtol=1e-5)
    infinite = np.array([[0.0, -np.inf]], np.float32)
    assert dlc.cross_entropy(infinite, np.array([[1.0, 0.0]], np.float32)).item() == 0
    strange = h.run_traced(
        lambda v, i: dlc.cross_entropy(v, i, reduction="none"), [x[:2], np.array([5, -1])]
    )
    assert np.isnan(strange[0]).all()
    got = dlc.cross_entropy(x.astype(np.float16), labels)
    assert got.dtype == dlc.float16
    with pytest.raises(ValueError, match=r"need the shape i64\[6\]"):
        dlc.cross_entropy(x, labels[:5])
    with pytest.raises(ValueError, match="no reduction 'avg'"):
        dlc.cross_entropy(x, labels, reduction="avg")
    with pytest.raises(ValueError, match="probabilities need the shape of the logits"):
        dlc.cross_entropy(x, labels.astype(np.float32))
