"""Loads and stores of one element or of a vector: contiguous, reversed, gathered, masked.

Values are in register form (bool is i1); only the alignment of an element is assumed.
"""

from __future__ import annotations

from dlc.codegen.cpu.emit import Emitter, llvm_type, memory_type, zero
from dlc.ir.types import DType, uint8

_ZERO = "@dlc.zero"
LINE = 64  # bytes of a line of the caches, which a prefetch brings


def _mangled(element: str) -> str:
    return {"float": "f32", "double": "f64"}.get(element, element)


def to_register(em: Emitter, dtype: DType, value: str, lanes: int) -> str:
    """Storage form to register form."""
    if dtype.kind == "b":
        type_ = memory_type(dtype, lanes)
        return em.value(f"icmp ne {type_} {value}, {zero(type_)}")
    return value


def to_storage(em: Emitter, dtype: DType, value: str, lanes: int) -> str:
    """Register form to storage form."""
    if dtype.kind == "b":
        return em.value(f"zext {llvm_type(dtype, lanes)} {value} to {memory_type(dtype, lanes)}")
    return value


def element_pointer(em: Emitter, dtype: DType, base: str, offset: str) -> str:
    """The address of element `offset` (i64) from `base`."""
    return (
        base
        if offset == "0"
        else em.value(f"getelementptr {memory_type(dtype)}, ptr {base}, i64 {offset}")
    )


def bytes_on(em: Emitter, base: str, offset: str) -> str:
    """The address some bytes (i64) from `base`."""
    return element_pointer(em, uint8, base, offset)


def load(em: Emitter, dtype: DType, pointer: str, lanes: int, mask: str | None = None) -> str:
    """`lanes` adjacent elements; lanes outside of the mask are zero and not read."""
    element, type_ = memory_type(dtype), memory_type(dtype, lanes)
    if mask is None:
        value = em.value(f"load {type_}, ptr {pointer}, align {dtype.itemsize}")
    elif lanes == 1:
        value = _load_one_masked(em, element, dtype, pointer, mask)
    else:
        value = em.call(
            f"llvm.masked.load.v{lanes}{_mangled(element)}.p0",
            type_,
            [
                ("ptr", pointer),
                ("i32", str(dtype.itemsize)),
                (f"<{lanes} x i1>", mask),
                (type_, "zeroinitializer"),
            ],
        )
    return to_register(em, dtype, value, lanes)


def _load_one_masked(em: Emitter, element: str, dtype: DType, pointer: str, mask: str) -> str:
    # A constant is read in the place of what may not be read: no branch is needed.
    em.declarations.add(f"{_ZERO} = private unnamed_addr constant i64 0, align 8")
    chosen = em.value(f"select i1 {mask}, ptr {pointer}, ptr {_ZERO}")
    return em.value(f"load {element}, ptr {chosen}, align {dtype.itemsize}")


def store(
    em: Emitter, dtype: DType, pointer: str, value: str, lanes: int, mask: str | None = None
) -> None:
    """Stores `lanes` adjacent elements, those in the mask when there is one."""
    element, type_ = memory_type(dtype), memory_type(dtype, lanes)
    value = to_storage(em, dtype, value, lanes)
    if mask is None:
        em.line(f"store {type_} {value}, ptr {pointer}, align {dtype.itemsize}")
        return
    em.call(
        f"llvm.masked.store.v{lanes}{_mangled(element)}.p0",
        "void",
        [
            (type_, value),
            ("ptr", pointer),
            ("i32", str(dtype.itemsize)),
            (f"<{lanes} x i1>", mask),
        ],
    )
    # LLVM 22 joins what makes the integers narrower with their store, and stores the wide one
    # where one lane is known to be left: it wrote over what follows. Another use keeps them apart.
    if type_.startswith(f"<{lanes} x i") and dtype.itemsize < 8:
        em.declarations.add("declare void @llvm.fake.use(...)")
        em.line(f"call void (...) @llvm.fake.use({type_} {value})")


def stream(em: Emitter, dtype: DType, pointer: str, value: str, lanes: int, wanted: str) -> None:
    """Stores `lanes` adjacent elements, past the caches where they are whole lines and `wanted`.

    `end_streams` has to follow.
    """
    if lanes * dtype.itemsize % LINE:
        store(em, dtype, pointer, value, lanes)
        return
    type_, stored = memory_type(dtype, lanes), to_storage(em, dtype, value, lanes)
    place = em.value(f"ptrtoint ptr {pointer} to i64")
    begins = em.value(f"icmp eq i64 {em.value(f'and i64 {place}, {LINE - 1}')}, 0")
    past = begins if wanted == "true" else em.value(f"and i1 {begins}, {wanted}")
    em.declarations.add("!0 = !{i32 1}")
    em.choose(
        past,
        lambda: em.line(f"store {type_} {stored}, ptr {pointer}, align {LINE}, !nontemporal !0"),
        lambda: em.line(f"store {type_} {stored}, ptr {pointer}, align {dtype.itemsize}"),
    )


def end_streams(em: Emitter) -> None:
    """Makes what was stored past the caches visible to other threads before all that follows."""
    em.call("llvm.x86.sse.sfence", "void", [])


