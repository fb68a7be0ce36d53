/*
 * queue.h - the worker's work in flight: requests and attempts on their way to the bank, and
 * answers on their way to the tables
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
extern void pgw_step_compensation_init(void); /* _PG_init: settings of compensation.c */

/*
 * Move new work into the worker's lists: requests of waiting callers, signals, attempts that are
 * due, finished HTTP transfers. Runs outside a transaction; raises only on out of memory.
 */
extern void pgw_requests_take(void);
/* requests wait for the configuration to be read again */
extern bool pgw_requests_want_config(void);
/* what was taken, and waits for room at its bank; nothing of it is recorded */
extern void pgw_requests_refuse_waiting(const char *error_code);
extern void pgw_due_take_signals(bool *rescan);
extern void pgw_calls_take_answers(void);

/*
 * Add an attempt that is due, unless a call of it is under way. Returns true if it was not on a
 * list yet.
 */
extern bool pgw_due_add(const uint8 *transaction_id);

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

/*
 * Choose what fits the banks' limits (admit_new: else only results), run the batches, then send
 * what has become durable.
 */
extern PgwBatchEnd pgw_calls_run(bool admit_new);

/* When the worker has to look again although nothing wakes it; 0: never. */
extern TimestampTz pgw_due_next_at(void);
extern void pgw_due_wake_at(TimestampTz when); /* something in the tables is due then */
/* ... or perhaps nothing in them says that it is due: visit all that is open */
extern void pgw_due_rescan_at(TimestampTz when);
extern bool pgw_due_scan_due(TimestampTz now, bool *full); /* is a scan due now? */
/*
 * For pgw.run_recovery(): the last call made so far, and whether all up to it that no caller waits
 * for are over, results included.
 */
extern uint64 pgw_calls_serial(void);
extern bool pgw_calls_over(uint64 serial);

extern bool pgw_calls_in_flight(void); /* a bank call is out, or its result is not written */
/*
 * The next turn has to come at once: requests wait for the disk while other work has come, or there
 * was too much for one.
 */
extern bool pgw_calls_have_more(void);

/* About to leave: every call that is still out becomes "may have been sent". */
extern void pgw_calls_give_up(void);

/*
 * pgw_exchange_fail_all() answered all callers: no call has a slot any more; what was not yet
 * durable is dropped.
 */
extern void pgw_calls_forget_slots(void);

#endif
