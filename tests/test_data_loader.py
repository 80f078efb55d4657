"""DataLoader: PyTorch's batches, the same ones with and without workers; errors of workers."""

from __future__ import annotations

import collections
import itertools
import os
import pathlib
import pickle
from typing import NamedTuple

import loader_samples as samples
import numpy as np
import pytest

import dlc
from dlc.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    random_split,
)

DATA = samples.Samples()
CONTEXTS = ["fork", "forkserver"]


def numbers(loader):
    return [np.asarray(k).tolist() for _, k in loader]


@pytest.fixture(autouse=True)
def no_processes():
    """Nothing is left of a test but the server of forks."""
    yield
    children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children")
    if children.exists():
        for child in children.read_text().split():
            command = pathlib.Path(f"/proc/{child}/cmdline").read_text()
            assert "forkserver" in command or "tracker" in command, command


def theirs(data, **settings):
    import torch

    if not hasattr(data, "__getitem__"):
        walk = {"__iter__": lambda _, given=data: iter(given)}
        data = type("Stream", (torch.utils.data.IterableDataset,), walk)()
    return [
        [np.asarray(x).tolist() if hasattr(x, "numpy") else x for x in batch]
        if isinstance(batch, list)
        else batch
        for batch in torch.utils.data.DataLoader(data, **settings)
    ]


@pytest.mark.parametrize("batch_size", [None, 1, 6, 20, 30])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_are_pytorchs(batch_size, drop_last):
    if batch_size is None and drop_last:
        pytest.skip("not both")
    for data in (DATA, samples.Parts([7, 4])):
        settings = {"batch_size": batch_size, "drop_last": drop_last}
        found = [[np.asarray(x).tolist() for x in batch] for batch in DataLoader(data, **settings)]
        assert found == theirs(data, **settings)
    assert len(DataLoader(DATA, **settings)) == len(theirs(DATA, **settings))


class Point(NamedTuple):
    x: object
    y: object


def test_collation_is_pytorchs():
    import torch

    for batch in (
        [1.5, 2.5],
        [1, 2],
        [True, False],
        ["a", "b"],
        [b"a", b"b"],
        [np.float32(1), np.float32(2)],
        [np.ones(3, np.float16), np.zeros(3, np.float16)],
        [{"a": 1, "b": [2.0, "x"]}, {"a": 3, "b": [4.0, "y"]}],
        [(1, 2.0), (3, 4.0)],
        [Point(1, 2.0), Point(3, 4.0)],
    ):
        found, wanted = default_collate(batch), torch.utils.data.default_collate(batch)
        assert type(found) is type(wanted) or isinstance(found, dlc.Tensor)
        flat = dlc.tree.leaves(found)
        their = torch.utils._pytree.tree_leaves(wanted)
        for a, b in zip(flat, their, strict=True):
            if isinstance(a, dlc.Tensor):
                assert str(a.numpy().dtype) == str(b.dtype).removeprefix("torch.")
                assert a.numpy().tolist() == b.tolist()
            else:
                assert a == b
    tensors = default_collate([dlc.asarray([1.0, 2.0]), dlc.asarray([3.0, 4.0])])
    assert tensors.numpy().tolist() == [[1, 2], [3, 4]]
    converted = default_convert({"a": np.ones(2), "b": ("x", 3), "p": Point(np.int32(1), None)})
    assert isinstance(converted["a"], dlc.Tensor)
    assert converted["b"] == ["x", 3]
    assert isinstance(converted["p"].x, dlc.Tensor)
    with pytest.raises(dlc.ShapeError, match=r"different shapes in one batch: \(2,\), \(3,\)"):
        default_collate([np.ones(2), np.ones(3)])
    with pytest.raises(dlc.ShapeError, match="parts"):
        default_collate([(1,), (1, 2)])
    with pytest.raises(dlc.ShapeError, match=r"keys \['a'\], one \['b'\]"):
        default_collate([{"a": 1}, {"b": 1}])
    for loader in (
        DataLoader([1, 2], batch_sampler=[[0], []]),
        DataLoader(TensorDataset(DATA.data), batch_sampler=[[0], []]),
    ):
        with pytest.raises(dlc.ArgumentError, match="batch of no samples"):
            list(loader)
    with pytest.raises(dlc.ArgumentError, match="with a object"):
        default_collate([object()])


