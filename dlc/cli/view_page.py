"""The page around what `dlc view` shows: its style sheet and its script."""

from __future__ import annotations

from html import escape

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c2127; --soft: #5f6b7a; --line: #d8dde3;
  --card: #f7f8fa; --link: #1f6fd6; --on: #ffe58a; --edge: #8a96a3; --op: #eef3fa;
  --fusion: #dff0e4; --param: #f6ecdb; --constant: #eee9f5; --result: #c75a00;
  --c0: #8db8ec; --c1: #8fcfa6; --c2: #e9b384; --c3: #c9a6e0; --c4: #e69aa5; --c5: #83cdd0; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --text: #e6e9ed; --soft: #98a3b0;
  --line: #343b44; --card: #1c2026; --link: #6cabf7; --on: #6b5400; --edge: #6f7c8a; --op: #25303d;
  --fusion: #20382a; --param: #3a3020; --constant: #2f2740; --result: #f5a04c;
  --c0: #31557f; --c1: #2d6340; --c2: #7d5026; --c3: #5d3d73; --c4: #7a3540; --c5: #256568; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif; }
a { color: var(--link); }
header { padding: 16px 24px 8px; }
h1 { font-size: 22px; margin: 0 0 6px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 8px; }
h3 { font-size: 15px; margin: 14px 0 6px; overflow-wrap: anywhere; }
nav { display: flex; gap: 4px 18px; flex-wrap: wrap; }
main { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 5fr); gap: 0 20px;
  padding: 0 24px 40px; }
section { margin: 18px 0 0; min-width: 0; }
#source { grid-row: 1 / span 9; position: sticky; top: 0; align-self: start; max-height: 100vh;
  display: flex; flex-direction: column; padding-bottom: 12px; }
#source > .scroll { overflow: auto; }
.rest { min-width: 0; }
.note { color: var(--soft); font-size: 13px; margin: 4px 0; }
.scroll { overflow: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; }
pre { margin: 0; padding: 8px 10px; font: 12px/1.5 ui-monospace, monospace; tab-size: 4; }
pre span[data-k], .text div[data-k] { cursor: pointer; }
pre i { display: inline-block; width: 5ch; padding-right: 1ch; text-align: right;
  color: var(--soft); font-style: normal; user-select: none; }
