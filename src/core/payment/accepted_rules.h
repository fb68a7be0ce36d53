/*
 * accepted_rules.h - a capture, void, refund or give-back that the bank has accepted and may still
 * fail: how to find out, and what the bank's answer means
 *
 * Pure decisions, as in operation_rules.h.  Whatever is asked from here on is a look-up: the order
 * is the bank's, and is never sent again.
 */
#ifndef PGW_CORE_PAYMENT_ACCEPTED_RULES_H
#define PGW_CORE_PAYMENT_ACCEPTED_RULES_H

#include "core/payment/operation_rules.h"

/* reason in event_data: the bank had accepted it, and has failed it since */
#define PGW_ACCEPTED_FAILED "failed_after_accepted"
/* ... it counts as done, as nothing could tell */
#define PGW_ACCEPTED_UNCONFIRMED "not_confirmed"

typedef enum PgwAcceptedStep
{
	PGW_ACCEPTED_LOOKUP_REFUND = 0,
	PGW_ACCEPTED_LOOKUP_CHARGE,
	PGW_ACCEPTED_WAIT,
	PGW_ACCEPTED_DONE,  /* nothing could tell, and its time is over */
	PGW_ACCEPTED_REVIEW /* the bank does not tell */
} PgwAcceptedStep;

typedef struct PgwAcceptedFacts
{
	PgwBankOp operation; /* capture, void, refund or reverse */
	bool of_refund;      /* as in PgwOperationFacts */
	int64_t age_s;       /* since the bank has accepted it */
	/* how long the bank is asked about what it has accepted is a month; 0: without end */
	int64_t deadline_s;
} PgwAcceptedFacts;

extern PgwAcceptedStep pgw_accepted_step(const PgwCapabilities *caps,
										 const PgwAcceptedFacts *facts);

#define PGW_ACCEPTED_PAUSE_S 3600

/* How long PGW_ACCEPTED_WAIT lasts from now; never 0. */
extern int64_t pgw_accepted_wait_s(const PgwCapabilities *caps, int64_t age_s);

/*
 * Does this answer say that it has failed?  What is not shown is no failure, however late: only
 * the bank's word on the order itself is, and not before that can be newer than the order. counts:
 * a look-up would show by now what was asked for.  What is no look-up is the bank's own word on it,
 * which nobody has asked for: nothing else comes once it is accepted.
 */
extern bool pgw_accepted_failed(PgwBankOp op, PgwTransport transport, const PgwAnswer *answer,
								const PgwCapabilities *caps, bool counts);

/* A look-up's answer: DONE, REFUSED (it has failed), STOP, or ACCEPTED as before. */
extern void pgw_accepted_result(const PgwOperationInput *in, PgwOperationDecision *d);

/* Nobody says what became of it, and its time is over: DONE. */
extern void pgw_accepted_unconfirmed(PgwOperationDecision *d);

/* The decision as a step of an attempt of that kind which is Saved. */
extern void pgw_accepted_decision(const PgwOperationDecision *r, PgwKind kind, PgwDecision *d);

#endif
