"""What all public functions share: documentation, examples that run, names, fresh handles."""

import contextlib
import doctest
import importlib
import importlib.util
import inspect
import io
import math
import pkgutil
import re
import types
from pathlib import Path

import functions_harness as h
import numpy as np
import pytest

import dlc
from dlc.frontend import api, functions

MODULES = [
    importlib.import_module(f"dlc.frontend.functions.{module.name}")
    for module in pkgutil.iter_modules(functions.__path__)
]
ROOT = Path(__file__).parent.parent
PUBLIC = {
    name: value
    for name, value in vars(api).items()
    if isinstance(value, types.FunctionType) and value.__module__ in {m.__name__ for m in MODULES}
}


def test_there_are_functions_and_each_is_where_users_look():
    assert len(PUBLIC) > 130
    for name, function in PUBLIC.items():
        assert function.__name__ == function.__qualname__
        assert getattr(dlc, name).__wrapped__ is function
        assert PUBLIC[function.__name__] is function  # other names are aliases of that one


def test_every_documented_function_is_public():
    for module in MODULES:
        for name, value in vars(module).items():
            own = isinstance(value, types.FunctionType) and value.__module__ == module.__name__
            if own and "Example:" in (value.__doc__ or ""):
                assert name in PUBLIC, f"{module.__name__}.{name} is not in dlc"


@pytest.mark.parametrize("name", PUBLIC)
def test_documentation(name):
    function = PUBLIC[name]
    doc = inspect.getdoc(function)
    assert doc, name
    first = doc.splitlines()[0]
    assert first.endswith(".") or "`." in first
    assert "Returns:" in doc
    assert "{" not in doc.partition("Example:")[0], "a field that was not filled in"
    for parameter in inspect.signature(function).parameters.values():
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
        shown = stars.get(parameter.kind, "") + parameter.name
        assert re.search(rf"^ +{re.escape(shown)}: ", doc, re.MULTILINE), (
            f"{name}: {shown} is not described"
        )
    raised = re.findall(r"^    (\w+Error): ", doc, re.MULTILINE)
    assert all(issubclass(getattr(dlc, error), dlc.DlcError) for error in raised)


EXAMPLES = {
    **PUBLIC,
    **{
        f"special.{name}": function
        for name in dlc.special.__all__
        if (function := getattr(dlc.special, name)).__name__ not in PUBLIC
    },
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name):
    names = {"dlc": dlc, "math": math, "np": np}
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(EXAMPLES[name]), names, name, None, 0)
    assert test.examples, f"{name} has no example"
    output = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    with contextlib.redirect_stdout(output):
        failed = runner.run(test, out=output.write).failed
    assert not failed, output.getvalue()


def test_every_function_takes_variables_and_leaves_them_alone():
    held = h.values((3, 3))
    v = dlc.Variable(held)
    for name in ("positive", "squeeze", "flatten", "round", "transpose", "clip", "exp", "tril"):
        y = PUBLIC[name](v)
        y[...] = 0.0
        assert np.array_equal(v.numpy(), held), name


def test_variables_in_compiled_functions_have_their_present_value():
    v = dlc.Variable(np.array([0, 1]))
    w = dlc.Variable(np.array([1.0, 2.0], np.float32))

    @dlc.compile
    def step(x):
        w.assign(w * 2)
        return dlc.take(x, v), dlc.positive(w), dlc.reshape(w, (2,))

    x = np.array([10.0, 20.0, 30.0], np.float32)
    step(x)
    v.assign(np.array([-1, 0]))
    taken, doubled, reshaped = step(x)
    assert taken.numpy().tolist() == [30, 10]
    assert doubled.numpy().tolist() == reshaped.numpy().tolist() == [4, 8]


def test_functions_work_on_what_a_compiled_function_gets():
    @dlc.compile
    def loss(x, w, labels, scale):
        logits = dlc.einsum("bi,io->bo", x, w) * scale
        return dlc.cross_entropy(dlc.layer_norm(logits), labels)

    w = h.values((4, 3))
    for batch in (2, 5, 6, 7):
        x, labels = h.values((batch, 4)), np.arange(batch) % 3
        y = (x.astype(float) @ w) * 0.5
        y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
        want = -(y - np.logaddexp.reduce(y, axis=1, keepdims=True))[np.arange(batch), labels].mean()
        assert np.isclose(loss(x, w, labels, 0.5).item(), want, rtol=1e-5)


def _has_signature(function):
    return callable(function) and not isinstance(function, (np.ufunc, type))


def _positional(function):
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind in kinds]


@pytest.mark.parametrize("name", [n for n in PUBLIC if _has_signature(getattr(np, n, None))])
def test_what_numpy_takes_by_position_has_the_same_position(name):
    ours, theirs = _positional(PUBLIC[name]), _positional(getattr(np, name))
    only_by_name = set(inspect.signature(PUBLIC[name]).parameters) - set(ours)
    assert not only_by_name.intersection(theirs[len(ours) : len(ours) + 1])
    for place, parameter in enumerate(ours):
        if parameter in theirs:
            assert theirs.index(parameter) == place, (ours, theirs)


def test_errors_show_the_users_line():
    with pytest.raises(dlc.ShapeError) as caught:
        dlc.matmul(h.values((2, 3)), h.values((2, 3)))  # the line that is shown
    assert "the line that is shown" in str(caught.value)


def test_the_page_is_generated():
    path = ROOT / "docs" / "generate.py"
    spec = importlib.util.spec_from_file_location("generate", path)
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = generate.FUNCTIONS_PAGE.read_text(encoding="utf-8")
    assert page == generate.page_with(generate.function_sections(), page), (
        "run: python docs/generate.py"
    )
    for name in PUBLIC:
        assert f"`{name}(" in page
