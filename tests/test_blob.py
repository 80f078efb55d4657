"""Code blobs: linking, serialising, mapping and running, and what is refused."""

import contextlib
import ctypes
import gc
import logging
import os
import signal
import struct
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from dlc.codegen.cpu.backend import CpuBackend
from dlc.codegen.cpu.blob import Blob
from dlc.codegen.cpu.elf import ElfObject
from dlc.codegen.cpu.isa import ISA_LEVELS, host_flags, host_isa, host_machine, isa_named
from dlc.codegen.cpu.linking import link_entries, link_object
from dlc.codegen.cpu.llvm import compile_module
from dlc.codegen.cpu.modules import MODULE_SIZE
from dlc.codegen.cpu.object_file import write_object
from dlc.codegen.cpu.stored_code import CpuCode
from dlc.codegen.kernel_parser import parse_kernel
from dlc.ir.errors import BackendError
from dlc.runtime import loader
from dlc.runtime.loader import load_blob, load_blobs

HERE = [isa for isa in ISA_LEVELS if isa.runs_on(host_machine(), host_flags())]
OTHER = next(isa for isa in ISA_LEVELS if isa.machine != host_machine())
each_level = pytest.mark.parametrize("isa", HERE, ids=lambda isa: isa.name)
WAYS = loader._ways()
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)

LANES = ", ".join(f"float {i}.5" for i in range(16))
# Constants in .rodata (a table and a vector), calls between functions, a loop, a second section.
MODULE = f"""
@table = private constant [5 x double] [double 2.0, double 3.0, double 5.0, double 7.0, double 11.0]
@names = private constant [6 x i8] c"hello\\00"

define void @add(ptr %p) noinline section ".text.unlikely" {{
  %x = load <16 x float>, ptr %p, align 4
  %y = fadd <16 x float> %x, <{LANES}>
  store <16 x float> %y, ptr %p, align 4
  ret void
}}

define void @repeat(ptr %p, i64 %n) {{
entry:
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %loop, label %end
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  call void @add(ptr %p)
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}}

define double @lookup(i64 %i) {{
  %q = getelementptr double, ptr @table, i64 %i
  %v = load double, ptr %q
  ret double %v
}}

define ptr @name() {{
  ret ptr @names
}}

define ptr @address() {{
  ret ptr @lookup
}}

define i64 @choose(i64 %x) {{
  switch i64 %x, label %d [
    i64 0, label %a
    i64 1, label %b
    i64 2, label %c
    i64 3, label %e
    i64 4, label %f
  ]
a:
  ret i64 100
b:
  %b1 = mul i64 %x, 77
  ret i64 %b1
c:
  %c1 = call i64 @choose(i64 1)
  ret i64 %c1
d:
  ret i64 -1
e:
  %e1 = shl i64 %x, %x
  ret i64 %e1
f:
  %f1 = sdiv i64 1000, %x
  ret i64 %f1
}}
"""


def built(isa=None, text=MODULE):
    return compile_module(text, isa or host_isa()).blob()


def function(code, name, result, *args):
    return ctypes.CFUNCTYPE(result, *args)(code.address(name))


def check_module(code):
    repeat = function(code, "repeat", None, ctypes.c_void_p, ctypes.c_int64)
    values = np.zeros(16, np.float32)
    repeat(values.ctypes.data, 0)
    assert not values.any()
    repeat(values.ctypes.data, 4)
    assert np.array_equal(values, 4 * (np.arange(16, dtype=np.float32) + np.float32(0.5)))
    lookup = function(code, "lookup", ctypes.c_double, ctypes.c_int64)
    assert [lookup(i) for i in range(5)] == [2.0, 3.0, 5.0, 7.0, 11.0]
    assert function(code, "name", ctypes.c_char_p)() == b"hello"
    assert function(code, "address", ctypes.c_void_p)() == code.address("lookup")
    choose = function(code, "choose", ctypes.c_int64, ctypes.c_int64)
    assert [choose(i) for i in (-1, 0, 1, 2, 3, 4, 5)] == [-1, 100, 77, 77, 24, 250, -1]


