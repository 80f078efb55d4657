"""Linear algebra of very small matrices, written out by elements."""

import numpy as np
import pytest

import dlc
from dlc import linalg
from dlc.codegen.host_call import run_host
from dlc.ir.matrix_error import LinAlgError
from dlc.ir.parser import parse_function
from dlc.passes.manager import run_pipeline
from dlc.passes.small_systems import SmallSystems

RNG = np.random.default_rng(5)


def matrices(lead, n, dtype):
    """Matrices whose largest elements are seldom on the diagonal, positive definite ones, sides."""
    a = RNG.standard_normal((*lead, n, n)).astype(dtype)
    s = a @ np.swapaxes(a, -1, -2) + n * np.eye(n, dtype=dtype)
    return a, (s + np.swapaxes(s, -1, -2)) / 2, RNG.standard_normal((*lead, n, 3)).astype(dtype)


OPS = {
    "solve": (lambda a, s, y: linalg.solve(a, y), lambda a, s, y: np.linalg.solve(a, y)),
    "inv": (lambda a, s, y: linalg.inv(a), lambda a, s, y: np.linalg.inv(a)),
    "det": (lambda a, s, y: linalg.det(a), lambda a, s, y: np.linalg.det(a)),
    "slogdet": (
        lambda a, s, y: dlc.stack(linalg.slogdet(a), axis=-1),
        lambda a, s, y: np.stack(np.linalg.slogdet(a), axis=-1),
    ),
    "cholesky": (lambda a, s, y: linalg.cholesky(s), lambda a, s, y: np.linalg.cholesky(s)),
    "cholesky of upper": (
        lambda a, s, y: linalg.cholesky(s, upper=True),
        lambda a, s, y: np.swapaxes(np.linalg.cholesky(s), -1, -2),
    ),
    **{
        f"triangular {lower} {trans} {unit}": (
            lambda a, s, y, lower=lower, trans=trans, unit=unit: linalg.solve_triangular(
                s, y, lower=lower, trans=trans, unit_diagonal=unit
            ),
            lambda a, s, y, lower=lower, trans=trans, unit=unit: np.linalg.solve(
                triangle(s, lower, trans, unit), y
            ),
        )
        for lower, trans, unit in [(0, 0, 0), (1, 0, 0), (0, 1, 1), (1, 1, 0), (1, 0, 1)]
    },
}


def triangle(s, lower, trans, unit):
    kept = (np.tril if lower else np.triu)(s)
    n = s.shape[-1]
    if unit:
        kept[..., range(n), range(n)] = 1
    return np.swapaxes(kept, -1, -2) if trans else kept


@pytest.fixture
def called(monkeypatch):
    """The names of ops that Python ran."""
    names = []

    def noted(host, *given):
        names.append(host.op.name)
        run_host(host, *given)

    monkeypatch.setattr("dlc.runtime.host_calls.run_host", noted)
    return names


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("name", OPS)
def test_small_matrices_without_python(name, n, dtype, called):
    compute, reference = OPS[name]
    function = dlc.compile(compute)
    for lead in [(), (37,), (2, 3)] if n == 3 else [(5,)]:
        given = matrices(lead, n, dtype)
        found = function(*given).numpy()
        wide = [x.astype(np.float64) for x in given]
        wanted = reference(*wide)
        assert found.dtype == dtype
        assert found.shape == wanted.shape
        # Rounding of float64, as much as the problem enlarges it, and of the result.
        condition = np.linalg.cond(wide[0]).max() * np.linalg.cond(wide[1]).max()
        bound = 8 * n * condition * np.finfo("f8").eps + np.finfo(dtype).eps
        size = max(np.abs(wanted).max(), 1)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=bound * size)
    assert not called


# Matrices for which LAPACK decides: singular ones, one that rounding could make regular, NaN.
SPECIAL = [
    [[1, 2], [2, 4]], [[0, 0], [0, 0]], [[1, 3], [3, 9]], [[0.1, 0.3], [0.7, 2.1]],
    [[np.nan, 1], [1, 2]], [[np.inf, 1], [1, 2]], [[0, np.inf], [1, 0]],
    [[1e300, 1e300], [-1e300, 1e300]],
]  # fmt: skip
WITHOUT_ERRORS = ["det", "slogdet", *(name for name in OPS if name.startswith("triangular"))]


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("name", OPS)
def test_what_lapack_decides(name, special):
    """The same numbers or errors, in a stack whose other matrix is an ordinary one."""
    compute, _ = OPS[name]
    a = np.array([[[2.0, 1.0], [1.0, 3.0]], special])
    given = (a, a, np.ones((2, 2, 3)))

    def outcome(level):
        try:
            return dlc.compile(compute, level=level)(*given).numpy()
        except LinAlgError as error:
            return str(error).replace(level, "")

    by_elements, by_lapack = outcome("O2"), outcome("O0")
    if isinstance(by_lapack, str):
        assert by_elements == by_lapack
        assert name not in WITHOUT_ERRORS
    else:
        np.testing.assert_allclose(by_elements, by_lapack, rtol=1e-14, atol=1e-16)


