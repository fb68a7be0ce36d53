/*
 * ask_banks.h - the bank is asked for notifications that anybody may have sent
 */
#ifndef PGW_QUEUE_ASK_BANKS_H
#define PGW_QUEUE_ASK_BANKS_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "bank_call/call.h"
#include "http/http.h"

/* Record what banks have answered. */
extern void pgw_asks_record(void);

/* Whether or not anything may be asked for: what has lain in memory for too long is wiped. */
extern void pgw_asks_sweep(void);

/* Ask for what is due. */
extern void pgw_asks_send(void);
extern TimestampTz pgw_asks_next_at(void); /* 0: no bank is asked for any */

/* What the answer says, while it is there; the call is over next. */
extern void pgw_ask_note(PgwCall *call, const PgwHttpDone *done);

/* Such a call is over: freed; its end is recorded at the next turn. */
extern void pgw_ask_over(PgwCall *call);

#endif
