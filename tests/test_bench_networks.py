"""`dlc bench`: published networks, against PyTorch with the same weights; for a GPU without one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch

import dlc
from dlc.bench import networks
from dlc.bench.frameworks import dlc_compiled, dlc_networks, torch_networks, torch_programs
from dlc.bench.networks import ON_GPU, SMOKE, SMOKE_HALF, given
from dlc.bench.problem import Case
from dlc.bench.suites import SUITES

HALF = {case.problem.name: case for case in SMOKE_HALF}
WHOLE = {case.problem.name: case for case in SMOKE}


@pytest.fixture(autouse=True)
def gradients_are_on():
    """The bench switches them off in its own process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    torch.set_grad_enabled(True)


@pytest.mark.parametrize("name", HALF)
def test_networks_at_half_are_those_of_the_reference(name):
    case = HALF[name]
    sets, constants = case.draw()
    exact = case.exact(sets, constants)
    for framework in (dlc_compiled.Dlc(1), torch_programs.Torch(1, compiled=False)):
        program = framework.program(case, constants)
        for inputs, expected in zip(sets[:2], exact, strict=False):
            held = [
                framework.half_array(a) if a.dtype.kind == "f" else framework.array(a)
                for a in inputs
            ]
            assert case.error(framework.arrays(program(*held)), expected) is None


IN_JAX = """
from dlc.bench.frameworks import jax_compiled
from dlc.bench.networks import SMOKE, SMOKE_HALF

framework = jax_compiled.start(1, "")
for case in [c for c in (*SMOKE, *SMOKE_HALF) if c.problem.name == "gpt2_decode"]:
    sets, constants = case.draw()
    program = framework.program(case, constants)
    (expected,) = case.exact(sets[:1], constants)
    print(case.error(framework.arrays(program(*map(framework.array, sets[0]))), expected))
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_networks_in_jax():
    """In a process of its own: JAX warns of each fork of one in which it has calculated."""
    run = [sys.executable, "-c", IN_JAX]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split() == ["None", "None"], done.stderr


@pytest.mark.parametrize("name", ["gpt2_training", "resnet_training"])
def test_a_step_that_is_left_out_is_seen(name):
    """Losses tell whether the weights were updated by the step before."""
    for case in (WHOLE[name], HALF[name]):
        sets, constants = case.draw()
        expected = case.exact(sets[:2], constants)[1]
        still = case.exact(sets[1:2], constants)[0]
        assert case.error(still, expected) is not None


def torch_gradients(case, inputs, constants):
    """By the names of the case, at float64."""
    whole = [torch.from_numpy(np.asarray(c, np.float64)) for c in constants[1:]]
    build = torch_networks.PROGRAMS[case.problem.name]
    module = build.forward([torch.from_numpy(constants[0]), *whole])
    module(*map(torch.from_numpy, inputs)).backward()
    return {name: p.grad.numpy() for name, p in zip(module.names, module.held, strict=True)}


def part_of(tree, path):
    """What is at a path of gradients in the form of a model."""
    for word in path.split("."):
        tree = tree[int(word)] if word.isdigit() else getattr(tree, word)
    return tree.numpy()


def test_gradients_of_gpt2():
    case = WHOLE["gpt2_training"]
    sets, constants = case.draw()
    expected = torch_gradients(case, sets[0], constants)
    model = dlc_networks.gpt2(given(case.problem.name, constants), "cpu")

    def loss_of(model, tokens, following):
        return dlc.cross_entropy(model(tokens).reshape(-1, 50), following.reshape(-1))

    found = dlc.compile(dlc.grad(loss_of))(model, *sets[0])
    for name, wanted in expected.items():
        got = part_of(found.transformer, name)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-6 * np.abs(wanted).max() + 1e-8)


def test_gradients_of_resnet():
    case = WHOLE["resnet_training"]
    sets, constants = case.draw()
    images = sets[0][0].astype(np.float64)
    expected = torch_gradients(case, (images, sets[0][1]), constants)
    model = dlc_networks.resnet(given(case.problem.name, constants), "cpu")

    def loss_of(model, images, labels):
        return dlc.cross_entropy(model(images), labels)

    found = dlc.compile(dlc.grad(loss_of))(model, *sets[0])
    for name, wanted in expected.items():
        got = part_of(found, name)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("case", ON_GPU, ids=lambda case: case.name)
def test_weights_are_those_of_the_published_sizes(case):
    counts = {"gpt2": 124_439_808, "bert": 108_891_648, "resnet50": 25_557_032}
    wanted = next(n for key, n in counts.items() if case.name.startswith(key))
    shapes = networks.shapes_of(case)
    assert sum(int(np.prod(s)) for s in shapes.values()) == wanted
    assert case in SUITES["gpu"]


def test_a_case_without_pytorch_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dlc.bench.frameworks.torch_networks", None)
    case = WHOLE["gpt2_decode"]
    with pytest.raises(dlc.ArgumentError, match=r"pip install dlc\[bench\]"):
        case.exact(*case.draw())


def small(case: Case) -> Case:
    """The case of a GPU at a size that a stand-in for one computes."""
    extents = {**case.extents, "b": 1, "t": 5, "l": 1, "h": 1, "v": 11}
    return Case(case.name, case.problem, extents)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_decoding_on_a_gpu(gpu):
    case = small(ON_GPU[1])
    framework = dlc_compiled.Dlc(1, "cuda")
    sets, constants = case.draw()
    program = framework.program(case, constants)
    for inputs, expected in zip(sets, case.exact(sets, constants), strict=True):
        found = program(*map(framework.array, inputs))
        assert found.device == "cuda:0"
        assert case.error(framework.arrays(found), expected) is None
