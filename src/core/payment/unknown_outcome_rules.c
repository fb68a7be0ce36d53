/*
 * unknown_outcome_rules.c - an attempt whose outcome is not known: how to find out
 *
 * Invariants:
 *     - A look-up comes before a replay: it cannot charge.
 *     - A replay only with the same key, while the bank surely remembers it, with what was sent
 *       before (a token; a card was never kept).
 *     - What a bank has answered with an error is not asked again under its key where the bank
 *       stores errors, because it would say the same for ever; nor where it forgets them, because
 *       it would charge again if it had charged all the same.  The answer that was lost may have
 *       been such an error: there a look-up that will count is waited for.
 */
#include "core/payment/unknown_outcome_rules.h"

#include <stddef.h>

#include "core/base/mutant.h"
#include "core/payment/shown_by_bank.h"

#define TOLD_PAUSE_S 3600

bool
pgw_unknown_outcome_is_overdue(int64_t age_s, int64_t deadline_s, bool pending)
{
	return deadline_s > 0 && age_s >= (pending ? PGW_PENDING_DEADLINE_S : deadline_s);
}

/* By our reference or by the bank's id. */
static bool
can_look_up(const PgwCapabilities *caps, const PgwUnknownOutcomeFacts *facts)
{
	return caps->lookup && (!caps->lookup_needs_id || facts->has_id);
}

/* Is "not found" by our reference a way to find out, some time from now? */
static bool
search_counts(const PgwCapabilities *caps)
{
	return caps->lookup && !caps->lookup_needs_id && caps->lookup_consistent_after_s >= 0;
}

bool
pgw_unknown_outcome_tried_anew(const PgwCapabilities *caps, PgwBankOp operation, PgwBankOp asked,
							   int requests_sent)
{
	const PgwKeyRule *key = &caps->keys[operation];

	if (!key->honoured || !key->forgets_errors)
		return false;
	if (asked == operation)
		return true;
	/* where a search counts, nothing is repeated before it has found nothing */
	return requests_sent > 1 && !search_counts(caps) && !PGW_MUTATED(REPEAT_LOOKED_UP);
}

/* What nobody heard may have been an error that is forgotten by now; and a look-up will tell. */
static bool
waits_for_lookup(const PgwCapabilities *caps, const PgwUnknownOutcomeFacts *facts)
{
	return caps->keys[facts->operation].forgets_errors && !facts->resend_allowed &&
		   can_look_up(caps, facts) && caps->lookup_consistent_after_s >= 0 &&
		   !PGW_MUTATED(FORGOTTEN_UNHEARD);
}

bool
pgw_unknown_outcome_can_replay(const PgwCapabilities *caps, const PgwUnknownOutcomeFacts *facts)
{
	/* what has been approved, or is being undone, is not asked for again */
	if (facts->approved || facts->undo)
		return false;
	if (caps->keys[facts->operation].repeats_errors && facts->error_answered)
		return false;
	if (waits_for_lookup(caps, facts))
		return false;
	return facts->has_token && pgw_capabilities_can_repeat(caps, facts->operation, facts->key_age_s,
														   facts->error_answered);
}

/*
 * Does a bank that forgets its errors keep nothing of this answer under the key?  A decline is none
 * of its successes, nor is what waits for the card holder.  What was refused before it was looked
 * at leaves what is kept as it is; unless the answer shows money all the same.
 */
static bool
is_forgotten(const PgwAnswer *answer)
{
	switch (answer->outcome)
	{
		case PGW_OUT_UNKNOWN:
			return answer->key_word != PGW_KEY_IN_PROGRESS;
		case PGW_OUT_DECLINED:
			return !PGW_MUTATED(REPEAT_DECLINED);
		case PGW_OUT_REQUIRES_ACTION:
			return !PGW_MUTATED(REPEAT_UNCONFIRMED);
		case PGW_OUT_REJECTED:
		case PGW_OUT_NOT_PROCESSED:
			return pgw_shown_money(answer);
		default:
			return false;
	}
}

bool
pgw_unknown_outcome_is_error(const PgwCapabilities *caps, PgwBankOp op, long http_status,
							 const PgwAnswer *answer)
{
	/* there are banks that say 200 of everything: which of it they keep is in no status */
	if (caps->keys[op].forgets_errors && !PGW_MUTATED(ERROR_WITH_200))
		return is_forgotten(answer);
	return http_status >= 500 && answer->outcome == PGW_OUT_UNKNOWN &&
		   answer->key_word != PGW_KEY_IN_PROGRESS;
}

bool
pgw_unknown_outcome_counts_early(const PgwCapabilities *caps, PgwOutcome outcome,
								 int64_t asked_age_s)
{
	if (outcome != PGW_OUT_DECLINED && outcome != PGW_OUT_REQUIRES_ACTION)
		return true;
	return pgw_capabilities_not_found_counts(caps, asked_age_s);
}