def test_orders_are_functions_of_seed_and_epoch():
    first, again = (DataLoader(DATA, 3, shuffle=True, seed=5) for _ in range(2))
    epochs = [numbers(first) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert sorted(itertools.chain(*epochs[0])) == list(range(20))
    for epoch, start in ((2, 0), (1, 4), (0, 7)):
        assert numbers(again.epoch(epoch, start)) == epochs[epoch][start:]
    dlc.random.seed(1)
    a = numbers(DataLoader(DATA, 3, shuffle=True))
    dlc.random.seed(1)
    assert numbers(DataLoader(DATA, 3, shuffle=True)) == a
    rng = np.random.default_rng
    one, other = (numbers(DataLoader(DATA, 3, True, generator=rng(3))) for _ in range(2))
    assert one == other


def test_samplers():
    assert list(SequentialSampler(DATA)) == list(range(20))
    random = RandomSampler(DATA, generator=1)
    assert sorted(random) == list(range(20))
    assert list(random) != list(random.epoch(0))
    assert len(list(RandomSampler(DATA, num_samples=50, generator=1))) == 50
    drawn = list(RandomSampler(DATA, replacement=True, num_samples=100, generator=1))
    assert len(drawn) == 100
    assert max(collections.Counter(drawn).values()) > 1
    assert list(RandomSampler([], generator=0)) == []
    assert sorted(SubsetRandomSampler([4, 8, 9], generator=0)) == [4, 8, 9]
    weighted = WeightedRandomSampler([0, 1, 3], 4000, generator=0)
    counts = collections.Counter(weighted)
    assert set(counts) == {1, 2}
    assert 2.5 < counts[2] / counts[1] < 3.6
    assert sorted(WeightedRandomSampler([1, 0, 3], 2, replacement=False, generator=0)) == [0, 2]
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    loader = DataLoader(DATA, batch_sampler=[[1, 2], [7]])
    assert numbers(loader) == numbers(loader) == [[1, 2], [7]]
    assert len(loader) == 2
    assert numbers(DataLoader(DATA, 2, sampler=SubsetRandomSampler([3], 0))) == [[3]]

    class Own(Sampler):
        def __iter__(self):
            return iter([5, 4])

        def __len__(self):
            return 2

    assert numbers(DataLoader(DATA, 1, sampler=Own())) == [[5], [4]]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_processes_share_the_samples(shuffle, drop_last):
    import torch

    parts = [DistributedSampler(DATA, 3, r, shuffle, drop_last=drop_last) for r in range(3)]
    found = [list(s.epoch(4)) for s in parts]
    assert {len(f) for f in found} == {len(parts[0])} == {6 if drop_last else 7}
    together = collections.Counter(itertools.chain(*found))
    assert max(together.values()) - min(together.values()) <= 1
    assert len(together) == (18 if drop_last else 20)
    if not shuffle:
        for rank in range(3):
            wanted = torch.utils.data.DistributedSampler(DATA, 3, rank, False, 0, drop_last)
            assert found[rank] == list(wanted)
    else:
        assert found[0] != list(parts[0].epoch(5))
        parts[0].set_epoch(4)
        assert list(parts[0].epoch(9)) == found[0]


def test_datasets_of_datasets():
    tensors = TensorDataset(DATA.data, dlc.arange(20))
    assert len(tensors) == 20
    x, k = tensors[3]
    assert isinstance(x, dlc.Tensor)
    assert k.item() == 3
    joined = ConcatDataset([tensors, Subset(tensors, [5, 2])])
    assert len(joined) == 22
    assert [joined[k][1].item() for k in (0, 20, 21, -1)] == [0, 5, 2, 2]
    for number in (22, -23):
        with pytest.raises(dlc.IndexRangeError, match="of 22"):
            joined[number]
    parts = random_split(tensors, [0.5, 0.25, 0.25], generator=0)
    assert [len(p) for p in parts] == [10, 5, 5]
    found = [k.item() for p in parts for _, k in (p[i] for i in range(len(p)))]
    assert sorted(found) == list(range(20))
    assert [len(p) for p in random_split(range(10), [0.33, 0.33, 0.34])] == [4, 3, 3]
    assert [len(p) for p in random_split(range(10), [3, 7], 0)] == [3, 7]
    assert [len(p) for p in random_split(range(1), [0.5, 0.5])] == [1, 0]
    assert [len(p) for p in random_split(range(1), [0, 1])] == [0, 1]
    loader = DataLoader(Subset(tensors, [9, 1, 4]), 2)
    assert numbers(loader) == [[9, 1], [4]]
    assert np.concatenate([x.numpy() for x, _ in loader]).tolist() == DATA.data[[9, 1, 4]].tolist()
    pipeline = tensors.map(lambda x, k: int(k) * 2).filter(lambda k: k % 3 == 0).batch(3)
    assert next(iter(pipeline)).tolist() == [0, 6, 12]
    loader = DataLoader(Dataset.range(5).map(lambda k: (k, k)), 2)
    assert numbers(loader) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("context", CONTEXTS)
def test_workers_give_the_same_batches_in_the_same_order(context):
    settings = {"batch_size": 3, "shuffle": True, "seed": 2}
    wanted = [numbers(DataLoader(DATA, **settings).epoch(k)) for k in range(2)]
    loader = DataLoader(
        DATA, num_workers=2, multiprocessing_context=context, persistent_workers=True, **settings
    )
    assert [numbers(loader), numbers(loader)] == wanted
    assert numbers(loader.epoch(1, 3)) == wanted[1][3:]
    walk = iter(loader)
    next(walk)  # left in the middle
    assert numbers(loader.epoch(0)) == wanted[0]
    with pytest.raises(dlc.WorkerError, match="another epoch"):
        list(walk)
    for x, k in loader:
        np.testing.assert_array_equal(x.numpy(), DATA.data[k.numpy()])
    del loader, walk


@pytest.mark.parametrize("context", CONTEXTS)
def test_what_workers_are(context):
    loader = DataLoader(samples.Where(), 1, num_workers=2, seed=5, multiprocessing_context=context)
    found = [[int(x.item()) for x in batch] for batch in loader]
    assert [f[0] for f in found] == [0, 1] * 10
    assert {tuple(f[:3]) for f in found} == {(0, 2, 5), (1, 2, 6)}
    assert len({f[3] for f in found} | {os.getpid()}) == 3
    assert {f[4] for f in found} == {1}
    loader = DataLoader(
        DATA, 8, collate_fn=samples.pairs, num_workers=1, multiprocessing_context=context
    )
    assert [in_worker for _, in_worker in loader] == [True] * 3
    assert dlc.data.get_worker_info() is None


def test_random_numbers_do_not_depend_on_the_number_of_workers():
    def found(workers, start=0):
        loader = DataLoader(
            samples.Noisy(), 4, num_workers=workers, seed=1, multiprocessing_context="fork"
        )
        return [x.numpy().tolist() for x, _ in loader.epoch(1, start)]

    one = found(1)
    assert found(3) == one
    assert found(2, 3) == one[3:]
    flat = [x for batch in one for row in batch for x in row]
    assert len(set(flat)) == len(flat)


def test_iterable_datasets_have_parts():
    loader = DataLoader(samples.Parts([5, 2, 0]), 2, num_workers=3, multiprocessing_context="fork")
    wanted = [[(0, 0), (0, 1)], [(1, 0), (1, 1)], [(0, 2), (0, 3)], [(0, 4)]]
    for start in (0, 2, 5):
        found = [list(zip(a.numpy(), b.numpy(), strict=True)) for a, b in loader.epoch(0, start)]
        assert found == wanted[start:]
    with pytest.raises(TypeError):
        len(loader)


def maps():
    return pathlib.Path("/proc/self/maps").read_text()


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="/proc")
def test_arrays_come_through_memory_without_a_name():
    wide = samples.Samples(8, 50_000)
    held = []
    loader = DataLoader(wide, 2, num_workers=2, multiprocessing_context="forkserver")
    files = len(os.listdir("/proc/self/fd"))
    for x, k in loader:
        np.testing.assert_array_equal(x.numpy(), wide.data[k.numpy()])
        held.append(x)
    assert maps().count("memfd:dlc data") == 4
    # Semaphores of others lie there too.
    assert not [line for line in maps().splitlines() if "/dev/shm/" in line and "/sem." not in line]
    del held, x, k
    assert "memfd:dlc data" not in maps()
    assert len(os.listdir("/proc/self/fd")) <= files + 2  # of the server of forks


