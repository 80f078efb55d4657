"""Tokens of the kernel text form, with the lines and indentation that its blocks follow."""

from __future__ import annotations

import re

from dlc.ir.lexer import Reader

# Possessive repeats: no input makes the matcher go back over what it has read.
_TOKEN = re.compile(
    r"""(?:[ \t\r\n]++|\#(?![^\W0-9])[^\n]*+)*+
    (?: (?P<let>\$[0-9]++)
      | (?P<block>\#[^\W0-9]\w*+(?:\.\w++)*+)
      | (?P<float>[0-9]++(?:\.[0-9]*+(?:[eE][+-]?[0-9]++)?|[eE][+-]?[0-9]++))
      | (?P<int>[0-9]++)
      | (?P<name>[^\W0-9]\w*+(?:\.\w++)*+)
      | (?P<mark>[<>=!]=|\+=|[(){}\[\]:;,=*+\-/%<>])
      | (?P<end>\Z)
      | (?P<bad>.)
    )""",
    re.VERBOSE | re.DOTALL,
)


class KernelReader(Reader):
    """A kernel's text with one token in view; kinds as in `Reader`, and `let` and `block`."""

    __slots__ = ("previous_end",)

    def __init__(self, text: str, file: str | None = None) -> None:
        self.previous_end = 0
        super().__init__(text, file)

    def advance(self) -> None:
        """Moves to the next token."""
        self.previous_end = self.end
        match = _TOKEN.match(self.text, self.end)
        assert match is not None  # the last branches match anything
        kind = match.lastgroup
        assert kind is not None
        self.kind = kind
        self.start, self.end = match.span(kind)
        self.token = match[kind]
        if kind == "bad":
            self.fail(f"unexpected character {self.token!r}")

    @property
    def is_adjacent(self) -> bool:
        """Whether nothing stands between the token in view and the one before it."""
        return self.start == self.previous_end

    def indentation(self) -> int | None:
        """The width before the token in view when it is the first on its line, else None."""
        first = self.text.rfind("\n", self.previous_end, self.start)
        if first < 0 and self.previous_end > 0:
            return None
        before = self.text[first + 1 : self.start]
        if "\t" in before:
            self.fail("a tab in the indentation", expected="spaces")
        return len(before)
