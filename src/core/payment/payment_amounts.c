/*
 * payment_amounts.c - what a payment stands at: its status and amounts, which operation it allows,
 * and what an operation does to it
 *
 * Owns the grid state x operation, and the one place where amounts and status of a payment follow
 * from operations.
 *
 * Invariants (the unit test walks every sequence of operations up to a depth):
 *     - 0 <= refunded + refund_pending <= captured + bank_captured, and captured + capture_pending
 * + reserved <= authorized, whatever is done in whatever order.
 *     - One capture or void at a time: it lays claim to the authorization until the bank's
 *       outcome is known; what the bank has accepted, and may still fail, is not known.
 *     - A claim ends by done or undone, once; in doubt it stays.
 *     - What disputes have taken is refunded only where that is wanted: asked when a refund begins,
 *       and again when it is sent.
 */
#include "core/payment/payment_amounts.h"

#include <string.h>

#include "core/base/mutant.h"

#define NOT_YET \
	"it is not known yet whether the payment was made: wait for it with pgw.wait_for_payment()"
#define ONE_AT_A_TIME \
	"a capture or void of this payment is under way: wait for its end with pgw.wait_for_payment(), then call again"
#define VOID_IT "nothing is captured: pgw.void_payment() gives the authorization back"
#define CLAIMED \
	"nothing is captured yet, and a capture or void is under way: wait for its end with pgw.wait_for_payment()"
#define REFUND_IT "it is captured: pgw.refund_payment() gives money back"
#define REFUND_PART \
	"a part is captured: pgw.refund_payment() gives money back, and a capture with final => true gives up the rest"
#define ALL_GIVEN_BACK "all of it has been given back: pgw.payment_history() tells when"
#define WAS_VOIDED "the authorization was voided, and no money was taken: a new payment is needed"
#define WAS_EXPIRED "the authorization has expired, and no money was taken: a new payment is needed"
#define NOTHING_TAKEN "no money was taken: a new payment, with a new client_request_id, is needed"
#define REVIEW_FIRST \
	"it is in doubt whether money was taken: an operator decides with pgw.resolve_review()"

static const PgwOperationRow rows[] = {
	/*- status, a capture or void under way: capture, void, refund */
	{PGW_PAY_PENDING, false, {NOT_YET, NOT_YET, NOT_YET}},
	{PGW_PAY_AUTHORIZED, false, {NULL, NULL, VOID_IT}},
	{PGW_PAY_AUTHORIZED, true, {ONE_AT_A_TIME, ONE_AT_A_TIME, CLAIMED}},
	{PGW_PAY_PARTIALLY_CAPTURED, false, {NULL, REFUND_PART, NULL}},
	{PGW_PAY_PARTIALLY_CAPTURED, true, {ONE_AT_A_TIME, REFUND_PART, NULL}},
	{PGW_PAY_CAPTURED, false, {REFUND_IT, REFUND_IT, NULL}},
	{PGW_PAY_PARTIALLY_REFUNDED, false, {REFUND_IT, REFUND_IT, NULL}},
	{PGW_PAY_REFUNDED, false, {ALL_GIVEN_BACK, ALL_GIVEN_BACK, ALL_GIVEN_BACK}},
	{PGW_PAY_VOIDED, false, {WAS_VOIDED, WAS_VOIDED, WAS_VOIDED}},
	{PGW_PAY_EXPIRED, false, {WAS_EXPIRED, WAS_EXPIRED, WAS_EXPIRED}},
	{PGW_PAY_DECLINED, false, {NOTHING_TAKEN, NOTHING_TAKEN, NOTHING_TAKEN}},
	{PGW_PAY_FAILED, false, {NOTHING_TAKEN, NOTHING_TAKEN, NOTHING_TAKEN}},
	{PGW_PAY_IN_REVIEW, false, {REVIEW_FIRST, REVIEW_FIRST, REVIEW_FIRST}},
};

#define NROWS (sizeof(rows) / sizeof(rows[0]))

static const PgwKind columns[PGW_NOPERATIONS] = {PGW_KIND_CAPTURE, PGW_KIND_VOID, PGW_KIND_REFUND};

static const char *const status_names[PGW_NPAYMENT_STATUSES] = {
	[PGW_PAY_PENDING] = "pending",
	[PGW_PAY_AUTHORIZED] = "authorized",
	[PGW_PAY_PARTIALLY_CAPTURED] = "partially_captured",
	[PGW_PAY_CAPTURED] = "captured",
	[PGW_PAY_PARTIALLY_REFUNDED] = "partially_refunded",
	[PGW_PAY_REFUNDED] = "refunded",
	[PGW_PAY_VOIDED] = "voided",
	[PGW_PAY_EXPIRED] = "expired",
	[PGW_PAY_DECLINED] = "declined",
	[PGW_PAY_FAILED] = "failed",
	[PGW_PAY_IN_REVIEW] = "in_review",
};

