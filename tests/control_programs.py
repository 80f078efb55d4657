"""Random structured programs over Python numbers, as source text."""

from __future__ import annotations

import linecache
import random

INTS, FLOATS = ("a", "b", "c"), ("x", "y")


class Programs:
    """Makes one program from a seed: a function of two integers and a float."""

    def __init__(self, seed, depth=3, wide=False):
        self.random = random.Random(seed)
        self.wide = wide  # also with what only Python can run
        self.depth = depth
        self.lines = []
        self.loops = 0

    def pick(self, *choices):
        return self.random.choice(choices)

    def integer(self):
        a, b = self.pick(*INTS), self.pick(*INTS)
        k = self.random.randint(1, 5)
        return self.pick(
            f"{a} + {k}", f"({a} * 3 - {b}) % 17", f"{a} // {k}", f"{k}", f"max({a}, {b})",
            f"({a} if {self.test()} else {b})", f"abs({a} - {b})",
        )  # fmt: skip

    def float(self):
        a, x, y = self.pick(*INTS), self.pick(*FLOATS), self.pick(*FLOATS)
        return self.pick(
            f"{x} * 0.5 + {y}", f"{x} - {a}", f"{a} * 0.25", f"min({x}, {y})", f"-{x}",
            f"({x} if {self.test()} else {y} + 1.0)",
        )  # fmt: skip

    def test(self, depth=2):
        a, b, x = self.pick(*INTS), self.pick(*INTS), self.pick(*FLOATS)
        k = self.random.randint(0, 9)
        simple = self.pick(
            f"{a} > {k}", f"{a} % 2 == 0", f"{x} < {a}", f"{a} != {b}", f"0 <= {a} < {k}",
            f"{a} in (1, {k}, {b})", f"{a}",
        )  # fmt: skip
        if depth == 0 or self.random.random() < 0.6:
            return simple
        other = self.test(depth - 1)
        return self.pick(f"({simple} and {other})", f"({simple} or {other})", f"(not {other})")

    def emit(self, indent, text):
        self.lines.append("    " * indent + text)

    def assignment(self, indent):
        if self.random.random() < 0.6:
            self.emit(indent, f"{self.pick(*INTS)} = {self.integer()}")
        else:
            self.emit(indent, f"{self.pick(*FLOATS)} = {self.float()}")

    def jump(self, indent, in_loop):
        kinds = ["return a, b, x"] + (["break", "continue", "break"] if in_loop else [])
        self.emit(indent, self.pick(*kinds))

    def block(self, indent, depth, in_loop):
        for _ in range(self.random.randint(1, 3)):
            self.statement(indent, depth, in_loop)
        if self.random.random() < 0.2:
            self.jump(indent, in_loop)

    def statement(self, indent, depth, in_loop):
        kinds = ["assign", "assign", "if", "if", "while", "for"] if depth else ["assign"]
        if self.wide and depth:
            kinds += ["try", "with", "def", "log", "del"]
        if depth:
            kinds.append("walrus")
        kind = self.pick(*kinds)
        if kind == "assign":
            self.assignment(indent)
        elif kind in ("try", "with", "def", "log", "del", "walrus"):
            getattr(self, f"{kind}_statement")(indent, depth, in_loop)
        elif kind == "if":
            self.emit(indent, f"if {self.test()}:")
            self.block(indent + 1, depth - 1, in_loop)
            if self.random.random() < 0.3:
                self.emit(indent, f"elif {self.test()}:")
                self.block(indent + 1, depth - 1, in_loop)
            if self.random.random() < 0.5:
                self.emit(indent, "else:")
                self.block(indent + 1, depth - 1, in_loop)
        else:
            self.loop(indent, depth, kind)

    def loop(self, indent, depth, kind):
        self.loops += 1
        n = f"n{self.loops}"
        if kind == "while":
            self.emit(indent, f"{n} = 0")
            self.emit(indent, f"while {n} < {self.random.randint(2, 5)} and {self.test(0)}:")
            self.emit(indent + 1, f"{n} += 1")
        else:
            bound = self.pick("3", f"{self.pick(*INTS)} % 5", f"1, {self.pick(*INTS)} % 6, 2")
            self.emit(indent, f"for {n} in range({bound}):")
            self.emit(indent + 1, f"{self.pick(*INTS)} = ({n} * 2 + {self.pick(*INTS)}) % 23")
        self.block(indent + 1, depth - 1, True)
        if self.random.random() < 0.25:
            self.emit(indent, "else:")
            self.block(indent + 1, 0, False)

    def try_statement(self, indent, depth, in_loop):
        self.emit(indent, "try:")
        self.block(indent + 1, depth - 1, in_loop)
        if self.random.random() < 0.6:
            self.emit(indent + 1, f"{self.pick(*INTS)} = 100 // ({self.pick(*INTS)} % 3)")
            self.emit(indent, "except ZeroDivisionError as error:")
            self.emit(indent + 1, "log.append(str(error))")
            self.block(indent + 1, depth - 1, in_loop)
            if self.random.random() < 0.3:
                self.emit(indent, "else:")
                self.block(indent + 1, 0, in_loop)
        else:
            self.emit(indent, "finally:")
            self.emit(indent + 1, f"log.append({self.pick(*INTS)})")
            self.block(indent + 1, 0, False) if self.random.random() < 0.5 else None
            while "return" in self.lines[-1]:
                self.lines.pop()

    def with_statement(self, indent, depth, in_loop):
        self.emit(indent, "with suppress(ZeroDivisionError) as ignored:")
        self.block(indent + 1, depth - 1, in_loop)
        self.emit(indent + 1, f"{self.pick(*INTS)} = 9 // ({self.pick(*INTS)} % 4)")

    def def_statement(self, indent, depth, in_loop):
        a, b = self.pick(*INTS), self.pick(*INTS)
        self.emit(indent, f"def inner(k, *, scale={a}):")
        self.emit(indent + 1, f"nonlocal {b}")
        self.emit(indent + 1, f"{b} = ({b} + 1) % 19")
        self.emit(indent + 1, f"return k + scale if {b} > k else {b}")
        self.emit(indent, f"{self.pick(*INTS)} = inner({self.integer()}) + (lambda v: v + {b})(1)")

    def log_statement(self, indent, depth, in_loop):
        a = self.pick(*INTS)
        self.emit(indent, f"log.append([k * {a} for k in range(3) if k != {a}])")
        self.emit(indent, f"table[{a} % 3], table[1] = {self.integer()}, {a}")
        self.emit(indent, f"table[2] += {self.pick(*INTS)}")

    def del_statement(self, indent, depth, in_loop):
        self.emit(indent, f"spare = {self.integer()}")
        self.emit(indent, f"if {self.test()}:")
        self.emit(indent + 1, f"{self.pick(*INTS)} = spare")
        self.emit(indent + 1, "del spare")

    def walrus_statement(self, indent, depth, in_loop):
        if self.random.random() < 0.5:
            self.emit(indent, f"if (held := {self.integer()}) > 3 or {self.test()}:")
            self.emit(indent + 1, f"{self.pick(*INTS)} = held")
            return
        self.loops += 1
        n = f"n{self.loops}"
        self.emit(indent, f"{n} = 0")
        self.emit(indent, f"while ({n} := {n} + 1) < {self.random.randint(2, 4)}:")
        self.block(indent + 1, depth - 1, True)
        self.emit(indent, f"{self.pick(*INTS)} = {n}")

    def source(self):
        """The text of the function `f`."""
        self.emit(0, "def f(a, b, x):")
        self.emit(1, "c, y = a + b, x * 2.0")
        if self.wide:
            self.emit(1, "log, table = [], {0: 0, 1: 1, 2: 2}")
        for _ in range(3):
            self.statement(1, self.depth, False)
        more = ", log, table" if self.wide else ""
        self.emit(1, f"return a + c, b, x + y{more}")
        return "\n".join(self.lines) + "\n"


def load(source, name, **names):
    """The function `f` of a source, as a notebook would define it."""
    file = f"<{name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names = {"__name__": "notebook", **names}
    exec(compile(source, file, "exec"), names)
    return names["f"]
