"""Derivatives of every op against finite differences at float64, to second order."""

import math

import numpy as np
import pytest
from op_cases import cases, function_of, operands

from dlc.ir.build import IRBuilder
from dlc.ir.errors import DerivativeError
from dlc.ir.interpret import interpret
from dlc.ir.op import OPS, NoDerivative, Op
from dlc.ir.parser import parse_function
from dlc.ir.types import TensorType, float32, float64
from dlc.ir.verifier import verify
from dlc.passes.autodiff import jvp_function, vjp_function
from dlc.runtime.executable import Options, compile_function

STEP = 2e-3
# Where operands lie, by position: an interval of the op's domain, away from its singular points.
POSITIVE, UNIT, ANY = (0.4, 3.0), (-0.8, 0.8), (-2.03, 1.97)
DOMAINS = {
    "log": [POSITIVE], "log2": [POSITIVE], "log10": [POSITIVE], "log1p": [(-0.6, 3.0)],
    "sqrt": [POSITIVE], "rsqrt": [POSITIVE], "cbrt": [POSITIVE], "asin": [UNIT], "acos": [UNIT],
    "atanh": [UNIT], "acosh": [(1.5, 4.0)], "tan": [(-1.0, 1.0)], "div": [ANY, POSITIVE],
    "mod": [(3.1, 3.9), (1.35, 1.5)], "pow": [POSITIVE, ANY], "atan2": [POSITIVE, ANY],
    "hypot": [POSITIVE, ANY], "reduce_prod": [(0.7, 1.4)],
}  # fmt: skip


def definite(a):
    """A well-conditioned symmetric positive definite matrix."""
    return a @ np.swapaxes(a, -1, -2) / 4 + np.eye(a.shape[-1])


def dominant(a):
    """A well-conditioned matrix."""
    return a + 3 * a.shape[-1] * np.eye(a.shape[-1])


def separate(a):
    """Matrices whose eigenvalues and singular values lie well apart."""
    m, n = a.shape[-2:]
    ramp = np.zeros((m, n))
    np.fill_diagonal(ramp, 3.0 + 2.0 * np.arange(min(m, n)))
    return a / 4 + ramp


MATRICES = {
    "cholesky": definite, "inverse": dominant, "solve": dominant, "triangular_solve": dominant,
    "qr": separate, "eigh": separate, "eigvalsh": separate, "svd": separate, "svdvals": separate,
    "det": separate, "cofactors": separate, "slogdet": separate, "pinv": separate,
    "expm": lambda a: a / 4, "expm_tangent": lambda a: a / 4,
}  # fmt: skip


def is_differentiable(op: Op) -> bool:
    return not isinstance(op.jvp, NoDerivative) and op.samples is not None


# Those whose derivative is not that of their value.
OTHERS = {"stop_gradient", "no_derivative"}
NAMES = [op.name for op in OPS.values() if is_differentiable(op) and op.name not in OTHERS]


def separated(rng, name, position, a):
    """Distinct values, so that no step crosses a tie or a kink."""
    low, high = DOMAINS.get(name, [])[position : position + 1][0] if name in DOMAINS else ANY
    shift = 0.0131 * position * (high - low)
    values = rng.permutation(np.linspace(low, high - 2 * shift, a.size)) + shift
    return values.reshape(a.shape)


def problems(name):
    """Distinct functions of an op at float64, operands of its domain, and which are floats."""
    seen = set()
    for number, case in enumerate(cases()):
        args = operands(case)
        if case.op.name != name or any(a.size > 400 for a in args):
            continue
        key = (
            [a.shape for a in args],
            {k: v for k, v in case.sample.attrs.items() if k != "dtype"},
        )
        floats = [k for k, a in enumerate(args) if a.dtype.kind not in "iub"]
        if repr(key) in seen or not floats:
            continue
        function = function_of(case, args, wide=True)
        if not function.results[0].tensor.dtype.is_float:
            continue
        seen.add(repr(key))
        rng = np.random.default_rng(number)
        given = [separated(rng, name, k, a) if k in floats else a for k, a in enumerate(args)]
        if name in MATRICES:
            given[0] = MATRICES[name](given[0])
        if not np.isfinite(interpret(function, given)[0]).all():  # an extreme of nothing
            continue
        yield function, given, floats, rng


