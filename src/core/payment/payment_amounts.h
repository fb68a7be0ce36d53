/*
 * payment_amounts.h - what a payment stands at: its status and amounts, which operation it allows,
 * and what an operation does to it
 *
 * Pure: the row is read, locked and written by others.  The grid of operations is data;
 * docs/operations.md shows the same rows, and a unit test compares the two.
 */
#ifndef PGW_CORE_PAYMENT_PAYMENT_AMOUNTS_H
#define PGW_CORE_PAYMENT_PAYMENT_AMOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/connector/capabilities.h"
#include "core/state/state_machine.h"

typedef enum PgwPaymentStatus /* order of the SQL enum */
{
	PGW_PAY_PENDING = 0,
	PGW_PAY_AUTHORIZED,
	PGW_PAY_PARTIALLY_CAPTURED,
	PGW_PAY_CAPTURED,
	PGW_PAY_PARTIALLY_REFUNDED,
	PGW_PAY_REFUNDED,
	PGW_PAY_VOIDED,
	PGW_PAY_EXPIRED,
	PGW_PAY_DECLINED,
	PGW_PAY_FAILED,
	PGW_PAY_IN_REVIEW,
	PGW_NPAYMENT_STATUSES
} PgwPaymentStatus;

extern const char *pgw_payment_status_name(PgwPaymentStatus s);
extern int pgw_payment_status_parse(const char *name); /* -1 */

/*
 * In minor units.  Always 0 <= refunded + refund_pending <= captured + bank_captured, and captured
 * + capture_pending + reserved <= authorized: a CHECK of the table.
 */
typedef struct PgwPaymentAmounts
{
	PgwPaymentStatus status;
	int64_t authorized;
	int64_t captured;
	int64_t capture_pending; /* by a capture that the bank has accepted, and may still fail */
	/* of the authorization: laid claim to by the capture or void that is under way or in doubt */
	int64_t reserved;
	int64_t refunded;
	int64_t refund_pending; /* by refunds under way, accepted by the bank or in doubt */
	/*
	 * What the bank has done without pgw, as it reports it: no CHECK binds that.  It counts in the
	 * status, and in what is left for pgw.
	 */
	int64_t bank_captured;
	int64_t bank_refunded;
	/* what disputes have taken: counts in no status, and is refunded only where that is wanted */
	int64_t disputed;
} PgwPaymentAmounts;

/* The operations that a caller asks for on a payment, in the order of the grid's columns. */
#define PGW_NOPERATIONS 3
extern PgwKind pgw_payment_operation_kind(int column); /* capture, void, refund */

/*
 * A row of the grid. A refusal is NULL where the operation is allowed; else the hint that names
 * what to do instead.
 */
typedef struct PgwOperationRow
{
	PgwPaymentStatus status;
	bool under_way; /* while a capture or void lays claim to the authorization */
	const char *refusals[PGW_NOPERATIONS];
} PgwOperationRow;

extern const PgwOperationRow *pgw_payment_operation_rows(size_t *n);

typedef struct PgwOperationCheck
{
	const char *error_code; /* NULL: allowed */
	const char *hint;       /* with an error; NULL: none but the code's own */
	int64_t amount;         /* of the operation, when allowed */
	int64_t left;           /* with amount_exceeds_remaining and amount_disputed */
} PgwOperationCheck;

typedef struct PgwOperationWish
{
	int64_t amount;       /* 0: all that is left */
	bool final;           /* of a capture: the rest of the authorization is given up */
	bool despite_dispute; /* of a refund: also what a dispute has taken */
} PgwOperationWish;

/* May this operation begin?  The caller holds the row's lock. */
extern void pgw_payment_operation_check(PgwKind kind, const PgwPaymentAmounts *s,
										const PgwCapabilities *caps, const PgwOperationWish *wish,
										PgwOperationCheck *check);

/* What it does to the payment. Each is called once for the one before it. */
/* claims its amount */
extern void pgw_payment_operation_begin(PgwKind kind, int64_t amount, PgwPaymentAmounts *s);
extern void pgw_payment_operation_done(PgwKind kind, int64_t amount, bool final,
									   PgwPaymentAmounts *s);
/* it did nothing */
extern void pgw_payment_operation_undone(PgwKind kind, int64_t amount, PgwPaymentAmounts *s);
/*
 * The bank has accepted it, and may still fail it: what a capture laid claim to is pending.  And
 * back, before it is done, undone, or in doubt again.
 */
extern void pgw_payment_operation_accepted(PgwKind kind, int64_t amount, PgwPaymentAmounts *s);
extern void pgw_payment_operation_no_longer_accepted(PgwKind kind, int64_t amount,
													 PgwPaymentAmounts *s);
/*
 * Is a refund of this much, which has its claim, all that was and ever will be captured?  Then what
 * undoes the whole charge does the same.  While more can be captured it does not: it would take the
 * authorization with it, or a capture that is under way.
 */
extern bool pgw_payment_refund_is_whole(int64_t amount, const PgwPaymentAmounts *s);
/* What counted as failed may have been done: is what it laid claim to still there to be claimed? */
extern bool pgw_payment_can_claim_again(PgwKind kind, int64_t amount, const PgwPaymentAmounts *s);
/* After done: the bank took the refund back, and it is in doubt again. */
extern void pgw_payment_refund_reversed(int64_t amount, PgwPaymentAmounts *s);
/*
 * ... took the capture back: its amount is laid claim to again, until a person has decided.  final:
 * it gave up the rest of the authorization; closed_otherwise: another capture did.  false, and
 * nothing has changed: refunds count on what it captured, the authorization has expired since, or
 * something was captured at the bank as well.
 */
extern bool pgw_payment_capture_reversed(int64_t amount, bool final, bool closed_otherwise,
										 PgwPaymentAmounts *s);
/*
 * A refund that has its claim, and has not been sent: have disputes taken since then what it, or
 * another that has its claim, would pay once more?
 */
extern bool pgw_payment_refund_is_disputed(const PgwPaymentAmounts *s);

/*
 * What the bank reports that pgw has not made: captured, given back (less than zero: it took that
 * back), or the authorization voided.
 */
extern void pgw_payment_bank_captured(int64_t amount, PgwPaymentAmounts *s);
extern void pgw_payment_bank_refunded(int64_t amount, PgwPaymentAmounts *s);
extern void pgw_payment_bank_voided(PgwPaymentAmounts *s);

/*
 * The bank holds nothing for it any more: what is captured stays. Returns true if that changes
 * anything.
 */
extern bool pgw_payment_authorization_expired(PgwPaymentAmounts *s);

#endif
