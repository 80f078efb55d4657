"""Whether what the compiled function computes is what eager computes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from opinfo_samples import Sample, eager, values

SEEDS, DRAWS = 6, 64


class Reference(NamedTuple):
    """What eager computes: results and gradients by seed, or the error."""

    values: list[Any]
    random: bool
    error: Exception | None


def _parts(t: torch.Tensor) -> torch.Tensor:
    """A tensor's numbers, dense, the real and imaginary parts of complex ones."""
    dense = (t if t.layout == torch.strided else t.to_dense()).detach()
    return torch.view_as_real(dense.resolve_conj()) if dense.is_complex() else dense


def same(a: Any, b: Any) -> bool:
    """Whether two results are equal, nan and nan included."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            return False
        x, y = _parts(a), _parts(b)
        return bool(((x == y) | ((x != x) & (y != y))).all())
    return type(a) is type(b) and (a == b or (a != a and b != b))


def reference(sample: Sample, gradients: bool) -> Reference:
    """What eager computes."""
    try:
        first, *others = (eager(sample, gradients, seed) for seed in range(SEEDS))
    except Exception as error:  # noqa: BLE001  whatever it is, the compiled function must raise too
        return Reference([], False, error)
    random = not all(all(map(same, first, other)) for other in others)
    return Reference(first, random, None)


def _close(got: Any, wanted: Any, **limits: float) -> None:
    if isinstance(wanted, torch.Tensor):
        assert isinstance(got, torch.Tensor), f"{type(got).__name__} instead of a tensor"
        if got.dtype.is_floating_point or got.dtype.is_complex:
            torch.testing.assert_close(got, wanted, equal_nan=True, **limits)
        else:
            torch.testing.assert_close(got, wanted, rtol=0, atol=0)
    elif isinstance(wanted, float):
        torch.testing.assert_close(got, wanted, equal_nan=True, **limits)
    else:
        assert got == wanted, f"{got!r} instead of {wanted!r}"


def _shaped(got: Any, wanted: Any) -> None:
    kind = torch.Tensor if isinstance(wanted, torch.Tensor) else type(wanted)
    assert isinstance(got, kind), f"{type(got).__name__} instead of {kind.__name__}"
    if isinstance(wanted, torch.Tensor):
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape), (
            f"{got.dtype}{list(got.shape)} instead of {wanted.dtype}{list(wanted.shape)}"
        )


def compare(
    got: Sequence[Any],
    expected: Reference,
    exact: Callable[[], list[Any]],
    limits: dict[str, float],
) -> None:
    """Fails where results or gradients are not eager's."""
    assert len(got) == len(expected.values), f"{len(got)} results, not {len(expected.values)}"
    precise: list[Any] | None = None
    for k, (x, y) in enumerate(zip(got, expected.values, strict=True)):
        try:
            _close(x, y, **limits)
        except AssertionError:
            _shaped(x, y)
            if precise is None:
                precise = exact()
            z = precise[k]
            _close(x, z.to(x.dtype) if isinstance(z, torch.Tensor) else z, **limits)


def _moments(results: Sequence[Any]) -> torch.Tensor:
    """Of each tensor: the share of finite numbers, their mean and their mean square."""
    rows: list[list[float]] = []
    for t in results:
        if not isinstance(t, torch.Tensor) or not t.numel():
            continue
        parts = _parts(t).double()
        for x in parts.unbind(-1) if t.is_complex() else [parts]:
            finite = x.isfinite()
            kept = torch.where(finite, x, 0.0)
            rows.append([float(m.mean()) for m in (finite.double(), kept, kept.square())])
    return torch.tensor(rows, dtype=torch.float64)


def compare_random(
    sample: Sample,
    call: Callable[[Sequence[Sample]], Any],
    gradients: bool,
    exact: Callable[[], list[Any]],
    limits: dict[str, float],
) -> None:
    """Fails where random results, or gradients of them, are not distributed as eager's."""

    def ours(seed: int) -> list[Any]:
        torch.manual_seed(seed)
        return values([sample.copied()], call, gradients)[0]

    first = ours(0)
    assert all(map(same, first, ours(0))), "the same seed gives other numbers"
    if _drawn_by_pytorch(sample, [first, ours(1), ours(2)], gradients, limits):
        return
    assert not all(all(map(same, first, ours(k))) for k in range(1, 9)), "no other numbers"
    check_draws(
        [first, *(ours(k) for k in range(1, DRAWS))],
        [eager(sample, gradients, DRAWS + k) for k in range(DRAWS)],
        exact,
        limits,
    )


def _drawn_by_pytorch(
    sample: Sample, ours: Sequence[list[Any]], gradients: bool, limits: dict[str, float]
) -> bool:
    """Whether seeds give the numbers that they give in eager mode, as in lazy modules."""
    try:
        for seed, got in enumerate(ours):
            wanted = eager(sample, gradients, seed)
            compare(got, Reference(wanted, False, None), functools.partial(list, wanted), limits)
    except AssertionError:
        return False
    return True


def check_draws(
    ours: Sequence[Sequence[Any]],
    theirs: Sequence[Sequence[Any]],
    exact: Callable[[], list[Any]],
    limits: dict[str, float],
) -> None:
    """Fails where the results of some calls are not distributed as those of others."""
    for got in ours:
        assert len(got) == len(theirs[0]), f"{len(got)} results, not {len(theirs[0])}"
        for x, y in zip(got, theirs[0], strict=True):
            _shaped(x, y)
    steady = [all(same(v, column[0]) for v in column) for column in zip(*theirs, strict=True)]

    def chosen(results: Sequence[Any], kept: bool) -> list[Any]:
        return [x for x, s in zip(results, steady, strict=True) if s == kept]

    fixed = Reference(chosen(theirs[0], True), False, None)
    for got in ours[:2]:
        compare(chosen(got, True), fixed, lambda: chosen(exact(), True), limits)
    a, b = (torch.stack([_moments(chosen(r, False)) for r in drawn]) for drawn in (ours, theirs))
    error = ((a.var(0) + b.var(0)) / len(ours)).sqrt()
    apart = (a.mean(0) - b.mean(0)).abs()
    far = apart > 6 * error + limits["atol"] + 2 * limits["rtol"] * b.mean(0).abs()
    assert not bool(far.any()), f"moments apart by {apart[far].tolist()}"
