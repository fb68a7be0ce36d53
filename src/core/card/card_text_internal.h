/*
 * card_text_internal.h - what the files share that look for card data in texts
 */
#ifndef PGW_CORE_CARD_CARD_TEXT_INTERNAL_H
#define PGW_CORE_CARD_CARD_TEXT_INTERNAL_H

#include "core/card/card_text.h"

/* ---- characters ---- */

static inline bool
pgw_ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline char
pgw_ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

static inline bool
pgw_ascii_is_letter(char c)
{
	c = pgw_ascii_lower(c);
	return c >= 'a' && c <= 'z';
}

static inline bool
pgw_ascii_is_hex_letter(char c)
{
	c = pgw_ascii_lower(c);
	return c >= 'a' && c <= 'f';
}

static inline bool
pgw_ascii_is_word(char c)
{
	return pgw_ascii_is_digit(c) || pgw_ascii_is_letter(c);
}

/* ---- card_text.c ---- */

/* Room for a copy: on the stack while it is short, wiped at the end. */
typedef struct PgwScratch
{
	char at_hand[512];
	char *bytes; /* NULL: out of memory */
	size_t size;
} PgwScratch;

extern char *pgw_scratch_take(PgwScratch *scratch, size_t size);
extern void pgw_scratch_end(PgwScratch *scratch);

/* The text's digits alone, of any script, as ASCII; returns how many.  out has room for len. */
extern size_t pgw_card_digits(const char *text, size_t len, char *out);

/* This call's number in a row of digits, forwards or backwards. */
extern bool pgw_card_own_in_digits(const PgwSought *sought, const char *digits, size_t n);

/* Are these digits, all of them, to be taken for a card number? */
extern bool pgw_card_counts(const PgwSought *sought, const char *digits, size_t n);

/*
 * Digits as ASCII, a letter as itself in lower case, anything else as a blank; what is not seen is
 * left out, and identifiers become one letter unless they are kept.  out has room for len.
 */
extern size_t pgw_card_normalize(const char *text, size_t len, bool keep_ids, char *out);

/* ---- card_identifiers.c ---- */

/* Length of a machine-made identifier at text, 0 when there is none. */
extern size_t pgw_card_identifier_length(const char *text, size_t len);

/* ---- card_cvv.c ---- */

/* Is it said of the text (a member's name) that it is a card's security code? */
extern bool pgw_card_names_cvv(const char *text, size_t len);

/* The CVV in the text, standing alone among whatever else is there. */
extern bool pgw_card_cvv_stands_in(const PgwSought *sought, const char *text, size_t len);

/* The CVV that is looked for, or NULL. */
extern const char *pgw_card_cvv_of(const PgwSought *sought);

/* The CVV in a normalized text: all of it, if it is a value, or beside a word for it. */
extern bool pgw_card_has_cvv(const PgwSought *sought, PgwTextKind kind, const char *norm,
							 size_t len);

/*
 * Is the whole text the CVV, or a word for it and the CVV, in at most so many layers of encoding,
 * or digit by digit?
 */
extern bool pgw_card_encodes_cvv(const PgwSought *sought, const char *text, size_t len, int layers);

/* Letters and digits of the word stand in the text in a row, in any case; at least min of them. */
extern bool pgw_card_holds_squeezed(const char *text, size_t len, const char *word, size_t min);

#endif
