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

#include "database/batch.h"

extern void pgw_queue_init(void);

/*
 * Choose what fits the banks' limits (admit_new: else only results), run the batches, then send
 * what has become durable.
 */
extern PgwBatchEnd pgw_queue_run(bool admit_new);

/* a bank call is out, or its result is not written */
extern bool pgw_queue_in_flight(void);
/*
 * The next turn has to come at once: requests wait for the disk while other work has come, or there
 * was too much for one.
 */
extern bool pgw_queue_has_more(void);
/* ... the last was so: more that has room waits than fits into a turn */
extern bool pgw_queue_behind(void);

/* When the worker has to look again although nothing wakes it; 0: never. */
extern TimestampTz pgw_queue_next_at(void);

/*
 * pgw_exchange_fail_all() answered all callers: no call has a slot any more; what was not yet
 * durable is dropped.
 */
extern void pgw_queue_forget_slots(void);

#endif
