/*
 * card_text_json.c - card data in a JSON text: in each name, string and number, and split over
 * neighbours
 *
 * Reads tokens, not a tree: what is no JSON is read as far as it goes, numbers keep their digits,
 * and depth does not matter.
 *
 * Split over neighbours: this call's own number however it is split, with all values in a row, all
 * names in a row, and the whole text in a row.  A stranger's only in strings, and as cards are
 * printed (4-4-4-4, 4-6-5, 4-6-4, 4-4-4-4-3) or digit by digit, because numbers beside each other
 * are an ordinary thing: four prices would be taken for a card once in thirty, and so would an
 * order's and a customer's number of eight digits each.
 */
#include "core/card/card_text_internal.h"

#include <string.h>

#include "core/card/card_decode.h"

#define MAX_GROUPS 19 /* one digit each */
#define MAX_PRINTED 6 /* so many groups of four in a row may hold a card; more are a list */
#define MAX_EXPONENT 40
#define MAX_NUMBER 64

/* ---- tokens ---- */

typedef enum TokenKind
{
	TOKEN_END = 0,
	TOKEN_NAME,
	TOKEN_STRING,
	TOKEN_NUMBER
} TokenKind;

typedef struct Token
{
	TokenKind kind;
	const char *text; /* of a string: between the quotes, as it is written */
	size_t len;
	bool escapes;
} Token;

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void
next_token(const char *json, size_t len, size_t *pos, Token *t)
{
	memset(t, 0, sizeof(*t));
	while (*pos < len && json[*pos] != '"' && json[*pos] != '-' && !pgw_ascii_is_digit(json[*pos]))
		(*pos)++;
	if (*pos >= len)
		return;
	if (json[*pos] == '"')
	{
		size_t behind;

		t->kind = TOKEN_STRING;
		t->text = json + ++*pos;
		while (*pos < len && json[*pos] != '"')
		{
			t->escapes |= json[*pos] == '\\';
			*pos += json[*pos] == '\\' && *pos + 1 < len ? 2 : 1;
		}
		t->len = (size_t) (json + *pos - t->text);
		(*pos)++;
		for (behind = *pos; behind < len && is_space(json[behind]); behind++)
			;
		if (behind < len && json[behind] == ':')
			t->kind = TOKEN_NAME;
		return;
	}
	t->kind = TOKEN_NUMBER;
	t->text = json + *pos;
	while (*pos < len && (pgw_ascii_is_digit(json[*pos]) || strchr("+-.eE", json[*pos]) != NULL) &&
		   json[*pos] != '\0')
		(*pos)++;
	t->len = (size_t) (json + *pos - t->text);
}

/* ---- one value ---- */

/*
 * The whole part of a number, without exponent: at most MAX_NUMBER digits; what is longer is no
 * card number.  Its fraction is not looked at: a coordinate with sixteen decimals would be one now
 * and then.
 */
static size_t
whole_part(const Token *t, char *out)
{
	size_t n = 0;
	size_t pos = 0;
	long exponent = 0;
	long fraction = 0;
	bool point = false;
	bool minus;

	for (; pos < t->len && t->text[pos] != 'e' && t->text[pos] != 'E'; pos++)
	{
		if (t->text[pos] == '.')
			point = true;
		else if (pgw_ascii_is_digit(t->text[pos]))
		{
			if (n == MAX_NUMBER)
				return 0;
			out[n++] = t->text[pos];
			fraction += point;
		}
	}
	pos++;
	minus = pos < t->len && t->text[pos] == '-';
	for (; pos < t->len; pos++)
	{
		if (pgw_ascii_is_digit(t->text[pos]) && exponent <= MAX_EXPONENT)
			exponent = exponent * 10 + (t->text[pos] - '0');
	}
	if (exponent > MAX_EXPONENT)
		return 0;
	exponent = (minus ? -exponent : exponent) - fraction;
	for (; exponent < 0 && n > 0; exponent++)
		n--;
	for (; exponent > 0 && n > 0 && n < MAX_NUMBER; exponent--)
		out[n++] = '0';
	return n;
}

typedef struct Walk
{
	const PgwSought *sought;
	PgwTextKind strings; /* what kind of text they are */
	PgwTextKind numbers;
	bool names_cvv; /* the name before this value does */
	size_t ngroups; /* neighbours that are nothing but at most six digits */
	size_t lengths[MAX_GROUPS + 1];
	char digits[6 * (MAX_GROUPS + 1)];
} Walk;

