/*
 * money.c - the currency table and exact conversions
 *
 * Owns the list of currencies that a payment can be made in: active national and supranational
 * codes of ISO 4217.  Left out are funds and units of account (BOV, CHE, CHW, CLF, COU, MXV, USN,
 * UYI, UYW, XAD, XSU, XUA, bonds XBx), metals (XAG, XAU, XPD, XPT), XTS and XXX, and withdrawn
 * codes (among the latest: HRK, SLL, ZWL, CUC, ANG, BGN).
 *
 * Invariants: the table is sorted by code (binary search); nothing rounds, nothing overflows,
 * nothing depends on the locale.
 */
#include "core/base/money.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_EXPONENT 18 /* 10^18 is the largest power of ten in int64 */

static const PgwCurrency currencies[] = {
	{"AED", 784, 2}, {"AFN", 971, 2}, {"ALL", 8, 2},   {"AMD", 51, 2},  {"AOA", 973, 2},
	{"ARS", 32, 2},  {"AUD", 36, 2},  {"AWG", 533, 2}, {"AZN", 944, 2}, {"BAM", 977, 2},
	{"BBD", 52, 2},  {"BDT", 50, 2},  {"BHD", 48, 3},  {"BIF", 108, 0}, {"BMD", 60, 2},
	{"BND", 96, 2},  {"BOB", 68, 2},  {"BRL", 986, 2}, {"BSD", 44, 2},  {"BTN", 64, 2},
	{"BWP", 72, 2},  {"BYN", 933, 2}, {"BZD", 84, 2},  {"CAD", 124, 2}, {"CDF", 976, 2},
	{"CHF", 756, 2}, {"CLP", 152, 0}, {"CNY", 156, 2}, {"COP", 170, 2}, {"CRC", 188, 2},
	{"CUP", 192, 2}, {"CVE", 132, 2}, {"CZK", 203, 2}, {"DJF", 262, 0}, {"DKK", 208, 2},
	{"DOP", 214, 2}, {"DZD", 12, 2},  {"EGP", 818, 2}, {"ERN", 232, 2}, {"ETB", 230, 2},
	{"EUR", 978, 2}, {"FJD", 242, 2}, {"FKP", 238, 2}, {"GBP", 826, 2}, {"GEL", 981, 2},
	{"GHS", 936, 2}, {"GIP", 292, 2}, {"GMD", 270, 2}, {"GNF", 324, 0}, {"GTQ", 320, 2},
	{"GYD", 328, 2}, {"HKD", 344, 2}, {"HNL", 340, 2}, {"HTG", 332, 2}, {"HUF", 348, 2},
	{"IDR", 360, 2}, {"ILS", 376, 2}, {"INR", 356, 2}, {"IQD", 368, 3}, {"IRR", 364, 2},
	{"ISK", 352, 0}, {"JMD", 388, 2}, {"JOD", 400, 3}, {"JPY", 392, 0}, {"KES", 404, 2},
	{"KGS", 417, 2}, {"KHR", 116, 2}, {"KMF", 174, 0}, {"KPW", 408, 2}, {"KRW", 410, 0},
	{"KWD", 414, 3}, {"KYD", 136, 2}, {"KZT", 398, 2}, {"LAK", 418, 2}, {"LBP", 422, 2},
	{"LKR", 144, 2}, {"LRD", 430, 2}, {"LSL", 426, 2}, {"LYD", 434, 3}, {"MAD", 504, 2},
	{"MDL", 498, 2}, {"MGA", 969, 2}, {"MKD", 807, 2}, {"MMK", 104, 2}, {"MNT", 496, 2},
	{"MOP", 446, 2}, {"MRU", 929, 2}, {"MUR", 480, 2}, {"MVR", 462, 2}, {"MWK", 454, 2},
	{"MXN", 484, 2}, {"MYR", 458, 2}, {"MZN", 943, 2}, {"NAD", 516, 2}, {"NGN", 566, 2},
	{"NIO", 558, 2}, {"NOK", 578, 2}, {"NPR", 524, 2}, {"NZD", 554, 2}, {"OMR", 512, 3},
	{"PAB", 590, 2}, {"PEN", 604, 2}, {"PGK", 598, 2}, {"PHP", 608, 2}, {"PKR", 586, 2},
	{"PLN", 985, 2}, {"PYG", 600, 0}, {"QAR", 634, 2}, {"RON", 946, 2}, {"RSD", 941, 2},
	{"RUB", 643, 2}, {"RWF", 646, 0}, {"SAR", 682, 2}, {"SBD", 90, 2},  {"SCR", 690, 2},
	{"SDG", 938, 2}, {"SEK", 752, 2}, {"SGD", 702, 2}, {"SHP", 654, 2}, {"SLE", 925, 2},
	{"SOS", 706, 2}, {"SRD", 968, 2}, {"SSP", 728, 2}, {"STN", 930, 2}, {"SVC", 222, 2},
	{"SYP", 760, 2}, {"SZL", 748, 2}, {"THB", 764, 2}, {"TJS", 972, 2}, {"TMT", 934, 2},
	{"TND", 788, 3}, {"TOP", 776, 2}, {"TRY", 949, 2}, {"TTD", 780, 2}, {"TWD", 901, 2},
	{"TZS", 834, 2}, {"UAH", 980, 2}, {"UGX", 800, 0}, {"USD", 840, 2}, {"UYU", 858, 2},
	{"UZS", 860, 2}, {"VED", 926, 2}, {"VES", 928, 2}, {"VND", 704, 0}, {"VUV", 548, 0},
	{"WST", 882, 2}, {"XAF", 950, 0}, {"XCD", 951, 2}, {"XCG", 532, 2}, {"XOF", 952, 0},
	{"XPF", 953, 0}, {"YER", 886, 2}, {"ZAR", 710, 2}, {"ZMW", 967, 2}, {"ZWG", 924, 2},
};