@each_way
@each_level
def test_a_module_runs(way, isa):
    blob = built(isa)
    assert set(blob.symbols) == {"add", "repeat", "lookup", "name", "address", "choose"}
    first, second = way([blob, Blob.from_bytes(blob.to_bytes())])
    check_module(first)
    check_module(second)
    assert first.address("add") != second.address("add")
    assert first.address("choose") - blob.symbols["choose"] & blob.alignment - 1 == 0


def test_many_small_blobs_share_pages():
    blob = built(text="define i64 @f(i64 %x) {\n %y = add i64 %x, 1\n ret i64 %y\n}")
    for codes in (load_blobs([blob] * 3000), [load_blob(blob) for _ in range(300)]):
        addresses = sorted(code.address("f") for code in codes)
        assert len(set(addresses)) == len(codes)
        assert all(function(c, "f", ctypes.c_int64, ctypes.c_int64)(41) == 42 for c in codes[::97])
        if len(codes) == 3000:
            assert len({address // 4096 for address in addresses}) <= 3000 * 64 // 4096 + 2


def test_a_blob_larger_than_a_region():
    size = 3 << 20
    text = f"""
@big = private constant [{size} x i8] c"{"a" * (size - 1)}z"
define i8 @f(i64 %i) {{
  %q = getelementptr i8, ptr @big, i64 %i
  %v = load i8, ptr %q
  ret i8 %v
}}"""
    blob = built(text=text)
    for code in load_blobs([built(), blob, built()])[1:2]:
        f = function(code, "f", ctypes.c_int8, ctypes.c_int64)
        assert (f(0), f(size - 1)) == (ord("a"), ord("z"))


def test_memory_is_given_back():
    def mapped():
        with open("/proc/self/maps") as file:
            return {line.split()[0] for line in file if "dlc" in line and "r-x" in line}

    if WAYS[0].__name__ != "_memory_file":
        pytest.skip("the memory file is for Linux on x86-64")
    text = f'@big = private constant [{3 << 20} x i8] c"{"b" * (3 << 20)}"\n'
    blob = built(text=text + "define ptr @f() { ret ptr @big }")
    kept = load_blob(built())
    gc.collect()  # what other tests have left would go meanwhile
    before = mapped()
    codes = [load_blob(blob) for _ in range(5)]
    own = mapped() - before
    assert len(own) == 5
    del codes
    gc.collect()
    assert not own & mapped()
    check_module(kept)


def test_unknown_symbols_suggest():
    with pytest.raises(BackendError, match="did you mean 'lookup'"):
        load_blob(built()).address("look_up")


def test_nothing_to_load():
    assert load_blobs([]) == []


def test_code_of_another_machine_is_refused():
    with pytest.raises(BackendError, match=f"{OTHER.machine} code cannot be loaded"):
        load_blob(built(OTHER))


@pytest.fixture
def fresh_state(monkeypatch):
    monkeypatch.setattr(loader, "_state", loader._State())


def refuse(*args):
    raise PermissionError(13, "Permission denied")


@pytest.mark.skipif(sys.platform != "linux", reason="the first way is for Linux")
def test_the_next_way_is_taken_and_logged(fresh_state, monkeypatch, caplog):
    monkeypatch.setattr(os, "memfd_create", refuse)
    with caplog.at_level(logging.WARNING, "dlc.code"):
        check_module(load_blob(built()))
    assert "memory_file: Permission denied" in caplog.text
    caplog.clear()
    monkeypatch.setattr(loader, "_map", refuse)
    check_module(load_blob(built()))
    assert "private_pages: Permission denied" in caplog.text
    assert [way.__name__ for way in loader._state.ways] == ["_llvm_linker"]


def test_no_executable_memory_at_all(fresh_state, monkeypatch):
    loader._state.ways = [loader._private_pages]
    monkeypatch.setattr(loader, "_map", refuse)
    with pytest.raises(BackendError, match="executable memory is not allowed") as caught:
        load_blob(built())
    assert "DLC_DISABLE_JIT" in caught.value.hint


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_has_memory_of_its_own():
    number = "define i64 @f() {{\n ret i64 {}\n}}"
    mine = load_blob(built(text=number.format(1)))
    one, two = (built(text=number.format(value)) for value in (2, 3))
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            loaded = load_blob(two)
            os.write(done[1], b"x")
            os.read(ready[0], 1)
            same = function(mine, "f", ctypes.c_int64)() == 1
            code = 0 if same and function(loaded, "f", ctypes.c_int64)() == 3 else 2
        finally:
            os._exit(code)
    os.read(done[0], 1)
    loaded = load_blob(one)
    os.write(ready[1], b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert function(loaded, "f", ctypes.c_int64)() == 2
    for pipe in (*ready, *done):
        os.close(pipe)


def test_loading_from_many_threads():
    texts = [f"define i64 @f() {{\n ret i64 {value}\n}}" for value in range(8)]
    blobs = [built(text=text) for text in texts]
    wrong = []

    def work(value):
        for _ in range(100):
            code = load_blob(blobs[value])
            if function(code, "f", ctypes.c_int64)() != value:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_loading_does_not_load_llvm(tmp_path):
    (tmp_path / "blob").write_bytes(built().to_bytes())
    program = f"""
import ctypes, sys
from dlc.codegen.cpu.blob import Blob
from dlc.runtime.loader import load_blob
blob = Blob.from_bytes(open({str(tmp_path / "blob")!r}, "rb").read())
code = load_blob(blob)
assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)(code.address("lookup"))(4) == 11.0
assert not any("llvmlite" in name for name in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.skipif(sys.platform != "linux", reason="a thread that spins in native code")
def test_exit_while_native_code_runs():
    program = """
import ctypes, threading, time
from dlc.codegen.cpu.isa import host_isa
from dlc.codegen.cpu.llvm import compile_module
from dlc.codegen.kernel_parser import parse_kernel
from dlc.runtime.loader import load_blob
body = "br label %l\\nl:\\n %x = load volatile i8, ptr %p\\n br label %l"
text = "define void @spin(ptr %p) {\\n" + body + "\\n}"
code = load_blob(compile_module(text, host_isa()).blob())
byte = ctypes.c_char()
spin = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address("spin"))
threading.Thread(target=spin, args=(ctypes.addressof(byte),), daemon=True).start()
time.sleep(0.1)
del code
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == 0, (signal.Signals(-done.returncode), done.stderr)


# What is refused, each with its name.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@state = global i64 5", r"writable data \(section .data\)"),
        ("@state = global i64 0", r"writable data \(section .bss\)"),
        ("@state = common global i64 0", "state"),
        ("@state = thread_local global i64 1", "__tls_get_addr"),
        ("@state = private constant [1 x ptr] [ptr @f]", "relocation 1 against f"),
        ('@state = global i64 5, section "mine"', "section mine"),
    ],
)
def test_what_an_image_cannot_have(text, message):
    text += "\ndefine ptr @f() {\n ret ptr @state\n}"
    with pytest.raises(BackendError, match=message):
        compile_module(text, isa_named("x86-64-v3")).blob()


