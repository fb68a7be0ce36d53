/*
 * bounded_call.h - a call of a client, which waits for nobody's lock beyond its time
 */
#ifndef PGW_CLIENT_API_BOUNDED_CALL_H
#define PGW_CLIENT_API_BOUNDED_CALL_H

#include "postgres.h"
#include "fmgr.h"
#include "datatype/timestamp.h"

/*
 * call(fcinfo), in which every wait for a lock ends after pgw.wait_timeout, with PW500 worker_busy.
 * writes: whether it fails or not is told to health().
 */
extern Datum pgw_bounded_call(FunctionCallInfo fcinfo, bool writes, PGFunction call);

/* The call that runs has a time-out of its own. */
extern void pgw_bounded_call_until(TimestampTz deadline);
/* It was handed over to the worker, and has been answered: what is left to do has a moment. */
extern void pgw_bounded_call_answered(TimestampTz deadline);
/* When the time of the call that runs is up. */
extern TimestampTz pgw_bounded_call_deadline(void);

#endif