const char *
pgw_payment_status_name(PgwPaymentStatus s)
{
	return (int) s >= 0 && s < PGW_NPAYMENT_STATUSES ? status_names[s] : NULL;
}

int
pgw_payment_status_parse(const char *name)
{
	for (int i = 0; name != NULL && i < PGW_NPAYMENT_STATUSES; i++)
	{
		if (strcmp(status_names[i], name) == 0)
			return i;
	}
	return -1;
}

PgwKind
pgw_payment_operation_kind(int column)
{
	return columns[column];
}

const PgwOperationRow *
pgw_payment_operation_rows(size_t *n)
{
	*n = NROWS;
	return rows;
}

/* ---------------------------------------------------------------- may it begin? */

static bool
is_under_way(const PgwPaymentAmounts *s)
{
	return s->reserved > 0 || s->capture_pending > 0;
}

/* What nobody foresaw is refused. */
static const char *
refusal(PgwKind kind, const PgwPaymentAmounts *s)
{
	for (size_t i = 0; i < NROWS; i++)
	{
		if (rows[i].status != s->status || rows[i].under_way != is_under_way(s))
			continue;
		for (int c = 0; c < PGW_NOPERATIONS; c++)
		{
			if (columns[c] == kind)
				return rows[i].refusals[c];
		}
	}
	return ONE_AT_A_TIME;
}

/* By whomever. */
static int64_t
taken(const PgwPaymentAmounts *s)
{
	return s->captured + s->bank_captured;
}

static int64_t
given_back(const PgwPaymentAmounts *s)
{
	return s->refunded + (PGW_MUTATED(BANK_REFUNDED_COUNTS) ? 0 : s->bank_refunded);
}

static int64_t
what_is_left(PgwKind kind, const PgwPaymentAmounts *s)
{
	return kind == PGW_KIND_REFUND ? taken(s) - given_back(s) - s->refund_pending
								   : s->authorized - taken(s) - s->capture_pending - s->reserved;
}

static bool
bank_can(PgwKind kind, const PgwPaymentAmounts *s, const PgwCapabilities *caps, int64_t amount,
		 bool final)
{
	bool part;

	switch (kind)
	{
		case PGW_KIND_CAPTURE:
			part = amount < s->authorized;
			return caps->separate_capture && (!part || caps->partial_capture) &&
				   (caps->multiple_captures || (taken(s) == 0 && (final || !part)));
		case PGW_KIND_VOID:
			return caps->can_void;
		case PGW_KIND_REFUND:
			return caps->can_refund && (amount == taken(s) || caps->partial_refund);
		default:
			return false;
	}
}

/*
 * What a dispute has taken has the card holder already: a refund of it would pay him twice, and so
 * is one only where that is wanted.
 */
static int64_t
undisputed(PgwKind kind, const PgwPaymentAmounts *s, const PgwOperationWish *wish, int64_t left)
{
	return kind == PGW_KIND_REFUND && !wish->despite_dispute && !PGW_MUTATED(DISPUTE_CEILING)
			   ? left - s->disputed
			   : left;
}

void
pgw_payment_operation_check(PgwKind kind, const PgwPaymentAmounts *s, const PgwCapabilities *caps,
							const PgwOperationWish *wish, PgwOperationCheck *check)
{
	int64_t free;

	memset(check, 0, sizeof(*check));
	check->hint = refusal(kind, s);
	if (check->hint != NULL)
	{
		check->error_code = "operation_not_allowed";
		return;
	}
	check->left = what_is_left(kind, s);
	free = undisputed(kind, s, wish, check->left);
	check->amount = wish->amount == 0 ? free : wish->amount;
	if (check->left <= 0 || check->amount > check->left)
	{
		check->error_code = "amount_exceeds_remaining";
		return;
	}
	if (free <= 0 || check->amount > free)
	{
		check->error_code = "amount_disputed";
		check->left = free > 0 ? free : 0;
		return;
	}
	if (!bank_can(kind, s, caps, check->amount, wish->final))
		check->error_code = "bank_operation_not_supported";
}

/* ---------------------------------------------------------------- what it does */

void
pgw_payment_operation_begin(PgwKind kind, int64_t amount, PgwPaymentAmounts *s)
{
	if (kind == PGW_KIND_REFUND)
		s->refund_pending += amount;
	else
		s->reserved += amount;
}

