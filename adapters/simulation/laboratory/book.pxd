cimport cython
from adapters.simulation.laboratory.bits cimport highest_bit, lowest_bit

ctypedef long long i64

cdef i64 _SLOTS_MAX

cdef class OrderBook:
    cdef readonly i64 ticks, best_bid, best_ask, last_tick, changed, fill_count, order_count
    cdef i64[::1] _level
    cdef int[::1] _head
    cdef int[::1] _tail
    cdef i64[::1] _words
    cdef i64[::1] _summary
    cdef i64[::1] _changed_bids
    cdef i64[::1] _changed_asks
    cdef i64 _slots, _free, _fills, _walkable
    cdef i64[::1] _walked
    cdef i64[::1] _order
    cdef i64[::1] _owner
    cdef i64[::1] _tick
    cdef i64[::1] _left
    cdef int[::1] _next
    cdef int[::1] _previous
    cdef i64[::1] _fill_owner
    cdef i64[::1] _fill_order
    cdef i64[::1] _fill_tick
    cdef i64[::1] _fill_lots

    cpdef i64 place(self, i64 owner, i64 side, i64 tick, i64 lots, bint post_only=*) except -2
    cpdef i64 take(self, i64 owner, i64 side, i64 lots, i64 limit_tick=*) except -1
    @cython.locals(slot=i64, lots=i64)
    cpdef i64 cancel(self, i64 order) except -1
    @cython.locals(slot=i64, out=i64, tick=i64)
    cpdef i64 shrink(self, i64 order, i64 lots) except -1
    @cython.locals(slot=i64, count=i64)
    cpdef i64 cancel_all(self, i64 owner) except -1
    @cython.locals(slot=i64)
    cpdef list orders_of(self, i64 owner)

    @cython.locals(slot=i64)
    cpdef i64 lots_left(self, i64 order) noexcept
    @cython.locals(slot=i64)
    cpdef i64 tick_of(self, i64 order) noexcept
    @cython.locals(slot=i64)
    cpdef i64 side_of(self, i64 order) noexcept
    @cython.locals(slot=i64)
    cpdef i64 owner_of(self, i64 order) noexcept
    cpdef i64 lots_at(self, i64 side, i64 tick) noexcept
    @cython.locals(lots=i64, at=i64)
    cpdef i64 lots_within(self, i64 side, i64 tick) noexcept
    cpdef i64 fill_owner(self, i64 fill) noexcept
    cpdef i64 fill_order(self, i64 fill) noexcept
    cpdef i64 fill_tick(self, i64 fill) noexcept
    cpdef i64 fill_lots(self, i64 fill) noexcept
    @cython.locals(words=i64[::1], ticks=i64[::1], count=i64, at=i64, word=i64, bit=i64)
    cpdef object take_changes(self, i64 side)
    @cython.locals(ticks=i64[::1], lots=i64[::1], count=i64, i=i64)
    cpdef tuple gather(self, i64 side, i64 levels_max, i64 farthest_tick=*)
    @cython.locals(table=double[:, ::1], count=i64, i=i64, tick=i64, price_parts=double, size_parts=double)
    cpdef object table(self, i64 side, i64 levels_max, i64 tick_factor, i64 tick_parts, i64 lot_factor, i64 lot_parts)
    @cython.locals(at=i64, word=i64, group=i64, groups=i64)
    cpdef i64 next_ask(self, i64 tick) noexcept
    @cython.locals(at=i64, word=i64, group=i64, bit=i64)
    cpdef i64 next_bid(self, i64 tick) noexcept

    @cython.locals(count=i64, tick=i64, last=i64)
    cdef i64 _walk(self, i64 side, i64 levels_max, i64 farthest_tick) except -1
    @cython.locals(slot=i64)
    cdef i64 _slot_of(self, i64 order) noexcept
    @cython.locals(tick=i64, slot=i64, following=i64, part=i64)
    cdef i64 _match(self, i64 owner, i64 side, i64 lots, i64 limit) except -1
    @cython.locals(slot=i64, last=i64, at=i64, bit=i64)
    cdef i64 _rest(self, i64 owner, i64 side, i64 tick, i64 lots) except -1
    @cython.locals(tick=i64)
    cdef i64 _take_out(self, i64 slot) noexcept
    @cython.locals(tick=i64, previous=i64, following=i64)
    cdef i64 _unlink(self, i64 slot) noexcept
    @cython.locals(at=i64, bit=i64)
    cdef i64 _vacate(self, i64 tick) noexcept
    @cython.locals(bit=i64)
    cdef i64 _note(self, i64 side, i64 tick) noexcept
    @cython.locals(fill=i64)
    cdef i64 _record(self, i64 slot, i64 tick, i64 lots) except -1
    @cython.locals(slots=i64)
    cdef i64 _grow(self) except -1
