/*
 * caller_slot.h - a caller's side of its slot: claim, submit, wait, leave
 */
#ifndef PGW_EXCHANGE_CALLER_SLOT_H
#define PGW_EXCHANGE_CALLER_SLOT_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "exchange/slots.h"

typedef enum PgwClaimSlot
{
	PGW_SLOT_CAN_CLAIM = 0,
	PGW_SLOT_NONE_FREE,
	PGW_SLOT_BANK_SHARE,     /* the bank's callers have their share of the slots */
	PGW_SLOT_MERCHANT_SHARE, /* ... or the merchant's */
	PGW_SLOT_ROLE_QUOTA      /* the role's callers have as many as pgw.role_max_waiting lets them */
} PgwClaimSlot;

/*
 * A free slot, CLAIMED, body zeroed; -1: none for this bank, merchant and role (*why).  role: whose
 * quota it counts for; InvalidOid: nobody's. only_bank: the database has no other.  It is
 * given up by itself when the backend ends, or the (sub)transaction does.
 */
extern int pgw_exchange_claim(const char *bank, const char *merchant, Oid role, bool only_bank,
							  PgwClaimSlot *why);
/* CLAIMED -> REQUESTED, wakes the worker */
extern void pgw_exchange_submit(int slot);

/*
 * Wait interruptibly for the answer, no longer than until deadline (0: no limit).  true: answered
 * (copied to *answer, slot freed).  false: time is up, and the request is withdrawn (*withdrawn:
 * nothing of it was or will be sent) or abandoned: it may be sent, or an earlier attempt is waited
 * for, and answer->transaction_id says which attempt tells the outcome.  It does so after an ERROR,
 * too, if there is one yet.
 */
extern bool pgw_exchange_wait(int slot, TimestampTz deadline, PgwSlotAnswer *answer,
							  bool *withdrawn);

#endif
