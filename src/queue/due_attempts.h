/*
 * due_attempts.h - work that is found in the tables, one attempt at a time
 */
#ifndef PGW_QUEUE_DUE_ATTEMPTS_H
#define PGW_QUEUE_DUE_ATTEMPTS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "utils/uuid.h"

#include "bank_call/call.h"
#include "core/pacing/fair_turns.h"
#include "database/batch.h"

struct PgwWorkItem; /* visit_attempts.h */

extern void pgw_due_init(void);

/* Outside a transaction; raises only on out of memory. */
extern void pgw_due_take_signals(bool *rescan);

/*
 * Add an attempt that is due, unless a call of it is under way. Returns true if it was not on a
 * list yet.
 */
extern bool pgw_due_add(const uint8 *transaction_id);

/*
 * ... of which a bank has spoken by itself, and that was not followed up yet; its id of the charge,
 * or "".
 */
extern void pgw_due_add_notified(const pg_uuid_t *transaction_id, const char *bank_reference);

/*
 * Add an attempt that has expired unsent: it is visited now, even if it waits for room at its bank.
 */
extern bool pgw_due_add_expired(const uint8 *transaction_id);

/*
 * Add an attempt that has not begun, whose bank, lane and merchant (pgw_turns_key) are known: it is
 * visited when its bank has room.
 */
typedef enum PgwQueued
{
	PGW_QUEUED_NEW = 0,
	PGW_QUEUED_KNOWN,   /* it was on a list */
	PGW_QUEUED_NO_PLACE /* later: it is due in the tables */
} PgwQueued;
extern PgwQueued pgw_due_add_waiting(const uint8 *transaction_id, const char *bank, PgwLane lane,
									 uint32 merchant);
/* the list holds enough: what else is due can stay in the tables */
extern bool pgw_due_list_full(void);
extern uint64 pgw_due_enqueued(void);   /* items put onto the list so far */
extern bool pgw_due_dequeued(uint64 n); /* have the first n of them been taken from it? */

/* Another visit, or an intent, asks for the next step. */
extern void pgw_due_add_step(const pg_uuid_t *transaction_id);
/* This call's result asks for it, which is told what the answer allows. */
extern void pgw_due_go_on(const PgwCall *call);

/* items that were not visited yet; *visits: how many more are allowed in this turn */
extern void pgw_due_collect(dlist_head *items, int *visits);
extern void pgw_due_admit(PgwBatchItem *item, dlist_head *items); /* its bank has room */
extern void pgw_due_none_admitted(void); /* whatever still waits in a lane waits for room */

/* A visit that has come to nothing: another one after so long, or when its bank has room. */
extern void pgw_due_postpone(struct PgwWorkItem *workitem, int64 delay_ms);

/* When the next of them is to be visited; 0: never. */
extern TimestampTz pgw_due_next_at(void);

#endif
