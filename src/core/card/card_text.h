/*
 * card_text.h - does a text that is to be kept hide card data, in whatever disguise?
 *
 * One normalizer for everything that is stored: what callers, operators and administrators give
 * (validate.c and the SQL functions), and what banks answer (answer_echo.c).  docs/security.md,
 * "What is taken for a card number", says what is found, what is not, and how often it is wrong.
 */
#ifndef PGW_CORE_CARD_CARD_TEXT_H
#define PGW_CORE_CARD_CARD_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/secret_values.h"
#include "core/card/token_object.h"

#define PGW_SOUGHT_WORDS (1 + 2 * PGW_SECRET_VALUES + 2 + PGW_TOKEN_WORDS)
/*
 * What is refused for its length is kept nowhere: one that is longer than this need not be looked
 * through for a second fault.  A gigabyte would take minutes.
 */
#define PGW_MAX_SEARCHED_BYTES 65536
#define PGW_NO_STRANGERS "" /* a last4 that no number has: none counts by its look */

/*
 * What is looked for.  Strings are the caller's, or NULL for what is not known; they are not kept.
 * A number that looks like anybody's card is found in any case, unless last4 is given: then it
 * counts only if it ends so.
 */
typedef struct PgwSought
{
	/* of this call; blanks and hyphens between its digits are skipped */
	const char *card_number;
	/* eleven of its digits in a row count as the whole: more than may be shown beside a last4 */
	bool parts;
	const char *card_cvv;
	/*
	 * found in any case and punctuation: the holder, the bank's keys, the keys before a change,
	 * digests of the request, parts of a token that is an object; fewer than six letters and
	 * digits: not looked for
	 */
	const char *words[PGW_SOUGHT_WORDS];
	const char *last4;
	/*
	 * what may be a card without a check digit counts, too: for lines of a log, which may lose too
	 * much, but nothing that is refused for its look
	 */
	bool unchecked;
} PgwSought;

/* What it is.  Bits, but the first thing found ends the search. */
typedef enum PgwFound
{
	PGW_FOUND_NOTHING = 0,
	PGW_FOUND_NUMBER,     /* this call's card number */
	PGW_FOUND_LOOK_ALIKE, /* what must be taken for a card number */
	PGW_FOUND_CVV,        /* this call's */
	PGW_FOUND_WORD,
	PGW_FOUND_NO_MEMORY /* not known: to be treated as found */
} PgwFound;

typedef enum PgwTextKind
{
	PGW_TEXT_VALUE, /* nothing but the CVV: that is it */
	PGW_TEXT_ID /* an id that is the same three digits by chance is none; beside a word for it, it
				   is */
} PgwTextKind;

/* sought: NULL for nothing but look-alikes. */
extern PgwFound pgw_card_in_text(const PgwSought *sought, PgwTextKind kind, const char *text,
								 size_t len);

/*
 * The same in a JSON text: names, strings and numbers, and what is split over neighbours. Reads
 * what is no JSON, too.
 */
extern PgwFound pgw_card_in_json(const PgwSought *sought, const char *json, size_t len);

/*
 * Is there a name, string or number in which something is found with `sought`, and nothing with
 * `later`?  later: NULL for nothing at all.  Strings and numbers are texts of this kind.
 */
extern bool pgw_card_only_now_in_json(const PgwSought *sought, const PgwSought *later,
									  PgwTextKind kind, const char *json, size_t len);

/* Nothing but look-alikes, in a text that is no secret's: for notes and names. */
extern bool pgw_text_has_card_number(const char *text, size_t len);

/* ... or what may be one without a check digit: for texts that concern a payment by card anyway. */
extern bool pgw_text_may_have_card_number(const char *text, size_t len);

#endif
