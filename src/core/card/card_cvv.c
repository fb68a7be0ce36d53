/*
 * card_cvv.c - the security code in a text, and words with whatever stands between their letters
 *
 * Three or four digits stand everywhere, so they count only alone or beside a word for them; and in
 * an encoding only where that is the whole value, because three bytes of a longer one may be any.
 */
#include "core/card/card_text_internal.h"

#include <string.h>

#include "core/card/card_decode.h"

#define COMPARED_EACH 4 /* how often a character is looked at, on the average, in most texts */
#define CVV_NEAR 32     /* bytes around it in which a word for it counts */

/* ---- words and the security code ---- */

/* Letters and digits of a, in lower case, and what is beyond ASCII; from *pos on. 0: the end. */
static char
next_squeezed(const char *a, size_t len, size_t *pos)
{
	while (*pos < len)
	{
		char c = pgw_ascii_lower(a[(*pos)++]);

		if (pgw_ascii_is_word(c) || (unsigned char) c >= 0x80)
			return c;
	}
	return '\0';
}

static size_t
squeeze(const char *text, size_t len, char *out)
{
	size_t n = 0;
	size_t pos = 0;

	while ((out[n] = next_squeezed(text, len, &pos)) != '\0')
		n++;
	return n;
}

/*
 * In a time that does not grow with the word, which a client chooses, as its holder, together with
 * a text that repeats the word's beginning.  No memory: true.
 */
static bool
holds_repetitive(const char *text, size_t len, const char *word)
{
	size_t word_len = strlen(word);
	PgwScratch squeezed;
	PgwScratch needle;
	bool found = true;

	if (pgw_scratch_take(&squeezed, len + 1) == NULL)
		return true;
	if (pgw_scratch_take(&needle, word_len + 1) != NULL)
		found = memmem(squeezed.bytes, squeeze(text, len, squeezed.bytes), needle.bytes,
					   squeeze(word, word_len, needle.bytes)) != NULL;
	pgw_scratch_end(&needle);
	pgw_scratch_end(&squeezed);
	return found;
}

bool
pgw_card_holds_squeezed(const char *text, size_t len, const char *word, size_t min)
{
	size_t word_len = strlen(word);
	size_t n = 0;
	size_t second = 0;
	size_t compared = 0;
	char first = next_squeezed(word, word_len, &second);

	for (size_t p = 0; next_squeezed(word, word_len, &p) != '\0' && n < min;)
		n++;
	if (n < min || first == '\0')
		return false;
	for (size_t start = 0; start < len; start++)
	{
		size_t p = start + 1;
		size_t w = second;
		char c;

		if (pgw_ascii_lower(text[start]) != first)
			continue;
		if (compared > COMPARED_EACH * len)
			return holds_repetitive(text + start, len - start, word);
		while ((c = next_squeezed(word, word_len, &w)) != '\0' && next_squeezed(text, len, &p) == c)
			;
		if (c == '\0')
			return true;
		compared += p - start;
	}
	return false;
}

/* Where the word's letters and digits end, if they begin at start, whatever stands between; 0. */
static size_t
squeezed_end(const char *text, size_t len, size_t start, const char *word)
{
	size_t pos = start;

	for (; *word != '\0'; word++)
	{
		if (next_squeezed(text, len, &pos) != *word)
			return 0;
	}
	return pos;
}

/* The end of a word for a card's security code that begins at start; 0: none does. */
static size_t
cvv_name_end(const char *text, size_t len, size_t start)
{
	/* where a letter beyond ASCII belongs, what is around it: pgw_card_normalize() leaves none */
	static const char *const names[] = {"cvv",
										"cvc",
										"cvn",
										"csc",
										"cvd",
										"cav2",
										"securitycode",
										"cardcode",
										"cardpin",
										"verificationcode",
										"verificationvalue",
										"sicherheitscode",
										"kartenpr",
										"fziffer",
										"cryptogramme",
										"codicedisicurezza",
										"digodeseguridad",
										"veiligheidscode"};
	char first = pgw_ascii_lower(text[start]);
	size_t end = 0;

	if (strchr("csvkfd", first) == NULL || first == '\0')
		return 0;
	/* none begins with another one: at most one is here */
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && end == 0; i++)
	{
		if (names[i][0] == first)
			end = squeezed_end(text, len, start, names[i]);
	}
	return end;
}

bool
pgw_card_names_cvv(const char *text, size_t len)
{
	for (size_t start = 0; start < len; start++)
	{
		if (cvv_name_end(text, len, start) > 0)
			return true;
	}
	return false;
}

/*
 * Does the CVV begin somewhere between the two, as a word of its own or right behind a word for it?
 */
static bool
begins_between(const char *cvv, const char *norm, size_t len, size_t first, size_t last)
{
	size_t n = strlen(cvv);

	for (size_t i = first; i <= last && i + n <= len; i++)
	{
		size_t before = i < 4 ? i : 4;

		if (norm[i] == cvv[0] && memcmp(norm + i, cvv, n) == 0 &&
			(i + n == len || !pgw_ascii_is_word(norm[i + n])) &&
			(i == 0 || !pgw_ascii_is_word(norm[i - 1]) ||
			 pgw_card_names_cvv(norm + i - before, before)))
			return true;
	}
	return false;
}

const char *
pgw_card_cvv_of(const PgwSought *sought)
{
	return sought != NULL && sought->card_cvv != NULL && strlen(sought->card_cvv) >= 3
			   ? sought->card_cvv
			   : NULL;
}

