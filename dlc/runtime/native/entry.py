"""LLVM text of the call entry: guards the arguments, allocates the results, runs the program.

One call uses one block of memory: a link, the slots, the arrays kept alive, the results, cells for
scalars, then the arena and the work area of the driver. Free blocks of an entry are a list, guarded
by the interpreter's lock; slots that are the same in each call are filled in when a block is made.
"""

from __future__ import annotations

OBJECT_CODE = r"""
define internal void @incref(ptr %api, ptr %o) alwaysinline {
  %f = call ptr @getp(ptr %api, i64 $api_Py_IncRef)
  call void %f(ptr %o)
  ret void
}

define internal void @decref(ptr %api, ptr %o) alwaysinline {
  %f = call ptr @getp(ptr %api, i64 $api_Py_DecRef)
  call void %f(ptr %o)
  ret void
}

define i32 @entry_traverse(ptr %self, ptr %visit, ptr %arg) {
entry:
  %type = call ptr @getp(ptr %self, i64 $OB_TYPE)
  %r0 = call i32 %visit(ptr %type, ptr %arg)
  %stop0 = icmp ne i32 %r0, 0
  br i1 %stop0, label %out0, label %look_dict
out0:
  ret i32 %r0
look_dict:
  %dict = call ptr @getp(ptr %self, i64 $object_dict)
  %has_dict = icmp ne ptr %dict, null
  br i1 %has_dict, label %visit_dict, label %look_owner
visit_dict:
  %r1 = call i32 %visit(ptr %dict, ptr %arg)
  %stop1 = icmp ne i32 %r1, 0
  br i1 %stop1, label %out1, label %look_owner
out1:
  ret i32 %r1
look_owner:
  %owner = call ptr @getp(ptr %self, i64 $object_owner)
  %has_owner = icmp ne ptr %owner, null
  br i1 %has_owner, label %visit_owner, label %done
visit_owner:
  %r2 = call i32 %visit(ptr %owner, ptr %arg)
  ret i32 %r2
done:
  ret i32 0
}

define internal void @drop(ptr %self, i64 %offset) {
entry:
  %o = call ptr @getp(ptr %self, i64 %offset)
  %nothing = icmp eq ptr %o, null
  br i1 %nothing, label %done, label %some
some:
  %api = call ptr @getp(ptr %self, i64 $object_api)
  call void @putp(ptr %self, i64 %offset, ptr null)
  call void @decref(ptr %api, ptr %o)
  br label %done
done:
  ret void
}

define i32 @entry_clear(ptr %self) {
entry:
  %config = call ptr @getp(ptr %self, i64 $object_config)
  %nothing = icmp eq ptr %config, null
  br i1 %nothing, label %drops, label %blocks
blocks:
  %api = call ptr @getp(ptr %self, i64 $object_api)
  call void @putp(ptr %self, i64 $object_config, ptr null)
  %first = call ptr @getp(ptr %config, i64 $config_free_block)
  call void @put(ptr %config, i64 $config_free_block, i64 0)
  br label %head
head:
  %block = phi ptr [ %first, %blocks ], [ %next, %body ]
  %end = icmp eq ptr %block, null
  br i1 %end, label %drops, label %body
body:
  %next = load ptr, ptr %block
  call void @buffer_free(ptr %api, ptr %block, i64 0)
  br label %head
drops:
  call void @drop(ptr %self, i64 $object_dict)
  call void @drop(ptr %self, i64 $object_owner)
  ret i32 0
}

define void @entry_dealloc(ptr %self) {
entry:
  %api = call ptr @getp(ptr %self, i64 $object_api)
  %untrack = call ptr @getp(ptr %api, i64 $api_PyObject_GC_UnTrack)
  call void %untrack(ptr %self)
  %weak = call ptr @getp(ptr %self, i64 $object_weakrefs)
  %none = icmp eq ptr %weak, null
  br i1 %none, label %rest, label %clear_weak
clear_weak:
  %clear = call ptr @getp(ptr %api, i64 $api_PyObject_ClearWeakRefs)
  call void %clear(ptr %self)
  br label %rest
rest:
  %r = call i32 @entry_clear(ptr %self)
  %type = call ptr @getp(ptr %self, i64 $OB_TYPE)
  %del = call ptr @getp(ptr %api, i64 $api_PyObject_GC_Del)
  call void %del(ptr %self)
  call void @decref(ptr %api, ptr %type)
  ret void
}
"""

