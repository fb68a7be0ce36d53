/*
 * card_text.c - card data in a text, in whatever disguise
 *
 * A text is looked at as it stands, and again with each layer of encoding taken off: escapes
 * (percent, backslash, entities), base64, hexadecimal; layers may lie on one another, up to
 * MAX_LAYERS.  In each view:
 *     - this call's own number, or a part of it, where parts count: all digits of the text in a
 *       row, of any script, whatever stands between them; forwards and backwards;
 *     - a number like a card's (a stranger's): groups of digits with little between them, see
 *       card_begins_at();
 *     - this call's CVV: alone, or beside a word for it; and a whole value that encodes it;
 *     - given words (holder, key): letters and digits alone, in any case.
 *
 * Why the two ways with numbers: twelve known digits do not occur by chance, so nothing that stands
 * between them can excuse them.  What merely looks like a card number is one ordinary number in a
 * hundred, so how it is written counts, and what is evidently something else does not: UUIDs,
 * hexadecimal ids, IBANs.
 *
 * Every copy is wiped.  No memory means "found": nobody is to store what could not be looked at.
 */
#include "core/card/card_text_internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mutant.h"
#include "core/card/card_checks.h"
#include "core/card/card_decode.h"

#define MAX_LAYERS 3
#define MAX_GAP 3 /* characters between two groups of one number: " - " */
#define MIN_OWN_DIGITS 12
#define MIN_PART 11 /* a masked number has its first six and last four digits: ten */
#define MIN_LOOK_ALIKE 14
#define MIN_WORD 6
#define MIN_CVV 3
#define MIN_TEXT 6         /* the shortest word, and the shortest name of a CVV with it */
#define MIN_BASE64 16      /* of twelve digits */
#define MIN_ENCODED_WORD 8 /* of six letters */

/* ---- room ---- */

char *
pgw_scratch_take(PgwScratch *scratch, size_t size)
{
	scratch->size = size;
	scratch->bytes = size <= sizeof(scratch->at_hand) ? scratch->at_hand : malloc(size);
	return scratch->bytes;
}

void
pgw_scratch_end(PgwScratch *scratch)
{
	if (scratch->bytes == NULL)
		return;
	explicit_bzero(scratch->bytes, scratch->size);
	if (scratch->bytes != scratch->at_hand)
		free(scratch->bytes);
	scratch->bytes = NULL;
}

size_t
pgw_card_digits(const char *text, size_t len, char *out)
{
	size_t n = 0;
	size_t pos = 0;

	while (pos < len)
	{
		int digit;

		if ((unsigned char) text[pos] < 0x80)
		{
			if (pgw_ascii_is_digit(text[pos]))
				out[n++] = text[pos];
			pos++;
			continue;
		}
		digit = pgw_unicode_digit(pgw_utf8_next(text, len, &pos));
		if (digit >= 0)
			out[n++] = (char) ('0' + digit);
	}
	return n;
}

/* ---- what a text may hold at all ---- */

typedef struct Survey
{
	size_t digits; /* and what may be one */
	size_t threes; /* '3': every digit has one in hexadecimal */
	size_t hex_digits;
	size_t longest_word; /* of base64's alphabet */
	bool escapes;
} Survey;

static void
survey(const char *text, size_t len, Survey *s)
{
	size_t word = 0;

	memset(s, 0, sizeof(*s));
	for (size_t i = 0; i < len; i++)
	{
		char c = text[i];

		if (pgw_ascii_is_digit(c) || (unsigned char) c >= 0x80)
			s->digits++;
		s->threes += c == '3';
		s->hex_digits += pgw_ascii_is_digit(c) || pgw_ascii_is_hex_letter(c);
		if (c == '%' || c == '&' || c == '\\' || c == '=')
			s->escapes = true;
		if (pgw_is_base64(c))
		{
			if (++word > s->longest_word)
				s->longest_word = word;
		}
		else if (c != '\r' && c != '\n')
			word = 0;
	}
}

/* ---- numbers like a card's ---- */

