"""LLVM text by which threads of the pool wait: for a short while awake, then asleep.

Waking a thread takes tens of microseconds, so one that waits stays awake for about as long. It
gives its CPU away in between, to whoever can use it, and sleeps at once when somebody did.

A system may wake a thread on the CPU of the one that wakes it, where it waits for milliseconds
while another CPU idles (virtual machines do: a CPU that halted counts as busy). So workers are kept
off that CPU until they run.
"""

from __future__ import annotations

# Intrinsics, as inline assembly would need LLVM's assembly parsers.
PAUSE = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}

WAIT_CODE = r"""
$declare_pause

define internal void @pause() alwaysinline {
  $pause
  ret void
}

; A moment of waiting, the `turn`-th since `since`, which the first one sets; false when it has been
; `patience` nanoseconds, or somebody else has had the CPU meanwhile.
define internal i1 @linger(ptr %pool, i64 %turn, ptr %since, i64 %patience) {
entry:
  call void @pause()
  %part = and i64 %turn, 15
  %due = icmp eq i64 %part, 0
  br i1 %due, label %look, label %yes
look:
  %time = call i64 @now(ptr %pool)
  %first = icmp eq i64 %turn, 0
  br i1 %first, label %begin, label %judge
begin:
  store i64 %time, ptr %since
  %some = icmp ne i64 %patience, 0
  ret i1 %some
judge:
  %start = load i64, ptr %since
  %waited = sub i64 %time, %start
  %patient = icmp slt i64 %waited, %patience
  br i1 %patient, label %stay, label %no
stay:
  %brief = icmp slt i64 %waited, $BRIEF
  br i1 %brief, label %yes, label %give
give:
  %yield = call ptr @function(ptr %pool, i64 $pool_sched_yield)
  %r = call i32 %yield()
  %back = call i64 @now(ptr %pool)
  %away = sub i64 %back, %time
  %lost = icmp sgt i64 %away, $LOST
  br i1 %lost, label %no, label %yes
yes:
  ret i1 true
no:
  ret i1 false
}
"""

PLACE_CODE = r"""
; Has a worker wake on another CPU than the calling thread's, of those that this one may use, if
; there are CPUs enough.
define internal void @place(ptr %pool, ptr %line) {
entry:
  %mask = alloca [16 x i64]
  %all = getelementptr i8, ptr %pool, i64 $pool_mask
  %cpu_of = call ptr @function(ptr %pool, i64 $pool_sched_getcpu)
  %can = icmp ne ptr %cpu_of, null
  %me = call i64 @field(ptr %line, i64 $thread_index)
  %cpus = call i64 @field(ptr %pool, i64 $pool_cpus)
  %fits = icmp ult i64 %me, %cpus
  %wanted = and i1 %can, %fits
  br i1 %wanted, label %ask, label %done
ask:
  %get = call ptr @function(ptr %pool, i64 $pool_sched_getaffinity)
  %r = call i32 %get(i32 0, i64 128, ptr %mask)
  %here = call i32 %cpu_of()
  %known = icmp eq i32 %r, 0
  %listed = icmp ult i32 %here, 1024
  %fine = and i1 %known, %listed
  br i1 %fine, label %clear, label %done
clear:
  %full = load [16 x i64], ptr %mask
  store [16 x i64] %full, ptr %all
  %cpu = zext i32 %here to i64
  %number = lshr i64 %cpu, 6
  %place = getelementptr i64, ptr %mask, i64 %number
  %old = load i64, ptr %place
  %shift = and i64 %cpu, 63
  %bit = shl i64 1, %shift
  %others = xor i64 %bit, -1
  %new = and i64 %old, %others
  store i64 %new, ptr %place
  br label %head
head:
  %i = phi i64 [ 0, %clear ], [ %i1, %next ]
  %more = icmp ult i64 %i, 16
  br i1 %more, label %next, label %done
next:
  %at = getelementptr i64, ptr %mask, i64 %i
  %word = load i64, ptr %at
  %i1 = add i64 %i, 1
  %some = icmp ne i64 %word, 0
  br i1 %some, label %keep, label %head
keep:
  %handle = call i64 @field(ptr %line, i64 $thread_handle)
  %set = call ptr @function(ptr %pool, i64 $pool_pthread_setaffinity)
  %r1 = call i32 %set(i64 %handle, i64 128, ptr %mask)
  %flag = getelementptr i8, ptr %line, i64 $thread_placed
  store atomic i64 1, ptr %flag release, align 8
  br label %done
done:
  ret void
}

; A worker that was placed, and runs now, may run on all CPUs again.
define internal void @roam(ptr %pool, ptr %line) {
entry:
  %flag = getelementptr i8, ptr %line, i64 $thread_placed
  %placed = load atomic i64, ptr %flag acquire, align 8
  %once = icmp ne i64 %placed, 0
  br i1 %once, label %free, label %done
free:
  store atomic i64 0, ptr %flag monotonic, align 8
  %all = getelementptr i8, ptr %pool, i64 $pool_mask
  %set = call ptr @function(ptr %pool, i64 $pool_sched_setaffinity)
  %r = call i32 %set(i32 0, i64 128, ptr %all)
  br label %done
done:
  ret void
}
"""