/* Nothing more can be captured: what was refunded tells. */
static PgwPaymentStatus
closed(const PgwPaymentAmounts *s)
{
	if (given_back(s) == 0)
		return PGW_PAY_CAPTURED;
	return given_back(s) < taken(s) ? PGW_PAY_PARTIALLY_REFUNDED : PGW_PAY_REFUNDED;
}

/* While more can be captured, that is what the status says. */
static bool
is_open(const PgwPaymentAmounts *s)
{
	return s->status == PGW_PAY_AUTHORIZED || s->status == PGW_PAY_PARTIALLY_CAPTURED;
}

void
pgw_payment_operation_done(PgwKind kind, int64_t amount, bool final, PgwPaymentAmounts *s)
{
	pgw_payment_operation_undone(kind, amount, s);
	switch (kind)
	{
		case PGW_KIND_CAPTURE:
			s->captured += amount;
			s->status = final || taken(s) >= s->authorized ? closed(s) : PGW_PAY_PARTIALLY_CAPTURED;
			break;
		case PGW_KIND_VOID:
			s->status = PGW_PAY_VOIDED;
			break;
		case PGW_KIND_REFUND:
			s->refunded += amount;
			if (!is_open(s))
				s->status = closed(s);
			break;
		default:
			break;
	}
}

void
pgw_payment_operation_undone(PgwKind kind, int64_t amount, PgwPaymentAmounts *s)
{
	if (kind == PGW_KIND_REFUND)
		s->refund_pending -= amount;
	else
		s->reserved -= amount;
}

void
pgw_payment_operation_accepted(PgwKind kind, int64_t amount, PgwPaymentAmounts *s)
{
	if (kind != PGW_KIND_CAPTURE)
		return;
	s->reserved -= amount;
	s->capture_pending += amount;
}

void
pgw_payment_operation_no_longer_accepted(PgwKind kind, int64_t amount, PgwPaymentAmounts *s)
{
	if (kind != PGW_KIND_CAPTURE)
		return;
	s->capture_pending -= amount;
	s->reserved += amount;
}

bool
pgw_payment_refund_is_whole(int64_t amount, const PgwPaymentAmounts *s)
{
	return given_back(s) == 0 && taken(s) == amount && s->refund_pending == amount &&
		   !is_under_way(s) && (s->status == PGW_PAY_CAPTURED || PGW_MUTATED(WHOLE_REFUND));
}

bool
pgw_payment_can_claim_again(PgwKind kind, int64_t amount, const PgwPaymentAmounts *s)
{
	return refusal(kind, s) == NULL && amount <= what_is_left(kind, s);
}

void
pgw_payment_refund_reversed(int64_t amount, PgwPaymentAmounts *s)
{
	s->refunded -= amount;
	s->refund_pending += amount;
	if (!is_open(s))
		s->status = closed(s);
}

bool
pgw_payment_capture_reversed(int64_t amount, bool final, bool closed_otherwise,
							 PgwPaymentAmounts *s)
{
	int64_t left = taken(s) - amount;

	/* beside what was captured at the bank nobody can tell what this one has closed */
	if (s->bank_captured > 0)
		return false;
	/* the authorization has expired: what is left of it says so no more */
	if (!is_open(s) && !final && !closed_otherwise && taken(s) < s->authorized)
		return false;
	if (given_back(s) + s->refund_pending > left && !PGW_MUTATED(TAKEN_BACK_REFUNDED))
		return false;
	s->captured -= amount;
	s->reserved += amount;
	if (left == 0)
		s->status = PGW_PAY_AUTHORIZED;
	else
		s->status =
			closed_otherwise || left >= s->authorized ? closed(s) : PGW_PAY_PARTIALLY_CAPTURED;
	return true;
}

bool
pgw_payment_refund_is_disputed(const PgwPaymentAmounts *s)
{
	return s->disputed > 0 && what_is_left(PGW_KIND_REFUND, s) < s->disputed &&
		   !PGW_MUTATED(DISPUTED_MEANWHILE);
}

void
pgw_payment_bank_captured(int64_t amount, PgwPaymentAmounts *s)
{
	s->bank_captured += amount;
	s->status = is_open(s) && taken(s) < s->authorized ? PGW_PAY_PARTIALLY_CAPTURED : closed(s);
}

void
pgw_payment_bank_refunded(int64_t amount, PgwPaymentAmounts *s)
{
	s->bank_refunded += amount;
	if (!is_open(s))
		s->status = closed(s);
}

void
pgw_payment_bank_voided(PgwPaymentAmounts *s)
{
	s->status = PGW_PAY_VOIDED;
}

bool
pgw_payment_authorization_expired(PgwPaymentAmounts *s)
{
	if (!is_open(s) || is_under_way(s))
		return false;
	s->status = taken(s) > 0 ? closed(s) : PGW_PAY_EXPIRED;
	return true;
}
