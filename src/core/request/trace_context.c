/*
 * trace_context.c - the trace that a call is part of: options.traceparent and options.tracestate
 *
 * Owns: what of W3C Trace Context (level 2) is taken, and how it is kept beside an attempt.  pgw
 * makes no span, so it hands on what it was given, as a service that only passes it through: the
 * parent of the bank's span is the caller's.  What a later version adds is not known to be harmless
 * and is cut off, as the recommendation asks of whoever writes the header anew.
 *
 * Invariant: what is kept is printable ASCII, so neither a header nor a line of a log can be ended
 * by it.
 */
#include "core/request/trace_context.h"

#include <stdio.h>
#include <string.h>

#include "core/base/buf_json.h"
#include "core/base/mutant.h"
#include "core/card/card_text.h"
#include "core/json/json_read.h"
#include "core/json/json_text.h"

#define NOT_SHOWN "(not shown: it may hold card data)"
#define KNOWN_FLAGS 3 /* sampled, random */
#define MAX_MEMBERS 32
#define MAX_KEY 256
#define MAX_VALUE 256
#define SHORTEST_NUMBER 13
#define LONGEST_NUMBER 19
#define MAX_NESTING 64

/* Where the parts of a traceparent begin, and how long they are. */
#define VERSION_AT 0
#define TRACE_ID_AT 3
#define TRACE_ID_LENGTH 32
#define PARENT_ID_AT 36
#define PARENT_ID_LENGTH 16
#define FLAGS_AT 53

_Static_assert(sizeof(NOT_SHOWN) <= PGW_TRACEPARENT_LENGTH + 1, "the mark takes the value's place");

/* ---- traceparent ---- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
is_hex(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (hex_value(s[i]) < 0)
			return false;
	}
	return true;
}

static bool
is_zero(const char *s, size_t len)
{
	return strspn(s, "0") >= len;
}

/* Of any version: those to come may only add something behind a further hyphen. */
static bool
has_form(const char *s, size_t len)
{
	return len >= PGW_TRACEPARENT_LENGTH && is_hex(s + VERSION_AT, 2) &&
		   s[TRACE_ID_AT - 1] == '-' && is_hex(s + TRACE_ID_AT, TRACE_ID_LENGTH) &&
		   s[PARENT_ID_AT - 1] == '-' && is_hex(s + PARENT_ID_AT, PARENT_ID_LENGTH) &&
		   s[FLAGS_AT - 1] == '-' && is_hex(s + FLAGS_AT, 2) &&
		   (len == PGW_TRACEPARENT_LENGTH || s[PGW_TRACEPARENT_LENGTH] == '-');
}

static bool
is_printable(const char *s)
{
	for (; *s != '\0'; s++)
	{
		if (*s < 0x20 || *s > 0x7E)
			return false;
	}
	return true;
}

bool
pgw_trace_read_parent(const char *text, PgwTrace *t, const char **message)
{
	size_t len = strlen(text);
	int flags;

	*message = NULL;
	if (len > PGW_MAX_TRACEPARENT_BYTES || !has_form(text, len) || !is_printable(text))
		*message =
			"must be a traceparent of W3C Trace Context: version, trace-id, parent-id and flags of 2, 32, 16 and 2 hexadecimal digits in lower case, with hyphens between them";
	else if (memcmp(text, "ff", 2) == 0)
		*message = "version ff is none";
	else if (memcmp(text, "00", 2) == 0 && len > PGW_TRACEPARENT_LENGTH)
		*message = "version 00 has nothing behind its flags";
	else if (is_zero(text + TRACE_ID_AT, TRACE_ID_LENGTH) ||
			 is_zero(text + PARENT_ID_AT, PARENT_ID_LENGTH))
		*message = "a trace-id or parent-id of nothing but zeros is none";
	if (*message != NULL)
		return false;
	flags = (hex_value(text[FLAGS_AT]) * 16 + hex_value(text[FLAGS_AT + 1])) & KNOWN_FLAGS;
	snprintf(t->parent, sizeof(t->parent), "00-%.32s-%.16s-%02x", text + TRACE_ID_AT,
			 text + PARENT_ID_AT, (unsigned) flags);
	return true;
}

/* Any number that stands in digits, with whatever digits before and behind it. */
static bool
hides_number(const char *id, size_t len)
{
	for (size_t at = 0; at < len; at++)
	{
		for (size_t n = SHORTEST_NUMBER; n <= LONGEST_NUMBER && at + n <= len; n++)
		{
			if (pgw_text_has_card_number(id + at, n))
				return true;
		}
	}
	return false;
}

/* A letter makes it an id, as it does everywhere else (card_identifiers.c). */
static bool
may_be_number(const char *id, size_t len)
{
	return strspn(id, "0123456789") >= len && hides_number(id, len);
}

bool
pgw_trace_parent_like_card(const PgwTrace *t)
{
	return !PGW_MUTATED(TRACE_CARD) && (may_be_number(t->parent + TRACE_ID_AT, TRACE_ID_LENGTH) ||
										may_be_number(t->parent + PARENT_ID_AT, PARENT_ID_LENGTH));
}

/* ---- tracestate ---- */

