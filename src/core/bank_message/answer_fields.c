/*
 * answer_fields.c - where in an answer the value of a field comes from, and which element of a list
 * is the answer
 *
 * Invariants: a source that has conditions decides once they hold, also by being absent: what
 * follows it is for other answers.  Of a list nothing is said that could be otherwise on its next
 * page, and nothing of an element that the connector has named neither as counted nor as not: one
 * that goes on has no sum, and what is not found in it may be there.  Two elements that are the one
 * are none; and where none is it, but one could be, nothing is said.  Nothing here is kept.
 */
#include "core/bank_message/answer_fields.h"

#include <string.h>
#include <strings.h>

#include "core/bank_message/answer_conditions.h"
#include "core/base/mutant.h"

/* ---- fields ---- */

/* Of a total the first part stands for all. */
static const PgwPointer *
place_of(const PgwFieldSource *source)
{
	return source->kind == PGW_SOURCE_TOTAL ? source->parts : &source->from;
}

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

/*
 * What could not be read has no fields, not even constant ones; an answer without a body has those
 * that headers alone say.
 */
static bool
can_be_asked(const PgwFieldSource *source, const PgwAnswerBody *body)
{
	return pgw_json_type(&body->value) != PGW_JSON_NONE ||
		   (pgw_answer_body_is_empty(body) && source->kind == PGW_SOURCE_PLACE &&
			source->from.header != 0 && pgw_conditions_of_headers(source->when, source->nwhen));
}

