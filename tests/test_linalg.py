"""`dlc.linalg` against NumPy and PyTorch: values, gradients, shapes, dtypes, bad input."""

import numpy as np
import pytest
import scipy.linalg
import torch

import dlc
from dlc.ir.errors import ShapeError, ValueRangeError
from dlc.ir.matrix_error import LinAlgError

RNG = np.random.default_rng(7)


def definite(*shape):
    x = RNG.standard_normal(shape)
    return x @ np.swapaxes(x, -1, -2) + shape[-1] * np.eye(shape[-1])


def general(*shape):
    return RNG.standard_normal(shape) + 2 * np.eye(shape[-2], shape[-1])


def agree(f, g, *args, bound=1e-10):
    """`f` of dlc and `g` of torch on float64 arrays: values and gradients, eager and compiled."""
    leaves = [torch.tensor(a, requires_grad=True) for a in args]
    want = g(*leaves)
    weights = np.random.default_rng(1).standard_normal(tuple(want.shape))
    (want * torch.tensor(weights)).sum().backward()

    def loss(*xs):
        return dlc.sum(f(*xs) * weights)

    numbers = tuple(range(len(args)))
    for value, gradient in (
        (f, dlc.grad(loss, argnums=numbers)),
        (dlc.compile(f), dlc.compile(dlc.grad(loss, argnums=numbers))),
    ):
        near(value(*map(dlc.asarray, args)).numpy(), want.detach().numpy(), bound)
        found = gradient(*map(dlc.asarray, args))
        for x, leaf in zip(found, leaves, strict=True):
            near(x.numpy(), leaf.grad.numpy(), bound)


def near(got, want, bound):
    assert got.shape == want.shape
    assert np.max(np.abs(got - want), initial=0.0) <= bound * (
        1 + np.max(np.abs(want), initial=0.0)
    )


@pytest.mark.parametrize("shape", [(4, 4), (1, 1), (2, 3, 5, 5), (70, 70)])
def test_cholesky(shape):
    x = definite(*shape)
    agree(dlc.linalg.cholesky, torch.linalg.cholesky, x)
    agree(
        lambda x: dlc.linalg.cholesky(x, upper=True),
        lambda x: torch.linalg.cholesky(x, upper=True),
        x,
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [((4, 4), (4,)), ((4, 4), (4, 3)), ((2, 3, 3), (3, 2)), ((3, 3), (2, 5, 3, 1)), ((1, 1), (1,))],
)
def test_solve(a, b):
    agree(
        dlc.linalg.solve,
        lambda x, y: torch.linalg.solve(x, y if y.ndim > 1 else y[:, None]).reshape(
            y.shape
            if y.ndim == 1
            else (*torch.broadcast_shapes(x.shape[:-2], y.shape[:-2]), *y.shape[-2:])
        ),
        general(*a),
        RNG.standard_normal(b),
    )


@pytest.mark.parametrize("shape", [(4, 4), (3, 2, 2), (1, 1)])
def test_inv(shape):
    agree(dlc.linalg.inv, torch.linalg.inv, general(*shape))


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("trans", [0, "T"])
@pytest.mark.parametrize("unit", [False, True])
def test_solve_triangular(lower, trans, unit):
    def reference(a, b):
        upper = lower if trans else not lower
        a = a.mT if trans else a
        return torch.linalg.solve_triangular(a, b, upper=upper, unitriangular=unit)

    for n in (5, 131):
        agree(
            lambda a, b: dlc.linalg.solve_triangular(
                a, b, lower=lower, trans=trans, unit_diagonal=unit
            ),
            reference,
            general(n, n) / n + 2 * np.eye(n),
            RNG.standard_normal((n, 3)),
        )


