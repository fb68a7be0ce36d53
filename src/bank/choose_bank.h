/*
 * choose_bank.h - which bank takes a payment
 */
#ifndef PGW_BANK_CHOOSE_BANK_H
#define PGW_BANK_CHOOSE_BANK_H

#include "postgres.h"

#include "bank/bank_config.h"
#include "core/request/validate.h"

/* Setting: payments go to test banks only, and nothing is done with those that are real. */
extern bool pgw_test_mode;

extern void pgw_choose_bank_init(void); /* _PG_init, by way of pgw_config_init() */

/* What a payment is made with. */
typedef enum PgwMeans
{
	PGW_BY_CARD,
	PGW_BY_UNCHECKED_CARD, /* its number fails its check digit */
	PGW_BY_TOKEN,
	PGW_BY_UNCHECKED_TOKEN, /* one that such a number may have been given as */
	PGW_BY_TOKEN_OBJECT
} PgwMeans;

/* token: NULL or empty: it is a card, of that number. */
extern PgwMeans pgw_means_of(const char *token, const char *card_number);

/* Can it express the amount exactly in its own unit of the currency? */
extern bool pgw_config_takes_amount(const PgwBank *bank, int64 amount, const char *currency);

/*
 * The next bank by priority after that one which takes such a payment, a token's scope included.
 * NULL: none.
 */
extern PgwBank *pgw_config_next_bank(const PgwBank *after, int64 amount, const char *currency,
									 PgwMeans means, PgwCaptureMode capture);

/*
 * The bank for a request: the named one, else the first by priority that takes it.  NULL with
 * *error_code (error_codes.h) and a DETAIL text (palloc'd) that says why.  Checks: exists, enabled,
 * currency, exponent exact, card/token taken, capture mode possible.
 */
extern PgwBank *pgw_config_route(const char *named, int64 amount, const char *currency,
								 PgwMeans means, PgwCaptureMode capture, const char **error_code,
								 char **detail);

#endif
