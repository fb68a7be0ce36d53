/*
 * queue.h - the worker's work in flight: requests and attempts on their way to the bank, and answers on their way to the tables
 *
 * All of it belongs to one worker process.  worker.c drives; batch.c runs the transactions.
 */
#ifndef PGW_QUEUE_QUEUE_H
#define PGW_QUEUE_QUEUE_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "core/pacing/fair_turns.h"
#include "database/batch.h"

extern void pgw_calls_init(void);
extern void pgw_compensate_init(void);	/* _PG_init: settings of compensation.c */

/* Take in: requests of waiting callers, signals, attempts that are due, finished HTTP exchanges.  No transaction, nothing raised but out of memory. */
extern void pgw_calls_take_requests(void);
extern bool pgw_requests_want_config(void);	/* requests wait for the configuration to be read again */
extern void pgw_calls_refuse_waiting(const char *error_code);	/* what was taken, and waits for room at its bank; nothing of it is recorded */
extern void pgw_calls_take_signals(bool *rescan);
extern void pgw_calls_take_answers(void);

/* Look at this one, which is due, unless a call of it is under way. true: it was not on a list. */
extern bool pgw_calls_add_attempt(const uint8 *transaction_id);

/* One that has expired unsent: looked at now, although it waits for room at its bank. */
extern bool pgw_calls_add_expired(const uint8 *transaction_id);

/* The same for one that has not begun, whose bank, lane and merchant (pgw_turns_key) are known: when its bank has room. */
typedef enum PgwQueued
{
	PGW_QUEUED_NEW = 0,
	PGW_QUEUED_KNOWN,			/* it was on a list */
	PGW_QUEUED_NO_PLACE			/* later: it is due in the tables */
} PgwQueued;
extern PgwQueued pgw_calls_queue_attempt(const uint8 *transaction_id, const char *bank, PgwLane lane, uint32 merchant);
extern bool pgw_calls_list_full(void);	/* enough to look at: what else is due can stay in the tables */
extern uint64 pgw_calls_listed(void);	/* looks asked for so far */
extern bool pgw_calls_looked(uint64 n); /* the first n of them have been taken */

/* Choose what fits the banks' limits (admit_new: else only results), run the batches, then send what has become durable. */
extern PgwBatchEnd pgw_calls_run(bool admit_new);

/* When the worker has to look again although nothing wakes it; 0: never. */
extern TimestampTz pgw_calls_next_due(void);
extern void pgw_calls_wake_at(TimestampTz when);	/* something in the tables is due then */
extern void pgw_calls_rescan_at(TimestampTz when);	/* ... or nothing in them may say that it is: look at all that is open */
extern bool pgw_calls_scan_due(TimestampTz now, bool *full);	/* ... now: scan */
/* For pgw.run_recovery(): the last call made so far, and whether all up to it that no caller waits for are over, results included. */
extern uint64 pgw_calls_serial(void);
extern bool pgw_calls_over(uint64 serial);

extern bool pgw_calls_in_flight(void);	/* a bank call is out, or its result is not written */
/* The next turn has to come at once: requests wait for the disk while other work has come, or there was too much for one. */
extern bool pgw_calls_put_off(void);

/* About to leave: every call that is still out becomes "may have been sent". */
extern void pgw_calls_give_up(void);

/* pgw_exchange_fail_all() answered all callers: no call has a slot any more; what was not yet durable is dropped. */
extern void pgw_calls_forget_slots(void);

#endif
