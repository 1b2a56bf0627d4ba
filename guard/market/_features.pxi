# Part of _compiled.pyx: what is measured on its books, into events, rows and curves.

cdef enum:
    POINTS_MAX = 64
    COSTS_MAX = 16

cdef struct Measured:
    # One side; NaN stands for None, and is given to nobody.
    double curve[POINTS_MAX]
    double costs[COSTS_MAX]
    double visible_bps
    double visible_usd
    double slope_usd
    double slope_kappa

cdef int POINTS = len(CURVE_BPS)
cdef int COSTS = len(NOTIONALS_USD)
assert POINTS <= POINTS_MAX and COSTS <= COSTS_MAX
cdef double[POINTS_MAX] _curve, _curve_over, _curve_log
cdef double[COSTS_MAX] _notionals
cdef int _at
for _at in range(POINTS):
    _curve[_at] = CURVE_BPS[_at]
    _curve_over[_at] = _liquidity.OVER[_at]
    _curve_log[_at] = log(_curve[_at])
for _at in range(COSTS):
    _notionals[_at] = NOTIONALS_USD[_at]

cdef double BPS_PER_UNIT = 10_000.0
cdef double KAPPA_PRIOR = _liquidity.KAPPA_PRIOR
cdef double KAPPA_MIN = _liquidity.KAPPA_MIN
cdef double KAPPA_MAX = _liquidity.KAPPA_MAX
cdef double PRIOR_WEIGHT = _liquidity.KAPPA_PRIOR_WEIGHT
cdef double OBSERVED_BPS_MIN = _liquidity.OBSERVED_BPS_MIN
cdef double ANCHOR_BPS_MIN = _liquidity.ANCHOR_BPS_MIN
cdef double WITHIN = _liquidity.WITHIN
cdef double REACH_BPS_MAX = _liquidity.REACH_BPS_MAX
cdef int _balance_at = CURVE_BPS.index(_liquidity.IMBALANCE_BPS)

# Notional (as prices) and base (as sizes) up to each level, best first: of the book that is being measured.
cdef Batch _bid_sums, _ask_sums
_bid_sums.prices = _bid_sums.sizes = _ask_sums.prices = _ask_sums.sizes = NULL
_bid_sums.room = _bid_sums.count = _ask_sums.room = _ask_sums.count = 0


cdef inline double distance_at(const double *best, Py_ssize_t at, double mid, double scale) noexcept:
    return fabs(best[-at] - mid) * scale


cdef Py_ssize_t count_within(
    const double *best, Py_ssize_t start, Py_ssize_t end, double mid, double scale, double bound
) noexcept:
    """How many levels are not farther than ``bound``, of which ``start`` are known to be; looked for from there."""
    cdef Py_ssize_t low = start, high, step = 4, middle
    while low + step <= end and distance_at(best, low + step - 1, mid, scale) <= bound:
        low += step
        step *= 2
    high = min(low + step, end)
    while low < high:
        middle = (low + high) >> 1
        if distance_at(best, middle, mid, scale) <= bound:
            low = middle + 1
        else:
            high = middle
    return low


cdef struct Extent:
    # How far one side is looked at, best first: levels that are complete, and levels that are counted.
    const double *best
    const double *best_size
    double visible_bps
    double observed_bps
    Py_ssize_t visible
    Py_ssize_t observed
    Py_ssize_t summed


cdef void find_extent(Ladder side, double mid, bint ends, double end, Extent *out) noexcept:
    cdef Py_ssize_t total = side.count
    cdef double scale = BPS_PER_UNIT / mid, away, last_bps
    cdef const double *best = side.prices + total - 1
    out.best, out.best_size = best, side.sizes + total - 1
    last_bps = distance_at(best, total - 1, mid, scale)
    out.visible_bps = last_bps
    if ends:
        away = end - mid if best[0] >= mid else mid - end
        out.visible_bps = min(last_bps, max(away, 0.0) * BPS_PER_UNIT / mid)
    out.visible = total
    if last_bps > out.visible_bps * WITHIN:
        out.visible = count_within(best, 0, total, mid, scale, out.visible_bps * WITHIN)
    out.observed_bps = max(out.visible_bps, min(OBSERVED_BPS_MIN, last_bps))
    out.observed = max(count_within(best, out.visible, total, mid, scale, out.observed_bps * WITHIN), 1)
    out.summed = max(out.visible, out.observed)


