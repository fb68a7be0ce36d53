/*
 * card_cvv.c - the security code in a text, and words with whatever stands between their letters
 *
 * Three or four digits stand everywhere, so they count only alone or beside a word for them.
 */
#include "core/card/card_text_internal.h"

#include <string.h>

#define CVV_NEAR 32 /* bytes around it in which a word for it counts */

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

bool
pgw_card_holds_squeezed(const char *text, size_t len, const char *word, size_t min)
{
	size_t word_len = strlen(word);
	size_t n = 0;
	size_t second = 0;
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
		while ((c = next_squeezed(word, word_len, &w)) != '\0' && next_squeezed(text, len, &p) == c)
			;
		if (c == '\0')
			return true;
	}
	return false;
}

bool
pgw_card_names_cvv(const char *text, size_t len)
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

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (pgw_card_holds_squeezed(text, len, names[i], 1))
			return true;
	}
	return false;
}

/*
 * The next place of the CVV from *pos on, as a word of its own or right behind a word for it;
 * false: none.
 */
static bool
next_cvv(const char *cvv, const char *norm, size_t len, size_t *pos)
{
	size_t n = strlen(cvv);

	for (size_t i = *pos; i + n <= len; i++)
	{
		size_t before = i < 4 ? i : 4;

		if (norm[i] == cvv[0] && memcmp(norm + i, cvv, n) == 0 &&
			(i + n == len || !pgw_ascii_is_word(norm[i + n])) &&
			(i == 0 || !pgw_ascii_is_word(norm[i - 1]) ||
			 pgw_card_names_cvv(norm + i - before, before)))
		{
			*pos = i;
			return true;
		}
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
	size_t pos = 0;
	bool found;

	if (pgw_card_cvv_of(sought) == NULL)
		return false;
	if (pgw_scratch_take(&scratch, len) == NULL)
		return true;
	found = next_cvv(pgw_card_cvv_of(sought), scratch.bytes,
					 pgw_card_normalize(text, len, true, scratch.bytes), &pos);
	pgw_scratch_end(&scratch);
	return found;
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
	for (size_t pos = 0; next_cvv(cvv, norm, len, &pos); pos++)
	{
		size_t from = pos > CVV_NEAR ? pos - CVV_NEAR : 0;
		size_t to = pos + CVV_NEAR < len ? pos + CVV_NEAR : len;

		if (pgw_card_names_cvv(norm + from, to - from))
			return true;
	}
	return false;
}