@pytest.mark.parametrize("upper", [False, True])
def test_cholesky_solve(upper):
    factor = np.linalg.cholesky(definite(2, 4, 4))
    factor = np.swapaxes(factor, -1, -2) if upper else factor
    b = RNG.standard_normal((2, 4, 3))
    agree(
        lambda b, f: dlc.linalg.cholesky_solve(b, f, upper=upper),
        lambda b, f: torch.cholesky_solve(b, f.triu() if upper else f.tril(), upper=upper),
        b, factor,
    )  # fmt: skip
    found = dlc.linalg.cholesky_solve(b[0, :, 0], factor[0], upper=upper)
    near(found.numpy(), torch.cholesky_solve(*map(torch.tensor, (b[0, :, :1], factor[0])),
                                             upper=upper).numpy()[:, 0], 1e-10)  # fmt: skip


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 5), (3, 6, 4), (1, 1)])
def test_lu(shape):
    a = general(*shape) if shape != (1, 1) else np.array([[0.0]])
    p, lower, upper = dlc.compile(dlc.linalg.lu)(a)
    for mine, theirs in zip((p, lower, upper), scipy.linalg.lu(a), strict=True):
        near(mine.numpy(), theirs, 1e-12)
    for f in (dlc.linalg.lu_factor, dlc.compile(dlc.linalg.lu_factor)):
        held, pivots = f(a)
        want = torch.linalg.lu_factor_ex(torch.from_numpy(a))
        near(held.numpy(), want.LU.numpy(), 1e-12)
        assert (pivots.numpy() + 1 == want.pivots.numpy()).all()


def test_lu_of_singular_matrices():
    a = np.array([[1.0, 2, 3], [2, 4, 6], [1, 0, 1]])
    p, lower, upper = (t.numpy() for t in dlc.linalg.lu(a))
    near(p @ lower @ upper, a, 1e-12)
    assert upper[2, 2] == 0


@pytest.mark.parametrize("trans", [0, 1])
@pytest.mark.parametrize("b", [(4,), (2, 4, 3), (4, 2)])
def test_lu_solve(trans, b):
    a = general(2, 4, 4) if len(b) > 1 else general(4, 4)

    def solution(a, b):
        return dlc.linalg.lu_solve(dlc.linalg.lu_factor(a), b, trans)

    def wanted(a, b):
        return torch.linalg.solve(a.mT if trans else a, b)

    agree(solution, wanted, a, RNG.standard_normal(b), bound=1e-9)
    with pytest.raises(ValueRangeError, match="trans is 0 or 1"):
        dlc.linalg.lu_solve(dlc.linalg.lu_factor(a), a, "C")
    with pytest.raises(ShapeError, match="one for each row"):
        dlc.linalg.lu_solve((a, np.arange(3)), a)


def test_solutions_of_tensors():
    x = general(6, 6)
    agree(dlc.linalg.tensorinv, torch.linalg.tensorinv, x.reshape(2, 3, 6))
    agree(lambda a: dlc.linalg.tensorinv(a, 1), lambda a: torch.linalg.tensorinv(a, 1),
          x.reshape(6, 3, 2))  # fmt: skip
    b = RNG.standard_normal((2, 3))
    agree(dlc.linalg.tensorsolve, torch.linalg.tensorsolve, x.reshape(2, 3, 6), b)
    agree(lambda a, b: dlc.linalg.tensorsolve(a, b, axes=(0, 2)),
          lambda a, b: torch.linalg.tensorsolve(a, b, dims=(0, 2)),
          x.reshape(2, 3, 3, 2).transpose(2, 0, 3, 1), b)  # fmt: skip
    with pytest.raises(ShapeError, match="other numbers of elements"):
        dlc.linalg.tensorinv(np.ones((2, 3, 5)))
    with pytest.raises(ShapeError, match="other numbers of elements"):
        dlc.linalg.tensorsolve(np.ones((2, 3, 5)), np.ones((2, 3)))
    with pytest.raises(ValueRangeError, match="at least 1"):
        dlc.linalg.tensorinv(np.ones((2, 2)), 0)


