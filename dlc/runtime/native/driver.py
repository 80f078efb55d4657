"""LLVM text of the program driver: walks a table of kernel calls (see docs of `ProgramTable`)."""

from __future__ import annotations

DRIVER = r"""
; A job of the table is i64 words: fn, units, chunk, n_args, slot.., n_dims, dim..

define internal i64 @word(ptr %base, i64 %index) alwaysinline {
  %p = getelementptr i64, ptr %base, i64 %index
  %v = load i64, ptr %p
  ret i64 %v
}

define internal ptr @dims_of(ptr %job) alwaysinline {
  %n = call i64 @word(ptr %job, i64 3)
  %at = add i64 %n, 5
  %p = getelementptr i64, ptr %job, i64 %at
  ret ptr %p
}

define internal ptr @after(ptr %job) alwaysinline {
  %dims = call ptr @dims_of(ptr %job)
  %n = call i64 @word(ptr %dims, i64 -1)
  %p = getelementptr i64, ptr %dims, i64 %n
  ret ptr %p
}

define internal i64 @chunks_of(ptr %job) alwaysinline {
  %units = call i64 @word(ptr %job, i64 1)
  %chunk = call i64 @word(ptr %job, i64 2)
  %less = sub i64 %chunk, 1
  %sum = add i64 %units, %less
  %one = icmp ule i64 %units, %chunk
  br i1 %one, label %few, label %many
few:
  %some = icmp ne i64 %units, 0
  %count = zext i1 %some to i64
  ret i64 %count
many:
  %n = udiv i64 %sum, %chunk
  ret i64 %n
}

define internal void @gather(ptr %job, ptr %slots, ptr %args) {
entry:
  %n = call i64 @word(ptr %job, i64 3)
  %numbers = getelementptr i64, ptr %job, i64 4
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %body ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %slot = call i64 @word(ptr %numbers, i64 %i)
  %from = getelementptr ptr, ptr %slots, i64 %slot
  %to = getelementptr ptr, ptr %args, i64 %i
  %v = load ptr, ptr %from
  store ptr %v, ptr %to
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}

define internal void @call_job(ptr %job, ptr %args, i64 %lo, i64 %hi, ptr %scratch) alwaysinline {
  %fn = load ptr, ptr %job
  %dims = call ptr @dims_of(ptr %job)
  call void %fn(ptr %args, ptr %dims, i64 %lo, i64 %hi, ptr %scratch)
  ret void
}

; Runs `n` jobs on the calling thread, each in one piece; returns the word after the last.
define internal ptr @run_inline(ptr %first, i64 %n, ptr %slots, ptr %args, ptr %scratch) {
entry:
  br label %head
head:
  %job = phi ptr [ %first, %entry ], [ %next, %step ]
  %i = phi i64 [ 0, %entry ], [ %i1, %step ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %look, label %done
look:
  %units = call i64 @word(ptr %job, i64 1)
  %some = icmp ne i64 %units, 0
  br i1 %some, label %work, label %step
work:
  call void @gather(ptr %job, ptr %slots, ptr %args)
  call void @call_job(ptr %job, ptr %args, i64 0, i64 %units, ptr %scratch)
  br label %step
step:
  %next = call ptr @after(ptr %job)
  %i1 = add i64 %i, 1
  br label %head
done:
  ret ptr %job
}

; Calls Python, which takes the interpreter's lock for it; not $OK when that raised.
define internal i32 @run_host(ptr %job, ptr %slots, ptr %args) {
entry:
  %units = call i64 @word(ptr %job, i64 1)
  %some = icmp ne i64 %units, 0
  br i1 %some, label %work, label %skip
work:
  call void @gather(ptr %job, ptr %slots, ptr %args)
  %fn = load ptr, ptr %job
  %status = call i32 %fn(ptr %args)
  ret i32 %status
skip:
  ret i32 $OK
}

define internal i64 @count_chunks(ptr %first, i64 %n, ptr %end) {
entry:
  br label %head
head:
  %job = phi ptr [ %first, %entry ], [ %next, %body ]
  %i = phi i64 [ 0, %entry ], [ %i1, %body ]
  %sum = phi i64 [ 0, %entry ], [ %sum1, %body ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %c = call i64 @chunks_of(ptr %job)
  %sum1 = add i64 %sum, %c
  %next = call ptr @after(ptr %job)
  %i1 = add i64 %i, 1
  br label %head
done:
  store ptr %job, ptr %end
  ret i64 %sum
}

define internal i64 @now(ptr %pool) {
  %time = alloca [2 x i64]
  %clock = call ptr @function(ptr %pool, i64 $pool_clock_gettime)
  %r = call i32 %clock(i32 $CLOCK_MONOTONIC, ptr %time)
  %seconds = load i64, ptr %time
  %rest_at = getelementptr i64, ptr %time, i64 1
  %rest = load i64, ptr %rest_at
  %whole = mul i64 %seconds, 1000000000
  %sum = add i64 %whole, %rest
  ret i64 %sum
}

; Whether sleeping workers are worth waking, which takes as long as a small program: where there is
; much to do, and where small programs follow each other closely, as the workers then stay awake in
; between. In test mode they always are.
define internal i1 @wakes(ptr %table, ptr %pool, ptr %decision) {
entry:
  %known = load i64, ptr %decision
  %fresh = icmp slt i64 %known, 0
  br i1 %fresh, label %decide, label %done
decide:
  %large0 = call i64 @word(ptr %table, i64 4)
  %seed = call i64 @field(ptr %pool, i64 $pool_seed)
  %asked = or i64 %large0, %seed
  %large = icmp ne i64 %asked, 0
  br i1 %large, label %store, label %look
look:
  %time = call i64 @now(ptr %pool)
  %last = call i64 @field(ptr %pool, i64 $pool_last_run)
  %gap = sub i64 %time, %last
  %spin = call i64 @field(ptr %pool, i64 $pool_spin)
  %hot = icmp slt i64 %gap, %spin
  br label %store
store:
  %yes = phi i1 [ true, %decide ], [ %hot, %look ]
  %made = zext i1 %yes to i64
  store i64 %made, ptr %decision
  br label %done
done:
  %answer = phi i64 [ %known, %entry ], [ %made, %store ]
  %wake = icmp ne i64 %answer, 0
  ret i1 %wake
}

; slots has one pointer more than the program names: the caller's own work area, which holds the
; arguments of the kernel being called, then scratch memory.
define i32 @dlc_run(ptr %table, ptr %given, ptr %pool, i64 %threads) {
entry:
  %end = alloca ptr
  %decision = alloca i64
  %regions = alloca i64
  %clock = alloca [3 x i64]
  call void @loop_clock(ptr %clock)
  store i64 0, ptr %regions
  store i64 -1, ptr %decision
  %magic = load i64, ptr %table
  %known = icmp eq i64 %magic, $TABLE_MAGIC
  br i1 %known, label %start, label %bad
start:
  %max_args = call i64 @word(ptr %table, i64 1)
  %scratch_bytes = call i64 @word(ptr %table, i64 2)
  %n_slots = call i64 @word(ptr %table, i64 3)
  %scratch_at = getelementptr ptr, ptr %given, i64 %n_slots
  %args = load ptr, ptr %scratch_at
  %args_bytes0 = shl i64 %max_args, 3
  %args_bytes1 = add i64 %args_bytes0, 63
  %args_bytes = and i64 %args_bytes1, -64
  %slots = call ptr @own_slots(
    ptr %table, ptr %given, ptr %args, i64 %n_slots, i64 %args_bytes)
  %own = icmp ne ptr %slots, %given
  %slots_bytes0 = shl i64 %n_slots, 3
  %slots_bytes1 = add i64 %slots_bytes0, 63
  %slots_bytes2 = and i64 %slots_bytes1, -64
  %slots_bytes = select i1 %own, i64 %slots_bytes2, i64 0
  %scratch_from = add i64 %args_bytes, %slots_bytes
  %scratch = getelementptr i8, ptr %args, i64 %scratch_from
  %none = icmp eq ptr %pool, null
  %single = icmp sle i64 %threads, 1
  %alone = or i1 %none, %single
  %records = getelementptr i64, ptr %table, i64 $HEADER_WORDS
  br label %head
head:
  %record = phi ptr [ %records, %start ], [ %after_inline, %inline ], [ %after_region, %region ],
    [ %after_host, %host ], [ %target, %goto ], [ %after_test, %enter ]
  %kind = load i64, ptr %record
  switch i64 %kind, label %bad [
    i64 $END, label %finished
    i64 $CALL, label %call
    i64 $GROUP, label %group
    i64 $HOST, label %python
    i64 $JUMP, label %jump
    i64 $SWITCH, label %branch
    i64 $BEGIN, label %begin
    i64 $TEST, label %test
    i64 $NEXT, label %next
  ]
jump:
  %to = call i64 @word(ptr %record, i64 1)
  br label %goto
branch:
  %way = call i64 @chosen(ptr %record, ptr %slots)
  br label %goto
begin:
  %begun = call i1 @loop_begin(ptr %record, ptr %slots, ptr %pool)
  %body_at = call i64 @word(ptr %record, i64 2)
  br i1 %begun, label %goto, label %short
test:
  %tested_at = call i64 @word(ptr %record, i64 1)
  %tested = getelementptr i64, ptr %table, i64 %tested_at
  %goes = call i64 @loop_test(ptr %tested, ptr %slots, ptr %pool)
  %exit_at = call i64 @word(ptr %tested, i64 1)
  switch i64 %goes, label %short [
    i64 0, label %goto
    i64 1, label %enter
  ]
enter:
  %after_test = getelementptr i64, ptr %record, i64 2
  br label %head
next:
  %looped_at = call i64 @word(ptr %record, i64 1)
  %looped = getelementptr i64, ptr %table, i64 %looped_at
  call void @loop_next(ptr %looped, ptr %slots)
  %head_at = call i64 @word(ptr %looped, i64 2)
  %stop = call i1 @interrupted(ptr %clock, ptr %pool)
  br i1 %stop, label %finished, label %goto
goto:
  %target_at = phi i64 [ %to, %jump ], [ %way, %branch ], [ %body_at, %begin ],
    [ %exit_at, %test ], [ %head_at, %next ]
  %target = getelementptr i64, ptr %table, i64 %target_at
  br label %head
call:
  %only = getelementptr i64, ptr %record, i64 1
  br label %jobs
group:
  %n_jobs = call i64 @word(ptr %record, i64 1)
  %several = getelementptr i64, ptr %record, i64 2
  br label %jobs
jobs:
  %first = phi ptr [ %only, %call ], [ %several, %group ]
  %n = phi i64 [ 1, %call ], [ %n_jobs, %group ]
  br i1 %alone, label %inline, label %consider
consider:
  %total = call i64 @count_chunks(ptr %first, i64 %n, ptr %end)
  %small = icmp ule i64 %total, 1
  br i1 %small, label %inline, label %parallel
parallel:
  %wake = call i1 @wakes(ptr %table, ptr %pool, ptr %decision)
  %before = load i64, ptr %regions
  %runs = call i64 @field(ptr %pool, i64 $pool_runs)
  %turn = add i64 %runs, %before
  %done = call i1 @run_region(
    ptr %pool, i1 %wake, i64 %turn, ptr %first, i64 %total, ptr %slots, i64 %threads,
    ptr %args, i64 %args_bytes, ptr %scratch, i64 %scratch_bytes)
  br i1 %done, label %region, label %inline
region:
  %so_far = add i64 %before, 1
  store i64 %so_far, ptr %regions
  %after_region = load ptr, ptr %end
  br label %head
inline:
  %after_inline = call ptr @run_inline(ptr %first, i64 %n, ptr %slots, ptr %args, ptr %scratch)
  br label %head
python:
  %host_job = getelementptr i64, ptr %record, i64 1
  %host_status = call i32 @run_host(ptr %host_job, ptr %slots, ptr %args)
  %host_fine = icmp eq i32 %host_status, $OK
  br i1 %host_fine, label %host, label %finished
host:
  %after_host = call ptr @after(ptr %host_job)
  br label %head
finished:
  %status = phi i32 [ $OK, %head ], [ $HOST_FAILED, %python ],
    [ $HOST_FAILED, %next ]
  %decided = load i64, ptr %decision
  %shared = icmp sge i64 %decided, 0
  br i1 %shared, label %note, label %leave
note:
  %ended = call i64 @now(ptr %pool)
  call void @set(ptr %pool, i64 $pool_last_run, i64 %ended)
  %past = call i64 @field(ptr %pool, i64 $pool_runs)
  %past1 = add i64 %past, 1
  call void @set(ptr %pool, i64 $pool_runs, i64 %past1)
  br label %leave
leave:
  call void @give_back_all(ptr %table, ptr %slots, ptr %pool)
  ret i32 %status
short:
  call void @give_back_all(ptr %table, ptr %slots, ptr %pool)
  ret i32 $NO_MEMORY
bad:
  ret i32 $BAD_TABLE
}
"""
