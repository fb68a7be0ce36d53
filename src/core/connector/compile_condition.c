/*
 * compile_condition.c - compile what must stand where in an answer: JSON pointers, values,
 * conditions
 *
 * Invariants: pointers are split and unescaped once, here; a value that names something of the
 * question names one of the references that an answer can repeat, and never a value that must not
 * be compared with what a bank sends (a card, a secret); what is asked of each element of a list
 * stands in the element, never in a header, which is the same for all of them.
 */
#include "core/connector/compiled.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* RFC 6901. */
bool
pgw_compile_pointer(PgwCompile *cc, const char *s, PgwPointer *pointer)
{
	size_t n = 0;

	if (*s != '\0' && *s != '/')
		return pgw_fault(
			cc, "must be a JSON pointer: empty, or beginning with \"/\", such as \"/error/code\"");
	for (const char *p = s; *p != '\0'; p++)
	{
		n += *p == '/';
		if (*p == '~' && p[1] != '0' && p[1] != '1')
			return pgw_fault(cc,
							 "in a JSON pointer \"~\" is written ~0 and \"/\" inside a name ~1");
	}
	pointer->nsteps = 0;
	pointer->header = 0;
	if ((pointer->steps = pgw_arena(cc, n, sizeof(char *))) == NULL)
		return false;
	while (*s == '/')
	{
		size_t len = strcspn(++s, "/");
		char *step = pgw_arena_text(cc, s, len);
		size_t out = 0;

		if (step == NULL)
			return false;
		for (size_t i = 0; i < len; i++)
		{
			if (s[i] == '~')
				step[out++] = s[++i] == '0' ? '~' : '/';
			else
				step[out++] = s[i];
		}
		step[out] = '\0';
		pointer->steps[pointer->nsteps++] = step;
		s += len;
	}
	return true;
}

#define HEADER "header:"

bool
pgw_is_place(const char *s)
{
	return *s == '/' || strncmp(s, HEADER, strlen(HEADER)) == 0;
}

/* Each name has one number in its connector, whatever the case in which it is written. */
static bool
compile_header(PgwCompile *cc, const char *name, PgwPointer *place)
{
	PgwConnector *c = cc->connector;
	int i = 0;

	if (!pgw_since_version(cc, 2, "a header of an answer"))
		return false;
	if (!pgw_is_header_name(name))
		return pgw_fault(cc, "must be the name of a header of the answer: \"header:Location\"");
	while (i < c->nanswer_headers && strcasecmp(c->answer_headers[i], name) != 0)
		i++;
	if (i == PGW_MAX_ANSWER_HEADERS)
		return pgw_fault(cc, "more than %d headers of answers in one connector",
						 PGW_MAX_ANSWER_HEADERS);
	if (i == c->nanswer_headers)
	{
		if ((c->answer_headers[i] = pgw_arena_text(cc, name, strlen(name))) == NULL)
			return false;
		c->nanswer_headers++;
	}
	place->nsteps = 0;
	place->header = i + 1;
	cc->headers |= 1U << i;
	return true;
}

bool
pgw_same_place(const PgwPointer *a, const PgwPointer *b)
{
	if (a->nsteps != b->nsteps || a->header != b->header)
		return false;
	for (int i = 0; i < a->nsteps; i++)
	{
		if (strcmp(a->steps[i], b->steps[i]) != 0)
			return false;
	}
	return true;
}

bool
pgw_compile_place(PgwCompile *cc, const char *s, PgwPointer *place)
{
	if (strncmp(s, HEADER, strlen(HEADER)) == 0)
		return compile_header(cc, s + strlen(HEADER), place);
	return pgw_compile_pointer(cc, s, place);
}

bool
pgw_conditions_of_headers(const PgwCondition *conditions, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (conditions[i].pointer.header == 0)
			return false;
	}
	return true;
}

/* A text around one reference of the question: "order-{{original_ref}}". */
static bool
compile_asked(PgwCompile *cc, const char *s, PgwScalar *scalar)
{
	static const PgwPlaceholder askable[] = {PGW_PH_TRANSACTION_REF, PGW_PH_ORIGINAL_REF,
											 PGW_PH_BANK_REFERENCE, PGW_PH_OPERATION_REFERENCE};
	const char *open = strstr(s, "{{");
	const char *close = strstr(open, "}}");

	for (size_t i = 0; close != NULL && i < sizeof(askable) / sizeof(askable[0]); i++)
	{
		const char *name = pgw_placeholder_name(askable[i]);

		if (strlen(name) == (size_t) (close - open - 2) &&
			memcmp(open + 2, name, strlen(name)) == 0)
			scalar->asked = askable[i];
	}
	if (scalar->asked == PGW_PH_NONE || strstr(close, "{{") != NULL)
		return pgw_fault(
			cc,
			"a value that an answer is compared with holds one of {{transaction_ref}}, {{original_ref}}, {{bank_reference}} and {{operation_reference}}, once");
	scalar->text = pgw_arena_text(cc, s, (size_t) (open - s));
	scalar->behind = pgw_arena_text(cc, close + 2, strlen(close + 2));
	return scalar->text != NULL && scalar->behind != NULL;
}