@pytest.mark.parametrize("count", [1, 20])
def test_special_values_in_solve_triangular(count):
    def solve(a, b, **options):
        found = dlc.linalg.solve_triangular(np.stack([a] * count), b, **options).numpy()
        assert np.array_equal(found, np.broadcast_to(found[0], found.shape), equal_nan=True)
        return found[0, :, 0].tolist()

    b, inf = np.array([[2.0], [4.0]]), np.inf
    unread = np.array([[2.0, np.nan], [0.0, 4.0]])
    assert solve(unread, b, lower=True) == [1, 1]
    assert solve(unread.T, b, lower=False) == [1, 1]
    assert solve(unread * [[0.0, 1], [1, np.nan]], b, lower=True, unit_diagonal=True) == [2, 4]
    assert solve(np.array([[2.0, 0], [0, 0]]), b, lower=True) == [1, inf]
    # What LU of the whole would spread to the first row.
    assert solve(np.array([[1.0, 0, 0], [0, 1, 0], [0, inf, 1]]), np.ones((3, 1)), lower=True) == [
        1, 1, -inf,
    ]  # fmt: skip
    assert solve(np.array([[1e-310]]), np.array([[1e-310]])) == [1]


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (2, 5, 2), (1, 1)])
def test_qr(shape):
    x = general(*shape)
    for mode in ("reduced", "complete") if shape[-2] <= shape[-1] else ("reduced",):
        for k in (0, 1):
            agree(
                lambda x, k=k, mode=mode: dlc.linalg.qr(x, mode=mode)[k],
                lambda x, k=k, mode=mode: torch.linalg.qr(x, mode=mode)[k],
                x,
            )
    q, r = dlc.linalg.qr(x, mode="complete")
    want = np.linalg.qr(x, mode="complete")
    near(q.numpy(), want.Q, 1e-12)
    near(r.numpy(), want.R, 1e-12)


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 5, 5), (1, 1)])
def test_eigenvalues_of_symmetric_matrices(shape):
    x = definite(*shape)
    agree(dlc.linalg.eigvalsh, torch.linalg.eigvalsh, x)
    agree(lambda x: dlc.linalg.eigh(x).eigenvalues, lambda x: torch.linalg.eigh(x)[0], x)
    agree(  # of either sign
        lambda x: dlc.linalg.eigh(x).eigenvectors ** 2,
        lambda x: torch.linalg.eigh(x)[1] ** 2,
        x,
        bound=1e-9,
    )


def test_equal_eigenvalues():
    x = np.diag([1.0, 2.0, 2.0])
    t = definite(3, 3)
    g = dlc.grad(lambda x: dlc.sum(dlc.linalg.eigh(x).eigenvalues * 1.0))(dlc.asarray(x))
    near(g.numpy(), np.eye(3), 1e-12)
    v = dlc.jvp(lambda x: dlc.linalg.eigh(x).eigenvectors, (dlc.asarray(x),), (dlc.asarray(t),))[1]
    assert np.isfinite(v.numpy()).all()
    assert v.numpy()[1, 2] == v.numpy()[2, 1] == 0


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (2, 5, 2), (1, 1)])
def test_singular_values(shape):
    x = general(*shape)
    agree(dlc.linalg.svdvals, torch.linalg.svdvals, x)
    for k in range(3):
        agree(
            lambda x, k=k: dlc.linalg.svd(x, full_matrices=False)[k] ** 2,
            lambda x, k=k: torch.linalg.svd(x, full_matrices=False)[k] ** 2,
            x,
            bound=1e-8,
        )
    u, s, vh = dlc.compile(dlc.linalg.svd)(x)
    k = s.shape[-1]
    assert u.shape[-1] == shape[-2]
    assert vh.shape[-2] == shape[-1]
    again = (u.numpy()[..., :k] * s.numpy()[..., None, :]) @ vh.numpy()[..., :k, :]
    near(again, x, 1e-12)


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 3), (1, 1)])
def test_determinants(shape):
    x = general(*shape)
    agree(dlc.linalg.det, torch.linalg.det, x)
    agree(lambda x: dlc.linalg.slogdet(x).logabsdet, lambda x: torch.linalg.slogdet(x)[1], x)
    near(dlc.linalg.slogdet(-x).sign.numpy(), np.linalg.slogdet(-x).sign, 0)


