/*
 * card_text_internal.h - what card_text.c and card_text_json.c share
 */
#ifndef PGW_CORE_CARD_CARD_TEXT_INTERNAL_H
#define PGW_CORE_CARD_CARD_TEXT_INTERNAL_H

#include "core/card/card_text.h"

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

/* Is it said of the text (a member's name) that it is a card's security code? */
extern bool pgw_card_names_cvv(const char *text, size_t len);

/* The CVV in the text, standing alone among whatever else is there. */
extern bool pgw_card_cvv_stands_in(const PgwSought *sought, const char *text, size_t len);

#endif
