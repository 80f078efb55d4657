"""What fit takes: arrays, generators, sequences; epochs begun in the middle; bad sources."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import dlc
from dlc import losses, nn, optim
from dlc.train.arrays import class_weights
from dlc.train.batches import source_of
from dlc.train.passes import shuffled

X = np.arange(40, dtype=np.float32).reshape(20, 2)
Y = np.arange(20) % 3


class Pieces:
    """Batches, again and again."""

    def __init__(self, count=5):
        self.count, self.walks = count, 0

    def __iter__(self):
        self.walks += 1
        for k in range(self.count):
            yield X[k : k + 1], Y[k : k + 1]


class Sequence:
    """As Keras's PyDataset."""

    def __init__(self, count=5):
        self.count, self.ended = count, 0

    def __len__(self):
        return self.count

    def __getitem__(self, k):
        return X[k : k + 1], Y[k : k + 1]

    def on_epoch_end(self):
        self.ended += 1


def numbers(batches):
    return [int(x[0, 0]) // 2 for x, _, _ in batches]


def classifier():
    dlc.random.seed(0)
    model = nn.Sequential(nn.Linear(2, 3))
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optim.SGD(learning_rate=0.01), loss)
    return model


@pytest.mark.parametrize("start", [0, 1, 3, 5])
@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize("steps", [None, 3, 8])
@pytest.mark.parametrize("kind", ["arrays", "pieces", "sequence"])
def test_an_epoch_goes_on_where_it_was_left(kind, steps, seed, start):
    def source():
        if kind == "arrays":
            return source_of(X, Y, None, 4, seed, steps)
        return source_of(
            {"pieces": Pieces, "sequence": Sequence}[kind](), None, None, None, seed, steps
        )

    whole = source()
    epochs = [list(whole.epoch(k)) for k in range(3)]
    assert whole.steps in (steps or 5, None)
    again = list(source().epoch(2, start))
    wanted = epochs[2][start:]
    assert len(again) == len(wanted) == (steps or 5) - min(start, steps or 5)
    for (x, y, _), (u, v, _) in zip(again, wanted, strict=True):
        np.testing.assert_array_equal(x, u)
        np.testing.assert_array_equal(y, v)


def test_steps_of_an_epoch_are_of_passes_one_after_another():
    source = source_of(Pieces(), steps=3)
    assert [numbers(source.epoch(k)) for k in range(3)] == [[0, 1, 2], [3, 4, 0], [1, 2, 3]]
    assert numbers(source_of(Pieces(2), steps=5).epoch(0)) == [0, 1, 0, 1, 0]
    assert numbers(source_of(Pieces(), steps=3, first_epoch=4).epoch(4)) == [0, 1, 2]
    pieces = Pieces()
    source = source_of(pieces, steps=5)
    for k in range(2):
        assert numbers(source.epoch(k)) == [0, 1, 2, 3, 4]
    assert pieces.walks == 2


def test_a_generator_is_walked_on():
    source = source_of(((X[k : k + 1], Y[k : k + 1]) for k in range(20)), steps=4, first_epoch=1)
    assert numbers(source.epoch(1)) == [0, 1, 2, 3]
    assert numbers(source.epoch(2)) == [4, 5, 6, 7]
    assert numbers(source.epoch(2)) == [8, 9, 10, 11]
    later = source_of(((X[k : k + 1], Y[k : k + 1]) for k in range(20)), steps=4)
    assert numbers(later.epoch(2, 1)) == [9, 10, 11]


def test_samples_are_predicted_and_evaluated_once():
    model = classifier()
    wanted = model.predict(X)
    for x, size in (
        (X, 4),
        (iter(np.split(X, 5)), None),
        (dlc.data.Dataset.from_tensor_slices(X).batch(4), None),
    ):
        with pytest.warns(UserWarning, match="ended in a prediction after 5 of 7 batches") as seen:
            np.testing.assert_array_equal(model.predict(x, size, steps=7), wanted)
        assert seen[0].filename == __file__
    with pytest.warns(UserWarning, match="an evaluation after 5 of 7"):
        loss = model.evaluate(X, Y, 4, verbose=0, steps=7)
    assert loss == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-6)
    with pytest.warns(UserWarning, match="a validation after 2 of 3"):
        model.fit(
            X, Y, validation_data=(X, Y), validation_batch_size=10, validation_steps=3, verbose=0
        )
    with pytest.raises(dlc.ValueRangeError, match="a prediction after 0 of 2 batches"):
        model.predict(Pieces(0), steps=2)


def test_a_sequence_is_shuffled_by_batches_and_told_of_the_end():
    sequence = Sequence()
    source = source_of(sequence, seed=3)
    orders = [numbers(source.epoch(k)) for k in range(4)]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert len(set(map(tuple, orders))) > 1
    assert sequence.ended == 4
    assert numbers(source_of(sequence).epoch(1)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "settings", [{}, {"workers": 3}, {"workers": 2, "use_multiprocessing": True}]
)
def test_batches_by_index_are_made_by_workers(settings):
    from loader_samples import Batches

    batches = Batches(**settings)
    source = source_of(batches, seed=2)
    wanted = [numbers(source_of(Sequence(), seed=2).epoch(k)) for k in range(2)]
    assert [numbers(source.epoch(k)) for k in range(2)] == wanted
    assert numbers(source.epoch(1, 3)) == wanted[1][3:]
    assert batches.seen == ["begin", "end"] * 3
    assert batches.num_batches == 5
    with pytest.raises(dlc.ValueRangeError, match="workers=0"):
        Batches(workers=0)
    with pytest.raises(NotImplementedError, match="has no __len__"):
        len(dlc.data.PyDataset())
    with pytest.raises(NotImplementedError, match="has no __getitem__"):
        dlc.data.PyDataset()[0]


