/*
 * caller_slot.h - a caller's side of its slots: claim, submit, wait, leave
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

/* What became of one slot of a call. */
typedef struct PgwWaited
{
	bool answered;
	/* not answered, and nothing of the request was or will be sent */
	bool withdrawn;
	/*
	 * Neither: it may be sent, or an earlier attempt is waited for, and answer.transaction_id says
	 * which attempt tells the outcome.
	 */
	PgwSlotAnswer answer;
} PgwWaited;

/*
 * A free slot, CLAIMED, body zeroed; -1: none for this bank, merchant and role (*why).  role: whose
 * quota it counts for; InvalidOid: nobody's. only_bank: the database has no other.  It is the first
 * one of a call; it is given up by itself when the backend ends, or the (sub)transaction does.
 */
extern int pgw_exchange_claim(const char *bank, const char *merchant, Oid role, bool only_bank,
							  PgwClaimSlot *why);
/* One more for the same call: only while half of all slots are free. */
extern int pgw_exchange_claim_more(const char *bank, const char *merchant, Oid role, bool only_bank,
								   PgwClaimSlot *why);
/* All slots of the call: CLAIMED -> REQUESTED, wakes the worker once */
extern void pgw_exchange_submit(void);

/*
 * Wait interruptibly until all slots of the call are answered, no longer than until deadline (0: no
 * limit).  waited: one for each, in the order of the claims, zeroed; filled after an ERROR, too,
 * with the transaction_id of each that has one by then.  The call has no slot any more.
 */
extern void pgw_exchange_wait(TimestampTz deadline, PgwWaited *waited);

#endif
