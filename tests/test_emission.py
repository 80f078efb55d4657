"""LLVM modules compiled side by side: the objects are those of one after the other."""

import pathlib
import sys
import threading
import time

import pytest

from dlc.codegen.cpu import emission, llvm, modules, preparation
from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.helper_code import MODULE_LINES, Helpers
from dlc.codegen.cpu.isa import host_isa
from dlc.codegen.cpu.llvm import compile_module, compile_modules
from dlc.codegen.cpu.modules import compile_kernels
from dlc.codegen.kernel_parser import parse_kernel
from dlc.ir.errors import BackendError


def function(number, length):
    lines = [f"  %v{k + 1} = mul i64 %v{k}, {2 * k + 3 + number}" for k in range(length)]
    return "\n".join(
        [f"define i64 @f{number}(i64 %v0) {{", *lines, f"  ret i64 %v{length}", "}", ""]
    )


NOT_LLVM = "define void @f() {\n  %x = add i32 foo, 1\n  ret void\n}"
NOT_COMPLETE = "declare void @g()\ndefine void @f() { call void @g() ret void }"
TEXTS = [function(k, 5 + 37 * k % 50) for k in range(9)]


@pytest.mark.parametrize("cpus", [1, 2, 3, 16])
def test_objects_do_not_depend_on_the_number_of_cpus(cpus, monkeypatch):
    monkeypatch.setattr(llvm, "available_cpus", lambda: cpus)
    isa = host_isa()
    assert [m.object for m in compile_modules(TEXTS, isa)] == [
        compile_module(text, isa).object for text in TEXTS
    ]
    assert compile_modules([], isa) == []


def test_a_module_that_llvm_refuses_ends_the_threads(monkeypatch):
    monkeypatch.setattr(llvm, "available_cpus", lambda: 4)
    before = threading.active_count()
    with pytest.raises(BackendError, match="line 2"):
        compile_modules(
            [*TEXTS, "define void @f() {\n  %x = add i32 foo, 1\n  ret void\n}"], host_isa()
        )
    with pytest.raises(BackendError, match="needs g"):
        compile_modules(
            [*TEXTS, "declare void @g()\ndefine void @f() { call void @g() ret void }"], host_isa()
        )
    assert threading.active_count() == before
    assert len(compile_modules(TEXTS, host_isa())) == len(TEXTS)


def test_what_cannot_be_emitted_is_an_error_of_its_own_module(monkeypatch):
    monkeypatch.setattr(llvm, "available_cpus", lambda: 3)
    emit, isa = emission._emit, host_isa()

    def fail_sometimes(module, machine):
        if "@f3(" in str(module):
            raise RuntimeError("no such instruction")
        return emit(module, machine)

    monkeypatch.setattr(emission, "_emit", fail_sometimes)
    with pytest.raises(BackendError, match="no such instruction"):
        compile_modules(TEXTS, isa)
    assert len(compile_modules(TEXTS[4:], isa)) == 5


def test_something_else_is_done_meanwhile(monkeypatch):
    emit, done, seen = emission._emit, threading.Event(), []

    def late(module, machine):
        assert done.wait(20)
        seen.append(threading.current_thread() is threading.main_thread())
        return emit(module, machine)

    monkeypatch.setattr(llvm, "available_cpus", lambda: 2)
    with monkeypatch.context() as patch:
        patch.setattr(emission, "_emit", late)
        (made,) = compile_modules(TEXTS[:1], host_isa(), meanwhile=done.set)
    assert seen == [False]
    assert made.object == compile_module(TEXTS[0], host_isa()).object


@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_is_done_meanwhile_is_done_once(cpus, count, monkeypatch):
    monkeypatch.setattr(llvm, "available_cpus", lambda: cpus)
    calls = []
    compile_modules(TEXTS[:count], host_isa(), meanwhile=lambda: calls.append(1))
    assert calls == [1]


def test_the_other_generator_is_prepared_once(monkeypatch):
    started = []

    class Recorded(threading.Thread):
        def start(self):
            started.append(self)
            super().start()

    monkeypatch.setattr(llvm, "available_cpus", lambda: 1)
    monkeypatch.setattr(preparation, "available_cpus", lambda: 1)
    monkeypatch.setattr(preparation, "_done", False)
    monkeypatch.setattr(threading, "Thread", Recorded)
    compile_module(TEXTS[0], host_isa())
    assert not started
    monkeypatch.setattr(preparation, "available_cpus", lambda: 2)
    prepared = []
    optimized = llvm._optimized

    def record(text, isa, *, quick):
        prepared.append((text, quick))
        return optimized(text, isa, quick=quick)

    monkeypatch.setattr(llvm, "_optimized", record)
    for _ in range(2):
        compile_module(TEXTS[0], host_isa())
        for thread in started:
            thread.join()
    assert len(started) == 1
    assert [text for text, _ in prepared].count(preparation.sample(quick=True)) == 1
    assert all(quick is llvm._is_quick(text) for text, quick in prepared)
    assert not started[0].daemon


