"""Every kernel of the op table and the corpus, compiled for both architectures: by its record.

`python tests/gpu_kernels.py` brings the record up to date.
"""

import importlib.util
import random

import pytest

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)

import gpu_kernels
from gpu_kernels import ARCHS, measured, read_record, variants, within_bounds

SAMPLE = 4  # variants of an architecture that are compiled again
NEW = 24  # that may be missing in a record that was complete, and are compiled here


@pytest.fixture(scope="module")
def known():
    return read_record()


@pytest.mark.parametrize("arch", ARCHS)
def test_no_kernel_spills(arch, known):
    wrong = {k: f for k, f in known[arch].items() if not within_bounds(arch, f)}
    assert not wrong


@pytest.mark.parametrize("arch", ARCHS)
def test_every_kernel_is_known_or_compiled(arch, known):
    found = variants(arch)
    recorded = sorted(found.keys() & known[arch].keys())
    missing = sorted(found.keys() - known[arch].keys())
    chosen = random.Random(arch)
    if not known["complete"]:
        missing = chosen.sample(missing, min(len(missing), SAMPLE))
    assert len(missing) <= NEW, "run python tests/gpu_kernels.py"
    for key in missing:
        assert within_bounds(arch, measured(*found[key], arch)), found[key][0].source
    for key in chosen.sample(recorded, min(len(recorded), SAMPLE)):
        assert measured(*found[key], arch) == known[arch][key], found[key][0].source


def test_a_record_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_kernels, "RECORD", tmp_path / "record")
    assert read_record() == {"complete": False, "sm_80": {}, "sm_90": {}}
    made = {"complete": True, "sm_80": {"ab": (1, 0, 2)}}
    made["sm_90"] = {"ab": (3, 8, 4), "c": (5, 0, 6)}
    gpu_kernels.write_record(made)
    assert read_record() == made
    monkeypatch.setattr(gpu_kernels, "triton_version", lambda: "0.1")
    assert not read_record()["sm_90"]
