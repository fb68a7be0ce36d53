/*
 * payment_from_events.h - the status and amounts of a payment that its attempts' events tell
 *
 * Nothing but events is looked at.  A payment has one attempt at its charge, and one for each
 * capture, void or refund that was asked for.
 */
#ifndef PGW_CORE_PAYMENT_PAYMENT_FROM_EVENTS_H
#define PGW_CORE_PAYMENT_PAYMENT_FROM_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/payment/payment_amounts.h"
#include "core/state/state_machine.h"

/* One event, as far as it counts here. */
typedef struct PgwToldEvent
{
	PgwEventType type;
	PgwState to;
	const char *error_code; /* NULL: none */
	int64_t bank_amount;    /* of BankOutcomeUnacceptable; 0: not named */
	/* of TransactionStarted */
	const char *operation; /* what the bank is asked; NULL: not named */
	int64_t amount;
	bool on_commit; /* captured after the commit */
	bool not_final; /* a capture after which the rest of the authorization stays */
	bool by_bank;   /* pgw has not made it: the bank reports it */
	/* of a dispute's: what it takes more than before of the payment, or less */
	int64_t taken;
} PgwToldEvent;

/* What the events of one attempt have told so far. */
typedef struct PgwToldAttempt
{
	PgwKind kind;
	bool charge; /* kind payment: one operation authorizes and captures */
	bool on_commit;
	bool not_final;
	int64_t amount;
	int64_t approved; /* by the bank, where that was something else; 0: what was asked for */
	PgwState state;
	bool accepted; /* the bank has accepted it, and may still fail it: Saved, or in review since */
	bool saved;    /* it was kept: Saved or Completed at some time */
	bool in_vain;  /* it was Failed, or given back, at some time: nothing is kept from then on */
	bool declined; /* ... by the issuer or the bank's rules */
	bool reviewed; /* it was in manual review at some time */
	bool expired;  /* nothing is held any more */
	bool by_bank;  /* a capture, void or refund that pgw has not made */
	int64_t disputed;
} PgwToldAttempt;

/* The events of an attempt, one after the other; *a is zeroed before. */
extern void pgw_told_add(PgwToldAttempt *a, const PgwToldEvent *event);

typedef struct PgwToldPayment
{
	PgwPaymentAmounts amounts;
	int64_t given_back; /* by pgw itself, because nobody kept it or it was not what was asked for */
} PgwToldPayment;

extern void pgw_told_payment(const PgwToldAttempt *charge, const PgwToldAttempt *operations, int n,
							 PgwToldPayment *out);

#endif
