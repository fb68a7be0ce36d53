/*
 * pace_turn.h - the worker tells those who submit whether it keeps up
 */
#ifndef PGW_WORKER_PACE_TURN_H
#define PGW_WORKER_PACE_TURN_H

#include "core/pacing/submit_pause.h"

/* After a turn.  behind: more waits for the worker than it has taken. */
extern void pgw_pace_submits(PgwPace *pace, bool behind);

#endif
