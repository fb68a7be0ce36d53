/*
 * json_text.c - read a JSON text as it stands: whole and unambiguous, or not at all
 *
 * Invariants: never reads beyond the text; recursion is bounded by max_nesting; what is accepted is
 * RFC 8259 to the letter, with no name twice in an object, so that whatever else reads it
 * understands the same.  The accessors rely on that and check no grammar again.  The only memory is
 * the list of names while a text is read, and that is gone afterwards.
 */
#include "core/json/json_text.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/characters.h"

/*
 * A name as it was met: in which object.  Equal hashes count as equal names, whose price is one
 * "not understood" in 2^64.
 */
typedef struct Name
{
	uint64_t object;
	uint64_t hash;
} Name;

#define NAMES_AT_HAND 64

typedef struct Reader
{
	const char *p;
	const char *end;
	int nesting;      /* still allowed */
	uint64_t objects; /* seen so far */
	size_t nnames;
	size_t room;
	Name *names;
	Name at_hand[NAMES_AT_HAND];
	PgwJsonVerdict verdict;
} Reader;

static bool read_value(Reader *r);

static bool
fail(Reader *r, PgwJsonVerdict verdict)
{
	r->verdict = verdict;
	return false;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
skip_blanks(Reader *r)
{
	while (r->p < r->end && is_blank(*r->p))
		r->p++;
}

static bool
take(Reader *r, char c)
{
	if (r->p >= r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

/* ---- strings ---- */

/* The four digits after \u; -1: not there. */
static int
hex4(const char *p, const char *end)
{
	return pgw_hex_read(p, (size_t) (end - p), 4);
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629); 0: none. */
static int
utf8_len(const char *p, const char *end)
{
	unsigned char c = (unsigned char) *p;
	int n = c < 0x80                 ? 1
			: c >= 0xC2 && c <= 0xDF ? 2
			: (c & 0xF0) == 0xE0     ? 3
			: c >= 0xF0 && c <= 0xF4 ? 4
									 : 0;

	if (n == 0 || end - p < n)
		return 0;
	for (int i = 1; i < n; i++)
	{
		if (((unsigned char) p[i] & 0xC0) != 0x80)
			return 0;
	}
	if ((c == 0xE0 && (unsigned char) p[1] < 0xA0) || (c == 0xED && (unsigned char) p[1] > 0x9F) ||
		(c == 0xF0 && (unsigned char) p[1] < 0x90) || (c == 0xF4 && (unsigned char) p[1] > 0x8F))
		/* too long for what it says, half a surrogate pair, beyond U+10FFFF */
		return 0;
	return n;
}

/*
 * One character of a string's inside at p, unescaped into out (at most 4 bytes).  Returns the place
 * behind it; NULL: not a character.
 */
static const char *
next_char(const char *p, const char *end, char *out, int *n)
{
	static const char escapes[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	const char *found;
	int code;
	int low;

	if ((unsigned char) *p < 0x20)
		return NULL;
	if (*p != '\\')
	{
		if ((*n = utf8_len(p, end)) == 0)
			return NULL;
		memcpy(out, p, (size_t) *n);
		return p + *n;
	}
	if (++p >= end)
		return NULL;
	if (*p != 'u')
	{
		if (*p == '\0' || (found = strchr(escapes, *p)) == NULL)
			return NULL;
		out[0] = meanings[found - escapes];
		*n = 1;
		return p + 1;
	}
	if ((code = hex4(++p, end)) < 0)
		return NULL;
	p += 4;
	if (code >= 0xDC00 && code <= 0xDFFF)
		return NULL;
	if (code >= 0xD800 && code <= 0xDBFF)
	{
		if (end - p < 6 || p[0] != '\\' || p[1] != 'u' || (low = hex4(p + 2, end)) < 0xDC00 ||
			low > 0xDFFF)
			return NULL;
		p += 6;
		code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
	}
	*n = (int) pgw_utf8_encode((uint32_t) code, out);
	return p;
}

/* FNV-1a of the characters, for names; NULL: not wanted. */
static bool
read_string(Reader *r, uint64_t *hash)
{
	uint64_t h = UINT64_C(14695981039346656037);
	char c[4];
	int n;

	if (!take(r, '"'))
		return false;
	while (r->p < r->end && *r->p != '"')
	{
		if (*r->p >= 0x20 && *r->p < 0x7F && *r->p != '\\')
		{
			h = (h ^ (unsigned char) *r->p++) * UINT64_C(1099511628211); /* most are plain */
			continue;
		}
		if ((r->p = next_char(r->p, r->end, c, &n)) == NULL)
		{
			r->p = r->end;
			return false;
		}
		for (int i = 0; i < n; i++)
			h = (h ^ (unsigned char) c[i]) * UINT64_C(1099511628211);
	}
	if (hash != NULL)
		*hash = h;
	return take(r, '"');
}

/* ---- values ---- */

static bool
read_digits(Reader *r)
{
	const char *first = r->p;

	while (r->p < r->end && is_digit(*r->p))
		r->p++;
	return r->p > first;
}

static bool
read_number(Reader *r)
{
	(void) take(r, '-');
	if (!take(r, '0') && !read_digits(r))
		return false;
	if (take(r, '.') && !read_digits(r))
		return false;
	if (take(r, 'e') || take(r, 'E'))
	{
		if (!take(r, '+'))
			(void) take(r, '-');
		if (!read_digits(r))
			return false;
	}
	return true;
}

static bool
read_word(Reader *r, const char *word)
{
	size_t len = strlen(word);

	if ((size_t) (r->end - r->p) < len || memcmp(r->p, word, len) != 0)
		return false;
	r->p += len;
	return true;
}

static bool
note_name(Reader *r, uint64_t object, uint64_t hash)
{
	if (r->nnames == r->room)
	{
		size_t room = r->room * 2;
		Name *names = malloc(room * sizeof(Name));

		if (names == NULL)
			return fail(r, PGW_JSON_NO_MEMORY);
		memcpy(names, r->names, r->nnames * sizeof(Name));
		if (r->names != r->at_hand)
			free(r->names);
		r->names = names;
		r->room = room;
	}
	r->names[r->nnames++] = (Name){object, hash};
	return true;
}

static bool
read_object(Reader *r)
{
	uint64_t object = ++r->objects;
	uint64_t hash;

	skip_blanks(r);
	if (take(r, '}'))
		return true;
	do
	{
		skip_blanks(r);
		if (!read_string(r, &hash) || !note_name(r, object, hash))
			return false;
		skip_blanks(r);
		if (!take(r, ':') || !read_value(r))
			return false;
		skip_blanks(r);
	} while (take(r, ','));
	return take(r, '}');
}

static bool
read_array(Reader *r)
{
	skip_blanks(r);
	if (take(r, ']'))
		return true;
	do
	{
		if (!read_value(r))
			return false;
		skip_blanks(r);
	} while (take(r, ','));
	return take(r, ']');
}

static bool
read_value(Reader *r)
{
	bool object;
	bool good;

	skip_blanks(r);
	if (r->p >= r->end)
		return false;
	switch (*r->p)
	{
		case '{':
		case '[':
			if (r->nesting == 0)
				return fail(r, PGW_JSON_TOO_DEEP);
			object = *r->p++ == '{';
			r->nesting--;
			good = object ? read_object(r) : read_array(r);
			r->nesting++;
			return good;
		case '"':
			return read_string(r, NULL);
		case 't':
			return read_word(r, "true");
		case 'f':
			return read_word(r, "false");
		case 'n':
			return read_word(r, "null");
		default:
			return read_number(r);
	}
}

static int
compare_names(const void *a, const void *b)
{
	const Name *x = a;
	const Name *y = b;

	if (x->object != y->object)
		return x->object < y->object ? -1 : 1;
	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static bool
has_twins(Reader *r)
{
	qsort(r->names, r->nnames, sizeof(Name), compare_names);
	for (size_t i = 1; i < r->nnames; i++)
	{
		if (compare_names(&r->names[i - 1], &r->names[i]) == 0)
			return true;
	}
	return false;
}

PgwJsonVerdict
pgw_json_read(const char *text, size_t len, int max_nesting, PgwJson *value)
{
	static const char byte_order_mark[] = "\xEF\xBB\xBF";
	Reader r = {.p = text,
				.end = text + len,
				.nesting = max_nesting,
				.room = NAMES_AT_HAND,
				.verdict = PGW_JSON_GOOD};

	r.names = r.at_hand;
	(void) read_word(&r, byte_order_mark);
	skip_blanks(&r);
	value->text = r.p;
	value->len = 0;
	if (!read_value(&r))
	{
		if (r.verdict == PGW_JSON_GOOD)
			r.verdict = PGW_JSON_INVALID;
	}
	else
	{
		value->len = (size_t) (r.p - value->text);
		skip_blanks(&r);
		if (r.p < r.end)
			r.verdict = PGW_JSON_INVALID;
		else if (has_twins(&r))
			r.verdict = PGW_JSON_AMBIGUOUS;
	}
	if (r.names != r.at_hand)
		free(r.names);
	if (r.verdict != PGW_JSON_GOOD)
		*value = (PgwJson){NULL, 0};
	return r.verdict;
}

/* ---- what was read: its grammar is certain ---- */

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
		p = next_char(p, end, c, &n);
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
pgw_json_member(const PgwJson *v, const char *name, PgwJson *member)
{
	size_t name_len = strlen(name);
	const char *p;
	PgwJson own;

	if (pgw_json_type(v) != PGW_JSON_OBJECT)
		return false;
	p = v->text + 1;
	while (next_member(&p, v->text + v->len - 1, &own, member))
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
pgw_json_element(const PgwJson *v, size_t index, PgwJson *element)
{
	const char *end;

	if (pgw_json_type(v) != PGW_JSON_ARRAY)
		return false;
	end = v->text + v->len - 1; /* the bracket */
	for (const char *p = behind_blanks(v->text + 1, end); p < end; p = behind_blanks(p, end))
	{
		element->text = p;
		p = behind_value(p, end);
		element->len = (size_t) (p - element->text);
		if (index-- == 0)
			return true;
	}
	return false;
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
		if ((p = next_char(p, end, c, &n)) == NULL)
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
