/*
 * take_requests.h - what callers of process_payment ask: from their slots to the intent that is to
 * be recorded
 */
#ifndef PGW_QUEUE_TAKE_REQUESTS_H
#define PGW_QUEUE_TAKE_REQUESTS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"

#include "bank_call/call.h"
#include "database/batch.h"

/* Outside a transaction; raises only on out of memory. */
extern void pgw_requests_take(void);
/* requests wait for the configuration to be read again */
extern bool pgw_requests_want_config(void);
/* what was taken, and waits for room at its bank; nothing of it is recorded */
extern void pgw_requests_refuse_waiting(const char *error_code);

/* those that need no room any more, or never did */
extern void pgw_requests_collect(dlist_head *items);
extern void pgw_requests_admit(PgwBatchItem *item, dlist_head *items); /* its bank has room */
extern void pgw_requests_put_off(PgwCall *call); /* a row is busy: again in a moment */
extern TimestampTz pgw_requests_next_due(void);  /* 0: none */
extern void pgw_requests_forget_slots(void);

#endif
