/*
 * queue_rows.h - the rows of pgw.webhook_queue: what is to be sent, and what became of it
 */
#ifndef PGW_WEBHOOK_QUEUE_ROWS_H
#define PGW_WEBHOOK_QUEUE_ROWS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"

#include "webhook/endpoints.h"

/* A message that is being sent, until its result is written. */
typedef struct PgwDelivery
{
	dlist_node node;
	PgwWebhookEndpoint *endpoint;
	int64 delivery; /* its row */
	char message_id[37];
	char *payload;  /* freed as soon as it is handed over */
	int attempts;   /* with this one */
	void *transfer; /* NULL: not under way */
	/* to whom it is sent, as the endpoint was then: an answer says nothing of another */
	char *url;
	TimestampTz enabled_at;
	instr_time started;

	/* its result */
	PgwWebhookNext next;
	TimestampTz again_at;
	TimestampTz ended_at;
	long status; /* 0: no answer */
	char error[64];
	int ms;
} PgwDelivery;

/*
 * All of these run in a transaction; nothing in memory is changed by those that write, so they can
 * be run again after a rollback.
 */

/*
 * What is due of the endpoint, at most so many, but for those under way and those whose results are
 * unwritten; appended to the list.
 */
extern void pgw_queue_rows_load(PgwWebhookEndpoint *e, TimestampTz now, int most,
								dlist_head *under_way, dlist_head *unwritten, MemoryContext context,
								dlist_head *out);

/*
 * What these have come to.  Of a payment the next one is due from then on.  What was sent to where
 * the endpoint is no more, by its row as it is now, is due again, whatever was answered.
 */
extern void pgw_queue_rows_record(dlist_head *results, TimestampTz now);

/*
 * How the endpoint does, and whether it is disabled.  false: not now, somebody holds its row, or
 * has changed it so that this is to be read first.
 */
extern bool pgw_queue_rows_endpoint(const PgwWebhookEndpoint *e, TimestampTz now);

/* Why nothing can be signed for it; NULL: it can. */
extern void pgw_queue_rows_secret(const char *endpoint, const char *fault);

/* What nothing stands before any more, by somebody's hand, is due; so many at most. */
extern void pgw_queue_rows_move_up(TimestampTz now, int most);

/* Old rows go, and those of endpoints that are deleted; how many, at most so many. */
extern uint64 pgw_queue_rows_forget(TimestampTz before, int most);

#endif
