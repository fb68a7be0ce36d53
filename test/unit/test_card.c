/*
 * test_card.c - Luhn, brands, expiry to the second, CVV, and finding card numbers in text
 *
 * All numbers are the published test numbers of the schemes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/card.h"

static void
luhn(void **unused)
{
	char		number[] = "4111111111111111";

	(void) unused;
	assert_true(pgw_luhn_ok("79927398713", 11));	/* the example of the standard's annex */
	for (char d = '0'; d <= '9'; d++)
		assert_int_equal(pgw_luhn_ok((char[]) {'7', '9', '9', '2', '7', '3', '9', '8', '7', '1', d}, 11), d == '3');
	for (int i = 0; i < 16; i++)	/* every single wrong digit is found */
		for (char d = '0'; d <= '9'; d++)
		{
			char		keep = number[i];

			number[i] = d;
			assert_int_equal(pgw_luhn_ok(number, 16), d == keep);
			number[i] = keep;
		}
	assert_false(pgw_luhn_ok("", 0));
	assert_false(pgw_luhn_ok("4111 1111", 9));
	assert_true(pgw_luhn_ok("4111111111111111999", 16));	/* len rules, not NUL */
}

static void
brands(void **unused)
{
	static const struct
	{
		const char *number;
		PgwCardBrand brand;
		const char *name;
	}			cases[] = {
		{"4111111111111111", PGW_BRAND_VISA, "visa"}, {"4222222222222", PGW_BRAND_VISA, "visa"},
		{"411111111111111", PGW_BRAND_UNKNOWN, "unknown"}, {"5555555555554444", PGW_BRAND_MASTERCARD, "mastercard"},
		{"2221000000000009", PGW_BRAND_MASTERCARD, "mastercard"}, {"2720990000000007", PGW_BRAND_MASTERCARD, "mastercard"},
		{"2220990000000000", PGW_BRAND_UNKNOWN, "unknown"}, {"2721000000000000", PGW_BRAND_UNKNOWN, "unknown"},
		{"378282246310005", PGW_BRAND_AMEX, "amex"}, {"341111111111111", PGW_BRAND_AMEX, "amex"},
		{"6011111111111117", PGW_BRAND_DISCOVER, "discover"}, {"6445644564456445", PGW_BRAND_DISCOVER, "discover"},
		{"30569309025904", PGW_BRAND_DINERS, "diners"}, {"38520000023237", PGW_BRAND_DINERS, "diners"},
		{"36148900647913", PGW_BRAND_DINERS, "diners"}, {"3530111333300000", PGW_BRAND_JCB, "jcb"},
		{"6200000000000005", PGW_BRAND_UNIONPAY, "unionpay"}, {"6759649826438453", PGW_BRAND_MAESTRO, "maestro"},
		{"676770", PGW_BRAND_UNKNOWN, "unknown"}, {"501800000009", PGW_BRAND_MAESTRO, "maestro"},
		{"9999999999999995", PGW_BRAND_UNKNOWN, "unknown"}, {"41111111111111111111", PGW_BRAND_UNKNOWN, "unknown"},
		{"411111111111111x", PGW_BRAND_UNKNOWN, "unknown"},
	};

	(void) unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		PgwCardBrand b = pgw_card_brand(cases[i].number, strlen(cases[i].number));

		if (b != cases[i].brand)
			fail_msg("%s: %s", cases[i].number, pgw_card_brand_name(b));
		assert_string_equal(pgw_card_brand_name(b), cases[i].name);
	}
	assert_string_equal(pgw_card_brand_name((PgwCardBrand) 99), "unknown");
}

static void
expiry(void **unused)
{
	/* 2027-01-01 12:00:00 UTC is midnight in UTC-12 */
	const int64_t dec_end = INT64_C(1798804800);
	const int64_t feb28_end = INT64_C(1835524800);	/* 2028-03-01 12:00:00 UTC; 2028 has a 29th */

	(void) unused;
	assert_false(pgw_card_expired(12, 2026, dec_end - 1));
	assert_true(pgw_card_expired(12, 2026, dec_end));
	assert_false(pgw_card_expired(1, 2027, dec_end));
	assert_true(pgw_card_expired(11, 2026, dec_end - 1));
	assert_false(pgw_card_expired(2, 2028, feb28_end - 1));
	assert_true(pgw_card_expired(2, 2028, feb28_end));
	assert_false(pgw_card_expired(12, 2099, feb28_end));
	assert_false(pgw_card_expired(12, 1969, 12 * 3600 - 1));
	assert_true(pgw_card_expired(12, 1969, 12 * 3600));
	assert_true(pgw_card_expired(0, 2030, 0));
	assert_true(pgw_card_expired(13, 2030, 0));
	assert_true(pgw_card_expired(1, 0, 0));
}