def test_thread_local_constants_are_refused():
    text = """
@state = external thread_local global i64
define ptr @f() {
 ret ptr @state
}"""
    with pytest.raises(BackendError, match="state"):
        compile_module(text, isa_named("x86-64-v3")).blob()


def test_undefined_symbols_of_foreign_objects_are_refused():
    data = write_object("x86_64", b"\xc3", {"f": 0}, alignment=16)
    elf = ElfObject(data)
    assert [s.name for s in elf.symbols if not s.local] == ["f"]
    assert link_object(data) == Blob(b"\xc3", {"f": 0}, 64, "x86_64")
    # The symbol's section number becomes 0: undefined.
    place = data.index(struct.pack("<BBH", 1 << 4 | 2, 0, 1)) - 4
    with pytest.raises(BackendError, match="undefined symbols in compiled code: f"):
        link_object(data[: place + 6] + b"\0\0" + data[place + 8 :])


def test_a_load_from_the_offset_table_is_relaxed():
    # A default-visibility constant of another name space is reached through the table.
    text = """
@seen = constant i64 42
define i64 @f() {
  %v = load i64, ptr @seen
  ret i64 %v
}
define ptr @g() {
  ret ptr @seen
}"""
    if host_machine() != "x86_64":
        pytest.skip("a relocation of x86-64")
    module = compile_module(text, host_isa())
    assert 42 in {r.kind for r in ElfObject(module.object).relocations}
    code = load_blob(module.blob())
    assert function(code, "f", ctypes.c_int64)() == 42
    assert function(code, "g", ctypes.c_void_p)() == code.address("seen")


