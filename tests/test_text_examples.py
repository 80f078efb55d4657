"""The examples that learn from text: the trigram model by hand, and a GPT that learns."""

from __future__ import annotations

import importlib.util
import math
import pathlib
import sys
from types import ModuleType

import numpy as np
import pytest

import dlc

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch):
    """Loads a fresh copy of an example, as if it was run in its folder."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_text_comes_back_and_files_are_held_out(example):
    text = example("library_text")
    assert text.decode(text.encode(b"def f(x):\n\treturn\n")) == "def f(x):\n?return\n"
    train, held_out = text.load_text()
    assert len(train) > 3 * len(held_out) > 1e5
    assert max(train.max(), held_out.max()) < text.VOCABULARY
    xs, ys = text.windows(train, 3, 50, np.random.default_rng(0))
    assert xs.shape == ys.shape == (3, 50)
    np.testing.assert_array_equal(xs[:, 1:], ys[:, :-1])


def test_the_trigram_model_is_as_counted_by_hand(example):
    text = example("library_text")
    train, held_out = text.encode(b"abracadabra abra cadabra" * 3), text.encode(b"abrabra cab")
    v, w = text.VOCABULARY, 20.0

    def likelihood(a, b, c):
        pairs = list(zip(train, train[1:], train[2:], strict=False))
        one = (sum(z == c for *_, z in pairs) + 1) / (len(pairs) + v)
        after = [z for _, y, z in pairs if y == b]
        two = (after.count(c) + w * one) / (len(after) + w)
        after = [z for x, y, z in pairs if (x, y) == (a, b)]
        return (after.count(c) + w * two) / (len(after) + w)

    triples = list(zip(held_out, held_out[1:], held_out[2:], strict=False))
    by_hand = -np.mean([math.log2(likelihood(*t)) for t in triples])
    assert text.trigram_bits(train, held_out) == pytest.approx(by_hand, rel=1e-12)


def test_the_gpt_learns_and_writes(example, capsys):
    gpt = example("gpt")
    train, held_out = gpt.load_text()
    before = gpt.bits_on(held_out, batches=2)
    gpt.train(train, 60)
    assert gpt.bits_on(held_out, batches=2) < 0.75 * before
    assert "60/60" in capsys.readouterr().out
    for compiled in (gpt.train_step, gpt.evaluate):
        assert (compiled.stats.compilations, compiled.stats.interpreted_ops) == (1, 0)
    written = gpt.write("def ", 5, np.random.default_rng(0))
    assert written.startswith("def ")
    assert len(written) == 9


def test_the_gpt_cannot_see_what_follows(example):
    gpt = example("gpt")
    x = np.random.default_rng(0).integers(0, gpt.VOCABULARY, (1, gpt.LENGTH))
    changed = x.copy()
    changed[0, 70:] = 1
    compiled = dlc.compile(lambda c: gpt.logits(gpt.PARAMETERS, c))
    a, b = compiled(x).numpy(), compiled(changed).numpy()
    np.testing.assert_array_equal(a[0, :70], b[0, :70])
    assert (a[0, 70:] != b[0, 70:]).any()


def test_the_lstm_learns_and_writes(example):
    lstm = example("lstm")
    train, held_out = lstm.load_text()
    before = lstm.bits_on(held_out, batches=2)
    lstm.train(train, 40)
    assert lstm.bits_on(held_out, batches=2) < 0.8 * before
    for compiled in (lstm.train_step, lstm.evaluate):
        assert (compiled.stats.compilations, compiled.stats.interpreted_ops) == (1, 0)
    written = lstm.write("def ", 5, np.random.default_rng(0))
    assert written.startswith("def ")
    assert len(written) == 9


def test_the_lstm_is_the_cell_step_by_step(example):
    lstm = example("lstm")
    p = {k: v.numpy().astype(np.float64) for k, v in lstm.PARAMETERS.items()}
    x = np.random.default_rng(0).integers(0, lstm.VOCABULARY, (3, 7))
    h = c = np.zeros((3, lstm.UNITS))
    scores = []
    for k in range(7):
        gates = p["read"][x[:, k]] + p["bias"] + h @ p["recur"]
        i, f, g, o = np.split(gates, 4, axis=1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        scores.append(h @ p["write"])
    (h_got, c_got), got = lstm.run(lstm.PARAMETERS, dlc.asarray(x), lstm.zero_state(3))
    np.testing.assert_allclose(got.numpy(), np.stack(scores, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(h_got.numpy(), h, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(c_got.numpy(), c, rtol=1e-4, atol=1e-5)