pre.source span { display: inline-block; min-width: 100%; }
pre.source span[data-k] i { color: var(--link); font-weight: 600; }
details { margin: 6px 0; }
summary { cursor: pointer; font-weight: 600; overflow-wrap: anywhere; }
.stage .scroll, .graph .scroll { max-height: 75vh; }
.columns { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 12px; }
.columns summary { display: none; } .columns details { margin: 0; }
select { font: inherit; margin-bottom: 6px; max-width: 100%; }
.on { background: var(--on); }
svg { display: block; }
svg text { font: 12px ui-monospace, monospace; fill: var(--text); }
.box { cursor: pointer; } .box rect { fill: var(--op); stroke: var(--edge); }
.box.fusion rect { fill: var(--fusion); } .box.param rect { fill: var(--param); }
.box.constant rect, .box.control rect { fill: var(--constant); }
.box.result rect { stroke: var(--result); }
.box.on rect { stroke: var(--result); stroke-width: 3; fill: var(--on); }
.edge { fill: none; stroke: var(--edge); stroke-width: 1.3; }
.edge:hover { stroke: var(--link); stroke-width: 3; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th { font-weight: 600; color: var(--soft); }
th, td { padding: 3px 12px 3px 6px; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top; } td.n, th.n { text-align: right; }
td { overflow-wrap: anywhere; } thead th { white-space: nowrap; }
.grid { stroke: var(--line); } svg .tick { fill: var(--soft); font-size: 11px; }
.value rect { stroke: var(--back); stroke-width: 0.7; }
.c0 rect { fill: var(--c0); } .c1 rect { fill: var(--c1); } .c2 rect { fill: var(--c2); }
.c3 rect { fill: var(--c3); } .c4 rect { fill: var(--c4); } .c5 rect { fill: var(--c5); }
.then { stroke: var(--text); stroke-dasharray: 3 2; }
.bound { stroke: var(--result); stroke-dasharray: 6 3; stroke-width: 2; }
.lane rect { fill: var(--soft); } .lane.donated rect { fill: var(--result); }
@media (max-width: 900px) { main { display: block; }
  #source { position: static; max-height: 50vh; } }
@media print { main { display: block; } #source { position: static; max-height: none; }
  .scroll, .stage .scroll, .graph .scroll { max-height: none; overflow: visible; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; } svg { max-width: 100%; height: auto; }
  .columns { display: block; } .columns details { margin-bottom: 12px; } nav { display: none; } }
"""
# Links: elements that have a key in common are marked together. Stages: two columns with menus.
_SCRIPT = """
(() => {
  const linked = new Map();
  for (const e of document.querySelectorAll("[data-k]"))
    for (const k of e.dataset.k.split(" ")) {
      if (!linked.has(k)) linked.set(k, []);
      linked.get(k).push(e);
    }
  let marked = new Set(), pinned = null;
  const mark = (e) => {
    for (const m of marked) m.classList.remove("on");
    marked = new Set();
    if (!e) return;
    for (const k of e.dataset.k.split(" ")) for (const m of linked.get(k)) marked.add(m);
    for (const m of marked) m.classList.add("on");
  };
  const bring = (from) => {
    const seen = new Set();
    if (from.closest(".scroll")) seen.add(from.closest(".scroll"));
    for (const m of marked) {
      const frame = m.closest(".scroll");
      if (!frame || seen.has(frame)) continue;
      const a = m.getBoundingClientRect(), b = frame.getBoundingClientRect();
      if (!a.height) continue;
      seen.add(frame);
      frame.scrollTop += a.top - b.top - Math.max((b.height - a.height) / 2, 0);
      if (m.closest("svg")) frame.scrollLeft += a.left - b.left - (b.width - a.width) / 2;
    }
  };
  const at = (event) => event.target.closest ? event.target.closest("[data-k]") : null;
  document.addEventListener("pointerover", (event) => { if (!pinned) mark(at(event)); });
  const pin = (e) => {
    pinned = e && e !== pinned ? e : null;
    mark(pinned);
    if (pinned) bring(pinned);
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest("a[href], summary, select")) return;
    pin(at(event));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") pin(null);
    if (event.key === "Enter" && event.target.matches("[data-k]")) pin(event.target);
  });
  const centre = (frame) => {
    const first = frame.querySelector(".box");
    if (!first || !frame.clientWidth) return;
    const a = first.getBoundingClientRect(), b = frame.getBoundingClientRect();
    frame.scrollLeft += a.left - b.left - (b.width - a.width) / 2;
  };
  for (const graph of document.querySelectorAll(".graph")) {
    const all = () => graph.querySelectorAll(".scroll").forEach(centre);
    all();
    graph.addEventListener("toggle", all, { once: !graph.open });
  }
  const openTarget = () => {
    const target = document.getElementById(location.hash.slice(1));
    for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", openTarget);
  const stages = [...document.querySelectorAll(".stage")];
  const store = document.querySelector("#stages .store");
  const columns = document.createElement("div");
  columns.className = "columns";
  const shown = [0, Math.min(1, stages.length - 1)];
  const menus = shown.map((_, side) => {
    const column = columns.appendChild(document.createElement("div"));
    const menu = column.appendChild(document.createElement("select"));
    menu.setAttribute("aria-label", side ? "stage on the right" : "stage on the left");
    for (const s of stages) menu.add(new Option(s.dataset.name));
    menu.onchange = () => show(side, menu.selectedIndex);
    return menu;
  });
  const show = (side, n) => {
    if (shown[1 - side] === n) shown[1 - side] = shown[side];
    shown[side] = n;
    for (const s of stages) store.append(s);
    shown.forEach((k, i) => {
      menus[i].selectedIndex = k;
      stages[k].open = true;
      menus[i].parentElement.append(stages[k]);
    });
  };
  store.before(columns);
  store.hidden = true;
  show(0, 0);
  openTarget();
})();
"""


def page(title: str, header: str, source: str, parts: str) -> str:
    """A whole page.

    Args:
        title: Plain text.
        header: HTML of what the program is.
        source: HTML of the user's source, which stays at the side.
        parts: HTML of the rest.
    """
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{_STYLE}</style></head><body>
<header id="program">{header}</header>
<main>{source}<div class="rest">{parts}</div></main>
<script>{_SCRIPT}</script></body></html>
"""
