/*
 * card_checks.c - brand, Luhn, expiry, CVV
 *
 * Pure functions over the caller's memory; nothing is copied.  Brands need prefix and length to
 * agree; ranges that two schemes share go to the one named first in brand_ranges.
 */
#include "core/card/card_checks.h"

#include <string.h>

typedef struct BrandRange
{
	int low; /* first and last value of the number's first `width` digits */
	int high;
	int width;
	uint32_t lengths; /* bit n: n digits are right */
	uint32_t issued;  /* ... and such cards are about */
	PgwCardBrand brand;
} BrandRange;

#define LEN(n) (UINT32_C(1) << (n))
#define LEN_16_19 (LEN(16) | LEN(17) | LEN(18) | LEN(19))
#define LEN_14_19 (LEN(14) | LEN(15) | LEN_16_19)
#define LEN_12_19 (LEN(12) | LEN(13) | LEN_14_19)

static const BrandRange brand_ranges[] = {
	{4, 4, 1, LEN(13) | LEN(16) | LEN(19), LEN(16) | LEN(19), PGW_BRAND_VISA},
	{51, 55, 2, LEN(16), LEN(16), PGW_BRAND_MASTERCARD},
	{2221, 2720, 4, LEN(16), LEN(16), PGW_BRAND_MASTERCARD},
	{34, 34, 2, LEN(15), LEN(15), PGW_BRAND_AMEX},
	{37, 37, 2, LEN(15), LEN(15), PGW_BRAND_AMEX},
	{6011, 6011, 4, LEN_16_19, LEN(16) | LEN(19), PGW_BRAND_DISCOVER},
	{644, 649, 3, LEN_16_19, LEN(16) | LEN(19), PGW_BRAND_DISCOVER},
	{65, 65, 2, LEN_16_19, LEN(16) | LEN(19), PGW_BRAND_DISCOVER},
	{300, 305, 3, LEN(14) | LEN_16_19, LEN(14), PGW_BRAND_DINERS},
	{3095, 3095, 4, LEN(14) | LEN_16_19, LEN(14), PGW_BRAND_DINERS},
	{36, 36, 2, LEN_14_19, LEN(14), PGW_BRAND_DINERS},
	{38, 39, 2, LEN(14) | LEN_16_19, LEN(14), PGW_BRAND_DINERS},
	{3528, 3589, 4, LEN_16_19, LEN(16) | LEN(19), PGW_BRAND_JCB},
	{62, 62, 2, LEN_16_19, LEN_16_19, PGW_BRAND_UNIONPAY},
	{8100, 8171, 4, LEN_16_19, LEN_16_19, PGW_BRAND_UNIONPAY},
	{50, 50, 2, LEN_12_19, LEN_16_19, PGW_BRAND_MAESTRO},
	{56, 58, 2, LEN_12_19, LEN_16_19, PGW_BRAND_MAESTRO},
	{6304, 6304, 4, LEN_12_19, LEN_16_19, PGW_BRAND_MAESTRO},
	{6390, 6390, 4, LEN_12_19, LEN_16_19, PGW_BRAND_MAESTRO},
	{67, 67, 2, LEN_12_19, LEN_16_19, PGW_BRAND_MAESTRO},

	/* Mir: no brand that pgw takes, but a card number all the same where one must not stand. */
	{2200, 2204, 4, LEN(16), LEN(16), PGW_BRAND_UNKNOWN},
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool
pgw_luhn_ok(const char *digits, size_t len)
{
	unsigned sum = 0;
	bool twice = false;

	if (len == 0)
		return false;
	for (size_t i = len; i-- > 0; twice = !twice)
	{
		unsigned d;

		if (!is_digit(digits[i]))
			return false;
		d = (unsigned) (digits[i] - '0');
		if (twice)
			d = d > 4 ? d * 2 - 9 : d * 2;
		sum = (sum + d) % 10;
	}
	return sum == 0;
}

/* NULL: no scheme has such a number. */
static const BrandRange *
find_range(const char *digits, size_t len)
{
	if (len < 12 || len > 19)
		return NULL;
	for (size_t i = 0; i < len; i++)
	{
		if (!is_digit(digits[i]))
			return NULL;
	}
	for (size_t r = 0; r < sizeof(brand_ranges) / sizeof(brand_ranges[0]); r++)
	{
		const BrandRange *range = &brand_ranges[r];
		int prefix = 0;

		for (int i = 0; i < range->width; i++)
			prefix = prefix * 10 + (digits[i] - '0');
		if (prefix >= range->low && prefix <= range->high && (range->lengths & LEN(len)) != 0)
			return range;
	}
	return NULL;
}

PgwCardBrand
pgw_card_brand(const char *digits, size_t len)
{
	const BrandRange *range = find_range(digits, len);

	return range != NULL ? range->brand : PGW_BRAND_UNKNOWN;
}

bool
pgw_card_may_lack_check_digit(const char *digits, size_t len)
{
	const BrandRange *range = find_range(digits, len);

	return range != NULL && range->brand == PGW_BRAND_UNIONPAY && (range->issued & LEN(len)) != 0;
}

bool
pgw_card_look_alike(const char *digits, size_t len)
{
	const BrandRange *range = find_range(digits, len);

	return range != NULL && (range->issued & LEN(len)) != 0 && pgw_luhn_ok(digits, len);
}

const char *
pgw_card_brand_name(PgwCardBrand brand)
{
	switch (brand)
	{
		case PGW_BRAND_VISA:
			return "visa";
		case PGW_BRAND_MASTERCARD:
			return "mastercard";
		case PGW_BRAND_AMEX:
			return "amex";
		case PGW_BRAND_DISCOVER:
			return "discover";
		case PGW_BRAND_DINERS:
			return "diners";
		case PGW_BRAND_JCB:
			return "jcb";
		case PGW_BRAND_UNIONPAY:
			return "unionpay";
		case PGW_BRAND_MAESTRO:
			return "maestro";
		case PGW_BRAND_UNKNOWN:
			break;
	}
	return "unknown";
}

/* Days from 1970-01-01 to the first day of a month (proleptic Gregorian calendar). */
static int64_t
days_to_month(int64_t year, int month)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	int64_t y = year - 1;
	int64_t days = y * 365 + y / 4 - y / 100 + y / 400 - 719162 + before[month - 1];
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days + (leap && month > 2 ? 1 : 0);
}

bool
pgw_card_expired(int month, int year, int64_t now)
{
	if (month < 1 || month > 12 || year < 1 || year > 9999)
		return true;
	if (++month > 12)
	{
		month = 1;
		year++;
	}
	/* In UTC-12 the next month begins twelve hours after it does in UTC. */
	return now >= days_to_month(year, month) * 86400 + 12 * 3600;
}

bool
pgw_card_cvv_ok(PgwCardBrand brand, const char *cvv)
{
	size_t len = 0;

	if (cvv == NULL)
		return false;
	for (; cvv[len] != '\0'; len++)
	{
		if (len >= 4 || !is_digit(cvv[len]))
			return false;
	}
	if (brand == PGW_BRAND_AMEX)
		return len == 4;
	if (brand == PGW_BRAND_UNKNOWN)
		return len == 3 || len == 4;
	return len == 3;
}