size_t
pgw_card_normalize(const char *text, size_t len, bool keep_ids, char *out)
{
	size_t n = 0;
	size_t pos = 0;

	while (pos < len)
	{
		char c = text[pos];
		int32_t cp;
		size_t skip;

		if ((unsigned char) c >= 0x80)
		{
			cp = pgw_utf8_next(text, len, &pos);
			if (cp < 0)
				out[n++] = 'x';
			else if (pgw_unicode_digit(cp) >= 0)
				out[n++] = (char) ('0' + pgw_unicode_digit(cp));
			else if (!pgw_unicode_hidden(cp))
				out[n++] = ' ';
			continue;
		}
		if (!keep_ids && pgw_ascii_is_word(c) && (pos == 0 || !pgw_ascii_is_word(text[pos - 1])) &&
			(skip = pgw_card_identifier_length(text + pos, len - pos)) > 0)
		{
			out[n++] = 'x';
			pos += skip;
			continue;
		}
		out[n++] = pgw_ascii_is_word(c) ? pgw_ascii_lower(c) : ' ';
		pos++;
	}
	return n;
}

/* Behind the group that ends at pos: where the next one of the same number begins; 0: nowhere. */
static size_t
next_group(const char *norm, size_t len, size_t pos)
{
	size_t gap = 0;

	while (gap <= MAX_GAP && pos + gap < len && norm[pos + gap] == ' ')
		gap++;
	return gap >= 1 && gap <= MAX_GAP && pos + gap < len && pgw_ascii_is_digit(norm[pos + gap])
			   ? pos + gap
			   : 0;
}

/* A last4 that is none ends no number. */
static bool
may_look_alike(const PgwSought *sought)
{
	return sought == NULL || sought->last4 == NULL || strlen(sought->last4) == 4;
}

bool
pgw_card_counts(const PgwSought *sought, const char *digits, size_t n)
{
	/* whoever knows how it ends need not see its check digit */
	bool unchecked = sought != NULL && (sought->unchecked || sought->last4 != NULL) &&
					 !PGW_MUTATED(UNCHECKED_LOOK);

	if (n < MIN_LOOK_ALIKE || !may_look_alike(sought) ||
		!(pgw_card_look_alike(digits, n) ||
		  (unchecked && pgw_card_may_lack_check_digit(digits, n))))
		return false;
	return sought == NULL || sought->last4 == NULL || memcmp(sought->last4, digits + n - 4, 4) == 0;
}

/* In one, in halves, in fours, or as American Express (4-6-5) and Diners Club (4-6-4) have it. */
static bool
as_printed(size_t ngroups, size_t first, size_t before, size_t group, bool fours)
{
	if (ngroups <= 1)
		return true;
	if (ngroups == 2 && first == 8 && group == 8)
		return true;
	if (ngroups == 3 && first == 4 && before == 6 && (group == 5 || group == 4))
		return true;
	return ngroups >= 4 && fours && group <= 4;
}

/*
 * Does a card number begin at pos, where a group of digits begins?  Reads group after group and
 * tries after each.  whole: pos begins the maximal run, which counts however it is divided.
 * Shorter pieces of a run count only as cards are printed ("4111 1111 1111 1111 12/30"), or lists
 * of numbers would, too.
 */
static bool
card_begins_at(const PgwSought *sought, const char *norm, size_t len, size_t pos, bool whole)
{
	char digits[20];
	size_t n = 0;
	size_t ngroups = 0;
	size_t first = 0;
	size_t last = 0;
	bool fours = true; /* all groups before the last one */
	bool found = false;

	while (pos > 0 || n == 0)
	{
		size_t group = 0;
		size_t next;

		for (; pos < len && pgw_ascii_is_digit(norm[pos]); pos++, group++)
		{
			if (n < sizeof(digits))
				digits[n++] = norm[pos];
		}
		fours = fours && (ngroups == 0 || last == 4);
		first = ngroups == 0 ? group : first;
		ngroups++;
		next = next_group(norm, len, pos);
		if (n > 19)
			break;
		if (((whole && next == 0) || as_printed(ngroups, first, last, group, fours)) &&
			pgw_card_counts(sought, digits, n))
		{
			found = true;
			break;
		}
		if (next == 0)
			break;
		last = group;
		pos = next;
	}
	explicit_bzero(digits, sizeof(digits));
	return found;
}

static bool
has_look_alike(const PgwSought *sought, const char *norm, size_t len)
{
	size_t pos = 0;
	size_t expected = 0; /* the group that belongs to the run before */

	while (pos < len)
	{
		if (!pgw_ascii_is_digit(norm[pos]))
		{
			pos++;
			continue;
		}
		if (card_begins_at(sought, norm, len, pos, expected != pos || pos == 0))
			return true;
		while (pos < len && pgw_ascii_is_digit(norm[pos]))
			pos++;
		expected = next_group(norm, len, pos);
	}
	return false;
}

/* ---- this call's number ---- */

static bool
holds_part(const char *digits, size_t n, const char *number, size_t len, size_t part)
{
	for (size_t from = 0; from + part <= len && n >= part; from++)
	{
		if (memmem(digits, n, number + from, part) != NULL)
			return true;
	}
	return false;
}

