/*
 * event_rows.h - rows of pgw.transaction_events, written by INSERT statements
 */
#ifndef PGW_DATABASE_EVENT_ROWS_H
#define PGW_DATABASE_EVENT_ROWS_H

#include "postgres.h"
#include "access/transam.h"
#include "datatype/timestamp.h"
#include "utils/jsonb.h"
#include "utils/palloc.h"
#include "utils/uuid.h"

/* SHA-256 */
#define PGW_EVENT_DIGEST_LEN 32

/* What has columns of its own, and few events say; zero: NULL. */
typedef struct PgwEventFacts
{
	bool has_payment_id;
	bool has_correlation_id;
	bool has_digest;
	pg_uuid_t payment_id;
	pg_uuid_t correlation_id;
	unsigned char digest[PGW_EVENT_DIGEST_LEN];
	int bank_version;
} PgwEventFacts;

/* A row to be written, by its columns. */
typedef struct PgwNewEvent
{
	pg_uuid_t event_id;
	pg_uuid_t transaction_id;
	TimestampTz occurred_at;
	FullTransactionId txid;
	const char *event_type; /* this one and the two statuses live for ever */
	int step_order;
	const char *from_status; /* NULL: the first step */
	const char *to_status;
	PgwEventFacts facts;
	Jsonb *event_data;         /* NULL: nothing to say */
	const char *error_details; /* NULL: none */
} PgwNewEvent;

/* In one statement, now; or, where they are collected, with all others of the batch. */
extern void pgw_event_rows_write(const PgwNewEvent *rows, int n);

/*
 * From now on rows are collected, in this context, until they are written together, before the
 * transaction commits.  After an error call forget().
 */
extern void pgw_event_rows_collect(MemoryContext context);
extern void pgw_event_rows_write_collected(void);
extern void pgw_event_rows_forget(void);

#endif
