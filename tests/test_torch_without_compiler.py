"""The backend of `torch.compile` where there is no C compiler."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import shutil
import sys

import torch
from torch import nn

from dlc.interop.torch import dlc_backend

tools = ("gcc", "cc", "g++", "c++", "clang", "clang++", "ld", "as", "cl")
assert not any(map(shutil.which, tools)), "a compiler was found"
forbidden = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system")


def refuse(event, args):
    assert event not in forbidden, f"{event}{args}"


torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv1d(3, 4, 3, padding=1), nn.GELU(), nn.Flatten(1), nn.LazyLinear(5), nn.LayerNorm(5)
)
model(torch.randn(2, 3, 8))
run = torch.compile(model, backend=dlc_backend, fullgraph=True)
sys.addaudithook(refuse)
x = torch.randn(2, 3, 8)
torch.testing.assert_close(run(x), model(x))
with torch.no_grad():
    torch.testing.assert_close(run(x), model(x))
updates = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(3):
    updates.zero_grad()
    loss = run(x).square().sum()
    loss.backward()
    updates.step()
attention = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
run = torch.compile(attention, backend=dlc_backend, fullgraph=True, dynamic=True)
for n in (4, 7, 9):
    x = torch.randn(3, n, 8)
    y = run(x)
    torch.testing.assert_close(y, attention(x))
    y.sum().backward()
print("fine", torch.isfinite(loss).item())
"""


def test_no_compiler_is_needed(tmp_path):
    for name in ("bin", "cache", "torch"):
        (tmp_path / name).mkdir()
    hidden = ("CC", "CXX", "LD", "CPATH", "CONDA_PREFIX")
    own = {k: v for k, v in os.environ.items() if k not in hidden}
    own |= {
        "PATH": str(tmp_path / "bin"),
        "DLC_CACHE_DIR": str(tmp_path / "cache"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "torch"),
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "fine True\n"
