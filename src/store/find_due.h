/*
 * find_due.h - what the worker looks for in the tables: what is due, bank by bank
 */
#ifndef PGW_STORE_FIND_DUE_H
#define PGW_STORE_FIND_DUE_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "core/pacing/fair_turns.h"
#include "core/state/state_machine.h"

/*
 * For the worker.  Each function returns how many it has found, at
 * most max.
 */
typedef struct PgwDue
{
	pg_uuid_t transaction_id;
	uint32 merchant; /* pgw_turns_key(); 0: not asked for */
} PgwDue;

/* The first bank after that one, by name, of which something waits or is due. false: none. */
extern bool pgw_store_next_bank(const char *after, char *bank, Size size);

/*
 * What has begun: of each state as many as its lane has places. *cut: there may be more; *next:
 * when another becomes due, 0: none is known to.
 */
extern int pgw_store_begun(const char *bank, const int places[PGW_NLANES], TimestampTz now,
						   PgwDue *due, int max, bool *cut, TimestampTz *next);

/*
 * What has not begun and is due between these times: of each of the next merchants after that one
 * by name, `most` of them, so many.  *merchants: how many there were; last: the name of the last
 * one that was looked at; *first: the time of the oldest that was found, 0: none.
 */
extern int pgw_store_waiting(const char *bank, PgwKind kind, const char *after, int most, int each,
							 TimestampTz from, TimestampTz now, PgwDue *due, int max,
							 int *merchants, char *last, Size size, bool *cut, TimestampTz *first);

/* What has not been sent and is not to be sent any more; *next as above. */
extern int pgw_store_expired(TimestampTz now, PgwDue *due, int max, TimestampTz *next);

/*
 * What has a row of open_work, and is open with nothing due: in flight, or left by a worker or a
 * caller that is gone. In order of the ids, after this one.
 */
extern int pgw_store_left(const pg_uuid_t *after, PgwDue *due, int max);

#endif
