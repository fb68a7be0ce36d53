/*
 * compensation_rules.c - giving a charge back whose caller rolled back: how, and what to ask the
 * bank next
 *
 * Invariants:
 *     - A new key only when the old one provably did nothing: refused by the bank, or looked up.
 *       In doubt: the same key, or a look-up.  The refusal of a repetition proves nothing of the
 *       first request, which it may be refused for.
 *     - After a refusal the charge is looked up, again and again, until a look-up tells: one that
 *       is not understood, or too early to show the refused request, allows no new key; nor does
 *       one that does not show a refund, where it is never said by when it would.
 *     - A look-up proves nothing of a refund unless it shows what was captured and what was
 *       refunded: absent or unreadable is unknown, never zero.
 *     - By our reference a charge is cancelled once: in doubt, a cancellation is looked up where
 *       that counts, else repeated with a new key.
 *     - A cancellation that does not stop what may still be on its way comes after that, and is
 *       believed the second time.
 *     - "Given back" only upon the bank's word: its answer to the operation, or a look-up that
 *       shows it.
 *     - Refused max_attempts times: manual review.  What never reached the bank is tried without
 *       end: no answer is no refusal.
 *     - Every event stands on an edge of state_machine.c.
 */
#include "core/payment/compensation_rules.h"

#include <string.h>

#include "core/base/mutant.h"
#include "core/payment/operation_rules.h"
#include "core/payment/shown_by_bank.h"
#include "core/payment/unknown_outcome_rules.h"

/* They stand in a column, refund_ruled_out: their bits are theirs for good. */
_Static_assert(PGW_OP_VOID == 3 && PGW_OP_REFUND == 4 && PGW_OP_REVERSE == 8,
			   "an operation between them would give the bits of rows another meaning");

void
pgw_compensation_begin(PgwState from, PgwDecision *d)
{
	static const PgwEventType rolled_back[] = {PGW_EV_PAYMENT_DATA_SAVE_FAILED,
											   PGW_EV_COMPENSATION_STARTED, PGW_EV_REFUND_STARTED};
	static const PgwEventType late[] = {PGW_EV_LATE_APPROVAL_RECEIVED, PGW_EV_COMPENSATION_STARTED,
										PGW_EV_REFUND_STARTED};

	memset(d, 0, sizeof(*d));
	d->state = from;
	pgw_decision_add_edge(d, PGW_REFUNDING, 3, from == PGW_FAILED ? late : rolled_back);
	d->error = pgw_error_find("given_back");
}

/* How a charge in that state is given back, if no bank has said otherwise. */
static PgwBankOp
by_state(const PgwCapabilities *caps, const PgwToGiveBack *what)
{
	if (!what->captured && caps->can_void)
		return PGW_OP_VOID;
	if (what->captured && caps->can_refund)
		return PGW_OP_REFUND;
	return PGW_NOPS;
}

/*
 * The bank has said of one of the two that the charge is not in the state for it.  Of both, one
 * after the other: it has changed meanwhile, and no further turn is made.
 */
static PgwBankOp
by_what_was_refused(const PgwCapabilities *caps, const PgwToGiveBack *what)
{
	bool refund = (what->ruled_out & PGW_RULED_OUT(PGW_OP_REFUND)) != 0;
	bool release = (what->ruled_out & PGW_RULED_OUT(PGW_OP_VOID)) != 0;

	if (refund && !release && caps->can_void && !what->part)
		return PGW_OP_VOID;
	if (release && !refund && caps->can_refund)
		return PGW_OP_REFUND;
	return PGW_NOPS;
}

PgwBankOp
pgw_compensation_operation(const PgwCapabilities *caps, const PgwToGiveBack *what)
{
	PgwBankOp op;

	if (caps->can_reverse && !what->part && (what->ruled_out & PGW_RULED_OUT(PGW_OP_REVERSE)) == 0)
		return PGW_OP_REVERSE;
	if (what->amount_in_doubt && caps->can_cancel)
		return PGW_OP_CANCEL;
	if ((op = by_what_was_refused(caps, what)) != PGW_NOPS ||
		(op = by_state(caps, what)) != PGW_NOPS)
		return op;
	if (caps->can_cancel)
		return PGW_OP_CANCEL;

	/*
	 * Neither fits; a void of what is captured (or the other way round) may still be what this bank
	 * wants.
	 */
	return caps->can_refund    ? PGW_OP_REFUND
		   : caps->can_void    ? PGW_OP_VOID
		   : caps->can_reverse ? PGW_OP_REVERSE
							   : PGW_NOPS;
}

bool
pgw_compensation_pays_back(PgwBankOp operation)
{
	return operation == PGW_OP_REFUND || operation == PGW_OP_REVERSE;
}

