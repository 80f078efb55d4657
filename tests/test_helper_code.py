"""Helper functions of kernels: compiled once, stored, and joined to what calls them."""

import ctypes

import pytest

from dlc.codegen.cpu import helper_code
from dlc.codegen.cpu.backend import CpuBackend
from dlc.codegen.cpu.emit import Emitter, all_helpers, module_text, open_module_text
from dlc.codegen.cpu.helper_code import Helpers
from dlc.codegen.cpu.isa import ISA_LEVELS, host_isa
from dlc.codegen.cpu.llvm import compile_module
from dlc.codegen.cpu.pieces import Piece, Reference, join
from dlc.codegen.cpu.stored_code import CpuCode
from dlc.codegen.kernel_parser import parse_kernel
from dlc.ir.errors import BackendError, StoredCodeError
from dlc.runtime.loader import load_blob

MATMUL = (
    "kernel mm(a: f32[M,K], b: f32[K,N], out y: f32[M,N]):"
    " par m<M, n<N: y[m,n]=dot(k<K, a[m,k]*b[k,n])"
)


class Shelf:
    """A store that counts."""

    def __init__(self):
        self.entries, self.puts = {}, 0

    def find(self, entries, read):
        data = self.entries.get(tuple(entries))
        try:
            return None if data is None else read(data)
        except StoredCodeError:
            return None

    def put(self, entries, data):
        self.entries[tuple(entries)] = data
        self.puts += 1


@pytest.fixture
def nothing_known(monkeypatch):
    monkeypatch.setattr(helper_code, "_known", {})


def storing(name, value, *helpers):
    """A function that stores a number at %p and then calls helpers on the places that follow."""
    em = Emitter(name, [("ptr", "p")])
    em.line(f"store i64 {value}, ptr %p, align 8")
    for k, helper in enumerate(helpers, 1):
        em.call_helper(helper, [em.value(f"getelementptr i64, ptr %p, i64 {k}")])
    em.line("ret void")
    return em


def chain():
    """first -> second -> third, and first -> third."""
    third = storing("third", 3)
    second = storing("second", 2, third)
    return storing("first", 1, second, third, third)


def run(blob, name):
    result = (ctypes.c_int64 * 4)()
    loaded = load_blob(blob)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(loaded.address(name))(ctypes.addressof(result))
    return list(result)


def helper_pieces(helpers, isa, store=None):
    """The code of functions, compiled where it is not known."""
    found = Helpers(isa, store)
    found.want(helpers)
    for batch in found.batches():
        text = open_module_text(list(batch.values()))
        found.take(batch, compile_module(text, isa, outside=helpers))
    return found.pieces(helpers)


def joined(em, isa, store=None):
    helpers = all_helpers([em])
    module = compile_module(open_module_text([em]), isa, outside=helpers)
    (piece,) = module.pieces([em.name], outside=helpers)
    return join(piece, helper_pieces(helpers, isa, store))


def test_joined_code_runs_as_one_module_does(nothing_known):
    whole = compile_module(module_text([chain()]), host_isa()).blob()
    blob = joined(chain(), host_isa())
    assert run(whole, "first") == run(blob, "first") == [1, 2, 3, 3]
    assert blob.symbols == {"first": 0}


@pytest.mark.parametrize("isa", ISA_LEVELS, ids=lambda isa: isa.name)
def test_every_level_joins(isa, nothing_known):
    blob = joined(chain(), isa)
    assert blob.machine == isa.machine
    assert joined(chain(), isa) == blob  # from this process's memory


def test_helpers_come_from_the_store_in_another_process(nothing_known, monkeypatch):
    shelf = Shelf()
    blob = joined(chain(), host_isa(), shelf)
    assert shelf.puts == 2
    monkeypatch.setattr(helper_code, "_known", {})
    monkeypatch.setattr(Helpers, "take", None)
    assert helper_pieces(all_helpers([chain()]), host_isa(), shelf).keys() == {"second", "third"}
    monkeypatch.undo()
    assert joined(chain(), host_isa(), shelf) == blob
    assert shelf.puts == 2


def test_a_helper_of_the_same_name_and_another_text_is_compiled(nothing_known):
    shelf = Shelf()
    joined(chain(), host_isa(), shelf)
    other = storing("first", 1, storing("second", 7), storing("third", 8))
    assert run(joined(other, host_isa(), shelf), "first") == [1, 7, 8, 0]
    assert shelf.puts == 4


