/*
 * json_text.c - what a JSON text says that pgw_json_read() has accepted
 *
 * Invariants: its grammar is certain, so nothing here checks it again; never reads beyond the text,
 * and takes no memory.
 */
#include "core/json/json_text.h"

#include <string.h>

PgwJsonType
pgw_json_type(const PgwJson *v)
{
	if (v->text == NULL)
		return PGW_JSON_NONE;
	switch (*v->text)
	{
		case '{':
			return PGW_JSON_OBJECT;
		case '[':
			return PGW_JSON_ARRAY;
		case '"':
			return PGW_JSON_STRING;
		case 't':
		case 'f':
			return PGW_JSON_BOOLEAN;
		case 'n':
			return PGW_JSON_NULL;
		default:
			return PGW_JSON_NUMBER;
	}
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *
behind_string(const char *p)
{
	for (p++; *p != '"'; p++)
	{
		if (*p == '\\')
			p++;
	}
	return p + 1;
}

/* The place behind the value at p.  Brackets balance, so how deep is all that has to be counted. */
static const char *
behind_value(const char *p, const char *end)
{
	int depth = 0;

	while (p < end)
	{
		if (*p == '"')
			p = behind_string(p);
		else if (*p == '{' || *p == '[')
		{
			depth++;
			p++;
			continue;
		}
		else if (*p == '}' || *p == ']')
		{
			depth--;
			p++;
		}
		else if (depth > 0)
		{
			p++;
			continue;
		}
		else
		{
			while (p < end && !is_blank(*p) && *p != ',' && *p != '}' && *p != ']')
				p++;
		}
		if (depth == 0)
			break;
	}
	return p;
}

static const char *
behind_blanks(const char *p, const char *end)
{
	while (p < end && (is_blank(*p) || *p == ',' || *p == ':'))
		p++;
	return p;
}

static bool
is_spelt(const PgwJson *name, const char *wanted)
{
	const char *p = name->text + 1;
	const char *end = name->text + name->len - 1;
	size_t left = strlen(wanted);
	char c[4];
	int n;

	while (p < end)
	{
		p = pgw_json_next_char(p, end, c, &n);
		if (p == NULL || left < (size_t) n || memcmp(wanted, c, (size_t) n) != 0)
			return false;
		wanted += n;
		left -= (size_t) n;
	}
	return left == 0;
}

/*
 * Most names are written as they are, and most are others than the wanted one: only one with an
 * escape needs its characters.
 */
static bool
is_named(const PgwJson *name, const char *wanted, size_t wanted_len)
{
	if (name->len == wanted_len + 2 && memcmp(name->text + 1, wanted, wanted_len) == 0 &&
		memchr(wanted, '\\', wanted_len) == NULL)
		return true;
	return memchr(name->text, '\\', name->len) != NULL && is_spelt(name, wanted);
}

/* The member at *p, which moves on behind it; false: none is left before end. */
static bool
next_member(const char **p, const char *end, PgwJson *name, PgwJson *value)
{
	const char *at = behind_blanks(*p, end);

	if (at >= end)
		return false;
	name->text = at;
	at = behind_string(at);
	name->len = (size_t) (at - name->text);
	value->text = behind_blanks(at, end);
	*p = behind_value(value->text, end);
	value->len = (size_t) (*p - value->text);
	return true;
}

bool
pgw_json_next_member(const PgwJson *v, const char **at, PgwJson *name, PgwJson *value)
{
	if (pgw_json_type(v) != PGW_JSON_OBJECT)
		return false;
	if (*at == NULL)
		*at = v->text + 1;
	return next_member(at, v->text + v->len - 1, name, value);
}

bool
pgw_json_member(const PgwJson *v, const char *name, PgwJson *member)
{
	size_t name_len = strlen(name);
	const char *at = NULL;
	PgwJson own;

	while (pgw_json_next_member(v, &at, &own, member))
	{
		if (is_named(&own, name, name_len))
			return true;
	}
	return false;
}

void
pgw_json_members(const PgwJson *v, PgwJsonMembers *m)
{
	const char *p;

	m->object = *v;
	m->n = 0;
	m->complete = pgw_json_type(v) != PGW_JSON_OBJECT;
	p = m->complete ? NULL : v->text + 1;
	while (!m->complete && m->n < PGW_JSON_MEMBERS_AT_HAND)
	{
		m->complete = !next_member(&p, v->text + v->len - 1, &m->names[m->n], &m->values[m->n]);
		m->n += !m->complete;
	}
}

bool
pgw_json_find(const PgwJsonMembers *m, const char *name, PgwJson *member)
{
	size_t name_len = strlen(name);

	for (int i = 0; i < m->n; i++)
	{
		if (is_named(&m->names[i], name, name_len))
		{
			*member = m->values[i];
			return true;
		}
	}
	return !m->complete && pgw_json_member(&m->object, name, member);
}

bool
pgw_json_next_element(const PgwJson *v, const char **at, PgwJson *element)
{
	const char *end;
	const char *p;

	if (pgw_json_type(v) != PGW_JSON_ARRAY)
		return false;
	end = v->text + v->len - 1; /* the bracket */
	p = behind_blanks(*at == NULL ? v->text + 1 : *at, end);
	if (p >= end)
		return false;
	element->text = p;
	*at = behind_value(p, end);
	element->len = (size_t) (*at - p);
	return true;
}

bool
pgw_json_element(const PgwJson *v, size_t index, PgwJson *element)
{
	const PgwJson array = *v; /* which element may be, too */
	const char *at = NULL;

	do
	{
		if (!pgw_json_next_element(&array, &at, element))
			return false;
	} while (index-- > 0);
	return true;
}

size_t
pgw_json_text(const PgwJson *v, char *dst, size_t size)
{
	PgwJsonType type = pgw_json_type(v);
	const char *end;
	size_t len = 0;
	char c[4];
	int n;

	if (type == PGW_JSON_NUMBER)
	{
		memcpy(dst, v->text, v->len < size ? v->len : size);
		return v->len;
	}
	if (type != PGW_JSON_STRING)
		return 0;
	end = v->text + v->len - 1; /* the quote */
	for (const char *p = v->text + 1; p < end;)
	{
		if ((p = pgw_json_next_char(p, end, c, &n)) == NULL)
			return 0; /* not of a text that was read */
		for (int i = 0; i < n; i++, len++)
		{
			if (len < size)
				dst[len] = c[i];
		}
	}
	return len;
}

bool
pgw_json_is_true(const PgwJson *v)
{
	return pgw_json_type(v) == PGW_JSON_BOOLEAN && *v->text == 't';
}

/* ---- numbers ---- */

#define MAX_EXPONENT \
	10000000 /* no text that we read has as many digits: beyond it only zero is an integer of 64 \
				bits */

/* [+-]digits, clamped. */
static int
read_exponent(const char *p, const char *end)
{
	bool negative = p < end && *p == '-';
	int value = 0;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	for (; p < end; p++)
	{
		if (value <= MAX_EXPONENT)
			value = value * 10 + (*p - '0');
	}
	if (value > MAX_EXPONENT)
		value = MAX_EXPONENT;
	return negative ? -value : value;
}

/*
 * The digits without the zeros around them, times a power of ten: an integer when that power is not
 * negative.  The sum is kept negative, because int64 reaches one further that way.
 */
bool
pgw_json_integer(const PgwJson *v, int scale, int64_t *result)
{
	const char *p = v->text;
	const char *end;
	bool negative;
	bool fraction = false;
	int64_t value = 0;
	int64_t power = scale; /* of the last digit taken in */
	int64_t zeros = 0;     /* behind it, not taken in yet */

	if (pgw_json_type(v) != PGW_JSON_NUMBER)
		return false;
	end = p + v->len;
	negative = *p == '-';
	p += negative;
	for (; p < end && *p != 'e' && *p != 'E'; p++)
	{
		if (*p == '.')
		{
			fraction = true;
			continue;
		}
		power -= fraction;
		zeros++;
		if (*p == '0')
			continue;
		for (; value != 0 && zeros > 1; zeros--)
		{
			if (__builtin_mul_overflow(value, INT64_C(10), &value))
				return false;
		}
		if (__builtin_mul_overflow(value, INT64_C(10), &value) ||
			__builtin_sub_overflow(value, (int64_t) (*p - '0'), &value))
			return false;
		zeros = 0;
	}
	if (value == 0)
	{
		*result = 0;
		return true;
	}
	if (p < end)
		power += read_exponent(p + 1, end);
	power += zeros;
	if (power < 0)
		return false; /* a fraction */
	for (; power > 0; power--)
	{
		if (__builtin_mul_overflow(value, INT64_C(10), &value))
			return false;
	}
	if (!negative && value == INT64_MIN)
		return false;
	*result = negative ? value : -value;
	return true;
}
