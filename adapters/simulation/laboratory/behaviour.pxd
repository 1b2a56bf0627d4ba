cimport cython
from libc cimport math

ctypedef long long i64

cdef double LOG2
cdef double DAY_S
cdef double WORLD_WILLINGNESS_MIN
cdef double TURN

cpdef double keep_ratio(double seconds, double half_life_s) noexcept
cpdef double decay_per_s(double half_life_s) noexcept
@cython.locals(phase=double)
cpdef double season(double second_of_day, double ratio) noexcept
cpdef double withdrawal(double z, double withdraw_z, double withdraw_power) noexcept
@cython.locals(left=double)
cpdef double balance_ratio(double equity, double capital, double floor_ratio) noexcept
@cython.locals(here=double, there=double, target=double)
cpdef double willingness_target(double z, double z_elsewhere, double withdraw_z, double withdraw_power, double signal_ratio, double balance, double drive, double floor) noexcept
cpdef double willingness_next(double willingness, double target, double fall_keep, double refill_keep) noexcept
@cython.locals(wide=double)
cpdef double half_spread_bps(double willingness, double half_spread_calm_bps, double spread_ratio, double spread_exponent, double reach_bps) noexcept
@cython.locals(beyond=double)
cpdef double rested_usd(double distance_bps, double spread_bps, double depth_usd, double kappa) noexcept
cpdef double distance_bps(double amount_usd, double spread_bps, double depth_usd, double kappa) noexcept
cpdef double patient_depths(double distance, double depths, double from_bps) noexcept
cpdef double noise_usd_median(double trade_usd, double depth_usd) noexcept
cpdef double noise_trades_per_s(double volume_day_usd, double usd_median, double log_sd) noexcept
cpdef double activity(double z) noexcept
@cython.locals(clipped=double)
cpdef double momentum_depths_per_s(double z, double momentum_depths) noexcept
@cython.locals(beyond=double, rate=double)
cpdef double value_depths_per_s(double gap_bps, double value_bps, double value_depths) noexcept
@cython.locals(beyond=double, rate=double)
cpdef double arbitrage_depths_per_s(double gap_bps, double threshold_bps, double depths_per_s) noexcept
@cython.locals(used=double)
cpdef double room_ratio(double inventory, i64 side, double limit) noexcept
@cython.locals(rate=double)
cpdef double entries_per_s(double open_target, double open_now, double holding_half_life_s) noexcept
cpdef double flight_ratio(double z, double flight) noexcept
@cython.locals(clipped=double, longs=double, shorts=double)
cpdef double entry_long_ratio(double momentum, double z) noexcept
cpdef double world_log_move(double depths, double spot_depth_ratio, double willingness, double thinning) noexcept
cpdef double usual_deviation(double volatility_day, double seconds) noexcept
@cython.locals(common=double)
cpdef double volatility_of(double beta, double factor_volatility_day, double own_volatility_day) noexcept
