"""Pipelines of data: what each method gives, epochs begun anywhere, threads, files, errors."""

from __future__ import annotations

import gc
import itertools
import signal
import threading
import time

import numpy as np
import pytest

import dlc
from dlc.data import AUTOTUNE, Dataset, IterableDataset

X = np.arange(24, dtype=np.float32).reshape(12, 2)
Y = np.arange(12)


def plain(dataset):
    """The elements as nested lists."""
    return [dlc.tree.map(lambda a: np.asarray(a).tolist(), e) for e in dataset]


def numbers(count=10):
    return Dataset.range(count)


class Squares(Dataset):
    """A dataset in PyTorch's way."""

    def __init__(self, count):
        self.count, self.read = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, k):
        self.read.append(k)
        return np.float32(k * k), k


class Stream(IterableDataset):
    def __iter__(self):
        yield from range(7)


# Every kind of pipeline, each with what it gives.
PIPELINES = {
    "arrays": (lambda: Dataset.from_tensor_slices(Y), list(range(12))),
    "lists": (lambda: Dataset.from_tensor_slices([3, 1, 2]), [3, 1, 2]),
    "texts": (lambda: Dataset.from_tensor_slices(["a", "b"]), ["a", "b"]),
    "one": (lambda: Dataset.from_tensors([1, 2]), [[1, 2]]),
    "generator": (lambda: Dataset.from_generator(lambda n: iter(range(n)), (4,)), [0, 1, 2, 3]),
    "range": (lambda: Dataset.range(2, 9, 3), [2, 5, 8]),
    "own": (lambda: Squares(4).map(lambda square, k: square), [0, 1, 4, 9]),
    "stream": (Stream, list(range(7))),
    "map": (lambda: numbers().map(lambda k: k * k), [k * k for k in range(10)]),
    "map of pairs": (lambda: numbers().enumerate(5).map(lambda n, k: n - k), [5] * 10),
    "map by threads": (lambda: numbers().map(lambda k: k * k, 3), [k * k for k in range(10)]),
    "filter": (lambda: numbers().filter(lambda k: k % 3 == 1), [1, 4, 7]),
    "filter of rows": (
        lambda: Dataset.from_tensor_slices((X, Y)).filter(lambda x, y: y > 8).batch(2),
        [(X[9:11].tolist(), [9, 10]), (X[11:].tolist(), [11])],
    ),
    "take": (lambda: numbers().take(3), [0, 1, 2]),
    "take all": (lambda: numbers().take(-1), list(range(10))),
    "skip": (lambda: numbers().skip(8), [8, 9]),
    "skip all": (lambda: numbers().skip(11), []),
    "shard": (lambda: numbers().shard(3, 1), [1, 4, 7]),
    "repeat": (lambda: numbers(2).repeat(3), [0, 1] * 3),
    "repeat of a filter": (
        lambda: numbers(4).filter(lambda k: k % 2).repeat(3), [1, 3] * 3
    ),
    "endless": (lambda: numbers(2).repeat().take(5), [0, 1, 0, 1, 0]),
    "nothing again": (lambda: numbers(0).repeat(), []),
    "batch": (lambda: numbers(5).batch(2), [[0, 1], [2, 3], [4]]),
    "whole batches": (lambda: numbers(5).batch(2, drop_remainder=True), [[0, 1], [2, 3]]),
    "batches of batches": (lambda: numbers(4).batch(1).batch(3), [[[0], [1], [2]], [[3]]]),
    "unbatch": (lambda: numbers(5).batch(2).unbatch(), [0, 1, 2, 3, 4]),
    "padded": (
        lambda: numbers(3).map(np.arange).padded_batch(2, padding_values=-1),
        [[[-1], [0]], [[0, 1]]],
    ),
    "padded texts": (
        lambda: numbers(2).map(lambda k: np.array(["ab"] * k)).padded_batch(2, None, "<pad>"),
        [[["<pad>"], ["ab"]]],
    ),
    "padded by nothing": (
        lambda: numbers(2).map(lambda k: (np.array(["a"] * k), np.ones(k))).padded_batch(2),
        [([[""], ["a"]], [[0], [1]])],
    ),
    "padded to a shape": (
        lambda: numbers(2).map(lambda k: (np.ones(k), {"b": k})).padded_batch(2, ((3,), {"b": ()})),
        [([[0, 0, 0], [1, 0, 0]], {"b": [0, 1]})],
    ),
    "prefetch": (lambda: numbers().prefetch(2), list(range(10))),
    "cache": (lambda: numbers(3).map(lambda k: -k).cache(), [0, -1, -2]),
    "enumerate": (lambda: numbers(2).map(lambda k: -k).enumerate(), [(0, 0), (1, -1)]),
    "zip": (lambda: Dataset.zip(numbers(3), numbers(2)), [(0, 0), (1, 1)]),
    "zip of a tree": (
        lambda: Dataset.zip({"a": numbers(2), "b": numbers().skip(5)}),
        [{"a": 0, "b": 5}, {"a": 1, "b": 6}],
    ),
    "concatenate": (lambda: numbers(2).concatenate(numbers(3)), [0, 1, 0, 1, 2]),
    "concatenate to a filter": (
        lambda: numbers(4).filter(lambda k: k > 1).concatenate(numbers(2)), [2, 3, 0, 1]
    ),
    "interleave": (
        lambda: Dataset.range(1, 4).interleave(
            lambda k: Dataset.from_tensors(k).repeat(5), cycle_length=2, block_length=3
        ),
        [1, 1, 1, 2, 2, 2, 1, 1, 2, 2, 3, 3, 3, 3, 3],
    ),
    "interleave by threads": (
        lambda: numbers(3).interleave(lambda k: Dataset.range(k, k + 2), 2, 1, AUTOTUNE),
        [0, 1, 1, 2, 2, 3],
    ),
    "flat_map": (lambda: numbers(3).flat_map(Dataset.range), [0, 0, 1]),
    "window": (
        lambda: numbers(7).window(3, shift=2, stride=2).flat_map(lambda w: w.batch(3)),
        [[0, 2, 4], [2, 4, 6], [4, 6], [6]],
    ),
    "whole windows": (
        lambda: numbers(8).window(2, shift=3, drop_remainder=True).flat_map(lambda w: w.batch(2)),
        [[0, 1], [3, 4], [6, 7]],
    ),
    "windows of pairs": (
        lambda: Dataset.zip(numbers(4), numbers(4).map(lambda k: -k))
        .window(2)
        .flat_map(lambda a, b: Dataset.zip(a.batch(2), b.batch(2))),
        [([0, 1], [0, -1]), ([2, 3], [-2, -3])],
    ),
    "apply": (lambda: numbers().apply(lambda d: d.take(1)), [0]),
}  # fmt: skip


