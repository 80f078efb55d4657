"""LLVM text of what lets Python handle signals while a loop runs, which may be without end.

A loop has three words: iterations until the clock is looked at, how many these were, and when
Python was last asked. The clock is looked at ever less often while iterations are short.
"""

from __future__ import annotations

INTERRUPT_CODE = r"""
define internal void @loop_clock(ptr %clock) {
  store i64 1, ptr %clock
  %each_at = getelementptr i64, ptr %clock, i64 1
  store i64 1, ptr %each_at
  %last_at = getelementptr i64, ptr %clock, i64 2
  store i64 0, ptr %last_at
  ret void
}

; Whether a signal's handler has raised, in which case the program ends.
define internal i1 @interrupted(ptr %clock, ptr %pool) {
entry:
  %left = load i64, ptr %clock
  %less = sub i64 %left, 1
  store i64 %less, ptr %clock
  %due = icmp sle i64 %less, 0
  br i1 %due, label %able, label %no
able:
  %none = icmp eq ptr %pool, null
  br i1 %none, label %no, label %known
known:
  %signals = call ptr @function(ptr %pool, i64 $pool_signals)
  %deaf = icmp eq ptr %signals, null
  br i1 %deaf, label %no, label %look
look:
  %each_at = getelementptr i64, ptr %clock, i64 1
  %last_at = getelementptr i64, ptr %clock, i64 2
  %each = load i64, ptr %each_at
  %last = load i64, ptr %last_at
  %time = call i64 @now(ptr %pool)
  %first = icmp eq i64 %last, 0
  %past = sub i64 %time, %last
  %long = icmp sgt i64 %past, $PATIENCE
  br i1 %first, label %begin, label %compare
begin:
  store i64 %time, ptr %last_at
  br label %seldom
compare:
  br i1 %long, label %ask, label %seldom
seldom:
  %twice = shl i64 %each, 1
  br label %set
ask:
  %asked = call i1 @handle_signals(ptr %signals)
  store i64 %time, ptr %last_at
  %half0 = lshr i64 %each, 1
  %each_one = icmp eq i64 %half0, 0
  %half = select i1 %each_one, i64 1, i64 %half0
  br label %set
set:
  %raised = phi i1 [ false, %seldom ], [ %asked, %ask ]
  %next = phi i64 [ %twice, %seldom ], [ %half, %ask ]
  store i64 %next, ptr %each_at
  store i64 %next, ptr %clock
  ret i1 %raised
no:
  ret i1 false
}

; What a handler raises is handed on, as no function may return with an exception that is set.
define internal i1 @handle_signals(ptr %signals) {
entry:
  %error = alloca [3 x ptr]
  %value_at = getelementptr ptr, ptr %error, i64 1
  %trace_at = getelementptr ptr, ptr %error, i64 2
  %ensure = call ptr @function(ptr %signals, i64 $signals_PyGILState_Ensure)
  %state = call i32 %ensure()
  %check = call ptr @function(ptr %signals, i64 $signals_PyErr_CheckSignals)
  %status = call i32 %check()
  %quiet = icmp eq i32 %status, 0
  br i1 %quiet, label %done, label %keep
keep:
  %fetch = call ptr @function(ptr %signals, i64 $signals_PyErr_Fetch)
  call void %fetch(ptr %error, ptr %value_at, ptr %trace_at)
  %normalise = call ptr @function(ptr %signals, i64 $signals_PyErr_NormalizeException)
  call void %normalise(ptr %error, ptr %value_at, ptr %trace_at)
  %value = load ptr, ptr %value_at
  %call = call ptr @function(ptr %signals, i64 $signals_PyObject_CallOneArg)
  %keeper = call ptr @function(ptr %signals, i64 $signals_keep)
  %nothing = call ptr %call(ptr %keeper, ptr %value)
  %decref = call ptr @function(ptr %signals, i64 $signals_Py_DecRef)
  %type = load ptr, ptr %error
  %trace = load ptr, ptr %trace_at
  call void %decref(ptr %nothing)
  call void %decref(ptr %type)
  call void %decref(ptr %value)
  call void %decref(ptr %trace)
  br label %done
done:
  %release = call ptr @function(ptr %signals, i64 $signals_PyGILState_Release)
  call void %release(i32 %state)
  %raised = xor i1 %quiet, true
  ret i1 %raised
}
"""
