/*
 * clock_set_back.h - attempts whose times lie in the future, because the clock was set back
 */
#ifndef PGW_STORE_CLOCK_SET_BACK_H
#define PGW_STORE_CLOCK_SET_BACK_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "store/tables.h"

/*
 * The worker: times of a clock that was ahead are taken back, of so many attempts at
 * most; returns of how many.
 */
extern uint64 pgw_store_take_back_times(TimestampTz now, int most);

/*
 * The same for one attempt that has just been locked, and only in memory: what is written of it
 * then has times of this clock.
 */
extern void pgw_store_take_back_times_of(PgwAttempt *attempt, TimestampTz now);

#endif