bool
pgw_compensation_is_shown_done(PgwBankOp operation)
{
	return pgw_compensation_pays_back(operation) ||
		   (operation == PGW_OP_VOID && !PGW_MUTATED(ACCEPTED_VOID));
}

/*
 * Does a look-up tell whether the give-back was done, and does "not done" count?  Voids and
 * cancellations do no harm twice.
 */
static bool
lookup_counts(const PgwCapabilities *caps, PgwBankOp operation)
{
	if (pgw_compensation_pays_back(operation) && !PGW_MUTATED(REFUND_UNKNOWN))
		return pgw_capabilities_lookup_counts(caps, operation);
	return caps->lookup_consistent_after_s >= 0;
}

/*
 * A look-up whose "nothing there" never counts: its yes does, also of what pends.  There
 * are banks that say no more under a key than that they have accepted it.
 */
static bool
may_show_yes(const PgwCapabilities *caps, const PgwCompensationFacts *facts)
{
	return pgw_compensation_is_shown_done(facts->operation) &&
		   pgw_capabilities_shows(caps, facts->operation);
}

bool
pgw_compensation_overdue(const PgwCompensationFacts *facts, int64_t begun_age_s)
{
	if (facts->deadline_s == 0 || facts->resend_allowed)
		return false;
	if (!facts->key)
		return begun_age_s >= facts->deadline_s + facts->waits_s;
	return !facts->used && begun_age_s >= PGW_PENDING_DEADLINE_S &&
		   begun_age_s >= facts->deadline_s;
}

PgwCompensationStep
pgw_compensation_step(const PgwCapabilities *caps, const PgwCompensationFacts *facts)
{
	/*
	 * A cancellation may be repeated by its nature, with a new key: a bank that replays errors
	 * would say the same for ever under the old one.  The look-up says more, where it can.  Where
	 * not, nothing but cancellations: a refund would come on top of an earlier one that is still in
	 * doubt.
	 */
	bool repeats = facts->operation == PGW_OP_CANCEL &&
				   (facts->lookup_inconclusive || facts->cancelled ||
					!(caps->lookup && caps->lookup_consistent_after_s >= 0));
	bool remembered = pgw_capabilities_can_repeat(caps, facts->operation, facts->key_age_s,
												  facts->error_answered);

	if (facts->operation == PGW_OP_CANCEL && facts->cancel_wait_s > 0)
		return PGW_COMPENSATE_WAIT;

	/* Not sent, or a look-up has just shown that it did nothing. */
	if (facts->resend_allowed || (facts->key && !facts->used))
		return PGW_COMPENSATE_SEND;

	/*
	 * The last one was refused: why?  It may have been given back by somebody else, or by itself
	 * all the same, or been captured meanwhile.
	 */
	if (!facts->key)
		return caps->lookup && !repeats &&
					   !(facts->lookup_inconclusive && PGW_MUTATED(REFUSED_NOT_TOLD))
				   ? PGW_COMPENSATE_LOOKUP_CHARGE
				   : PGW_COMPENSATE_SEND;

	if (pgw_unknown_outcome_is_overdue(facts->key_age_s, facts->deadline_s, facts->pending))
		return PGW_COMPENSATE_REVIEW;

	if (facts->operation == PGW_OP_CANCEL)
		return repeats ? PGW_COMPENSATE_SEND : PGW_COMPENSATE_LOOKUP_CHARGE;

	/*
	 * Where a look-up's "nothing there" never counts, or is not said, only the same key again gets
	 * it done if the first request was lost.  A refund that was refused is not repeated blindly,
	 * though, where its look-up may say that it was done.
	 */
	if (remembered &&
		((facts->lookup_inconclusive &&
		  !pgw_capabilities_waits_for_lookup(caps, facts->operation, facts->operation)) ||
		 (!lookup_counts(caps, facts->operation) && !may_show_yes(caps, facts))))
		return PGW_COMPENSATE_SEND;

	if (facts->operation == PGW_OP_REFUND && caps->lookup_refund)
		return PGW_COMPENSATE_LOOKUP_REFUND;
	if (caps->lookup && (!pgw_compensation_pays_back(facts->operation) ||
						 pgw_capabilities_lookup_tells(caps, facts->operation)))
		return PGW_COMPENSATE_LOOKUP_CHARGE;
	if (remembered)
		return PGW_COMPENSATE_SEND;
	return PGW_COMPENSATE_REVIEW;
}

bool
pgw_compensation_new_key(const PgwCapabilities *caps, const PgwCompensationFacts *facts, int tries)
{
	if (!facts->key)
		return true;
	return facts->used && facts->resend_allowed &&
		   pgw_operation_new_key(caps, facts->operation, facts->key_age_s, facts->error_answered,
								 tries);
}
