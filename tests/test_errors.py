"""The errors: what they are caught by, what they show, and that each code is documented."""

import ast
import contextlib
import functools
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.ir import errors
from dlc.ir.errors import (
    DlcError,
    ParseError,
    ShapeError,
    VerifyError,
    error_codes,
    excerpt,
    nearest,
)
from dlc.ir.location import SourceLocation, source_line, user_location

ROOT = Path(__file__).parent.parent

BASES = {
    "DLC100": ("DlcError", Exception),
    "DLC101": ("ShapeError", ValueError),
    "DLC102": ("DTypeError", TypeError),
    "DLC103": ("IndexRangeError", IndexError),
    "DLC104": ("ArgumentError", TypeError),
    "DLC105": ("ValueRangeError", ValueError),
    "DLC201": ("TracedValueError", TypeError),
    "DLC202": ("LeakedTracerError", RuntimeError),
    "DLC203": ("DerivativeError", TypeError),
    "DLC204": ("RecompileError", RuntimeError),
    "DLC205": ("DonatedBufferError", RuntimeError),
    "DLC206": ("NanError", FloatingPointError),
    "DLC207": ("LinAlgError", np.linalg.LinAlgError),
    "DLC208": ("ControlFlowError", TypeError),
    "DLC209": ("UnsetVariableError", UnboundLocalError),
    "DLC301": ("ParseError", ValueError),
    "DLC302": ("VerifyError", ValueError),
    "DLC303": ("PassError", ValueError),
    "DLC401": ("SettingError", ValueError),
    "DLC501": ("CacheError", OSError),
    "DLC502": ("MemoryLimitError", MemoryError),
    "DLC503": ("DeviceError", RuntimeError),
    "DLC504": ("BackendError", RuntimeError),
    "DLC505": ("FileFormatError", ValueError),
    "DLC506": ("SaveError", OSError),
    "DLC507": ("WorkerError", RuntimeError),
    "DLC508": ("ModelError", ValueError),
}

ALL = list(error_codes().values())


def test_codes_are_stable():
    assert {code: kind.__name__ for code, kind in error_codes().items()} == {
        code: name for code, (name, _) in BASES.items()
    }


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.code)
def test_bases(kind):
    assert issubclass(kind, DlcError)
    assert issubclass(kind, BASES[kind.code][1])


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.code)
def test_text_and_attributes(kind):
    error = kind("it is wrong", hint="make it right")
    here = user_location()
    assert error.args == ("it is wrong",)
    assert error.message == "it is wrong"
    assert error.location == here._replace(line=here.line - 1)
    text = str(error)
    assert text.startswith(f"{kind.code}: it is wrong\n")
    assert f"\n  at {__file__}:{here.line - 1} in test_text_and_attributes\n" in text
    assert '\n    error = kind("it is wrong", hint="make it right")\n' in text
    assert text.endswith("\n  hint: make it right")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.code)
def test_survives_pickling(kind):
    error = kind("message", hint="hint", location=SourceLocation("f.py", 3, "f"))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert copy.args == error.args
    assert copy.location == error.location


def test_without_source_or_hint():
    error = ShapeError("f32[2] and f32[3]", location=SourceLocation("<gone>", 3, "f"))
    assert str(error) == "DLC101: f32[2] and f32[3]\n  at <gone>:3 in f"


def test_parse_error_points_at_the_column():
    error = ParseError(
        "found '='", line=2, column=4, expected="a name", text="one\n\ta % = two\n", file="x.ir"
    )
    lines = str(error).splitlines()
    assert lines[:5] == [
        "DLC301: found '='",
        "  x.ir, line 2, column 4",
        "    \ta % = two",
        "    \t  ^",
        "  expected a name",
    ]
    assert (error.line, error.column, error.expected) == (2, 4, "a name")
    assert pickle.loads(pickle.dumps(error)).column == 4


@pytest.mark.parametrize("line", [0, 2, 100])
def test_parse_error_beyond_the_text(line):
    assert f"line {line}, column 1" in str(ParseError("ends early", line=line, text="one"))