@pytest.mark.parametrize("name", PIPELINES)
def test_elements_lengths_and_beginnings(name):
    make, wanted = PIPELINES[name]
    dataset = make()
    assert plain(dataset) == wanted
    assert plain(dataset) == wanted
    assert plain(dataset.as_numpy_iterator()) == wanted
    assert dataset.cardinality() in (len(wanted), Dataset.UNKNOWN)
    for start in range(len(wanted) + 2):
        assert plain(make().epoch(0, start)) == wanted[start:], start
    if wanted and not name.startswith("one"):
        assert dataset.batch(2).element_spec is not None


SHUFFLED = {
    "rows": lambda: Dataset.from_tensor_slices(Y).shuffle(12, seed=1),
    "rows, small buffer": lambda: Dataset.from_tensor_slices(Y).shuffle(5, seed=1),
    "elements": lambda: numbers(12).map(lambda k: k).shuffle(50, seed=1),
    "elements, small buffer": lambda: numbers(12).map(lambda k: k).shuffle(5, seed=1),
    "in passes": lambda: Dataset.from_tensor_slices(Y[:4]).shuffle(4, seed=1).repeat(3),
    "batches": lambda: Dataset.from_tensor_slices((X, Y)).shuffle(7, seed=1).batch(5),
    "one after another": lambda: numbers(12).shuffle(6, seed=1).shuffle(12, seed=2).prefetch(),
    "random augmentation": lambda: numbers(6).map(lambda k, rng: k + rng.random(), 2, seed=3),
    "fixed": lambda: numbers(12).shuffle(12, seed=1, reshuffle_each_iteration=False),
}


