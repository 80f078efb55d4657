"""Instruction set levels: detection, the setting, and that each level's code is its own."""

import subprocess
import sys

import pytest

from dlc.codegen.cpu import isa as isa_module
from dlc.codegen.cpu.compiler_version import compiler_version
from dlc.codegen.cpu.isa import ISA_LEVELS, cpuinfo_flags, current_isa, host_isa, isa_named
from dlc.codegen.cpu.llvm import (
    assembly,
    compile_module,
    optimized_text,
)
from dlc.ir.config import config
from dlc.ir.errors import BackendError, SettingError

V4, V3, V2, NEON = (isa_named(n) for n in ("x86-64-v4", "x86-64-v3", "x86-64-v2", "aarch64"))

SCALE = """
define void @scale(ptr %p, ptr %q) {{
  %x = load <{lanes} x float>, ptr %p, align 4
  %y = load <{lanes} x float>, ptr %q, align 4
  %m = fmul <{lanes} x float> %x, %y
  %s = fadd <{lanes} x float> %m, %y
  store <{lanes} x float> %s, ptr %p, align 4
  ret void
}}
"""


def test_lanes():
    assert [isa.lanes(32) for isa in ISA_LEVELS] == [16, 16, 16, 8, 4, 4]
    assert [V4.lanes(bits) for bits in (8, 16, 64)] == [64, 32, 8]
    for bits in (0, 1, 4, 24, 1024):
        with pytest.raises(ValueError, match=f"{bits} bits"):
            V4.lanes(bits)


def test_names_are_unique_and_unknown_ones_suggest():
    assert len({isa.name for isa in ISA_LEVELS}) == len(ISA_LEVELS)
    with pytest.raises(SettingError, match="x86-64-v3"):
        isa_named("x86-64v3")


def test_a_level_runs_only_where_all_its_flags_are():
    assert V3.runs_on("x86_64", V3.requires)
    assert not V3.runs_on("aarch64", V3.requires)
    for flag in V3.requires:
        assert not V3.runs_on("x86_64", V3.requires - {flag})
    assert V4.requires > V3.requires > V2.requires


def test_cpuinfo_takes_the_flags_of_all_cpus():
    text = "processor : 0\nflags\t\t: sse avx avx2\n\nprocessor : 1\nflags\t\t: avx sse\nbugs : x\n"
    assert cpuinfo_flags(text) == {"sse", "avx"}
    assert cpuinfo_flags("Features : fp asimd\n") == frozenset()


def fake_host(monkeypatch, machine, flags):
    monkeypatch.setattr(isa_module, "host_machine", lambda: machine)
    monkeypatch.setattr(isa_module, "host_flags", lambda: frozenset(flags))
    monkeypatch.setattr(isa_module, "matrix_unit_granted", lambda: True)
    return host_isa.__wrapped__


@pytest.mark.parametrize("level", ISA_LEVELS, ids=lambda isa: isa.name)
def test_the_best_level_is_found(monkeypatch, level):
    assert fake_host(monkeypatch, level.machine, level.requires)() is level


def test_a_machine_without_a_level(monkeypatch):
    with pytest.raises(BackendError, match="riscv64"):
        fake_host(monkeypatch, "riscv64", ())()
    with pytest.raises(BackendError, match="x86-64-v2"):
        fake_host(monkeypatch, "x86_64", {"sse2"})()


@pytest.mark.parametrize(
    ("features", "level"),
    [
        ({"SSE42": True}, V2),
        ({"SSE42": True, "AVX2": True, "FMA3": True, "F16C": True}, V3),
        ({"SSE42": True, "AVX2": True, "FMA3": False, "F16C": True}, V2),
        ({"SSE42": True, "AVX2": True, "FMA3": True, "F16C": True, "X86_V4": True}, V4),
        ({"SSE42": True, "AVX2": True, "FMA3": True, "F16C": True, "AVX512_SKX": True}, V4),
    ],
)
def test_numpy_knows_the_flags_elsewhere(monkeypatch, features, level):
    core = isa_module.np._core._multiarray_umath
    monkeypatch.setattr(core, "__cpu_features__", features)
    assert fake_host(monkeypatch, "x86_64", isa_module._numpy_flags())() is level


def test_numpy_agrees_with_the_system():
    if sys.platform == "linux" and isa_module.host_machine() == "x86_64":
        flags = isa_module._numpy_flags()
        # Whole levels only, of any vendor.
        known = [isa for isa in ISA_LEVELS if not isa.matrix and not isa.streams]
        flags_here = isa_module.host_flags()
        best = next(isa for isa in known if isa.runs_on("x86_64", flags_here))
        assert next(isa for isa in known if isa.runs_on("x86_64", flags)) is best


def test_a_matrix_unit_needs_the_grant_of_the_system(monkeypatch):
    amx = isa_named("x86-64-amx")
    best = fake_host(monkeypatch, "x86_64", amx.requires)
    assert best() is amx
    monkeypatch.setattr(isa_module, "matrix_unit_granted", lambda: False)
    assert best() is V4


def test_the_setting_chooses(monkeypatch):
    with config.scope(isa=None):
        assert current_isa() is host_isa()
    fake_host(monkeypatch, "x86_64", V3.requires)
    with config.scope(isa="x86-64-v2"):
        assert current_isa() is V2
    with config.scope(isa="x86-64-v4"), pytest.raises(SettingError, match="avx512f"):
        current_isa()
    with config.scope(isa="aarch64"), pytest.raises(SettingError, match="does not run aarch64"):
        current_isa()
    with config.scope(isa="avx"), pytest.raises(SettingError, match="unknown"):
        current_isa()