bool
pgw_card_own_in_digits(const PgwSought *sought, const char *digits, size_t n)
{
	char own[20];
	char reversed[20];
	size_t len = 0;
	size_t part;
	bool found = false;

	if (sought == NULL || sought->card_number == NULL)
		return false;
	for (const char *p = sought->card_number; *p != '\0'; p++)
	{
		if (*p == ' ' || *p == '-')
			continue;
		if (!pgw_ascii_is_digit(*p) || len == sizeof(own) - 1)
		{
			len = 0; /* no card number; validation says so */
			break;
		}
		own[len++] = *p;
	}
	for (size_t i = 0; i < len; i++)
		reversed[i] = own[len - 1 - i];
	part = sought->parts && !PGW_MUTATED(CARD_PART) ? MIN_PART : len;
	if (len >= MIN_OWN_DIGITS)
		found = holds_part(digits, n, own, len, part) || holds_part(digits, n, reversed, len, part);
	explicit_bzero(own, sizeof(own));
	explicit_bzero(reversed, sizeof(reversed));
	return found;
}

/* ---- one view, and the views beneath it ---- */

/* What is shorter than a card number is looked for, too. */
static bool
short_sought(const PgwSought *sought)
{
	bool words = false;

	for (int i = 0; sought != NULL && i < PGW_SOUGHT_WORDS; i++)
		words |= sought->words[i] != NULL;
	return words || (sought != NULL && sought->parts);
}

static PgwFound scan(const PgwSought *sought, PgwTextKind kind, const char *text, size_t len,
					 int layers);

static PgwFound
scan_plain(const PgwSought *sought, PgwTextKind kind, const char *text, size_t len, const Survey *s,
		   char *copy)
{
	size_t n;

	if (s->digits >= MIN_PART && sought != NULL && sought->card_number != NULL)
	{
		n = pgw_card_digits(text, len, copy);
		if (pgw_card_own_in_digits(sought, copy, n))
			return PGW_FOUND_NUMBER;
	}
	if (s->digits >= MIN_LOOK_ALIKE && may_look_alike(sought))
	{
		n = pgw_card_normalize(text, len, false, copy);
		if (has_look_alike(sought, copy, n))
			return PGW_FOUND_LOOK_ALIKE;
	}
	if (s->digits >= 3 && pgw_card_cvv_of(sought) != NULL)
	{
		n = pgw_card_normalize(text, len, true, copy);
		if (pgw_card_has_cvv(sought, kind, copy, n))
			return PGW_FOUND_CVV;
	}
	for (int i = 0; sought != NULL && i < PGW_SOUGHT_WORDS; i++)
	{
		if (sought->words[i] != NULL &&
			pgw_card_holds_squeezed(text, len, sought->words[i], MIN_WORD))
			return PGW_FOUND_WORD;
	}
	return PGW_FOUND_NOTHING;
}

/* What was decoded, piece by piece of what can be text. */
static PgwFound
scan_decoded(const PgwSought *sought, const char *bytes, size_t len, int layers)
{
	PgwFound found = PGW_FOUND_NOTHING;
	size_t min = short_sought(sought) ? MIN_TEXT : MIN_OWN_DIGITS;
	size_t text_len;

	for (size_t pos = 0;
		 found == PGW_FOUND_NOTHING && pgw_next_text(bytes, len, min, &pos, &text_len);)
		found = scan(sought, PGW_TEXT_ID, bytes + pos - text_len, text_len, layers);
	return found;
}

/*
 * Can a word be base64 of what is looked for?  For each digit that is encoded one character comes
 * from sixteen of the 64, so a short word with few of those hides no number; a longer one may hide
 * base64 again.  Nor does one of lower-case hexadecimal digits: they stand for letters and bytes
 * beyond ASCII.
 */
static bool
may_be_base64(const char *word, size_t len)
{
	static const unsigned char tells[256] = {
		['M'] = 1, ['N'] = 1, ['O'] = 1, ['D'] = 1, ['T'] = 1, ['j'] = 1, ['z'] = 1, ['w'] = 1,
		['x'] = 1, ['y'] = 1, ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1,
	};
	size_t telling = 0;
	bool hex = true;

	for (size_t i = 0; i < len; i++)
	{
		telling += tells[(unsigned char) word[i]];
		hex = hex &&
			  (pgw_ascii_is_digit(word[i]) || (word[i] >= 'a' && word[i] <= 'f') || word[i] == '-');
	}
	return !hex && len >= MIN_BASE64 && (telling >= MIN_OWN_DIGITS || len >= 2 * MIN_BASE64 - 2);
}

