"""LLVM text of the guards of data: arrays and Python scalars.

An array is written to its slot as it is found, and kept alive; a scalar is copied into its cell.
"""

from __future__ import annotations

LEAF_CODE = r"""
; Puts the address of an argument's data into its slot; the array and what holds it are kept.
; False when the argument is not what the node asks for, or with an exception set.
define internal i1 @accept_array(ptr %state, ptr %node, ptr %arg) alwaysinline {
entry:
  %api = call ptr @getp(ptr %state, i64 $state_api)
  %config = call ptr @getp(ptr %state, i64 $state_config)
  %type = call ptr @getp(ptr %arg, i64 $OB_TYPE)
  %array_type = call ptr @getp(ptr %api, i64 $api_array_type)
  %tensor_type = call ptr @getp(ptr %node, i64 $node_object)
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
  %kind = call i64 @get(ptr %node, i64 $node_kind)
  %allowed = icmp eq i64 %kind, $TENSOR_OR_ARRAY
  %is_array = icmp eq ptr %type, %array_type
  %both = and i1 %allowed, %is_array
  br i1 %both, label %check, label %no
check:
  %array = phi ptr [ %inner, %next_required ], [ %arg, %bare ]
  %descr = call ptr @getp(ptr %array, i64 $array_descr)
  %want_descr = call ptr @getp(ptr %node, i64 $node_descr)
  %same_descr = icmp eq ptr %descr, %want_descr
  %nd_at = getelementptr i8, ptr %array, i64 $array_nd
  %nd32 = load i32, ptr %nd_at
  %nd = zext i32 %nd32 to i64
  %want_nd = call i64 @get(ptr %node, i64 $node_nd)
  %same_nd = icmp eq i64 %nd, %want_nd
  %flags_at = getelementptr i8, ptr %array, i64 $array_flags
  %flags = load i32, ptr %flags_at
  %want_strides = call ptr @getp(ptr %node, i64 $node_strides)
  %contiguous = icmp eq ptr %want_strides, null
  %wanted_flags = select i1 %contiguous, i32 $NEEDED_FLAGS, i32 $ALIGNED
  %needed = and i32 %flags, %wanted_flags
  %laid_out = icmp eq i32 %needed, %wanted_flags
  %data = call ptr @getp(ptr %array, i64 $array_data)
  %address = ptrtoint ptr %data to i64
  %mask = call i64 @get(ptr %node, i64 $node_mask)
  %low = and i64 %address, %mask
  %aligned = icmp eq i64 %low, 0
  %g0 = and i1 %same_descr, %same_nd
  %g1 = and i1 %laid_out, %aligned
  %good = and i1 %g0, %g1
  br i1 %good, label %extents, label %no
extents:
  %dims = call ptr @getp(ptr %array, i64 $array_dims)
  %want_dims = call ptr @getp(ptr %node, i64 $node_dims)
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
  br i1 %equal, label %layout, label %no
layout:
  br i1 %contiguous, label %same, label %stride
stride:
  %strides = call ptr @getp(ptr %array, i64 $array_strides)
  %s = call i64 @get(ptr %strides, i64 %at)
  %want_s = call i64 @get(ptr %want_strides, i64 %at)
  %equal_s = icmp eq i64 %s, %want_s
  br i1 %equal_s, label %same, label %no
same:
  %i1 = add i64 %i, 1
  br label %head
yes:
  %copied = call i64 @get(ptr %node, i64 $node_copied)
  %itself = icmp eq i64 %copied, 0
  br i1 %itself, label %hold, label %copy
copy:
  %new_copy = call ptr @getp(ptr %api, i64 $api_PyArray_NewCopy)
  %fresh = call ptr %new_copy(ptr %array, i32 0)
  %failed = icmp eq ptr %fresh, null
  br i1 %failed, label %no, label %put
hold:
  call void @incref(ptr %api, ptr %array)
  br label %put
put:
  %kept = phi ptr [ %array, %hold ], [ %fresh, %copy ]
  %kept_data = call ptr @getp(ptr %kept, i64 $array_data)
  %slot = call i64 @get(ptr %node, i64 $node_slot)
  %block = call ptr @getp(ptr %state, i64 $state_block)
  %slots = getelementptr i8, ptr %block, i64 $BLOCK_SLOTS
  %slot_at = shl i64 %slot, 3
  call void @putp(ptr %slots, i64 %slot_at, ptr %kept_data)
  %keep = call ptr @getp(ptr %state, i64 $state_keep)
  store ptr %kept, ptr %keep
  call void @putp(ptr %keep, i64 8, ptr %arg)
  %after = getelementptr i8, ptr %keep, i64 $KEEP_BYTES
  call void @putp(ptr %state, i64 $state_keep, ptr %after)
  ret i1 true
no:
  ret i1 false
}

; Writes a Python scalar into its cell of the block, to which its slot points for good.
define internal i1 @accept_scalar(ptr %api, ptr %node, ptr %arg, ptr %block) {
entry:
  %over_at = alloca i32
  %kind = call i64 @get(ptr %node, i64 $node_kind)
  %cell_at = call i64 @get(ptr %node, i64 $node_cell)
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
  br i1 %is_float, label %read_float, label %perhaps_int
perhaps_int:
  %accepts_ints = call i64 @get(ptr %node, i64 $node_accepts_ints)
  %takes_ints = icmp ne i64 %accepts_ints, 0
  %an_int = call ptr @getp(ptr %api, i64 $api_int_type)
  %is_an_int = icmp eq ptr %type, %an_int
  %both = and i1 %takes_ints, %is_an_int
  br i1 %both, label %convert, label %no
convert:
  %to_long = call ptr @getp(ptr %api, i64 $api_PyLong_AsLongLongAndOverflow)
  %whole = call i64 %to_long(ptr %arg, ptr %over_at)
  %beyond = load i32, ptr %over_at
  %exact = icmp eq i32 %beyond, 0
  br i1 %exact, label %round, label %no
round:
  %as_f32 = sitofp i64 %whole to float
  %as_f64 = sitofp i64 %whole to double
  %to_narrow = icmp eq i64 %kind, $F32
  br i1 %to_narrow, label %whole_f32, label %whole_f64
whole_f32:
  store float %as_f32, ptr %cell
  ret i1 true
whole_f64:
  store double %as_f64, ptr %cell
  ret i1 true
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
"""
