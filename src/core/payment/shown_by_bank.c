/*
 * shown_by_bank.c - what a bank shows that it holds of a charge, against what was asked of it
 *
 * Owns the one table that says what each combination of amount, currency, captured, refunded and
 * voided means (docs/connectors.md has it in words).
 *
 * Invariants:
 *     - No amount is taken as captured, or as given back, that the bank shows otherwise.
 *     - What the bank does not name is as it says in its outcome; what it names and nobody can
 *       read is unknown, neither zero nor the whole.
 *     - A part is not nothing: what would be done again on top of it could be done twice.
 *     - "Voided" is the end of a captured charge only where no rest can be meant: of one that was
 *       captured in part banks call so the release of what was not.
 */
#include "core/payment/shown_by_bank.h"

#include <string.h>

#include "core/base/mutant.h"

bool
pgw_shown_other_currency(const char *asked, const PgwAnswer *a)
{
	if (asked == NULL)
		return false;
	return a->currency_unreadable || (a->currency[0] != '\0' && strcmp(a->currency, asked) != 0);
}

bool
pgw_shown_amount_is(const PgwAsked *asked, const PgwAnswer *a)
{
	return !a->amount_unreadable && (!a->has_amount || a->amount == asked->amount) &&
		   !pgw_shown_other_currency(asked->currency, a);
}

bool
pgw_shown_undo_is(const PgwAsked *asked, const PgwAnswer *a)
{
	if (a->amount_unreadable || pgw_shown_other_currency(asked->currency, a))
		return false;
	return !a->has_amount || a->amount == 0 || a->amount == asked->amount ||
		   a->amount == asked->charged || a->amount == asked->taken ||
		   a->amount == asked->charged - asked->taken;
}

/* Is as much taken of the card as there should be by now? */
static bool
is_captured(const PgwAsked *asked, const PgwAnswer *a)
{
	if (a->captured < 0 || PGW_MUTATED(CAPTURED_SHOWN))
		return true;
	if (asked->op == PGW_OP_CHARGE)
		return a->captured == asked->amount;
	/* all of it: what was to follow has been done, by the original of a restored database, say */
	return a->captured == 0 || (asked->capture_follows && a->captured == asked->amount);
}

PgwShown
pgw_shown_charge(const PgwAsked *asked, const PgwAnswer *a)
{
	if (!PGW_MUTATED(AMOUNT_CHECK) && !pgw_shown_amount_is(asked, a))
		return PGW_SHOWN_OTHERWISE;
	/*
	 * somebody has given it back, or some of it, already: a look-up shows that, and a replay that
	 * is answered with the charge as it is now
	 */
	if (!PGW_MUTATED(AMOUNT_CHECK) && (a->voided || a->refunded > 0))
		return PGW_SHOWN_OTHERWISE;
	if (!is_captured(asked, a))
		return PGW_SHOWN_OTHERWISE;
	return a->charge_state_unreadable ? PGW_SHOWN_UNREADABLE : PGW_SHOWN_AS_ASKED;
}

static PgwShown
capture_shown(const PgwAsked *asked, const PgwAnswer *a)
{
	int64_t done = a->captured - asked->before;

	if (a->captured >= 0 && done < 0 && !PGW_MUTATED(LESS_THAN_KNOWN))
		return PGW_SHOWN_NOTHING; /* less than is known: of before that, perhaps */
	if (a->captured >= 0 && done == asked->amount)
		return PGW_SHOWN_AS_ASKED;
	if (a->captured >= 0 && done > asked->amount)
		return PGW_SHOWN_OTHERWISE;
	if (a->captured >= 0 && done > 0 && !PGW_MUTATED(PART_SHOWN))
		return PGW_SHOWN_PART;
	if (a->voided)
		return PGW_SHOWN_IMPOSSIBLE;
	return a->captured >= 0 ? PGW_SHOWN_NOT_DONE : PGW_SHOWN_NOTHING;
}

static PgwShown
void_shown(const PgwAnswer *a)
{
	if (a->voided)
		return PGW_SHOWN_AS_ASKED;
	if (a->captured > 0)
		return PGW_SHOWN_IMPOSSIBLE;
	return a->has_voided ? PGW_SHOWN_NOT_DONE : PGW_SHOWN_NOTHING;
}