def test_an_interrupt_waits_for_the_other_threads(monkeypatch):
    monkeypatch.setattr(llvm, "available_cpus", lambda: 4)
    emit, before = emission._emit, threading.active_count()

    def interrupted(module, machine):
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        time.sleep(0.02)
        return emit(module, machine)

    with monkeypatch.context() as patch:
        patch.setattr(emission, "_emit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compile_modules(TEXTS, host_isa())
    assert threading.active_count() == before
    assert len(compile_modules(TEXTS, host_isa())) == len(TEXTS)


def test_an_interrupt_while_waiting_is_raised_afterwards():
    class Slow:
        joined = 0

        def is_alive(self):
            return self.joined < 3

        def join(self):
            self.joined += 1
            if self.joined == 1:
                raise KeyboardInterrupt

    slow = [Slow(), Slow()]
    with pytest.raises(KeyboardInterrupt):
        emission._wait_for(slow)
    assert [thread.joined for thread in slow] == [3, 3]


def test_without_threads_or_an_unlocked_llvm(monkeypatch):
    expected = [m.object for m in compile_modules(TEXTS, host_isa())]
    monkeypatch.setattr(llvm, "available_cpus", lambda: 4)
    with monkeypatch.context() as patch:
        patch.setattr(emission, "_generate", lambda: None)
        assert [m.object for m in compile_modules(TEXTS, host_isa())] == expected

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert [m.object for m in compile_modules(TEXTS, host_isa())] == expected


def test_many_threads_compile_at_once(monkeypatch):
    monkeypatch.setattr(llvm, "available_cpus", lambda: 2)
    expected = [m.object for m in compile_modules(TEXTS, host_isa())]
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(compile_modules(TEXTS, host_isa())))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[m.object for m in made] for made in found] == [expected] * 4


def test_long_modules_are_cut():
    texts = [
        f"kernel k{n}(x: f32[N], out y: f32[N]): par i<N: y[i]=tanh(x[i]*{n}.5)+exp(x[i])"
        for n in range(12)
    ]
    kernels = [parse_kernel(text) for text in texts]
    together = compile_kernels(kernels, host_isa())
    assert together == [compile_kernels([k], host_isa())[0] for k in kernels]


def test_modules_are_compiled_while_others_are_written(monkeypatch):
    texts = [
        f"kernel k{n}(x: f32[N], out y: f32[N]): par i<N: y[i]=tanh(x[i]*{n}.5)+exp(x[i])"
        for n in range(9)
    ]
    order = []
    emit, optimized = modules.emit, llvm._optimized
    monkeypatch.setattr(modules, "emit", lambda k, isa: order.append(k.name) or emit(k, isa))
    monkeypatch.setattr(llvm, "_optimized", lambda *a, **k: order.append("") or optimized(*a, **k))
    compile_kernels([parse_kernel(text) for text in texts], host_isa())
    assert [name for name in order if name] == [f"k{n}" for n in range(9)]
    assert 0 < order.index("") < order.index("k8")


def test_helpers_are_compiled_in_batches_with_no_name_twice():
    def helper(name, lines, value):
        em = Emitter(name, [("ptr", "p")])
        em.lines = [f"  store i64 {value}, ptr %p, align 8"] * lines + ["  ret void"]
        return em

    found = Helpers(host_isa())
    found.want({"a": helper("a", MODULE_LINES, 1), "b": helper("b", 3, 2), "c": helper("c", 3, 3)})
    found.want({"b": helper("b", 3, 4), "c": helper("c", 3, 3)})
    assert [list(batch) for batch in found.batches()] == [["a"], ["b", "c"], ["b"]]
    found.want({"c": helper("c", 3, 3), "d": helper("d", 3, 3)})
    assert [list(batch) for batch in found.batches()] == [["d"]]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
def test_what_llvmlite_does_not_free_is_made_once():
    def pages():
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1])

    for _ in range(50):
        llvm.optimized_text(TEXTS[0], host_isa())
    before = pages()
    for _ in range(200):
        llvm.optimized_text(TEXTS[0], host_isa())
    # Pass managers and builders of their own would be some 500 pages.
    assert pages() - before < 150