FUTEX_NUMBER = {"x86_64": 202, "aarch64": 98}

# futex(address, FUTEX_WAIT_PRIVATE = 128 or FUTEX_WAKE_PRIVATE = 129, value, no timeout)
FUTEX_SLEEP = r"""
define internal void @futex_wait(ptr %pool, ptr %flag) {
  %syscall = call ptr @function(ptr %pool, i64 $pool_syscall)
  %r = call i64 (i64, ...) %syscall(i64 $futex_number, ptr %flag, i64 128, i64 1, ptr null)
  ret void
}

define internal void @futex_wake(ptr %pool, ptr %flag) {
  %syscall = call ptr @function(ptr %pool, i64 $pool_syscall)
  %r = call i64 (i64, ...) %syscall(i64 $futex_number, ptr %flag, i64 129, i64 1, ptr null)
  ret void
}
"""

CONDITION_SLEEP = r"""
define internal void @futex_wait(ptr %pool, ptr %flag) {
entry:
  %mutex = getelementptr i8, ptr %pool, i64 $pool_mutex
  %cond = getelementptr i8, ptr %pool, i64 $pool_cond
  %lock = call ptr @function(ptr %pool, i64 $pool_mutex_lock)
  %unlock = call ptr @function(ptr %pool, i64 $pool_mutex_unlock)
  %wait = call ptr @function(ptr %pool, i64 $pool_cond_wait)
  %r0 = call i32 %lock(ptr %mutex)
  br label %head
head:
  %v = load atomic i32, ptr %flag seq_cst, align 4
  %sleeps = icmp eq i32 %v, 1
  br i1 %sleeps, label %body, label %done
body:
  %r1 = call i32 %wait(ptr %cond, ptr %mutex)
  br label %head
done:
  %r2 = call i32 %unlock(ptr %mutex)
  ret void
}

define internal void @futex_wake(ptr %pool, ptr %flag) {
  %mutex = getelementptr i8, ptr %pool, i64 $pool_mutex
  %cond = getelementptr i8, ptr %pool, i64 $pool_cond
  %lock = call ptr @function(ptr %pool, i64 $pool_mutex_lock)
  %unlock = call ptr @function(ptr %pool, i64 $pool_mutex_unlock)
  %broadcast = call ptr @function(ptr %pool, i64 $pool_cond_broadcast)
  %r0 = call i32 %lock(ptr %mutex)
  %r1 = call i32 %broadcast(ptr %cond)
  %r2 = call i32 %unlock(ptr %mutex)
  ret void
}
"""