ERRORS = {
    "key": (KeyError, "no such sample", ["in sample 13", "in worker 0", "raise KeyError"]),
    "two": (dlc.WorkerError, "TwoArgumentsError: 1 and 2", ["in sample 13", "raise TwoArguments"]),
    "shape": (dlc.ShapeError, r"different shapes in one batch", ["samples [12, 13, 14]"]),
    "unpicklable": (dlc.ShapeError, "samples of different kinds", ["samples [12, 13, 14]"]),
    "kill": (dlc.WorkerError, r"worker 0 \(process \d+\) ended, killed by SIGKILL", []),
    "signal": (dlc.WorkerError, r"worker 0 \(process \d+\) ended, killed by signal 40\n", []),
    "exit": (dlc.WorkerError, r"worker 0 \(process \d+\) ended, with exit code 3", []),
    "slow": (dlc.WorkerError, r"worker 0 \(process \d+\) gave nothing for 0.3 s", []),
}  # fmt: skip


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_errors_of_workers_arrive_whole(kind, context):
    error, match, notes = ERRORS[kind]
    loader = DataLoader(
        samples.Bad(kind), 3, num_workers=2, multiprocessing_context=context,
        timeout=0.3 if kind == "slow" else 0,
    )  # fmt: skip
    found = []
    with pytest.raises(error, match=match) as caught:
        found.extend(k for _, k in loader)
    assert len(found) == 4
    said = "\n".join(getattr(caught.value, "__notes__", ()))
    for note in notes:
        assert note in said
    if notes:
        with pytest.raises(error if kind != "two" else samples.TwoArgumentsError) as caught:
            list(DataLoader(samples.Bad(kind), 3))
        if kind in ("key", "two"):
            assert notes[0] in "\n".join(caught.value.__notes__)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("kind", "error", "match"),
    [
        ("error", OSError, "no such file"),
        ("list", TypeError, "non-iterator"),
        ("stop", RuntimeError, "StopIteration was raised in __iter__ of the Unopened"),
    ],
)
def test_iterable_datasets_that_cannot_begin_say_why(kind, error, match, workers):
    with pytest.raises(error, match=match) as caught:
        list(DataLoader(samples.Unopened(kind), num_workers=workers))
    assert kind == "stop" or "in __iter__ of the Unopened" in caught.value.__notes__


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"dataset": samples.Bad("stop")}, r"StopIteration was raised in sample 13 of the Bad"),
        ({"collate_fn": samples.stopping}, r"in the batch of samples \[3, 4, 5\]"),
        ({"dataset": samples.Parts([7, 9]), "collate_fn": samples.stopping}, "after sample 3"),
    ],
)
def test_stop_iteration_of_a_function_does_not_end_the_data(settings, match, workers):
    with pytest.raises(RuntimeError, match=match):
        list(DataLoader(**{"dataset": DATA, "batch_size": 3, "num_workers": workers, **settings}))


