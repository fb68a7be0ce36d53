/*
 * answer_conditions.c - does it stand in an answer, as the connector wants it, or as it was asked
 * for?
 *
 * Invariants: values are compared with their type; what was asked for counts only as a whole, and a
 * question that did not name it has no answer with it.  Nothing here is kept.
 */
#include "core/bank_message/answer_conditions.h"

#include <string.h>
#include <strings.h>

static const char *
asked_for(const PgwQuestion *q, PgwPlaceholder asked)
{
	switch (asked)
	{
		case PGW_PH_TRANSACTION_REF:
			return q->transaction_ref;
		case PGW_PH_ORIGINAL_REF:
			return q->original_ref;
		case PGW_PH_BANK_REFERENCE:
			return q->bank_reference;
		case PGW_PH_OPERATION_REFERENCE:
			return q->operation_reference;
		default:
			return NULL;
	}
}

/*
 * The reference that was asked for, whole, between what the connector has around it.  Ours is hex
 * digits, of which some banks change the case.  A question without it has no such answer.
 */
static bool
is_asked(const PgwScalar *scalar, const PgwQuestion *q, const PgwJson *v)
{
	const char *asked = asked_for(q, scalar->asked);
	size_t before = strlen(scalar->text);
	size_t behind = strlen(scalar->behind);
	char text[1024];
	size_t len;

	if (asked == NULL || *asked == '\0' || !pgw_answer_body_text(v, text, sizeof(text), false))
		return false;
	len = strlen(text);
	if (len != before + strlen(asked) + behind || memcmp(text, scalar->text, before) != 0 ||
		memcmp(text + len - behind, scalar->behind, behind) != 0)
		return false;
	text[len - behind] = '\0';
	return scalar->asked == PGW_PH_TRANSACTION_REF || scalar->asked == PGW_PH_ORIGINAL_REF
			   ? strcasecmp(text + before, asked) == 0
			   : strcmp(text + before, asked) == 0;
}

static bool
scalar_equals(const PgwScalar *scalar, const PgwQuestion *q, const PgwJson *v)
{
	char text[256];
	size_t len;
	int64_t number;

	if (scalar->asked != PGW_PH_NONE)
		return is_asked(scalar, q, v);
	switch (scalar->type)
	{
		case json_type_null:
			return pgw_json_type(v) == PGW_JSON_NULL;
		case json_type_boolean:
			return pgw_json_type(v) == PGW_JSON_BOOLEAN &&
				   pgw_json_is_true(v) == (scalar->number != 0);
		case json_type_int:
			return pgw_json_integer(v, 0, &number) && number == scalar->number;
		default:
			if (pgw_json_type(v) != PGW_JSON_STRING)
				return false;
			len = pgw_json_text(v, text, sizeof(text));
			return len <= sizeof(text) && len == strlen(scalar->text) &&
				   memcmp(text, scalar->text, len) == 0;
	}
}

bool
pgw_answer_is_one_of(const PgwScalar *values, int n, const PgwQuestion *q, const PgwJson *v)
{
	for (int i = 0; i < n; i++)
	{
		if (scalar_equals(&values[i], q, v))
			return true;
	}
	return false;
}

static bool
holds(const PgwCondition *cond, const PgwQuestion *q, const PgwAnswerBody *doc)
{
	PgwJson v;
	bool there = pgw_answer_body_follow(doc, &cond->pointer, &v);

	/* that a place is not there is not said by what leaves no room for it */
	if (cond->exists_test)
		return there == cond->exists && !pgw_answer_body_is_cut_off(doc, &cond->pointer);
	return there && pgw_answer_is_one_of(cond->values, cond->nvalues, q, &v);
}

bool
pgw_answer_conditions_hold(const PgwCondition *conditions, int n, const PgwQuestion *q,
						   const PgwAnswerBody *body)
{
	for (int i = 0; i < n; i++)
	{
		if (!holds(&conditions[i], q, body))
			return false;
	}
	return true;
}

/* What it is compared with is known, and something stands there to be compared. */
static bool
can_be_told(const PgwCondition *cond, const PgwQuestion *q, const PgwAnswerBody *body)
{
	PgwJson v;

	if (cond->exists_test)
		return !pgw_answer_body_is_cut_off(body, &cond->pointer);
	if (!pgw_answer_body_follow(body, &cond->pointer, &v))
		return false;
	for (int i = 0; i < cond->nvalues; i++)
	{
		const char *asked = asked_for(q, cond->values[i].asked);

		if (cond->values[i].asked != PGW_PH_NONE && (asked == NULL || *asked == '\0'))
			return holds(cond, q, body);
	}
	return true;
}

bool
pgw_answer_conditions_can_be_told(const PgwCondition *conditions, int n, const PgwQuestion *q,
								  const PgwAnswerBody *body)
{
	for (int i = 0; i < n; i++)
	{
		if (!can_be_told(&conditions[i], q, body))
			return false;
	}
	return true;
}

/* The first of our own references among its values; NULL: none. */
static const char *
our_reference(const PgwCondition *cond, const PgwQuestion *q)
{
	for (int i = 0; i < cond->nvalues; i++)
	{
		if (cond->values[i].asked == PGW_PH_TRANSACTION_REF ||
			cond->values[i].asked == PGW_PH_ORIGINAL_REF)
			return asked_for(q, cond->values[i].asked);
	}
	return NULL;
}

static bool
occurs_in(const char *text, size_t len, const char *reference)
{
	size_t n = strlen(reference);

	for (size_t i = 0; i + n <= len; i++)
	{
		if (strncasecmp(text + i, reference, n) == 0)
			return true;
	}
	return false;
}

bool
pgw_answer_conditions_rule_out(const PgwCondition *conditions, int n, const PgwQuestion *q,
							   const PgwAnswerBody *body)
{
	bool ruled_out = false;

	for (int i = 0; i < n; i++)
	{
		const char *ours = our_reference(&conditions[i], q);

		if (!can_be_told(&conditions[i], q, body) || holds(&conditions[i], q, body))
			continue;
		/* what the bank was told is nobody else's, wherever it stands and whatever is around it */
		if (ours == NULL || !occurs_in(body->value.text, body->value.len, ours))
			ruled_out = true;
	}
	return ruled_out;
}

/* Is there nothing between yes and no, whatever stands there? */
static bool
has_two_sides(const PgwCondition *cond, const PgwJson *v)
{
	for (int i = 0; i < cond->nvalues; i++)
	{
		if (cond->values[i].asked == PGW_PH_NONE &&
			!(cond->values[i].type == json_type_boolean && pgw_json_type(v) == PGW_JSON_BOOLEAN))
			return false;
	}
	return true;
}

bool
pgw_answer_conditions_exclude(const PgwCondition *conditions, int n, const PgwQuestion *q,
							  const PgwAnswerBody *body)
{
	for (int i = 0; i < n; i++)
	{
		PgwJson v;

		if (holds(&conditions[i], q, body) || !can_be_told(&conditions[i], q, body))
			continue;
		if (conditions[i].exists_test ||
			(pgw_answer_body_follow(body, &conditions[i].pointer, &v) &&
			 has_two_sides(&conditions[i], &v)))
			return true;
	}
	return false;
}