@pytest.mark.filterwarnings("ignore")
def test_peers_loaders_and_sequences_are_taken():
    import torch

    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=8)
    found, wanted = (
        classifier().fit(*given, epochs=2, shuffle=False, verbose=0, **more).history["loss"]
        for given, more in (((loader,), {}), ((X, Y), {"batch_size": 8}))
    )
    assert found == wanted


def test_dicts_and_class_weights():
    model = classifier()
    weights = {0: 1.0, 1: 3.0}
    loss = model.fit(X, Y, batch_size=5, shuffle=False, verbose=0, class_weight=weights).history
    pieces = [(X[k : k + 5], Y[k : k + 5]) for k in range(0, 20, 5)]
    same = classifier()
    assert same.fit(iter(pieces), verbose=0, class_weight=weights).history == loss
    given = source_of({"a": X, "b": X}, {"y": Y}, None, 8)
    assert [sorted(x) for x, _, _ in given.epoch(0)] == [["a", "b"]] * 3
    with pytest.raises(dlc.ArgumentError, match="class_weight with no labels"):
        model.fit(iter([X[:5]]), verbose=0, class_weight=weights)
    with pytest.raises(dlc.ArgumentError, match="a dict of other keys"):
        model.fit(X, Y, verbose=0, class_weight={"0": 1.0})


@pytest.mark.parametrize(
    ("labels", "own", "wanted"),
    [
        ([-1, 1, 3, -1], None, [5, 2, 1, 5]),  # of losses of margins, and of classes not to learn
        ([[1.0], [-1.0]], None, [2, 5]),
        ([[0, 0, 1], [0, 1, 0]], [1.0, 0.5], [7, 1]),  # one-hot
        ([2.0, 0.98, 10**13], None, [7, 2, 1]),
        ([1, -1], [[1.0, 0.0], [1.0, 1.0]], [[2, 0], [5, 5]]),  # of steps of sequences
    ],
)
def test_factors_by_class(labels, own, wanted):
    factors = {-1: 5.0, 1: 2.0, 2: 7.0}
    own = None if own is None else np.asarray(own)
    found = class_weights(np.asarray(labels), factors, own)
    np.testing.assert_array_equal(found, wanted)


def test_factors_by_class_of_several_labels_or_other_samples():
    with pytest.raises(dlc.ArgumentError, match=r"labels of shape \(2, 3, 4\)"):
        class_weights(np.zeros((2, 3, 4)), {0: 2.0}, None)
    with pytest.raises(dlc.ShapeError, match="labels and their sample_weight"):
        class_weights(np.zeros(2), {0: 2.0}, np.ones(3))


def test_the_last_batch_of_a_generator_compiles_nothing():
    model = classifier()
    pieces = [(X[k : k + 7], Y[k : k + 7]) for k in range(0, 20, 7)]
    model.fit(itertools.cycle(pieces), steps_per_epoch=3, epochs=2, verbose=0)
    stats = model._fitting.steps.functions["train_step"].stats
    assert (stats.compilations, stats.calls) == (1, 6)


PIECES = [(X[:5], Y[:5])] * 5


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda m: m.fit(iter(PIECES), steps_per_epoch=3, epochs=2, verbose=0),
            dlc.ValueRangeError,
            "ended in epoch 2 after 2 of 3 batches",
        ),
        (lambda m: m.fit(iter(PIECES), epochs=2, verbose=0), dlc.ValueRangeError, "at its end"),
        (lambda m: m.fit(Pieces(0), verbose=0), dlc.ValueRangeError, "the Pieces is empty"),
        (
            lambda m: m.fit(Pieces(0), steps_per_epoch=2, verbose=0),
            dlc.ValueRangeError,
            "ended in epoch 1 after 0 of 2",
        ),
        (lambda m: m.evaluate(Pieces(0), verbose=0), dlc.ValueRangeError, "is empty"),
        (lambda m: m.predict(Pieces(0)), dlc.ValueRangeError, "is empty"),
        (lambda m: m.fit(Pieces(), Y, verbose=0), dlc.ArgumentError, "and y came beside"),
        (lambda m: m.fit(Pieces(), batch_size=3, verbose=0), dlc.ArgumentError, "batch_size came"),
        (lambda m: m.fit(3, verbose=0), dlc.ArgumentError, "int gives no batches"),
        (
            lambda m: m.fit(Pieces(), validation_split=0.2, verbose=0),
            dlc.ArgumentError,
            "validation_split of a Pieces",
        ),
        (
            lambda m: m.fit(Pieces(), steps_per_epoch=0, verbose=0),
            dlc.ValueRangeError,
            "steps=0 must be a positive integer",
        ),
    ],
)  # fmt: skip
def test_sources_that_cannot_be_used_say_why(call, error, match):
    with pytest.raises(error, match=match):
        call(classifier())


def test_orders_of_rows_are_functions_of_the_seed_and_the_epoch():
    order = shuffled(3)
    first = [order(epoch, 50) for epoch in (0, 1, 7, 100_000)]
    for rows in first:
        assert sorted(rows) == list(range(50))
    for a, b in itertools.combinations(first, 2):
        assert (a != b).sum() > 30
    again = [shuffled(seed)(7, n) for seed, n in ((3, 50), (4, 50), (3, 50))]
    assert (again[0] == first[2]).all()
    assert (again[2] == first[2]).all()
    assert (again[1] != first[2]).any()