def test_map_by_processes_does_not_leave_elements_out():
    with pytest.raises(RuntimeError, match="StopIteration was raised in Dataset.map of stopping"):
        list(Dataset.range(12, 15).map(samples.stopping_at, 2, workers="fork"))


@pytest.mark.parametrize("context", CONTEXTS)
def test_workers_that_cannot_begin_say_why(context):
    with pytest.raises(ValueError, match="worker 0 does not want to"):
        list(DataLoader(
            DATA, num_workers=1, worker_init_fn=samples.refuse, multiprocessing_context=context
        ))  # fmt: skip
    if context != "fork":
        with pytest.raises(RuntimeError, match="cannot be loaded"):
            list(DataLoader(samples.Unloadable(), num_workers=1, multiprocessing_context=context))
        with pytest.raises(dlc.ArgumentError, match="cannot be sent to worker processes"):
            list(DataLoader(
                DATA, num_workers=1, collate_fn=lambda b: b, multiprocessing_context=context
            ))  # fmt: skip
    else:
        loader = DataLoader(DATA, 9, num_workers=1, collate_fn=len, multiprocessing_context=context)
        assert list(loader) == [9, 9, 2]


@pytest.mark.parametrize("context", CONTEXTS)
def test_results_that_cannot_be_sent_say_so(context):
    loader = DataLoader(
        DATA, num_workers=1, collate_fn=samples.unsendable, multiprocessing_context=context
    )
    with pytest.raises((AttributeError, pickle.PicklingError)) as caught:
        list(loader)
    assert "a result of a worker cannot be sent" in "".join(caught.value.__notes__)


