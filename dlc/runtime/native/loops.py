"""LLVM text of loops in program tables: counters, carries, moving slices, memory that grows.

A loop is described by the words of its BEGIN record:

    0 BEGIN         3 kind           6 slot of the count, or -1   9 slices
    1 exit          4 length, slot   7 1 if it runs backwards
    2 head          5 counter        8 carries

then `slot, next, first, bytes` for each carry and `slot, whole, bytes, grows` for each slice. The
exit is the word after the loop, the head the first after this record. Memory that grows has a head
of 64 bytes: what was allocated, and how many bytes can be used.
"""

from __future__ import annotations

LOOP_CODE = r"""
define internal ptr @slot_at(ptr %slots, i64 %number) alwaysinline {
  %p = getelementptr ptr, ptr %slots, i64 %number
  ret ptr %p
}

; Copies bytes that do not overlap.
define internal void @copy_bytes(ptr %to, ptr %from, i64 %bytes) noinline {
entry:
  %wide = and i64 %bytes, -64
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %body ]
  %more = icmp ult i64 %i, %wide
  br i1 %more, label %body, label %tail
body:
  %p = getelementptr i8, ptr %from, i64 %i
  %q = getelementptr i8, ptr %to, i64 %i
  %v = load <8 x i64>, ptr %p, align 1
  store <8 x i64> %v, ptr %q, align 1
  %i1 = add i64 %i, 64
  br label %head
tail:
  %k = phi i64 [ %wide, %head ], [ %k1, %rest ]
  %left = icmp ult i64 %k, %bytes
  br i1 %left, label %rest, label %done
rest:
  %r = getelementptr i8, ptr %from, i64 %k
  %s = getelementptr i8, ptr %to, i64 %k
  %b = load volatile i8, ptr %r
  store i8 %b, ptr %s
  %k1 = add i64 %k, 1
  br label %tail
done:
  ret void
}

; Memory of at least so many bytes in a slot that grows, with the first `used` bytes kept.
define internal i1 @grow(ptr %pool, ptr %place, i64 %bytes, i64 %used) {
entry:
  %old = load ptr, ptr %place
  %none = icmp eq ptr %old, null
  br i1 %none, label %take, label %look
look:
  %has_at = getelementptr i64, ptr %old, i64 -7
  %has = load i64, ptr %has_at
  %enough = icmp ule i64 %bytes, %has
  br i1 %enough, label %fine, label %take
take:
  %before = phi i64 [ 4096, %entry ], [ %has, %look ]
  %double = shl i64 %before, 1
  %larger = icmp ugt i64 %double, %bytes
  %size = select i1 %larger, i64 %double, i64 %bytes
  %total = add i64 %size, 128
  %malloc = call ptr @function(ptr %pool, i64 $pool_tape_malloc)
  %raw = call ptr %malloc(i64 %total)
  %failed = icmp eq ptr %raw, null
  br i1 %failed, label %no, label %made
made:
  %start = getelementptr i8, ptr %raw, i64 127
  %address = ptrtoint ptr %start to i64
  %aligned = and i64 %address, -64
  %new = inttoptr i64 %aligned to ptr
  %raw_at = getelementptr i64, ptr %new, i64 -8
  store ptr %raw, ptr %raw_at
  %size_at = getelementptr i64, ptr %new, i64 -7
  store i64 %size, ptr %size_at
  br i1 %none, label %first, label %move
move:
  call void @copy_bytes(ptr %new, ptr %old, i64 %used)
  call void @give_back(ptr %pool, ptr %old)
  br label %first
first:
  store ptr %new, ptr %place
  br label %fine
fine:
  ret i1 true
no:
  ret i1 false
}

define internal void @give_back(ptr %pool, ptr %memory) {
entry:
  %none = icmp eq ptr %memory, null
  br i1 %none, label %done, label %some
some:
  %raw_at = getelementptr i64, ptr %memory, i64 -8
  %raw = load ptr, ptr %raw_at
  %free = call ptr @function(ptr %pool, i64 $pool_tape_free)
  call void %free(ptr %raw)
  br label %done
done:
  ret void
}

; The number of iterations that are known to come; -1 where a condition decides.
define internal i64 @loop_limit(ptr %loop, ptr %slots) {
entry:
  %kind = call i64 @word(ptr %loop, i64 3)
  %given = call i64 @word(ptr %loop, i64 4)
  switch i64 %kind, label %open [
    i64 0, label %constant
    i64 1, label %counted
  ]
constant:
  ret i64 %given
counted:
  %count_at = call i64 @word(ptr %loop, i64 6)
  %place = call ptr @slot_at(ptr %slots, i64 %count_at)
  %count_in = load ptr, ptr %place
  %count = load i64, ptr %count_in
  ret i64 %count
open:
  ret i64 -1
}

define internal ptr @loop_counter(ptr %loop, ptr %slots) alwaysinline {
  %number = call i64 @word(ptr %loop, i64 5)
  %place = call ptr @slot_at(ptr %slots, i64 %number)
  %counter = load ptr, ptr %place
  ret ptr %counter
}

define internal ptr @loop_slices(ptr %loop) alwaysinline {
  %n = call i64 @word(ptr %loop, i64 8)
  %words = shl i64 %n, 2
  %at = add i64 %words, 10
  %p = getelementptr i64, ptr %loop, i64 %at
  ret ptr %p
}

; Starts a loop: the counter at 0, carries at what they begin with, memory for all rows.
define internal i1 @loop_begin(ptr %loop, ptr %slots, ptr %pool) {
entry:
  %counter = call ptr @loop_counter(ptr %loop, ptr %slots)
  store i64 0, ptr %counter
  %n = call i64 @word(ptr %loop, i64 8)
  %carries = getelementptr i64, ptr %loop, i64 10
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %copied ]
  %carry = phi ptr [ %carries, %entry ], [ %after, %copied ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %rows
body:
  %slot = call i64 @word(ptr %carry, i64 0)
  %first = call i64 @word(ptr %carry, i64 2)
  %bytes = call i64 @word(ptr %carry, i64 3)
  %to_at = call ptr @slot_at(ptr %slots, i64 %slot)
  %from_at = call ptr @slot_at(ptr %slots, i64 %first)
  %to = load ptr, ptr %to_at
  %from = load ptr, ptr %from_at
  %same = icmp eq ptr %to, %from
  br i1 %same, label %copied, label %copy
copy:
  call void @copy_bytes(ptr %to, ptr %from, i64 %bytes)
  br label %copied
copied:
  %after = getelementptr i64, ptr %carry, i64 4
  %i1 = add i64 %i, 1
  br label %head
rows:
  %limit = call i64 @loop_limit(ptr %loop, ptr %slots)
  %open = icmp slt i64 %limit, 0
  br i1 %open, label %fine, label %known
known:
  %m = call i64 @word(ptr %loop, i64 9)
  br label %next
next:
  %k = phi i64 [ 0, %known ], [ %k1, %step ]
  %slice = phi ptr [ %carry, %known ], [ %later, %step ]
  %further = icmp slt i64 %k, %m
  br i1 %further, label %see, label %fine
see:
  %grows = call i64 @word(ptr %slice, i64 3)
  %must = icmp ne i64 %grows, 0
  br i1 %must, label %make, label %step
make:
  %whole = call i64 @word(ptr %slice, i64 1)
  %row = call i64 @word(ptr %slice, i64 2)
  %all = mul i64 %row, %limit
  %place = call ptr @slot_at(ptr %slots, i64 %whole)
  %got = call i1 @grow(ptr %pool, ptr %place, i64 %all, i64 0)
  br i1 %got, label %step, label %no
step:
  %later = getelementptr i64, ptr %slice, i64 4
  %k1 = add i64 %k, 1
  br label %next
fine:
  ret i1 true
no:
  ret i1 false
}

; Whether another iteration comes: 1 after its slices are in place, 0 after the carries are in the
; memory of their slots, -1 where memory is short.
define internal i64 @loop_test(ptr %loop, ptr %slots, ptr %pool) {
entry:
  %counter = call ptr @loop_counter(ptr %loop, ptr %slots)
  %i = load i64, ptr %counter
  %limit = call i64 @loop_limit(ptr %loop, ptr %slots)
  %open = icmp slt i64 %limit, 0
  br i1 %open, label %ask, label %compare
ask:
  %condition = call i64 @word(ptr %loop, i64 4)
  %answer_at = call ptr @slot_at(ptr %slots, i64 %condition)
  %answer_in = load ptr, ptr %answer_at
  %answer = load i8, ptr %answer_in
  %yes = icmp ne i8 %answer, 0
  br label %decided
compare:
  %below = icmp slt i64 %i, %limit
  br label %decided
decided:
  %goes = phi i1 [ %yes, %ask ], [ %below, %compare ]
  br i1 %goes, label %on, label %end
on:
  %backwards = call i64 @word(ptr %loop, i64 7)
  %reverse = icmp ne i64 %backwards, 0
  %last = sub i64 %limit, 1
  %mirrored = sub i64 %last, %i
  %at = select i1 %reverse, i64 %mirrored, i64 %i
  %n = call i64 @word(ptr %loop, i64 9)
  %slices = call ptr @loop_slices(ptr %loop)
  br label %head
head:
  %k = phi i64 [ 0, %on ], [ %k1, %move ]
  %slice = phi ptr [ %slices, %on ], [ %after, %move ]
  %more = icmp slt i64 %k, %n
  br i1 %more, label %body, label %go
body:
  %number = call i64 @word(ptr %slice, i64 0)
  %whole = call i64 @word(ptr %slice, i64 1)
  %row = call i64 @word(ptr %slice, i64 2)
  %grows = call i64 @word(ptr %slice, i64 3)
  %offset = mul i64 %row, %at
  %base_at = call ptr @slot_at(ptr %slots, i64 %whole)
  %must = icmp ne i64 %grows, 0
  br i1 %must, label %room, label %move
room:
  %bytes = add i64 %offset, %row
  %got = call i1 @grow(ptr %pool, ptr %base_at, i64 %bytes, i64 %offset)
  br i1 %got, label %move, label %short
move:
  %base = load ptr, ptr %base_at
  %place = getelementptr i8, ptr %base, i64 %offset
  %slot_at = call ptr @slot_at(ptr %slots, i64 %number)
  store ptr %place, ptr %slot_at
  %after = getelementptr i64, ptr %slice, i64 4
  %k1 = add i64 %k, 1
  br label %head
go:
  ret i64 1
short:
  ret i64 -1
end:
  call void @loop_end(ptr %loop, ptr %slots, i64 %i)
  ret i64 0
}

; After an odd number of iterations, the last carries are in each other's memory.
define internal void @loop_end(ptr %loop, ptr %slots, i64 %trips) {
entry:
  %kind = call i64 @word(ptr %loop, i64 3)
  %told = icmp eq i64 %kind, 2
  br i1 %told, label %asked, label %carries
asked:
  %count_at = call i64 @word(ptr %loop, i64 6)
  %wanted = icmp sge i64 %count_at, 0
  br i1 %wanted, label %tell, label %carries
tell:
  %place = call ptr @slot_at(ptr %slots, i64 %count_at)
  %count_in = load ptr, ptr %place
  store i64 %trips, ptr %count_in
  br label %carries
carries:
  %bit = and i64 %trips, 1
  %odd = icmp ne i64 %bit, 0
  br i1 %odd, label %swapped, label %done
swapped:
  call void @loop_swap(ptr %loop, ptr %slots, i1 true)
  br label %done
done:
  ret void
}

; Swaps the memory of carries and their next values; with `copy`, the value stays with the slot.
define internal void @loop_swap(ptr %loop, ptr %slots, i1 %copy) {
entry:
  %n = call i64 @word(ptr %loop, i64 8)
  %carries = getelementptr i64, ptr %loop, i64 10
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %step ]
  %carry = phi ptr [ %carries, %entry ], [ %after, %step ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %slot = call i64 @word(ptr %carry, i64 0)
  %next = call i64 @word(ptr %carry, i64 1)
  %slot_in = call ptr @slot_at(ptr %slots, i64 %slot)
  %next_in = call ptr @slot_at(ptr %slots, i64 %next)
  %old = load ptr, ptr %slot_in
  %new = load ptr, ptr %next_in
  store ptr %new, ptr %slot_in
  store ptr %old, ptr %next_in
  br i1 %copy, label %bring, label %step
bring:
  %bytes = call i64 @word(ptr %carry, i64 3)
  call void @copy_bytes(ptr %new, ptr %old, i64 %bytes)
  br label %step
step:
  %after = getelementptr i64, ptr %carry, i64 4
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}

define internal void @loop_next(ptr %loop, ptr %slots) {
  %counter = call ptr @loop_counter(ptr %loop, ptr %slots)
  %i = load i64, ptr %counter
  %i1 = add i64 %i, 1
  store i64 %i1, ptr %counter
  call void @loop_swap(ptr %loop, ptr %slots, i1 false)
  ret void
}

; Where the branch begins that a SWITCH record chooses: the nearest for a number out of range.
define internal i64 @chosen(ptr %record, ptr %slots) {
  %number = call i64 @word(ptr %record, i64 1)
  %place = call ptr @slot_at(ptr %slots, i64 %number)
  %index_in = load ptr, ptr %place
  %index = load i64, ptr %index_in
  %n = call i64 @word(ptr %record, i64 2)
  %last = sub i64 %n, 1
  %high = icmp sgt i64 %index, %last
  %most = select i1 %high, i64 %last, i64 %index
  %low = icmp slt i64 %most, 0
  %least = select i1 %low, i64 0, i64 %most
  %at = add i64 %least, 3
  %target = call i64 @word(ptr %record, i64 %at)
  ret i64 %target
}

; The slots of this call, which loops may change: a copy of what was given, in the work area.
define internal ptr @own_slots(ptr %table, ptr %slots, ptr %args, i64 %n_slots, i64 %args_bytes) {
entry:
  %wanted = call i64 @word(ptr %table, i64 5)
  %moves = icmp ne i64 %wanted, 0
  br i1 %moves, label %copy, label %same
same:
  ret ptr %slots
copy:
  %own = getelementptr i8, ptr %args, i64 %args_bytes
  %bytes = shl i64 %n_slots, 3
  call void @copy_bytes(ptr %own, ptr %slots, i64 %bytes)
  br label %head
head:
  %growing = getelementptr i64, ptr %table, i64 %wanted
  %n = load i64, ptr %growing
  br label %next
next:
  %i = phi i64 [ 0, %head ], [ %i1, %clear ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %clear, label %done
clear:
  %i1 = add i64 %i, 1
  %number = call i64 @word(ptr %growing, i64 %i1)
  %place = call ptr @slot_at(ptr %own, i64 %number)
  store ptr null, ptr %place
  br label %next
done:
  ret ptr %own
}

define internal void @give_back_all(ptr %table, ptr %slots, ptr %pool) {
entry:
  %wanted = call i64 @word(ptr %table, i64 5)
  %moves = icmp ne i64 %wanted, 0
  br i1 %moves, label %head, label %done
head:
  %growing = getelementptr i64, ptr %table, i64 %wanted
  %n = load i64, ptr %growing
  br label %next
next:
  %i = phi i64 [ 0, %head ], [ %i1, %clear ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %clear, label %done
clear:
  %i1 = add i64 %i, 1
  %number = call i64 @word(ptr %growing, i64 %i1)
  %place = call ptr @slot_at(ptr %slots, i64 %number)
  %memory = load ptr, ptr %place
  call void @give_back(ptr %pool, ptr %memory)
  br label %next
done:
  ret void
}
"""
