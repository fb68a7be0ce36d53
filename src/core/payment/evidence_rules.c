/*
 * evidence_rules.c - what the bank's own word on an operation does to the attempt
 *
 * Invariants:
 *     - State decides: what has ended as the bank says is left alone, however often it says so.
 *     - A success after a failure of the same operation, or both at once in whatever order, is no
 *       proof: what a signature covers has no time in it, so an old success can be sent again. Only
 *       where whoever sent them has proved twice who it is, which makes the time the bank's, does a
 *       later success count, and of what is still open alone.
 *     - A success that does not say how much was moved, or that comes from a bank which does not
 *       have the attempt any more, is no proof either.
 *     - Nor is a word, of whatever, that has our reference and another charge than ours: one of the
 *       two is wrong, and something was done, or was not, to somebody's money.
 *     - What counts as failed is never left so once the bank says that it is done: money was moved,
 *       for all we know, and the caller was told that it was not.
 *     - Nothing is taken while a request of the attempt may still be under way: its own answer
 *       comes first, or is known to be lost.
 */
#include "core/payment/evidence_rules.h"

#include <string.h>

#include "core/base/mutant.h"

typedef enum Stands
{
	NOT_YET = 0,
	OPEN,
	DONE,
	FAILED
} Stands;

static Stands
charge_stands(PgwState state)
{
	switch (state)
	{
		case PGW_BANK_UNKNOWN:
			return OPEN;
		case PGW_BANK_APPROVED:
		case PGW_SAVED:
		case PGW_COMPLETED:
		case PGW_REFUNDING:
		case PGW_REFUNDED:
			return DONE;
		case PGW_FAILED:
			return FAILED;
		default:
			return NOT_YET;
	}
}

/* A capture, void or refund that was asked for. */
static Stands
operation_stands(PgwState state, bool accepted)
{
	switch (state)
	{
		case PGW_BANK_UNKNOWN:
			return OPEN;
		case PGW_SAVED:
			return accepted ? OPEN : NOT_YET;
		case PGW_COMPLETED:
			return DONE;
		case PGW_FAILED:
			return FAILED;
		default:
			return NOT_YET;
	}
}

/* The capture that the charge itself was to make: what is open is decided by the charge's word. */
static Stands
part_of_charge_stands(PgwState state)
{
	Stands charge = charge_stands(state);

	return charge == OPEN || state == PGW_BANK_APPROVED ? NOT_YET : charge;
}

/* What follows the charge in the payment's own attempt: the capture, and the give-back. */
static Stands
follow_up_stands(PgwBankOp about, PgwState state)
{
	if (about == PGW_OP_CAPTURE)
		return state == PGW_SAVED ? OPEN : state == PGW_COMPLETED ? DONE : NOT_YET;
	return state == PGW_REFUNDING ? OPEN : state == PGW_REFUNDED ? DONE : NOT_YET;
}

static Stands
stands(const PgwEvidenceFacts *f)
{
	if (f->about == PGW_OP_CHARGE)
		return charge_stands(f->state);
	if (f->kind != PGW_KIND_PAYMENT)
		return operation_stands(f->state, f->accepted);
	if (f->part_of_charge && f->about == PGW_OP_CAPTURE)
		return part_of_charge_stands(f->state);
	return follow_up_stands(f->about, f->state);
}

/*
 * The states in which a refund or capture that is done is known to be taken back.  (Of a payment's
 * own capture people are told: its attempt is the charge, which stands.)
 */
static bool
can_be_reversed(const PgwEvidenceFacts *f)
{
	if (f->about == PGW_OP_CAPTURE)
		return f->kind == PGW_KIND_CAPTURE && f->state == PGW_COMPLETED;
	return (f->about == PGW_OP_REFUND || f->about == PGW_OP_REVERSE) &&
		   (f->kind == PGW_KIND_REFUND ? f->state == PGW_COMPLETED : f->state == PGW_REFUNDED);
}

bool
pgw_evidence_needs_amount(PgwBankOp about)
{
	return about != PGW_OP_VOID && about != PGW_OP_CANCEL;
}

const char *
pgw_evidence_reason(const PgwEvidenceFacts *f)
{
	if (f->of_former_bank)
		return PGW_EVIDENCE_FORMER_BANK;
	if (stands(f) == FAILED)
		return PGW_EVIDENCE_AFTER_FAILURE;
	if (f->of_other_charge)
		return PGW_EVIDENCE_OTHER_CHARGE;
	return f->says_failed || f->said_failed || f->differ ? PGW_EVIDENCE_TWO_WORDS
														 : PGW_EVIDENCE_NO_AMOUNT;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool
pgw_evidence_later(const char *time, const char *than)
{
	size_t len = strlen(time);
	size_t digits = strspn(time, "0123456789");
	bool in_offset = false;

	if (len == 0 || strlen(than) != len || (digits != len && (digits != 4 || time[4] != '-')))
		return false;
	for (size_t i = 0; i < len; i++)
	{
		/* behind the time of the day */
		in_offset |= i > 10 && (time[i] == '+' || time[i] == '-');
		if (time[i] != than[i] && (in_offset || !is_digit(time[i]) || !is_digit(than[i])))
			return false;
	}
	return strcmp(time, than) > 0;
}

PgwEvidenceStep
pgw_evidence_step(const PgwEvidenceFacts *f)
{
	bool believed = f->proved_later && !f->differ;
	bool both = f->says_done && (f->says_failed || f->said_failed || f->differ) &&
				!PGW_MUTATED(EVIDENCE_TWO_WORDS);
	bool of_other_charge = f->of_other_charge && !PGW_MUTATED(EVIDENCE_OTHER_CHARGE);

	if (!f->says_done && !f->says_failed)
		return PGW_EVIDENCE_WAITS;
	switch (stands(f))
	{
		case NOT_YET:
			break;
		case OPEN:
			if ((both && !believed) || of_other_charge ||
				(f->says_done && (f->lacks_amount || f->of_former_bank)))
				return PGW_EVIDENCE_REVIEW;
			return f->says_done ? PGW_EVIDENCE_DONE : PGW_EVIDENCE_FAILED;
		case DONE:
			if (of_other_charge)
				return PGW_EVIDENCE_CONTRADICTS;
			if (!f->says_failed)
				return f->differ || f->twice || f->of_former_bank ? PGW_EVIDENCE_CONTRADICTS
																  : PGW_EVIDENCE_AGREES;
			return can_be_reversed(f) && !both ? PGW_EVIDENCE_REVERSED : PGW_EVIDENCE_CONTRADICTS;
		case FAILED:
			return f->says_done ? PGW_EVIDENCE_LATE : PGW_EVIDENCE_AGREES;
	}
	return PGW_EVIDENCE_WAITS;
}