def _every_second_mask(em: Emitter, lanes: int, mask: str | None) -> str:
    """The mask of twice as many lanes that has lane k of another at 2k, and no other lane.

    It takes an instruction of x86-64's BMI2, which all levels with masks have.
    """
    bits = 2 * lanes
    alternating = sum(1 << k for k in range(0, bits, 2))
    if mask is None:
        return em.value(f"bitcast i{bits} {alternating} to <{bits} x i1>")
    narrow = em.value(f"bitcast <{lanes} x i1> {mask} to i{lanes}")
    size = max(bits, 32)
    value = em.value(f"zext i{lanes} {narrow} to i{size}")
    given = [(f"i{size}", value), (f"i{size}", str(alternating))]
    value = em.call(f"llvm.x86.bmi.pdep.{size}", f"i{size}", given)
    value = value if size == bits else em.value(f"trunc i{size} {value} to i{bits}")
    return em.value(f"bitcast i{bits} {value} to <{bits} x i1>")


def load_every_second(em: Emitter, dtype: DType, pointer: str, lanes: int, mask: str | None) -> str:
    """`lanes` elements that are two apart; those outside of the mask are zero and not read."""
    wide = _every_second_mask(em, lanes, mask)
    pair = load(em, dtype, pointer, 2 * lanes, wide)
    picks = ", ".join(f"i32 {2 * k}" for k in range(lanes))
    type_ = llvm_type(dtype, 2 * lanes)
    return em.value(f"shufflevector {type_} {pair}, {type_} poison, <{lanes} x i32> <{picks}>")


def store_every_second(
    em: Emitter, dtype: DType, pointer: str, value: str, lanes: int, mask: str | None
) -> None:
    """Stores the lanes of a vector two elements apart, those in the mask when there is one."""
    type_ = llvm_type(dtype, lanes)
    picks = ", ".join(f"i32 {k // 2}" for k in range(2 * lanes))
    pair = em.value(f"shufflevector {type_} {value}, {type_} poison, <{2 * lanes} x i32> <{picks}>")
    store(em, dtype, pointer, pair, 2 * lanes, _every_second_mask(em, lanes, mask))


def reverse(em: Emitter, type_: str, value: str, lanes: int) -> str:
    """The lanes of a vector in the opposite order."""
    order = ", ".join(f"i32 {lanes - 1 - k}" for k in range(lanes))
    return em.value(f"shufflevector {type_} {value}, {type_} poison, <{lanes} x i32> <{order}>")


def pointers(em: Emitter, dtype: DType, base: str, offsets: str, lanes: int) -> str:
    """A vector of addresses: `base` plus a vector of i64 element offsets."""
    return em.value(
        f"getelementptr {memory_type(dtype)}, ptr {base}, <{lanes} x i64> {offsets}", "p"
    )


def gather(em: Emitter, dtype: DType, base: str, offsets: str, lanes: int, mask: str | None) -> str:
    """Elements at a vector of i64 offsets from `base`."""
    element, type_ = memory_type(dtype), memory_type(dtype, lanes)
    value = em.call(
        f"llvm.masked.gather.v{lanes}{_mangled(element)}.v{lanes}p0",
        type_,
        [
            (f"<{lanes} x ptr>", pointers(em, dtype, base, offsets, lanes)),
            ("i32", str(dtype.itemsize)),
            (f"<{lanes} x i1>", mask or "splat (i1 true)"),
            (type_, "zeroinitializer"),
        ],
    )
    return to_register(em, dtype, value, lanes)


def scatter(
    em: Emitter, dtype: DType, base: str, offsets: str, value: str, lanes: int, mask: str | None
) -> None:
    """Stores the lanes of a vector at i64 offsets from `base`, in the order of the lanes."""
    element, type_ = memory_type(dtype), memory_type(dtype, lanes)
    value = to_storage(em, dtype, value, lanes)
    em.call(
        f"llvm.masked.scatter.v{lanes}{_mangled(element)}.v{lanes}p0",
        "void",
        [
            (type_, value),
            (f"<{lanes} x ptr>", pointers(em, dtype, base, offsets, lanes)),
            ("i32", str(dtype.itemsize)),
            (f"<{lanes} x i1>", mask or "splat (i1 true)"),
        ],
    )


def fetch(
    em: Emitter,
    pointer: str,
    distance: str,
    wanted: str,
    size: int,
    *,
    write: bool,
    near: bool = True,
) -> None:
    """Brings the lines of `size` bytes at a distance from a pointer into the cache, if wanted.

    write: they come as this core's own, to be written.
    near: into the first level, else into the second.
    """
    use, locality = str(int(write)), "3" if near else "2"
    far = em.value(f"getelementptr i8, ptr {pointer}, i64 {distance}")
    place = far
    if wanted != "true":  # no address is wrong; the scratch memory's is at hand
        place = em.value(f"select i1 {wanted}, ptr {far}, ptr %scratch")
    for line in range(0, size, LINE):
        at = em.value(f"getelementptr i8, ptr {place}, i64 {line}") if line else place
        args = [("ptr", at), ("i32", use), ("i32", locality), ("i32", "1")]
        em.call("llvm.prefetch.p0", "void", args)
