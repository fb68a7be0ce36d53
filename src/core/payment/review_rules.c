/*
 * review_rules.c - the grid of what an operator may do with an attempt in manual review
 *
 * Invariants (the unit test holds them):
 *     - Every cell leads along an edge out of RequiresManualReview, and every state that has an
 *       edge into it has its row.
 *     - No action sends a charge: the furthest is BankUnknown, where
 *       core/payment/unknown_outcome_rules.c looks first and repeats only with the old key while
 *       the bank remembers it.
 *     - Money is given back only where a charge is proven: the bank said yes to it.
 *     - What the bank said yes to cannot be declared not to exist, unless its own look-up did not
 *       find it when it was to be given back.
 */
#include "core/payment/review_rules.h"

#include <string.h>

#define TO(state) \
	{ \
		PGW_##state, NULL \
	}
#define NO(why) \
	{ \
		PGW_STATE_NONE, why \
	}

#define NOT_PROVEN \
	"it is not proven that there is a charge: mark_charged, with the bank's reference, comes first"
#define IN_DOUBT \
	"it is not known whether there is a charge: mark_not_charged says that none stands at the bank, also when it was given back there"
#define BANK_SAID_YES \
	"the bank said yes to this charge: refund gives it back, mark_refunded says that it was given back"
#define HOLD_STANDS \
	"the authorization is proven: refund gives it back, mark_refunded says that it was given back"
#define TAKEN_BACK \
	"the bank said yes to this charge: retry gives it back again, mark_refunded says that it was given back"
#define CALLER_GONE "its caller is gone, so this charge is kept for nobody: retry gives it back"
#define NOT_ITS_OWN \
	"the payment has failed for good, and the charge that turned up is not proven to be its own: give back at the bank what is too much, then mark_refunded or mark_not_charged"
#define GIVEN_BACK_ALREADY "it is being given back already: retry goes on with that"
#define ONLY_CAPTURE "this is a capture: mark_charged says that it was done"
#define ONLY_VOID "this is a void: mark_refunded says that it was done"
#define ONLY_REFUND "this is a refund: mark_refunded says that it was done"
#define ONLY_PAYMENT \
	"only a payment's own charge is given back by this action: call pgw.refund_payment() or pgw.void_payment()"
#define DONE_AT_BANK "the bank did it, only the result is not saved: retry saves it"
#define BANK_TOOK_IT_BACK \
	"the bank took this refund back: mark_not_charged closes it, then pgw.refund_payment() makes a new one"
#define BANK_TOOK_CAPTURE_BACK \
	"the bank took this capture back: mark_not_charged closes it, then pgw.capture_payment() makes a new one"
#define BANK_SAID_BOTH \
	"the bank has said that it failed and that it was done: ask the bank which is true, then say that"

/*
 * A capture, void or refund that is Saved is one that the bank has accepted: in doubt, as one that
 * is BankUnknown.
 */