GUARD_CODE = r"""
; Puts the address of an argument's data into its slot; the array is kept in %keep and owned.
; False when the argument is not what the parameter asks for.
define internal i1 @accept_array(
    ptr %api, ptr %config, ptr %param, ptr %arg, ptr %block, ptr %keep) alwaysinline {
entry:
  %type = call ptr @getp(ptr %arg, i64 $OB_TYPE)
  %array_type = call ptr @getp(ptr %api, i64 $api_array_type)
  %tensor_type = call ptr @getp(ptr %config, i64 $config_tensor_type)
  %is_tensor = icmp eq ptr %type, %tensor_type
  br i1 %is_tensor, label %unwrap, label %bare
unwrap:
  %offset = call i64 @get(ptr %config, i64 $config_data_offset)
  %inner = call ptr @getp(ptr %arg, i64 %offset)
  %unset = icmp eq ptr %inner, null
  br i1 %unset, label %no, label %inner_type
inner_type:
  %kind_of_inner = call ptr @getp(ptr %inner, i64 $OB_TYPE)
  %inner_is_array = icmp eq ptr %kind_of_inner, %array_type
  br i1 %inner_is_array, label %requirements, label %no
requirements:
  %n_required = call i64 @get(ptr %config, i64 $config_n_required)
  %required = call ptr @getp(ptr %config, i64 $config_required)
  br label %next_required
next_required:
  %r = phi i64 [ 0, %requirements ], [ %r1, %one_required ]
  %all_met = icmp eq i64 %r, %n_required
  br i1 %all_met, label %check, label %one_required
one_required:
  %pair_at = shl i64 %r, 4
  %object_at = add i64 %pair_at, 8
  %held_at = call i64 @get(ptr %required, i64 %pair_at)
  %wanted = call ptr @getp(ptr %required, i64 %object_at)
  %held = call ptr @getp(ptr %arg, i64 %held_at)
  %met = icmp eq ptr %held, %wanted
  %r1 = add i64 %r, 1
  br i1 %met, label %next_required, label %no
bare:
  %kind = call i64 @get(ptr %param, i64 $param_kind)
  %allowed = icmp eq i64 %kind, $TENSOR_OR_ARRAY
  %is_array = icmp eq ptr %type, %array_type
  %both = and i1 %allowed, %is_array
  br i1 %both, label %check, label %no
check:
  %array = phi ptr [ %inner, %next_required ], [ %arg, %bare ]
  %descr = call ptr @getp(ptr %array, i64 $array_descr)
  %want_descr = call ptr @getp(ptr %param, i64 $param_descr)
  %same_descr = icmp eq ptr %descr, %want_descr
  %nd_at = getelementptr i8, ptr %array, i64 $array_nd
  %nd32 = load i32, ptr %nd_at
  %nd = zext i32 %nd32 to i64
  %want_nd = call i64 @get(ptr %param, i64 $param_nd)
  %same_nd = icmp eq i64 %nd, %want_nd
  %flags_at = getelementptr i8, ptr %array, i64 $array_flags
  %flags = load i32, ptr %flags_at
  %needed = and i32 %flags, $NEEDED_FLAGS
  %laid_out = icmp eq i32 %needed, $NEEDED_FLAGS
  %data = call ptr @getp(ptr %array, i64 $array_data)
  %address = ptrtoint ptr %data to i64
  %mask = call i64 @get(ptr %param, i64 $param_mask)
  %low = and i64 %address, %mask
  %aligned = icmp eq i64 %low, 0
  %g0 = and i1 %same_descr, %same_nd
  %g1 = and i1 %laid_out, %aligned
  %good = and i1 %g0, %g1
  br i1 %good, label %extents, label %no
extents:
  %dims = call ptr @getp(ptr %array, i64 $array_dims)
  %want_dims = call ptr @getp(ptr %param, i64 $param_dims)
  br label %head
head:
  %i = phi i64 [ 0, %extents ], [ %i1, %same ]
  %more = icmp slt i64 %i, %nd
  br i1 %more, label %compare, label %yes
compare:
  %at = shl i64 %i, 3
  %d = call i64 @get(ptr %dims, i64 %at)
  %want_d = call i64 @get(ptr %want_dims, i64 %at)
  %equal = icmp eq i64 %d, %want_d
  br i1 %equal, label %same, label %no
same:
  %i1 = add i64 %i, 1
  br label %head
yes:
  %slot = call i64 @get(ptr %param, i64 $param_slot)
  %slots = getelementptr i8, ptr %block, i64 $BLOCK_SLOTS
  %slot_at = shl i64 %slot, 3
  call void @putp(ptr %slots, i64 %slot_at, ptr %data)
  call void @incref(ptr %api, ptr %array)
  store ptr %array, ptr %keep
  ret i1 true
no:
  ret i1 false
}

; Writes a Python scalar into its cell of the block, to which its slot points for good.
define internal i1 @accept_scalar(ptr %api, ptr %param, ptr %arg, ptr %block) {
entry:
  %over_at = alloca i32
  %kind = call i64 @get(ptr %param, i64 $param_kind)
  %cell_at = call i64 @get(ptr %param, i64 $param_cell)
  %cell = getelementptr i8, ptr %block, i64 %cell_at
  %type = call ptr @getp(ptr %arg, i64 $OB_TYPE)
  switch i64 %kind, label %bool [
    i64 $F32, label %float
    i64 $F64, label %float
    i64 $I32, label %int
    i64 $I64, label %int
  ]
float:
  %float_type = call ptr @getp(ptr %api, i64 $api_float_type)
  %is_float = icmp eq ptr %type, %float_type
  br i1 %is_float, label %read_float, label %no
read_float:
  %as_double = call ptr @getp(ptr %api, i64 $api_PyFloat_AsDouble)
  %value = call double %as_double(ptr %arg)
  %narrow = icmp eq i64 %kind, $F32
  br i1 %narrow, label %store_f32, label %store_f64
store_f32:
  %rounded = fptrunc double %value to float
  store float %rounded, ptr %cell
  ret i1 true
store_f64:
  store double %value, ptr %cell
  ret i1 true
int:
  %int_type = call ptr @getp(ptr %api, i64 $api_int_type)
  %is_int = icmp eq ptr %type, %int_type
  br i1 %is_int, label %read_int, label %no
read_int:
  %as_long = call ptr @getp(ptr %api, i64 $api_PyLong_AsLongLongAndOverflow)
  %long = call i64 %as_long(ptr %arg, ptr %over_at)
  %over = load i32, ptr %over_at
  %fits = icmp eq i32 %over, 0
  br i1 %fits, label %width, label %no
width:
  %is_i64 = icmp eq i64 %kind, $I64
  br i1 %is_i64, label %store_i64, label %check_i32
store_i64:
  store i64 %long, ptr %cell
  ret i1 true
check_i32:
  %half = trunc i64 %long to i32
  %again = sext i32 %half to i64
  %fits32 = icmp eq i64 %again, %long
  br i1 %fits32, label %store_i32, label %no
store_i32:
  store i32 %half, ptr %cell
  ret i1 true
bool:
  %true = call ptr @getp(ptr %api, i64 $api_true)
  %false = call ptr @getp(ptr %api, i64 $api_false)
  %is_true = icmp eq ptr %arg, %true
  %is_false = icmp eq ptr %arg, %false
  %is_bool = or i1 %is_true, %is_false
  br i1 %is_bool, label %store_bool, label %no
store_bool:
  %byte = zext i1 %is_true to i8
  store i8 %byte, ptr %cell
  ret i1 true
no:
  ret i1 false
}

; Checks all arguments; how many were accepted.
define internal i64 @accept(ptr %api, ptr %config, ptr %args, i64 %n, ptr %block, ptr %inputs) {
entry:
  %params = call ptr @getp(ptr %config, i64 $config_params)
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %accepted ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %param_at = mul i64 %i, $PARAM_BYTES
  %param = getelementptr i8, ptr %params, i64 %param_at
  %arg_at = getelementptr ptr, ptr %args, i64 %i
  %arg = load ptr, ptr %arg_at
  %keep = getelementptr ptr, ptr %inputs, i64 %i
  store ptr null, ptr %keep
  %kind = call i64 @get(ptr %param, i64 $param_kind)
  %is_scalar = icmp ugt i64 %kind, $TENSOR_OR_ARRAY
  br i1 %is_scalar, label %scalar, label %array
scalar:
  %s = call i1 @accept_scalar(ptr %api, ptr %param, ptr %arg, ptr %block)
  br i1 %s, label %accepted, label %done
array:
  %a = call i1 @accept_array(
    ptr %api, ptr %config, ptr %param, ptr %arg, ptr %block, ptr %keep)
  br i1 %a, label %accepted, label %done
accepted:
  %i1 = add i64 %i, 1
  br label %head
done:
  ret i64 %i
}
"""

