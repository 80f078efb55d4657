"""LLVM text of the results of a call entry: fresh arrays, tensors, and what is put into variables.

Arrays are made before the program runs, and tensors after it: making a tensor may run code of
Python (the collector's), which must not see variables whose memory is being overwritten.
"""

from __future__ import annotations

RESULT_CODE = r"""
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

; Puts an object, whose reference is taken over, into a slot of another one.
define internal void @replace(ptr %api, ptr %holder, i64 %offset, ptr %object) {
entry:
  %old = call ptr @getp(ptr %holder, i64 %offset)
  call void @putp(ptr %holder, i64 %offset, ptr %object)
  %none = icmp eq ptr %old, null
  br i1 %none, label %done, label %drop
drop:
  call void @decref(ptr %api, ptr %old)
  br label %done
done:
  ret void
}

; Puts objects into the slots of `holder` that (offset, object) pairs name.
define internal void @replace_all(ptr %api, ptr %holder, ptr %pairs, i64 %n) {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %body ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %i1 = add i64 %i, 1
  %at = shl i64 %i, 4
  %at8 = add i64 %at, 8
  %offset = call i64 @get(ptr %pairs, i64 %at)
  %object = call ptr @getp(ptr %pairs, i64 %at8)
  call void @incref(ptr %api, ptr %object)
  call void @replace(ptr %api, ptr %holder, i64 %offset, ptr %object)
  br label %head
done:
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
  %n = call ptr @out_of_memory(ptr %api)
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

; The array that owns the memory of another one, as far as there is one: the base of NumPy's views.
define internal ptr @owner_of(ptr %api, ptr %array) {
entry:
  %array_type = call ptr @getp(ptr %api, i64 $api_array_type)
  br label %look
look:
  %held = phi ptr [ %array, %entry ], [ %base, %below ]
  %flags_at = getelementptr i8, ptr %held, i64 $array_flags
  %flags = load i32, ptr %flags_at
  %owning = and i32 %flags, $OWNDATA
  %owns = icmp ne i32 %owning, 0
  br i1 %owns, label %found, label %up
up:
  %base = call ptr @getp(ptr %held, i64 $array_base)
  %none = icmp eq ptr %base, null
  br i1 %none, label %found, label %below
below:
  %type = call ptr @getp(ptr %base, i64 $OB_TYPE)
  %is_array = icmp eq ptr %type, %array_type
  br i1 %is_array, label %look, label %found
found:
  ret ptr %held
}

; An array in the memory of another one, whose owner it keeps alive.
define internal ptr @new_part(ptr %api, ptr %output, ptr %whole) {
entry:
  %first = call ptr @getp(ptr %whole, i64 $array_data)
  %offset = call i64 @get(ptr %output, i64 $output_offset)
  %data = getelementptr i8, ptr %first, i64 %offset
  %descr = call ptr @getp(ptr %output, i64 $output_descr)
  call void @incref(ptr %api, ptr %descr)
  %new = call ptr @getp(ptr %api, i64 $api_PyArray_NewFromDescr)
  %type = call ptr @getp(ptr %api, i64 $api_array_type)
  %nd = call i64 @get(ptr %output, i64 $output_nd)
  %nd32 = trunc i64 %nd to i32
  %dims = call ptr @getp(ptr %output, i64 $output_dims)
  %strides = call ptr @getp(ptr %output, i64 $output_strides)
  %part = call ptr %new(ptr %type, ptr %descr, i32 %nd32, ptr %dims, ptr %strides, ptr %data,
    i32 $WRITEABLE, ptr null)
  %bad = icmp eq ptr %part, null
  br i1 %bad, label %done, label %own
own:
  %owner = call ptr @owner_of(ptr %api, ptr %whole)
  call void @incref(ptr %api, ptr %owner)
  call void @putp(ptr %part, i64 $array_base, ptr %owner)
  br label %done
done:
  ret ptr %part
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


; Makes the arrays of results that are not in the memory of an argument; how many there are now.
define internal i64 @make_results(ptr %state, i64 %n, ptr %slots, ptr %results) {
entry:
  %api = call ptr @getp(ptr %state, i64 $state_api)
  %config = call ptr @getp(ptr %state, i64 $state_config)
  %outputs = call ptr @getp(ptr %config, i64 $config_outputs)
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %store ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %output_at = mul i64 %i, $OUTPUT_BYTES
  %output = getelementptr i8, ptr %outputs, i64 %output_at
  %how = call i64 @get(ptr %output, i64 $output_how)
  switch i64 %how, label %fresh [
    i64 $CLEARED, label %nothing
    i64 $OVERWRITTEN, label %donor
    i64 $PART, label %part
  ]
fresh:
  %array = call ptr @new_array(ptr %api, ptr %output, ptr %slots)
  %failed = icmp eq ptr %array, null
  br i1 %failed, label %done, label %store
donor:
  %record = getelementptr i8, ptr %output, i64 $output_donor
  %keep = call ptr @keep_of(ptr %state, ptr %record)
  %same = load ptr, ptr %keep
  call void @incref(ptr %api, ptr %same)
  br label %store
part:
  %of_record = getelementptr i8, ptr %output, i64 $output_donor
  %of_keep = call ptr @keep_of(ptr %state, ptr %of_record)
  %whole = load ptr, ptr %of_keep
  %seen = call ptr @new_part(ptr %api, ptr %output, ptr %whole)
  %no_part = icmp eq ptr %seen, null
  br i1 %no_part, label %done, label %store
nothing:
  br label %store
store:
  %result = phi ptr [ %array, %fresh ], [ %same, %donor ], [ %seen, %part ], [ null, %nothing ]
  %at = getelementptr ptr, ptr %results, i64 %i
  store ptr %result, ptr %at
  %i1 = add i64 %i, 1
  br label %head
done:
  ret i64 %i
}

; Takes the arrays that are overwritten away from what holds them. Those of variables only need to
; go where others can look meanwhile, and come back.
define internal void @take(ptr %state, i64 %watched) {
entry:
  %api = call ptr @getp(ptr %state, i64 $state_api)
  %config = call ptr @getp(ptr %state, i64 $state_config)
  %n = call i64 @get(ptr %config, i64 $config_n_taken)
  %taken = call ptr @getp(ptr %config, i64 $config_taken)
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %next ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %i1 = add i64 %i, 1
  %at = mul i64 %i, $TAKEN_BYTES
  %record = getelementptr i8, ptr %taken, i64 %at
  %for_good = call i64 @get(ptr %record, i64 $taken_for_good)
  %either = or i64 %for_good, %watched
  %away = icmp ne i64 %either, 0
  br i1 %away, label %empty, label %next
empty:
  %keep = call ptr @keep_of(ptr %state, ptr %record)
  %holder = call ptr @getp(ptr %keep, i64 8)
  %pairs = call ptr @getp(ptr %record, i64 $taken_pairs)
  %n_pairs = call i64 @get(ptr %record, i64 $taken_n_pairs)
  call void @replace_all(ptr %api, ptr %holder, ptr %pairs, i64 %n_pairs)
  br label %next
next:
  br label %head
done:
  ret void
}

; Gives variables their arrays back when a program failed.
define internal void @give_back(ptr %state) {
entry:
  %api = call ptr @getp(ptr %state, i64 $state_api)
  %config = call ptr @getp(ptr %state, i64 $state_config)
  %offset = call i64 @get(ptr %config, i64 $config_data_offset)
  %n = call i64 @get(ptr %config, i64 $config_n_taken)
  %taken = call ptr @getp(ptr %config, i64 $config_taken)
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %next ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %i1 = add i64 %i, 1
  %at = mul i64 %i, $TAKEN_BYTES
  %record = getelementptr i8, ptr %taken, i64 %at
  %for_good = call i64 @get(ptr %record, i64 $taken_for_good)
  %gone = icmp ne i64 %for_good, 0
  br i1 %gone, label %next, label %fill
fill:
  %keep = call ptr @keep_of(ptr %state, ptr %record)
  %array = load ptr, ptr %keep
  %holder = call ptr @getp(ptr %keep, i64 8)
  call void @incref(ptr %api, ptr %array)
  call void @replace(ptr %api, ptr %holder, i64 %offset, ptr %array)
  br label %next
next:
  br label %head
done:
  ret void
}

; Puts results into variables; false with an exception set when there was no memory.
define internal i1 @settle(ptr %state, ptr %results, i64 %first, i64 %n) {
entry:
  %api = call ptr @getp(ptr %state, i64 $state_api)
  %config = call ptr @getp(ptr %state, i64 $state_config)
  %outputs = call ptr @getp(ptr %config, i64 $config_outputs)
  %data_offset = call i64 @get(ptr %config, i64 $config_data_offset)
  %n_reset = call i64 @get(ptr %config, i64 $config_n_reset)
  %reset = call ptr @getp(ptr %config, i64 $config_reset)
  br label %head
head:
  %i = phi i64 [ %first, %entry ], [ %i1, %next ]
  %good = phi i1 [ true, %entry ], [ %good1, %next ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %i1 = add i64 %i, 1
  %output_at = mul i64 %i, $OUTPUT_BYTES
  %output = getelementptr i8, ptr %outputs, i64 %output_at
  %holder = call ptr @getp(ptr %output, i64 $output_holder)
  %field = call i64 @get(ptr %output, i64 $output_field)
  %at = getelementptr ptr, ptr %results, i64 %i
  %array = load ptr, ptr %at
  store ptr null, ptr %at
  %nothing = icmp eq ptr %array, null
  br i1 %nothing, label %clear, label %some
some:
  %is_data = icmp eq i64 %field, %data_offset
  br i1 %is_data, label %assign, label %wrap
assign:
  call void @replace(ptr %api, ptr %holder, i64 %data_offset, ptr %array)
  call void @replace_all(ptr %api, ptr %holder, ptr %reset, i64 %n_reset)
  br label %next
wrap:
  %tensor = call ptr @new_tensor(ptr %api, ptr %config, ptr %array)
  %failed = icmp eq ptr %tensor, null
  br i1 %failed, label %next, label %put
clear:
  %none = call ptr @getp(ptr %api, i64 $api_none)
  call void @incref(ptr %api, ptr %none)
  br label %put
put:
  %object = phi ptr [ %tensor, %wrap ], [ %none, %clear ]
  call void @replace(ptr %api, ptr %holder, i64 %field, ptr %object)
  br label %next
next:
  %good1 = phi i1 [ %good, %assign ], [ false, %wrap ], [ %good, %put ]
  br label %head
done:
  ret i1 %good
}

; Makes tensors of the arrays that the call returns; whether there was memory.
define internal i1 @wrap(ptr %api, ptr %config, ptr %results, i64 %n) {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %store ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %yes
body:
  %i1 = add i64 %i, 1
  %at = getelementptr ptr, ptr %results, i64 %i
  %array = load ptr, ptr %at
  store ptr null, ptr %at
  %tensor = call ptr @new_tensor(ptr %api, ptr %config, ptr %array)
  %failed = icmp eq ptr %tensor, null
  br i1 %failed, label %no, label %store
store:
  store ptr %tensor, ptr %at
  br label %head
yes:
  ret i1 true
no:
  ret i1 false
}

; The next result, or the list, tuple or dict that a piece of the form of the returned value asks
; for; results are taken over. Null with an exception set when there is no memory.
define internal ptr @build(ptr %api, ptr %form_at, ptr %result_at) {
entry:
  %piece = load ptr, ptr %form_at
  %after = getelementptr i8, ptr %piece, i64 $PIECE_BYTES
  store ptr %after, ptr %form_at
  %kind = call i64 @get(ptr %piece, i64 $piece_kind)
  %n = call i64 @get(ptr %piece, i64 $piece_count)
  switch i64 %kind, label %dict [
    i64 $RESULT, label %result
    i64 $NOTHING, label %nothing
    i64 $LIST, label %list
    i64 $TUPLE, label %tuple
  ]
result:
  %at = load ptr, ptr %result_at
  %value = load ptr, ptr %at
  store ptr null, ptr %at
  %next = getelementptr ptr, ptr %at, i64 1
  store ptr %next, ptr %result_at
  ret ptr %value
nothing:
  %none = call ptr @getp(ptr %api, i64 $api_none)
  call void @incref(ptr %api, ptr %none)
  ret ptr %none
list:
  %new_list = call ptr @getp(ptr %api, i64 $api_PyList_New)
  %set_list = call ptr @getp(ptr %api, i64 $api_PyList_SetItem)
  %list_made = call ptr %new_list(i64 %n)
  br label %items
tuple:
  %new_tuple = call ptr @getp(ptr %api, i64 $api_PyTuple_New)
  %set_tuple = call ptr @getp(ptr %api, i64 $api_PyTuple_SetItem)
  %tuple_made = call ptr %new_tuple(i64 %n)
  br label %items
dict:
  %new_dict = call ptr @getp(ptr %api, i64 $api_PyDict_New)
  %dict_made = call ptr %new_dict()
  br label %items
items:
  %set = phi ptr [ %set_list, %list ], [ %set_tuple, %tuple ], [ null, %dict ]
  %made = phi ptr [ %list_made, %list ], [ %tuple_made, %tuple ], [ %dict_made, %dict ]
  %no_memory = icmp eq ptr %made, null
  br i1 %no_memory, label %failed, label %head
head:
  %i = phi i64 [ 0, %items ], [ %i1, %done_one ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %finished
body:
  %i1 = add i64 %i, 1
  %item = call ptr @build(ptr %api, ptr %form_at, ptr %result_at)
  %no_item = icmp eq ptr %item, null
  br i1 %no_item, label %undo, label %place
place:
  %by_key = icmp eq ptr %set, null
  br i1 %by_key, label %put, label %append
append:
  %r0 = call i32 %set(ptr %made, i64 %i, ptr %item)
  br label %done_one
put:
  %keys = call ptr @getp(ptr %piece, i64 $piece_keys)
  %key_at = getelementptr ptr, ptr %keys, i64 %i
  %key = load ptr, ptr %key_at
  %put_item = call ptr @getp(ptr %api, i64 $api_PyDict_SetItem)
  %r1 = call i32 %put_item(ptr %made, ptr %key, ptr %item)
  call void @decref(ptr %api, ptr %item)
  %refused = icmp ne i32 %r1, 0
  br i1 %refused, label %undo, label %done_one
done_one:
  br label %head
finished:
  ret ptr %made
undo:
  call void @decref(ptr %api, ptr %made)
  br label %failed
failed:
  ret ptr null
}

; What the call returns.
define internal ptr @pack(ptr %api, ptr %config, ptr %results) {
entry:
  %form_at = alloca ptr
  %result_at = alloca ptr
  %form = call ptr @getp(ptr %config, i64 $config_form)
  store ptr %form, ptr %form_at
  store ptr %results, ptr %result_at
  %value = call ptr @build(ptr %api, ptr %form_at, ptr %result_at)
  %finish = call ptr @getp(ptr %config, i64 $config_finish)
  %plain = icmp eq ptr %finish, null
  %failed = icmp eq ptr %value, null
  %done = or i1 %plain, %failed
  br i1 %done, label %return, label %convert
convert:
  %vectorcall = call ptr @getp(ptr %api, i64 $api_PyObject_Vectorcall)
  store ptr %value, ptr %result_at
  %converted = call ptr %vectorcall(ptr %finish, ptr %result_at, i64 1, ptr null)
  call void @decref(ptr %api, ptr %value)
  ret ptr %converted
return:
  ret ptr %value
}
"""
