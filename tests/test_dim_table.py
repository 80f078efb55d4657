"""Tables of dims: what is read is what was written, and each atom stands once."""

import json

import pytest

from dlc.ir.dim_table import dims_from_table, dims_to_table
from dlc.ir.dims import (
    Dim,
    DimExpr,
    all_positive,
    evaluate,
    floordiv,
    larger,
    lower_bound,
    maximum,
    minimum,
    mod,
    mul,
    smaller,
    symbol,
)

M, N = symbol("m"), symbol("n")
PART = minimum(4, maximum(1, floordiv(mul(M, N + 7), 16)))
DIMS: list[Dim] = [
    0,
    -3,
    M,
    2 * M * N - N + 1,
    mod(M, 8) * mod(N, 8) - 5,
    floordiv(mul(2, mod(N, PART)), PART) + PART,
    maximum(M - N, floordiv(M + 7, N)),
]


def test_what_is_read_is_what_was_written() -> None:
    table = json.loads(json.dumps(dims_to_table(DIMS)))
    assert dims_from_table(table) == DIMS
    assert dims_from_table(dims_to_table([])) == []


def test_common_parts_stand_once() -> None:
    atoms, _ = dims_to_table([PART, PART + 1, mul(PART, M), mod(N, PART)])
    assert len(atoms) == len({json.dumps(atom) for atom in atoms}) == 6
    assert [a for a in atoms if isinstance(a, str)] == ["m", "n"]


@pytest.mark.parametrize(
    "table",
    [
        None,
        [[]],
        [["m"], [[[1, 4]]]],
        [[["power", 2, 2]], [1]],
        [[["mod", 2]], [1]],
        [["m"], [[["x", 0]]]],
        [[], ["m"]],
    ],
)
def test_what_is_no_table_is_refused(table: object) -> None:
    with pytest.raises((ValueError, TypeError, IndexError)):
        dims_from_table(table)


@pytest.mark.parametrize("values", [{"m": 1, "n": 1}, {"m": 37, "n": 64}, {"m": 500, "n": 3}])
def test_values(values: dict[str, int]) -> None:
    m, n = values["m"], values["n"]
    part = min(4, max(1, m * (n + 7) // 16))
    expected = [0, -3, m, 2 * m * n - n + 1, m % 8 * (n % 8) - 5, 2 * (n % part) // part + part]
    assert [evaluate(d, values) for d in DIMS] == [*expected, max(m - n, (m + 7) // n)]
    with pytest.raises(KeyError, match="n"):
        evaluate(PART, {"m": m})


@pytest.mark.parametrize("m", [1, 5, 6, 7])
@pytest.mark.parametrize("n", [1, 3])
def test_values_of_what_is_not_proved(m: int, n: int) -> None:
    found = [larger(M, 6), smaller(M, 6), all_positive([M - 5, 3, 2 - N]), all_positive([M, N - 1])]
    expected = [max(m, 6), min(m, 6), m > 5 and n < 2, n > 1]
    assert [evaluate(d, {"m": m, "n": n}) for d in found] == expected
    assert dims_from_table(dims_to_table(found)) == found


def test_numbers_need_no_proof() -> None:
    assert (larger(2, 3), smaller(2, 3)) == (3, 2)
    assert (all_positive([]), all_positive([1, 4]), all_positive([M, 0])) == (1, 1, 0)


def test_quotients_of_polynomials() -> None:
    assert floordiv(3 * M + 3, M + 1) == 3
    assert floordiv(mul(mul(M + N, N + 2), M), M + N) == mul(M, N + 2)
    assert mod(mul(M - 1, M + 1), M + 1) == 0
    for a, b in ((M + 2, M + 1), (6 * M * N, 4 * N), (M * M + 1, M + 1)):
        found = floordiv(a, b)
        assert isinstance(found, DimExpr)
        for m in (1, 2, 5):
            values = {"m": m, "n": 3}
            assert evaluate(found, values) == evaluate(a, values) // evaluate(b, values)


def test_bounds_of_quotients() -> None:
    assert lower_bound(floordiv(M + 8, 3)) == 3
    assert lower_bound(floordiv(M - 8, 3)) == -3
    assert lower_bound(floordiv(8 - M, 3)) is None
    assert lower_bound(floordiv(M, N)) == 0
    assert lower_bound(M - floordiv(M, 2)) == 1
    assert lower_bound(M - floordiv(M, 2) - floordiv(M, 3)) == 1
    assert lower_bound(M + floordiv(-1 * M, 2)) == 0
    assert lower_bound(floordiv(M, 3) - floordiv(M, 2)) is None
    assert lower_bound(floordiv(M + 1, 2) + floordiv(1 - M, 2)) == 0
    assert lower_bound(3 * floordiv(M + 2, 3) - M + floordiv(N, 5)) == 0
    assert lower_bound(M - floordiv(M, 2) - floordiv(M, 3)) == 1


def test_what_a_number_divides_stands_outside_of_quotients() -> None:
    assert floordiv(M - 2, 2) + 2 == floordiv(M + 2, 2)
    assert floordiv(4 * M * N + 2 * N + 7, 4) == M * N + floordiv(2 * N + 3, 4) + 1
    assert mod(4 * M + N - 5, 4) == mod(N + 3, 4)
    assert floordiv(6 * M + 5, 6) == M
    assert mod(6 * M + 5, 6) == 5
    assert evaluate(floordiv(7, M), {"m": 2}) == 3


def test_bounds_of_maxima_and_minima() -> None:
    most, least = maximum(M, 2 * N), minimum(M, 2 * N)
    assert lower_bound(most - M) == lower_bound(most - 2 * N) == 0
    assert lower_bound(M - least) == lower_bound(2 * N - least) == 0
    assert lower_bound(most - N) == 1
    assert lower_bound(least - 1) == 0
    assert lower_bound(M + N - maximum(M, N)) == 1
    assert lower_bound(least - M) is None