def directional(f, args, wrt, direction):
    """The derivative of f along a direction: central differences at three steps, extrapolated."""

    def difference(h):
        moved = []
        for sign in (1, -1):
            at = list(args)
            for k, d in zip(wrt, direction, strict=True):
                at[k] = args[k] + sign * h * d
            moved.append(f(at))
        return [(a - b) / (2 * h) for a, b in zip(*moved, strict=True)]

    slopes = [difference(STEP / 2**k) for k in range(3)]
    # Errors of the second and of the fourth order in the step go.
    return [(a - 20 * b + 64 * c) / 45 for a, b, c in zip(*slopes, strict=True)]


def assert_near(got, want, bound, what):
    scale = 1.0 + max((float(np.max(np.abs(w), initial=0.0)) for w in want), default=0.0)
    for g, w in zip(got, want, strict=True):
        assert (g.shape, g.dtype) == (w.shape, w.dtype), what
        error = float(np.max(np.abs(g - w), initial=0.0))
        assert error <= bound * scale, f"{what}: off by {error:.3g} at a scale of {scale:.3g}"


def directions(rng, args, wrt):
    return [np.asarray(rng.uniform(-1, 1, args[k].shape)) for k in wrt]


def inner(a, b):
    return sum(float(np.vdot(x, y)) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_first_derivatives(name):
    count = 0
    for function, args, wrt, rng in problems(name):
        t = directions(rng, args, wrt)
        forward = jvp_function(function, wrt)
        backward = vjp_function(function, wrt)
        verify(forward)
        verify(backward)
        value, tangent = interpret(forward, [*args, *t])
        expected = directional(lambda at, f=function: interpret(f, at), args, wrt, t)
        assert_near([tangent], expected, 1e-9, f"jvp of {name}")
        u = np.asarray(rng.uniform(-1, 1, value.shape))
        again, *cotangents = interpret(backward, [*args, u])
        assert np.array_equal(value, again)
        assert all(c.shape == args[k].shape for c, k in zip(cotangents, wrt, strict=True))
        left, right = inner([u], [tangent]), inner(cotangents, t)
        assert math.isclose(left, right, rel_tol=1e-11, abs_tol=1e-11 * (1 + value.size))
        count += 1
    assert count


@pytest.mark.parametrize("name", NAMES)
def test_second_derivatives(name):
    """Forward over reverse against differences; reverse over reverse is its adjoint."""
    for function, args, wrt, rng in problems(name):
        if sum(args[k].size for k in wrt) > 100:
            continue
        gradient = vjp_function(function, wrt)
        u = np.asarray(rng.uniform(-1, 1, function.results[0].shape))
        given = [*args, u]
        t = directions(rng, args, wrt)
        count = len(gradient.results)
        made = interpret(jvp_function(gradient, wrt), [*given, *t])
        tangents = made[count:]
        expected = directional(lambda at, g=gradient: interpret(g, at), given, wrt, t)
        assert_near(tangents, expected, 1e-8, f"second derivative of {name}")
        weights = [np.asarray(rng.uniform(-1, 1, r.shape)) for r in tangents]
        twice = interpret(vjp_function(gradient, wrt), [*given, *weights])[count:]
        left, right = inner(weights, tangents), inner(twice, t)
        assert math.isclose(left, right, rel_tol=1e-10, abs_tol=1e-10 * (1 + abs(left)))


@pytest.mark.parametrize("name", NAMES)
def test_compiled_derivatives_equal_interpreted_ones(name):
    for function, args, wrt, rng in list(problems(name))[:3]:
        backward = vjp_function(function, wrt)
        u = np.asarray(rng.uniform(-1, 1, function.results[0].shape))
        compiled = compile_function(backward, options=Options(verify=True))
        assert_near(compiled([*args, u]), interpret(backward, [*args, u]), 1e-12, f"vjp of {name}")


def test_every_op_has_a_test_or_a_reason():
    rest = {op.name for op in OPS.values()} - set(NAMES)
    without = {op.name for op in OPS.values() if isinstance(op.jvp, NoDerivative)}
    assert rest - without == {
        *("param", "get", "fusion", "stop_gradient"),
        *("switch", "while", "scan"),  # `test_control_derivatives` has theirs
        *("custom_jvp", "custom_vjp", "no_derivative"),  # `test_custom_derivatives`
        "checkpoint",  # `test_checkpoint`
    }


def test_narrow_types_are_adjoint_too():
    for a, b in (("f64", "f32"), ("f32", "f64"), ("f32", "bf16"), ("f16", "f32")):
        text = f"func @f(%x: {a}[64]) -> ({b}[64])"
        text += f"{{ %0: {b}[64] = convert(%x) {{dtype={b}}} return %0 }}"
        function = parse_function(text)
        gradient = vjp_function(function, [0])
        assert gradient.results[1].tensor == function.params[0].tensor
        x = np.arange(64).astype(function.params[0].tensor.dtype.numpy)
        u = (np.arange(64) % 7).astype(function.results[0].tensor.dtype.numpy)
        assert np.array_equal(interpret(gradient, [x, u])[1].astype(float), u.astype(float))


# Points at which derivatives are a matter of choice, and each choice is documented.


def slopes(name, *points, **attrs):
    """The derivative of an elementwise op in each operand, the same forward and in reverse."""
    b = IRBuilder()
    args = [np.array([float(p)]) for p in points]
    params = [b.param(TensorType(float64, (1,))) for _ in args]
    function = b.function("f", params, [getattr(b, name)(*params, **attrs)])
    wrt = range(len(args))
    reverse = interpret(vjp_function(function, wrt), [*args, np.ones(1)])[1:]
    for k in wrt:
        (_, tangent) = interpret(jvp_function(function, [k]), [*args, np.ones(1)])
        np.testing.assert_array_equal(tangent, reverse[k])
    return tuple(float(r[0]) for r in reverse)


@pytest.mark.parametrize(
    ("name", "points", "expected"),
    [
        ("relu", (0.0,), (0.0,)), ("relu", (-0.0,), (0.0,)), ("relu", (1e-300,), (1.0,)),
        ("relu", (math.inf,), (1.0,)), ("relu", (-math.inf,), (0.0,)),
        ("max", (2.0, 2.0), (0.5, 0.5)), ("min", (2.0, 2.0), (0.5, 0.5)),
        ("max", (0.0, -0.0), (0.5, 0.5)),
        ("max", (math.inf, math.inf), (0.5, 0.5)), ("max", (1.0, -math.inf), (1.0, 0.0)),
        ("abs", (0.0,), (0.0,)), ("abs", (-0.0,), (0.0,)), ("abs", (-3.0,), (-1.0,)),
        ("sqrt", (0.0,), (math.inf,)), ("cbrt", (0.0,), (math.inf,)),
        ("rsqrt", (0.0,), (-math.inf,)),
        ("sqrt", (math.inf,), (0.0,)),
        ("pow", (0.0, 0.0), (0.0, 0.0)), ("pow", (0.0, 1.0), (1.0, 0.0)),
        ("pow", (0.0, 2.0), (0.0, 0.0)),
        ("pow", (-2.0, 3.0), (12.0, math.nan)),
        ("floor", (0.0,), (0.0,)), ("softplus", (0.0,), (0.5,)), ("softplus", (800.0,), (1.0,)),
        ("softplus", (-800.0,), (0.0,)), ("sigmoid", (800.0,), (0.0,)),
        ("sigmoid", (-800.0,), (0.0,)),
        ("tanh", (math.inf,), (0.0,)), ("erf", (math.inf,), (0.0,)), ("gelu", (0.0,), (0.5,)),
        ("silu", (0.0,), (0.5,)), ("exp", (-math.inf,), (0.0,)), ("log", (0.0,), (math.inf,)),
        ("hypot", (3.0, -4.0), (0.6, -0.8)), ("atan2", (0.0, -1.0), (-1.0, 0.0)),
        ("asin", (1.0,), (math.inf,)), ("acosh", (1.0,), (math.inf,)),
    ],
)  # fmt: skip
def test_special_points(name, points, expected):
    np.testing.assert_array_equal(np.array(slopes(name, *points)), np.array(expected))


def gradient_of(name, x, **attrs):
    b = IRBuilder()
    p = b.param(TensorType(float64, x.shape))
    function = b.function("f", [p], [getattr(b, name)(p, **attrs)])
    u = np.ones(function.results[0].shape)
    return interpret(vjp_function(function, [0]), [x, u])[1]


def test_ties_share_the_derivative_of_an_extreme():
    x = np.array([[3.0, 1.0, 3.0, 3.0], [1.0, 2.0, 0.0, -1.0]])
    third = 1 / 3
    expected = [[third, 0, third, third], [0, 1, 0, 0]]
    np.testing.assert_allclose(gradient_of("reduce_max", x, axes=(1,)), expected, rtol=1e-15)
    np.testing.assert_allclose(gradient_of("reduce_min", -x, axes=(1,)), expected, rtol=1e-15)


def test_products_with_zeros():
    x = np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 5.0], [2.0, 3.0, 5.0]])
    expected = [[0, 6, 0], [0, 0, 0], [15, 10, 6]]
    np.testing.assert_array_equal(gradient_of("reduce_prod", x, axes=(1,)), expected)