static const PgwReviewRow rows[] = {
	/*- kind, came from: retry, mark_charged, mark_not_charged, mark_refunded, refund */
	{PGW_KIND_PAYMENT,
	 PGW_CREATED,
	 {TO(BANK_UNKNOWN), TO(BANK_APPROVED), TO(FAILED), NO(IN_DOUBT), NO(NOT_PROVEN)}},
	{PGW_KIND_PAYMENT,
	 PGW_BANK_UNKNOWN,
	 {TO(BANK_UNKNOWN), TO(BANK_APPROVED), TO(FAILED), NO(IN_DOUBT), NO(NOT_PROVEN)}},
	{PGW_KIND_PAYMENT,
	 PGW_BANK_APPROVED,
	 {TO(BANK_APPROVED), TO(BANK_APPROVED), NO(BANK_SAID_YES), TO(REFUNDED), TO(REFUNDING)}},
	{PGW_KIND_PAYMENT,
	 PGW_SAVED,
	 {TO(SAVED), TO(COMPLETED), NO(HOLD_STANDS), TO(REFUNDED), TO(REFUNDING)}},
	{PGW_KIND_PAYMENT,
	 PGW_REFUNDING,
	 {TO(REFUNDING), NO(CALLER_GONE), TO(FAILED), TO(REFUNDED), NO(GIVEN_BACK_ALREADY)}},
	{PGW_KIND_PAYMENT,
	 PGW_REFUNDED,
	 {TO(REFUNDING), NO(CALLER_GONE), NO(TAKEN_BACK), TO(REFUNDED), NO(GIVEN_BACK_ALREADY)}},

	{PGW_KIND_CAPTURE,
	 PGW_CREATED,
	 {TO(BANK_UNKNOWN), TO(BANK_APPROVED), TO(FAILED), NO(ONLY_CAPTURE), NO(ONLY_PAYMENT)}},
	{PGW_KIND_CAPTURE,
	 PGW_BANK_UNKNOWN,
	 {TO(BANK_UNKNOWN), TO(BANK_APPROVED), TO(FAILED), NO(ONLY_CAPTURE), NO(ONLY_PAYMENT)}},
	{PGW_KIND_CAPTURE,
	 PGW_BANK_APPROVED,
	 {TO(BANK_APPROVED), NO(DONE_AT_BANK), NO(DONE_AT_BANK), NO(ONLY_CAPTURE), NO(ONLY_PAYMENT)}},
	{PGW_KIND_CAPTURE,
	 PGW_SAVED,
	 {TO(BANK_UNKNOWN), TO(BANK_APPROVED), TO(FAILED), NO(ONLY_CAPTURE), NO(ONLY_PAYMENT)}},

	{PGW_KIND_VOID,
	 PGW_CREATED,
	 {TO(BANK_UNKNOWN), NO(ONLY_VOID), TO(FAILED), TO(BANK_APPROVED), NO(ONLY_PAYMENT)}},
	{PGW_KIND_VOID,
	 PGW_BANK_UNKNOWN,
	 {TO(BANK_UNKNOWN), NO(ONLY_VOID), TO(FAILED), TO(BANK_APPROVED), NO(ONLY_PAYMENT)}},
	{PGW_KIND_VOID,
	 PGW_BANK_APPROVED,
	 {TO(BANK_APPROVED), NO(ONLY_VOID), NO(DONE_AT_BANK), NO(DONE_AT_BANK), NO(ONLY_PAYMENT)}},
	{PGW_KIND_VOID,
	 PGW_SAVED,
	 {TO(BANK_UNKNOWN), NO(ONLY_VOID), TO(FAILED), TO(BANK_APPROVED), NO(ONLY_PAYMENT)}},

	{PGW_KIND_REFUND,
	 PGW_CREATED,
	 {TO(BANK_UNKNOWN), NO(ONLY_REFUND), TO(FAILED), TO(BANK_APPROVED), NO(ONLY_PAYMENT)}},
	{PGW_KIND_REFUND,
	 PGW_BANK_UNKNOWN,
	 {TO(BANK_UNKNOWN), NO(ONLY_REFUND), TO(FAILED), TO(BANK_APPROVED), NO(ONLY_PAYMENT)}},
	{PGW_KIND_REFUND,
	 PGW_BANK_APPROVED,
	 {TO(BANK_APPROVED), NO(ONLY_REFUND), NO(DONE_AT_BANK), NO(DONE_AT_BANK), NO(ONLY_PAYMENT)}},
	{PGW_KIND_REFUND,
	 PGW_SAVED,
	 {TO(BANK_UNKNOWN), NO(ONLY_REFUND), TO(FAILED), TO(BANK_APPROVED), NO(ONLY_PAYMENT)}},
	{PGW_KIND_REFUND,
	 PGW_COMPLETED,
	 {NO(BANK_TOOK_IT_BACK), NO(ONLY_REFUND), TO(FAILED), TO(COMPLETED), NO(ONLY_PAYMENT)}},

	{PGW_KIND_PAYMENT,
	 PGW_FAILED,
	 {TO(FAILED), NO(NOT_ITS_OWN), TO(FAILED), TO(REFUNDED), NO(NOT_ITS_OWN)}},
	{PGW_KIND_CAPTURE,
	 PGW_FAILED,
	 {NO(BANK_SAID_BOTH), TO(COMPLETED), TO(FAILED), NO(ONLY_CAPTURE), NO(ONLY_PAYMENT)}},
	{PGW_KIND_VOID,
	 PGW_FAILED,
	 {NO(BANK_SAID_BOTH), NO(ONLY_VOID), TO(FAILED), TO(COMPLETED), NO(ONLY_PAYMENT)}},
	{PGW_KIND_REFUND,
	 PGW_FAILED,
	 {NO(BANK_SAID_BOTH), NO(ONLY_REFUND), TO(FAILED), TO(COMPLETED), NO(ONLY_PAYMENT)}},
	{PGW_KIND_CAPTURE,
	 PGW_COMPLETED,
	 {NO(BANK_TOOK_CAPTURE_BACK), TO(COMPLETED), TO(FAILED), NO(ONLY_CAPTURE), NO(ONLY_PAYMENT)}},
};

#define NROWS (sizeof(rows) / sizeof(rows[0]))

static const char *const action_names[PGW_NREVIEW_ACTIONS] = {
	[PGW_REVIEW_RETRY] = "retry",
	[PGW_REVIEW_MARK_CHARGED] = "mark_charged",
	[PGW_REVIEW_MARK_NOT_CHARGED] = "mark_not_charged",
	[PGW_REVIEW_MARK_REFUNDED] = "mark_refunded",
	[PGW_REVIEW_REFUND] = "refund",
};

const PgwReviewRow *
pgw_review_rows(size_t *n)
{
	*n = NROWS;
	return rows;
}

const PgwReviewCell *
pgw_review_cell(PgwKind kind, PgwState from, PgwReviewAction action)
{
	if ((int) action < 0 || action >= PGW_NREVIEW_ACTIONS)
		return NULL;
	for (size_t i = 0; i < NROWS; i++)
	{
		if (rows[i].kind == kind && rows[i].from == from)
			return &rows[i].cells[action];
	}
	return NULL;
}

bool
pgw_review_needs_reference(PgwReviewAction action)
{
	return action == PGW_REVIEW_MARK_CHARGED || action == PGW_REVIEW_MARK_REFUNDED;
}

bool
pgw_review_key_did_nothing(const char *reason)
{
	return reason != NULL && strcmp(reason, "refused") == 0;
}

const char *
pgw_review_action_name(PgwReviewAction action)
{
	return (int) action >= 0 && action < PGW_NREVIEW_ACTIONS ? action_names[action] : NULL;
}

int
pgw_review_action_parse(const char *name)
{
	for (int i = 0; name != NULL && i < PGW_NREVIEW_ACTIONS; i++)
	{
		if (strcmp(action_names[i], name) == 0)
			return i;
	}
	return -1;
}
