"""Random statements that compute elements from elements: operators, reductions, norms."""

FLOATS = ("float32", "float32", "float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "int8", "uint8", "int16", "uint32", "uint16", "uint64")
UNARY = {
    "f": (
        "negative", "abs", "exp", "tanh", "sigmoid", "floor", "rint", "sin", "cos", "sqrt",
        "log1p", "rsqrt", "relu", "gelu", "erf", "trunc", "silu", "softplus", "square",
        "reciprocal", "sign", "expm1", "log", "log2", "cbrt", "atan", "exp2", "log_sigmoid",
        "nan_to_num", "F.mish", "F.hardswish", "F.elu", "F.selu", "F.leaky_relu", "F.softsign",
        "isnan", "isfinite", "signbit", "ceil", "sinh", "acos", "erfc", "sinc",
    ),
    "i": (
        "negative", "abs", "square", "bitwise_not", "sign", "exp", "sqrt",
    ),
    "u": (
        "negative", "square", "bitwise_not", "sign", "bitwise_count", "tanh",
    ),
    "b": (
        "logical_not", "bitwise_not",
    ),
}  # fmt: skip
BINARY = {
    "f": (
        "add", "subtract", "multiply", "divide", "maximum", "minimum", "remainder", "hypot",
        "atan2", "pow", "floor_divide", "logaddexp", "fmod", "copysign", "fmax", "heaviside",
        "less", "greater_equal", "not_equal", "nextafter",
    ),
    "i": (
        "add", "subtract", "multiply", "maximum", "minimum", "remainder", "floor_divide",
        "bitwise_and", "bitwise_xor", "bitwise_right_shift", "bitwise_left_shift", "gcd",
        "less", "equal", "divide", "pow", "fmod",
    ),
    "b": (
        "logical_and", "bitwise_xor", "logical_or", "add", "multiply", "less",
    ),
}  # fmt: skip
BINARY["u"] = BINARY["i"]
REDUCTIONS = {
    "f": (
        "sum", "mean", "max", "min", "prod", "var", "std", "logsumexp", "argmax", "argmin",
        "median", "any", "all", "count_nonzero", "nansum", "nanmax", "ptp",
    ),
    "i": (
        "sum", "mean", "max", "min", "prod", "argmax", "argmin", "any", "all", "count_nonzero",
    ),
    "b": (
        "any", "all", "sum", "argmax", "count_nonzero", "max",
    ),
}  # fmt: skip
REDUCTIONS["u"] = REDUCTIONS["i"]


class Unfit(Exception):
    """A statement does not fit what there is."""


def broadcasts(shape, to):
    return len(shape) <= len(to) and all(
        a in (1, b) for a, b in zip(shape[::-1], to[::-1], strict=False)
    )


def called(name):
    """How a program calls a function."""
    return name if "." in name else f"dlc.{name}"


class ValueStatements:
    """Operators, reductions and norms.

    Each method makes the text of an expression, or statements that set `{0}`.
    """

    def unary(self):
        x = self.value()
        return f"{called(self.pick(UNARY[x.kind]))}({x.name})"

    def binary(self):
        x = self.value()
        operands = [x.name, self.partner(x)]
        if self.chance(0.4):
            operands.reverse()
        return f"{called(self.pick(BINARY[x.kind]))}({', '.join(operands)})"

    def operator(self):
        x = self.value("f")
        y, z = self.partner(x), self.partner(x)
        return self.pick((f"{x.name} * {y} + {z}", f"{x.name} - {y}", f"({x.name} + {y}) * {z}",
                          f"{x.name} / (1 + {y} * {y})", f"{y} - {x.name} * {x.name}",
                          f"{x.name} ** 2 - {y}", f"{x.name} ** 3"))  # fmt: skip

    def choice(self):
        x = self.value()
        mask = [v for v in self.values if v.kind == "b" and broadcasts(v.shape, x.shape)]
        test = (
            self.pick(mask).name if mask and self.chance(0.6) else f"{x.name} > {self.partner(x)}"
        )
        return f"dlc.where({test}, {x.name}, {self.partner(x)})"

    def clip(self):
        x = self.value("fiu")
        return self.pick((f"dlc.clip({x.name}, 1, 5)", f"dlc.clip({x.name}, max=2)",
                          f"dlc.clip({x.name}, min={self.partner(x)})"))  # fmt: skip

    def convert(self):
        x = self.value()
        if self.wide:
            raise Unfit
        if x.kind == "f" and self.chance(0.2):
            return f"dlc.astype({x.name} * 1e30, dlc.{self.pick(INTEGERS)})"
        return f"dlc.astype({x.name}, dlc.{self.pick((*FLOATS, *INTEGERS, 'bool'))})"

    def reduce(self):
        x = self.value(low=1)
        name = self.pick(REDUCTIONS[x.kind])
        count = self.rng.randint(1, x.rank)
        axes = self.rng.sample(range(x.rank), count)
        axes = tuple(a - x.rank if self.chance(0.5) else a for a in axes)
        if name.startswith("arg") or count == 1:
            axes = axes[0]
        more = ", keepdims=True" if self.chance(0.4) else ""
        if name in ("var", "std") and self.chance(0.4):
            more += ", correction=1"
        return f"dlc.{name}({x.name}, axis={axes}{more})"

    def centre(self):
        x = self.value("f", 1)
        a = self.axis(x)
        return self.pick((
            f"{x.name} - dlc.mean({x.name}, axis={a}, keepdims=True)",
            f"{x.name} / dlc.sqrt(dlc.mean({x.name} ** 2, axis={a}, keepdims=True) + 1e-3)",
            f"dlc.exp({x.name} - dlc.max({x.name}, axis={a}, keepdims=True))",
            f"{x.name} / dlc.sum(dlc.abs({x.name}), axis={a}, keepdims=True)",
        ))  # fmt: skip

    def normalise(self):
        x = self.value("f", 1)
        last = x.shape[-1]
        name = self.pick(
            ("softmax", "log_softmax", "layer_norm", "rms_norm", "affine", "normalize")
        )
        if name in ("softmax", "log_softmax"):
            return f"dlc.{name}({x.name}, axis={self.axis(x)})"
        if name == "affine":
            w, b = self.like(x.dtype, (last,)), self.like(x.dtype, (last,))
            return f"dlc.layer_norm({x.name}, {w.name}, {b.name})"
        if name == "normalize":
            return f"F.normalize({x.name}, dim={self.axis(x)})"
        return f"dlc.{name}({x.name})"

    def channel_norm(self):
        x = self.value("f", 2)
        c = x.shape[1]
        groups = self.pick([g for g in range(1, c + 1) if c % g == 0] or [1])
        w, b = self.like(x.dtype, (c,)), self.like(x.dtype, (c,))
        return self.pick((
            f"dlc.group_norm({x.name}, {groups}, {w.name}, {b.name})",
            f"dlc.batch_norm({x.name}, weight={w.name}, bias={b.name}, training=True)",
            f"dlc.batch_norm({x.name}, {b.name}, dlc.abs({w.name}) + 0.5)",
            f"dlc.batch_norm({x.name}, {b.name}, dlc.square({w.name}), {w.name}, {b.name})",
        ))  # fmt: skip
