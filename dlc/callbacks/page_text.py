"""The page around what `LivePage` shows: its style sheet, and how often it loads itself again."""

from __future__ import annotations

import html
import sys
import time
from typing import Any

resource: Any
try:
    import resource
except ModuleNotFoundError:  # on Windows
    resource = None

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c2127; --soft: #5f6b7a; --line: #d8dde3;
  --card: #f7f8fa; --train: #1f6fd6; --steps: #9dc1ee; --tested: #c75a00; --good: #1d7f4e; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --text: #e6e9ed; --soft: #98a3b0;
  --line: #343b44; --card: #1c2026; --train: #6cabf7; --steps: #4a76ab; --tested: #f5a04c;
  --good: #5fcb93; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 20px 24px 40px; background: var(--back);
  color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
header { display: flex; gap: 14px; align-items: baseline; flex-wrap: wrap; }
h1 { font-size: 22px; margin: 0 0 10px; }
.state { font-size: 13px; padding: 1px 10px; border-radius: 10px; border: 1px solid currentColor;
  color: var(--train); }
.state.finished { color: var(--good); } .state.stopped { color: var(--tested); }
.when { color: var(--soft); font-size: 13px; margin-left: auto; }
.bar { height: 8px; border-radius: 4px; background: var(--line); overflow: hidden; }
.bar div { height: 100%; background: var(--train); }
.facts { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 26px; padding: 0;
  margin: 10px 0 18px; font-variant-numeric: tabular-nums; }
.facts i { font-style: normal; color: var(--soft); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr));
  gap: 18px; }
figure { margin: 0; padding: 12px 14px 6px; background: var(--card); border-radius: 8px;
  max-width: 760px; }
figcaption { display: flex; justify-content: space-between; flex-wrap: wrap; gap: 2px 14px; }
.legend { display: flex; gap: 14px; flex-wrap: wrap; font-size: 13px;
  font-variant-numeric: tabular-nums; }
.legend span::before { content: ""; display: inline-block; width: 14px; height: 3px;
  margin: 0 6px 3px 0; border-radius: 2px; background: var(--colour); }
.train { --colour: var(--train); } .tested { --colour: var(--tested); }
.steps { --colour: var(--steps); }
svg { width: 100%; height: auto; display: block; }
polyline { fill: none; stroke: var(--colour); stroke-width: 2; stroke-linejoin: round; }
polyline.steps { stroke-width: 1.3; }
circle { fill: var(--colour); }
.grid { stroke: var(--line); stroke-width: 1; } .axis { stroke: var(--soft); fill: none; }
.tick, .label { fill: var(--soft); font: 12px system-ui, sans-serif; }
.wide { overflow-x: auto; margin: 22px 0; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th { font-weight: 600; color: var(--soft); }
th, td { padding: 4px 14px 4px 0; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.system { font-size: 13px; } .system td { text-align: left; white-space: normal; }
.none { color: var(--soft); }
"""
_AGE = """
const age = Date.now() / 1000 - WRITTEN;
if (age > 60) document.querySelector(".when").textContent +=
  ", no news for " + Math.round(age / 60) + " min";
"""


def page(title: str, state: str, body: str, every: float) -> str:
    """A whole page; one of a run that goes on loads itself again."""
    now = time.time()
    running = state == "running"
    again = f'<meta http-equiv="refresh" content="{max(round(2 * every), 2)}">' if running else ""
    script = f"<script>{_AGE.replace('WRITTEN', f'{now:.0f}')}</script>" if running else ""
    shown = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">{again}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}: {state}</title><style>{_STYLE}</style></head><body>
<header><h1>{html.escape(title)}</h1><span class="state {state}">{state}</span>
<span class="when">written {shown}</span></header>
{body}
{script}</body></html>
"""


def duration(seconds: float) -> str:
    """A time as a person says it.

    Example:
        >>> duration(3725.0), duration(0.0123)
        ('1 h 02 min', '12 ms')
    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def memory() -> str:
    """The most memory that this process has had."""
    if resource is None:
        return "-"
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    return f"{most * unit / 2**30:.2f} GiB at most"
