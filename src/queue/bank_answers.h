/*
 * bank_answers.h - a bank's answer, all its way: from libcurl into the tables, and back to the
 * caller who waits
 */
#ifndef PGW_QUEUE_BANK_ANSWERS_H
#define PGW_QUEUE_BANK_ANSWERS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"

#include "bank_call/call.h"
#include "database/batch.h"

extern const PgwBatchItemOps pgw_bank_answer_ops; /* its items are PgwCalls */

extern void pgw_bank_answers_init(void);

/* Outside a transaction: drive HTTP, and take in the transfers that are finished. */
extern void pgw_bank_answers_take(void);

/*
 * The transfer is over, one way or another; transport and answer are set. Its result is to be
 * written, and what it says of the bank is told.
 */
extern void pgw_bank_answers_over(PgwCall *call, long http_status);

/* The same of a call that nothing is told of: its end is not the bank's doing. */
extern void pgw_bank_answers_add(PgwCall *call);

/* The results that can be written now: those that somebody waits for, and the others. */
extern void pgw_bank_answers_collect(TimestampTz now, dlist_head *awaited, dlist_head *others);
extern bool pgw_bank_answers_pending(void);
extern TimestampTz pgw_bank_answers_next_due(void); /* 0: none */
extern void pgw_bank_answers_forget_slots(void);

#endif