cdef int sum_up(const Extent *bids, const Extent *asks) except -1:
    # Notional and base up to each level. Both sides in one loop: each addition waits for the one before it, and the
    # other side's are done meanwhile.
    cdef Py_ssize_t at, common = min(bids.summed, asks.summed)
    cdef double bid_usd = 0.0, bid_base = 0.0, ask_usd = 0.0, ask_base = 0.0
    cdef double *bid_usd_to
    cdef double *bid_base_to
    cdef double *ask_usd_to
    cdef double *ask_base_to
    make_room(&_bid_sums, bids.summed)
    make_room(&_ask_sums, asks.summed)
    bid_usd_to, bid_base_to = _bid_sums.prices, _bid_sums.sizes
    ask_usd_to, ask_base_to = _ask_sums.prices, _ask_sums.sizes
    for at in range(common):
        bid_usd += bids.best[-at] * bids.best_size[-at]
        ask_usd += asks.best[-at] * asks.best_size[-at]
        bid_base += bids.best_size[-at]
        ask_base += asks.best_size[-at]
        bid_usd_to[at], bid_base_to[at] = bid_usd, bid_base
        ask_usd_to[at], ask_base_to[at] = ask_usd, ask_base
    for at in range(common, bids.summed):
        bid_usd += bids.best[-at] * bids.best_size[-at]
        bid_base += bids.best_size[-at]
        bid_usd_to[at], bid_base_to[at] = bid_usd, bid_base
    for at in range(common, asks.summed):
        ask_usd += asks.best[-at] * asks.best_size[-at]
        ask_base += asks.best_size[-at]
        ask_usd_to[at], ask_base_to[at] = ask_usd, ask_base
    return 0


cdef void measure_side(const Extent *extent, const Batch *sums, double mid, Measured *out) noexcept:
    """What ``side_features`` says, from the sums."""
    cdef Py_ssize_t observed = extent.observed, start = 0
    cdef double scale = BPS_PER_UNIT / mid, anchor_bps, anchor_usd, exponent, slope_usd
    cdef double[POINTS_MAX] counted
    cdef int point
    anchor_bps = max(
        extent.observed_bps, distance_at(extent.best, observed - 1, mid, scale), ANCHOR_BPS_MIN
    )
    anchor_usd = sums.prices[observed - 1]
    for point in range(POINTS):
        if start < observed:
            start = count_within(extent.best, start, observed, mid, scale, _curve_over[point])
        counted[point] = sums.prices[start - 1] if start else 0.0
    exponent, out.slope_kappa = KAPPA_PRIOR, NAN
    if observed >= 3:
        exponent = out.slope_kappa = fit_kappa(counted, anchor_bps, anchor_usd)
    slope_usd = anchor_usd / pow(anchor_bps, exponent)
    for point in range(POINTS):
        if anchor_bps < _curve[point]:
            out.curve[point] = max(slope_usd * exp(exponent * _curve_log[point]), anchor_usd)
        else:
            out.curve[point] = counted[point]
    out.slope_usd = slope_usd if observed >= 3 else NAN
    out.visible_bps = extent.visible_bps
    out.visible_usd = sums.prices[extent.visible - 1] if extent.visible else 0.0
    slippages(extent.best, sums.prices, sums.sizes, extent.visible, mid, out)


