/*
 * money.h - currencies of ISO 4217 and exact conversion between exponents
 *
 * Amounts are int64 in minor units of the currency.  Nothing here rounds: a
 * conversion that is not exact fails.
 */
#ifndef PGW_CORE_BASE_MONEY_H
#define PGW_CORE_BASE_MONEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct PgwCurrency
{
	char code[4];    /* alphabetic, upper case */
	int16_t numeric; /* ISO 4217 numeric code */
	int8_t exponent; /* decimal places of the minor unit */
} PgwCurrency;

/*
 * Active ISO 4217 currency usable for payments (funds, metals and test codes excluded), or NULL.
 * Case matters.
 */
extern const PgwCurrency *pgw_currency_find(const char *code);
extern const PgwCurrency *pgw_currency_table(size_t *n);

/* amount * 10^(to-from), only when exact and within int64. */
extern bool pgw_money_rescale(int64_t amount, int from_exponent, int to_exponent, int64_t *result);

/* 1234 with exponent 2 -> "12.34".  False when buf is too small. */
extern bool pgw_money_to_decimal(int64_t amount, int exponent, char *buf, size_t size);

typedef enum PgwAmountFault
{
	PGW_AMOUNT_OK = 0,
	PGW_AMOUNT_NO_NUMBER, /* NaN, an infinity, or no decimal at all */
	PGW_AMOUNT_FRACTION,  /* never rounded: 49.90 is no number of minor units */
	PGW_AMOUNT_TOO_LARGE
} PgwAmountFault;

/*
 * The text of a numeric ("4990", "-12.50", "4990.00", "NaN") as a whole number; *result is set only
 * for PGW_AMOUNT_OK.
 */
extern PgwAmountFault pgw_money_from_numeric(const char *text, int64_t *result);

/* "12.34" -> 1234 for exponent 2; false when not a plain decimal, not exact, or out of range. */
extern bool pgw_money_from_decimal(const char *text, int exponent, int64_t *result);

#endif
