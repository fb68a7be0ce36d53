/*
 * send_after_flush.h - bank calls: from a durable intent out over HTTP
 */
#ifndef PGW_QUEUE_SEND_AFTER_FLUSH_H
#define PGW_QUEUE_SEND_AFTER_FLUSH_H

#include "postgres.h"

#include "bank_call/call.h"

/*
 * Call it in committed(): the call is sent as soon as the transaction that has just committed is
 * flushed.
 */
extern void pgw_call_ready(PgwCall *call);

/* One that was sent before has its next page to ask for: its intent is durable. */
extern void pgw_call_ready_again(PgwCall *call);

/*
 * Outside a transaction: send those whose intent is durable; with flush, all, and the log is
 * flushed for that.
 */
extern void pgw_calls_send(bool flush);

/* A bank whose breaker waits for its ping gets one. */
extern void pgw_calls_send_probes(void);

extern bool pgw_calls_ready(void);       /* some wait for their intent's flush */
extern bool pgw_calls_in_transfer(void); /* some are with libcurl */

/* About to leave: every call that is still out becomes "may have been sent". */
extern void pgw_calls_give_up(void);
extern void pgw_calls_sent_forget_slots(void);

#endif
