"""Long sorts on the CPU: shares of a row, parting, and what is left of them when it goes badly."""

import numpy as np
import pytest
from test_loops_cpu import Compiled, levels

import dlc
from dlc.codegen.cpu import sort_partition, sort_rows, sort_share
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.reference.interpreter import run_kernel
from dlc.ir.types import dtype_of

LENGTH = 9001
ISAS = {isa.name: isa for isa in levels() if isa.name in ("x86-64-v4", "x86-64-v3", "x86-64-v2")}


def kernel(dtype, how="sort", tiles="s, p", extents="R,N", n="N"):
    short = dtype_of(dtype).short
    stores = {"s": f"v[r,k] k<{n} = s[k]", "p": f"q[r,k] k<{n} = p[k]"}
    wanted = [stores[t] for t in tiles.split(", ") if t in stores]
    return parse_kernel(
        f"kernel so(x: {short}[{extents}], out v: {short}[{extents}], out q: i64[{extents}]):\n"
        f" par r<{extents.split(',')[0]}:\n"
        f"  {tiles}[k] k<{n} = {how}(n<{n}, x[r,n])\n  " + "\n  ".join(wanted)
    )


def draws(dtype, n=LENGTH):
    rng = np.random.default_rng(4)
    raw = rng.integers(0, 2**64, n, np.uint64, endpoint=False)
    anything = raw.view(np.dtype(dtype))[:n].copy()
    few = rng.integers(0, 3, n).astype(dtype)
    found = {
        "anything": anything,
        "equal": np.full(n, anything[0]),
        "few": few,
        "mostly one": np.where(rng.random(n) < 0.9, few[0], anything),
        "in order": np.sort(anything),
        "backwards": np.sort(anything)[::-1].copy(),
        "stairs": (np.arange(n) % 64).astype(dtype),
    }
    if np.dtype(dtype).kind == "f":
        signs = np.where(rng.random(n) < 0.5, -1.0, 1.0)
        found["zeros"] = (
            np.where(rng.random(n) < 0.8, 0.0, rng.standard_normal(n)) * signs
        ).astype(dtype)
    return found


def check(made, k, x, dims, cuts):
    def outputs():
        return {"x": x, "v": np.zeros_like(x), "q": np.zeros(x.shape, np.int64)}

    want, got = outputs(), outputs()
    run_kernel(k, want, dims)
    made(got, dims, cuts)
    np.testing.assert_array_equal(got["q"], want["q"])
    np.testing.assert_array_equal(got["v"], want["v"])
    if x.dtype.kind == "f":
        numbers = want["v"] == want["v"]
        np.testing.assert_array_equal(np.signbit(got["v"])[numbers], np.signbit(want["v"])[numbers])


@pytest.mark.parametrize("level", list(ISAS))
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint64", "int8", "float16"])
def test_any_share_of_rows(dtype, level):
    parts = sort_share.PARTS
    x = np.stack(list(draws(dtype).values()))
    for how, tiles in (("sort", "s, _"), ("sort_down", "s, p")):
        k = kernel(dtype, how, tiles, f"{len(x)},{LENGTH}", str(LENGTH))
        made = Compiled(k, ISAS[level])
        cuts = [1, 5, parts - 1, parts, 2 * parts + 3, 3 * parts + 8, 3 * parts + 9]
        check(made, k, x, {}, [*cuts, *range(4 * parts + 2, len(x) * parts, 7)])


def test_rows_of_a_length_known_at_a_call():
    k = kernel("float32")
    made = Compiled(k, next(iter(ISAS.values())))
    for n in (0, 1, 60, 3000, sort_share.LONG - 1, sort_share.LONG, LENGTH):
        x = np.stack([d[:n] for d in draws("float32").values()])
        check(made, k, x, {"R": len(x), "N": n}, [3, 8, 21, 40])


@pytest.mark.parametrize("tries", [0, 1])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_parting_that_is_given_up(dtype, tries, monkeypatch):
    monkeypatch.setattr(sort_partition, "_TRIES", tries)
    sort_rows._row_sort.cache_clear()
    k = kernel(dtype, "sort", "s, _")
    made = Compiled(k, next(iter(ISAS.values())))
    sort_rows._row_sort.cache_clear()
    for x in draws(dtype, 5003).values():
        check(made, k, x[None], {"R": 1, "N": 5003}, [])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_share_a_row(threads):
    rng = np.random.default_rng(threads)
    x = rng.standard_normal(50_000).astype(np.float32)
    with dlc.config.scope(num_threads=threads):
        order = dlc.compile(lambda v: dlc.argsort(v + 0.0, descending=True))
        both = dlc.compile(lambda v: dlc.topk(v, v.shape[0], 0))
        want = np.argsort(-x, kind="stable")
        for _ in range(3):
            assert np.array_equal(order(x).numpy(), want)
            assert np.array_equal(both(x).indices.numpy(), want)
            assert np.array_equal(both(x).values.numpy(), x[want])
