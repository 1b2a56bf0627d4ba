# What other compiled parts may call without Python between. Names here are kept: adapters are built against them.
#
#     from guard.market._compiled cimport CompiledBook, CompiledLive


cdef class Ladder:
    # One side, the worst level first and the best last: most changes come near the touch, and move little there.
    cdef double *prices
    cdef double *sizes
    cdef Py_ssize_t count
    cdef Py_ssize_t room
    cdef Py_ssize_t capacity
    cdef double sign  # 1.0 for bids, which grow towards the touch, -1.0 for asks, which fall
    cdef bint bounded
    cdef double horizon  # only if bounded
    cdef object store  # owns the memory, as do views of it

    cdef bint reserve(self, Py_ssize_t count) noexcept
    cdef Py_ssize_t place(self, double price, Py_ssize_t hint) noexcept
    cdef Py_ssize_t put(self, double price, double size, Py_ssize_t hint) noexcept
    cdef bint merge(self, const double *prices, const double *sizes, Py_ssize_t count) noexcept
    cdef bint merge_sorted(self, const double *prices, const double *sizes, Py_ssize_t count) noexcept
    cdef bint replace(self, const double *prices, const double *sizes, Py_ssize_t count) noexcept
    cdef void trim(self) noexcept
    cdef void empty(self) noexcept
    cdef double touch_size(self) noexcept


cdef class CompiledBook:
    cdef Ladder bids
    cdef Ladder asks
    cdef bint loaded
    cdef str where

    # Set absolute sizes as ``apply`` does; 0 deletes, the last of equal prices wins. Levels must have been checked:
    # every price in (0, 1e18], every size in [0, 1e18]. Never raises. Without memory the book forgets itself
    # (UNSYNCED) and the answer is False.
    cdef bint apply_levels(
        self,
        const double *bid_prices,
        const double *bid_sizes,
        Py_ssize_t bid_count,
        const double *ask_prices,
        const double *ask_sizes,
        Py_ssize_t ask_count,
    ) noexcept
    cdef void forget(self) noexcept
    cdef int status_code(self) noexcept  # 0 unsynced, 1 empty, 2 crossed, 3 ok


cdef class CompiledLive:
    cdef readonly CompiledBook book
    cdef public bint armed
    cdef public long long last_id
    cdef public long long book_at
    cdef public long long exchange_at
    cdef public bint changed
    cdef public long long updates
    cdef public double buy_usd
    cdef public double sell_usd
    cdef int said_code
    cdef object row  # a CurrentRow, measured after every update, or None
    # What the streams brought since it was last asked.
    cdef long long book_messages
    cdef long long book_last_at
    cdef long long book_gap_ns_max
    cdef long long trades_messages
    cdef long long trades_last_at
    cdef long long trades_gap_ns_max
    # The touch at the last sample.
    cdef bint touched
    cdef double mid_then
    cdef double bid_size_then
    cdef double ask_size_then

    # The twins of ``applied``, ``traded``, ``hear_book``, ``hear_trades`` and ``needs_attention``.
    cdef void note_applied(self, long long received_at, long long exchange_at) noexcept
    cdef void note_traded(self, double signed_notional_usd) noexcept
    cdef void note_book_heard(self, long long received_at) noexcept
    cdef void note_trades_heard(self, long long received_at) noexcept
    cdef bint turned(self) noexcept
    cdef bint attention(self) noexcept