static bool
is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' ||
		   c == '/' || c == '@';
}

/* key=value, without blanks around it. */
static bool
is_member(const char *s, size_t len)
{
	const char *equals = memchr(s, '=', len);
	size_t key = equals != NULL ? (size_t) (equals - s) : 0;
	size_t value = len - key - 1;

	if (key == 0 || key > MAX_KEY || value == 0 || value > MAX_VALUE ||
		!((s[0] >= 'a' && s[0] <= 'z') || (s[0] >= '0' && s[0] <= '9')))
		return false;
	for (size_t i = 0; i < key; i++)
	{
		if (!is_key_char(s[i]))
			return false;
	}
	return memchr(equals + 1, '=', value) == NULL; /* the text is printable, without commas */
}

static void
trim(const char **s, size_t *len)
{
	while (*len > 0 && ((*s)[0] == ' ' || (*s)[0] == '\t'))
	{
		(*s)++;
		(*len)--;
	}
	while (*len > 0 && ((*s)[*len - 1] == ' ' || (*s)[*len - 1] == '\t'))
		(*len)--;
}

/* The members without what stands around them, and without empty ones. */
bool
pgw_trace_read_state(const char *text, PgwTrace *t, const char **message)
{
	size_t used = 0;
	int members = 0;
	const char *s = text;

	*message = NULL;
	t->state[0] = '\0';
	if (strlen(text) > PGW_MAX_TRACESTATE_BYTES)
	{
		*message = "must be at most 512 bytes";
		return false;
	}
	for (bool more = true; more;)
	{
		size_t len = strcspn(s, ",");
		const char *member = s;
		size_t n = len;

		more = s[len] == ',';
		s += len + 1;
		trim(&member, &n);
		if (n == 0)
			continue;
		for (size_t i = 0; i < n; i++)
			members += member[i] < 0x20 || member[i] > 0x7E ? MAX_MEMBERS : 0;
		if (++members > MAX_MEMBERS || !is_member(member, n))
		{
			t->state[0] = '\0';
			*message =
				"must be a tracestate of W3C Trace Context: at most 32 members key=value of printable ASCII, with commas between them";
			return false;
		}
		used += (size_t) snprintf(t->state + used, sizeof(t->state) - used, "%s%.*s",
								  used > 0 ? "," : "", (int) n, member);
	}
	return true;
}

void
pgw_trace_hide_parent(PgwTrace *t)
{
	snprintf(t->parent, sizeof(t->parent), "%s", NOT_SHOWN);
}

void
pgw_trace_hide_state(PgwTrace *t)
{
	snprintf(t->state, sizeof(t->state), "%s", NOT_SHOWN);
}

const char *
pgw_trace_header(const char *text)
{
	return text[0] != '\0' && strcmp(text, NOT_SHOWN) != 0 ? text : NULL;
}

/* ---- beside the attempt ---- */

void
pgw_trace_into_fields(const PgwTrace *t, const char *bank_fields, PgwBuf *out)
{
	PgwJson object;
	PgwJson name;
	PgwJson value;
	const char *at = NULL;

	if (t->parent[0] == '\0')
		return;
	pgw_buf_json_open(out, '{');
	if (pgw_json_read(bank_fields, strlen(bank_fields), MAX_NESTING, &object) == PGW_JSON_GOOD)
	{
		while (pgw_json_next_member(&object, &at, &name, &value))
		{
			pgw_buf_json_comma(out, ",");
			pgw_buf_append(out, name.text, name.len);
			pgw_buf_puts(out, ":");
			pgw_buf_append(out, value.text, value.len);
		}
	}
	pgw_buf_json_name(out, PGW_TRACE_FIELD);
	pgw_buf_json_open(out, '{');
	pgw_buf_json_member(out, "traceparent", t->parent);
	if (t->state[0] != '\0')
		pgw_buf_json_member(out, "tracestate", t->state);
	pgw_buf_json_close(out, '}');
	pgw_buf_json_close(out, '}');
}

static void
text_member(const PgwJson *object, const char *name, char *text, size_t size)
{
	PgwJson value;
	size_t len = 0;

	if (pgw_json_member(object, name, &value) && pgw_json_type(&value) == PGW_JSON_STRING)
		len = pgw_json_text(&value, text, size - 1);
	text[len < size ? len : 0] = '\0';
}

bool
pgw_trace_of_fields(const char *bank_fields, PgwTrace *t)
{
	PgwJson object;
	PgwJson trace;

	t->parent[0] = t->state[0] = '\0';
	/* nearly nobody has one, and nobody else pays for reading his fields here */
	if (bank_fields == NULL || strstr(bank_fields, "\"" PGW_TRACE_FIELD "\"") == NULL ||
		pgw_json_read(bank_fields, strlen(bank_fields), MAX_NESTING, &object) != PGW_JSON_GOOD ||
		!pgw_json_member(&object, PGW_TRACE_FIELD, &trace) ||
		pgw_json_type(&trace) != PGW_JSON_OBJECT)
		return false;
	text_member(&trace, "traceparent", t->parent, sizeof(t->parent));
	text_member(&trace, "tracestate", t->state, sizeof(t->state));
	return t->parent[0] != '\0';
}
