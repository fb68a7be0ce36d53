/*
 * json_read.c - is a text JSON, whole and unambiguous?
 *
 * Invariants: never reads beyond the text; recursion is bounded by max_nesting; what is accepted is
 * RFC 8259 to the letter, with no name twice in an object, so that whatever else reads it
 * understands the same.  The only memory is the list of names while a text is read, and that is
 * gone afterwards.
 */
#include "core/json/json_read.h"

#include <stdbool.h>
#include <stdint.h>
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

const char *
pgw_json_next_char(const char *p, const char *end, char *out, int *n)
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
		if ((r->p = pgw_json_next_char(r->p, r->end, c, &n)) == NULL)
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
