/*
 * answer_fields.c - where in an answer the value of a field comes from, and which element of a list
 * is the answer
 *
 * Invariants: a source that has conditions decides once they hold, also by being absent: what
 * follows it is for other answers.  Of a list nothing is said that could be otherwise on its next
 * page: one that goes on has no sum, and what is not found in it may be there.  Two elements that
 * are the one are none; and where none is it, but one could be, nothing is said.  Nothing here is
 * kept.
 */
#include "core/bank_message/answer_fields.h"

#include <string.h>

#include "core/bank_message/answer_conditions.h"
#include "core/base/mutant.h"

/* ---- fields ---- */

static bool
is_there(const PgwAnswerBody *body, const PgwPointer *place, PgwJson *v)
{
	return pgw_answer_body_follow(body, place, v) && pgw_json_type(v) != PGW_JSON_NULL;
}

static PgwJson
json_of(const char *text)
{
	return (PgwJson){text, strlen(text)};
}

const PgwFieldSource *
pgw_answer_field(const PgwAnswerSpec *spec, const PgwQuestion *q, const PgwAnswerBody *body,
				 PgwAnswerField field, PgwJson *v)
{
	const PgwField *f = &spec->fields[field];

	/* what could not be read has no fields, not even constant ones */
	if (pgw_json_type(&body->value) == PGW_JSON_NONE)
		return NULL;
	for (int i = 0; i < f->nsources; i++)
	{
		const PgwFieldSource *source = &f->sources[i];
		bool holds = pgw_answer_conditions_hold(source->when, source->nwhen, q, body);

		if (source->kind == PGW_SOURCE_TEST)
		{
			*v = json_of(holds ? "true" : "false");
			if (holds || pgw_answer_conditions_can_be_told(source->when, source->nwhen, q, body))
				return source;
			continue;
		}
		if (!holds)
			continue;
		if (source->kind == PGW_SOURCE_CONSTANT)
		{
			*v = json_of(source->constant);
			return source;
		}
		/* of a total the first part stands for all: if it is not there, there is none */
		if (is_there(body, source->kind == PGW_SOURCE_TOTAL ? source->parts : &source->from, v))
			return source;
		if (source->nwhen > 0)
			return NULL;
	}
	return NULL;
}

bool
pgw_answer_says_mode(const PgwAnswerSpec *spec, const PgwQuestion *q, const PgwAnswerBody *body,
					 bool *live, bool *test)
{
	PgwJson v;

	if (!pgw_answer_field(spec, q, body, PGW_FIELD_LIVEMODE, &v))
		return false;
	if (spec->nlive > 0)
	{
		*live = pgw_answer_is_one_of(spec->live, spec->nlive, q, &v);
		*test = pgw_answer_is_one_of(spec->test, spec->ntest, q, &v);
		return true;
	}
	*live = pgw_json_type(&v) == PGW_JSON_BOOLEAN && pgw_json_is_true(&v);
	*test = pgw_json_type(&v) == PGW_JSON_BOOLEAN && !*live;
	return true;
}

bool
pgw_answer_field_is_unforeseen(const PgwAnswerSpec *spec, const PgwQuestion *q,
							   const PgwAnswerBody *body, PgwAnswerField field)
{
	const PgwField *f = &spec->fields[field];

	if (pgw_json_type(&body->value) == PGW_JSON_NONE)
		return false;
	for (int i = 0; i < f->nsources; i++)
	{
		const PgwFieldSource *source = &f->sources[i];

		if (source->kind == PGW_SOURCE_TEST || source->nwhen == 0 ||
			pgw_answer_conditions_hold(source->when, source->nwhen, q, body))
			return false;
	}
	return f->nsources > 0;
}

bool
pgw_answer_stands_there(const PgwAnswerSpec *spec, const PgwQuestion *q, const PgwAnswerBody *body,
						PgwAnswerField field)
{
	const PgwField *f = &spec->fields[field];
	PgwJson v;

	for (int i = 0; i < f->nsources; i++)
	{
		const PgwFieldSource *source = &f->sources[i];

		if (source->kind == PGW_SOURCE_PLACE &&
			pgw_answer_conditions_hold(source->when, source->nwhen, q, body) &&
			pgw_answer_body_follow(body, &source->from, &v))
			return true;
	}
	return false;
}

/* ---- sums ---- */

/* Does the bank say that the list goes on?  Anything but no, null, 0 or an empty text does. */
static bool
goes_on(bool has_more, const PgwPointer *more, const PgwAnswerBody *body)
{
	PgwJson v;
	int64_t number;
	char text[1];

	if (!has_more || !is_there(body, more, &v) || PGW_MUTATED(MORE_PAGES))
		return false;
	switch (pgw_json_type(&v))
	{
		case PGW_JSON_BOOLEAN:
			return pgw_json_is_true(&v);
		case PGW_JSON_NUMBER:
			return !pgw_json_integer(&v, 0, &number) || number != 0;
		case PGW_JSON_STRING:
			return pgw_json_text(&v, text, sizeof(text)) > 0;
		default:
			return true;
	}
}

bool
pgw_answer_next_of_sum(PgwSumElements *sum, PgwJson *amount)
{
	const PgwFieldSource *source = sum->source;
	PgwJson element;

	if (sum->at == NULL)
		sum->known = pgw_json_type(sum->list) == PGW_JSON_ARRAY &&
					 !goes_on(source->has_more, &source->more, sum->body);
	while (sum->known && pgw_json_next_element(sum->list, &sum->at, &element))
	{
		PgwAnswerBody one;

		pgw_answer_body_part(sum->body, &element, &one);
		if (pgw_answer_conditions_hold(source->where, source->nwhere, sum->question, &one))
		{
			if (is_there(&one, &source->of, amount))
				return true;
			sum->known = false;
		}
		else if (!pgw_answer_conditions_can_be_told(source->where, source->nwhere, sum->question,
													&one))
			sum->known = false;
	}
	return false;
}

/* ---- which element ---- */

PgwPicked
pgw_answer_pick(const PgwSelect *select, const PgwQuestion *q, const PgwAnswerBody *whole,
				PgwAnswerBody *one)
{
	PgwJson list;
	PgwJson element;
	PgwJson found = {NULL, 0};
	const char *at = NULL;
	bool could_be = false; /* another one, of which it cannot be told */
	bool more;

	if (!pgw_answer_body_follow(whole, &select->in, &list) ||
		pgw_json_type(&list) != PGW_JSON_ARRAY)
		return PGW_PICKED_DOUBT;
	more = goes_on(select->has_more, &select->more, whole);
	while (pgw_json_next_element(&list, &at, &element))
	{
		PgwAnswerBody part;

		pgw_answer_body_part(whole, &element, &part);
		if (!pgw_answer_conditions_hold(select->where, select->nwhere, q, &part))
		{
			could_be |= !pgw_answer_conditions_rule_out(select->where, select->nwhere, q, &part);
			continue;
		}
		if (found.text != NULL && !PGW_MUTATED(FIRST_OF_TWO))
			return PGW_PICKED_DOUBT;
		found = element;
	}
	if (found.text == NULL)
		return more || (could_be && !PGW_MUTATED(NOT_IN_LIST)) ? PGW_PICKED_DOUBT : PGW_PICKED_NONE;
	/* a second one could be on the next page */
	if (more)
		return PGW_PICKED_DOUBT;
	pgw_answer_body_part(whole, &found, one);
	return PGW_PICKED_ONE;
}