static void
cvv(void **unused)
{
	(void) unused;
	assert_true(pgw_card_cvv_ok(PGW_BRAND_VISA, "123"));
	assert_false(pgw_card_cvv_ok(PGW_BRAND_VISA, "1234"));
	assert_true(pgw_card_cvv_ok(PGW_BRAND_AMEX, "1234"));
	assert_false(pgw_card_cvv_ok(PGW_BRAND_AMEX, "123"));
	assert_true(pgw_card_cvv_ok(PGW_BRAND_UNKNOWN, "123"));
	assert_true(pgw_card_cvv_ok(PGW_BRAND_UNKNOWN, "1234"));
	assert_false(pgw_card_cvv_ok(PGW_BRAND_UNKNOWN, "12345"));
	assert_false(pgw_card_cvv_ok(PGW_BRAND_UNKNOWN, "12"));
	assert_false(pgw_card_cvv_ok(PGW_BRAND_UNKNOWN, ""));
	assert_false(pgw_card_cvv_ok(PGW_BRAND_VISA, "12a"));
	assert_false(pgw_card_cvv_ok(PGW_BRAND_VISA, NULL));
}

static void
text_scan(void **unused)
{
	static const char *const yes[] = {
		"4111111111111111", "x4111111111111111y", "pay 4111 1111 1111 1111 now", "4111-1111-1111-1111", "378282246310005",
		"3782 822463 10005", "4222222222222", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "order 12: 5555555555554444",
		"4111 1111 1111 1111 12/30", "4111 1111 1111 1111 123", "2026-11-23 4111 1111 1111 1111", "4111111111111111 123",
		"4111111111111112, 4111111111111111", "550e8400-e29b-41d4-a716-446655440000 4111111111111111",
		"4111111111111111cafe", "30569309025904", "{\"n\":4111111111111111}",
	};
	static const char *const no[] = {
		"", "4111111111111112", "41111111111111111111", "411111111111", "4111  1111  1111  1111", "4111.1111.1111.1111",
		"9999999999999995", "order 20261123-0001", "1732360000000", "4111--1111-1111-1111",
		/* machine-made identifiers with a look-alike inside */
		"41111111-1111-1111-a716-446655440000", "a4111111-1111-1111-1000-aaaaaaaaaaaa",
		"a4111111111111111bcdefabcdefabcd", "4111111111111111AAAAAAAAAAAAAAAAAAAAAAAA",
		/* pieces of a list of small numbers */
		"9 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 9",
	};

	(void) unused;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
	{
		if (!pgw_text_has_card_number(yes[i], strlen(yes[i])))
			fail_msg("not found: %s", yes[i]);
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
	{
		if (pgw_text_has_card_number(no[i], strlen(no[i])))
			fail_msg("found: %s", no[i]);
	}
	assert_true(pgw_text_has_card_number("41111111111111119", 16));	/* len rules */
	assert_true(pgw_text_has_card_number("a\0" "4111111111111111", 18));
}

/* Random UUIDs are ids that callers use: none may be refused. */
static void
uuids_pass(void **unused)
{
	uint64_t	x = UINT64_C(0x9E3779B97F4A7C15);

	(void) unused;
	for (int i = 0; i < 500000; i++)
	{
		char		id[40];
		uint64_t	half[2];

		for (int h = 0; h < 2; h++)
		{
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			half[h] = x;
		}
		snprintf(id, sizeof(id), "%08x-%04x-4%03x-8%03x-%012llx", (unsigned) (half[0] >> 32), (unsigned) (half[0] >> 16) & 0xFFFF,
				 (unsigned) half[0] & 0xFFF, (unsigned) (half[1] >> 48) & 0xFFF,
				 (unsigned long long) (half[1] & UINT64_C(0xFFFFFFFFFFFF)));
		if (pgw_text_has_card_number(id, strlen(id)))
			fail_msg("%s", id);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(luhn),
		cmocka_unit_test(brands),
		cmocka_unit_test(expiry),
		cmocka_unit_test(cvv),
		cmocka_unit_test(text_scan),
		cmocka_unit_test(uuids_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