def test_chains_that_hold_their_maximum_constant():
    x = np.array([-math.inf, 0.0, 1000.0])
    np.testing.assert_array_equal(gradient_of("logsumexp", x, axis=0), [0, 0, 1])
    assert np.all(gradient_of("logsumexp", np.zeros(4), axis=0) == 0.25)
    np.testing.assert_allclose(
        gradient_of("softmax", np.array([1.0, 2.0, 3.0]), axis=0), 0, atol=1e-16
    )


def test_a_side_that_is_not_chosen_passes_nothing():
    text = """func @f(%x: f64[3], %y: f64[3]) -> (f64[3]) {
      %0: f64[3] = full() {value=0.0, shape=[3], dtype=f64}
      %1: bool[3] = gt(%x, %0)
      %2: f64[3] = select(%1, %x, %y)
      return %2 }"""
    gradient = vjp_function(parse_function(text), [0, 1])
    x, y = np.array([-1.0, 0.0, 2.0]), np.array([math.inf, math.nan, math.inf])
    _, dx, dy = interpret(gradient, [x, y, np.full(3, 7.0)])
    np.testing.assert_array_equal(dx, [0, 0, 7])
    np.testing.assert_array_equal(dy, [7, 7, 0])


def test_held_constants_and_steps_have_zero_derivatives():
    x = np.array([0.3, -1.7, 2.0])
    for name in ("stop_gradient", "floor", "ceil", "trunc", "rint"):
        np.testing.assert_array_equal(gradient_of(name, x), np.zeros(3))


