"""Rows are loaded by need, from the files that `dlc.ir.ops.ROWS` names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dlc.ir.op import OPS, Op, register, unregister
from dlc.ir.ops import ROWS
from dlc.ir.record import replace

ROOT = Path(__file__).parent.parent


def run(code: str) -> list[str]:
    """What a process prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", f"import json, sys\n{code}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


LOADED = "print(json.dumps([m[11:] for m in sys.modules if m[:11] == 'dlc.ir.ops.']))"


def test_each_row_is_in_the_file_that_the_index_names() -> None:
    files = {name: file for file, names in ROWS.items() for name in names.split()}
    assert list(OPS) == list(files)
    assert len(files) == sum(len(names.split()) for names in ROWS.values())
    # What registers rows is in the index: after its files are loaded, the others add none.
    others = sorted(f.stem for f in (ROOT / "dlc/ir/ops").glob("*.py") if f.stem not in ROWS)
    others.remove("__init__")
    code = "\n".join(f"import dlc.ir.ops.{file}" for file in others)
    assert run(f"from dlc.ir.op import OPS\n{code}\nprint(json.dumps(list(OPS)))") == list(files)
    # In whichever order: each file's row is found where no file has been loaded.
    code = "import os\nfrom dlc.ir.op import OPS\nfrom dlc.ir.ops import ROWS\nwrong = []\n"
    code += "for file, names in ROWS.items():\n pid = os.fork()\n if not pid:\n"
    code += "  found = all(OPS[n].name == n for n in names.split()); os._exit(not found)\n"
    code += " if os.waitpid(pid, 0)[1]: wrong.append(file)\nprint(json.dumps(wrong))"
    assert run(code) == []


def test_a_row_loads_its_file_and_what_that_needs() -> None:
    assert run(f"from dlc.ir.op import OPS\n{LOADED}") == []
    assert run(f"from dlc.ir.op import OPS\nOPS.get('nothing'), 'nothing' in OPS\n{LOADED}") == []
    found = set(run(f"from dlc.ir.op import OPS\nassert 'tanh' in OPS\n{LOADED}"))
    assert found == {"elementwise", "families", "batching"}


def test_a_program_from_the_cache_loads_its_own_rows(tmp_path: Path) -> None:
    code = f"import dlc\ndlc.config.cache_dir = {str(tmp_path)!r}\n"
    code += f"dlc.compile(lambda x: dlc.tanh(x) + 1)(dlc.zeros((3,), dtype='float32'))\n{LOADED}"
    run(code)
    assert set(run(code)) <= {"elementwise", "families", "batching", "structural", "shape"}


def test_names_that_are_taken() -> None:
    code = "from dlc.ir.op import OPS, Op, register\ntry:\n"
    code += " register(Op('tanh', 'Mine.', infer=lambda types, attrs: types[0]))\n"
    code += "except ValueError as error: print(json.dumps([str(error)]))"
    assert run(code) == ["op tanh is registered already"]


def test_which_rows_are_built_in() -> None:
    row = OPS["sub"]
    mine = register(Op("mine", "Mine.", infer=row.infer))
    try:
        assert OPS["mine"] is mine
        assert list(OPS)[-1] == "mine"
        assert OPS.is_built_in(row)
        assert not OPS.is_built_in(mine)
    finally:
        unregister("mine")
    assert "mine" not in OPS
    unregister("sub")
    try:
        assert "sub" not in OPS
        with pytest.raises(KeyError):
            unregister("sub")
        other = register(replace(row, doc="Another."))
        assert OPS["sub"] is other
        assert not OPS.is_built_in(other)
        unregister("sub")
    finally:
        register(row)
    assert OPS.is_built_in(OPS["sub"])
