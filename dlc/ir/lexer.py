"""Tokens of the text form, read on demand, with errors that say where and what was expected."""

from __future__ import annotations

import functools
import json
import re
from typing import NoReturn

from dlc.ir.dims import Range
from dlc.ir.errors import ParseError

MAX_DIGITS = 20  # of an integer: every 64-bit one fits
MAX_FLOAT_CHARACTERS = 400
_QUOTED_WIDTH = 160  # longer lines are not shown in errors

# Possessive repeats: no input makes the matcher go back over what it has read.
_TOKEN = r"""(?:[ \t\r\n]++|\#[^\n]*+)*+
    (?: (?P<value>%[\w.]++)
      | (?P<function>@(?:[\w.$]++|"(?:[^"\\\n]++|\\.)*+"))
      | (?P<string>"(?:[^"\\\n]++|\\.)*+")
      | (?P<float>[0-9]++(?:\.[0-9]*+(?:[eE][+-]?[0-9]++)?|[eE][+-]?[0-9]++))
      | (?P<int>[0-9]++)
      | (?P<name>[^\W0-9]\w*+(?:\.\w++)*+)
      | (?P<mark>->|>=|<=|[(){}\[\]:,=*+\-])
      | (?P<end>\Z)
      | (?P<bad>.)
    )"""
_NAMES = {
    "value": "a value such as %x",
    "function": "a name such as @f",
    "string": "a string",
    "float": "a number",
    "int": "an integer",
    "name": "a name",
    "end": "the end of the text",
}


@functools.cache
def _token() -> re.Pattern[str]:
    """Compiled when the first text is read: it takes longer than to load most modules."""
    return re.compile(_TOKEN, re.VERBOSE | re.DOTALL)


class Reader:
    """A text with one token in view.

    Attributes:
        text: The whole text.
        kind: The kind of the token in view: value, function, string, float, int, name, mark or end.
        token: Its text.
        start: Its offset.
        end: The offset after it.
        ranges: What the symbols of dims may be, of those that may not be just any number.
    """

    __slots__ = ("end", "file", "kind", "ranges", "start", "text", "token")

    def __init__(self, text: str, file: str | None = None) -> None:
        self.text, self.file = text, file
        self.ranges: dict[str, Range] = {}
        self.end = 0
        self.advance()

    def advance(self) -> None:
        """Moves to the next token."""
        match = _token().match(self.text, self.end)
        assert match is not None  # the last branches match anything
        kind = match.lastgroup
        assert kind is not None
        self.kind = kind
        self.start, self.end = match.span(kind)
        self.token = match[kind]
        if kind == "bad":
            self.fail(f"unexpected character {self.token!r}")

    def skip_to(self, offset: int) -> None:
        """Moves to the first token at or after `offset`."""
        self.end = offset
        self.advance()

    def accept(self, token: str) -> bool:
        """Moves over a mark or name if it is the one in view."""
        if self.token != token or self.kind == "string":
            return False
        self.advance()
        return True

    def expect(self, token: str) -> None:
        """Moves over a mark or name that must be in view."""
        if not self.accept(token):
            self.fail_expecting(repr(token))

    def take(self, kind: str) -> str:
        """Moves over a token of a kind that must be in view, and gives its text."""
        if self.kind != kind:
            self.fail_expecting(_NAMES[kind])
        token = self.token
        self.advance()
        return token

    def take_integer(self) -> int:
        """An integer with an optional minus sign."""
        negative = self.accept("-")
        if self.kind == "int" and len(self.token) > MAX_DIGITS:
            self.fail(f"an integer of {len(self.token)} digits; at most {MAX_DIGITS} are read")
        value = int(self.take("int"))
        return -value if negative else value

    def take_number(self) -> bool | int | float:
        """`true`, `false`, an integer, a float, `inf` or `nan`, with an optional minus sign."""
        if self.kind == "name" and self.token in ("true", "false"):
            return self.take("name") == "true"
        negative = self.accept("-")
        if self.kind == "int":
            value: int | float = self.take_integer()
        elif self.kind == "float" or (self.kind == "name" and self.token in ("inf", "nan")):
            if len(self.token) > MAX_FLOAT_CHARACTERS:
                self.fail(f"a number of {len(self.token)} characters")
            value = float(self.token)
            self.advance()
        else:
            self.fail_expecting("a number")
        return -value if negative else value

    def take_string(self) -> str:
        """A string in double quotes with JSON's escapes."""
        start = self.start
        return self.unquote(self.take("string"), start)

    def unquote(self, token: str, start: int) -> str:
        """The text that a quoted token at `start` stands for."""
        try:
            return str(json.loads(token, strict=False))
        except ValueError:
            self.fail("a string with an escape that JSON does not have", at=start)

    def fail_expecting(self, expected: str, hint: str | None = None) -> NoReturn:
        """Raises ParseError for the token in view."""
        if self.kind == "end":
            found = "the text ends"
        else:
            shown = self.token if len(self.token) <= 40 else self.token[:37] + "..."
            found = f"found {shown!r}"
        self.fail(found, expected=expected, hint=hint)

    def fail(
        self,
        message: str,
        *,
        expected: str | None = None,
        at: int | None = None,
        hint: str | None = None,
    ) -> NoReturn:
        """Raises ParseError at an offset, by default that of the token in view."""
        offset = self.start if at is None else at
        line = self.text.count("\n", 0, offset) + 1
        first = self.text.rfind("\n", 0, offset) + 1
        column = offset - first + 1
        error = ParseError(
            message, line=line, column=column, expected=expected, file=self.file, hint=hint
        )
        last = self.text.find("\n", first)
        whole = self.text[first : len(self.text) if last < 0 else last]
        if len(whole) <= _QUOTED_WIDTH:
            error.quoted = whole.rstrip("\r")
        raise error
