/*
 * consumer_row.h - a row of pgw.event_consumers: who reads the events, and how far he has come
 */
#ifndef PGW_EVENT_STREAM_CONSUMER_ROW_H
#define PGW_EVENT_STREAM_CONSUMER_ROW_H

#include "postgres.h"
#include "access/transam.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/uuid.h"

/* Snapshots are values of the type pg_snapshot, and live until SPI_finish(). */
typedef struct PgwConsumer
{
	const char *name;
	const char *merchant; /* '': of all */
	bool has_since;
	TimestampTz since; /* of what was there before it came, only what has occurred since then */
	Datum seen;        /* all that this one shows was read */
	TimestampTz read_up_to;
	pg_uuid_t batch; /* what is read at present: what this shows, and seen does not */
	bool has_reading;
	Datum reading;
	TimestampTz reading_at;
	pg_uuid_t position_id; /* read so far of that, by attempt and step */
	int position_step;
	int64 newest_fence; /* on record, in Unix milliseconds; 0: none */
	int64 oldest_fence;
} PgwConsumer;

/* The arguments "consumer", which must be a name. */
extern const char *pgw_consumer_arg(FunctionCallInfo fcinfo);

/* For the functions that write: no standby, no read-only transaction, no SERIALIZABLE. */
extern void pgw_consumer_may_write(const char *function);

/* Within SPI, as the owner of pgw. */

/* The row of one that the caller may use; else an error.  placed: whose place counts here. */
extern void pgw_consumer_get(const char *name, Oid caller, bool placed, PgwConsumer *out);

/* May he read the events of this merchant, '' of all?  Else an error. */
extern void pgw_consumer_require_level(Oid caller, const char *merchant);

/* What is visible now, and nothing of what this transaction has written or will write. */
extern Datum pgw_consumer_snapshot(void);

/*
 * A new fence to be put on record, with the first transaction id to which it applies.  false: none
 * now.
 */
extern bool pgw_consumer_new_fence(const PgwConsumer *c, int64 *fence, FullTransactionId *next);

/* A statement that returns this code; within SPI. */
extern uint64 pgw_consumer_execute(const char *sql, int nargs, Oid *types, Datum *args,
								   const char *nulls, int expected);

#endif