def test_determinants_of_singular_matrices():
    x = np.diag([2.0, 3.0, 0.0])
    near(dlc.grad(dlc.linalg.det)(dlc.asarray(x)).numpy(), np.diag([0.0, 0.0, 6.0]), 1e-12)
    sign, log = dlc.linalg.slogdet(x)
    assert (sign.item(), log.item()) == (0, -np.inf)


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (2, 5, 2)])
def test_pinv_and_lstsq(shape):
    agree(dlc.linalg.pinv, torch.linalg.pinv, general(*shape), bound=1e-9)
    a = general(*shape[-2:])
    for b in (RNG.standard_normal(len(a)), RNG.standard_normal((len(a), 2))):
        found = dlc.linalg.lstsq(a, b)
        want = np.linalg.lstsq(a, b)
        near(found.solution.numpy(), want[0], 1e-11)
        assert found.rank.item() == want[2]
        near(found.singular_values.numpy(), want[3], 1e-12)
        near(found.residuals.numpy(), ((a @ want[0] - b) ** 2).sum(0), 1e-11)


def test_matrices_of_less_than_full_rank():
    x = np.outer([1.0, 2, 3], [1.0, -1])
    assert dlc.linalg.matrix_rank(x).item() == 1
    for shape in ((2, 2), (0, 3)):
        assert dlc.linalg.matrix_rank(np.zeros(shape)).item() == 0
    assert dlc.linalg.lstsq(np.zeros((0, 2)), np.zeros(0))[0].tolist() == [0, 0]
    assert dlc.linalg.matrix_rank(np.diag([1.0, 0.1]), rtol=0.2).item() == 1
    near(dlc.linalg.pinv(x).numpy(), np.linalg.pinv(x), 1e-13)
    near(dlc.linalg.pinv(np.diag([1.0, 0.1]), rtol=0.2).numpy(), np.diag([1.0, 0]), 1e-13)
    stack = np.stack([np.eye(3), np.ones((3, 3))])
    assert dlc.compile(dlc.linalg.matrix_rank)(stack).tolist() == [3, 1]


@pytest.mark.parametrize("ord", [None, 2, 1, 3, 0.5, 0, np.inf, -np.inf, -1])
def test_vector_norms(ord):
    x = RNG.standard_normal((3, 4))
    if ord in (0, -1):
        near(dlc.linalg.norm(x, ord, axis=1).numpy(), np.linalg.norm(x, ord, axis=1), 1e-12)
        return
    known = 2 if ord is None else ord
    for keepdims in (False, True):
        agree(
            lambda x, keepdims=keepdims: dlc.linalg.norm(x, ord, axis=1, keepdims=keepdims),
            lambda x, keepdims=keepdims: torch.linalg.vector_norm(x, known, 1, keepdims),
            x,
        )
    agree(
        lambda x: dlc.linalg.vector_norm(x, ord=known),
        lambda x: torch.linalg.vector_norm(x, known),
        x,
    )


def test_the_norm_of_zeros():
    assert dlc.grad(dlc.linalg.norm)(dlc.zeros((3,))).tolist() == [0, 0, 0]
    assert dlc.linalg.norm(dlc.zeros((0,))).item() == 0


@pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_matrix_norms(ord):
    x = RNG.standard_normal((2, 3, 4))
    agree(
        lambda x: dlc.linalg.matrix_norm(x, ord=ord, keepdims=True),
        lambda x: torch.linalg.matrix_norm(x, ord, keepdim=True),
        x,
        bound=1e-9,
    )
    near(dlc.linalg.norm(x, ord, axis=(2, 0)).numpy(), np.linalg.norm(x, ord, axis=(2, 0)), 1e-12)
    a = general(3, 3)
    if ord not in ("fro", "nuc"):
        near(dlc.linalg.cond(a, ord).numpy(), np.linalg.cond(a, ord), 1e-10)
    near(dlc.linalg.cond(a).numpy(), np.linalg.cond(a), 1e-10)
    for p in (None, -2, 1):
        assert dlc.linalg.cond(np.zeros((2, 2)), p).item() == np.inf


@pytest.mark.parametrize("n", [0, 1, 2, 5, 8, -1, -3])
def test_matrix_power(n):
    agree(
        lambda x: dlc.linalg.matrix_power(x, n),
        lambda x: torch.linalg.matrix_power(x, n) + 0 * x,
        general(2, 3, 3),
        bound=1e-9,
    )


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_expm(scale):
    x = RNG.standard_normal((2, 4, 4)) * scale / 4
    near(dlc.linalg.expm(x).numpy(), scipy.linalg.expm(x), 1e-12)
    agree(dlc.linalg.expm, torch.linalg.matrix_exp, x, bound=1e-9)