def test_map_by_processes():
    dataset = Dataset.range(12).map(samples.squared, 2, seed=4, workers="forkserver")
    found = list(dataset)
    here = list(Dataset.range(12).map(samples.squared, seed=4))
    assert [f[:2] for f in found] == [h[:2] for h in here]
    assert len({f[2] for f in found} - {os.getpid()}) == 2
    assert [f[:2] for f in dataset.epoch(0, 7)] == [h[:2] for h in here[7:]]
    with pytest.raises(KeyError, match="five") as caught:
        list(Dataset.range(12).map(samples.five, 2, workers="fork"))
    assert "element 5" in "".join(caught.value.__notes__)


def test_fit_takes_loaders():
    from dlc import losses, nn, optim

    def fitted(data, **settings):
        dlc.random.seed(0)
        model = nn.Sequential(nn.Linear(3, 20))
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optim.SGD(learning_rate=1e-3), loss)
        history = model.fit(*data, epochs=2, verbose=0, **settings).history
        stats = model._fitting.steps.functions["train_step"].stats
        return history, stats.compilations

    wanted = fitted((DATA.data, np.arange(20)), batch_size=8, shuffle=False)
    tensors = TensorDataset(DATA.data, np.arange(20))
    assert fitted((DataLoader(tensors, 8),)) == wanted
    workers = DataLoader(DATA, 8, num_workers=1, multiprocessing_context="fork")
    assert fitted((workers,)) == wanted
    with pytest.raises(dlc.ArgumentError, match="gives samples, not batches"):
        fitted((tensors,))


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"batch_size": 0}, dlc.ValueRangeError, "batch_size=0"),
        ({"num_workers": -1}, dlc.ValueRangeError, "num_workers=-1"),
        ({"timeout": -1}, dlc.ValueRangeError, "timeout"),
        ({"timeout": 1}, dlc.ArgumentError, "without workers"),
        ({"prefetch_factor": 2}, dlc.ArgumentError, "without workers"),
        ({"persistent_workers": True}, dlc.ArgumentError, "without workers"),
        ({"sampler": [1], "shuffle": True}, dlc.ArgumentError, "shuffle=True beside"),
        ({"batch_sampler": [[1]], "batch_size": 2}, dlc.ArgumentError, "a batch_sampler, and"),
        ({"batch_size": None, "drop_last": True}, dlc.ArgumentError, "without batches"),
        ({"generator": "x"}, dlc.ArgumentError, "generator is a str"),
        ({"dataset": 3}, dlc.ArgumentError, "no dataset"),
        ({"dataset": samples.Parts([1]), "shuffle": True}, dlc.ArgumentError, "its own order"),
        ({"dataset": Dataset.range(3), "num_workers": 2}, dlc.ArgumentError, "workers of its own"),
    ],
)
def test_arguments_that_exclude_each_other(settings, error, match):
    with pytest.raises(error, match=match):
        DataLoader(**{"dataset": DATA, **settings})


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: random_split(DATA, [3, 4]), dlc.ValueRangeError, "of a dataset of 20"),
        (lambda: ConcatDataset([]), dlc.ArgumentError, "no datasets"),
        (lambda: ConcatDataset([3]), dlc.ArgumentError, "no __getitem__"),
        (lambda: TensorDataset(np.ones(3), np.ones(2)), dlc.ShapeError, "one number of rows"),
        (lambda: WeightedRandomSampler([-1, 2], 1), dlc.ValueRangeError, "at least 0"),
        (lambda: WeightedRandomSampler([0, 2], 2, False), dlc.ValueRangeError, "2 of 1"),
        (lambda: DistributedSampler(DATA, 2, 2), dlc.ValueRangeError, "rank=2 of 2"),
        (lambda: DistributedSampler(DATA, 2, 1, seed=-1), dlc.ValueRangeError, "seed=-1"),
        (lambda: DataLoader(DATA, seed=-1), dlc.ValueRangeError, "seed=-1"),
        (lambda: DataLoader(DATA).epoch(-1), dlc.ValueRangeError, "epoch=-1"),
        (lambda: DataLoader(DATA).epoch(0, -2), dlc.ValueRangeError, "start=-2"),
        (lambda: list(Sampler()), NotImplementedError, "neither"),
    ],
)
def test_datasets_and_samplers_that_cannot_be(call, error, match):
    with pytest.raises(error, match=match):
        call()
