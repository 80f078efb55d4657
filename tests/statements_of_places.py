"""Random statements that move elements: indexing, gathers, scatters, shapes, orders."""

from statements_of_values import Unfit


class PlaceStatements:
    """Reads, writes and moves of elements.

    Each method makes the text of an expression, or statements that set `{0}`.
    """

    def subscript(self, x):
        parts = []
        for d in x.shape[: self.rng.randint(1, x.rank)]:
            how = self.rng.random()
            if how < 0.2 and d:
                parts.append(str(self.rng.randint(-d, d - 1)))
            elif how < 0.35:
                parts.append(":")
            elif how < 0.8:
                low, high = sorted((self.rng.randint(0, d), self.rng.randint(0, d)))
                step = self.pick((1, 1, 2, 3, 7))
                if self.chance(0.3):
                    parts.append(f"{self.pick(('', high - 1 if high else ''))}::-{step}")
                else:
                    parts.append(f"{low}:{high}:{step}")
            else:
                parts.append(self.index(d).name)
        if self.chance(0.15):
            parts.insert(self.rng.randint(0, len(parts)), "None")
        if self.chance(0.15):
            parts.insert(0, "...")
        return ", ".join(parts)

    def index(self, d, shape=None):
        if not d:
            raise Unfit
        dtype = self.pick(("int64", "int64", "int32", "uint8", "int8", "int16", "uint32"))
        shape = self.pick(((3,), (5,), (1,), (2, 3), (17,), (0,))) if shape is None else shape
        return self.param(dtype, shape, high=min(d, 100), constant=self.chance(0.1))

    def read(self):
        x = self.value(low=1)
        return f"dlc.asarray({x.name})[{self.subscript(x)}]"

    def write(self):
        x = self.value(low=1)
        where = self.subscript(x)
        number = {"f": "1.5", "b": "True"}.get(x.kind, "3")
        if self.chance(0.5):
            self.check(f"dlc.asarray({x.name})[{where}]")
            y = self.evaluated
            if self.chance(0.5):
                number = self.like(x.dtype, y.shape).name
            elif not self.smooth:
                number = f"dlc.asarray({x.name})[{where}] + {number}" if x.kind != "b" else number
        return self.pick((f"{{0}} = +dlc.asarray({x.name})\n{{0}}[{where}] = {number}",
                          self.at(x, where, number)))  # fmt: skip

    def at(self, x, where, number):
        how = "set" if x.kind == "b" else self.pick(("set", "add", "max", "min", "multiply"))
        mode = self.pick(("", "", ", mode='drop'", ", mode='clip'", ", mode='wrap'"))
        return f"dlc.asarray({x.name}).at[{where}].{how}({number}{mode})"

    def masked(self):
        x = self.value("fiu", 1)
        number = self.pick(("0", "2", "-1" if x.kind != "u" else "1"))
        return f"{{0}} = +dlc.asarray({x.name})\n{{0}}[{x.name} > {self.partner(x)}] = {number}"

    def gather(self):
        x = self.value(low=1)
        a = self.axis(x)
        d = x.shape[a]
        how = self.pick(
            ("take", "along", "scatter", "add", "reduce", "segment", "index_add", "hot")
        )
        if how == "take":
            return f"dlc.take({x.name}, {self.index(d).name}, axis={a})"
        if how == "hot":
            i = self.index(max(d, 1))
            return f"dlc.one_hot({i.name}, {min(d, 40)})"
        if how in ("segment", "index_add"):
            n = x.shape[0]
            i = self.index(7, (n,))
            if how == "segment":
                return (
                    f"dlc.segment_{self.pick(('sum', 'max', 'min', 'prod'))}({x.name}, {i.name}, 8)"
                )
            i = self.index(d, (5,))
            source = self.like(x.dtype, (*x.shape[: a % x.rank], 5, *x.shape[a % x.rank + 1 :]))
            return f"dlc.index_add({x.name}, {a}, {i.name}, {source.name})"
        shape = list(x.shape)
        shape[a] = self.pick((1, 3, d))
        i = self.index(d, shape)
        if how == "along":
            return f"dlc.take_along_axis({x.name}, {i.name}, axis={a})"
        src = self.like(x.dtype, shape)
        if how == "scatter":
            return f"dlc.put_along_axis({x.name}, {i.name}, {src.name}, axis={a})"
        if how == "add":
            return f"dlc.scatter_add({x.name}, {a}, {i.name}, {src.name})"
        name = self.pick(("sum", "prod", "mean", "amax", "amin"))
        inside = self.pick(("", ", include_self=False"))
        return f"dlc.scatter_reduce({x.name}, {a}, {i.name}, {src.name}, '{name}'{inside})"

    def rearrange(self):
        x = self.value(low=1)
        a = self.axis(x)
        n = x.name
        axes = self.rng.sample(range(x.rank), x.rank)
        return self.pick((
            f"dlc.permute({n}, {tuple(axes)})", f"{n}.reshape(-1)", f"{n}.mT" if x.rank > 1 else n,
            f"dlc.flip({n}, axis={a})", f"dlc.roll({n}, {self.pick((1, -2, 5))}, axis={a})",
            f"dlc.tile({n}, {self.pick((2, '(2, 1)', '(1, 3)'))})",
            f"dlc.repeat({n}, {self.pick((2, 3))}, axis={a})", f"dlc.expand_dims({n}, axis={a})",
            f"dlc.broadcast_to({n}, (2, *{n}.shape))",
            f"dlc.permute({n}, {tuple(axes)}).reshape(-1)",
            f"{n}.reshape({(*x.shape[:-1], 1, x.shape[-1])})", f"dlc.swapaxes({n}, 0, {a})",
            f"dlc.tril({n}, {self.pick((0, 1, -2))})", f"dlc.triu({n})",
            f"dlc.diagonal({n}, {self.pick((0, 1, -1))})", f"dlc.diff({n}, axis={a})",
            f"dlc.stack([{n}, {n}], axis={a})",
        ))  # fmt: skip

    def pad(self):
        x = self.value("fiu", 1)
        widths = tuple((self.rng.randint(0, 3), self.rng.randint(0, 3)) for _ in range(x.rank))
        mode = self.pick(("constant", "constant", "edge", "reflect", "symmetric", "wrap"))
        return f"dlc.pad({x.name}, {widths}, '{mode}')"

    def join(self):
        x = self.value(low=1)
        a = self.axis(x)
        shape = list(x.shape)
        shape[a] = self.pick((shape[a], 1, 3))
        y = self.like(x.dtype, shape)
        parts = [x.name, y.name, *([x.name] if self.chance(0.3) else [])]
        self.rng.shuffle(parts)
        return f"dlc.concat([{', '.join(parts)}], axis={a})"

    def part(self):
        x = self.value(low=1)
        a = self.axis(x)
        n = self.rng.randint(1, max(1, min(x.shape[a], 4)))
        return f"dlc.array_split({x.name}, {n}, axis={a})[{self.rng.randint(0, n - 1)}]"

    def order(self):
        x = self.value("fiub", 1)
        a = self.axis(x)
        d = x.shape[a]
        down = self.pick(("", ", descending=True"))
        k = self.rng.randint(1, max(1, min(d, 9)))
        return self.pick((
            f"dlc.sort({x.name}, axis={a}{down})", f"dlc.argsort({x.name}, axis={a}{down})",
            f"dlc.topk({x.name}, {k}, axis={a})[{self.pick((0, 1))}]",
            f"dlc.take_along_axis({x.name}, dlc.argsort({x.name}, axis={a}{down}), axis={a})",
            f"dlc.topk({x.name}, {k}, axis={a}, largest=False)[0]",
            f"dlc.searchsorted(dlc.sort({x.name}.reshape(-1)), {x.name})",
            f"dlc.median({x.name}, axis={a})", f"dlc.quantile({x.name}, 0.3, axis={a})",
        ))  # fmt: skip