def test_expm_of_a_stack_is_that_of_each_matrix():
    x = RNG.standard_normal((5, 4, 4)) * np.array([0.0, 1, 30, 1e300, 5])[:, None, None]
    x[1, 2, 3] = np.nan
    found = dlc.linalg.expm(x).numpy()
    for k in range(5):
        assert np.array_equal(found[k], dlc.linalg.expm(x[k]).numpy(), equal_nan=True)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2, 4]]).all()
    assert dlc.linalg.expm(np.zeros((0, 2, 2))).shape == (0, 2, 2)


def test_products():
    x, y = RNG.standard_normal((2, 4, 3)), RNG.standard_normal((4, 3))
    agree(dlc.linalg.cross, lambda x, y: torch.linalg.cross(x, y.expand(x.shape)), x, y)
    agree(dlc.linalg.kron, torch.kron, x, y)
    agree(
        lambda x: dlc.linalg.trace(x, offset=-1),
        lambda x: torch.diagonal(x, -1, -2, -1).sum(-1),
        x,
    )
    near(dlc.linalg.diagonal(x, offset=1).numpy(), np.linalg.diagonal(x, offset=1), 0)
    chain = [RNG.standard_normal(s) for s in ((3, 9), (9, 2), (2, 7), (7,))]
    near(dlc.linalg.multi_dot(chain).numpy(), np.linalg.multi_dot(chain), 1e-13)
    f = dlc.compile(lambda x, y, z: dlc.linalg.multi_dot([x, y, z]))
    for n in (3, 5, 6):
        near(f(*(np.ones((n, n)),) * 3).numpy(), np.full((n, n), n * n), 0)


def test_one_program_for_many_extents():
    def f(x):
        u, s, vh = dlc.linalg.svd(x, full_matrices=False)
        q, r = dlc.linalg.qr(dlc.concat([x, x]))
        return u * s @ vh + (q @ r)[: x.shape[0]], dlc.linalg.matrix_rank(x)

    compiled = dlc.compile(f)
    for n in (3, 4, 5, 7):
        x = general(n, n)
        y, rank = compiled(x)
        near(y.numpy(), 2 * x, 1e-12)
        assert rank.item() == n
    assert compiled.stats.traces <= 3


def test_vmap():
    x = definite(3, 4, 4)
    for f in (dlc.linalg.cholesky, dlc.linalg.eigvalsh, dlc.linalg.det, dlc.linalg.pinv):
        near(dlc.vmap(f)(dlc.asarray(x)).numpy(), f(x).numpy(), 1e-12)
    g = dlc.vmap(dlc.grad(lambda x, y: dlc.sum(dlc.linalg.solve(x, y))), in_axes=(0, None))
    want = [dlc.grad(lambda a: dlc.sum(dlc.linalg.solve(a, np.ones(4))))(dlc.asarray(a)) for a in x]
    near(g(dlc.asarray(x), dlc.ones((4,), dtype=dlc.float64)).numpy(), np.stack(want), 1e-12)


def test_what_has_no_derivative_says_so():
    for f in (
        lambda x: dlc.sum(dlc.linalg.qr(x, mode="complete").Q),
        lambda x: dlc.sum(dlc.linalg.svd(x).U),
    ):
        with pytest.raises(dlc.DerivativeError, match="has no derivative"):
            dlc.grad(f)(dlc.asarray(general(4, 2)))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int32"])
def test_other_dtypes(dtype):
    a = dlc.asarray(np.array([[4, 2], [2, 3]]), dtype=dtype)
    want = "float32" if dtype == "int32" else dtype
    for f in (dlc.linalg.cholesky, dlc.linalg.inv, lambda x: dlc.linalg.solve(x, x)):
        assert str(f(a).dtype.name) == want
    near(dlc.linalg.inv(a).numpy().astype(float), np.linalg.inv([[4.0, 2], [2, 3]]), 4e-3)