PgwBankOp
pgw_unknown_outcome_undo(const PgwCapabilities *caps)
{
	return caps->can_cancel    ? PGW_OP_CANCEL
		   : caps->can_reverse ? PGW_OP_REVERSE
		   : caps->can_void    ? PGW_OP_VOID
							   : PGW_NOPS;
}

/* What is final after hours or days at this bank is waited for as long as the bank says. */
static int64_t
deadline_s(const PgwCapabilities *caps, const PgwUnknownOutcomeFacts *facts)
{
	return facts->pending && caps->pending_deadline_s > facts->deadline_s &&
				   !PGW_MUTATED(PENDING_DEADLINE)
			   ? caps->pending_deadline_s
			   : facts->deadline_s;
}

/* Until the bank has said it by itself; looked at now and then, as the deadline may have moved. */
static int64_t
wait_to_be_told_s(const PgwCapabilities *caps, const PgwUnknownOutcomeFacts *facts)
{
	int64_t left_s = deadline_s(caps, facts) - facts->doubt_age_s;

	return left_s < 1 ? 1 : left_s < TOLD_PAUSE_S ? left_s : TOLD_PAUSE_S;
}

int64_t
pgw_unknown_outcome_wait_s(const PgwCapabilities *caps, const PgwUnknownOutcomeFacts *facts)
{
	bool again = facts->cancelled_age_s >= 0;
	int64_t wait_s;

	if (!facts->undo && caps->tells[PGW_OP_CHARGE])
		return wait_to_be_told_s(caps, facts);
	if (pgw_unknown_outcome_undo(caps) != PGW_OP_CANCEL)
		return 0;
	wait_s =
		pgw_capabilities_cancel_wait_s(caps, again ? facts->cancelled_age_s : facts->asked_age_s);
	return facts->doubt_age_s + wait_s > facts->deadline_s ? facts->deadline_s - facts->doubt_age_s
														   : wait_s;
}

/* Undone, and looked at, by turns: neither does harm twice. */
static PgwUnknownOutcomeStep
undo_step(const PgwCapabilities *caps, const PgwUnknownOutcomeFacts *facts, bool lookup,
		  const char **reason)
{
	bool can_undo = pgw_unknown_outcome_undo(caps) != PGW_NOPS;

	if (facts->doubt_age_s >= facts->deadline_s || (!can_undo && !lookup))
	{
		*reason = can_undo || lookup ? "deadline" : "no_way_to_find_out";
		return PGW_UNKNOWN_OUTCOME_REVIEW;
	}
	if (pgw_unknown_outcome_wait_s(caps, facts) > 0)
		return PGW_UNKNOWN_OUTCOME_WAIT;
	return lookup && (facts->tries % 2 == 1 || !can_undo) ? PGW_UNKNOWN_OUTCOME_LOOKUP
														  : PGW_UNKNOWN_OUTCOME_UNDO;
}

PgwUnknownOutcomeStep
pgw_unknown_outcome_step(const PgwCapabilities *caps, const PgwUnknownOutcomeFacts *facts,
						 const char **reason)
{
	bool replay = pgw_unknown_outcome_can_replay(caps, facts);
	bool lookup = can_look_up(caps, facts);

	*reason = NULL;
	if (facts->undo)
		return undo_step(caps, facts, lookup, reason);
	if (facts->approved)
	{
		/* no replay: the bank would say the same again, or charge a second time */
		if (caps->lookup && facts->doubt_age_s < facts->deadline_s)
			return PGW_UNKNOWN_OUTCOME_LOOKUP;
		*reason = "approval_without_reference";
		return caps->can_cancel ? PGW_UNKNOWN_OUTCOME_CANCEL : PGW_UNKNOWN_OUTCOME_REVIEW;
	}
	if (facts->resend_allowed && replay)
		return PGW_UNKNOWN_OUTCOME_REPLAY;
	if (facts->doubt_age_s >= deadline_s(caps, facts))
	{
		*reason = "deadline";
		return PGW_UNKNOWN_OUTCOME_REVIEW;
	}
	/*
	 * a bank that forgets what it did not find, or shows something else, is asked again with the
	 * key, if that can tell; of what pends, the key brings the same answer as before
	 */
	if (lookup && (((caps->lookup_consistent_after_s >= 0 || facts->pending) &&
					!facts->lookup_inconclusive) ||
				   !replay))
		return PGW_UNKNOWN_OUTCOME_LOOKUP;
	if (replay && !(facts->pending && caps->tells[PGW_OP_CHARGE]))
		return PGW_UNKNOWN_OUTCOME_REPLAY;
	/* the bank says it by itself */
	if (caps->tells[PGW_OP_CHARGE])
		return PGW_UNKNOWN_OUTCOME_WAIT;
	*reason = "no_way_to_find_out";
	return PGW_UNKNOWN_OUTCOME_REVIEW;
}