/*
 * Each word that may be base64, at each of the four places where a group of four can begin:
 * something may stand before it.
 */
static PgwFound
scan_base64(const PgwSought *sought, const char *text, size_t len, int layers, char *copy)
{
	for (size_t pos = 0; pos < len;)
	{
		size_t end = pos;
		bool possible;
		PgwFound found;

		while (end < len && (pgw_is_base64(text[end]) ||
							 (end > pos && (text[end] == '\r' || text[end] == '\n'))))
			end++;
		possible = short_sought(sought) ? end - pos >= MIN_ENCODED_WORD
										: may_be_base64(text + pos, end - pos);
		for (size_t skip = 0; possible && skip < 4; skip++)
		{
			found = scan_decoded(sought, copy, pgw_decode_base64(text + pos, end - pos, skip, copy),
								 layers);
			if (found != PGW_FOUND_NOTHING)
				return found;
		}
		pos = end + 1;
	}
	return PGW_FOUND_NOTHING;
}

/* Digits in hexadecimal, or base64 in it. */
static bool
may_be_hex(const PgwSought *sought, const Survey *s)
{
	if (short_sought(sought))
		return s->hex_digits >= 2 * MIN_TEXT;
	return s->threes >= MIN_OWN_DIGITS || s->hex_digits >= 2 * MIN_BASE64;
}

static PgwFound
scan_layers(const PgwSought *sought, PgwTextKind kind, const char *text, size_t len,
			const Survey *s, int layers, char *copy)
{
	PgwFound found = PGW_FOUND_NOTHING;
	bool escapes = false;

	if (s->escapes)
	{
		size_t n = pgw_decode_escapes(text, len, copy, &escapes);

		if (escapes)
			found = scan(sought, kind, copy, n, layers - 1);
	}
	if (found == PGW_FOUND_NOTHING &&
		s->longest_word >= (short_sought(sought) ? MIN_ENCODED_WORD : MIN_BASE64))
		found = scan_base64(sought, text, len, layers - 1, copy);
	for (size_t skip = 0;
		 skip < 2 && found == PGW_FOUND_NOTHING && may_be_hex(sought, s) && !PGW_MUTATED(CARD_HEX);
		 skip++)
		found = scan_decoded(sought, copy, pgw_decode_hex(text, len, skip, copy), layers - 1);
	return found;
}

static PgwFound
scan(const PgwSought *sought, PgwTextKind kind, const char *text, size_t len, int layers)
{
	Survey s;
	PgwScratch scratch;
	PgwFound found;

	survey(text, len, &s);
	if (s.digits < MIN_OWN_DIGITS && s.longest_word < MIN_BASE64 && !s.escapes &&
		!short_sought(sought) && pgw_card_cvv_of(sought) == NULL)
		return PGW_FOUND_NOTHING;
	if (pgw_scratch_take(&scratch, len) == NULL)
		return PGW_FOUND_NO_MEMORY;
	found = scan_plain(sought, kind, text, len, &s, scratch.bytes);
	if (found == PGW_FOUND_NOTHING && layers > 0 && !PGW_MUTATED(CARD_DISGUISE))
		found = scan_layers(sought, kind, text, len, &s, layers, scratch.bytes);
	pgw_scratch_end(&scratch);
	return found;
}

PgwFound
pgw_card_in_text(const PgwSought *sought, PgwTextKind kind, const char *text, size_t len)
{
	PgwFound found = PGW_FOUND_NOTHING;

	if (len >= (kind == PGW_TEXT_ID ? MIN_TEXT : MIN_CVV))
		found = scan(sought, kind, text, len, MAX_LAYERS);

	if (found == PGW_FOUND_NOTHING && kind == PGW_TEXT_VALUE && !PGW_MUTATED(CARD_DISGUISE) &&
		pgw_card_encodes_cvv(sought, text, len, MAX_LAYERS))
		found = PGW_FOUND_CVV;
	return found;
}

bool
pgw_text_has_card_number(const char *text, size_t len)
{
	return pgw_card_in_text(NULL, PGW_TEXT_ID, text, len) != PGW_FOUND_NOTHING;
}

bool
pgw_text_may_have_card_number(const char *text, size_t len)
{
	const PgwSought sought = {.unchecked = true};

	return pgw_card_in_text(&sought, PGW_TEXT_ID, text, len) != PGW_FOUND_NOTHING;
}
