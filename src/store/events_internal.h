/*
 * events_internal.h - what of the events other files of the store need
 */
#ifndef PGW_STORE_EVENTS_INTERNAL_H
#define PGW_STORE_EVENTS_INTERNAL_H

#include "store/events.h"
#include "store/tables.h"

/* their steps follow on attempt->step_order; the row is for the caller to change */
extern void pgw_store_write_events(PgwAttempt *attempt, const PgwEvent *events, int n);

/* pgw_store_check()'s part: ERROR when a column is not as it was made */
extern void pgw_store_check_events(void);

#endif