@pytest.mark.parametrize("name", SHUFFLED)
def test_an_order_is_a_function_of_seed_and_epoch(name):
    make = SHUFFLED[name]
    first, again = make(), make()
    epochs = [plain(first) for _ in range(3)]
    assert (epochs[0] == epochs[1] == epochs[2]) == (name == "fixed")
    for number, wanted in reversed(list(enumerate(epochs))):
        for start in (0, 1, 3, len(wanted)):
            assert plain(again.epoch(number, start)) == wanted[start:]
    iterator, wanted = iter(make()), plain(make())
    head = list(itertools.islice(iterator, 2))
    state = iterator.state_dict()
    other = iter(make())
    next(other)
    other.load_state_dict(state)
    assert plain(head) + plain(other) == wanted
    assert plain(iterator) == wanted[2:]


def test_shuffled_elements_are_all_there_and_far_apart():
    for make in (SHUFFLED["rows"], SHUFFLED["elements, small buffer"]):
        assert sorted(plain(make())) == list(range(12))
    firsts = [next(iter(numbers(100).shuffle(100, seed=s))) for s in range(50)]
    assert len(set(firsts)) > 25
    near = plain(numbers(1000).shuffle(10, seed=0))
    assert max(value - place for place, value in enumerate(near)) < 10


def test_without_a_seed_the_global_generator_decides():
    def order():
        return plain(numbers(20).shuffle(20))

    dlc.random.seed(4)
    first = order(), order()
    dlc.random.seed(4)
    assert (order(), order()) == first
    assert first[0] != first[1]
    dataset = numbers(20).shuffle(20)
    iterator = iter(dataset)
    head = list(itertools.islice(iterator, 5))
    other = iter(numbers(20).shuffle(20))
    other.load_state_dict(iterator.state_dict())
    assert sorted(head + list(other)) == list(range(20))
    with pytest.raises(dlc.ValueRangeError, match="seeds"):
        iter(numbers(20).shuffle(20, seed=5)).load_state_dict(iterator.state_dict())


def test_batches_are_gathered_and_arrays_are_not_written_through():
    x = X.copy()
    dataset = Dataset.from_tensor_slices((x, {"y": Y}))
    for a, b in dataset.batch(4):
        assert np.shares_memory(a, x)
        assert not a.flags.writeable
        assert b["y"].dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        next(iter(dataset))[0][:] = 0
    a, _ = next(iter(dataset.shuffle(12, seed=0).batch(4)))
    assert not np.shares_memory(a, x)
    assert (x == X).all()
    own = Squares(9)
    squares, k = next(own.shuffle(9, seed=1).batch(3).epoch(0, start=2))
    assert own.read == k.tolist()
    assert (squares == k * k).all()


def test_what_is_skipped_is_not_made():
    made = []
    dataset = numbers().map(lambda k: made.append(k) or k).batch(2)
    assert plain(dataset.epoch(0, 3)) == [[6, 7], [8, 9]]
    assert made == [6, 7, 8, 9]


def test_lengths_that_are_not_numbers():
    assert numbers().repeat().cardinality() == Dataset.INFINITE
    assert numbers().filter(bool).cardinality() == Dataset.UNKNOWN
    for dataset, match in ((numbers().repeat(), "no end"), (Stream(), "not known")):
        assert dataset
        with pytest.raises(TypeError, match=match):
            len(dataset)
    assert repr(numbers(3).batch(2)) == "<Dataset of 2 elements>"
    assert "without end" in repr(numbers().repeat())
    assert Dataset.zip(numbers().repeat(), numbers(3)).cardinality() == 3


def test_types_of_elements():
    spec = Dataset.from_tensor_slices((X, {"y": Y})).batch(5).element_spec
    assert dlc.tree.map(str, spec) == ("f32[batch,2]", {"y": "i64[batch]"})
    spec = Dataset.from_tensor_slices((X, Y)).batch(5, drop_remainder=True).shuffle(2).element_spec
    assert dlc.tree.map(str, spec) == ("f32[5,2]", "i64[5]")
    assert str(numbers().map(float).element_spec) == "f32[]"
    assert Dataset.from_tensor_slices(["ab"]).element_spec == np.dtype("U2")
    tensors = numbers(4).map(lambda k: dlc.asarray([k, 1.0])).batch(4)
    (batch,) = tensors
    assert isinstance(batch, np.ndarray)
    assert batch.dtype == np.float32


def test_threads_keep_the_order_or_not():
    gate = threading.Event()

    def slow_first(k):
        if k == 0:
            gate.wait(20)
        if k == 3:
            gate.set()
        return k

    assert plain(numbers(8).map(slow_first, 4)) == list(range(8))
    gate.clear()
    found = plain(numbers(8).map(slow_first, 4, deterministic=False))
    assert sorted(found) == list(range(8))
    assert found[0] != 0
    seen = set()
    barrier = threading.Barrier(2, timeout=20)
    plain(numbers(4).map(lambda k: (seen.add(threading.get_ident()), barrier.wait()), 2))
    assert len(seen) == 2


