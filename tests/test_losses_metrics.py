"""Losses and metrics against Keras's, eager and compiled."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
import sklearn.metrics

import dlc
from dlc import losses, metrics

os.environ["KERAS_BACKEND"] = "torch"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import keras

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:keras")  # its own use of NumPy
RNG = np.random.default_rng(4)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def shares(*shape):
    e = np.exp(floats(*shape))
    return e / e.sum(-1, keepdims=True)


LABELS = RNG.integers(0, 5, 7)
ONE_HOT = np.eye(5, dtype=np.float32)[LABELS]
BITS = RNG.integers(0, 2, (7, 5)).astype(np.float32)
EXTREME = np.float32([[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]])

LOSSES = [
    ("MeanSquaredError", {}, floats(7, 5), floats(7, 5)),
    ("MeanAbsoluteError", {}, floats(7, 5), floats(7, 5)),
    ("Huber", {"delta": 0.7}, floats(7, 5), 2 * floats(7, 5)),
    ("KLDivergence", {}, shares(7, 5), shares(7, 5)),
    ("CosineSimilarity", {}, floats(7, 5), floats(7, 5)),
    ("CosineSimilarity", {"axis": 0}, floats(7, 5), floats(7, 5)),
    ("BinaryCrossentropy", {}, BITS, shares(7, 5)),
    ("BinaryCrossentropy", {}, EXTREME, EXTREME),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, BITS, 30 * floats(7, 5)),
    ("CategoricalCrossentropy", {}, ONE_HOT, 3 * shares(7, 5)),
    (
        "CategoricalCrossentropy",
        {"from_logits": True, "label_smoothing": 0.1},
        ONE_HOT,
        floats(7, 5),
    ),
    ("SparseCategoricalCrossentropy", {}, LABELS, 3 * shares(7, 5)),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS[:, None], 20 * floats(7, 5)),
    ("SparseCategoricalCrossentropy", {"ignore_class": 2}, LABELS, shares(7, 5)),
    ("MeanAbsolutePercentageError", {}, BITS + floats(7, 5), floats(7, 5)),
    ("MeanSquaredLogarithmicError", {}, 3 * shares(7, 5), 5 * shares(7, 5)),
    ("LogCosh", {}, floats(7, 5), 20 * floats(7, 5)),
    ("Poisson", {}, 9 * shares(7, 5), 9 * shares(7, 5)),
    ("Hinge", {}, BITS, 2 * floats(7, 5)),
    ("Hinge", {}, 2 * BITS - 1, 2 * floats(7, 5)),
    ("SquaredHinge", {}, BITS, 2 * floats(7, 5)),
    ("CategoricalHinge", {}, ONE_HOT, 2 * floats(7, 5)),
    ("BinaryFocalCrossentropy", {}, BITS, shares(7, 5)),
    (
        "BinaryFocalCrossentropy",
        {"apply_class_balancing": True, "alpha": 0.4, "gamma": 1.5, "label_smoothing": 0.1},
        BITS, shares(7, 5),
    ),
    ("BinaryFocalCrossentropy", {"from_logits": True, "axis": 0}, BITS, 3 * floats(7, 5)),
    ("CategoricalFocalCrossentropy", {}, ONE_HOT, 3 * shares(7, 5)),
    (
        "CategoricalFocalCrossentropy",
        {"from_logits": True, "alpha": 0.4, "gamma": 3.0, "label_smoothing": 0.1},
        ONE_HOT, floats(7, 5),
    ),
    ("Dice", {"axis": 1}, BITS, shares(7, 5)),
    ("Tversky", {"axis": 1, "alpha": 0.3, "beta": 0.9}, BITS, shares(7, 5)),
    ("CTC", {}, np.where(np.arange(3) <= LABELS[:, None], 1 + LABELS[:, None] % 4, 0),
     floats(7, 8, 5)),
]  # fmt: skip


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum", "none"]
)
@pytest.mark.parametrize(("name", "settings", "true", "pred"), LOSSES)
def test_losses_as_keras(name, settings, true, pred, reduction):
    ours = getattr(losses, name)(**settings, reduction=reduction)
    theirs = getattr(keras.losses, name)(**settings, reduction=reduction)
    count = 5 if settings.get("axis") == 0 else len(pred)
    for weight in (None, np.linspace(0, 2, count, dtype=np.float32)):
        wanted = keras.ops.convert_to_numpy(theirs(true, pred, weight))
        for call in (ours, dlc.compile(ours)):
            got = call(true, pred, weight).numpy()
            np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("name", "settings", "true", "pred"), LOSSES)
def test_losses_have_the_gradients_of_differences(name, settings, true, pred):
    loss = getattr(losses, name)(**settings)
    wide = pred.astype(np.float64)
    direction = RNG.standard_normal(pred.shape)
    got = (dlc.grad(lambda p: loss(true, p))(wide).numpy() * direction).sum()
    if true is EXTREME:
        return  # where probabilities are cut off, the slope is that of neither side
    h = 1e-6
    low, high = (loss(true, wide + s * h * direction).item() for s in (-1, 1))
    assert got == pytest.approx((high - low) / (2 * h), rel=1e-4, abs=1e-6)


def test_losses_of_overlaps_of_everything():
    for name, settings in (("Dice", {}), ("Tversky", {"alpha": 0.1})):
        ours, theirs = (getattr(m, name)(**settings) for m in (losses, keras.losses))
        wanted = keras.ops.convert_to_numpy(theirs(BITS, shares(7, 5) * 0 + 0.25))
        assert ours(BITS, np.full((7, 5), 0.25)).item() == pytest.approx(float(wanted), rel=1e-6)
    assert losses.Dice(reduction=None, axis=1)(BITS, BITS).shape == (7,)
    with pytest.raises(dlc.ShapeError, match="they are .N, S. and .N, T, C."):
        losses.CTC()(LABELS, floats(7, 5))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("name", "settings", "true", "pred"), LOSSES)
def test_losses_of_half_types_are_rounded_once(name, settings, true, pred, dtype):
    loss = dlc.compile(getattr(losses, name)(**settings, reduction="none"))
    pred = dlc.asarray(pred, dtype=dtype)
    true = true if true.dtype.kind == "i" else dlc.asarray(true, dtype=dtype)
    got = loss(true, pred)
    assert got.dtype == pred.dtype
    wanted = loss(true, dlc.astype(pred, "float32")).numpy()
    unit = float(dlc.finfo(dtype).eps)
    np.testing.assert_allclose(dlc.astype(got, "float32").numpy(), wanted, rtol=unit, atol=6e-8)


def test_losses_of_float16_do_not_overflow_inside():
    true, pred = np.float16([[0, 0, 0, 1]]), np.float16([[300, 0, 0, 1]])
    assert losses.mean_squared_error(true, pred).item() == 22496  # 22500
    assert losses.cosine_similarity(pred, pred).item() == 1
    assert losses.cosine_similarity(true, np.zeros_like(true)).item() == 0
    assert losses.binary_crossentropy(true, true).item() < 1e-6
    mean = losses.MeanAbsoluteError(reduction="mean_with_sample_weight")
    assert mean(np.zeros((400, 1)), np.full((400, 1), 200, np.float16), np.ones(400)).item() == 200
    true, pred = np.zeros((4, 1)), np.float16([[300], [0], [0], [0]])
    assert losses.MeanSquaredError()(true, pred).item() == 22496
    assert losses.MeanSquaredError()(true, pred, [1.0, 1e6, 1.0, 1.0]).item() == 22496
    for name, wanted in (("mse", 22500), ("mape", 300e7 * 100 / 4)):
        metric = metrics.get(name)
        metric.update_state(true, pred)
        assert metric.result().item() == pytest.approx(wanted)
    with dlc.autocast(dlc.float16):
        assert losses.MeanSquaredError()(true, pred).item() == 22500


METRICS = [
    ("MeanSquaredError", {}, floats(7, 5), floats(7, 5)),
    ("MeanAbsoluteError", {}, floats(7, 5), floats(7, 5)),
    ("RootMeanSquaredError", {}, floats(7, 5), floats(7, 5)),
    ("CategoricalAccuracy", {}, ONE_HOT, ONE_HOT + floats(7, 5)),
    ("SparseCategoricalAccuracy", {}, LABELS, ONE_HOT + floats(7, 5)),
    ("SparseCategoricalAccuracy", {}, LABELS[:, None], ONE_HOT + floats(7, 5)),
    ("BinaryAccuracy", {}, BITS, RNG.random((7, 5), np.float32)),
    ("BinaryAccuracy", {"threshold": 0.3}, BITS[:, 0], RNG.random((7, 1), np.float32)),
    ("Precision", {}, BITS[:, 0], RNG.random(7, np.float32)),
    ("Precision", {"thresholds": [0.2, 0.8]}, BITS[:, 0], RNG.random(7, np.float32)),
    ("Recall", {}, BITS[:, 0], RNG.random(7, np.float32)),
    ("Recall", {"thresholds": 0.7}, BITS[:, 0], RNG.random(7, np.float32)),
    ("AUC", {}, BITS[:, 0], RNG.random(7, np.float32)),
    ("Precision", {"class_id": 2, "thresholds": [0.2, 0.8]}, BITS, RNG.random((7, 5), np.float32)),
    ("Recall", {"top_k": 2}, BITS, floats(7, 5)),
    ("Recall", {"top_k": 3, "class_id": 1, "thresholds": 0.2}, BITS, shares(7, 5)),
    ("PrecisionAtRecall", {"recall": 0.4}, BITS, RNG.random((7, 5), np.float32)),
    ("PrecisionAtRecall", {"recall": 0.2, "num_thresholds": 1}, BITS, shares(7, 5)),
    ("RecallAtPrecision", {"precision": 0.6, "class_id": 3}, BITS, RNG.random((7, 5), np.float32)),
    ("SensitivityAtSpecificity", {"specificity": 0.5}, BITS, RNG.random((7, 5), np.float32)),
    ("SpecificityAtSensitivity", {"sensitivity": 0.7}, BITS, RNG.random((7, 5), np.float32)),
    ("Accuracy", {}, LABELS, LABELS // 2),
    ("Accuracy", {}, LABELS[:, None], LABELS // 2),
    ("PearsonCorrelation", {}, floats(7, 5), floats(7, 5)),
    ("ConcordanceCorrelation", {}, floats(7, 5), floats(7, 5)),
    ("TruePositives", {}, BITS[:, 0], RNG.random(7, np.float32)),
    ("FalsePositives", {"thresholds": 0.2}, BITS[:, 0], RNG.random(7, np.float32)),
    ("TrueNegatives", {"thresholds": [0.2, 0.8]}, BITS[:, 0], RNG.random(7, np.float32)),
    ("FalseNegatives", {"thresholds": [0.5]}, BITS[:, 0], RNG.random(7, np.float32)),
    ("TopKCategoricalAccuracy", {"k": 2}, ONE_HOT, ONE_HOT + floats(7, 5)),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, LABELS, ONE_HOT + floats(7, 5)),
    ("SparseTopKCategoricalAccuracy", {"k": 4}, LABELS[:, None], floats(7, 5)),
    ("MeanAbsolutePercentageError", {}, BITS + floats(7, 5), floats(7, 5)),
    ("MeanSquaredLogarithmicError", {}, 3 * shares(7, 5), 5 * shares(7, 5)),
    ("LogCoshError", {}, floats(7, 5), floats(7, 5)),
    ("Poisson", {}, 9 * shares(7, 5), 9 * shares(7, 5)),
    ("Hinge", {}, BITS, floats(7, 5)),
    ("SquaredHinge", {}, 2 * BITS - 1, floats(7, 5)),
    ("CategoricalHinge", {}, ONE_HOT, floats(7, 5)),
    ("KLDivergence", {}, shares(7, 5), shares(7, 5)),
    ("CosineSimilarity", {}, floats(7, 5), floats(7, 5)),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, BITS, shares(7, 5)),
    ("CategoricalCrossentropy", {"from_logits": True}, ONE_HOT, floats(7, 5)),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, floats(7, 5)),
    ("AUC", {"num_thresholds": 11, "curve": "PR"}, BITS[:, 0], RNG.random(7, np.float32)),
    ("F1Score", {}, ONE_HOT, ONE_HOT + floats(7, 5)),
    ("F1Score", {"threshold": 0.4, "average": "micro"}, BITS, RNG.random((7, 5), np.float32)),
    ("FBetaScore", {"beta": 0.5, "average": "macro"}, ONE_HOT, ONE_HOT + floats(7, 5)),
    ("FBetaScore", {"beta": 2.0, "average": "weighted", "threshold": 0.6}, BITS, shares(7, 5)),
    ("R2Score", {}, BITS + floats(7, 5), BITS),
    ("R2Score", {"class_aggregation": None}, BITS + floats(7, 5), BITS),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, BITS + floats(7, 5), BITS),
    ("IoU", {"num_classes": 5, "target_class_ids": [1, 3, 4]}, LABELS, LABELS[::-1]),
    ("IoU", {"num_classes": 4, "target_class_ids": [0], "ignore_class": 1}, LABELS, LABELS // 2),
    ("BinaryIoU", {"threshold": 0.3}, BITS[:, 0], RNG.random(7, np.float32)),
    ("MeanIoU", {"num_classes": 5, "sparse_y_pred": False}, LABELS, floats(7, 5)),
    ("OneHotIoU", {"num_classes": 5, "target_class_ids": [0, 2]}, ONE_HOT, floats(7, 5)),
    ("OneHotMeanIoU", {"num_classes": 5, "sparse_y_pred": True}, ONE_HOT, LABELS),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "true", "pred"), METRICS)
def test_metrics_as_keras_over_batches(name, settings, true, pred):
    ours, compiled = (getattr(metrics, name)(**settings) for _ in range(2))
    kind = {"dtype": "float32"} if "IoU" in name else {}  # Keras's count integers else
    theirs = getattr(keras.metrics, name)(**settings, **kind)
    update = dlc.compile(compiled.update_state)
    for weight in (None, np.linspace(0, 2, 7, dtype=np.float32), None):
        for metric in (ours.update_state, theirs.update_state, update):
            metric(true, pred, weight)
        wanted = keras.ops.convert_to_numpy(theirs.result())
        np.testing.assert_allclose(ours.result().numpy(), wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(compiled.result().numpy(), wanted, rtol=1e-5, atol=1e-6)
    both = getattr(metrics, name)(**settings).merge_state([ours, compiled])
    times = 2 if name.endswith("tives") else 1  # both together have counted everything twice
    np.testing.assert_allclose(both.result().numpy(), times * wanted, rtol=1e-5, atol=1e-6)
    ours.reset_state()
    assert not any(v.numpy().any() for v in ours.variables)


def test_scores_in_fit_and_without_a_batch():
    for name in ("F1Score", "R2Score"):
        assert getattr(metrics, name)().result().item() == 0
    dlc.random.seed(0)
    model = dlc.nn.Sequential(dlc.nn.Dense(5, activation="softmax"))
    score = metrics.F1Score(average="macro")
    model.compile("adam", "categorical_crossentropy", metrics=[score, metrics.OneHotMeanIoU(5)])
    x = floats(7, 3)
    logs = model.fit(x, ONE_HOT, epochs=2, batch_size=4, verbose=0).history
    assert set(logs) == {"loss", "f1_score", "one_hot_mean_io_u"}
    wanted = metrics.F1Score(average="macro")(ONE_HOT, model.predict(x)).item()
    found = model.evaluate(x, ONE_HOT, batch_size=3, verbose=0, return_dict=True)
    assert found["f1_score"] == pytest.approx(wanted)
    again = metrics.F1Score(average="macro")  # as one that goes on from a checkpoint
    again.load_state_dict(score.state_dict())
    assert again.result().item() == pytest.approx(wanted)


@pytest.mark.filterwarnings("ignore:More independent:UserWarning")
@pytest.mark.parametrize("regressors", [3, 50])
def test_an_adjusted_score(regressors):
    true = BITS + floats(7, 5)
    ours, theirs = (m.R2Score(num_regressors=regressors) for m in (metrics, keras.metrics))
    for metric in (ours, theirs):
        metric.update_state(true, BITS)
    wanted = keras.ops.convert_to_numpy(theirs.result())
    np.testing.assert_allclose(ours.result().numpy(), wanted, rtol=1e-5)


def test_means_and_sums():
    for name, values in (("Mean", floats(4, 3)), ("Sum", floats(4, 3))):
        ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
        assert ours.result().item() == 0
        for weight in (None, np.float32([1, 0, 2, 3])):
            got = ours(values, weight).item()
            assert got == pytest.approx(float(theirs(values, weight)), rel=1e-5)


@pytest.mark.parametrize("curve", ["ROC", "PR"])
def test_the_exact_area_is_scikit_learns(curve):
    true = RNG.integers(0, 2, 300)
    pred = np.round(RNG.random(300) * 0.7 + 0.3 * true, 1).astype(np.float32)  # with ties
    weight = RNG.random(300).astype(np.float32)
    metric = metrics.AUC(curve=curve, exact=True)
    for part in np.split(np.arange(300), 3):
        metric.update_state(true[part], pred[part], weight[part])
    judge = (
        sklearn.metrics.roc_auc_score if curve == "ROC" else sklearn.metrics.average_precision_score
    )
    assert metric.result().item() == pytest.approx(
        judge(true, pred, sample_weight=weight), rel=1e-5
    )
    metric.reset_state()
    assert metric.result().item() == 0
    assert metric.on_host
    assert not metrics.AUC().on_host


def test_an_area_of_nothing_is_zero():
    metric = metrics.AUC()
    assert metric.result().item() == 0
    metric.update_state(np.ones(3), np.float32([0.1, 0.5, 0.9]))
    assert metric.result().item() == 0


def test_names_lead_to_losses_and_metrics():
    for name in ("mse", "MeanSquaredError", losses.MeanSquaredError, losses.MeanSquaredError()):
        assert losses.get(name).name == "MeanSquaredError"
    own = losses.get(lambda t, p: dlc.abs(t - p).sum())
    assert own(np.float32([1, 2]), np.float32([0, 0])).item() == 3
    assert metrics.get("AUC").name == "auc"
    assert metrics.get(metrics.Recall).name == "recall"
    mean = metrics.get(losses.mean_squared_error)
    assert mean(np.float32([[1.0]]), np.float32([[3.0]])).item() == 4
    for name in ("cosine_similarity", "kl_divergence", "categorical_crossentropy"):
        assert metrics.get(name).name == name
        assert isinstance(losses.get(name), losses.Loss)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: losses.get("msee"), dlc.ValueRangeError, "mse"),
        (lambda: metrics.get("accurcy"), dlc.ValueRangeError, "accuracy"),
        (lambda: metrics.get("accuracy"), dlc.ValueRangeError, "depends on the labels"),
        (lambda: losses.Huber(reduction="average"), dlc.ValueRangeError, "average"),
        (lambda: losses.BinaryCrossentropy(label_smoothing=2.0), dlc.ValueRangeError, "smoothing"),
        (lambda: losses.mean_squared_error(floats(3), floats(4)), dlc.ShapeError, "differ"),
        (lambda: losses.huber(floats(3), np.arange(3)), dlc.DTypeError, "floats"),
        (lambda: metrics.F1Score(average="mean"), dlc.ValueRangeError, "micro"),
        (lambda: metrics.FBetaScore(beta=0.0), dlc.ValueRangeError, "positive"),
        (lambda: metrics.F1Score(threshold=1.5), dlc.ValueRangeError, "at most 1"),
        (lambda: metrics.F1Score()(BITS[0], BITS[0]), dlc.ShapeError, "samples, outputs"),
        (lambda: metrics.R2Score("mean"), dlc.ValueRangeError, "uniform_average"),
        (lambda: metrics.R2Score(num_regressors=-1), dlc.ValueRangeError, "at least 0"),
        (lambda: metrics.IoU(3, [3]), dlc.ValueRangeError, "below num_classes"),
        (lambda: metrics.MeanIoU(2)(BITS, LABELS), dlc.ShapeError, "as many"),
        (
            lambda: losses.sparse_categorical_crossentropy(ONE_HOT, ONE_HOT),
            dlc.ShapeError,
            "categorical_crossentropy",
        ),
        (
            lambda: losses.sparse_categorical_crossentropy(LABELS, LABELS[:, None]),
            dlc.DTypeError,
            "floats",
        ),
        (
            lambda: losses.MeanSquaredError()(floats(3, 2), floats(3, 2), floats(3, 2)),
            dlc.ShapeError,
            "sample weights",
        ),
        (lambda: metrics.Precision(1.5), dlc.ValueRangeError, "between"),
        (lambda: metrics.Precision(top_k=0), dlc.ValueRangeError, "top_k=0"),
        (lambda: metrics.Recall(class_id=5)(BITS, floats(7, 5)), dlc.ShapeError, "5 classes"),
        (lambda: metrics.PrecisionAtRecall(1.5), dlc.ValueRangeError, "recall=1.5"),
        (lambda: metrics.RecallAtPrecision(0.5, 0), dlc.ValueRangeError, "num_thresholds"),
        (lambda: metrics.AUC(curve="roc"), dlc.ValueRangeError, "ROC"),
        (lambda: metrics.Sum().merge_state([metrics.Mean()]), dlc.ArgumentError, "cannot take in"),
        (lambda: losses.Loss()(1.0, 1.0), NotImplementedError, "call"),
        (lambda: metrics.Metric().result(), NotImplementedError, "result"),
        (lambda: metrics.Metric().update_state(1, 1), NotImplementedError, "update_state"),
    ],
)
def test_wrong_use_is_an_error(call, error, match):
    with pytest.raises(error, match=match):
        call()


NAMES = [
    "mse",
    "mae",
    "mape",
    "msle",
    "kld",
    "bce",
    "huber",
    "log_cosh",
    "poisson",
    "hinge",
    "squared_hinge",
    "categorical_hinge",
    "mean_squared_logarithmic_error",
    "mean_absolute_percentage_error",
    "cosine_similarity",
    "binary_focal_crossentropy",
    "categorical_focal_crossentropy",
    "dice",
    "tversky",
]


@pytest.mark.parametrize("name", NAMES)
def test_losses_by_name_are_keras_s(name):
    theirs = getattr(keras.losses, name, None) or keras.losses.get(name)
    true, pred = ONE_HOT, shares(7, 5)
    wanted = np.mean(keras.ops.convert_to_numpy(theirs(true, pred)))
    sign = -1 if name == "cosine_similarity" else 1  # Keras's class, and its function without it
    got = losses.get(name)(true, pred).item()
    assert abs(got) == pytest.approx(abs(sign * wanted), rel=2e-5)
    assert type(losses.get(type(losses.get(name)).__name__)) is type(losses.get(name))


MEANT = {
    "mape": "MeanAbsolutePercentageError",
    "top_k_categorical_accuracy": "TopKCategoricalAccuracy",
}


@pytest.mark.parametrize("name", ["mape", "top_k_categorical_accuracy", "Hinge", "Precision"])
def test_metrics_by_name(name):
    found = metrics.get(name)
    assert type(found).__name__ == MEANT.get(name, name)
    assert type(metrics.get(found.name)) is type(found)
    with pytest.raises(dlc.ValueRangeError, match="no metric"):
        metrics.get(name + "s")


def test_the_number_of_likeliest_classes():
    with pytest.raises(dlc.ValueRangeError, match="k=0"):
        metrics.TopKCategoricalAccuracy(k=0)
    nan = metrics.SparseTopKCategoricalAccuracy(k=5)
    assert nan([0, 1], np.float32([[np.nan, 1], [np.nan, 1]])).item() == 0.5


def test_metrics_of_ones_own_with_weights_of_keras():
    def own(package, ops):
        class Largest(package.Metric):
            def __init__(self, name="largest"):
                super().__init__(name=name)
                self.low = self.add_weight(shape=(), initializer="zeros", name="low")
                self.rows = self.add_weight(name="rows", shape=(2,), initializer="zeros")

            def update_state(self, y_true, y_pred, sample_weight=None):
                self.low.assign(ops.maximum(self.low, ops.max(ops.abs(y_true - y_pred))))
                self.rows.assign(self.rows + 1)

            def result(self):
                return self.low * self.rows[0]

        return Largest()

    ours, theirs = own(metrics, dlc), own(keras.metrics, keras.ops)
    x, y = floats(20, 3), floats(20, 2)
    start = [floats(3, 2), np.zeros(2, np.float32)]
    found = []
    for nn, metric in ((dlc.nn, ours), (keras.layers, theirs)):
        sequential = dlc.nn.Sequential if nn is dlc.nn else keras.Sequential
        model = sequential([nn.Input((3,)), nn.Dense(2)])
        model.set_weights(start)
        model.compile("sgd", "mse", metrics=[metric])
        history = model.fit(x, y, epochs=2, batch_size=5, shuffle=False, verbose=0).history
        found.append(history["largest"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    ours.reset_state()
    assert ours.rows.numpy().tolist() == [0.0, 0.0]
    ones = ours.add_weight((), "ones", dlc.int32, "count")
    ones.assign(7)
    ours.reset_state()
    assert (ones.item(), ones.dtype, ones.name) == (1, dlc.int32, "count")


@pytest.mark.parametrize("thresholds", [(0.2, 0.5), np.array([0.2, 0.5]), dlc.asarray([0.2, 0.5])])
def test_results_at_thresholds_in_a_row_of_any_kind(thresholds):
    found = metrics.Recall(thresholds)([1, 1, 0], [0.4, 0.9, 0.3])
    np.testing.assert_array_equal(found.numpy(), [1.0, 0.5])
    assert metrics.Recall(np.float32(0.5))([1, 1, 0], [0.4, 0.9, 0.3]).shape == ()
