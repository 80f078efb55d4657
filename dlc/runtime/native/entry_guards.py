"""LLVM text of the guards of a call entry: whether arguments are what the program is for.

What a call must look like is a tree of nodes in the order of a walk: a node for each argument, list
and array, its children behind it. No code of Python runs between the first guard and the end of
the last one.
"""

from __future__ import annotations

GUARD_CODE = r"""
; Whether a value without data is the one that the program was made for: plain numbers and texts are
; compared, anything else must be the very object.
define internal i1 @same_value(ptr %api, ptr %node, ptr %given) {
entry:
  %wanted = call ptr @getp(ptr %node, i64 $node_object)
  %same = icmp eq ptr %given, %wanted
  br i1 %same, label %yes, label %kinds
kinds:
  %kind = call i64 @get(ptr %node, i64 $node_kind)
  %compared = icmp eq i64 %kind, $EQUAL
  %type = call ptr @getp(ptr %given, i64 $OB_TYPE)
  %wanted_type = call ptr @getp(ptr %wanted, i64 $OB_TYPE)
  %same_type = icmp eq ptr %type, %wanted_type
  %both = and i1 %compared, %same_type
  br i1 %both, label %compare, label %no
compare:
  %float_type = call ptr @getp(ptr %api, i64 $api_float_type)
  %is_float = icmp eq ptr %type, %float_type
  br i1 %is_float, label %floats, label %others
floats:
  %as_double = call ptr @getp(ptr %api, i64 $api_PyFloat_AsDouble)
  %x = call double %as_double(ptr %given)
  %y = call double %as_double(ptr %wanted)
  %x_bits = bitcast double %x to i64
  %y_bits = bitcast double %y to i64
  %equal_bits = icmp eq i64 %x_bits, %y_bits
  ret i1 %equal_bits
others:
  %function = call ptr @getp(ptr %api, i64 $api_PyObject_RichCompareBool)
  %r = call i32 %function(ptr %given, ptr %wanted, i32 $PY_EQ)
  %equal = icmp eq i32 %r, 1
  ret i1 %equal
yes:
  ret i1 true
no:
  ret i1 false
}

; The children of a list or tuple; the node after the last, or null.
define internal ptr @match_items(ptr %state, ptr %node, ptr %items, i64 %n) {
entry:
  %first = getelementptr i8, ptr %node, i64 $NODE_BYTES
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %matched ]
  %child = phi ptr [ %first, %entry ], [ %next, %matched ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %at = getelementptr ptr, ptr %items, i64 %i
  %item = load ptr, ptr %at
  %next = call ptr @match(ptr %state, ptr %child, ptr %item)
  %failed = icmp eq ptr %next, null
  br i1 %failed, label %no, label %matched
matched:
  %i1 = add i64 %i, 1
  br label %head
done:
  ret ptr %child
no:
  ret ptr null
}

; Whether a key is the one that was seen: the very object, or an equal text.
define internal i1 @same_key(ptr %api, ptr %key, ptr %wanted) alwaysinline {
entry:
  %same = icmp eq ptr %key, %wanted
  br i1 %same, label %done, label %kinds
kinds:
  %text = call ptr @getp(ptr %api, i64 $api_str_type)
  %key_type = call ptr @getp(ptr %key, i64 $OB_TYPE)
  %wanted_type = call ptr @getp(ptr %wanted, i64 $OB_TYPE)
  %is_text = icmp eq ptr %key_type, %text
  %both_are = icmp eq ptr %key_type, %wanted_type
  %both = and i1 %is_text, %both_are
  br i1 %both, label %compare, label %done
compare:
  %function = call ptr @getp(ptr %api, i64 $api_PyObject_RichCompareBool)
  %r = call i32 %function(ptr %key, ptr %wanted, i32 $PY_EQ)
  %equal = icmp eq i32 %r, 1
  br label %done
done:
  %result = phi i1 [ true, %entry ], [ false, %kinds ], [ %equal, %compare ]
  ret i1 %result
}

; A dict with the keys of the node, in their order; the node after its last value, or null.
define internal ptr @match_dict(ptr %state, ptr %node, ptr %dict, i64 %n) {
entry:
  %position = alloca i64
  %key_at = alloca ptr
  %value_at = alloca ptr
  %api = call ptr @getp(ptr %state, i64 $state_api)
  %size_of = call ptr @getp(ptr %api, i64 $api_PyDict_Size)
  %step = call ptr @getp(ptr %api, i64 $api_PyDict_Next)
  %keys = call ptr @getp(ptr %node, i64 $node_keys)
  %size = call i64 %size_of(ptr %dict)
  %same_size = icmp eq i64 %size, %n
  store i64 0, ptr %position
  %first = getelementptr i8, ptr %node, i64 $NODE_BYTES
  br i1 %same_size, label %head, label %no
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %matched ]
  %child = phi ptr [ %first, %entry ], [ %next, %matched ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %done
body:
  %some = call i32 %step(ptr %dict, ptr %position, ptr %key_at, ptr %value_at)
  %ended = icmp eq i32 %some, 0
  br i1 %ended, label %no, label %compare
compare:
  %key = load ptr, ptr %key_at
  %wanted_at = getelementptr ptr, ptr %keys, i64 %i
  %wanted = load ptr, ptr %wanted_at
  %same_key = call i1 @same_key(ptr %api, ptr %key, ptr %wanted)
  br i1 %same_key, label %value, label %no
value:
  %item = load ptr, ptr %value_at
  %next = call ptr @match(ptr %state, ptr %child, ptr %item)
  %failed = icmp eq ptr %next, null
  br i1 %failed, label %no, label %matched
matched:
  %i1 = add i64 %i, 1
  br label %head
done:
  ret ptr %child
no:
  ret ptr null
}

; Whether an object is what a node and those below it ask for: the node after them, or null.
define internal ptr @match(ptr %state, ptr %node, ptr %given) {
entry:
  %kind = call i64 @get(ptr %node, i64 $node_kind)
  %type = call ptr @getp(ptr %given, i64 $OB_TYPE)
  %api = call ptr @getp(ptr %state, i64 $state_api)
  %after = getelementptr i8, ptr %node, i64 $NODE_BYTES
  switch i64 %kind, label %scalar [
    i64 $TENSOR, label %array
    i64 $TENSOR_OR_ARRAY, label %array
    i64 $LIST, label %list
    i64 $TUPLE, label %tuple
    i64 $SLICE, label %slice
    i64 $DICT, label %dict
    i64 $SAME, label %value
    i64 $EQUAL, label %value
    i64 $FIELD, label %field
  ]
array:
  %a = call i1 @accept_array(ptr %state, ptr %node, ptr %given)
  br i1 %a, label %yes, label %no
scalar:
  %block = call ptr @getp(ptr %state, i64 $state_block)
  %s = call i1 @accept_scalar(ptr %api, ptr %node, ptr %given, ptr %block)
  br i1 %s, label %yes, label %no
value:
  %v = call i1 @same_value(ptr %api, ptr %node, ptr %given)
  br i1 %v, label %yes, label %no
field:
  %offset = call i64 @get(ptr %node, i64 $node_count)
  %inner = call ptr @getp(ptr %given, i64 %offset)
  %unset = icmp eq ptr %inner, null
  br i1 %unset, label %no, label %inside
inside:
  %f = call ptr @match(ptr %state, ptr %after, ptr %inner)
  ret ptr %f
list:
  %list_type = call ptr @getp(ptr %api, i64 $api_list_type)
  %is_list = icmp eq ptr %type, %list_type
  br i1 %is_list, label %in_list, label %no
in_list:
  %list_items = call ptr @getp(ptr %given, i64 $LIST_ITEMS)
  br label %items
tuple:
  %tuple_type = call ptr @getp(ptr %node, i64 $node_object)
  %is_tuple = icmp eq ptr %type, %tuple_type
  br i1 %is_tuple, label %in_tuple, label %no
in_tuple:
  %tuple_items = getelementptr i8, ptr %given, i64 $TUPLE_ITEMS
  br label %items
slice:
  %slice_type = call ptr @getp(ptr %node, i64 $node_object)
  %is_slice = icmp eq ptr %type, %slice_type
  br i1 %is_slice, label %in_slice, label %no
in_slice:
  %slice_items = getelementptr i8, ptr %given, i64 $SLICE_ITEMS
  %s3 = call ptr @match_items(ptr %state, ptr %node, ptr %slice_items, i64 3)
  ret ptr %s3
items:
  %first = phi ptr [ %list_items, %in_list ], [ %tuple_items, %in_tuple ]
  %n = call i64 @get(ptr %node, i64 $node_count)
  %size = call i64 @get(ptr %given, i64 $OB_SIZE)
  %same_size = icmp eq i64 %size, %n
  br i1 %same_size, label %each, label %no
each:
  %e = call ptr @match_items(ptr %state, ptr %node, ptr %first, i64 %n)
  ret ptr %e
dict:
  %dict_type = call ptr @getp(ptr %api, i64 $api_dict_type)
  %is_dict = icmp eq ptr %type, %dict_type
  br i1 %is_dict, label %in_dict, label %no
in_dict:
  %n_keys = call i64 @get(ptr %node, i64 $node_count)
  %d = call ptr @match_dict(ptr %state, ptr %node, ptr %given, i64 %n_keys)
  ret ptr %d
yes:
  ret ptr %after
no:
  ret ptr null
}

; Whether keywords have the names that the entry knows, in their order.
define internal i1 @same_names(ptr %names, ptr %known) {
entry:
  %same = icmp eq ptr %names, %known
  br i1 %same, label %yes, label %some
some:
  %none = icmp eq ptr %names, null
  %unknown = icmp eq ptr %known, null
  %either = or i1 %none, %unknown
  br i1 %either, label %no, label %sizes
sizes:
  %n = call i64 @get(ptr %names, i64 $OB_SIZE)
  %m = call i64 @get(ptr %known, i64 $OB_SIZE)
  %equal = icmp eq i64 %n, %m
  br i1 %equal, label %head, label %no
head:
  %i = phi i64 [ 0, %sizes ], [ %i1, %next ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %yes
body:
  %i1 = add i64 %i, 1
  %at = shl i64 %i, 3
  %item = add i64 %at, $TUPLE_ITEMS
  %a = call ptr @getp(ptr %names, i64 %item)
  %b = call ptr @getp(ptr %known, i64 %item)
  %match = icmp eq ptr %a, %b
  br i1 %match, label %next, label %no
next:
  br label %head
yes:
  ret i1 true
no:
  ret i1 false
}

; Checks the arguments, then what the program reads besides.
define internal i1 @accept(ptr %state, ptr %args, i64 %n) {
entry:
  %config = call ptr @getp(ptr %state, i64 $state_config)
  %nodes = call ptr @getp(ptr %config, i64 $config_nodes)
  %n_held = call i64 @get(ptr %config, i64 $config_n_held)
  %all = add i64 %n, %n_held
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %matched ]
  %node = phi ptr [ %nodes, %entry ], [ %next, %matched ]
  %more = icmp slt i64 %i, %all
  br i1 %more, label %body, label %yes
body:
  %is_argument = icmp slt i64 %i, %n
  br i1 %is_argument, label %argument, label %held
argument:
  %at = getelementptr ptr, ptr %args, i64 %i
  %arg = load ptr, ptr %at
  br label %check
held:
  %object = call ptr @getp(ptr %node, i64 $node_object)
  %below = getelementptr i8, ptr %node, i64 $NODE_BYTES
  br label %check
check:
  %given = phi ptr [ %arg, %argument ], [ %object, %held ]
  %tree = phi ptr [ %node, %argument ], [ %below, %held ]
  %next = call ptr @match(ptr %state, ptr %tree, ptr %given)
  %failed = icmp eq ptr %next, null
  br i1 %failed, label %no, label %matched
matched:
  %i1 = add i64 %i, 1
  br label %head
yes:
  %good = call i1 @make_exclusive(ptr %state)
  ret i1 %good
no:
  ret i1 false
}

; Whether the arrays that the program overwrites are seen by nobody else than what holds them: they
; have its reference and the one of this call. Others of variables are copied, as those are that a
; recorded graph holds.
define internal i1 @make_exclusive(ptr %state) {
entry:
  %api = call ptr @getp(ptr %state, i64 $state_api)
  %array_type = call ptr @getp(ptr %api, i64 $api_array_type)
  %config = call ptr @getp(ptr %state, i64 $state_config)
  %n = call i64 @get(ptr %config, i64 $config_n_taken)
  %taken = call ptr @getp(ptr %config, i64 $config_taken)
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %fine ]
  %more = icmp slt i64 %i, %n
  br i1 %more, label %body, label %yes
body:
  %i1 = add i64 %i, 1
  %at = mul i64 %i, $TAKEN_BYTES
  %record = getelementptr i8, ptr %taken, i64 %at
  %keep = call ptr @keep_of(ptr %state, ptr %record)
  %array = load ptr, ptr %keep
  %count = load i32, ptr %array
  %exclusive = icmp eq i32 %count, 2
  br i1 %exclusive, label %memory, label %copy
memory:
  %base = call ptr @getp(ptr %array, i64 $array_base)
  %own = icmp eq ptr %base, null
  br i1 %own, label %fine, label %look
look:
  %type = call ptr @getp(ptr %base, i64 $OB_TYPE)
  %is_array = icmp eq ptr %type, %array_type
  br i1 %is_array, label %below, label %copy
below:
  %base_count = load i32, ptr %base
  %single = icmp eq i32 %base_count, 1
  %flags_at = getelementptr i8, ptr %base, i64 $array_flags
  %flags = load i32, ptr %flags_at
  %owning = and i32 %flags, $OWNDATA
  %owns = icmp ne i32 %owning, 0
  %both = and i1 %single, %owns
  br i1 %both, label %fine, label %copy
copy:
  %copied = call i1 @keep_copy(ptr %state, ptr %record, ptr %keep)
  br i1 %copied, label %fine, label %no
fine:
  br label %head
yes:
  ret i1 true
no:
  ret i1 false
}

; Keeps a copy of an array in its place; false where it is none of a variable's, or with an
; exception set.
define internal i1 @keep_copy(ptr %state, ptr %record, ptr %keep) {
entry:
  %output = call ptr @getp(ptr %record, i64 $taken_copy)
  %none = icmp eq ptr %output, null
  br i1 %none, label %no, label %look
look:
  %array = load ptr, ptr %keep
  %data = call ptr @getp(ptr %array, i64 $array_data)
  %address = ptrtoint ptr %data to i64
  %low = and i64 %address, 7
  %whole = icmp eq i64 %low, 0
  br i1 %whole, label %make, label %no
make:
  %api = call ptr @getp(ptr %state, i64 $state_api)
  %block = call ptr @getp(ptr %state, i64 $state_block)
  %slots = getelementptr i8, ptr %block, i64 $BLOCK_SLOTS
  %new = call ptr @new_array(ptr %api, ptr %output, ptr %slots)
  %failed = icmp eq ptr %new, null
  br i1 %failed, label %no, label %fill
fill:
  %to = call ptr @getp(ptr %new, i64 $array_data)
  %bytes = call i64 @get(ptr %output, i64 $output_bytes)
  call void @copy_words(ptr %to, ptr %data, i64 %bytes)
  store ptr %new, ptr %keep
  call void @decref(ptr %api, ptr %array)
  ret i1 true
no:
  ret i1 false
}

; The kept array, and what holds it, of a record of an array that is overwritten.
define internal ptr @keep_of(ptr %state, ptr %record) alwaysinline {
  %number = load i64, ptr %record
  %first = call ptr @getp(ptr %state, i64 $state_first_keep)
  %at = mul i64 %number, $KEEP_BYTES
  %keep = getelementptr i8, ptr %first, i64 %at
  ret ptr %keep
}
"""