def dlc_threads():
    return [t for t in threading.enumerate() if t.name.startswith("dlc ")]


def test_walks_that_are_left_end_their_threads():
    for make in (
        lambda: numbers().repeat().prefetch(3),
        lambda: numbers().repeat().map(lambda k: k, 2),
        lambda: numbers().repeat().map(lambda k: k, 2).prefetch(2).batch(3),
        lambda: numbers().repeat().interleave(lambda k: numbers(3), 2, 1, 2),
    ):
        iterator = iter(make())
        next(iterator)
        del iterator
        gc.collect()
    for _ in range(200):
        if not dlc_threads():
            break
        time.sleep(0.01)
    assert not dlc_threads()


def bad(k):
    if k == 5:
        raise KeyError("no such thing")
    return k


@pytest.mark.parametrize(
    "make",
    [
        lambda: numbers().map(bad),
        lambda: numbers().map(bad, 3),
        lambda: numbers().map(bad).prefetch(2),
        lambda: numbers().filter(bad),
        lambda: numbers().flat_map(lambda k: numbers(bad(k) and 0)),
    ],
)
def test_errors_of_functions_say_of_which_element(make):
    with pytest.raises(KeyError, match="no such thing") as caught:
        plain(make())
    (note,) = caught.value.__notes__
    assert note.endswith("element 5") or "flat_map" in note or "interleave" in note
    assert "test_dataset.py" in note


def too_far(k, rng=None):
    return next(iter(())) if k == 5 else k


class Ending(Squares):
    def __getitem__(self, k):
        return too_far(k)


@pytest.mark.parametrize(
    "make",
    [
        lambda: numbers().map(too_far),
        lambda: numbers().map(too_far).batch(2),
        lambda: numbers().map(too_far, 2),
        lambda: numbers().filter(too_far),
        lambda: Ending(10),
        lambda: Ending(10).batch(2),
    ],
)
def test_a_function_that_raises_stop_iteration_does_not_end_the_data(make):
    with pytest.raises(RuntimeError, match=r"StopIteration was raised in .* 5"):
        plain(make())


