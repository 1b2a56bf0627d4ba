cimport cython
from libc cimport math
from adapters.simulation.laboratory.arbitrage cimport Arbitrage
from adapters.simulation.laboratory.behaviour cimport keep_ratio, season, volatility_of, world_log_move
from adapters.simulation.laboratory.book cimport OrderBook
from adapters.simulation.laboratory.crowd cimport Crowd
from adapters.simulation.laboratory.entering cimport Entering
from adapters.simulation.laboratory.exchange cimport Exchange
from adapters.simulation.laboratory.flow cimport Flow
from adapters.simulation.laboratory.makers cimport Makers
from adapters.simulation.laboratory.moves cimport Moves
from adapters.simulation.laboratory.outside cimport Outside
from adapters.simulation.laboratory.patient cimport Patient

ctypedef long long i64

cdef class Market:
    cdef readonly object episode, venue, symbol, grid
    cdef readonly Exchange exchange
    cdef readonly OrderBook book
    cdef readonly Makers makers
    cdef readonly Patient patient
    cdef readonly Flow flow
    cdef readonly Arbitrage arbitrage
    cdef readonly Crowd crowd
    cdef readonly Entering entering
    cdef readonly Moves moves
    cdef readonly double mid, z, willingness, equity_ratio, arbitrage_ratio, season, depth_lots
    cdef readonly i64 open_lots_usual
    cdef double _tick_usd, _season_ratio, _slice_depths, _venue_ratio, _spot_depth_ratio, _spot_thinning
    cdef double _lead_half_life_s, _lead, _led
    cdef i64 _start_ms, _season_due_ms, _is_begun

    @cython.locals(world_tick=double, value_tick=double, willing=double, lots=i64)
    cpdef void step(self, i64 now_ms, Outside outside) except *
    cpdef object fund(self, i64 mark_tick, i64 rate_ppb)
    @cython.locals(part=double)
    cpdef i64 lead_within(self, double seconds) except -1
    @cython.locals(lots=double, depths=double, led=double)
    cpdef double take_world_move(self) noexcept
    @cython.locals(bid=i64, ask=i64)
    cdef double _find_mid(self) noexcept
