"""LLVM text of the call entry: guards the arguments, allocates the results, runs the program.

One call uses one block of memory: a link, the slots, the arrays kept alive, the results, cells for
scalars, then the arena and the work area of the driver. Free blocks of an entry are a list, guarded
by the interpreter's lock; slots that are the same in each call are filled in when a block is made.
"""

from __future__ import annotations

CALL_CODE = r"""
define internal ptr @take_block(ptr %api, ptr %config) {
entry:
  %free = call ptr @getp(ptr %config, i64 $config_free_block)
  %none = icmp eq ptr %free, null
  br i1 %none, label %make, label %pop
pop:
  %next = load ptr, ptr %free
  call void @putp(ptr %config, i64 $config_free_block, ptr %next)
  ret ptr %free
make:
  %bytes = call i64 @get(ptr %config, i64 $config_block_bytes)
  %block = call ptr @buffer_malloc(ptr %api, i64 %bytes)
  %failed = icmp eq ptr %block, null
  br i1 %failed, label %done, label %fill
fill:
  %n = call i64 @get(ptr %config, i64 $config_n_slots)
  %values = call ptr @getp(ptr %config, i64 $config_slot_values)
  %bases = call ptr @getp(ptr %config, i64 $config_slot_bases)
  %slots = getelementptr i8, ptr %block, i64 $BLOCK_SLOTS
  %address = ptrtoint ptr %block to i64
  br label %head
head:
  %i = phi i64 [ 0, %fill ], [ %i1, %body ]
  %more = icmp sle i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %at = shl i64 %i, 3
  %value = call i64 @get(ptr %values, i64 %at)
  %base = call i64 @get(ptr %bases, i64 %at)
  %origin = mul i64 %base, %address
  %pointer = add i64 %value, %origin
  call void @put(ptr %slots, i64 %at, i64 %pointer)
  %i1 = add i64 %i, 1
  br label %head
done:
  ret ptr %block
}

define internal void @give_block(ptr %config, ptr %block) {
  %free = call ptr @getp(ptr %config, i64 $config_free_block)
  store ptr %free, ptr %block
  call void @putp(ptr %config, i64 $config_free_block, ptr %block)
  ret void
}


; Runs the program; its status.
define internal i32 @execute(ptr %api, ptr %config, ptr %slots) {
entry:
  %run = call ptr @getp(ptr %api, i64 $api_dlc_run)
  %table = call ptr @getp(ptr %config, i64 $config_table)
  %pool = call ptr @getp(ptr %config, i64 $config_pool)
  %threads = call i64 @get(ptr %config, i64 $config_num_threads)
  %release = call i64 @get(ptr %config, i64 $config_release_gil)
  %long = icmp ne i64 %release, 0
  br i1 %long, label %unlocked, label %locked
locked:
  %status0 = call i32 %run(ptr %table, ptr %slots, ptr %pool, i64 %threads)
  ret i32 %status0
unlocked:
  %save = call ptr @getp(ptr %api, i64 $api_PyEval_SaveThread)
  %state = call ptr %save()
  %status1 = call i32 %run(ptr %table, ptr %slots, ptr %pool, i64 %threads)
  %restore = call ptr @getp(ptr %api, i64 $api_PyEval_RestoreThread)
  call void %restore(ptr %state)
  ret i32 %status1
}

; False with an exception set when the program failed or the call was interrupted.
define internal i1 @judge(ptr %api, ptr %config, i32 %status) {
entry:
  %fine = icmp eq i32 %status, 0
  br i1 %fine, label %signals, label %fail
fail:
  %raised = icmp eq i32 %status, $HOST_FAILED
  br i1 %raised, label %raise, label %broken
raise:
  %vectorcall = call ptr @getp(ptr %api, i64 $api_PyObject_Vectorcall)
  %function = call ptr @getp(ptr %api, i64 $api_raise_pending)
  %nothing = call ptr %vectorcall(ptr %function, ptr null, i64 0, ptr null)
  ret i1 false
broken:
  call void @complain(ptr %api, i64 $api_failure_text)
  ret i1 false
signals:
  %release = call i64 @get(ptr %config, i64 $config_release_gil)
  %long = icmp ne i64 %release, 0
  br i1 %long, label %check, label %yes
check:
  %check_signals = call ptr @getp(ptr %api, i64 $api_PyErr_CheckSignals)
  %signal = call i32 %check_signals()
  %quiet = icmp eq i32 %signal, 0
  ret i1 %quiet
yes:
  ret i1 true
}

define internal void @complain(ptr %api, i64 %text_at) {
  %set = call ptr @getp(ptr %api, i64 $api_PyErr_SetString)
  %error = call ptr @getp(ptr %api, i64 $api_runtime_error)
  %text = call ptr @getp(ptr %api, i64 %text_at)
  call void %set(ptr %error, ptr %text)
  ret void
}

define internal ptr @out_of_memory(ptr %api) {
  %no_memory = call ptr @getp(ptr %api, i64 $api_PyErr_NoMemory)
  %nothing = call ptr %no_memory()
  ret ptr null
}

; Takes the lock that guards variables, where the program replaces some and others could look at
; them meanwhile. Never waits: false when another thread has it, or an exception is set.
define internal i1 @lock(ptr %api, ptr %config) {
entry:
  %argument = alloca ptr
  %acquire = call ptr @getp(ptr %config, i64 $config_acquire)
  %none = icmp eq ptr %acquire, null
  br i1 %none, label %yes, label %try
try:
  %vectorcall = call ptr @getp(ptr %api, i64 $api_PyObject_Vectorcall)
  %false = call ptr @getp(ptr %api, i64 $api_false)
  %true = call ptr @getp(ptr %api, i64 $api_true)
  store ptr %false, ptr %argument
  %got = call ptr %vectorcall(ptr %acquire, ptr %argument, i64 1, ptr null)
  %failed = icmp eq ptr %got, null
  br i1 %failed, label %no, label %compare
compare:
  call void @decref(ptr %api, ptr %got)
  %mine = icmp eq ptr %got, %true
  br i1 %mine, label %yes, label %no
yes:
  ret i1 true
no:
  ret i1 false
}

; An exception that is set stays so: no function may be called with one.
define internal void @unlock(ptr %api, ptr %config) {
entry:
  %error = alloca [3 x ptr]
  %value_at = getelementptr ptr, ptr %error, i64 1
  %trace_at = getelementptr ptr, ptr %error, i64 2
  %release = call ptr @getp(ptr %config, i64 $config_unlock)
  %none = icmp eq ptr %release, null
  br i1 %none, label %done, label %call
call:
  %fetch = call ptr @getp(ptr %api, i64 $api_PyErr_Fetch)
  call void %fetch(ptr %error, ptr %value_at, ptr %trace_at)
  %vectorcall = call ptr @getp(ptr %api, i64 $api_PyObject_Vectorcall)
  %r = call ptr %vectorcall(ptr %release, ptr null, i64 0, ptr null)
  %failed = icmp eq ptr %r, null
  br i1 %failed, label %restore, label %drop
drop:
  call void @decref(ptr %api, ptr %r)
  br label %restore
restore:
  %put_back = call ptr @getp(ptr %api, i64 $api_PyErr_Restore)
  %type = load ptr, ptr %error
  %value = load ptr, ptr %value_at
  %trace = load ptr, ptr %trace_at
  call void %put_back(ptr %type, ptr %value, ptr %trace)
  br label %done
done:
  ret void
}

define internal void @tally(ptr %config, i64 %offset) alwaysinline {
  %counts = call ptr @getp(ptr %config, i64 $config_counts)
  %old = call i64 @get(ptr %counts, i64 %offset)
  %new = add i64 %old, 1
  call void @put(ptr %counts, i64 %offset, i64 %new)
  ret void
}


; Lets go of the arguments' arrays.
define internal void @release_kept(ptr %state) {
entry:
  %api = call ptr @getp(ptr %state, i64 $state_api)
  %first = call ptr @getp(ptr %state, i64 $state_first_keep)
  %end = call ptr @getp(ptr %state, i64 $state_keep)
  br label %head
head:
  %keep = phi ptr [ %first, %entry ], [ %next, %body ]
  %done = icmp eq ptr %keep, %end
  br i1 %done, label %out, label %body
body:
  %array = load ptr, ptr %keep
  call void @decref(ptr %api, ptr %array)
  %next = getelementptr i8, ptr %keep, i64 $KEEP_BYTES
  br label %head
out:
  ret void
}

; Computes the results of arguments that were accepted; null with an exception set.
define internal ptr @compute(ptr %state, ptr %block) {
entry:
  %api = call ptr @getp(ptr %state, i64 $state_api)
  %config = call ptr @getp(ptr %state, i64 $state_config)
  %n_outputs = call i64 @get(ptr %config, i64 $config_n_outputs)
  %n_returned = call i64 @get(ptr %config, i64 $config_n_returned)
  %results_at = call i64 @get(ptr %config, i64 $config_results_at)
  %results = getelementptr i8, ptr %block, i64 %results_at
  %slots = getelementptr i8, ptr %block, i64 $BLOCK_SLOTS
  %made = call i64 @make_results(ptr %state, i64 %n_outputs, ptr %slots, ptr %results)
  %complete = icmp eq i64 %made, %n_outputs
  br i1 %complete, label %work, label %undo
work:
  %watched = call i64 @get(ptr %config, i64 $config_release_gil)
  call void @take(ptr %state, i64 %watched)
  %status = call i32 @execute(ptr %api, ptr %config, ptr %slots)
  %ran = icmp eq i32 %status, 0
  br i1 %ran, label %write, label %restore
restore:
  call void @give_back(ptr %state)
  br label %look
write:
  %written = call i1 @settle(ptr %state, ptr %results, i64 %n_returned, i64 %n_outputs)
  br i1 %written, label %look, label %undo
look:
  %fine = call i1 @judge(ptr %api, ptr %config, i32 %status)
  br i1 %fine, label %tensors, label %undo
tensors:
  %wrapped = call i1 @wrap(ptr %api, ptr %config, ptr %results, i64 %n_returned)
  br i1 %wrapped, label %finish, label %undo
finish:
  %value = call ptr @pack(ptr %api, ptr %config, ptr %results)
  %no_value = icmp eq ptr %value, null
  br i1 %no_value, label %undo, label %done
undo:
  call void @release_all(ptr %api, ptr %results, i64 %made)
  ret ptr null
done:
  ret ptr %value
}

define ptr @entry_call(ptr %self, ptr %args, i64 %nargsf, ptr %names) {
entry:
  %state = alloca [$STATE_WORDS x i64]
  %api = call ptr @getp(ptr %self, i64 $object_api)
  %config = call ptr @getp(ptr %self, i64 $object_config)
  %cleared = icmp eq ptr %config, null
  br i1 %cleared, label %dead, label %shape
dead:
  call void @complain(ptr %api, i64 $api_cleared_text)
  ret ptr null
shape:
  %nargs = and i64 %nargsf, 9223372036854775807
  %n_positional = call i64 @get(ptr %config, i64 $config_n_positional)
  %n_given = call i64 @get(ptr %config, i64 $config_n_given)
  %known_names = call ptr @getp(ptr %config, i64 $config_names)
  %bypass = call i64 @get(ptr %api, i64 $api_bypass)
  %native = icmp eq i64 %bypass, 0
  %all = icmp eq i64 %nargs, %n_positional
  %named = call i1 @same_names(ptr %names, ptr %known_names)
  %p0 = and i1 %native, %all
  %p1 = and i1 %p0, %named
  br i1 %p1, label %own, label %miss
own:
  %mine = call i1 @lock(ptr %api, ptr %config)
  br i1 %mine, label %start, label %busy
busy:
  %occurred = call ptr @getp(ptr %api, i64 $api_PyErr_Occurred)
  %error = call ptr %occurred()
  %waiting = icmp eq ptr %error, null
  br i1 %waiting, label %miss, label %failed
failed:
  ret ptr null
start:
  %block = call ptr @take_block(ptr %api, ptr %config)
  %no_block = icmp eq ptr %block, null
  br i1 %no_block, label %memory, label %guard
memory:
  call void @unlock(ptr %api, ptr %config)
  %m = call ptr @out_of_memory(ptr %api)
  ret ptr null
guard:
  %keeps_at = call i64 @get(ptr %config, i64 $config_keeps_at)
  %keeps = getelementptr i8, ptr %block, i64 %keeps_at
  call void @putp(ptr %state, i64 $state_api, ptr %api)
  call void @putp(ptr %state, i64 $state_config, ptr %config)
  call void @putp(ptr %state, i64 $state_block, ptr %block)
  call void @putp(ptr %state, i64 $state_keep, ptr %keeps)
  call void @putp(ptr %state, i64 $state_first_keep, ptr %keeps)
  %hit = call i1 @accept(ptr %state, ptr %args, i64 %n_given)
  br i1 %hit, label %work, label %refuse
refuse:
  call void @release_kept(ptr %state)
  call void @give_block(ptr %config, ptr %block)
  call void @unlock(ptr %api, ptr %config)
  br label %busy
work:
  call void @tally(ptr %config, i64 0)
  %result = call ptr @compute(ptr %state, ptr %block)
  call void @release_kept(ptr %state)
  call void @give_block(ptr %config, ptr %block)
  call void @unlock(ptr %api, ptr %config)
  ret ptr %result
miss:
  call void @tally(ptr %config, i64 8)
  %fallback = call ptr @getp(ptr %config, i64 $config_fallback)
  %vectorcall = call ptr @getp(ptr %api, i64 $api_PyObject_Vectorcall)
  %other = call ptr %vectorcall(ptr %fallback, ptr %args, i64 %nargsf, ptr %names)
  ret ptr %other
}
"""