const PgwFieldSource *
pgw_answer_field(const PgwAnswerSpec *spec, const PgwQuestion *q, const PgwAnswerBody *body,
				 PgwAnswerField field, PgwJson *v)
{
	const PgwField *f = &spec->fields[field];

	for (int i = 0; i < f->nsources; i++)
	{
		const PgwFieldSource *source = &f->sources[i];
		bool holds;

		if (!can_be_asked(source, body))
			continue;
		holds = pgw_answer_conditions_hold(source->when, source->nwhen, q, body);
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
		if (is_there(body, place_of(source), v))
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

	if (pgw_json_type(&body->value) == PGW_JSON_NONE || PGW_MUTATED(UNFORESEEN))
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
pgw_answer_field_is_cut_off(const PgwAnswerSpec *spec, const PgwQuestion *q,
							const PgwAnswerBody *body, PgwAnswerField field)
{
	const PgwField *f = &spec->fields[field];
	bool cut_off = false;

	for (int i = 0; i < f->nsources; i++)
	{
		const PgwFieldSource *source = &f->sources[i];
		PgwJson v;

		if (source->kind == PGW_SOURCE_TEST || source->kind == PGW_SOURCE_CONSTANT ||
			!can_be_asked(source, body) ||
			!pgw_answer_conditions_hold(source->when, source->nwhen, q, body))
			continue;
		if (is_there(body, place_of(source), &v))
			return false;
		cut_off |= pgw_answer_body_is_cut_off(body, place_of(source));
		if (source->nwhen > 0)
			break;
	}
	return cut_off;
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

		if (source->kind == PGW_SOURCE_PLACE && can_be_asked(source, body) &&
			pgw_answer_conditions_hold(source->when, source->nwhen, q, body) &&
			pgw_answer_body_follow(body, &source->from, &v))
			return true;
	}
	return false;
}

/* ---- ids ---- */

/*
 * What stands behind the named part of a URL's path, to its end.  Nothing where that part stands in
 * it twice, or in a query or fragment (a login page is told so where to go on), or where the end is
 * not the plain text of one id: what has another level, a query, or an escape behind it is another
 * place, or would need to be decoded as the bank meant it.
 */
static bool
cut_in_front(char *text, const char *behind)
{
	static const char plain[] = "-._~:@";
	char *at = strstr(text, behind);
	char *id = at != NULL ? at + strlen(behind) : NULL;

	if (id == NULL || text + strcspn(text, "?#") < at || strstr(at + 1, behind) != NULL ||
		*id == '\0' || strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		return false;
	for (const char *p = id; *p != '\0'; p++)
	{
		bool letter = (*p | 0x20) >= 'a' && (*p | 0x20) <= 'z';

		if (!letter && (*p < '0' || *p > '9') && strchr(plain, *p) == NULL)
			return false;
	}
	memmove(text, id, strlen(id) + 1);
	return true;
}

/* Whoever passes a header on may write two of them as one, with a comma in between. */
static bool
is_one_word(const char *text)
{
	return strpbrk(text, ", \t") == NULL;
}

bool
pgw_answer_id(const PgwFieldSource *source, const PgwJson *v, char *dst, size_t size)
{
	char url[2048];
	bool good;

	if (source->behind == NULL)
		good = pgw_answer_body_text(v, dst, size, false) &&
			   (source->from.header == 0 || is_one_word(dst));
	else
	{
		good = pgw_answer_body_text(v, url, sizeof(url), false) &&
			   cut_in_front(url, source->behind) && strlen(url) < size;
		if (good)
			memcpy(dst, url, strlen(url) + 1);
		explicit_bzero(url, sizeof(url));
	}
	if (!good)
		dst[0] = '\0';
	return good;
}

/* ---- sums ---- */

/* Does the bank say that the list goes on?  Anything but no, null, 0 or an empty text does. */
static bool
goes_on(bool has_more, const PgwPointer *more, const PgwAnswerBody *body)
{
	PgwJson v;
	int64_t number;
	char text[1];

	if (!has_more || PGW_MUTATED(MORE_PAGES))
		return false;
	if (!is_there(body, more, &v))
		return pgw_answer_body_is_cut_off(body, more);
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

/* Does the connector say that it does not count? */
static bool
is_left_out(const PgwSumElements *sum, const PgwAnswerBody *one)
{
	const PgwFieldSource *source = sum->source;

	if (!pgw_answer_conditions_can_be_told(source->where, source->nwhere, sum->question, one))
		return false;
	if (PGW_MUTATED(SUM_LEFT_OUT) ||
		pgw_answer_conditions_exclude(source->where, source->nwhere, sum->question, one))
		return true;
	for (int i = 0; i < source->nexcept; i++)
	{
		if (pgw_answer_conditions_hold(source->except[i].conditions, source->except[i].n,
									   sum->question, one))
			return true;
	}
	return false;
}

/* In the currency that was asked about, as far as it says so; case does not matter. */
static bool
is_in_currency(const PgwSumElements *sum, const PgwAnswerBody *one)
{
	PgwJson v;
	char text[8];

	if (!sum->source->has_currency)
		return true;
	return sum->question->currency != NULL &&
		   pgw_answer_body_follow(one, &sum->source->currency, &v) &&
		   pgw_json_type(&v) == PGW_JSON_STRING &&
		   pgw_answer_body_text(&v, text, sizeof(text), false) &&
		   strcasecmp(text, sum->question->currency) == 0;
}

/* It has an id that none before it has. */
static bool
is_new(PgwSumElements *sum, const PgwAnswerBody *one)
{
	char text[PGW_SUM_ID_BYTES];
	char other[PGW_SUM_ID_BYTES];
	PgwJson id;

	if (!sum->source->has_id)
		return true;
	if (sum->nids == PGW_SUM_IDS || !pgw_answer_body_follow(one, &sum->source->id, &id) ||
		!pgw_answer_body_text(&id, text, sizeof(text), false))
		return false;
	for (int i = 0; i < sum->nids; i++)
	{
		(void) pgw_answer_body_text(&sum->ids[i], other, sizeof(other), false);
		if (strcmp(text, other) == 0)
			return false;
	}
	sum->ids[sum->nids++] = id;
	return true;
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
		if (!is_new(sum, &one))
			sum->known = false;
		else if (!pgw_answer_conditions_hold(source->where, source->nwhere, sum->question, &one))
			sum->known = is_left_out(sum, &one);
		/* named as counted, and as not */
		else if (source->nexcept > 0 && is_left_out(sum, &one))
			sum->known = false;
		else if (is_in_currency(sum, &one) && is_there(&one, &source->of, amount))
			return true;
		else
			sum->known = false;
	}
	return false;
}

/* ---- which element ---- */

/* The bank's word for where the list goes on; false: it does not say, or nothing that can be sent.
 */
static bool
take_cursor(const PgwSelect *select, const PgwAnswerBody *whole, const PgwJson *last,
			char next_page[PGW_CURSOR_SIZE])
{
	PgwAnswerBody element;
	const PgwAnswerBody *from = whole;
	PgwJson v;

	if (select->next_name == NULL || (select->next_of_last && last->text == NULL))
		return false;
	if (select->next_of_last)
	{
		pgw_answer_body_part(whole, last, &element);
		from = &element;
	}
	return pgw_answer_body_follow(from, &select->next, &v) &&
		   pgw_answer_body_text(&v, next_page, PGW_CURSOR_SIZE, false);
}

PgwPicked
pgw_answer_pick(const PgwSelect *select, const PgwQuestion *q, const PgwAnswerBody *whole,
				PgwAnswerBody *one, char next_page[PGW_CURSOR_SIZE])
{
	PgwJson list;
	PgwJson element;
	PgwJson found = {NULL, 0};
	const char *at = NULL;
	bool could_be = false; /* another one, of which it cannot be told */

	next_page[0] = '\0';
	element = (PgwJson){NULL, 0};
	if (!pgw_answer_body_follow(whole, &select->in, &list) ||
		pgw_json_type(&list) != PGW_JSON_ARRAY)
		return PGW_PICKED_DOUBT;
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
	if (found.text == NULL && could_be && !PGW_MUTATED(NOT_IN_LIST))
		return PGW_PICKED_DOUBT;
	/* it, or a second one, could be on the next page */
	if (goes_on(select->has_more, &select->more, whole) &&
		!take_cursor(select, whole, &element, next_page))
		return PGW_PICKED_DOUBT;
	if (found.text == NULL)
		return PGW_PICKED_NONE;
	pgw_answer_body_part(whole, &found, one);
	return PGW_PICKED_ONE;
}
