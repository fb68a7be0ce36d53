/*
 * answer_rules.c - which of a connector's rules an answer fits, and why not the others
 *
 * Invariants: the first that fits decides; of an answer that cannot be read only rules without
 * conditions can say anything, and no more than that nothing is known or that nothing was done; but
 * for one that has no body at all, where a rule expects none.
 */
#include "core/bank_message/answer_rules.h"

#include <stdio.h>

#include "core/bank_message/answer_conditions.h"
#include "core/base/buf_json.h"

typedef enum Fit
{
	FITS = 0,
	OTHER_STATUS,
	NOT_EMPTY,
	NOT_READABLE,
	CONDITION_FAILS
} Fit;

/* *condition: which one does not hold. */
static Fit
fit(const PgwRule *rule, const PgwQuestion *q, long status, const PgwAnswerBody *body,
	int *condition)
{
	bool status_fits = false;

	for (int i = 0; i < rule->nstatuses; i++)
		status_fits |= status >= rule->statuses[i].from && status <= rule->statuses[i].to;
	if (!status_fits)
		return OTHER_STATUS;
	if (rule->empty && !pgw_answer_body_is_empty(body))
		return NOT_EMPTY;
	if (!rule->empty && pgw_json_type(&body->value) == PGW_JSON_NONE)
		return rule->nconditions == 0 &&
					   (rule->outcome == PGW_OUT_UNKNOWN || rule->outcome == PGW_OUT_REJECTED ||
						rule->outcome == PGW_OUT_NOT_PROCESSED || q->op == PGW_OP_PING)
				   ? FITS
				   : NOT_READABLE;
	for (*condition = 0; *condition < rule->nconditions; (*condition)++)
	{
		if (!pgw_answer_conditions_hold(&rule->conditions[*condition], 1, q, body))
			return CONDITION_FAILS;
	}
	return FITS;
}

/* One step of a JSON pointer (RFC 6901). */
static void
put_step(PgwBuf *b, const char *step)
{
	pgw_buf_append(b, "/", 1);
	for (; *step != '\0'; step++)
	{
		if (*step == '~' || *step == '/')
			pgw_buf_puts(b, *step == '~' ? "~0" : "~1");
		else
			pgw_buf_append(b, step, 1);
	}
}

static void
tell(PgwWhy *why, const PgwAnswerSpec *spec, int index, Fit because, int condition)
{
	const PgwRule *rule = &spec->rules[index];
	PgwBuf place;

	pgw_buf_init(&place, 0);
	pgw_buf_printf(&place, "%s/rules/%d", spec->pointer, index);
	if (because == OTHER_STATUS)
		pgw_buf_puts(&place, "/status");
	else if (because == NOT_EMPTY)
		pgw_buf_puts(&place, "/body");
	else if (because == CONDITION_FAILS)
	{
		pgw_buf_puts(&place, "/when");
		put_step(&place, rule->conditions[condition].written);
	}
	pgw_buf_json_comma(&why->passed_over, ", ");
	pgw_buf_json_string(&why->passed_over, place.failed ? spec->pointer : place.data);
	pgw_buf_free(&place);
}

int
pgw_answer_first_rule(const PgwAnswerSpec *spec, const PgwQuestion *q, long status,
					  const PgwAnswerBody *body, PgwWhy *why)
{
	for (int i = 0; i < spec->nrules; i++)
	{
		int condition = 0;
		Fit because = fit(&spec->rules[i], q, status, body, &condition);

		if (because == FITS)
			return i;
		if (why != NULL)
			tell(why, spec, i, because, condition);
	}
	return -1;
}
