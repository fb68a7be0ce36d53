/*
 * hidden_rules.c - which rule takes from a later one what that was written for
 *
 * Rules are tried in order, so a later one is asked only of what no earlier one fits.
 */
#include "core/connector/warnings.h"

static bool
covers_statuses(const PgwRule *first, const PgwRule *later)
{
	for (int i = 0; i < later->nstatuses; i++)
	{
		bool covered = false;

		for (int k = 0; k < first->nstatuses; k++)
			covered |= first->statuses[k].from <= later->statuses[i].from &&
					   first->statuses[k].to >= later->statuses[i].to;
		if (!covered)
			return false;
	}
	return true;
}

/* Does this condition hold wherever that one does? */
static bool
follows_from(const PgwCondition *wanted, const PgwCondition *given)
{
	if (!pgw_same_place(&wanted->pointer, &given->pointer))
		return false;
	if (wanted->exists_test)
		return given->exists_test ? wanted->exists == given->exists : wanted->exists;
	if (given->exists_test)
		return false;
	for (int i = 0; i < given->nvalues; i++)
	{
		bool among = false;

		for (int k = 0; k < wanted->nvalues; k++)
			among |= pgw_same_value(&wanted->values[k], &given->values[i]);
		if (!among)
			return false;
	}
	return true;
}

/* Is it said only of an answer that could be read? */
static bool
needs_a_body(PgwOutcome outcome)
{
	return outcome != PGW_OUT_UNKNOWN && outcome != PGW_OUT_REJECTED &&
		   outcome != PGW_OUT_NOT_PROCESSED;
}

bool
pgw_conditions_hide(const PgwCondition *first, int nfirst, const PgwCondition *later, int nlater)
{
	for (int i = 0; i < nfirst; i++)
	{
		bool given = false;

		for (int k = 0; k < nlater; k++)
			given |= follows_from(&first[i], &later[k]);
		if (!given)
			return false;
	}
	return true;
}

bool
pgw_rule_hides(const PgwRule *first, const PgwRule *later)
{
	/* what cannot be read passes the first, and only then meets the later */
	if (first->nconditions == 0 && later->nconditions == 0 && needs_a_body(first->outcome) &&
		!needs_a_body(later->outcome))
		return false;
	if (!covers_statuses(first, later) || (first->empty && !later->empty) ||
		(later->empty && !first->empty && needs_a_body(first->outcome)))
		return false;
	return pgw_conditions_hide(first->conditions, first->nconditions, later->conditions,
							   later->nconditions);
}

static bool
share_a_status(const PgwRule *a, const PgwRule *b)
{
	for (int i = 0; i < a->nstatuses; i++)
	{
		for (int k = 0; k < b->nstatuses; k++)
		{
			if (a->statuses[i].from <= b->statuses[k].to &&
				a->statuses[i].to >= b->statuses[k].from)
				return true;
		}
	}
	return false;
}

/* One that looks at headers or at what is not there as well tells the two apart by more. */
bool
pgw_refusal_before_approval(PgwBankOp op, const PgwAnswerSpec *spec, int rule)
{
	const PgwRule *no = &spec->rules[rule];

	if ((op != PGW_OP_CHARGE && op != PGW_OP_AUTHORIZE) || no->outcome != PGW_OUT_DECLINED ||
		no->nconditions == 0)
		return false;
	for (int i = 0; i < no->nconditions; i++)
	{
		if (!no->conditions[i].exists_test || !no->conditions[i].exists)
			return false;
	}
	for (int i = rule + 1; i < spec->nrules; i++)
	{
		if (spec->rules[i].outcome == PGW_OUT_APPROVED && share_a_status(no, &spec->rules[i]))
			return true;
	}
	return false;
}