def test_detection_does_not_load_llvm():
    program = (
        "import sys; from dlc.codegen.cpu import compiler_version, isa, llvm; isa.host_isa();"
        "print(compiler_version.compiler_version());"
        "assert not any('llvmlite' in m for m in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == compiler_version()


@pytest.mark.parametrize("isa", ISA_LEVELS, ids=lambda isa: isa.name)
def test_each_level_uses_its_registers_and_never_contracts(isa):
    text = assembly(SCALE.format(lanes=isa.lanes(32)), isa)
    x86 = {512: ("%zmm0", "%none"), 256: ("%ymm0", "%zmm"), 128: ("%xmm0", "%ymm")}
    used, wider = ("v0.4s", "%") if isa.machine == "aarch64" else x86[isa.vector_bits]
    assert used in text
    assert wider not in text
    assert "fma" not in text
    assert "fmla" not in text


@pytest.mark.parametrize("isa", ISA_LEVELS, ids=lambda isa: isa.name)
def test_the_flags_of_a_level_say_what_has_an_instruction(isa):
    fma = """
define double @f(double %x) {
  %y = call double @llvm.fma.f64(double %x, double %x, double %x)
  ret double %y
}
declare double @llvm.fma.f64(double, double, double)"""
    half = """
define half @f(float %x) {
  %y = fptrunc float %x to half
  ret half %y
}"""
    for text, has, symbol in ((fma, isa.fma, "fma"), (half, isa.half, "__truncsfhf2")):
        if has:
            assert compile_module(text, isa).object
        else:
            with pytest.raises(BackendError, match=f"{isa.name}, the module needs {symbol}"):
                compile_module(text, isa)


def test_masked_and_gather_flags():
    masked = """
define <{n} x float> @f(ptr %p, <{n} x i1> %m) {{
  %x = call <{n} x float> @llvm.masked.load.v{n}f32.p0(
    ptr %p, i32 4, <{n} x i1> %m, <{n} x float> zeroinitializer)
  ret <{n} x float> %x
}}
declare <{n} x float> @llvm.masked.load.v{n}f32.p0(ptr, i32, <{n} x i1>, <{n} x float>)"""
    for isa in (V4, V3, V2):
        text = assembly(masked.format(n=isa.lanes(32)), isa)
        assert ("{%k1}" in text) == isa.masked


def test_text_that_llvm_rejects_is_quoted():
    with pytest.raises(BackendError, match="line 3, column 16") as caught:
        compile_module("\ndefine void @f() {\n  %x = add i32 foo, 1\n  ret void\n}", V3)
    assert "> 3 |   %x = add i32 foo, 1" in str(caught.value)
    assert "65521" not in str(caught.value)


def test_text_that_the_verifier_rejects():
    text = """define i32 @f(i1 %c) {
  br i1 %c, label %a, label %b
a:
  %x = add i32 1, 1
  br label %b
b:
  ret i32 %x
}"""
    with pytest.raises(BackendError, match="dominate"):
        compile_module(text, V3)


def test_an_unfinished_definition():
    with pytest.raises(BackendError, match="line 2: no parameter list"):
        compile_module("; f\ndefine void @f", V3)


def test_calls_out_of_the_module_are_named():
    text = """
declare void @there()
declare float @llvm.exp.f32(float)
define float @f(float %x) {
  call void @there()
  %y = call float @llvm.exp.f32(float %x)
  ret float %y
}"""
    with pytest.raises(BackendError, match="the module needs there, expf"):
        compile_module(text, V3)
    assert "expf" in assembly(text, V3)


def test_library_calls_are_not_formed():
    text = """
define void @f(ptr %p, ptr %q) {
  %x = load [64 x i8], ptr %q
  store [64 x i8] %x, ptr %p
  store <16 x i64> zeroinitializer, ptr %p, align 1
  ret void
}"""
    for isa in ISA_LEVELS:
        assert compile_module(text, isa).object


def test_attributes_go_where_llvm_wants_them():
    text = """
; define void @comment() {
define internal float @"odd ) name"({ float, i32 } %x) alwaysinline {
  %y = extractvalue { float, i32 } %x, 0
  ret float %y
}
define { float, float } @g(ptr align(4) dereferenceable(4) %p, i64) unnamed_addr #0 align 64 {
  %x = load { float, i32 }, ptr %p
  %y = call float @"odd ) name"({ float, i32 } %x)
  %r = insertvalue { float, float } zeroinitializer, float %y, 1
  ret { float, float } %r
}
define void @h(
    ptr %p,  ; a comment ( in it
    ptr %q) section ".text.h" {
  ret void
}
attributes #0 = { nofree }
"""
    done = optimized_text(text, V4)
    assert "odd" not in done  # inlined, then removed
    assert done.count("define") == 2
    for group in done.split("attributes #")[1:]:
        assert '"prefer-vector-width"="512"' in group
        assert '"no-builtins"' in group
    # The output is text that can be compiled again.
    assert compile_module(done, V4).object


def test_inline_assembly_for_another_machine_is_refused():
    text = """
define void @f() {
  call void asm sideeffect "nop", ""()
  ret void
}"""
    other = NEON if isa_module.host_machine() == "x86_64" else V3
    with pytest.raises(BackendError, match="inline assembly"):
        compile_module(text, other)
    assert compile_module(text, host_isa()).object
