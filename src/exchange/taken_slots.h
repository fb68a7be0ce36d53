/*
 * taken_slots.h - the worker's side of the slots that it has taken
 */
#ifndef PGW_EXCHANGE_TAKEN_SLOTS_H
#define PGW_EXCHANGE_TAKEN_SLOTS_H

#include "postgres.h"

#include "exchange/slots.h"

/* REQUESTED -> TAKEN of my database; in order of request */
extern int pgw_exchange_take(int *slots, int max);
/* TAKEN -> REQUESTED, in their place: nothing was done for them */
extern void pgw_exchange_give_back(const int *slots, int n);

/*
 * Has the caller gone? A false answer may be out of date at once: pgw_exchange_bind() and
 * pgw_exchange_answer() decide.
 */
extern bool pgw_exchange_abandoned(int slot);

/*
 * The intent of this attempt is committed: if the worker dies now, the caller is answered
 * BankUnknown.
 */
extern void pgw_exchange_mark_recorded(int slot, const pg_uuid_t *transaction_id);

/*
 * Call this when the request is recorded and about to be sent, or when its caller is to wait for an
 * earlier attempt. Returns true: a caller that leaves from now on leaves a pending payment behind.
 * Returns false: the caller has left already, and relies on nothing being sent.
 */
extern bool pgw_exchange_bind(int slot);
/* secrets handed over: wipe token and card fields of the body */
extern void pgw_exchange_wipe(int slot);

/*
 * TAKEN -> ANSWERED and wake; an abandoned slot is freed. false: it was abandoned, and nobody has
 * the answer.
 */
extern bool pgw_exchange_answer(int slot, const PgwSlotAnswer *answer);

/*
 * Callers of my database that wait to be taken (REQUESTED): a number that none of them is above and
 * whoever comes from now on is; 0: there are none.
 */
extern uint64 pgw_exchange_last_requested(void);
/* those up to that number */
extern void pgw_exchange_fail_requested(const char *error_code, uint64 last);

/* every caller of my database that waits (REQUESTED or TAKEN) */
extern void pgw_exchange_fail_all(const char *error_code);

#endif
