/*
 * evidence_rules.h - what the bank's own word on an operation, which nobody has asked for, does to
 * the attempt
 *
 * Pure decisions.  The bank's word is taken as an answer to the operation's request would be
 * (attempt/dispatch.c): here is only decided whether there is anything to be taken, so that a word
 * that comes twice, late, or in the wrong order changes nothing.
 */
#ifndef PGW_CORE_PAYMENT_EVIDENCE_RULES_H
#define PGW_CORE_PAYMENT_EVIDENCE_RULES_H

#include <stdbool.h>

#include "core/connector/bank_op.h"
#include "core/state/state_machine.h"

typedef struct PgwEvidenceFacts
{
	PgwKind kind;
	PgwState state;
	bool accepted;   /* the bank has accepted the operation, and may still fail it */
	PgwBankOp about; /* the operation, by the request that the attempt has for it now */
	/* about the capture that was made with the charge, by one request: it has no other of its own
	 */
	bool part_of_charge;
	bool says_done; /* of what has come and was not taken yet: one says so */
	bool says_failed;
	bool said_failed; /* of what was taken before: one said so */
	bool differ;      /* two that say done name different amounts */
	/*
	 * two that say done name the same, and are two: it may have been done twice.  The first is
	 * taken all the same, so that whether they come together or one after the other makes no
	 * difference
	 */
	bool twice;
	/* one that says done of what moves money names no amount that can be read, or no currency */
	bool lacks_amount;
	/* it came from the bank that the attempt was sent to before the one that has it now */
	bool of_former_bank;
	/* one that was not taken yet names another charge than the payment's, or the attempt's own */
	bool of_other_charge;
	/* each success was proved twice, as was each failure, and is later than all of those */
	bool proved_later;
} PgwEvidenceFacts;

typedef enum PgwEvidenceStep
{
	PGW_EVIDENCE_WAITS = 0,   /* it is too early: a request is under way, or a person decides */
	PGW_EVIDENCE_DONE,        /* take it as the answer: done */
	PGW_EVIDENCE_FAILED,      /* ... failed */
	PGW_EVIDENCE_REVERSED,    /* a refund or capture that was done is taken back */
	PGW_EVIDENCE_AGREES,      /* it has ended so already */
	PGW_EVIDENCE_LATE,        /* it counts as failed, and the bank says done: a person decides */
	PGW_EVIDENCE_CONTRADICTS, /* it has ended otherwise: for people */
	PGW_EVIDENCE_REVIEW       /* open, and the bank has said both: a person decides */
} PgwEvidenceStep;

extern PgwEvidenceStep pgw_evidence_step(const PgwEvidenceFacts *facts);

/*
 * Does a success of this operation have to name what was moved?  A void and a cancellation give
 * back a hold, whatever it is.
 */
extern bool pgw_evidence_needs_amount(PgwBankOp about);

/*
 * Is the one time surely later than the other, as one bank writes both?  Seconds since 1970, or
 * year, month, day and so on with one offset; of all else nobody can tell.
 */
extern bool pgw_evidence_later(const char *time, const char *than);

/* event_data's reason of PGW_EVIDENCE_REVIEW and PGW_EVIDENCE_LATE */
extern const char *pgw_evidence_reason(const PgwEvidenceFacts *facts);

#define PGW_EVIDENCE_TWO_WORDS "contradictory_notifications"
#define PGW_EVIDENCE_NO_AMOUNT "notification_without_amount"
#define PGW_EVIDENCE_FORMER_BANK "success_at_former_bank"
#define PGW_EVIDENCE_OTHER_CHARGE "notification_of_another_charge"
#define PGW_EVIDENCE_AFTER_FAILURE "success_after_failure"
/* ... and what it gave free has been used since: the payments row holds nothing for it */
#define PGW_EVIDENCE_UNCLAIMED "success_without_claim"

#endif