bool
pgw_card_cvv_stands_in(const PgwSought *sought, const char *text, size_t len)
{
	PgwScratch scratch;
	bool found;

	if (pgw_card_cvv_of(sought) == NULL)
		return false;
	if (pgw_scratch_take(&scratch, len) == NULL)
		return true;
	found = begins_between(pgw_card_cvv_of(sought), scratch.bytes,
						   pgw_card_normalize(text, len, true, scratch.bytes), 0, len);
	pgw_scratch_end(&scratch);
	return found;
}

/*
 * Does it stand beside a word for it?  From the words to the numbers, as each word is looked for
 * once then, however often the number stands there.
 */
static bool
stands_near_name(const char *cvv, const char *norm, size_t len)
{
	for (size_t start = 0; start < len; start++)
	{
		size_t reach = len - start > 2 * CVV_NEAR ? start + 2 * CVV_NEAR : len;
		size_t end = cvv_name_end(norm, reach, start);

		if (end > 0 &&
			begins_between(cvv, norm, len, end > CVV_NEAR ? end - CVV_NEAR : 0, start + CVV_NEAR))
			return true;
	}
	return false;
}

bool
pgw_card_has_cvv(const PgwSought *sought, PgwTextKind kind, const char *norm, size_t len)
{
	const char *cvv = pgw_card_cvv_of(sought);
	size_t first = 0;
	size_t last = len;

	if (cvv == NULL)
		return false;
	while (first < len && norm[first] == ' ')
		first++;
	while (last > first && norm[last - 1] == ' ')
		last--;
	if (kind == PGW_TEXT_VALUE && last - first == strlen(cvv) &&
		memcmp(norm + first, cvv, last - first) == 0)
		return true;
	return memmem(norm, len, cvv, strlen(cvv)) != NULL && stands_near_name(cvv, norm, len);
}

/* ---- the security code as an encoding that is the whole value ---- */

#define MAX_ENCODED 64 /* three layers of base64 around "security code 1234" are not longer */

/* "7 3 7": nothing but its digits, each by itself. */
static bool
stands_digit_by_digit(const char *cvv, const char *norm, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
	{
		if (norm[i] == ' ')
			continue;
		if (cvv[n] == '\0' || norm[i] != cvv[n++] || (i > 0 && norm[i - 1] != ' '))
			return false;
	}
	return cvv[n] == '\0';
}

/* "\67\63\67", as C has it where no digit follows; 0: something else is there, too. */
static size_t
decode_short_octal(const char *text, size_t len, char *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3)
	{
		if (len - i < 3 || text[i] != '\\' || text[i + 1] < '0' || text[i + 1] > '7' ||
			text[i + 2] < '0' || text[i + 2] > '7')
			return 0;
		out[n++] = (char) ((text[i + 1] - '0') * 8 + (text[i + 2] - '0'));
	}
	return n;
}

/* 0: something else is there, too. */
static size_t
decode_whole_base64(const char *text, size_t len, char *out)
{
	while (len > 0 && text[len - 1] == '=')
		len--;
	for (size_t i = 0; i < len; i++)
	{
		if (!pgw_is_base64(text[i]))
			return 0;
	}
	if (len % 4 == 1) /* no number of bytes has so many */
		return 0;
	return pgw_decode_base64(text, len, 0, out);
}

/* 0: its last digit is half a byte.  Where something else is, there is an x. */
static size_t
decode_whole_hex(const char *text, size_t len, char *out)
{
	size_t without_last = pgw_decode_hex(text, len - 1, 0, out);
	size_t n = pgw_decode_hex(text, len, 0, out);

	return n > without_last ? n : 0;
}

/* Each way of taking one layer off; 0: there is none of this kind. */
static size_t
take_layer_off(int way, const char *text, size_t len, char *out)
{
	bool found = false;
	size_t n;

	switch (way)
	{
		case 0:
			return decode_whole_base64(text, len, out);
		case 1:
			return decode_whole_hex(text, len, out);
		case 2:
			return decode_short_octal(text, len, out);
		default:
			n = pgw_decode_escapes(text, len, out, &found);
			return found ? n : 0;
	}
}

/*
 * Layer by layer: the CVV alone, to the byte, or beside a word for it.  A blank or a control
 * character before it would not do: a number of eight digits would be such an encoding too often.
 */
static bool
encodes(const PgwSought *sought, const char *text, size_t len, int layers)
{
	const char *cvv = pgw_card_cvv_of(sought);
	char inner[MAX_ENCODED];
	char norm[MAX_ENCODED];
	bool found = false;

	for (int way = 0; cvv != NULL && way < 4 && len > 0 && layers > 0 && !found; way++)
	{
		size_t n = take_layer_off(way, text, len, inner);

		while (n > 0 && (inner[n - 1] == '\n' || inner[n - 1] == '\r'))
			n--;
		found =
			(n == strlen(cvv) && memcmp(inner, cvv, n) == 0) ||
			pgw_card_has_cvv(sought, PGW_TEXT_ID, norm, pgw_card_normalize(inner, n, true, norm)) ||
			encodes(sought, inner, n, layers - 1);
	}
	explicit_bzero(inner, sizeof(inner));
	explicit_bzero(norm, sizeof(norm));
	return found;
}

bool
pgw_card_encodes_cvv(const PgwSought *sought, const char *text, size_t len, int layers)
{
	const char *cvv = pgw_card_cvv_of(sought);
	char norm[MAX_ENCODED];
	bool found;

	while (len > 0 && text[len - 1] == ' ')
		len--;
	for (; len > 0 && *text == ' '; len--)
		text++;
	if (cvv == NULL || len < strlen(cvv) || len > MAX_ENCODED)
		return false;
	found = stands_digit_by_digit(cvv, norm, pgw_card_normalize(text, len, true, norm)) ||
			encodes(sought, text, len, layers);
	explicit_bzero(norm, sizeof(norm));
	return found;
}