def choosing(name, *helpers):
    """A function that calls the helper of a number at %p, with what follows."""
    em = Emitter(name, [("ptr", "p")])
    em.line("%n = load i64, ptr %p, align 8")
    cases = " ".join(f"i64 {k}, label %case{k}" for k in range(len(helpers)))
    em.line(f"switch i64 %n, label %end [ {cases} ]")
    for k, helper in enumerate(helpers):
        em.block(f"case{k}")
        em.call_helper(helper, ["%p"])
        em.line("br label %end")
    em.block("end")
    em.line("ret void")
    return em


def shuffling(name):
    """A function with a constant in memory: sixteen numbers at %p in another order."""
    em = Emitter(name, [("ptr", "p")])
    em.line("%x = load <16 x i32>, ptr %p, align 4")
    order = ", ".join(f"i32 {k * 7 % 16}" for k in range(16))
    em.line(f"%y = shufflevector <16 x i32> %x, <16 x i32> poison, <16 x i32> <{order}>")
    em.line("store <16 x i32> %y, ptr %p, align 4")
    em.line("ret void")
    return em


@pytest.mark.parametrize("isa", ISA_LEVELS, ids=lambda isa: isa.name)
def test_functions_of_a_module_do_not_lead_to_what_others_call(isa, nothing_known):
    many = [storing(f"number{k}", k) for k in range(12)]
    functions = {f.name: f for f in (choosing("chosen", *many), shuffling("order"))}
    found = Helpers(isa)
    module = compile_module(
        open_module_text(list(functions.values())), isa, outside=all_helpers(functions.values())
    )
    found.take(functions, module)
    pieces = found._found
    named = {name: {r.name for r in piece.references} for (name, _), piece in pieces.items()}
    assert named == {"chosen": {f.name for f in many}, "order": set()}


def test_code_that_refers_to_what_it_does_not_call_is_refused(nothing_known):
    third = storing("third", 3)
    honest, other = storing("honest", 1, third), storing("honest", 1)
    module = compile_module(open_module_text([honest]), host_isa(), outside=["third"])
    with pytest.raises(BackendError, match="honest refers to third, which it does not call"):
        Helpers(host_isa()).take({"honest": other}, _Having(module, ["third"]))


class _Having:
    """A module whose pieces may refer to more than is said."""

    def __init__(self, module, outside):
        self.module, self.outside = module, outside

    def pieces(self, entries, *, outside):
        return self.module.pieces(entries, outside=[*outside, *self.outside])


@pytest.mark.parametrize("data", [b"", b"[]", b"[[1]]\n", b"nonsense\nDLCB"])
def test_what_is_stored_in_another_format_is_compiled_again(data, nothing_known):
    shelf = Shelf()
    blob = joined(chain(), host_isa(), shelf)
    for key in shelf.entries:
        shelf.entries[key] = data
    helper_code._known.clear()
    assert joined(chain(), host_isa(), shelf) == blob
    assert shelf.puts == 4


def test_a_function_that_nobody_has_is_named():
    em = storing("first", 1, storing("second", 2))
    module = compile_module(open_module_text([em]), host_isa(), outside=["second"])
    (piece,) = module.pieces(["first"], outside=["second"])
    assert [r.name for r in piece.references] == ["second"]
    with pytest.raises(BackendError, match="second, outside of it"):
        join(piece, {})
    with pytest.raises(BackendError, match="second"):
        compile_module(open_module_text([em]), host_isa())


def test_pieces_are_stored_with_their_references():
    blob = compile_module("define void @f() { ret void }", host_isa()).blob()
    piece = Piece(blob, (Reference("g", 3, 4, -4), Reference("h", 9, 2, 0)))
    assert Piece.from_bytes(piece.to_bytes()) == piece


def test_contractions_share_their_micro_kernels(nothing_known):
    shelf = Shelf()
    backend = CpuBackend(host_isa(), shelf)
    backend.compile([parse_kernel(MATMUL)])
    before = shelf.puts
    assert before > 0
    names = [dict(key)["helper"] for key in shelf.entries]
    assert any(name.startswith("dlc.panel.") for name in names)
    other = parse_kernel(MATMUL.replace("dot(", "exp(dot(") + ")")
    (payload,) = backend.compile([other])
    assert shelf.puts == before
    assert CpuCode.from_bytes(payload).blob.symbols.keys() == {"mm"}
