/*
 * card.c - brand, Luhn, expiry, CVV, and finding card numbers in free text
 *
 * Pure functions over the caller's memory: no copy of a card number outlives a call (the few digits copied to the stack are
 * wiped).  Brands need prefix and length to agree; ranges that two schemes share go to the one named first in brand_ranges.
 */
#define _DEFAULT_SOURCE			/* explicit_bzero */
#include "core/card.h"

#include <string.h>

typedef struct BrandRange
{
	int			low;			/* first and last value of the number's first `width` digits */
	int			high;
	int			width;
	uint32_t	lengths;		/* bit n: n digits are right */
	PgwCardBrand brand;
} BrandRange;

#define LEN(n) (UINT32_C(1) << (n))
#define LEN_16_19 (LEN(16) | LEN(17) | LEN(18) | LEN(19))
#define LEN_14_19 (LEN(14) | LEN(15) | LEN_16_19)
#define LEN_12_19 (LEN(12) | LEN(13) | LEN_14_19)

static const BrandRange brand_ranges[] = {
	{4, 4, 1, LEN(13) | LEN(16) | LEN(19), PGW_BRAND_VISA},
	{51, 55, 2, LEN(16), PGW_BRAND_MASTERCARD},
	{2221, 2720, 4, LEN(16), PGW_BRAND_MASTERCARD},
	{34, 34, 2, LEN(15), PGW_BRAND_AMEX},
	{37, 37, 2, LEN(15), PGW_BRAND_AMEX},
	{6011, 6011, 4, LEN_16_19, PGW_BRAND_DISCOVER},
	{644, 649, 3, LEN_16_19, PGW_BRAND_DISCOVER},
	{65, 65, 2, LEN_16_19, PGW_BRAND_DISCOVER},
	{300, 305, 3, LEN(14) | LEN_16_19, PGW_BRAND_DINERS},
	{3095, 3095, 4, LEN(14) | LEN_16_19, PGW_BRAND_DINERS},
	{36, 36, 2, LEN_14_19, PGW_BRAND_DINERS},
	{38, 39, 2, LEN(14) | LEN_16_19, PGW_BRAND_DINERS},
	{3528, 3589, 4, LEN_16_19, PGW_BRAND_JCB},
	{62, 62, 2, LEN_16_19, PGW_BRAND_UNIONPAY},
	{8100, 8171, 4, LEN_16_19, PGW_BRAND_UNIONPAY},
	{50, 50, 2, LEN_12_19, PGW_BRAND_MAESTRO},
	{56, 58, 2, LEN_12_19, PGW_BRAND_MAESTRO},
	{6304, 6304, 4, LEN_12_19, PGW_BRAND_MAESTRO},
	{6390, 6390, 4, LEN_12_19, PGW_BRAND_MAESTRO},
	{67, 67, 2, LEN_12_19, PGW_BRAND_MAESTRO},
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool
pgw_luhn_ok(const char *digits, size_t len)
{
	unsigned	sum = 0;
	bool		twice = false;

	if (len == 0)
		return false;
	for (size_t i = len; i-- > 0; twice = !twice)
	{
		unsigned	d;

		if (!is_digit(digits[i]))
			return false;
		d = (unsigned) (digits[i] - '0');
		if (twice)
			d = d > 4 ? d * 2 - 9 : d * 2;
		sum = (sum + d) % 10;
	}
	return sum == 0;
}

PgwCardBrand
pgw_card_brand(const char *digits, size_t len)
{
	if (len < 12 || len > 19)
		return PGW_BRAND_UNKNOWN;
	for (size_t i = 0; i < len; i++)
	{
		if (!is_digit(digits[i]))
			return PGW_BRAND_UNKNOWN;
	}
	for (size_t r = 0; r < sizeof(brand_ranges) / sizeof(brand_ranges[0]); r++)
	{
		const BrandRange *range = &brand_ranges[r];
		int			prefix = 0;

		for (int i = 0; i < range->width; i++)
			prefix = prefix * 10 + (digits[i] - '0');
		if (prefix >= range->low && prefix <= range->high && (range->lengths & LEN(len)) != 0)
			return range->brand;
	}
	return PGW_BRAND_UNKNOWN;
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
	int64_t		y = year - 1;
	int64_t		days = y * 365 + y / 4 - y / 100 + y / 400 - 719162 + before[month - 1];
	bool		leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

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
	size_t		len = 0;

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

static bool
is_hex_letter(char c)
{
	return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool
is_word_byte(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Length of a canonical UUID (8-4-4-4-12) at text, 0 when there is none. */
static size_t
uuid_length(const char *text, size_t len)
{
	if (len < 36 || (len > 36 && is_word_byte(text[36])))
		return 0;
	for (size_t i = 0; i < 36; i++)
	{
		if (i == 8 || i == 13 || i == 18 || i == 23)
		{
			if (text[i] != '-')
				return 0;
		}
		else if (!is_digit(text[i]) && !is_hex_letter(text[i]))
			return 0;
	}
	return 36;
}

/*
 * Length of a machine-made identifier at text (which begins a word): a UUID or a word of 32, 40 or 64 hex digits of which
 * one at least is a letter.  One UUID in some ten thousand holds a run of decimal digits that looks like a card number;
 * without this exception such an id would be refused at random.
 */
static size_t
identifier_length(const char *text, size_t len)
{
	size_t		n = uuid_length(text, len);
	bool		letters = false;

	if (n > 0)
		return n;
	for (; n < len && is_word_byte(text[n]); n++)
	{
		if (is_hex_letter(text[n]))
			letters = true;
		else if (!is_digit(text[n]))
			return 0;
	}
	return letters && (n == 32 || n == 40 || n == 64) ? n : 0;
}

static bool
looks_like_card(const char *digits, size_t n)
{
	return n >= 13 && n <= 19 && pgw_card_brand(digits, n) != PGW_BRAND_UNKNOWN && pgw_luhn_ok(digits, n);
}

/*
 * Does a card number begin at text, which begins a group of digits?  Reads group after group, joined by single blanks or
 * hyphens, and tries after each.  whole: text begins the maximal run.  Shorter pieces of a run count only when all their
 * groups have three digits or more, as people write cards ("4111 1111 1111 1111 12/30"), or lists of small numbers would too.
 */
static bool
card_begins_at(const char *text, size_t len, bool whole)
{
	char		digits[20];
	size_t		n = 0;
	size_t		pos = 0;
	bool		wide = true;
	bool		found = false;

	for (;;)
	{
		size_t		group = 0;
		bool		last;

		for (; pos < len && is_digit(text[pos]); pos++, group++)
		{
			if (n < sizeof(digits))
				digits[n++] = text[pos];
		}
		wide = wide && group >= 3;
		last = !(pos + 1 < len && (text[pos] == ' ' || text[pos] == '-') && is_digit(text[pos + 1]));
		if (n > 19)
			break;
		if ((wide || (whole && last)) && looks_like_card(digits, n))
		{
			found = true;
			break;
		}
		if (last)
			break;
		pos++;
	}
	explicit_bzero(digits, sizeof(digits));
	return found;
}

bool
pgw_text_has_card_number(const char *text, size_t len)
{
	size_t		pos = 0;

	while (pos < len)
	{
		bool		word_begins = (pos == 0 || !is_word_byte(text[pos - 1]));
		bool		whole;

		if (word_begins)
		{
			size_t		skip = identifier_length(text + pos, len - pos);

			if (skip > 0)
			{
				pos += skip;
				continue;
			}
		}
		if (!is_digit(text[pos]))
		{
			pos++;
			continue;
		}
		/* Here a group of digits begins. */
		whole = !(pos >= 2 && (text[pos - 1] == ' ' || text[pos - 1] == '-') && is_digit(text[pos - 2]));
		if (card_begins_at(text + pos, len - pos, whole))
			return true;
		while (pos < len && is_digit(text[pos]))
			pos++;
	}
	return false;
}
