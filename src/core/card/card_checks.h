/*
 * card_checks.h - checks on card data (pure functions, nothing is kept)
 *
 * Luhn is ISO/IEC 7812-1 annex B: a typo check, not a proof that a card exists.
 */
#ifndef PGW_CORE_CARD_CARD_CHECKS_H
#define PGW_CORE_CARD_CARD_CHECKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum PgwCardBrand
{
	PGW_BRAND_UNKNOWN = 0,
	PGW_BRAND_VISA,
	PGW_BRAND_MASTERCARD,
	PGW_BRAND_AMEX,
	PGW_BRAND_DISCOVER,
	PGW_BRAND_DINERS,
	PGW_BRAND_JCB,
	PGW_BRAND_UNIONPAY,
	PGW_BRAND_MAESTRO
} PgwCardBrand;

#define PGW_NBRANDS (PGW_BRAND_MAESTRO + 1)

extern bool pgw_luhn_ok(const char *digits, size_t len);
extern PgwCardBrand pgw_card_brand(const char *digits, size_t len);
extern const char *pgw_card_brand_name(PgwCardBrand brand); /* "visa" ... "unknown" */

/*
 * A card is valid through the last instant of its expiry month anywhere on earth (UTC-12). now:
 * Unix seconds.
 */
extern bool pgw_card_expired(int month, int year, int64_t now);

/* 3 digits, for Amex 4; an unknown brand takes 3 or 4. */
extern bool pgw_card_cvv_ok(PgwCardBrand brand, const char *cvv);

/*
 * Can such a card be about though its check digit is wrong?  UnionPay's issuers have given out some
 * without one; of all other schemes a wrong digit is a slip.  The number need not fail the check.
 */
extern bool pgw_card_may_lack_check_digit(const char *digits, size_t len);

/*
 * Would anybody take it for a card number: prefix and length of cards that are about, and Luhn?
 * Lengths that schemes allow but nobody has issued for decades do not count (13 digits of Visa,
 * fewer than 16 of Maestro): they are those of phone numbers and EAN codes.
 */
extern bool pgw_card_look_alike(const char *digits, size_t len);

#endif
