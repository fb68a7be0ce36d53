/*
 * hand_over.h - a caller's request, handed over to the worker: its slot, and the wait
 */
#ifndef PGW_CLIENT_API_HAND_OVER_H
#define PGW_CLIENT_API_HAND_OVER_H

#include "postgres.h"

#include "client_api/pay_common.h"
#include "exchange/caller_slot.h"

/*
 * A slot, the first one of a call or one more; -1: none (*why).  A call that repeats an attempt
 * which is still under way gets one whatever its role's quota says: nothing new is charged for it,
 * and without it a charge that the caller wants would be given back.
 */
extern int pgw_hand_over_claim(const PgwPay *pay, bool more, PgwClaimSlot *why);
extern void pgw_hand_over_fill(int slot, const PgwPay *pay);
_Noreturn extern void pgw_hand_over_refuse(const PgwPay *pay, PgwClaimSlot why);

/* pgw_exchange_wait() for the n slots of this call. */
extern void pgw_hand_over_wait(TimestampTz deadline, PgwWaited *waited, int n);
/* Raises what the answer says of a request of which nothing was sent. */
extern void pgw_hand_over_check(const PgwWaited *waited);
/* Of an answer that says BLOCKED: then the request can be handed over again. */
extern void pgw_wait_for_give_back(const PgwPay *pay, const pg_uuid_t *transaction_id);

#endif