cdef double fit_kappa(const double *counted, double anchor_bps, double anchor_usd) noexcept:
    cdef double across = 0.0, along = 0.0, x, y, fitted, anchor_log = log(anchor_bps)
    cdef int point
    for point in range(POINTS):
        if anchor_bps <= _curve[point]:
            break
        if counted[point] > 0.0:
            x = _curve_log[point] - anchor_log
            y = log(counted[point] / anchor_usd)
            across += x * y
            along += x * x
    fitted = (across + PRIOR_WEIGHT * KAPPA_PRIOR) / (along + PRIOR_WEIGHT)
    return min(max(fitted, KAPPA_MIN), KAPPA_MAX)


cdef void slippages(
    const double *best, const double *usd_to, const double *base_to, Py_ssize_t count, double mid, Measured *out
) noexcept:
    cdef double wanted, cost, before_usd, before_base, vwap, least = 0.0
    cdef Py_ssize_t low = 0, high, middle
    cdef int at
    for at in range(COSTS):
        wanted = _notionals[at]
        if wanted > out.visible_usd:
            out.costs[at] = NAN
            continue
        high = count
        while low < high:
            middle = (low + high) >> 1
            if usd_to[middle] < wanted:
                low = middle + 1
            else:
                high = middle
        before_usd = usd_to[low - 1] if low else 0.0
        before_base = base_to[low - 1] if low else 0.0
        vwap = wanted / (before_base + (wanted - before_usd) / best[-low])
        cost = fabs(vwap / mid - 1.0) * BPS_PER_UNIT
        # Rounding must not make a larger order cheaper than a smaller one.
        least = max(least, cost)
        out.costs[at] = least


cdef tuple floats_of(const double *numbers, int count):
    # NaN stands for None.
    cdef tuple made = PyTuple_New(count)
    cdef object number
    cdef int at
    for at in range(count):
        number = None if isnan(numbers[at]) else numbers[at]
        Py_INCREF(number)
        PyTuple_SET_ITEM(made, at, number)
    return made


cdef object side_of(const Measured *measured):
    cdef bint fitted = not isnan(measured.slope_kappa)
    return BookSide(
        curve_usd=floats_of(measured.curve, POINTS),
        visible_bps=measured.visible_bps,
        visible_usd=measured.visible_usd,
        slippage_bps=floats_of(measured.costs, COSTS),
        slope_usd=measured.slope_usd if fitted else None,
        slope_kappa=measured.slope_kappa if fitted else None,
    )


cdef double balance_of(const Measured *bids, const Measured *asks) noexcept:
    cdef double bid = bids.curve[_balance_at], ask = asks.curve[_balance_at], total = bid + ask
    return min(max((bid - ask) / total, -1.0), 1.0) if total > 0.0 else 0.0


cdef struct Limit:
    # The price up to which a side is complete, if there is one.
    bint ends
    double price


cdef inline Limit limit_of(Ladder side, object end) except *:
    return Limit(side.bounded, side.horizon) if end is None else Limit(True, end)


cdef void measure_book(CompiledBook book, Limit bid_end, Limit ask_end, Measured *bids, Measured *asks) noexcept:
    cdef double mid = (book.bids.prices[book.bids.count - 1] + book.asks.prices[book.asks.count - 1]) / 2.0
    cdef Extent bid_extent, ask_extent
    find_extent(book.bids, mid, bid_end.ends, bid_end.price, &bid_extent)
    find_extent(book.asks, mid, ask_end.ends, ask_end.price, &ask_extent)
    sum_up(&bid_extent, &ask_extent)
    measure_side(&bid_extent, &_bid_sums, mid, bids)
    measure_side(&ask_extent, &_ask_sums, mid, asks)


def sides_of(CompiledBook book not None, bid_end, ask_end):
    """Both sides measured, and their imbalance; ends are prices up to which they are complete, or None."""
    cdef Measured bids, asks
    if not book.bids.count or not book.asks.count:
        raise ValueError(f"{book.where}: a side without levels cannot be measured")
    measure_book(book, limit_of(book.bids, bid_end), limit_of(book.asks, ask_end), &bids, &asks)
    return side_of(&bids), side_of(&asks), balance_of(&bids, &asks)


# The curve of a side that was measured


