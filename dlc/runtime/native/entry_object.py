"""LLVM text of the call entry as an object: references, the collector, the end of its life."""

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