/* Groups from..from+n of the run, if they have these lengths. */
static bool
printed_as(const Walk *w, size_t from, size_t n, const size_t *lengths)
{
	char number[20];
	size_t len = 0;
	bool found;

	for (size_t i = 0; i < n; i++)
	{
		if (w->lengths[from + i] != lengths[i])
			return false;
		memcpy(number + len, w->digits + 6 * (from + i), lengths[i]);
		len += lengths[i];
	}
	found = pgw_card_counts(w->sought, number, len);
	explicit_bzero(number, sizeof(number));
	return found;
}

/* The run of neighbours is over. */
static bool
end_run(Walk *w)
{
	static const struct
	{
		size_t n;
		size_t lengths[5];
	} shapes[] = {{4, {4, 4, 4, 4}},    {3, {4, 6, 5}},       {3, {4, 6, 4}},
				  {5, {4, 4, 4, 4, 3}}, {5, {4, 4, 4, 4, 2}}, {5, {4, 4, 4, 4, 1}}};
	static const size_t singles[MAX_GROUPS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
											   1, 1, 1, 1, 1, 1, 1, 1, 1};
	bool found = false;
	size_t fours = 0;

	for (size_t i = 0; i < w->ngroups; i++)
		fours += w->lengths[i] == 4;
	for (size_t i = 0; i < w->ngroups && fours <= MAX_PRINTED && !found; i++)
	{
		for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]) && !found; s++)
			found =
				i + shapes[s].n <= w->ngroups && printed_as(w, i, shapes[s].n, shapes[s].lengths);
	}
	if (w->ngroups >= 14 && w->ngroups <= MAX_GROUPS)
		found = found || printed_as(w, 0, w->ngroups, singles);
	w->ngroups = 0;
	explicit_bzero(w->digits, sizeof(w->digits));
	return found;
}

/* One more neighbour; true: what came before it was a card number. */
static bool
neighbour(Walk *w, const char *text, size_t len)
{
	char digits[6];
	size_t n = 0;
	size_t pos = 0;
	bool found;

	while (pos < len)
	{
		int32_t cp = pgw_utf8_next(text, len, &pos);
		int digit = pgw_unicode_digit(cp);

		if (digit >= 0 && n == sizeof(digits))
			return end_run(w);
		if (digit >= 0)
			digits[n++] = (char) ('0' + digit);
		else if (!(cp < 0x80 ? cp == ' ' || cp == '-' : pgw_unicode_hidden(cp)))
			return end_run(w);
	}
	if (n == 0)
		return end_run(w);
	found = w->ngroups > MAX_GROUPS && end_run(w);
	memcpy(w->digits + 6 * w->ngroups, digits, n);
	w->lengths[w->ngroups++] = n;
	explicit_bzero(digits, sizeof(digits));
	return found;
}

static PgwFound
scan_value(Walk *w, TokenKind kind, const char *text, size_t len)
{
	PgwFound found;

	if (kind == TOKEN_NAME)
		return pgw_card_in_text(w->sought, PGW_TEXT_ID, text, len);
	found = pgw_card_in_text(w->sought, kind == TOKEN_STRING ? w->strings : w->numbers, text, len);
	if (found == PGW_FOUND_NOTHING && (kind == TOKEN_STRING ? neighbour(w, text, len) : end_run(w)))
		found = PGW_FOUND_LOOK_ALIKE;
	if (found == PGW_FOUND_NOTHING && w->names_cvv && pgw_card_cvv_stands_in(w->sought, text, len))
		found = PGW_FOUND_CVV;
	return found;
}

static bool
knows_cvv(const Walk *w)
{
	return w->sought != NULL && w->sought->card_cvv != NULL;
}