def test_a_singular_matrix_is_an_error_wherever_it_is():
    a = np.stack([np.eye(3)] * 50)
    a[31] = 1
    with pytest.raises(LinAlgError, match=r"matrix \[31\] of the stack is singular"):
        dlc.compile(linalg.inv)(a)
    with pytest.raises(LinAlgError, match=r"matrix \[31\] of the stack is not positive definite"):
        dlc.compile(linalg.cholesky)(a)


def test_other_matrices_of_a_stack_keep_their_bits():
    a, s, y = matrices((9,), 3, "float64")
    found = [dlc.compile(compute)(a, s, y).numpy() for compute, _ in OPS.values()]
    for x in (a, s):
        x[4] = np.nan
    for (compute, _), before in zip(OPS.values(), found, strict=True):
        after = dlc.compile(compute)(a, s, y).numpy()
        assert np.isnan(after[4]).any()
        np.testing.assert_array_equal(np.delete(after, 4, 0), np.delete(before, 4, 0))


def test_scales_are_no_reason_to_doubt(called):
    """Variances of quantities in different units."""
    d = np.array([1e-9, 1.0, 1e7])
    core, scale = np.array([[2, 0.5, 0.1], [0.5, 1, 0.3], [0.1, 0.3, 3]]), np.outer(d, d)
    s = core * scale
    found = dlc.compile(lambda s: (linalg.inv(s), linalg.cholesky(s)))(s)
    np.testing.assert_allclose(found[0].numpy() * scale, np.linalg.inv(core), rtol=1e-8)
    np.testing.assert_allclose(found[1].numpy(), np.linalg.cholesky(s), rtol=1e-12)
    assert not called


@pytest.mark.parametrize(("op", "n", "m", "expected"), [
    ("solve", "4", "4", True), ("solve", "5", "1", False), ("solve", "n", "1", False),
    ("solve", "3", "m", False), ("solve", "3", "0", False), ("triangular_solve", "6", "6", True),
    ("triangular_solve", "8", "8", False), ("solve", "0", "2", False),
])  # fmt: skip
def test_small_ones_alone(op, n, m, expected):
    given = parse_function(f"""
    func @f(%x: f64[k,{n},{n}], %y: f64[k,{n},{m}]) -> (f64[k,{n},{m}]) {{
      %0: f64[k,{n},{m}] = {op}(%x, %y)
      return %0
    }}
    """)
    found = run_pipeline(given, (SmallSystems(),), verify=True)
    assert any(n.op.name == "switch" for n in found.nodes) is expected
    assert any(n.op.name == op for n in found.nodes) is not expected


def test_matrices_without_elements():
    for name, wanted in (("det", 1.0), ("inv", np.zeros((0, 0))), ("cholesky", np.zeros((0, 0)))):
        found = dlc.compile(getattr(linalg, name))(np.zeros((0, 0)))
        np.testing.assert_array_equal(found.numpy(), wanted)


def test_open_stacks_gradients_and_batches():
    @dlc.compile
    def slope(a, y):
        return dlc.grad(lambda a: dlc.sum(linalg.solve(a, y) ** 2) + dlc.sum(linalg.det(a)))(a)

    for n in (3, 8, 0, 1):
        _, s, y = matrices((n,), 3, "float64")
        x = np.linalg.solve(s, y)
        wanted = -2 * np.linalg.solve(np.swapaxes(s, -1, -2), x) @ np.swapaxes(x, -1, -2)
        wanted += np.linalg.det(s)[:, None, None] * np.swapaxes(np.linalg.inv(s), -1, -2)
        np.testing.assert_allclose(slope(s, y).numpy(), wanted, rtol=1e-9, atol=1e-9)
    batched = dlc.compile(dlc.vmap(linalg.solve, in_axes=(0, None)))
    np.testing.assert_allclose(batched(s, y[0]).numpy(), np.linalg.solve(s, y[0]), rtol=1e-12)


def test_a_kalman_filter_runs_without_python(called):
    turn, noise = np.array([[1.0, 0.1], [0.0, 1.0]]), 0.01 * np.eye(2)
    seen, doubt = np.array([[1.0, 0.0]]), np.array([[0.1]])
    measured = RNG.standard_normal((50, 1))

    @dlc.compile
    def filtered(xs):
        def step(carry, y):
            m, p = carry
            m, p = turn @ m, turn @ p @ turn.T + noise
            s = seen @ p @ seen.T + doubt
            gain = dlc.matrix_transpose(linalg.solve(s, seen @ p))
            return (m + gain @ (y - seen @ m), p - gain @ s @ gain.T), m

        return dlc.scan(step, (dlc.zeros(2, dtype="float64"), dlc.eye(2, dtype="float64")), xs)

    (m, p), _ = filtered(measured)
    x, q = np.zeros(2), np.eye(2)
    for y in measured:
        x, q = turn @ x, turn @ q @ turn.T + noise
        s = seen @ q @ seen.T + doubt
        gain = np.linalg.solve(s, seen @ q).T
        x, q = x + gain @ (y - seen @ x), q - gain @ s @ gain.T
    np.testing.assert_allclose(m.numpy(), x, rtol=1e-10)
    np.testing.assert_allclose(p.numpy(), q, rtol=1e-10)
    assert not called
