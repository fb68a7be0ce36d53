/*
 * calls_internal.h - what calls.c (intents, HTTP), results.c (answers into the tables) and attempts.c (work found in the tables) share
 */
#ifndef PGW_INFRA_CALLS_INTERNAL_H
#define PGW_INFRA_CALLS_INTERNAL_H

#include "core/connector.h"
#include "core/flow.h"
#include "infra/batch.h"
#include "infra/calls.h"
#include "infra/config.h"
#include "infra/exchange.h"
#include "infra/store.h"

/* One bank call, from the intent to its result's commit. */
typedef struct PgwCall
{
	PgwItem		item;			/* first; on one list at a time, none while HTTP runs */
	int			slot;			/* the caller's, or -1: nobody waits (any more) */
	bool		submitted;
	bool		out;			/* handed to HTTP, not done */
	pg_uuid_t	transaction_id;
	char		reference[33];	/* 32 hex digits: our reference at the bank, and its idempotency key */
	char		correlation[37];
	PgwBank    *bank;			/* held; NULL before admission */
	PgwOp		op;
	char		currency[4];
	int			iso_exponent;
	PgwRendered *rendered;		/* NULL once sent */
	PgwTransport transport;
	PgwAnswer	answer;
	int			failures;		/* result batches that failed */
	bool		later;			/* set by apply: a row was busy */
	TimestampTz not_before;		/* of its result */
	PgwSlotAnswer reply;
	dlist_node	all;			/* list of calls that are out */
} PgwCall;

extern PgwCall *pgw_call_new(const pg_uuid_t *transaction_id, const pg_uuid_t *correlation_id, bool submitted);
extern void pgw_call_free(PgwCall *call);	/* drops the bank, wipes */
extern void pgw_call_ready(PgwCall *call);	/* its intent is durable: send it next */
extern bool pgw_call_bank_has_room(const PgwBank *bank);

/* Hold the bank and render; false with *error_code (errors.h) and *detail (static or err's): nothing held. */
extern bool pgw_call_render(PgwCall *call, PgwBank *bank, PgwCallParams *params, const char **error_code, PgwConnectorError *err);

extern const PgwItemOps pgw_process_ops;	/* items of these ops, and of pgw_result_ops, are PgwCalls */
extern void pgw_calls_forget_in(dlist_head *items);

/* results.c: calls whose exchange is over */
extern const PgwItemOps pgw_result_ops;
extern void pgw_results_init(void);
extern void pgw_call_result(PgwCall *call); /* transport and answer are set: write them */
extern void pgw_results_collect(TimestampTz now, dlist_head *awaited, dlist_head *others);
extern bool pgw_results_pending(void);
extern TimestampTz pgw_results_next_due(void);	/* 0: none */
extern void pgw_results_forget(void);

/* attempts.c */
extern void pgw_attempts_init(void);
extern void pgw_attempts_collect(dlist_head *items);
extern void pgw_attempts_wake_at(TimestampTz when);

#endif
