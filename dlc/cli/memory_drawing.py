"""The memory of a program as SVG: what lies where in the arena, and when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from dlc.codegen.memory_plan import MemoryPlan, Timeline, byte_size
from dlc.codegen.program import Branch, Program

_LEFT, _TOP, _HIGH, _BOTTOM, _RIGHT = 90, 14, 260, 30, 12
_NARROW, _WIDE, _MOMENT = 560, 6000, 18  # pixels: the whole, and a moment
_LANE = 12
_LANES = 24  # results that have bars
_COLOURS = 6


def touched(timeline: Timeline) -> dict[int, tuple[int, int]]:
    """The first and the last moment at which each slot is read, written or moved."""
    found: dict[int, tuple[int, int]] = {}
    for moment in range(timeline.now):
        for slot in timeline.slots_at(moment):
            found[slot] = (found.get(slot, (moment, 0))[0], moment)
    return found


def draw_memory(
    program: Program, plan: MemoryPlan, timeline: Timeline, values: Mapping[str, int]
) -> str:
    """An SVG element, and what is left out: the arena by moments, with the results in lanes below.

    Args:
        program: The program.
        plan: Where its temporaries lie.
        timeline: When they live.
        values: The values of its symbols.
    """
    return "\n".join(_Chart(program, plan, timeline, values).text())


class _Chart:
    def __init__(
        self, program: Program, plan: MemoryPlan, timeline: Timeline, values: Mapping[str, int]
    ) -> None:
        self.program, self.plan, self.timeline, self.values = program, plan, timeline, values
        self.touched = touched(timeline)
        self.moments = max(timeline.now, 1)
        wide = max(_NARROW, min(_WIDE, self.moments * _MOMENT))
        self.step = wide / self.moments
        made = [k for k, s in enumerate(program.slots) if s.kind == "output" and k in self.touched]
        made.sort(key=lambda k: program.slots[k].position)
        self.lanes, self.left_out = made[:_LANES], len(made[_LANES:])
        self.width = _LEFT + wide + _RIGHT
        self.floor = _TOP + (_HIGH if plan.arena_bytes else 0)
        self.height = self.floor + _BOTTOM + _LANE * len(self.lanes)
        self.inside: dict[int, list[int]] = {}
        for k, slot in enumerate(program.slots):
            if slot.shares is not None and k in self.touched:
                self.inside.setdefault(program.memory_of(k), []).append(k)

    def text(self) -> Iterator[str]:
        yield from self._picture()
        if self.left_out:
            yield (
                f'<p class="note left-out">Bars of {self.left_out} more results are left out; the '
                "table of slots has all.</p>"
            )

    def _picture(self) -> Iterator[str]:
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" class="memory" '
            f'width="{self.width:.0f}" height="{self.height:.0f}" '
            f'viewBox="0 0 {self.width:.0f} {self.height:.0f}">'
        )
        yield from self._axis()
        for slot, (first, last) in sorted(self.timeline.lifetimes.items()):
            if byte_size(self.program.slots[slot].type, self.values):
                yield from self._temporary(slot, first, last)
        if self.plan.arena_bytes:
            y = self._y(self.plan.live_bytes)
            shown = f"needed at one time: {self.plan.live_bytes:,} bytes"
            yield (
                f'<line class="bound" x1="{_LEFT}" x2="{self.width - _RIGHT:.0f}" y1="{y:.1f}" '
                f'y2="{y:.1f}"><title>{escape(shown)}</title></line>'
            )
        for lane, slot in enumerate(self.lanes):
            yield from self._result(slot, self.floor + _BOTTOM + _LANE * lane)
        yield "</svg>"

    def _x(self, moment: float) -> float:
        return _LEFT + moment * self.step

    def _y(self, offset: int) -> float:
        return _TOP + _HIGH * (1 - offset / self.plan.arena_bytes)

    def _axis(self) -> Iterator[str]:
        if self.plan.arena_bytes:
            for part in range(5):
                offset = self.plan.arena_bytes * part // 4
                y = self._y(offset)
                yield (
                    f'<line class="grid" x1="{_LEFT}" x2="{self.width - _RIGHT:.0f}" '
                    f'y1="{y:.1f}" y2="{y:.1f}"/>'
                    f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
                    f"{offset:,}</text>"
                )
        shown_at = -100.0
        for moment, part in enumerate(self.timeline.moments):
            x = self._x(moment)
            if x - shown_at >= 48:
                shown_at = x
                yield (
                    f'<text class="tick" x="{x:.0f}" y="{self.floor + 16}">'
                    f"{moment_text(part)}</text>"
                )

    def _temporary(self, slot: int, first: int, last: int) -> Iterator[str]:
        low = self.plan.offsets[slot]
        size = byte_size(self.program.slots[slot].type, self.values)
        x, y = self._x(first), self._y(low + size)
        width, high = self._x(last + 1) - x, self._y(low) - y
        inside = self.inside.get(slot, [])
        words = [f"s{slot}: {self.program.slots[slot].type}, {size:,} bytes at {low:,}"]
        words += [f"then s{k} in its memory: {self.program.slots[k].type}" for k in inside]
        ends = f'data-slot="{slot}" data-lives="{first} {last}" data-bytes="{low} {low + size}"'
        yield (
            f'<g class="value c{slot % _COLOURS}" {ends}><title>{escape(chr(10).join(words))}'
            f'</title><rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{high:.1f}"/>'
        )
        if width > 30 and high > 12:
            yield f'<text x="{x + 4:.1f}" y="{y + 12:.1f}">s{slot}</text>'
        for k in inside:
            at = self._x(self.touched[k][0] + 0.5)
            ends = f'x1="{at:.1f}" x2="{at:.1f}" y1="{y:.1f}" y2="{y + high:.1f}"'
            yield f'<line class="then" {ends}/>'
        yield "</g>"

    def _result(self, slot: int, y: float) -> Iterator[str]:
        made, owner = self.program.slots[slot], self.program.memory_of(slot)
        source = self.program.slots[owner]
        donated = owner != slot and source.kind == "input"
        kind = "lane donated" if donated else "lane"
        x = self._x(self.touched[slot][0])
        size = byte_size(made.type, self.values)
        words = f"s{slot}, result {made.position}: {made.type}, {size:,} bytes"
        if donated:
            words += f", in the memory of s{owner}, argument {source.position}, which is donated"
        elif owner != slot:
            words += f", in the memory of s{owner}"
        yield (
            f'<g class="{kind}"><title>{escape(words)}</title>'
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{self._x(self.moments) - x:.1f}" '
            f'height="{_LANE - 3}"/><text class="tick" x="{_LEFT - 6}" y="{y + _LANE - 3:.1f}" '
            f'text-anchor="end">result {made.position}</text></g>'
        )


def moment_text(part: object) -> str:
    """What happens at a moment of a timeline: the numbers of calls, or a word."""
    if isinstance(part, range):
        return f"{part.start}" if len(part) == 1 else f"{part.start}-{part.stop - 1}"
    return "branch" if isinstance(part, Branch) else "loop"