CALL_CODE = r"""
define internal void @release_all(ptr %api, ptr %objects, i64 %n) {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %next ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %at = getelementptr ptr, ptr %objects, i64 %i
  %o = load ptr, ptr %at
  %none = icmp eq ptr %o, null
  br i1 %none, label %next, label %drop
drop:
  call void @decref(ptr %api, ptr %o)
  br label %next
next:
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}

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

; A fresh array with memory of ours, which NumPy gives back through the handler.
define internal ptr @new_array(ptr %api, ptr %output, ptr %slots) {
entry:
  %bytes = call i64 @get(ptr %output, i64 $output_bytes)
  %data = call ptr @buffer_malloc(ptr %api, i64 %bytes)
  %failed = icmp eq ptr %data, null
  br i1 %failed, label %memory, label %make
memory:
  %no_memory = call ptr @getp(ptr %api, i64 $api_PyErr_NoMemory)
  %n = call ptr %no_memory()
  ret ptr null
make:
  %descr = call ptr @getp(ptr %output, i64 $output_descr)
  call void @incref(ptr %api, ptr %descr)
  %new = call ptr @getp(ptr %api, i64 $api_PyArray_NewFromDescr)
  %type = call ptr @getp(ptr %api, i64 $api_array_type)
  %nd = call i64 @get(ptr %output, i64 $output_nd)
  %nd32 = trunc i64 %nd to i32
  %dims = call ptr @getp(ptr %output, i64 $output_dims)
  %array = call ptr %new(ptr %type, ptr %descr, i32 %nd32, ptr %dims, ptr null, ptr %data,
    i32 $NEW_FLAGS, ptr null)
  %bad = icmp eq ptr %array, null
  br i1 %bad, label %undo, label %own
undo:
  call void @buffer_free(ptr %api, ptr %data, i64 %bytes)
  ret ptr null
own:
  %flags_at = getelementptr i8, ptr %array, i64 $array_flags
  %flags = load i32, ptr %flags_at
  %owning = or i32 %flags, $OWNDATA
  store i32 %owning, ptr %flags_at
  %handler = call ptr @getp(ptr %api, i64 $api_handler)
  call void @incref(ptr %api, ptr %handler)
  call void @putp(ptr %array, i64 $array_mem_handler, ptr %handler)
  %slot = call i64 @get(ptr %output, i64 $output_slot)
  %slot_at = shl i64 %slot, 3
  call void @putp(ptr %slots, i64 %slot_at, ptr %data)
  ret ptr %array
}

define internal ptr @new_tensor(ptr %api, ptr %config, ptr %array) {
entry:
  %alloc = call ptr @getp(ptr %api, i64 $api_PyType_GenericAlloc)
  %type = call ptr @getp(ptr %config, i64 $config_tensor_type)
  %tensor = call ptr %alloc(ptr %type, i64 0)
  %failed = icmp eq ptr %tensor, null
  br i1 %failed, label %undo, label %fill
undo:
  call void @decref(ptr %api, ptr %array)
  ret ptr null
fill:
  %offset = call i64 @get(ptr %config, i64 $config_data_offset)
  call void @putp(ptr %tensor, i64 %offset, ptr %array)
  %n = call i64 @get(ptr %config, i64 $config_n_defaults)
  %defaults = call ptr @getp(ptr %config, i64 $config_defaults)
  br label %head
head:
  %i = phi i64 [ 0, %fill ], [ %i1, %body ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %at = shl i64 %i, 4
  %where = call i64 @get(ptr %defaults, i64 %at)
  %at8 = add i64 %at, 8
  %object = call ptr @getp(ptr %defaults, i64 %at8)
  call void @incref(ptr %api, ptr %object)
  call void @putp(ptr %tensor, i64 %where, ptr %object)
  %i1 = add i64 %i, 1
  br label %head
done:
  ret ptr %tensor
}

; Makes the results; how many could be made.
define internal i64 @make_results(ptr %api, ptr %config, i64 %n, ptr %slots, ptr %results) {
entry:
  %outputs = call ptr @getp(ptr %config, i64 $config_outputs)
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %keep ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %output_at = mul i64 %i, $OUTPUT_BYTES
  %output = getelementptr i8, ptr %outputs, i64 %output_at
  %array = call ptr @new_array(ptr %api, ptr %output, ptr %slots)
  %no_array = icmp eq ptr %array, null
  br i1 %no_array, label %done, label %wrap
wrap:
  %tensor = call ptr @new_tensor(ptr %api, ptr %config, ptr %array)
  %no_tensor = icmp eq ptr %tensor, null
  br i1 %no_tensor, label %done, label %keep
keep:
  %at = getelementptr ptr, ptr %results, i64 %i
  store ptr %tensor, ptr %at
  %i1 = add i64 %i, 1
  br label %head
done:
  ret i64 %i
}

; Runs the program; false with an exception set when it failed or was interrupted.
define internal i1 @execute(ptr %api, ptr %config, ptr %slots) {
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
  br label %judge
unlocked:
  %save = call ptr @getp(ptr %api, i64 $api_PyEval_SaveThread)
  %state = call ptr %save()
  %status1 = call i32 %run(ptr %table, ptr %slots, ptr %pool, i64 %threads)
  %restore = call ptr @getp(ptr %api, i64 $api_PyEval_RestoreThread)
  call void %restore(ptr %state)
  %check = call ptr @getp(ptr %api, i64 $api_PyErr_CheckSignals)
  %signal = call i32 %check()
  %quiet = icmp eq i32 %signal, 0
  br i1 %quiet, label %judge, label %no
judge:
  %status = phi i32 [ %status0, %locked ], [ %status1, %unlocked ]
  %fine = icmp eq i32 %status, 0
  br i1 %fine, label %yes, label %fail
fail:
  %set = call ptr @getp(ptr %api, i64 $api_PyErr_SetString)
  %error = call ptr @getp(ptr %api, i64 $api_runtime_error)
  %text = call ptr @getp(ptr %api, i64 $api_failure_text)
  call void %set(ptr %error, ptr %text)
  br label %no
yes:
  ret i1 true
no:
  ret i1 false
}

; The results as the call returns them; takes them over, or leaves them when there is no memory.
define internal ptr @pack(ptr %api, ptr %config, ptr %results, i64 %n) {
entry:
  %single = call i64 @get(ptr %config, i64 $config_single)
  %alone = icmp ne i64 %single, 0
  br i1 %alone, label %one, label %several
one:
  %only = load ptr, ptr %results
  ret ptr %only
several:
  %new = call ptr @getp(ptr %api, i64 $api_PyTuple_New)
  %tuple = call ptr %new(i64 %n)
  %failed = icmp eq ptr %tuple, null
  br i1 %failed, label %done, label %fill
fill:
  %set = call ptr @getp(ptr %api, i64 $api_PyTuple_SetItem)
  br label %head
head:
  %i = phi i64 [ 0, %fill ], [ %i1, %body ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %at = getelementptr ptr, ptr %results, i64 %i
  %o = load ptr, ptr %at
  %r = call i32 %set(ptr %tuple, i64 %i, ptr %o)
  %i1 = add i64 %i, 1
  br label %head
done:
  ret ptr %tuple
}

define internal void @tally(ptr %config, i64 %offset) alwaysinline {
  %counts = call ptr @getp(ptr %config, i64 $config_counts)
  %old = call i64 @get(ptr %counts, i64 %offset)
  %new = add i64 %old, 1
  call void @put(ptr %counts, i64 %offset, i64 %new)
  ret void
}

define ptr @entry_call(ptr %self, ptr %args, i64 %nargsf, ptr %names) {
entry:
  %api = call ptr @getp(ptr %self, i64 $object_api)
  %config = call ptr @getp(ptr %self, i64 $object_config)
  %cleared = icmp eq ptr %config, null
  br i1 %cleared, label %dead, label %shape
dead:
  %set = call ptr @getp(ptr %api, i64 $api_PyErr_SetString)
  %error = call ptr @getp(ptr %api, i64 $api_runtime_error)
  %text = call ptr @getp(ptr %api, i64 $api_cleared_text)
  call void %set(ptr %error, ptr %text)
  ret ptr null
shape:
  %nargs = and i64 %nargsf, 9223372036854775807
  %n_params = call i64 @get(ptr %config, i64 $config_n_params)
  %n_outputs = call i64 @get(ptr %config, i64 $config_n_outputs)
  %bypass = call i64 @get(ptr %api, i64 $api_bypass)
  %native = icmp eq i64 %bypass, 0
  %all = icmp eq i64 %nargs, %n_params
  %positional = icmp eq ptr %names, null
  %p0 = and i1 %native, %all
  %p1 = and i1 %p0, %positional
  br i1 %p1, label %start, label %miss
start:
  %block = call ptr @take_block(ptr %api, ptr %config)
  %no_block = icmp eq ptr %block, null
  br i1 %no_block, label %memory, label %guard
memory:
  %no_memory = call ptr @getp(ptr %api, i64 $api_PyErr_NoMemory)
  %m = call ptr %no_memory()
  ret ptr null
guard:
  %inputs_at = call i64 @get(ptr %config, i64 $config_inputs_at)
  %inputs = getelementptr i8, ptr %block, i64 %inputs_at
  %results_at = call i64 @get(ptr %config, i64 $config_results_at)
  %results = getelementptr i8, ptr %block, i64 %results_at
  %slots = getelementptr i8, ptr %block, i64 $BLOCK_SLOTS
  %accepted = call i64 @accept(
    ptr %api, ptr %config, ptr %args, i64 %nargs, ptr %block, ptr %inputs)
  %hit = icmp eq i64 %accepted, %nargs
  br i1 %hit, label %allocate, label %refuse
refuse:
  call void @release_all(ptr %api, ptr %inputs, i64 %accepted)
  call void @give_block(ptr %config, ptr %block)
  br label %miss
allocate:
  call void @tally(ptr %config, i64 0)
  %made = call i64 @make_results(
    ptr %api, ptr %config, i64 %n_outputs, ptr %slots, ptr %results)
  %complete = icmp eq i64 %made, %n_outputs
  br i1 %complete, label %work, label %undo
work:
  %fine = call i1 @execute(ptr %api, ptr %config, ptr %slots)
  br i1 %fine, label %finish, label %undo
finish:
  %value = call ptr @pack(ptr %api, ptr %config, ptr %results, i64 %n_outputs)
  %no_value = icmp eq ptr %value, null
  br i1 %no_value, label %undo, label %close
undo:
  call void @release_all(ptr %api, ptr %results, i64 %made)
  br label %close
close:
  %result = phi ptr [ %value, %finish ], [ null, %undo ]
  call void @release_all(ptr %api, ptr %inputs, i64 %nargs)
  call void @give_block(ptr %config, ptr %block)
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
  %set = call ptr @getp(ptr %api, i64 $api_PyErr_SetString)
  %error = call ptr @getp(ptr %api, i64 $api_runtime_error)
  %text = call ptr @getp(ptr %api, i64 $api_cleared_text)
  call void %set(ptr %error, ptr %text)
  ret ptr null
}
"""