static int64_t
taken(const PgwAsked *asked, const PgwAnswer *a)
{
	return a->captured >= 0 ? a->captured : asked->taken;
}

bool
pgw_shown_undone_by_void(const PgwAsked *asked, const PgwAnswer *a)
{
	if (!a->voided || PGW_MUTATED(REFUND_BY_VOID))
		return false;
	if (a->charge_state_unreadable && a->captured < 0)
		return false; /* how much was captured, perhaps */
	return taken(asked, a) == 0 || taken(asked, a) >= asked->charged || PGW_MUTATED(REST_RELEASED);
}

static PgwShown
refund_shown(const PgwAsked *asked, const PgwAnswer *a)
{
	int64_t done = a->refunded - asked->before;

	/* the bank has carried it out as a void, or somebody else has voided the charge */
	if (pgw_shown_undone_by_void(asked, a))
		return PGW_SHOWN_AS_ASKED;
	if (a->refunded < 0 || (done < 0 && !PGW_MUTATED(LESS_THAN_KNOWN)))
		return PGW_SHOWN_NOTHING; /* not said; or less than is known, and so of before that */
	if (done >= asked->others + asked->amount)
		return PGW_SHOWN_AS_ASKED;
	if (done >= asked->amount)
		return PGW_SHOWN_NOTHING; /* this one, or others that are in doubt */
	if (a->voided && !PGW_MUTATED(REFUND_BY_VOID))
		return PGW_SHOWN_NOTHING; /* the rest alone, or what was captured, too */
	/*
	 * more than the others can have given back: a part of this one, or somebody's at the bank
	 * itself
	 */
	return done > asked->others && !PGW_MUTATED(PART_SHOWN) ? PGW_SHOWN_PART : PGW_SHOWN_NOT_DONE;
}

/* All of it is undone, in whichever way. */
static PgwShown
reverse_shown(const PgwAsked *asked, const PgwAnswer *a)
{
	if (pgw_shown_undone_by_void(asked, a) || (a->captured > 0 && a->refunded >= a->captured))
		return PGW_SHOWN_AS_ASKED;
	if (a->refunded > 0)
		return PGW_SHOWN_PART;
	if (a->voided)
		return PGW_SHOWN_NOTHING;
	return a->has_voided && a->captured >= 0 && a->refunded >= 0 ? PGW_SHOWN_NOT_DONE
																 : PGW_SHOWN_NOTHING;
}

PgwShown
pgw_shown_operation(const PgwAsked *asked, const PgwAnswer *a)
{
	/* what is of another currency says nothing of ours */
	if (pgw_shown_other_currency(asked->currency, a))
		return PGW_SHOWN_NOTHING;
	switch (asked->op)
	{
		case PGW_OP_CAPTURE:
			return capture_shown(asked, a);
		case PGW_OP_VOID:
			return void_shown(a);
		case PGW_OP_REFUND:
			return refund_shown(asked, a);
		case PGW_OP_REVERSE:
			return reverse_shown(asked, a);
		default:
			return PGW_SHOWN_NOTHING;
	}
}

bool
pgw_shown_too_much(const PgwAsked *asked, const PgwAnswer *a)
{
	return asked->op == PGW_OP_CAPTURE && a->captured > asked->before + asked->amount &&
		   !PGW_MUTATED(TOO_MUCH_SHOWN);
}

bool
pgw_shown_belied(const PgwAsked *asked, const PgwAnswer *a)
{
	if (PGW_MUTATED(BELIED_APPROVAL))
		return false;
	switch (asked->op)
	{
		case PGW_OP_CAPTURE:
			/* voided, and no rest of it can be meant */
			if (a->captured < 0)
				return a->voided && asked->before + asked->amount >= asked->charged;
			/* its own amount, or that of all captures together; more than both is another's, too */
			return a->captured < asked->amount || a->captured > asked->before + asked->amount;
		case PGW_OP_VOID:
			/* more is taken of it than is known: it was captured, and is held */
			return !a->voided &&
				   (a->has_voided || (!PGW_MUTATED(VOID_TAKEN) && a->captured > asked->taken &&
									  a->captured > a->refunded));
		case PGW_OP_CANCEL:
		case PGW_OP_REVERSE:
			/* an authorization is to be voided, and what is captured given back, all of it */
			if (a->voided || PGW_MUTATED(BELIED_CANCEL))
				return false;
			return a->captured > 0 ? a->refunded >= 0 && a->refunded < a->captured
								   : a->captured == 0 && a->has_voided;
		case PGW_OP_REFUND:
			return a->refunded >= 0 && a->refunded < asked->amount &&
				   !pgw_shown_undone_by_void(asked, a);
		default:
			return false;
	}
}

