"""LLVM text of the memory of results: aligned to 64 bytes, with lists of free buffers.

Small sizes have a list each. Large buffers are in one list, the last freed first, which holds a
limited number of bytes: the system would take their pages back and clear them for the next result,
which costs more than most kernels. NumPy gives the buffers back through a memory handler. The
lists are guarded by the interpreter's lock, which NumPy and the entry hold. A buffer's data follows
a line that says where its memory begins, which class it is of (-1: none), and how many bytes it
has.
"""

from __future__ import annotations

BUFFERS = r"""
define internal i64 @get(ptr %base, i64 %offset) alwaysinline {
  %p = getelementptr i8, ptr %base, i64 %offset
  %v = load i64, ptr %p
  ret i64 %v
}

define internal ptr @getp(ptr %base, i64 %offset) alwaysinline {
  %p = getelementptr i8, ptr %base, i64 %offset
  %v = load ptr, ptr %p
  ret ptr %v
}

define internal void @put(ptr %base, i64 %offset, i64 %value) alwaysinline {
  %p = getelementptr i8, ptr %base, i64 %offset
  store i64 %value, ptr %p
  ret void
}

define internal void @putp(ptr %base, i64 %offset, ptr %value) alwaysinline {
  %p = getelementptr i8, ptr %base, i64 %offset
  store ptr %value, ptr %p
  ret void
}

declare i64 @llvm.ctlz.i64(i64, i1)

define internal ptr @free_list(ptr %api, i64 %class) alwaysinline {
  %off = mul i64 %class, 24
  %off1 = add i64 %off, $FREE_LISTS
  %p = getelementptr i8, ptr %api, i64 %off1
  ret ptr %p
}

define internal void @release(ptr %api, ptr %data) {
  %raw = call ptr @getp(ptr %data, i64 -64)
  %free = call ptr @getp(ptr %api, i64 $api_PyMem_RawFree)
  call void %free(ptr %raw)
  ret void
}

; Takes a buffer out of the list of large ones; %at is where the pointer to it is.
define internal void @unlink(ptr %api, ptr %at, ptr %data) alwaysinline {
  %next = load ptr, ptr %data
  store ptr %next, ptr %at
  %bytes = call i64 @get(ptr %data, i64 -48)
  %held = call i64 @get(ptr %api, i64 $LARGE_HELD)
  %left = sub i64 %held, %bytes
  call void @put(ptr %api, i64 $LARGE_HELD, i64 %left)
  ret void
}

; The first free buffer of this many bytes and not an eighth more, null if there is none.
define internal ptr @take_large(ptr %api, i64 %bytes) {
entry:
  %eighth = lshr i64 %bytes, 3
  %first = getelementptr i8, ptr %api, i64 $LARGE_FIRST
  br label %head
head:
  %at = phi ptr [ %first, %entry ], [ %data, %look ]
  %data = load ptr, ptr %at
  %none = icmp eq ptr %data, null
  br i1 %none, label %done, label %look
look:
  %has = call i64 @get(ptr %data, i64 -48)
  %over = sub i64 %has, %bytes
  %fits = icmp ule i64 %over, %eighth
  br i1 %fits, label %found, label %head
found:
  call void @unlink(ptr %api, ptr %at, ptr %data)
  br label %done
done:
  ret ptr %data
}

; Gives large buffers back to the system, those freed first, until this many bytes are held.
define internal void @trim_large(ptr %api, i64 %most) {
entry:
  %first = getelementptr i8, ptr %api, i64 $LARGE_FIRST
  br label %head
head:
  %held = call i64 @get(ptr %api, i64 $LARGE_HELD)
  %over = icmp ugt i64 %held, %most
  br i1 %over, label %walk, label %done
walk:
  %at = phi ptr [ %first, %head ], [ %data, %walk ]
  %data = load ptr, ptr %at
  %next = load ptr, ptr %data
  %last = icmp eq ptr %next, null
  br i1 %last, label %drop, label %walk
drop:
  call void @unlink(ptr %api, ptr %at, ptr %data)
  call void @release(ptr %api, ptr %data)
  br label %head
done:
  ret void
}

define ptr @buffer_malloc(ptr %api, i64 %size) {
entry:
  %absurd = icmp ugt i64 %size, 4611686018427387904
  br i1 %absurd, label %none, label %classify
classify:
  %some = call i64 @llvm.umax.i64(i64 %size, i64 64)
  %less = sub i64 %some, 1
  %zeros = call i64 @llvm.ctlz.i64(i64 %less, i1 false)
  %class0 = sub i64 58, %zeros
  %small = icmp slt i64 %class0, $SIZE_CLASSES
  br i1 %small, label %look, label %large
look:
  %list = call ptr @free_list(ptr %api, i64 %class0)
  %first = load ptr, ptr %list
  %empty = icmp eq ptr %first, null
  br i1 %empty, label %round, label %pop
pop:
  %next = load ptr, ptr %first
  store ptr %next, ptr %list
  %count = call i64 @get(ptr %list, i64 8)
  %count1 = sub i64 %count, 1
  call void @put(ptr %list, i64 8, i64 %count1)
  ret ptr %first
round:
  %rounded = shl i64 64, %class0
  br label %allocate
large:
  %up0 = add i64 %size, 63
  %up1 = and i64 %up0, -64
  %held = call ptr @take_large(ptr %api, i64 %up1)
  %fresh = icmp eq ptr %held, null
  br i1 %fresh, label %allocate, label %again
again:
  ret ptr %held
allocate:
  %class = phi i64 [ %class0, %round ], [ -1, %large ]
  %bytes = phi i64 [ %rounded, %round ], [ %up1, %large ]
  %malloc = call ptr @getp(ptr %api, i64 $api_PyMem_RawMalloc)
  %total = add i64 %bytes, 128
  %raw = call ptr %malloc(i64 %total)
  %failed = icmp eq ptr %raw, null
  br i1 %failed, label %retry, label %align
retry:
  call void @trim_large(ptr %api, i64 0)
  %second = call ptr %malloc(i64 %total)
  %failed2 = icmp eq ptr %second, null
  br i1 %failed2, label %none, label %align
align:
  %memory = phi ptr [ %raw, %allocate ], [ %second, %retry ]
  %address = ptrtoint ptr %memory to i64
  %a1 = add i64 %address, 127
  %a2 = and i64 %a1, -64
  %back = sub i64 %a2, %address
  %data = getelementptr i8, ptr %memory, i64 %back
  call void @putp(ptr %data, i64 -64, ptr %memory)
  call void @put(ptr %data, i64 -56, i64 %class)
  call void @put(ptr %data, i64 -48, i64 %bytes)
  %advise = call ptr @getp(ptr %api, i64 $api_madvise)
  %can = icmp ne ptr %advise, null
  %long = icmp uge i64 %bytes, $HUGE_PAGES_FROM
  %both = and i1 %can, %long
  br i1 %both, label %huge, label %ready
huge:
  ; From the first whole page on; where the system refuses, nothing is lost.
  %page0 = add i64 %a2, 4095
  %page = and i64 %page0, -4096
  %skipped = sub i64 %page, %a2
  %rest = sub i64 %bytes, %skipped
  %pages = inttoptr i64 %page to ptr
  %status = call i32 %advise(ptr %pages, i64 %rest, i32 $MADV_HUGEPAGE)
  br label %ready
ready:
  ret ptr %data
none:
  ret ptr null
}

declare i64 @llvm.umax.i64(i64, i64)
declare i64 @llvm.umin.i64(i64, i64)

define void @buffer_free(ptr %api, ptr %data, i64 %size) {
entry:
  %nothing = icmp eq ptr %data, null
  br i1 %nothing, label %done, label %look
look:
  %class = call i64 @get(ptr %data, i64 -56)
  %large = icmp slt i64 %class, 0
  br i1 %large, label %keep, label %room
keep:
  %bytes = call i64 @get(ptr %data, i64 -48)
  %largest = call i64 @get(ptr %api, i64 $LARGE_MOST)
  %huge = icmp ugt i64 %bytes, %largest
  br i1 %huge, label %release, label %link
link:
  %before = call ptr @getp(ptr %api, i64 $LARGE_FIRST)
  store ptr %before, ptr %data
  call void @putp(ptr %api, i64 $LARGE_FIRST, ptr %data)
  %held = call i64 @get(ptr %api, i64 $LARGE_HELD)
  %held1 = add i64 %held, %bytes
  call void @put(ptr %api, i64 $LARGE_HELD, i64 %held1)
  call void @trim_large(ptr %api, i64 %largest)
  ret void
room:
  %list = call ptr @free_list(ptr %api, i64 %class)
  %count = call i64 @get(ptr %list, i64 8)
  %most = call i64 @get(ptr %list, i64 16)
  %fits = icmp ult i64 %count, %most
  br i1 %fits, label %push, label %release
push:
  %first = load ptr, ptr %list
  store ptr %first, ptr %data
  store ptr %data, ptr %list
  %count1 = add i64 %count, 1
  call void @put(ptr %list, i64 8, i64 %count1)
  ret void
release:
  call void @release(ptr %api, ptr %data)
  br label %done
done:
  ret void
}

; Copies whole words, of which the last may end behind the source. A null source means zeros.
define internal void @copy_words(ptr %to, ptr %from, i64 %bytes) {
entry:
  %zeros = icmp eq ptr %from, null
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %write ]
  %more = icmp ult i64 %i, %bytes
  br i1 %more, label %body, label %done
body:
  br i1 %zeros, label %write, label %read
read:
  %v0 = call i64 @get(ptr %from, i64 %i)
  br label %write
write:
  %v = phi i64 [ 0, %body ], [ %v0, %read ]
  call void @put(ptr %to, i64 %i, i64 %v)
  %i1 = add i64 %i, 8
  br label %head
done:
  ret void
}

declare { i64, i1 } @llvm.umul.with.overflow.i64(i64, i64)

define ptr @buffer_calloc(ptr %api, i64 %n, i64 %each) {
entry:
  %pair = call { i64, i1 } @llvm.umul.with.overflow.i64(i64 %n, i64 %each)
  %over = extractvalue { i64, i1 } %pair, 1
  br i1 %over, label %none, label %allocate
allocate:
  %size = extractvalue { i64, i1 } %pair, 0
  %data = call ptr @buffer_malloc(ptr %api, i64 %size)
  %failed = icmp eq ptr %data, null
  br i1 %failed, label %none, label %clear
clear:
  call void @copy_words(ptr %data, ptr null, i64 %size)
  ret ptr %data
none:
  ret ptr null
}

define ptr @buffer_realloc(ptr %api, ptr %old, i64 %size) {
entry:
  %data = call ptr @buffer_malloc(ptr %api, i64 %size)
  %failed = icmp eq ptr %data, null
  %fresh = icmp eq ptr %old, null
  %stop = or i1 %failed, %fresh
  br i1 %stop, label %done, label %copy
copy:
  %had = call i64 @get(ptr %old, i64 -48)
  %bytes = call i64 @llvm.umin.i64(i64 %had, i64 %size)
  call void @copy_words(ptr %data, ptr %old, i64 %bytes)
  call void @buffer_free(ptr %api, ptr %old, i64 %had)
  br label %done
done:
  ret ptr %data
}
"""
