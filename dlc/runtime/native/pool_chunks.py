"""LLVM text that shares out the chunks of a region.

Each thread has a *lane*, an equal share of neighbouring chunks, and takes them in order. One whose
lane is empty takes from the other ends of the others'. So a thread that comes late costs nothing,
and one that comes in time computes what it computed in the last call: what its chunks read, such as
the weights of a layer, may still be in its own caches. Every other region goes backwards, and so
does one of a program in every other run: it begins with what was touched last.
"""

from __future__ import annotations

CHUNK_CODE = r"""
define internal i64 @mix(i64 %a, i64 %b) {
  %b1 = mul i64 %b, -7046029254386353131
  %x0 = xor i64 %a, %b1
  %s0 = lshr i64 %x0, 32
  %x1 = xor i64 %x0, %s0
  %x2 = mul i64 %x1, -4658895280553007687
  %s2 = lshr i64 %x2, 29
  %x3 = xor i64 %x2, %s2
  ret i64 %x3
}

; Test mode: a delay that depends on the seed, the region, the chunk and the thread.
define internal void @delay(ptr %pool, i64 %k, i64 %me) {
entry:
  %seed = call i64 @field(ptr %pool, i64 $pool_seed)
  %region = call i64 @field(ptr %pool, i64 $pool_regions)
  %h0 = call i64 @mix(i64 %seed, i64 %region)
  %h1 = call i64 @mix(i64 %h0, i64 %k)
  %h = call i64 @mix(i64 %h1, i64 %me)
  %n = and i64 %h, 511
  %y = lshr i64 %h, 40
  %y1 = and i64 %y, 1
  %yields = icmp eq i64 %y1, 0
  br i1 %yields, label %give, label %head
give:
  %yield = call ptr @function(ptr %pool, i64 $pool_sched_yield)
  call i32 %yield()
  br label %head
head:
  %i = phi i64 [ %n, %entry ], [ %n, %give ], [ %i1, %body ]
  %more = icmp ne i64 %i, 0
  br i1 %more, label %body, label %done
body:
  call void @pause()
  %i1 = sub i64 %i, 1
  br label %head
done:
  ret void
}

; Test mode: the chunk taken k-th, a permutation of 0 .. total-1. The factors are primes above any
; total.
define internal i64 @shuffled(ptr %pool, i64 %k, i64 %total) {
  %seed = call i64 @field(ptr %pool, i64 $pool_seed)
  %region = call i64 @field(ptr %pool, i64 $pool_regions)
  %h = call i64 @mix(i64 %seed, i64 %region)
  %bit = and i64 %h, 1
  %odd = icmp eq i64 %bit, 0
  %factor = select i1 %odd, i64 2654435761, i64 3266489917
  %shift0 = lshr i64 %h, 8
  %shift = and i64 %shift0, 1073741823
  %f = urem i64 %factor, %total
  %product = mul i64 %k, %f
  %sum = add i64 %product, %shift
  %c = urem i64 %sum, %total
  ret i64 %c
}

; Deals the chunks of a region out to its threads, each an equal share of neighbours.
define internal void @deal(ptr %pool, i64 %total, i64 %lanes) {
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %body ]
  %front = phi i64 [ 0, %entry ], [ %end, %body ]
  %more = icmp ult i64 %i, %lanes
  br i1 %more, label %body, label %done
body:
  %i1 = add i64 %i, 1
  %product = mul i64 %i1, %total
  %end = udiv i64 %product, %lanes
  %high = shl i64 %end, 32
  %lane = or i64 %high, %front
  %line = call ptr @line_of(ptr %pool, i64 %i)
  call void @set(ptr %line, i64 $thread_lane, i64 %lane)
  br label %head
done:
  ret void
}

; Takes a chunk from the front of a lane, or from its end; -1 when none is left.
define internal i64 @take(ptr %pool, i64 %number, i1 %front_first) {
entry:
  %line = call ptr @line_of(ptr %pool, i64 %number)
  %lane = getelementptr i8, ptr %line, i64 $thread_lane
  %w0 = load atomic i64, ptr %lane monotonic, align 8
  br label %look
look:
  %w = phi i64 [ %w0, %entry ], [ %current, %try ]
  %front = and i64 %w, 4294967295
  %end = lshr i64 %w, 32
  %some = icmp ult i64 %front, %end
  br i1 %some, label %try, label %none
try:
  %last = sub i64 %end, 1
  %k = select i1 %front_first, i64 %front, i64 %last
  %change = select i1 %front_first, i64 1, i64 -4294967296
  %w1 = add i64 %w, %change
  %pair = cmpxchg ptr %lane, i64 %w, i64 %w1 monotonic monotonic
  %current = extractvalue { i64, i1 } %pair, 0
  %mine = extractvalue { i64, i1 } %pair, 1
  br i1 %mine, label %got, label %look
got:
  ret i64 %k
none:
  ret i64 -1
}

; Takes chunks until none is left, first from the thread's own lane; returns how many.
define internal i64 @work(ptr %pool, ptr %args, ptr %scratch, i64 %me) noinline {
entry:
  %first = call ptr @function(ptr %pool, i64 $pool_first)
  %total = call i64 @field(ptr %pool, i64 $pool_total)
  %lanes = call i64 @field(ptr %pool, i64 $pool_lanes)
  %slots = call ptr @function(ptr %pool, i64 $pool_slots)
  %seed = call i64 @field(ptr %pool, i64 $pool_seed)
  %random = icmp ne i64 %seed, 0
  %turn = call i64 @field(ptr %pool, i64 $pool_turn)
  %odd = and i64 %turn, 1
  %backward = icmp ne i64 %odd, 0
  %count0 = call i64 @chunks_of(ptr %first)
  br label %take
take:
  %lane = phi i64 [ %me, %entry ], [ %lane, %ran ], [ %other, %empty ]
  %job0 = phi ptr [ %first, %entry ], [ %job, %ran ], [ %job0, %empty ]
  %base0 = phi i64 [ 0, %entry ], [ %base, %ran ], [ %base0, %empty ]
  %size0 = phi i64 [ %count0, %entry ], [ %size, %ran ], [ %size0, %empty ]
  %ready0 = phi i1 [ false, %entry ], [ true, %ran ], [ %ready0, %empty ]
  %taken = phi i64 [ 0, %entry ], [ %taken1, %ran ], [ %taken, %empty ]
  %own = icmp eq i64 %lane, %me
  %front_first = xor i1 %own, %backward
  %k = call i64 @take(ptr %pool, i64 %lane, i1 %front_first)
  %got = icmp sge i64 %k, 0
  br i1 %got, label %order, label %empty
empty:
  %next = add i64 %lane, 1
  %past = icmp eq i64 %next, %lanes
  %other = select i1 %past, i64 0, i64 %next
  %all = icmp eq i64 %other, %me
  br i1 %all, label %done, label %take
order:
  br i1 %random, label %shuffle, label %begin
shuffle:
  call void @delay(ptr %pool, i64 %k, i64 %me)
  %c1 = call i64 @shuffled(ptr %pool, i64 %k, i64 %total)
  br label %begin
begin:
  %c = phi i64 [ %k, %order ], [ %c1, %shuffle ]
  %behind = icmp ult i64 %c, %base0
  br i1 %behind, label %restart, label %find
restart:
  br label %find
find:
  %job = phi ptr [ %job0, %begin ], [ %first, %restart ], [ %job_next, %skip ]
  %base = phi i64 [ %base0, %begin ], [ 0, %restart ], [ %base_next, %skip ]
  %size = phi i64 [ %size0, %begin ], [ %count0, %restart ], [ %size_next, %skip ]
  %ready = phi i1 [ %ready0, %begin ], [ false, %restart ], [ false, %skip ]
  %within = sub i64 %c, %base
  %here = icmp ult i64 %within, %size
  br i1 %here, label %prepare, label %skip
skip:
  %base_next = add i64 %base, %size
  %job_next = call ptr @after(ptr %job)
  %size_next = call i64 @chunks_of(ptr %job_next)
  br label %find
prepare:
  br i1 %ready, label %execute, label %collect
collect:
  call void @gather(ptr %job, ptr %slots, ptr %args)
  br label %execute
execute:
  %units = call i64 @word(ptr %job, i64 1)
  %chunk = call i64 @word(ptr %job, i64 2)
  %lo = mul i64 %within, %chunk
  %left = sub i64 %units, %lo
  %whole = icmp ult i64 %chunk, %left
  %length = select i1 %whole, i64 %chunk, i64 %left
  %hi = add i64 %lo, %length
  call void @call_job(ptr %job, ptr %args, i64 %lo, i64 %hi, ptr %scratch)
  br label %ran
ran:
  %taken1 = add i64 %taken, 1
  br label %take
done:
  ret i64 %taken
}
"""
