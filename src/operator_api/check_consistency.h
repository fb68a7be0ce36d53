/*
 * check_consistency.h - the events of an attempt, and the state that they lead to
 */
#ifndef PGW_OPERATOR_API_CHECK_CONSISTENCY_H
#define PGW_OPERATOR_API_CHECK_CONSISTENCY_H

#include "postgres.h"

#include "store/events.h"
#include "store/tables.h"

/* PW500 when they do not lead to any.  Returns how many there are. */
extern int pgw_rebuild_from_events(const PgwAttempt *attempt, PgwEventRow **events,
								   PgwState *state);

#endif