static bool
compile_scalar(PgwCompile *cc, json_object *v, PgwScalar *scalar)
{
	const char *s;

	scalar->asked = PGW_PH_NONE;
	scalar->type = json_object_get_type(v);
	switch (scalar->type)
	{
		case json_type_null:
			return true;
		case json_type_boolean:
			scalar->number = json_object_get_boolean(v);
			return true;
		case json_type_int:
			scalar->number = json_object_get_int64(v);
			if (scalar->number == INT64_MAX || scalar->number == INT64_MIN)
				return pgw_fault(
					cc,
					"a number beyond 64 bits; compare with it as a string, if the bank sends it as one");
			return true;
		case json_type_string:
			if ((s = pgw_text_of(cc, v)) == NULL)
				return false;
			if (cc->version >= 2 && strstr(s, "{{") != NULL)
				return compile_asked(cc, s, scalar);
			return (scalar->text = pgw_arena_text(cc, s, strlen(s))) != NULL;
		default:
			return pgw_fault(
				cc,
				"must be a string, whole number, true, false or null, an array of these, or {\"exists\": true}");
	}
}

bool
pgw_compile_values(PgwCompile *cc, json_object *v, int *n, PgwScalar **values)
{
	bool array = json_object_is_type(v, json_type_array);
	size_t len = array ? json_object_array_length(v) : 1;

	if (len == 0)
		return pgw_fault(cc, "an empty array matches nothing; name at least one value");
	if ((*values = pgw_arena(cc, len, sizeof(PgwScalar))) == NULL)
		return false;
	*n = (int) len;
	if (!array)
		return compile_scalar(cc, v, *values);
	for (size_t i = 0; i < len; i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		if (!compile_scalar(cc, json_object_array_get_idx(v, i), *values + i))
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}

bool
pgw_same_value(const PgwScalar *a, const PgwScalar *b)
{
	if (a->type != b->type || a->asked != b->asked || a->number != b->number)
		return false;
	if (a->type != json_type_string)
		return true;
	return strcmp(a->text, b->text) == 0 &&
		   (a->asked == PGW_PH_NONE || strcmp(a->behind, b->behind) == 0);
}

static bool
compile_condition(PgwCompile *cc, json_object *v, PgwCondition *cond)
{
	static const char *const keys[] = {"exists", NULL};

	if (json_object_is_type(v, json_type_object))
	{
		json_object *exists = NULL;

		if (!pgw_check_keys(cc, v, keys))
			return false;
		if (!json_object_object_get_ex(v, "exists", &exists) ||
			!json_object_is_type(exists, json_type_boolean))
			return pgw_fault_at(cc, "exists", "must be true or false");
		cond->exists_test = true;
		cond->exists = json_object_get_boolean(exists);
		return true;
	}
	return pgw_compile_values(cc, v, &cond->nvalues, &cond->values);
}

bool
pgw_compile_conditions(PgwCompile *cc, json_object *v, const char *what, PgwCondition **conditions,
					   int *n)
{
	bool of_elements = strcmp(what, "where") == 0;

	*n = 0;
	if (!pgw_is_object(cc, v))
		return false;
	if (json_object_object_length(v) == 0)
		return pgw_fault(cc, "empty: name a pointer and a value, or leave \"%s\" out", what);
	*conditions = pgw_arena(cc, (size_t) json_object_object_length(v), sizeof(PgwCondition));
	if (*conditions == NULL)
		return false;
	json_object_object_foreach(v, key, value)
	{
		size_t inner = pgw_enter(cc, key);
		PgwCondition *cond = &(*conditions)[(*n)++];

		cond->written = pgw_arena_text(cc, key, strlen(key));
		if (cond->written == NULL ||
			!(of_elements ? pgw_compile_pointer : pgw_compile_place)(cc, key, &cond->pointer) ||
			!compile_condition(cc, value, cond))
			return false;
		pgw_leave(cc, inner);
	}
	return true;
}