DISPATCH_CODE = r"""
; Whether settings are those that an entry was made under, for this thread and task.
define internal i1 @conditions_hold(ptr %api, ptr %config) {
entry:
  %value_at = alloca ptr
  %n_words = call i64 @get(ptr %config, i64 $config_n_words)
  %words = call ptr @getp(ptr %config, i64 $config_words)
  br label %word_head
word_head:
  %i = phi i64 [ 0, %entry ], [ %i1, %word ]
  %more_words = icmp slt i64 %i, %n_words
  br i1 %more_words, label %word, label %variables
word:
  %i1 = add i64 %i, 1
  %word_pair = shl i64 %i, 4
  %word_second = add i64 %word_pair, 8
  %where = call ptr @getp(ptr %words, i64 %word_pair)
  %wanted = call i64 @get(ptr %words, i64 %word_second)
  %held = load i64, ptr %where
  %same = icmp eq i64 %held, %wanted
  br i1 %same, label %word_head, label %no
variables:
  %n_variables = call i64 @get(ptr %config, i64 $config_n_variables)
  %pairs = call ptr @getp(ptr %config, i64 $config_variables)
  %get_variable = call ptr @getp(ptr %api, i64 $api_PyContextVar_Get)
  br label %head
head:
  %k = phi i64 [ 0, %variables ], [ %k1, %equal ]
  %more = icmp slt i64 %k, %n_variables
  br i1 %more, label %variable, label %yes
variable:
  %k1 = add i64 %k, 1
  %pair = shl i64 %k, 4
  %second = add i64 %pair, 8
  %name = call ptr @getp(ptr %pairs, i64 %pair)
  %expected = call ptr @getp(ptr %pairs, i64 %second)
  store ptr null, ptr %value_at
  %status = call i32 %get_variable(ptr %name, ptr null, ptr %value_at)
  %value = load ptr, ptr %value_at
  %unset = icmp eq ptr %value, null
  br i1 %unset, label %no, label %compare
compare:
  call void @decref(ptr %api, ptr %value)
  %match = icmp eq ptr %value, %expected
  br i1 %match, label %equal, label %no
equal:
  br label %head
yes:
  ret i1 true
no:
  ret i1 false
}

; The vectorcall of a Python class whose instances have entries.
define ptr @dispatch_call(ptr %self, ptr %args, i64 %nargsf, ptr %names) {
entry:
  %api = call ptr @getp(ptr %self, i64 $callable_api)
  %target = call ptr @getp(ptr %self, i64 $callable_entry)
  %no_entry = icmp eq ptr %target, null
  br i1 %no_entry, label %python, label %look
look:
  %config = call ptr @getp(ptr %target, i64 $object_config)
  %cleared = icmp eq ptr %config, null
  br i1 %cleared, label %python, label %check
check:
  %ready = call i1 @conditions_hold(ptr %api, ptr %config)
  br i1 %ready, label %run, label %python
run:
  call void @incref(ptr %api, ptr %target)
  %result = call ptr @entry_call(ptr %target, ptr %args, i64 %nargsf, ptr %names)
  call void @decref(ptr %api, ptr %target)
  ret ptr %result
python:
  %function = call ptr @getp(ptr %self, i64 $callable_python)
  %no_function = icmp eq ptr %function, null
  br i1 %no_function, label %dead, label %slow
slow:
  call void @incref(ptr %api, ptr %function)
  %vectorcall = call ptr @getp(ptr %api, i64 $api_PyObject_Vectorcall)
  %other = call ptr %vectorcall(ptr %function, ptr %args, i64 %nargsf, ptr %names)
  call void @decref(ptr %api, ptr %function)
  ret ptr %other
dead:
  call void @complain(ptr %api, i64 $api_cleared_text)
  ret ptr null
}
"""
