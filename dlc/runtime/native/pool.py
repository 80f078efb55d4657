"""LLVM text of the thread pool.

A region is a set of chunks that any thread may run. Its owner (the calling thread, which holds
`busy`) writes what is to be done, then publishes `word` with a new epoch. Workers spin on that word
for a while and then sleep (`pool_waiting`), each on a flag of its own. A worker joins by adding one
to the count in the word while the region is open, takes chunks (`pool_chunks`), and leaves. The
owner takes chunks too, closes the region when none is left, and waits only for those that joined: a
worker that wakes late delays nobody. Small programs leave sleeping workers asleep, unless they
follow each other closely.
"""

from __future__ import annotations

POOL_CODE = r"""
define internal ptr @line_of(ptr %pool, i64 %index) alwaysinline {
  %off = mul i64 %index, $LINE
  %off1 = add i64 %off, $pool_lines
  %p = getelementptr i8, ptr %pool, i64 %off1
  ret ptr %p
}

define internal i64 @field(ptr %base, i64 %offset) alwaysinline {
  %p = getelementptr i8, ptr %base, i64 %offset
  %v = load i64, ptr %p
  ret i64 %v
}

define internal ptr @function(ptr %base, i64 %offset) alwaysinline {
  %p = getelementptr i8, ptr %base, i64 %offset
  %v = load ptr, ptr %p
  ret ptr %v
}

define internal void @set(ptr %base, i64 %offset, i64 %value) alwaysinline {
  %p = getelementptr i8, ptr %base, i64 %offset
  store i64 %value, ptr %p
  ret void
}

define internal void @count(ptr %line, i64 %taken) {
  %p = getelementptr i8, ptr %line, i64 $thread_chunks
  %old = atomicrmw add ptr %p, i64 %taken monotonic
  ret void
}

; Clears a sleeper's flag and wakes it, if it was set: a worker, which has a line, or the caller.
define internal void @rouse(ptr %pool, ptr %flag, ptr %line) {
  %seen = load atomic i32, ptr %flag seq_cst, align 4
  %sleeps = icmp eq i32 %seen, 1
  br i1 %sleeps, label %clear, label %done
clear:
  %pair = cmpxchg ptr %flag, i32 1, i32 0 seq_cst seq_cst
  %mine = extractvalue { i32, i1 } %pair, 1
  br i1 %mine, label %whose, label %done
whose:
  %caller = icmp eq ptr %line, null
  br i1 %caller, label %wake, label %prepare
prepare:
  call void @place(ptr %pool, ptr %line)
  br label %wake
wake:
  call void @futex_wake(ptr %pool, ptr %flag)
  br label %done
done:
  ret void
}

; Makes sure of a worker's own work area; false when there is no memory.
define internal i1 @ensure_area(ptr %pool, ptr %line, i64 %need) {
entry:
  %have = call i64 @field(ptr %line, i64 $thread_capacity)
  %enough = icmp uge i64 %have, %need
  br i1 %enough, label %yes, label %grow
grow:
  %free = call ptr @function(ptr %pool, i64 $pool_free)
  %malloc = call ptr @function(ptr %pool, i64 $pool_malloc)
  %old = call ptr @function(ptr %line, i64 $thread_raw)
  call void @set(ptr %line, i64 $thread_capacity, i64 0)
  call void @set(ptr %line, i64 $thread_raw, i64 0)
  call void %free(ptr %old)
  %bytes = add i64 %need, 64
  %raw = call ptr %malloc(i64 %bytes)
  %failed = icmp eq ptr %raw, null
  br i1 %failed, label %no, label %keep
keep:
  %address = ptrtoint ptr %raw to i64
  %up = add i64 %address, 63
  %aligned = and i64 %up, -64
  call void @set(ptr %line, i64 $thread_raw, i64 %address)
  call void @set(ptr %line, i64 $thread_aligned, i64 %aligned)
  call void @set(ptr %line, i64 $thread_capacity, i64 %need)
  br label %yes
yes:
  ret i1 true
no:
  ret i1 false
}

define internal void @participate(ptr %pool, ptr %line, i64 %me) noinline {
entry:
  %need = call i64 @field(ptr %pool, i64 $pool_area_bytes)
  %fits = call i1 @ensure_area(ptr %pool, ptr %line, i64 %need)
  br i1 %fits, label %go, label %leave
go:
  %args = call ptr @function(ptr %line, i64 $thread_aligned)
  %args_bytes = call i64 @field(ptr %pool, i64 $pool_args_bytes)
  %scratch = getelementptr i8, ptr %args, i64 %args_bytes
  %taken = call i64 @work(ptr %pool, ptr %args, ptr %scratch, i64 %me)
  call void @count(ptr %line, i64 %taken)
  br label %leave
leave:
  %word = getelementptr i8, ptr %pool, i64 $pool_word
  %old = atomicrmw sub ptr %word, i64 1 seq_cst
  %mask = and i64 %old, 16781311
  %last = icmp eq i64 %mask, 1
  br i1 %last, label %tell, label %done
tell:
  %flag = getelementptr i8, ptr %pool, i64 $pool_caller_asleep
  call void @rouse(ptr %pool, ptr %flag, ptr null)
  br label %done
done:
  ret void
}

define internal ptr @worker(ptr %line) {
entry:
  %pool = call ptr @function(ptr %line, i64 $thread_pool)
  %me = call i64 @field(ptr %line, i64 $thread_index)
  %seen_start = call i64 @field(ptr %line, i64 $thread_seen)
  %spin0 = call i64 @field(ptr %pool, i64 $pool_spin)
  %cpus = call i64 @field(ptr %pool, i64 $pool_cpus)
  %fits = icmp ult i64 %me, %cpus
  %spin = select i1 %fits, i64 %spin0, i64 0
  %since = alloca i64
  %word = getelementptr i8, ptr %pool, i64 $pool_word
  %asleep = getelementptr i8, ptr %line, i64 $thread_asleep
  br label %poll
poll:
  %seen = phi i64 [ %seen_start, %entry ], [ %seen, %waste ], [ %epoch, %decline ],
    [ %epoch, %worked ], [ %seen, %woken ]
  %turn = phi i64 [ 0, %entry ], [ %turn1, %waste ], [ %turn, %decline ],
    [ 0, %worked ], [ 0, %woken ]
  %w0 = load atomic i64, ptr %word acquire, align 8
  %epoch0 = lshr i64 %w0, 25
  %fresh = icmp ne i64 %epoch0, %seen
  br i1 %fresh, label %look, label %idle
look:
  %w = phi i64 [ %w0, %poll ], [ %current, %join ]
  %epoch = lshr i64 %w, 25
  %wanted0 = lshr i64 %w, 12
  %wanted = and i64 %wanted0, 4095
  %named = icmp ult i64 %me, %wanted
  %open0 = and i64 %w, 16777216
  %open = icmp ne i64 %open0, 0
  %invited = and i1 %named, %open
  br i1 %invited, label %join, label %decline
decline:
  br label %poll
join:
  %w1 = add i64 %w, 1
  %pair = cmpxchg ptr %word, i64 %w, i64 %w1 seq_cst seq_cst
  %current = extractvalue { i64, i1 } %pair, 0
  %joined = extractvalue { i64, i1 } %pair, 1
  br i1 %joined, label %worked, label %look
worked:
  call void @roam(ptr %pool, ptr %line)
  call void @participate(ptr %pool, ptr %line, i64 %me)
  br label %poll
idle:
  %patient = call i1 @linger(ptr %pool, i64 %turn, ptr %since, i64 %spin)
  br i1 %patient, label %waste, label %sleep
waste:
  %turn1 = add i64 %turn, 1
  br label %poll
sleep:
  %was = atomicrmw xchg ptr %asleep, i32 1 seq_cst
  %w2 = load atomic i64, ptr %word seq_cst, align 8
  %epoch2 = lshr i64 %w2, 25
  %quiet = icmp eq i64 %epoch2, %seen
  br i1 %quiet, label %wait, label %woken
wait:
  call void @futex_wait(ptr %pool, ptr %asleep)
  br label %woken
woken:
  store atomic i32 0, ptr %asleep seq_cst, align 4
  call void @roam(ptr %pool, ptr %line)
  br label %poll
}

; Starts workers up to number `last`; called by the pool's owner. Signals stay with Python's
; threads.
define internal void @start_workers(ptr %pool, i64 %last) noinline {
entry:
  %create = call ptr @function(ptr %pool, i64 $pool_pthread_create)
  %detach = call ptr @function(ptr %pool, i64 $pool_pthread_detach)
  %sigmask = call ptr @function(ptr %pool, i64 $pool_pthread_sigmask)
  %how0 = call i64 @field(ptr %pool, i64 $pool_sig_setmask)
  %how = trunc i64 %how0 to i32
  %all = alloca [16 x i64]
  %before = alloca [16 x i64]
  store [16 x i64] [$ALL_SIGNALS], ptr %all
  %r0 = call i32 %sigmask(i32 %how, ptr %all, ptr %before)
  %thread = alloca i64
  %word = getelementptr i8, ptr %pool, i64 $pool_word
  br label %head
head:
  %started = call i64 @field(ptr %pool, i64 $pool_started)
  %more = icmp ult i64 %started, %last
  br i1 %more, label %start, label %done
start:
  %index = add i64 %started, 1
  %line = call ptr @line_of(ptr %pool, i64 %index)
  %pool_int = ptrtoint ptr %pool to i64
  call void @set(ptr %line, i64 $thread_pool, i64 %pool_int)
  call void @set(ptr %line, i64 $thread_index, i64 %index)
  %w = load atomic i64, ptr %word monotonic, align 8
  %epoch = lshr i64 %w, 25
  call void @set(ptr %line, i64 $thread_seen, i64 %epoch)
  %r = call i32 %create(ptr %thread, ptr null, ptr @worker, ptr %line)
  %fine = icmp eq i32 %r, 0
  br i1 %fine, label %release, label %done
release:
  %id = load i64, ptr %thread
  call void @set(ptr %line, i64 $thread_handle, i64 %id)
  call void @place(ptr %pool, ptr %line)
  %r1 = call i32 %detach(i64 %id)
  call void @set(ptr %pool, i64 $pool_started, i64 %index)
  br label %head
done:
  %r2 = call i32 %sigmask(i32 %how, ptr %before, ptr null)
  ret void
}

define internal void @wake_workers(ptr %pool, i64 %wanted) {
entry:
  br label %head
head:
  %i = phi i64 [ 1, %entry ], [ %i1, %body ]
  %more = icmp ult i64 %i, %wanted
  br i1 %more, label %body, label %done
body:
  %line = call ptr @line_of(ptr %pool, i64 %i)
  %flag = getelementptr i8, ptr %line, i64 $thread_asleep
  call void @rouse(ptr %pool, ptr %flag, ptr %line)
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}

; Test mode: lets the workers arrive before the first chunk is taken, for a bounded time.
define internal void @rendezvous(ptr %pool, i64 %wanted) {
entry:
  %yield = call ptr @function(ptr %pool, i64 $pool_sched_yield)
  %word = getelementptr i8, ptr %pool, i64 $pool_word
  %start = call i64 @now(ptr %pool)
  br label %head
head:
  %w = load atomic i64, ptr %word monotonic, align 8
  %inside = and i64 %w, 4095
  %here = add i64 %inside, 1
  %missing = icmp ult i64 %here, %wanted
  %time = call i64 @now(ptr %pool)
  %waited = sub i64 %time, %start
  %patient = icmp slt i64 %waited, $MEETING
  %more = and i1 %missing, %patient
  br i1 %more, label %body, label %done
body:
  call i32 %yield()
  br label %head
done:
  ret void
}

; Waits until every worker that joined has left. A caller sleeps later than a worker, as it would be
; woken on the CPU of the one that it waits for; but that may have lost its CPU to another process,
; and can have the caller's in the end.
define internal void @wait_workers(ptr %pool, i64 %wanted) {
entry:
  %word = getelementptr i8, ptr %pool, i64 $pool_word
  %asleep = getelementptr i8, ptr %pool, i64 $pool_caller_asleep
  %spin0 = call i64 @field(ptr %pool, i64 $pool_spin)
  %cpus = call i64 @field(ptr %pool, i64 $pool_cpus)
  %fits = icmp ule i64 %wanted, %cpus
  %more = mul i64 %spin0, 10
  %spin = select i1 %fits, i64 %more, i64 0
  %since = alloca i64
  br label %poll
poll:
  %turn = phi i64 [ 0, %entry ], [ %turn1, %waste ], [ 0, %woken ]
  %w = load atomic i64, ptr %word acquire, align 8
  %inside = and i64 %w, 4095
  %empty = icmp eq i64 %inside, 0
  br i1 %empty, label %done, label %idle
idle:
  %patient = call i1 @linger(ptr %pool, i64 %turn, ptr %since, i64 %spin)
  br i1 %patient, label %waste, label %sleep
waste:
  %turn1 = add i64 %turn, 1
  br label %poll
sleep:
  %was = atomicrmw xchg ptr %asleep, i32 1 seq_cst
  %w2 = load atomic i64, ptr %word seq_cst, align 8
  %inside2 = and i64 %w2, 4095
  %busy = icmp ne i64 %inside2, 0
  br i1 %busy, label %wait, label %woken
wait:
  call void @futex_wait(ptr %pool, ptr %asleep)
  br label %woken
woken:
  store atomic i32 0, ptr %asleep seq_cst, align 4
  br label %poll
done:
  ret void
}

; Runs one region on up to `threads` threads; false (and nothing done) when the pool cannot be had.
define internal i1 @run_region(
    ptr %pool, i1 %wake, i64 %turn, ptr %first, i64 %total, ptr %slots, i64 %threads,
    ptr %args, i64 %args_bytes, ptr %scratch, i64 %scratch_bytes) noinline {
entry:
  %capacity = call i64 @field(ptr %pool, i64 $pool_capacity)
  %most = add i64 %capacity, 1
  %t0 = icmp ult i64 %threads, %most
  %allowed = select i1 %t0, i64 %threads, i64 %most
  %t1 = icmp ult i64 %total, %allowed
  %useful = select i1 %t1, i64 %total, i64 %allowed
  %several = icmp ugt i64 %useful, 1
  %countable = icmp ult i64 %total, 2147483648
  %possible = and i1 %several, %countable
  br i1 %possible, label %acquire, label %refuse
acquire:
  %busy = getelementptr i8, ptr %pool, i64 $pool_busy
  %pair = cmpxchg ptr %busy, i64 0, i64 1 acquire monotonic
  %mine = extractvalue { i64, i1 } %pair, 1
  br i1 %mine, label %own, label %refuse
own:
  %last = sub i64 %useful, 1
  %started = call i64 @field(ptr %pool, i64 $pool_started)
  %missing = icmp ult i64 %started, %last
  %short = and i1 %missing, %wake
  br i1 %short, label %start, label %prepare
start:
  call void @start_workers(ptr %pool, i64 %last)
  br label %prepare
prepare:
  %first_int = ptrtoint ptr %first to i64
  %slots_int = ptrtoint ptr %slots to i64
  call void @set(ptr %pool, i64 $pool_first, i64 %first_int)
  call void @set(ptr %pool, i64 $pool_total, i64 %total)
  call void @set(ptr %pool, i64 $pool_turn, i64 %turn)
  call void @set(ptr %pool, i64 $pool_slots, i64 %slots_int)
  call void @set(ptr %pool, i64 $pool_args_bytes, i64 %args_bytes)
  %area_bytes = add i64 %args_bytes, %scratch_bytes
  call void @set(ptr %pool, i64 $pool_area_bytes, i64 %area_bytes)
  %regions = call i64 @field(ptr %pool, i64 $pool_regions)
  %regions1 = add i64 %regions, 1
  call void @set(ptr %pool, i64 $pool_regions, i64 %regions1)
  %running = call i64 @field(ptr %pool, i64 $pool_started)
  %there = add i64 %running, 1
  %t2 = icmp ult i64 %there, %useful
  %wanted = select i1 %t2, i64 %there, i64 %useful
  call void @set(ptr %pool, i64 $pool_lanes, i64 %wanted)
  call void @deal(ptr %pool, i64 %total, i64 %wanted)
  %word = getelementptr i8, ptr %pool, i64 $pool_word
  %w = load atomic i64, ptr %word monotonic, align 8
  %e0 = lshr i64 %w, 25
  %e1 = add i64 %e0, 1
  %e2 = shl i64 %e1, 25
  %wanted_bits = shl i64 %wanted, 12
  %n0 = or i64 %e2, %wanted_bits
  %n1 = or i64 %n0, 16777216
  %old = atomicrmw xchg ptr %word, i64 %n1 seq_cst
  br i1 %wake, label %rouse_all, label %begin
rouse_all:
  call void @wake_workers(ptr %pool, i64 %wanted)
  br label %begin
begin:
  %seed = call i64 @field(ptr %pool, i64 $pool_seed)
  %random = icmp ne i64 %seed, 0
  br i1 %random, label %meet, label %share
meet:
  call void @rendezvous(ptr %pool, i64 %wanted)
  br label %share
share:
  %taken = call i64 @work(ptr %pool, ptr %args, ptr %scratch, i64 0)
  %line = call ptr @line_of(ptr %pool, i64 0)
  call void @count(ptr %line, i64 %taken)
  %open = atomicrmw and ptr %word, i64 -16777217 seq_cst
  call void @wait_workers(ptr %pool, i64 %wanted)
  store atomic i64 0, ptr %busy release, align 8
  ret i1 true
refuse:
  ret i1 false
}
"""