@cython.final
cdef class CompiledCurve:
    """The fast twin of ``guard.market.liquidity.PlainCurve``, number for number."""

    cdef double[POINTS_MAX + 2] x
    cdef double[POINTS_MAX + 2] usd
    cdef int last
    cdef double kappa

    def __init__(self, side):
        cdef tuple curve = side.curve_usd
        cdef double visible_bps = side.visible_bps, visible_usd = side.visible_usd, low, high, number
        cdef object kappa = side.slope_kappa
        cdef int point, at = 0, made = 1
        if len(curve) != POINTS:
            raise ValueError(f"a curve has {POINTS} points, not {len(curve)}")
        self.kappa = KAPPA_PRIOR if kappa is None else kappa
        self.x[0] = self.usd[0] = 0.0
        # The exact last visible point joins the grid where it fits into it without breaking monotony.
        while at < POINTS and _curve[at] < visible_bps:
            at += 1
        low = <double>curve[at - 1] if at else 0.0
        high = <double>curve[at] if at < POINTS else INFINITY
        joins = visible_bps > 0.0 and (at == POINTS or _curve[at] > visible_bps) and low <= visible_usd <= high
        for point in range(POINTS + 1):
            if point == at and joins:
                self.x[made], self.usd[made] = visible_bps, visible_usd
                made += 1
            if point < POINTS:
                number = curve[point]
                self.x[made], self.usd[made] = _curve[point], number
                made += 1
        self.last = made - 1

    cpdef double depth(self, double bps):
        cdef int at = 0
        cdef double share
        if bps <= 0.0:
            return 0.0
        if bps > self.x[self.last]:
            return self.usd[self.last] * pow(min(bps, REACH_BPS_MAX) / self.x[self.last], self.kappa)
        while self.x[at] < bps:
            at += 1
        share = (bps - self.x[at - 1]) / (self.x[at] - self.x[at - 1])
        return self.usd[at - 1] + (self.usd[at] - self.usd[at - 1]) * share

    cpdef double reach(self, double usd):
        cdef int at = 0
        cdef double share
        if usd <= 0.0:
            return 0.0
        if usd > self.usd[self.last]:
            if self.usd[self.last] <= 0.0 or self.x[self.last] >= REACH_BPS_MAX:
                return REACH_BPS_MAX
            return min(self.x[self.last] * pow(usd / self.usd[self.last], 1.0 / self.kappa), REACH_BPS_MAX)
        while self.usd[at] < usd:
            at += 1
        share = (usd - self.usd[at - 1]) / (self.usd[at] - self.usd[at - 1])
        return self.x[at - 1] + (self.x[at] - self.x[at - 1]) * share

    cpdef double integral(self, double low_usd, double high_usd, double floor_bps):
        """Integrate ``max(reach, floor_bps)`` over USD, in USD * bps."""
        cdef double total = 0.0, start = min(low_usd, high_usd), end, stop = max(low_usd, high_usd)
        cdef int at = 0
        while start < stop:
            while at <= self.last and self.usd[at] <= start:
                at += 1
            end = min(self.usd[at], stop) if at <= self.last else stop
            if start >= self.usd[self.last]:
                total += self.integral_beyond(start, end, floor_bps)
            else:
                # Reach jumps where the curve is flat: the segment starts behind the jump.
                after = self.x[at - 1] if at and self.usd[at - 1] == start else self.reach(start)
                total += floored_mean(after, self.reach(end), floor_bps) * (end - start)
            start = end
        return total

    cdef double integral_beyond(self, double start, double end, double floor_bps):
        cdef double last_usd = self.usd[self.last], last_bps = self.x[self.last], power, law_end, scale, area
        if last_usd <= 0.0:
            return REACH_BPS_MAX * (end - start)
        power = 1.0 / self.kappa
        law_end = min(max(last_usd * pow(REACH_BPS_MAX / last_bps, self.kappa), start), end)
        scale = last_bps / pow(last_usd, power)
        area = scale * (pow(law_end, power + 1.0) - pow(start, power + 1.0)) / (power + 1.0)
        area = max(area, floor_bps * (law_end - start))
        return area + REACH_BPS_MAX * (end - law_end)


