/*
 * answer_body.c - the body of an answer, and what stands at a place of it
 *
 * Invariants: a body that cannot be read whole has no value, and no places; a text too long for its
 * field counts as absent, because half a reference names something else.  Nothing here is kept.
 */
#include "core/bank_message/answer_body.h"

#include <stdlib.h>
#include <string.h>

#include "core/bank_message/answer_form.h"
#include "core/base/mutant.h"
#include "core/json/json_read.h"

/* As JSON a byte of a form has six at most, a pair some more. */
#define FORM_MAX_BYTES (8 * PGW_ANSWER_MAX_BYTES)

void
pgw_answer_body_read(const char *text, size_t len, bool form, PgwAnswerBody *body)
{
	bool good = text != NULL && len <= PGW_ANSWER_MAX_BYTES;

	body->text = text;
	body->len = len;
	body->headers = NULL;
	pgw_buf_init(&body->form, FORM_MAX_BYTES);
	if (good && form && (good = pgw_answer_form_read(text, len, &body->form)))
	{
		body->text = text = body->form.data;
		body->len = len = body->form.len;
	}
	if (!good || pgw_json_read(text, len, PGW_ANSWER_MAX_NESTING, &body->value) != PGW_JSON_GOOD ||
		(pgw_json_type(&body->value) != PGW_JSON_OBJECT &&
		 pgw_json_type(&body->value) != PGW_JSON_ARRAY))
		body->value = (PgwJson){NULL, 0};
	pgw_json_members(&body->value, &body->members);
}

void
pgw_answer_body_end(PgwAnswerBody *body)
{
	pgw_buf_free(&body->form);
}

bool
pgw_answer_body_is_empty(const PgwAnswerBody *body)
{
	return body->len == 0 && body->headers != NULL;
}

void
pgw_answer_body_make_unreadable(PgwAnswerBody *body)
{
	body->value = (PgwJson){NULL, 0};
	pgw_json_members(&body->value, &body->members);
}

void
pgw_answer_body_part(const PgwAnswerBody *whole, const PgwJson *part, PgwAnswerBody *body)
{
	body->text = whole->text;
	body->len = whole->len;
	body->headers = whole->headers;
	body->value = *part;
	pgw_json_members(&body->value, &body->members);
}

/* The place of one name or number within a value; false: there is none. */
static bool
follow_step(const PgwAnswerBody *body, const PgwPointer *pointer, int i, PgwJson *v)
{
	const char *step = pointer->steps[i];
	size_t len = strlen(step);
	PgwJson inner;

	if (pgw_json_type(v) == PGW_JSON_OBJECT)
	{
		if (!(i == 0 ? pgw_json_find(&body->members, step, &inner)
					 : pgw_json_member(v, step, &inner)))
			return false;
	}
	else if (pgw_json_type(v) != PGW_JSON_ARRAY || len < 1 || len > 6 ||
			 strspn(step, "0123456789") != len || (len > 1 && step[0] == '0') ||
			 !pgw_json_element(v, (size_t) strtoul(step, NULL, 10), &inner))
		return false;
	*v = inner;
	return true;
}

bool
pgw_answer_body_follow(const PgwAnswerBody *body, const PgwPointer *pointer, PgwJson *v)
{
	if (pointer->header != 0)
	{
		*v =
			body->headers != NULL ? body->headers->values[pointer->header - 1] : (PgwJson){NULL, 0};
		return pgw_json_type(v) != PGW_JSON_NONE;
	}
	*v = body->value;
	for (int i = 0; i < pointer->nsteps; i++)
	{
		if (!follow_step(body, pointer, i, v))
			return false;
	}
	return pgw_json_type(v) != PGW_JSON_NONE;
}

/* Has it no places, and says something all the same? */
static bool
says_something_else(const PgwJson *v, const char *step)
{
	PgwJson first;
	const char *at = NULL;

	switch (pgw_json_type(v))
	{
		case PGW_JSON_NUMBER:
			return true;
		case PGW_JSON_BOOLEAN:
			return pgw_json_is_true(v);
		case PGW_JSON_STRING:
			return v->len > 2;
		case PGW_JSON_ARRAY:
			return step[strspn(step, "0123456789")] != '\0' &&
				   pgw_json_next_element(v, &at, &first);
		default:
			return false;
	}
}

bool
pgw_answer_body_is_cut_off(const PgwAnswerBody *body, const PgwPointer *pointer)
{
	PgwJson v = body->value;

	if (pointer->header != 0 || PGW_MUTATED(CUT_OFF))
		return false;
	for (int i = 0; i < pointer->nsteps; i++)
	{
		if (!follow_step(body, pointer, i, &v))
			return says_something_else(&v, pointer->steps[i]);
	}
	return false;
}

/* Digits that stand for a number are its text, too, however many: an id of 25 digits is one. */
static bool
is_text(const PgwJson *v)
{
	if (pgw_json_type(v) == PGW_JSON_STRING)
		return true;
	return pgw_json_type(v) == PGW_JSON_NUMBER && memchr(v->text, '.', v->len) == NULL &&
		   memchr(v->text, 'e', v->len) == NULL && memchr(v->text, 'E', v->len) == NULL;
}

bool
pgw_answer_body_text(const PgwJson *v, char *dst, size_t size, bool cut)
{
	size_t len;

	dst[0] = '\0';
	if (!is_text(v))
		return false;
	len = pgw_json_text(v, dst, size);
	if (len >= size && !cut)
		len = 0;
	if (len >= size)
	{
		len = size - 1;
		while (len > 0 && ((unsigned char) dst[len] & 0xC0) == 0x80)
			len--; /* not inside a character */
	}
	for (size_t i = 0; i < len; i++)
	{
		if ((unsigned char) dst[i] < 0x20 || dst[i] == 0x7F)
			len = 0;
	}
	dst[len] = '\0';
	return len > 0;
}