static PgwFound
scan_token(Walk *w, const Token *t)
{
	char number[MAX_NUMBER];
	PgwScratch scratch;
	PgwFound found;
	size_t n;
	bool any;

	if (t->kind == TOKEN_NUMBER)
	{
		n = whole_part(t, number);
		found = scan_value(w, t->kind, number, n);
		explicit_bzero(number, sizeof(number));
		return found;
	}
	if (!t->escapes)
		found = scan_value(w, t->kind, t->text, t->len);
	else if (pgw_scratch_take(&scratch, t->len) == NULL)
		return PGW_FOUND_NO_MEMORY;
	else
	{
		n = pgw_decode_backslashes(t->text, t->len, scratch.bytes, &any);
		found = scan_value(w, t->kind, scratch.bytes, n);
		if (t->kind == TOKEN_NAME)
			w->names_cvv = knows_cvv(w) && pgw_card_names_cvv(scratch.bytes, n);
		pgw_scratch_end(&scratch);
		return found;
	}
	if (t->kind == TOKEN_NAME)
		w->names_cvv = knows_cvv(w) && pgw_card_names_cvv(t->text, t->len);
	return found;
}

/* ---- the whole ---- */

/* This call's own number in the digits of all names, or of all values, in a row. */
static PgwFound
scan_rows(const PgwSought *sought, const char *json, size_t len)
{
	PgwFound found = PGW_FOUND_NOTHING;
	PgwScratch digits;
	PgwScratch string;

	if (sought == NULL || sought->card_number == NULL)
		return PGW_FOUND_NOTHING;
	if (pgw_scratch_take(&digits, len) == NULL)
		return PGW_FOUND_NO_MEMORY;
	if (pgw_scratch_take(&string, len) == NULL)
	{
		pgw_scratch_end(&digits);
		return PGW_FOUND_NO_MEMORY;
	}
	for (int names = 0; names < 2 && found == PGW_FOUND_NOTHING; names++)
	{
		size_t pos = 0;
		size_t n = 0;
		Token t;

		for (next_token(json, len, &pos, &t); t.kind != TOKEN_END; next_token(json, len, &pos, &t))
		{
			bool any;
			size_t plain;

			if ((t.kind == TOKEN_NAME) != (names == 1))
				continue;
			plain = pgw_decode_backslashes(t.text, t.len, string.bytes, &any);
			n += pgw_card_digits(string.bytes, plain, digits.bytes + n);
		}
		if (pgw_card_own_in_digits(sought, digits.bytes, n))
			found = PGW_FOUND_NUMBER;
	}
	if (found == PGW_FOUND_NOTHING &&
		pgw_card_own_in_digits(sought, digits.bytes, pgw_card_digits(json, len, digits.bytes)))
		found = PGW_FOUND_NUMBER;
	pgw_scratch_end(&string);
	pgw_scratch_end(&digits);
	return found;
}

PgwFound
pgw_card_in_json(const PgwSought *sought, const char *json, size_t len)
{
	Walk w = {.sought = sought, .strings = PGW_TEXT_VALUE, .numbers = PGW_TEXT_ID};
	PgwFound found = scan_rows(sought, json, len);
	size_t pos = 0;
	Token t;

	next_token(json, len, &pos, &t);
	while (t.kind != TOKEN_END && found == PGW_FOUND_NOTHING)
	{
		found = scan_token(&w, &t);
		if (t.kind != TOKEN_NAME)
			w.names_cvv = false;
		next_token(json, len, &pos, &t);
	}
	if (end_run(&w) && found == PGW_FOUND_NOTHING)
		found = PGW_FOUND_LOOK_ALIKE;
	return found;
}

bool
pgw_card_only_now_in_json(const PgwSought *sought, const PgwSought *later, PgwTextKind kind,
						  const char *json, size_t len)
{
	Walk w = {.sought = sought, .strings = kind, .numbers = kind};
	size_t pos = 0;
	bool only_now = false;
	Token t;

	for (next_token(json, len, &pos, &t); t.kind != TOKEN_END && !only_now;
		 next_token(json, len, &pos, &t))
	{
		Walk l = {.sought = later, .strings = kind, .numbers = kind};
		PgwFound found = PGW_FOUND_NOTHING;

		if (scan_token(&w, &t) != PGW_FOUND_NOTHING)
		{
			if (later != NULL)
				found = scan_token(&l, &t);
			only_now = found == PGW_FOUND_NOTHING || found == PGW_FOUND_NO_MEMORY;
			explicit_bzero(l.digits, sizeof(l.digits));
		}
		if (t.kind != TOKEN_NAME)
			w.names_cvv = false;
	}
	explicit_bzero(w.digits, sizeof(w.digits));
	return only_now;
}