def test_verify_error_names_the_pass():
    error = VerifyError("bad type", pass_name="fuse", excerpt=excerpt("a\nb\nc\nd", 3, context=1))
    assert str(error).splitlines()[:5] == [
        "DLC302: bad type",
        "  after pass fuse",
        "    2 | b",
        "  > 3 | c",
        "    4 | d",
    ]


def test_excerpt_at_the_ends_and_beyond():
    text = "\n".join("abcdefghij")
    assert excerpt(text, 1, context=1) == "> 1 | a\n  2 | b"
    assert excerpt(text, 10, context=1) == "   9 | i\n> 10 | j"
    assert excerpt("", 1) == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sofmax", "did you mean 'softmax'?"),
        ("RELU", "did you mean 'relu'?"),
        ("zzzz", "known names: relu, softmax"),
    ],
)
def test_nearest(name, expected):
    assert nearest(name, iter(["softmax", "relu"])) == expected


def test_nearest_of_nothing():
    assert nearest("x", []) == "there are no names to choose from"


def located():
    return user_location()


def test_location_in_a_method():
    class Model:
        def call(self):
            return user_location()

    assert Model().call().function == "Model.call"


def test_location_in_exec_has_no_source():
    names = {"located": user_location}
    exec(compile("\n\nplace = located()", "<cell 7>", "exec"), names)
    assert names["place"] == SourceLocation("<cell 7>", 3, "<module>")
    assert source_line(names["place"]) is None


def test_location_looks_through_decorators_and_context_managers():
    @contextlib.contextmanager
    def manager():
        yield user_location()

    with manager() as place:  # the generator's own frame is the user's here
        assert place.function == "manager"

    @functools.singledispatch
    def dispatched(value):
        return user_location()

    assert dispatched(1).function == "dispatched"


def test_location_skips_dlc_and_the_standard_wrappers():
    # `scope` is a context manager inside dlc: contextlib's frame lies between it and this line.
    with pytest.raises(errors.SettingError) as caught, errors_scope():
        pass
    assert caught.value.location.file == __file__
    assert caught.value.location.function == "errors_scope"


def errors_scope():
    from dlc.ir.config import config

    scope = config.scope(nonsense=1)
    scope.__enter__()
    return scope


def test_no_location_when_all_is_internal():
    code = (
        "import sys, runpy\n"
        "from dlc.ir import location\n"
        "location._internal['<string>'] = True\n"
        "print(location.user_location())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "None\n"


def test_source_line():
    assert source_line(located()) == "return user_location()"
    assert source_line(SourceLocation("/no/such/file.py", 1, "f")) is None
    assert source_line(SourceLocation(__file__, 10**6, "f")) is None


def test_every_code_is_documented():
    page = (ROOT / "docs" / "error_codes.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    titles = [section.partition("\n")[0] for section in sections]
    assert titles == [f"{code} {kind.__name__}" for code, kind in error_codes().items()]
    for section, kind in zip(sections, ALL, strict=True):
        base = BASES[kind.code][1]
        if base is not Exception:
            assert f"`{base.__name__}`" in section, kind.code
            assert "**Cause.**" in section, kind.code
            assert "**Cure.**" in section, kind.code


def names_in_hints():
    """The public names that hints of errors speak of, with the files that do."""
    for path in sorted((ROOT / "dlc").rglob("*.py")):
        text = path.read_text()
        if not re.search(r"(?s)hint=.{1,400}?\bdlc\.", text):
            continue  # to parse all takes seconds
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                for name in re.findall(r"\bdlc\.(\w+(?:\.\w+)*)", ast.unparse(node.value)):
                    yield name, path


def test_hints_speak_of_names_that_there_are():
    missing = []
    for name, path in names_in_hints():
        try:
            functools.reduce(getattr, name.split("."), dlc)
        except AttributeError:
            missing.append(f"{path.name}: dlc.{name}")
    assert not missing
