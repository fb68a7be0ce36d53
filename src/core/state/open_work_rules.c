/*
 * open_work_rules.c - which attempts stand in pgw.open_work: what is open beyond the normal path
 *
 * A payment that goes well is Created, BankApproved, (Saved,) Completed within a moment, and the
 * worker knows it all the while.  It gets no row.  Should the worker be lost, the next one finds it
 * behind the mark: every attempt with a smaller id is over or has a row.  So the rule has two
 * halves: what is not on the normal path has a row at once; what is on it has one as soon as the
 * mark has passed its id.
 */
#include "core/state/open_work_rules.h"

bool
pgw_attempt_is_open(PgwState state, bool has_next_step)
{
	return has_next_step || !pgw_state_is_final(state);
}

bool
pgw_open_work_begun(PgwState state, bool live)
{
	return live || state != PGW_CREATED;
}

/* A request is under way, or its caller is about to save what came of it. */
static bool
is_on_its_way(const PgwOpenWorkFacts *facts)
{
	if (facts->has_next_step || facts->put_off || !pgw_open_work_begun(facts->state, facts->live))
		return false;
	return facts->state == PGW_CREATED || facts->state == PGW_BANK_APPROVED ||
		   facts->state == PGW_SAVED;
}

bool
pgw_open_work_has(const PgwOpenWorkFacts *facts)
{
	if (!pgw_attempt_is_open(facts->state, facts->has_next_step))
		return false;
	return facts->below_mark || !is_on_its_way(facts);
}

bool
pgw_open_work_left_to_caller(PgwState state, bool submitted)
{
	return state == PGW_BANK_APPROVED && !submitted;
}