cdef double floored_mean(double low, double high, double floor) noexcept:
    cdef double below
    if floor <= low or high <= low:
        return max((low + high) / 2.0, floor) if high > low else max(low, floor)
    if floor >= high:
        return floor
    below = (floor - low) / (high - low)
    return below * floor + (1.0 - below) * (floor + high) / 2.0


# Many books at once


cdef struct Row:
    double *values
    char *known


cdef inline void tell(Row *row, double value) noexcept:
    # NaN stands for what is not known.
    row.known[0] = not isnan(value)
    row.values[0] = value if row.known[0] else 0.0
    row.known += 1
    row.values += 1


cdef void tell_side(Row *row, const Measured *side) noexcept:
    cdef int at
    tell(row, side.visible_bps)
    tell(row, side.visible_usd)
    tell(row, side.slope_usd)
    tell(row, side.slope_kappa)
    for at in range(COSTS):
        tell(row, side.costs[at])
    for at in range(POINTS):
        tell(row, side.curve[at])


cdef Py_ssize_t COLUMNS = 3 + 2 * (4 + COSTS + POINTS)


cdef void fill_row(CompiledBook book, Row row, Limit bid_end, Limit ask_end) noexcept:
    cdef Measured bids, asks
    if book.status_code() != OK:
        memset(row.values, 0, COLUMNS * sizeof(double))
        memset(row.known, 0, COLUMNS)
        return
    measure_book(book, bid_end, ask_end, &bids, &asks)
    tell(&row, book.bids.prices[book.bids.count - 1])
    tell(&row, book.asks.prices[book.asks.count - 1])
    tell(&row, balance_of(&bids, &asks))
    tell_side(&row, &bids)
    tell_side(&row, &asks)


cdef class CurrentRow:
    """A row of a matrix that is measured anew whenever it is asked; holds on to its memory."""

    cdef Row row
    cdef Py_buffer numbers
    cdef Py_buffer flags
    cdef bint held

    def __init__(self, values, known):
        PyObject_GetBuffer(values, &self.numbers, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
        try:
            PyObject_GetBuffer(known, &self.flags, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
        except BaseException:
            PyBuffer_Release(&self.numbers)
            raise
        self.held = True
        if self.numbers.len != COLUMNS * <Py_ssize_t>sizeof(double) or self.flags.len != COLUMNS:
            raise ValueError(f"a row has {COLUMNS} columns")
        self.row = Row(<double *>self.numbers.buf, <char *>self.flags.buf)

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.flags)
            PyBuffer_Release(&self.numbers)

    cdef void measure(self, CompiledBook book) noexcept:
        fill_row(
            book, self.row, Limit(book.bids.bounded, book.bids.horizon), Limit(book.asks.bounded, book.asks.horizon)
        )


def measure_books(books, ends, values, known):
    """See ``guard.market.matrix.measure_into``; False, and nothing done, if any book is not a compiled one."""
    cdef Py_buffer numbers, flags
    cdef Py_ssize_t row_at = 0, columns = COLUMNS
    cdef CompiledBook book
    cdef Row row
    for other in books:
        if type(other) is not CompiledBook:
            return False
    PyObject_GetBuffer(values, &numbers, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
    try:
        PyObject_GetBuffer(known, &flags, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS)
        try:
            cells = len(books) * columns
            if numbers.len != cells * <Py_ssize_t>sizeof(double) or flags.len != cells:
                raise ValueError(f"{len(books)} books need {cells} cells")
            for row_at, book in enumerate(books):
                row.values = <double *>numbers.buf + row_at * columns
                row.known = <char *>flags.buf + row_at * columns
                bid_end, ask_end = (None, None) if ends is None else ends[row_at]
                fill_row(book, Row(row.values, row.known), limit_of(book.bids, bid_end), limit_of(book.asks, ask_end))
        finally:
            PyBuffer_Release(&flags)
    finally:
        PyBuffer_Release(&numbers)
    return True
