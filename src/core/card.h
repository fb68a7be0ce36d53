/*
 * card.h - checks on card data (pure functions, nothing is kept)
 *
 * Luhn is ISO/IEC 7812-1 annex B: a typo check, not a proof that a card exists.
 */
#ifndef PGW_CORE_CARD_H
#define PGW_CORE_CARD_H

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

extern bool pgw_luhn_ok(const char *digits, size_t len);
extern PgwCardBrand pgw_card_brand(const char *digits, size_t len);
extern const char *pgw_card_brand_name(PgwCardBrand brand);	/* "visa" ... "unknown" */

/* A card is valid through the last instant of its expiry month anywhere on earth (UTC-12). now: Unix seconds. */
extern bool pgw_card_expired(int month, int year, int64_t now);

/* 3 digits, for Amex 4; an unknown brand takes 3 or 4. */
extern bool pgw_card_cvv_ok(PgwCardBrand brand, const char *cvv);

/*
 * Does text hold something that must be taken for a card number: a maximal run of 13..19 digits (single blanks or
 * hyphens between digits allowed) that has a known brand's prefix and length and passes Luhn?  Pieces of such a run made of
 * groups of three digits or more count too ("4111 1111 1111 1111 12/30").  UUIDs and hexadecimal ids of 32, 40 or 64 digits
 * (with a letter) do not count, or one random id in some ten thousand would be refused.
 */
extern bool pgw_text_has_card_number(const char *text, size_t len);

#endif
