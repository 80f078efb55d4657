"""LLVM's code generators, got ready on another thread for what a process compiles later.

The first function takes each of the two several times as long as a later one: code and tables of
LLVM are touched for the first time, and memory is asked for.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from dlc.ir.cpus import available_cpus
from dlc.ir.errors import BackendError

_OPTNONE = "optnone noinline"
_SAMPLE = f"""
declare hidden void @dlc.other(ptr, i64)
define void @dlc.sample(ptr %p, i64 %n, i64 %m) {_OPTNONE} #0 section ".text.dlc.sample" {{
entry:
  %a = alloca [2 x i64]
  %b = getelementptr i64, ptr %a, i64 1
  store i64 %m, ptr %b, align 8
  %l = load i64, ptr %b, align 8
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %j, %done ]
  %c = icmp slt i64 %i, %n
  br i1 %c, label %body, label %end
body:
  %d = udiv i64 %i, %m
  %e = urem i64 %i, 16
  %f = mul nsw i64 %d, %l
  %g = sub i64 %f, %e
  %h = icmp sgt i64 %g, %n
  %k = select i1 %h, i64 %g, i64 %n
  %o = icmp eq i64 %k, 0
  %q = and i1 %h, %o
  %r = xor i1 %q, true
  %s = zext i1 %r to i64
  %t = getelementptr float, ptr %p, i64 %k
  %u = select i1 %r, ptr %t, ptr %a
  br i1 %q, label %then, label %done
then:
  call void @dlc.other(ptr %u, i64 %s)
  br label %done
done:
  %j = add nsw i64 %i, 1
  br label %head
end:
  ret void
}}
attributes #0 = {{ nounwind }}
"""
_done = False


def sample(*, quick: bool) -> str:
    """An LLVM module with the usual instructions, to be compiled with the least effort or not."""
    return _SAMPLE if quick else _SAMPLE.replace(_OPTNONE, "")


def prepare(generate: Callable[[], None]) -> None:
    """Calls a function on another thread, once in a process, if there is a CPU for it.

    The process ends after it: LLVM may not be at work then.
    """
    global _done  # noqa: PLW0603
    if _done or available_cpus() == 1:
        return
    _done = True

    def work() -> None:
        with contextlib.suppress(BackendError):
            generate()

    with contextlib.suppress(RuntimeError):  # where there can be no more threads
        threading.Thread(target=work).start()
