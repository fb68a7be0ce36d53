/*
 * doubtful_rules.c - compile: rules that take for the bank's word what anything on the way may say
 *
 * A proxy, a gateway and a limit answer in the bank's place, with JSON, too.  So what ends a
 * payment needs something of the bank's own: a status that only it gives, or something that stands
 * in the answer.  That something is not there is neither: it holds of an empty object.  Where a
 * sensible bank may be so, warnings.c says what it costs.
 */
#include "core/connector/compiled.h"

#include "core/base/mutant.h"

bool
pgw_conditions_say_something(const PgwCondition *conditions, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (!conditions[i].exists_test || conditions[i].exists)
			return true;
	}
	return false;
}

bool
pgw_conditions_compare(const PgwCondition *conditions, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (!conditions[i].exists_test)
			return true;
	}
	return false;
}

bool
pgw_rule_says_something(const PgwRule *rule)
{
	return rule->empty || pgw_conditions_say_something(rule->conditions, rule->nconditions);
}

static bool
covers(const PgwStatusRange *range, int from, int to)
{
	return range->from <= to && range->to >= from;
}

/* Of the request's way and not of its content: the key, a limit, a time-out, what is out of order.
 */
static bool
is_of_the_way(const PgwStatusRange *range, bool exactly)
{
	static const int statuses[] = {401, 403, 407, 408, 425, 429};

	if (covers(range, 500, 599) || range->from < 100)
		return true;
	for (int i = 0; i < 6; i++)
	{
		if (covers(range, statuses[i], statuses[i]) && (!exactly || range->from == range->to))
			return true;
	}
	return false;
}

bool
pgw_rule_is_of_the_way(const PgwRule *rule, bool exactly)
{
	for (int i = 0; i < rule->nstatuses; i++)
	{
		if (is_of_the_way(&rule->statuses[i], exactly))
			return true;
	}
	return false;
}

static bool
beyond_2xx(const PgwRule *rule)
{
	for (int i = 0; i < rule->nstatuses; i++)
	{
		if (rule->statuses[i].from < 200 || rule->statuses[i].to > 299)
			return true;
	}
	return false;
}

/* "Already voided" may have a status of its own; no other yes is an error. */
static bool
is_no_yes(PgwBankOp op, const PgwRule *rule)
{
	return op == PGW_OP_CHARGE || op == PGW_OP_AUTHORIZE || pgw_op_is_lookup(op)
			   ? beyond_2xx(rule)
			   : pgw_rule_is_of_the_way(rule, false);
}

bool
pgw_check_rule(PgwCompile *cc, PgwBankOp op, const PgwRule *rule)
{
	if (op == PGW_OP_PING || pgw_rule_says_something(rule) || PGW_MUTATED(DOUBTFUL_RULE))
		return true;
	switch (rule->outcome)
	{
		case PGW_OUT_APPROVED:
		case PGW_OUT_ACCEPTED:
			return !is_no_yes(op, rule) ||
				   pgw_fault(
					   cc,
					   "an error page with this status would be a yes: name in \"when\" what stands in the bank's own, or leave the status out");
		case PGW_OUT_NOT_FOUND:
			return !pgw_rule_is_of_the_way(rule, false) ||
				   pgw_fault(
					   cc,
					   "with this status a proxy or a limit answers, too (401, 403, 407, 408, 425, 429, 5xx), and a charge that is there would be given up: name in \"when\" what the bank itself says of what it does not have, or name 404 alone");
		case PGW_OUT_DECLINED:
		case PGW_OUT_REQUIRES_ACTION:
			return !pgw_rule_is_of_the_way(rule, true) ||
				   pgw_fault(
					   cc,
					   "with this status a proxy or a limit answers, too, also after the bank has done what it was asked for: name in \"when\" what the bank itself says, or say \"unknown\"");
		case PGW_OUT_REJECTED:
		case PGW_OUT_NOT_PROCESSED:
			/* one without conditions says openly that it looks at nothing, and costs a warning */
			return rule->nconditions == 0 || pgw_op_is_lookup(op) ||
				   !pgw_rule_is_of_the_way(rule, true) ||
				   pgw_fault(
					   cc,
					   "that something is not there says nothing of what was done: name in \"when\" what stands there, or say \"unknown\"");
		default:
			return true;
	}
}