bool
pgw_shown_money(const PgwAnswer *a)
{
	bool taken = a->captured > 0 ? a->captured > a->refunded : a->captured_garbled;

	return taken && !a->voided && !PGW_MUTATED(BELIED_REFUSAL);
}

bool
pgw_shown_unreadable_money(const PgwAnswer *a)
{
	return a->charge_state_unreadable && !a->voided;
}

bool
pgw_shown_refusal_belied(const PgwAsked *asked, const PgwAnswer *a)
{
	if (PGW_MUTATED(BELIED_REFUSAL))
		return false;
	switch (asked->op)
	{
		case PGW_OP_CAPTURE:
			return a->captured > asked->before;
		case PGW_OP_VOID:
		case PGW_OP_CANCEL:
			return a->voided;
		case PGW_OP_REVERSE:
			return a->voided || (a->captured > 0 && a->refunded >= a->captured);
		case PGW_OP_REFUND:
			return pgw_shown_undone_by_void(asked, a) ||
				   (asked->amount > 0 && a->refunded - asked->before >= asked->amount);
		default:
			return pgw_shown_money(a);
	}
}

bool
pgw_shown_excess(const PgwAsked *asked, const PgwAnswer *a)
{
	int64_t given_back;

	if (PGW_MUTATED(EXCESS_TOLD))
		return false;
	if (a->captured >= 0 && a->refunded > a->captured)
		return true;
	if (asked->op != PGW_OP_REFUND || asked->amount == 0)
		return false;
	given_back = a->refunded;
	/* a part was asked for, and the whole was undone */
	if (pgw_shown_undone_by_void(asked, a) && given_back < a->captured)
		given_back = a->captured;
	if (pgw_shown_undone_by_void(asked, a) && given_back < asked->taken)
		given_back = asked->taken;
	return given_back > asked->before + asked->others + asked->amount;
}

PgwShownEnd
pgw_shown_end(const PgwAnswer *a, int64_t captured)
{
	bool approved = a->outcome == PGW_OUT_APPROVED;

	if (approved ? a->captured < 0 : a->outcome != PGW_OUT_DECLINED)
		return PGW_END_UNTOLD;
	if (a->captured > captured && (approved || pgw_shown_money(a)))
		return PGW_END_TAKEN;
	return !approved && pgw_shown_unreadable_money(a) ? PGW_END_UNTOLD : PGW_END_LAPSED;
}

int64_t
pgw_shown_left(const PgwAnswer *a, int64_t asked, bool *captured)
{
	int64_t held = a->has_amount && !a->amount_unreadable ? a->amount : 0;
	int64_t taken = a->amount_unreadable || held > 0 ? held : asked;

	if (a->captured >= 0)
		*captured = a->captured > 0;
	if (a->captured > 0 && a->captured > a->refunded && !a->voided)
		return a->captured - (a->refunded > 0 ? a->refunded : 0);
	/* how much was taken it does not say: all of it, of which some is back */
	if (a->captured < 0 && *captured && a->refunded > 0 && a->refunded < taken && !a->voided)
		return taken - a->refunded;
	return held;
}

bool
pgw_shown_left_unreadable(const PgwAnswer *a, bool captured)
{
	if (a->voided || a->captured == 0 || (a->captured < 0 && !captured) ||
		PGW_MUTATED(LEFT_UNREADABLE))
		return false;
	if (a->currency_unreadable || (a->captured < 0 && a->amount_unreadable))
		return true;
	return a->charge_state_unreadable && (a->captured < 0 || a->refunded < 0);
}
