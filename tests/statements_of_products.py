"""Random statements of products: of matrices, convolutions, attention; and windows."""

from statements_of_values import Unfit


class ProductStatements:
    """Products, convolutions, attention, windows.

    Each method makes the text of an expression, or statements that set `{0}`.
    """

    def matmul(self):
        x = self.value("fi", 1)
        k = x.shape[-1]
        if x.rank > 2 and self.chance(0.5):
            y = self.like(x.dtype, (*x.shape[:-2], k, self.extent()))
        elif self.chance(0.2):
            y = self.like(x.dtype, (k,))
        elif self.chance(0.5):
            y = self.like(x.dtype, (self.extent(), k))
            return f"{x.name} @ {y.name}.mT"
        else:
            y = self.like(x.dtype, (k, self.extent()))
        return f"{x.name} @ {y.name}"

    def gram(self):
        x = self.value("f", 2)
        return self.pick((f"{x.name} @ {x.name}.mT", f"{x.name}.mT @ {x.name}"))

    def dense(self):
        x = self.value("f", 1)
        out = self.extent()
        w, b = self.like(x.dtype, (x.shape[-1], out)), self.like(x.dtype, (out,))
        act = self.pick(("dlc.relu", "dlc.gelu", "dlc.tanh", "dlc.silu", "dlc.softmax", ""))
        return f"{act}({x.name} @ {w.name} + {b.name})"

    def einsum(self):
        x = self.value("fi", 1, 4)
        letters = "abcd"[: x.rank]
        sizes = dict(zip(letters, x.shape, strict=True))
        other = self.rng.sample(letters, self.rng.randint(1, x.rank))
        if self.chance(0.5):
            sizes["e"] = self.extent()
            other.insert(self.rng.randint(0, len(other)), "e")
        y = self.like(x.dtype, [sizes[c] for c in other])
        everything = sorted({*letters, *other})
        out = self.rng.sample(everything, self.rng.randint(0, min(3, len(everything))))
        return f"dlc.einsum('{letters},{''.join(other)}->{''.join(out)}', {x.name}, {y.name})"

    def conv(self):
        axes = self.rng.randint(1, 2)
        shape = [self.pick((1, 2)), self.pick((1, 2, 3, 4, 8, 16, 17, 32))]
        shape += [self.pick((5, 7, 8, 9, 14, 16, 17)) for _ in range(axes)]
        fitting = [v for v in self.values if v.kind == "f" and v.rank == axes + 2]
        x = self.pick(fitting) if fitting and self.chance(0.7) else self.param(self.float, shape)
        c = x.shape[1]
        groups = self.pick(
            (1, 1, 1, c, self.pick([g for g in range(1, c + 1) if c % g == 0] or [1]))
        )
        out = max(groups, 1) * self.pick((1, 2, 3, 8)) if c else 1
        kernel = [self.pick((1, 2, 3, 3, 5)) for _ in range(axes)]
        w = self.like(x.dtype, (out, c // max(groups, 1), *kernel))
        b = f", {self.like(x.dtype, (out,)).name}" if self.chance(0.5) else ""
        more = f"stride={self.pick((1, 1, 2, 3))}, padding={self.pick((0, 1, 2))}"
        if self.chance(0.3):
            more += f", dilation={self.pick((2, 3))}"
        if groups != 1:
            more += f", groups={groups}"
        return f"dlc.conv{axes}d({x.name}, {w.name}{b}, {more})"

    def conv_transpose(self):
        channels = self.pick((1, 2, 4, 8))
        x = self.param(self.float, (self.pick((1, 2)), channels, self.pick((5, 8, 9)), 3))
        w = self.like(x.dtype, (x.shape[1], self.pick((1, 3, 8)), self.pick((2, 3)), 3))
        more = self.pick(("", ", stride=2", ", stride=2, padding=1, output_padding=1",
                          ", dilation=2"))  # fmt: skip
        return f"dlc.conv_transpose2d({x.name}, {w.name}{more})"

    def pool(self):
        x = self.value("f", 3, 4)
        axes = x.rank - 2
        name, more = self.pick((
            ("max_pool", "2"), ("avg_pool", "2"), ("max_pool", "3, stride=1, padding=1"),
            ("avg_pool", "3, stride=2, padding=1"), ("adaptive_avg_pool", "3"),
            ("avg_pool", "3, stride=2, padding=1, count_include_pad=False, ceil_mode=True"),
            ("max_pool", "2, stride=3, ceil_mode=True"), ("adaptive_max_pool", "2"),
            ("max_pool", "2, dilation=2"),
        ))  # fmt: skip
        return f"dlc.{name}{axes}d({x.name}, {more})"

    def attention(self):
        heads, q, k = self.pick((1, 2)), self.extent(), self.extent()
        d, e = self.pick((1, 4, 8, 16, 17, 32, 64)), self.pick((4, 8, 16, 33))
        if max(q, k) * 64 * heads > self.most:
            raise Unfit
        query = self.like(self.float, (heads, q, d))
        key, value = self.like(self.float, (heads, k, d)), self.like(self.float, (heads, k, e))
        names = f"{query.name}, {key.name}, {value.name}"
        if self.chance(0.5):
            more = self.pick(("", "", ", is_causal=True", ", scale=0.3", "mask", "bias"))
            if more == "mask":
                mask = self.param("bool", self.pick(((q, k), (heads, q, k), (1, k))))
                more = f", attn_mask={mask.name}"
            elif more == "bias":
                more = f", attn_mask={self.param(self.float, (q, k)).name}"
            return f"dlc.scaled_dot_product_attention({names}{more})"
        scores = f"{query.name} @ {key.name}.mT"
        scores = self.pick((scores, f"{scores} / {d**0.5!r}", f"{scores} * 0.3"))
        how = self.rng.random()
        if how < 0.3:
            mask = self.param("bool", (q, k)).name
            scores = f"dlc.where({mask}, {scores}, {self.pick(('-1e4', '-np.inf'))})"
        elif how < 0.5:
            scores = f"{scores} + {self.param(self.float, (q, k)).name}"
        return f"dlc.softmax({scores}, axis=-1) @ {value.name}"
