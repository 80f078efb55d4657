"""On a GPU: every op of the table, small models, random bits, graphs. `make test-gpu` runs it."""

import numpy as np
import pytest
from gpu_models import MODELS, compare
from op_cases import cases, fault, function_of, operands, special_operands

import dlc
from dlc.runtime.executable import Options, compile_function

pytestmark = pytest.mark.gpu
FAMILIES = sorted({c.op.family for c in cases()})


def faults(family):
    """What is wrong with the ops of a family, on their samples and on special values."""
    found = []
    for case in cases():
        if case.op.family != family:
            continue
        for args in (operands(case), special_operands(case)):
            if args is not None:
                run = compile_function(function_of(case, args), options=Options(device="cuda"))
                wrong = fault(case, args, run(args)[0].numpy())
                found += [] if wrong is None else [f"{case.id}: {wrong}"]
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_ops(family):
    assert not faults(family)


@pytest.mark.parametrize("name", MODELS)
def test_models(name):
    compare(name, "cuda")


def test_graphs_are_replayed():
    f = dlc.compile(lambda x: dlc.softmax(x @ x, axis=-1), device="cuda")
    x = dlc.asarray(np.random.default_rng(0).standard_normal((64, 64)), dtype="f32", device="cuda")
    results = [f(x).numpy() for _ in range(8)]
    assert all(np.array_equal(r, results[0]) for r in results)
    np.testing.assert_allclose(results[0], dlc.softmax(x.cpu() @ x.cpu()).numpy(), rtol=1e-4)


def test_memory_of_torch_is_shared():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.fail("PyTorch without CUDA: install one that has it")
    ours = dlc.asarray([1.0, 2.0], device="cuda")
    theirs = torch.from_dlpack(ours)
    theirs += 1
    assert ours.numpy().tolist() == [2.0, 3.0]
    assert dlc.from_dlpack(theirs, copy=False).device == "cuda:0"
