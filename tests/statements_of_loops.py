"""Random statements that run functions: loops, branches, batches, derivatives; and others."""

from statements_of_values import Unfit


class LoopStatements:
    """Loops, branches, random numbers, images, losses.

    Each method makes the text of an expression, or statements that set `{0}`.
    """

    def running(self):
        x = self.value("fiu", 1)
        a = self.axis(x)
        name = self.pick(("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"))
        if name == "logcumsumexp" and x.kind != "f":
            name = "cumsum"
        flip = self.chance(0.3)
        text = f"dlc.{name}({f'dlc.flip({x.name}, axis={a})' if flip else x.name}, {a})"
        return f"{text}[0]" if name in ("cummax", "cummin") else text

    def loop(self):
        x = self.value("f")
        y = self.partner(x)
        n = self.pick((0, 1, 3, 10))
        body = self.pick((f"c * 0.5 + {y}", f"dlc.tanh(c) + {y}", "c - dlc.mean(c)", "c + i",
                          f"dlc.maximum(c * 0.9, {y})", "dlc.flip(c, axis=None) * 0.5 + 1",
                          "c + dlc.sum(c * c, axis=None) * 1e-3"))  # fmt: skip
        start = f"({x.name} + {y})"
        return f"dlc.fori_loop(0, {n}, lambda i, c: ({body}).astype(c.dtype), {start})"

    def matrix_loop(self):
        x = self.value("f", 2, 2)
        m = x.shape[-1]
        w, h = self.like(x.dtype, (m, m)), self.like(x.dtype, (m,))
        reverse = self.pick(("", ", reverse=True", ", unroll=2"))
        k = self.pick((0, 1))
        # Wide random matrices make chaos: no two ways to round agree after some steps.
        held = w.name if m < 8 else f"({w.name} * 0.05)"
        body = self.pick((
            f"(dlc.tanh(c @ {held} + r), c)", "(c * 0.5 + r, dlc.sum(c))",
            f"(dlc.maximum(c, r), r @ {w.name})", f"(c + dlc.tanh(r @ {w.name}), c * r)",
            "(dlc.where(r > 0, c, r), dlc.softmax(c))",
        ))  # fmt: skip
        return f"dlc.scan(lambda c, r: {body}, {h.name}, {x.name}{reverse})[{k}]"

    def until(self):
        x = self.value("f")
        k = self.pick((0, 1))
        return (
            f"dlc.while_loop(lambda c: (c[1] < 6) & (dlc.max(dlc.abs(c[0]), axis=None) > 0.3), "
            f"lambda c: (c[0] * 0.5 - 0.01, c[1] + 1), ({x.name}, 0))[{k}]"
        )

    def branch(self):
        x = self.value("f")
        y = self.partner(x)
        return (f"dlc.cond(dlc.sum({x.name}, axis=None) > 0, lambda x: dlc.tanh(x + {y}), "
                f"lambda x: (x + {y}) * 2, {x.name})")  # fmt: skip

    def row_map(self):
        x = self.value("f", 2)
        return self.pick((
            f"dlc.vmap(lambda r: dlc.softmax(r, axis=-1) * dlc.sum(r))({x.name})",
            f"dlc.map(lambda r: r / (1 + dlc.sum(r * r)), {x.name})",
            f"dlc.vmap(lambda r: dlc.sort(r, axis=0), in_axes=1, out_axes=1)({x.name})",
            f"dlc.associative_scan(lambda p, q: p * 0.5 + q * 0.5, {x.name})",
        ))  # fmt: skip

    def derivative(self):
        x = self.value("f")
        y = self.partner(x)
        inner = self.pick((f"dlc.sum(dlc.tanh(x * {y}))", f"dlc.sum(dlc.sin(x) * {y})",
                           f"dlc.sum(dlc.exp(-x * x) + {y})", "dlc.logsumexp(x)",
                           "dlc.sum(dlc.cumsum(x.reshape(-1)) ** 2)"))  # fmt: skip
        return f"dlc.grad(lambda x: {inner})({x.name})"

    def random(self):
        key = f"dlc.random.key({self.rng.randint(0, 9)})"
        shape = self.shape(0, 2)
        if self.smooth or self.wide:
            raise Unfit
        return self.pick((
            f"dlc.random.normal({key}, {shape}, dlc.{self.float})",
            f"dlc.random.uniform({key}, {shape}, dlc.{self.float})",
            f"dlc.random.bernoulli({key}, 0.3, {shape})",
            f"dlc.random.randint({key}, {shape}, -5, 9)",
            f"dlc.random.bits({key}, {shape})", f"dlc.random.permutation({key}, 5)",
        ))  # fmt: skip

    def image(self):
        x = self.value("f", 4, 4)
        return self.pick((
            f"dlc.interpolate({x.name}, scale_factor=2)",
            f"dlc.interpolate({x.name}, size=(7, 5), mode='bilinear')",
            f"dlc.interpolate({x.name}, size=(3, 9), mode='bicubic', align_corners=True)",
            f"dlc.unfold({x.name}, 2)", f"dlc.unfold({x.name}, 3, padding=1, stride=2)",
        ))  # fmt: skip

    def loss(self):
        x = self.value("f", 2, 2)
        if not x.shape[1] or not x.shape[0]:
            raise Unfit
        labels = self.param("int64", (x.shape[0],), high=0, constant=False)
        self.values.remove(labels)
        return (f"dlc.cross_entropy({x.name}, {labels.name} % {x.shape[1]}, "
                f"reduction='{self.pick(('mean', 'none', 'sum'))}')")  # fmt: skip
