/*
 * mark_turn.h - the worker's mark: every attempt with a smaller id is over or in pgw.open_work
 */
#ifndef PGW_WORKER_MARK_TURN_H
#define PGW_WORKER_MARK_TURN_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* All zero at the worker's start. */
typedef struct PgwMarkTurns
{
	TimestampTz next;  /* when it is moved on next */
	bool written;      /* this worker has written it, or has seen that there is one */
	TimestampTz start; /* of this worker: what an earlier one has left may be as young */
} PgwMarkTurns;

/* At each turn: moves the mark on when that is due, in a transaction of its own. */
extern void pgw_mark_turn(PgwMarkTurns *turns);

#endif