def test_second_derivatives():
    x = definite(3, 3)

    def f(x):
        return dlc.sum(dlc.linalg.cholesky(x) ** 2 * np.arange(9.0).reshape(3, 3))

    t = RNG.standard_normal((3, 3))
    g = dlc.grad(lambda x: dlc.sum(dlc.grad(f)(x) * t))(dlc.asarray(x)).numpy()
    want = torch.autograd.functional.hessian(
        lambda x: (torch.linalg.cholesky(x) ** 2 * torch.arange(9.0).reshape(3, 3)).sum(),
        torch.tensor(x),
    )
    near(g, np.einsum("ijkl,kl->ij", want.numpy(), t), 1e-9)


def test_matrices_that_have_no_answer():
    singular = np.ones((3, 3))
    for f in (dlc.linalg.inv, lambda x: dlc.linalg.solve(x, x)):
        for g in (f, dlc.compile(f)):
            with pytest.raises(LinAlgError, match="is singular"):
                g(singular)
    for bad in (-np.eye(2), np.zeros((2, 2))):
        with pytest.raises(LinAlgError, match="positive definite"):
            dlc.linalg.cholesky(bad)
    for f in (dlc.linalg.cholesky, dlc.linalg.inv, lambda x: dlc.linalg.solve(x, np.ones(2))):
        assert np.isnan(f(np.full((2, 2), np.nan)).numpy()).any()
    assert np.isinf(dlc.linalg.solve_triangular(np.zeros((1, 1)), np.ones(1)).item())


def test_decompositions_of_what_is_not_finite():
    # LAPACK's search for the singular values of this matrix has no end.
    x = np.array([[0.1066, -0.1445, 1.73], [-np.inf, -0.8536, -1.0458], [-1.4126, 0.0399, 0.3877]])
    nan = np.array([[np.nan, 1.0], [1.0, 2.0]])
    det = dlc.grad(lambda x: dlc.sum(dlc.linalg.det(x)))
    eigh = dlc.compile(dlc.grad(lambda x: dlc.sum(dlc.linalg.eigvalsh(x))))
    for f in (dlc.linalg.svd, dlc.linalg.svdvals, dlc.linalg.pinv, dlc.linalg.eigvalsh, det, eigh):
        for bad in (x, nan):
            with pytest.raises(LinAlgError, match="the matrix .* holds NaN or infinity"):
                f(dlc.asarray(bad))
    with pytest.raises(LinAlgError, match=r"matrix \[1\] of the stack"):
        dlc.linalg.svd(np.stack([np.eye(3), x, x])[:, :2], full_matrices=False)


def test_bad_input():
    for f in (dlc.linalg.cholesky, dlc.linalg.inv):
        with pytest.raises(ShapeError, match="square"):
            f(np.ones((2, 3)))
        with pytest.raises(ShapeError, match="a matrix"):
            f(np.ones(3))
    with pytest.raises(ShapeError, match="rows"):
        dlc.linalg.solve(np.eye(3), np.ones(4))
    with pytest.raises(ShapeError, match="matrix"):
        dlc.linalg.solve(np.eye(3), 1.0)
    with pytest.raises(ShapeError, match="axis"):
        dlc.linalg.solve(np.ones((2, 3, 3)), np.ones((4, 3, 1)))
    for f in (dlc.linalg.qr, dlc.linalg.svd, dlc.linalg.pinv, dlc.linalg.matrix_norm):
        with pytest.raises(ShapeError, match="a matrix"):
            f(np.ones(3))
    for f in (dlc.linalg.eigh, dlc.linalg.det, dlc.linalg.slogdet, dlc.linalg.expm):
        with pytest.raises(ShapeError, match="square"):
            f(np.ones((2, 3)))
    with pytest.raises(ValueRangeError, match="reduced"):
        dlc.linalg.qr(np.eye(2), mode="reduce")
    with pytest.raises(ValueRangeError, match="fro"):
        dlc.linalg.norm(np.eye(2), "frob")
    with pytest.raises(ShapeError, match="3 axes"):
        dlc.linalg.norm(np.ones((2, 2, 2)), 1)
    with pytest.raises(ShapeError, match="two or more"):
        dlc.linalg.multi_dot([np.eye(2)])
    with pytest.raises(ShapeError, match="3 elements"):
        dlc.linalg.cross(np.ones(2), np.ones(2))
    with pytest.raises(ValueRangeError, match="trans"):
        dlc.linalg.solve_triangular(np.eye(3), np.ones(3), trans=2)