def test_parameters_that_do_not_matter_get_zeros():
    text = """func @f(%x: f32[2], %y: f32[0,3], %k: i64[4]) -> (f32[2], i64[4]) {
      %0: f32[2] = exp(%x)
      %1: i64[4] = neg(%k)
      return %0, %1 }"""
    gradient = vjp_function(parse_function(text), [0, 1])
    assert [r.tensor.dtype for r in gradient.results[2:]] == [float32, float32]
    out = interpret(
        gradient,
        [
            np.zeros(2, np.float32),
            np.zeros((0, 3), np.float32),
            np.arange(4),
            np.ones(2, np.float32),
        ],
    )
    np.testing.assert_array_equal(out[2], [1, 1])
    assert out[3].shape == (0, 3)


def test_a_rule_that_is_not_linear_is_an_error():
    row = OPS["sin"]
    right = row.jvp
    b = IRBuilder()
    p = b.param(TensorType(float64, (2,)))
    function = b.function("f", [p], [b.sin(p)])
    object.__setattr__(row, "jvp", lambda b, out, x, t: b.exp(t[0]))
    try:
        with pytest.raises(DerivativeError, match="exp, which is not linear"):
            vjp_function(function, [0])
        object.__setattr__(row, "jvp", None)
        with pytest.raises(DerivativeError, match="op sin has no derivative"):
            vjp_function(function, [0])
    finally:
        object.__setattr__(row, "jvp", right)
