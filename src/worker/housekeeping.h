/*
 * housekeeping.h - what the worker does now and then, for no attempt in particular
 */
#ifndef PGW_WORKER_HOUSEKEEPING_H
#define PGW_WORKER_HOUSEKEEPING_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* All zero at the worker's start. */
typedef struct PgwHousekeeping
{
	TimestampTz next_partitions;
	int partition_failures;    /* in a row */
	TimestampTz next_save;     /* of the banks' breakers: the last try failed; 0: it did not */
	TimestampTz next_tidy;     /* of the breakers of banks that are gone */
	TimestampTz next_forget;   /* of old notifications */
	TimestampTz next_odd;      /* what others of them say of amounts */
	TimestampTz next_evidence; /* of notifications that wait to be taken */
	pg_uuid_t disputed_after;  /* ... and of those that tell of disputes, which charge came last */
	TimestampTz next_refused;  /* was much refused? */
	TimestampTz next_fence;    /* what readers of events rely on could not be read yet */
	TimestampTz next_late;     /* of events that are listed for nobody */
	TimestampTz next_watch;    /* can calls have the tables that they need? */
} PgwHousekeeping;

/* At the worker's start: the breakers as the last worker has left them. */
extern void pgw_housekeeping_start(void);

/* At each turn: does what is due, in transactions of its own. */
extern void pgw_housekeeping_turn(PgwHousekeeping *h, TimestampTz now);

#endif