def test_a_cache_is_read_once():
    calls = []
    dataset = numbers(4).map(lambda k: calls.append(k) or np.full(2, k)).cache()
    next(iter(dataset))
    assert calls == [0]
    for _ in range(3):
        assert plain(dataset.batch(4)) == [[[0, 0], [1, 1], [2, 2], [3, 3]]]
    assert calls == [0, 0, 1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        next(iter(dataset))[0] = 7
    assert len(dataset) == 4
    rows = Dataset.from_tensor_slices((X, Y)).cache().shuffle(12, seed=0).batch(6)
    assert sorted(np.concatenate([y for _, y in rows]).tolist()) == list(range(12))


@pytest.mark.parametrize("path", ["", "cache"])
def test_what_is_done_to_an_element_does_not_reach_the_cache(path, tmp_path):
    def parted(element):
        element["parts"].append(element.pop("label"))
        return element["parts"], element["x"]

    given = {"x": np.ones(2), "label": 3, "parts": [0]}
    made = [
        Dataset.from_tensors(given).repeat(2),
        numbers(2).map(lambda k: {**given, "parts": [0]}).cache(path and tmp_path / path),
    ]
    for dataset in made:
        for _ in range(2):
            assert plain(dataset.map(parted)) == [([0, 3], [1, 1])] * 2
    assert given == {"x": given["x"], "label": 3, "parts": [0]}
    with pytest.raises(ValueError, match="read-only"):
        next(iter(made[0]))["x"] += 1


def test_a_cache_in_a_file_keeps_the_types_of_numbers(tmp_path):
    given = [np.float64(0.1), 0.1, np.int8(1), 1, np.bool_(True), True, np.array(0.1)]
    dataset = Dataset.from_generator(lambda: iter([given])).cache(tmp_path / "cache")
    assert [[type(k) for k in e] for e in dataset] == [[type(k) for k in given]]
    assert [[type(k) for k in e] for e in dataset] == [[type(k) for k in given]]


def test_a_cache_in_a_file(tmp_path):
    import ml_dtypes

    calls, path = [], tmp_path / "kept"

    def make(k):
        calls.append(k)
        half = np.full(2, k, ml_dtypes.bfloat16)
        return {"a": (half, [X[k], None]), "text": f"é{k}", "number": k, "half": 0.5 * k}

    dataset = numbers(5).map(make).cache(path)
    first = list(dataset)
    assert calls == list(range(5))
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    again = list(numbers(5).map(make).cache(path))
    assert calls == list(range(5))
    for wanted, found in zip(first, again, strict=True):
        assert found["a"][0].dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(found["a"][0], wanted["a"][0])
        np.testing.assert_array_equal(found["a"][1][0], wanted["a"][1][0])
        assert found["a"][1][1] is None
        assert [found[k] for k in ("text", "number", "half")] == [
            wanted[k] for k in ("text", "number", "half")
        ]
    assert [e["number"] for e in dataset.epoch(7, 3)] == [3, 4]
    assert len(dataset) == 5
    whole = path.read_bytes()
    odd = whole.replace(b"(5,), }", b"(5,), {")  # the header of NumPy's array of places
    assert odd != whole
    for broken in (whole[:-1], whole[:30], b"", b"x" * 200, whole[:-40] + whole[-30:], odd):
        path.write_bytes(broken)
        with pytest.raises(dlc.FileFormatError, match="remove it"):
            list(dataset)
    path.unlink()
    next(iter(dataset))  # left in the middle: nothing stays
    gc.collect()
    with pytest.raises(dlc.ArgumentError, match="cannot be cached"):
        list(numbers(2).map(lambda k: object()).cache(path))
    assert not list(tmp_path.iterdir())


def test_a_cache_on_a_full_disk_leaves_nothing(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    dataset = numbers(30).map(lambda k: np.full(1000, k)).cache(tmp_path / "kept")
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with pytest.raises(dlc.SaveError, match="kept' could not be written"):
            list(dataset)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not list(tmp_path.iterdir())
    assert len(list(dataset)) == 30
    with pytest.raises(dlc.SaveError, match="No such file"):
        list(numbers(3).cache(tmp_path / "none" / "kept"))


def test_fit_takes_a_dataset():
    from dlc import losses, nn, optim

    def model():
        dlc.random.seed(0)
        made = nn.Sequential(nn.Linear(2, 12))
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
        made.compile(optim.SGD(learning_rate=0.01), loss)
        return made

    dataset = Dataset.from_tensor_slices((X, Y)).batch(5)
    a, b = model(), model()
    found = a.fit(dataset, epochs=3, validation_data=dataset, verbose=0, batch_size=None).history
    wanted = b.fit(
        X, Y, epochs=3, validation_data=(X, Y), batch_size=5, shuffle=False, verbose=0
    ).history
    assert found == wanted
    assert b.fit(X, Y, batch_size=4, validation_data=dataset, verbose=0).history["val_loss"]
    stats = a._fitting.steps.functions["train_step"].stats
    assert (stats.compilations, stats.calls) == (1, 9)
    assert a.predict(dataset.map(lambda x, y: x)).shape == (12, 12)
    endless = Dataset.from_tensor_slices((X, Y)).shuffle(12, seed=0).batch(5).repeat()
    assert len(a.fit(endless, steps_per_epoch=4, epochs=2, verbose=0).history["loss"]) == 2
    with pytest.raises(dlc.ValueRangeError, match="the Dataset is empty"):
        a.fit(dataset.take(0), verbose=0)
    with pytest.raises(dlc.ArgumentError, match=r"Squares gives samples.*\n.*\n.*\n.*DataLoader"):
        a.fit(Squares(3), verbose=0)


def paired():
    return numbers(2).map(lambda k: {"b": np.ones(k), "a": np.ones(k)})


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: Dataset.from_tensor_slices((X, Y[:5])), dlc.ShapeError, r"\(12, 2\), \(5,\)"),
        (lambda: Dataset.from_tensor_slices((X, 3)), dlc.ShapeError, "a number has no rows"),
        (lambda: Dataset.from_tensor_slices(()), dlc.ShapeError, "none"),
        (lambda: numbers().batch(0), dlc.ValueRangeError, "batch_size=0"),
        (lambda: numbers().batch(2.5), dlc.ValueRangeError, "batch_size=2.5"),
        (lambda: numbers().shuffle(0), dlc.ValueRangeError, "buffer_size=0"),
        (lambda: numbers().shard(2, 2), dlc.ValueRangeError, "index=2 of 2"),
        (lambda: numbers().map(abs, 0), dlc.ValueRangeError, "num_parallel_calls=0"),
        (lambda: Dataset.from_generator(iter([1])), dlc.ArgumentError, "must be able to begin"),
        (lambda: Dataset.zip(numbers(), 3), dlc.ArgumentError, "zip of a int"),
        (lambda: Dataset.zip(()), dlc.ArgumentError, "zip of no datasets"),
        (lambda: numbers().concatenate([1]), dlc.ArgumentError, "concatenate of a list"),
        (lambda: numbers().shuffle(2, seed=-1), dlc.ValueRangeError, "seed=-1"),
        (lambda: numbers().shuffle(2, seed=0.5), dlc.ValueRangeError, "seed=0.5"),
        (lambda: numbers().map(abs, seed=-1), dlc.ValueRangeError, "seed=-1"),
        (lambda: numbers().epoch(-1), dlc.ValueRangeError, "epoch=-1"),
        (lambda: numbers().epoch(0, start=-1), dlc.ValueRangeError, "start=-1"),
        (
            lambda: plain(paired().padded_batch(2, padding_values={"a": 1, "c": 0})),
            dlc.ShapeError,
            r"padding_values=\{'a': 1, 'c': 0\}, where elements are dict",
        ),
        (
            lambda: plain(paired().padded_batch(2, {"a": (3,)})),
            dlc.ShapeError,
            r"padded_shapes=\{'a': \(3,\)\}, where",
        ),
        (lambda: plain(numbers().flat_map(lambda k: k)), dlc.ArgumentError, "returned a int"),
        (lambda: plain(Dataset()), dlc.ArgumentError, "has neither __getitem__"),
        (
            lambda: plain(numbers(4).map(np.ones).batch(3)),
            dlc.ShapeError,
            r"element 0 \(0,\), element 1 \(1,\)[\s\S]*in batch 0[\s\S]*padded_batch",
        ),
        (
            lambda: plain(numbers(2).map(lambda k: k or None).batch(2)),
            dlc.ShapeError,
            "different structures",
        ),
        (
            lambda: plain(numbers(2).map(lambda k: None if k else 0).batch(2)),
            dlc.DTypeError,
            "different kinds: element 0 int64, element 1 object",
        ),
        (
            lambda: plain(numbers(2).map(lambda k: k or "none").batch(2)),
            dlc.DTypeError,
            "different kinds: element 0 <U4, element 1 int64",
        ),
        (
            lambda: plain(numbers(4).map(lambda k: (k,) * (k + 1)).batch(3)),
            dlc.ShapeError,
            "different structures",
        ),
        (
            lambda: plain(numbers(4).map(lambda k: {str(k): k}).batch(3)),
            dlc.ShapeError,
            "has no '0'",
        ),
        (
            lambda: plain(numbers(2).map(lambda k: {str(k): np.ones(k)}).padded_batch(2)),
            dlc.ShapeError,
            "different structures",
        ),
        (
            lambda: plain(numbers(2).map(lambda k: (k,) * (2 - k)).window(2)),
            dlc.ShapeError,
            "different structures",
        ),
        (
            lambda: plain(numbers(3).map(np.arange).padded_batch(3, padding_values=0.5)),
            dlc.ValueRangeError,
            "fills elements of int64 with 0.5",
        ),
        (
            lambda: plain(numbers(3).map(np.arange).padded_batch(3, padding_values="0")),
            dlc.ValueRangeError,
            "fills elements of int64 with '0'",
        ),
        (
            lambda: plain(numbers(3).map(np.ones).padded_batch(3, (1,))),
            dlc.ShapeError,
            r"to \(1,\): an element has \(2,\)[\s\S]*in batch 0 of the dataset",
        ),
        (
            lambda: plain(
                Dataset.from_generator(lambda: [np.ones(3)], output_signature=dlc.spec((4,)))
            ),
            dlc.ShapeError,
            r"element 0 of the generator is f64\[3\], the output_signature f32\[4\]",
        ),
        (lambda: numbers(0).element_spec, dlc.ShapeError, "is empty"),
        (lambda: Dataset.list_files("/nowhere/*.png"), dlc.ArgumentError, "no file matches"),
    ],
)
def test_what_cannot_be_done_says_why(call, error, match):
    with pytest.raises(error, match=match):
        call()