def test_alignment_of_constants_is_kept():
    text = """
@a = private constant <4 x i64> <i64 1, i64 2, i64 3, i64 4>, align 256
define ptr @f() {
  ret ptr @a
}"""
    blob = built(text=text)
    assert blob.alignment == 256
    for code in load_blobs([built(), blob, built(), blob]):
        if "f" in code.symbols:
            assert function(code, "f", ctypes.c_void_p)() % 256 == 0
    with pytest.raises(BackendError, match="alignment of 8192"):
        built(text=text.replace("256", "8192"))


# AArch64 code cannot run here; its instructions are decoded instead.


def decoded(blob):
    """Yield (offset, name, value) of the instructions that relocations fill in."""
    pages = {}
    for offset in range(0, len(blob.code) // 4 * 4, 4):
        (word,) = struct.unpack_from("<I", blob.code, offset)
        if word & 0x9F000000 == 0x90000000:  # adrp
            value = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
            value = (value ^ 1 << 20) - (1 << 20)
            pages[word & 31] = (offset & ~4095) + (value << 12)
        elif word & 0xFFC00000 == 0x91000000 and (word >> 5 & 31) in pages:  # add
            yield offset, "address", pages[word >> 5 & 31] + (word >> 10 & 0xFFF)
        elif word & 0x3B400000 == 0x39400000 and (word >> 5 & 31) in pages:  # ldr, unsigned offset
            scale = word >> 30 | (4 if word & 0x04800000 == 0x04800000 else 0)
            yield offset, "load", pages[word >> 5 & 31] + ((word >> 10 & 0xFFF) << scale)
        elif word & 0x7C000000 == 0x14000000:  # b, bl
            value = (word & 0x3FFFFFF ^ 1 << 25) - (1 << 25)
            yield offset, "branch", offset + 4 * value


def test_aarch64_relocations():
    pad = "\n".join(
        f"define void @pad{i}(ptr %p) {{\n  store volatile i64 {i}, ptr %p\n  ret void\n}}"
        for i in range(700)
    )
    blob = built(isa_named("aarch64"), MODULE + pad)
    assert blob.alignment == 4096
    assert len(blob.code) > 2 * 4096
    found = list(decoded(blob))
    branches = {value for _, name, value in found if name == "branch"}
    assert blob.symbols["add"] in branches
    addresses = {value for _, name, value in found if name == "address"}
    assert blob.symbols["lookup"] in addresses
    contents = [blob.code[value:] for value in addresses]
    assert any(c.startswith(b"hello\0") for c in contents)
    assert any(c.startswith(struct.pack("<2d", 2.0, 3.0)) for c in contents)
    loads = {blob.code[value : value + 16] for _, name, value in found if name == "load"}
    for quarter in range(4):
        lanes = [4 * quarter + i + 0.5 for i in range(4)]
        assert struct.pack("<4f", *lanes) in loads


# Damaged bytes are errors of dlc, whatever they are.


def test_blobs_cut_off_or_extended_are_refused():
    data = built().to_bytes()
    for size in [*range(len(data) // 2), len(data) - 1]:
        with pytest.raises(BackendError, match="malformed"):
            Blob.from_bytes(data[:size])
    with pytest.raises(BackendError, match="malformed"):
        Blob.from_bytes(data + b"\0")


def test_flipped_bits_in_a_blob_never_escape():
    blob = built()
    data = blob.to_bytes()
    for place in range(len(data) - len(blob.code)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            try:
                other = Blob.from_bytes(bytes(damaged))
            except BackendError:
                continue
            assert all(0 <= offset < len(other.code) for offset in other.symbols.values())


def test_damaged_objects_never_escape():
    data = compile_module(MODULE, host_isa()).object
    for size in range(0, len(data), 7):
        with pytest.raises(BackendError):
            link_object(data[:size])
    generator = np.random.default_rng(0)
    for place, bit in generator.integers([0, 0], [len(data), 8], (4000, 2)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << bit
        with contextlib.suppress(BackendError):
            link_object(bytes(damaged))


ENTRIES = f"""
@table = private constant [5 x double] [double 2.0, double 3.0, double 5.0, double 7.0, double 11.0]

define internal double @helper(double %x) noinline section ".text.helper" {{
  %y = call double @deeper(double %x)
  %z = fmul double %y, 0x3FF0000000000001
  ret double %z
}}

define internal double @deeper(double %x) noinline section ".text.deeper" {{
  %y = fadd double %x, 0.1
  ret double %y
}}

define internal double @other(i64 %i) noinline section ".text.other" {{
  %q = getelementptr double, ptr @table, i64 %i
  %v = load double, ptr %q
  ret double %v
}}

define double @first(double %x) section ".text.first" {{
  %y = call double @helper(double %x)
  %z = fsub double %y, 0.3
  ret double %z
}}

define double @second(i64 %i) section ".text.second" {{
  %v = call double @other(i64 %i)
  %z = call double @helper(double %v)
  ret double %z
}}

define void @third(ptr %p) section ".text.third" {{
  %x = load <16 x float>, ptr %p, align 4
  %y = fadd <16 x float> %x, <{LANES}>
  %z = fdiv <16 x float> %y, splat (float 3.0)
  store <16 x float> %z, ptr %p, align 4
  ret void
}}
"""


@each_level
def test_entries_are_linked_with_what_they_need(isa):
    pieces = compile_module(ENTRIES, isa).pieces(["third", "first", "second"])
    blobs = [p.blob for p in pieces]
    assert [list(b.symbols) for b in blobs] == [["third"], ["first"], ["second"]]
    assert all(b.symbols[name] == 0 for b in blobs for name in b.symbols)
    third, first, second = load_blobs(blobs)
    one = function(first, "first", ctypes.c_double, ctypes.c_double)
    assert one(2.0) == (2.0 + 0.1) * (1 + 2**-52) - 0.3
    two = function(second, "second", ctypes.c_double, ctypes.c_int64)
    assert [two(k) for k in range(5)] == [(x + 0.1) * (1 + 2**-52) for x in (2, 3, 5, 7, 11)]
    values = np.arange(16, dtype=np.float32)
    function(third, "third", None, ctypes.c_void_p)(values.ctypes.data)
    lanes = np.arange(16, dtype=np.float32)
    np.testing.assert_array_equal(values, (lanes + (lanes + np.float32(0.5))) / np.float32(3))


@pytest.mark.parametrize("isa", ISA_LEVELS, ids=lambda isa: isa.name)
def test_entries_leave_out_what_they_do_not_need(isa):
    module = compile_module(ENTRIES, isa)
    whole = module.blob()
    third, first, second = (p.blob for p in module.pieces(["third", "first", "second"]))
    eleven = struct.pack("<d", 11.0)
    assert eleven in whole.code
    assert eleven in second.code
    assert eleven not in first.code
    if isa.vector_bits < 512:  # constants of 64 bytes lie among the tables, which are kept whole
        assert eleven not in third.code
    assert len(first.code) < len(second.code) < len(whole.code)
    # 0.1 is used by the helper's helper, 0.3 by the first entry alone.
    if isa.machine == "x86_64":
        assert struct.pack("<d", 0.1) in first.code
        assert struct.pack("<d", 0.1) in second.code
        assert struct.pack("<d", 0.1) not in third.code
        assert struct.pack("<d", -0.3) in first.code or struct.pack("<d", 0.3) in first.code
        assert struct.pack("<d", -0.3) not in second.code + third.code


def test_an_entry_that_is_not_there():
    with pytest.raises(BackendError, match="(?s)no function 'frist'.*did you mean 'first'"):
        compile_module(ENTRIES, host_isa()).pieces(["frist"])


def test_damaged_objects_never_escape_entries():
    data = compile_module(ENTRIES, host_isa()).object
    generator = np.random.default_rng(0)
    for place, bit in generator.integers([0, 0], [len(data), 8], (3000, 2)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << bit
        with contextlib.suppress(BackendError):
            link_entries(ElfObject(bytes(damaged)), ["first", "second", "third"])


KERNELS = [
    "kernel a(x: f32[N], out y: f32[N]): par n<N: y[n]=exp(x[n])",
    "kernel b(x: f64[N], z: f64[N], out y: f64[N]): par n<N: y[n]=fma(x[n],z[n],pow(x[n],z[n]))",
    (
        "kernel c(a: f32[M,K], b: f32[K,N], out y: f32[M,N]):"
        " par m<M, n<N: y[m,n]=dot(k<K, a[m,k]*b[k,n])"
    ),
    "kernel d(x: f32[N], out y: f32[N]): par n<N: y[n]=tanh(x[n])",
    (
        "kernel e(a: f32[K,M], b: f32[K,N], out y: f32[M,N]):"
        " par m<M, n<N: y[m,n]=max(dot(k<K, a[k,m]*b[k,n]),0.0)"
    ),
]


@pytest.mark.parametrize("isa", ISA_LEVELS, ids=lambda isa: isa.name)
def test_a_kernel_compiled_with_others_is_as_it_is_alone(isa):
    backend = CpuBackend(isa)
    kernels = [parse_kernel(text) for text in KERNELS]
    together = [CpuCode.from_bytes(p) for p in backend.compile(kernels)]
    for kernel, code in zip(kernels, together, strict=True):
        alone = CpuCode.from_bytes(backend.compile([kernel])[0])
        if isa.vector_bits < 512:
            assert code == alone
        # Of constants of 64 bytes, a neighbour is kept where a reference does not tell them apart.
        assert 0 <= len(code.blob.code) - len(alone.blob.code) <= 128
        assert replace(code, blob=alone.blob) == alone


def test_kernels_of_one_name_do_not_meet():
    kernels = [parse_kernel("kernel same" + text[8:]) for text in KERNELS]
    codes = [CpuCode.from_bytes(p) for p in CpuBackend(host_isa()).compile(kernels)]
    assert [c.entry for c in codes] == ["same"] * len(KERNELS)
    assert len({c.blob.code for c in codes}) == len(KERNELS)


def test_modules_have_a_size():
    kernels = [parse_kernel(KERNELS[0].replace("a(", f"a{k}(", 1)) for k in range(MODULE_SIZE + 3)]
    codes = [CpuCode.from_bytes(p) for p in CpuBackend(host_isa()).compile(kernels)]
    assert [c.entry for c in codes] == [f"a{k}" for k in range(MODULE_SIZE + 3)]
    assert len({c.blob.code for c in codes}) == 1


def test_nothing_to_compile():
    assert CpuBackend(host_isa()).compile([]) == []