static int
compare_code(const void *key, const void *entry)
{
	return strcmp((const char *) key, ((const PgwCurrency *) entry)->code);
}

const PgwCurrency *
pgw_currency_find(const char *code)
{
	if (code == NULL)
		return NULL;
	return bsearch(code, currencies, sizeof(currencies) / sizeof(currencies[0]),
				   sizeof(currencies[0]), compare_code);
}

const PgwCurrency *
pgw_currency_table(size_t *n)
{
	*n = sizeof(currencies) / sizeof(currencies[0]);
	return currencies;
}

static bool
exponent_ok(int exponent)
{
	return exponent >= 0 && exponent <= MAX_EXPONENT;
}

bool
pgw_money_rescale(int64_t amount, int from_exponent, int to_exponent, int64_t *result)
{
	if (!exponent_ok(from_exponent) || !exponent_ok(to_exponent))
		return false;
	for (; from_exponent < to_exponent; from_exponent++)
	{
		if (__builtin_mul_overflow(amount, INT64_C(10), &amount))
			return false;
	}
	for (; from_exponent > to_exponent; from_exponent--)
	{
		if (amount % 10 != 0)
			return false;
		amount /= 10;
	}
	*result = amount;
	return true;
}

bool
pgw_money_to_decimal(int64_t amount, int exponent, char *buf, size_t size)
{
	uint64_t magnitude = amount < 0 ? 0 - (uint64_t) amount : (uint64_t) amount;
	uint64_t unit = 1;
	const char *sign = amount < 0 ? "-" : "";
	int written;

	if (!exponent_ok(exponent))
		return false;
	for (int i = 0; i < exponent; i++)
		unit *= 10;
	if (exponent == 0)
		written = snprintf(buf, size, "%s%llu", sign, (unsigned long long) magnitude);
	else
		written =
			snprintf(buf, size, "%s%llu.%0*llu", sign, (unsigned long long) (magnitude / unit),
					 exponent, (unsigned long long) (magnitude % unit));
	return written > 0 && (size_t) written < size;
}

/*
 * Grammar: -?[0-9]+(\.[0-9]+)?  Digits beyond the exponent must be zeros.  The sum is kept
 * negative, because int64 reaches one further that way.
 */
bool
pgw_money_from_decimal(const char *text, int exponent, int64_t *result)
{
	const char *p = text;
	bool negative;
	int64_t value = 0;
	int decimals = 0;
	bool in_fraction = false;

	if (text == NULL || !exponent_ok(exponent))
		return false;
	negative = (*p == '-');
	if (negative)
		p++;
	if (*p < '0' || *p > '9')
		return false;
	for (; *p != '\0'; p++)
	{
		if (*p == '.')
		{
			if (in_fraction || p[1] < '0' || p[1] > '9')
				return false;
			in_fraction = true;
			continue;
		}
		if (*p < '0' || *p > '9')
			return false;
		if (in_fraction && decimals == exponent)
		{
			if (*p != '0')
				return false; /* not exact */
			continue;
		}
		if (in_fraction)
			decimals++;
		if (__builtin_mul_overflow(value, INT64_C(10), &value) ||
			__builtin_sub_overflow(value, (int64_t) (*p - '0'), &value))
			return false;
	}
	for (; decimals < exponent; decimals++)
	{
		if (__builtin_mul_overflow(value, INT64_C(10), &value))
			return false;
	}
	if (!negative && value == INT64_MIN)
		return false;
	*result = negative ? value : -value;
	return true;
}

/*
 * Kept negative for the same reason. Zeros after the point change nothing, whoever wrote them:
 * 4990.00 is what 49.90 * 100 gives in SQL.
 */
PgwAmountFault
pgw_money_from_numeric(const char *text, int64_t *result)
{
	bool negative = *text == '-';
	const char *digits = negative ? text + 1 : text;
	size_t n = strspn(digits, "0123456789");
	int64_t value = 0;

	if (n == 0)
		return PGW_AMOUNT_NO_NUMBER;
	if (digits[n] == '.')
	{
		const char *fraction = digits + n + 1;
		size_t zeros = strspn(fraction, "0");

		if (fraction[0] == '\0' || fraction[strspn(fraction, "0123456789")] != '\0')
			return PGW_AMOUNT_NO_NUMBER;
		if (fraction[zeros] != '\0')
			return PGW_AMOUNT_FRACTION;
	}
	else if (digits[n] != '\0')
		return PGW_AMOUNT_NO_NUMBER;

	for (size_t i = 0; i < n; i++)
	{
		if (__builtin_mul_overflow(value, INT64_C(10), &value) ||
			__builtin_sub_overflow(value, (int64_t) (digits[i] - '0'), &value))
			return PGW_AMOUNT_TOO_LARGE;
	}
	if (!negative && value == INT64_MIN)
		return PGW_AMOUNT_TOO_LARGE;
	*result = negative ? value : -value;
	return PGW_AMOUNT_OK;
}
