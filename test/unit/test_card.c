/*
 * test_card.c - Luhn, brands, expiry to the second, CVV
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

#include "core/card/card_checks.h"

static void
luhn(void **unused)
{
	char number[] = "4111111111111111";

	(void) unused;
	assert_true(pgw_luhn_ok("79927398713", 11)); /* the example of the standard's annex */
	for (char d = '0'; d <= '9'; d++)
		assert_int_equal(
			pgw_luhn_ok((char[]){'7', '9', '9', '2', '7', '3', '9', '8', '7', '1', d}, 11),
			d == '3');
	for (int i = 0; i < 16; i++) /* every single wrong digit is found */
		for (char d = '0'; d <= '9'; d++)
		{
			char keep = number[i];

			number[i] = d;
			assert_int_equal(pgw_luhn_ok(number, 16), d == keep);
			number[i] = keep;
		}
	assert_false(pgw_luhn_ok("", 0));
	assert_false(pgw_luhn_ok("4111 1111", 9));
	assert_true(pgw_luhn_ok("4111111111111111999", 16)); /* len rules, not NUL */
}

static void
brands(void **unused)
{
	static const struct
	{
		const char *number;
		PgwCardBrand brand;
		const char *name;
	} cases[] = {
		{"4111111111111111", PGW_BRAND_VISA, "visa"},
		{"4222222222222", PGW_BRAND_VISA, "visa"},
		{"411111111111111", PGW_BRAND_UNKNOWN, "unknown"},
		{"5555555555554444", PGW_BRAND_MASTERCARD, "mastercard"},
		{"2221000000000009", PGW_BRAND_MASTERCARD, "mastercard"},
		{"2720990000000007", PGW_BRAND_MASTERCARD, "mastercard"},
		{"2220990000000000", PGW_BRAND_UNKNOWN, "unknown"},
		{"2721000000000000", PGW_BRAND_UNKNOWN, "unknown"},
		{"378282246310005", PGW_BRAND_AMEX, "amex"},
		{"341111111111111", PGW_BRAND_AMEX, "amex"},
		{"6011111111111117", PGW_BRAND_DISCOVER, "discover"},
		{"6445644564456445", PGW_BRAND_DISCOVER, "discover"},
		{"30569309025904", PGW_BRAND_DINERS, "diners"},
		{"38520000023237", PGW_BRAND_DINERS, "diners"},
		{"36148900647913", PGW_BRAND_DINERS, "diners"},
		{"3530111333300000", PGW_BRAND_JCB, "jcb"},
		{"6200000000000005", PGW_BRAND_UNIONPAY, "unionpay"},
		{"6759649826438453", PGW_BRAND_MAESTRO, "maestro"},
		{"676770", PGW_BRAND_UNKNOWN, "unknown"},
		{"501800000009", PGW_BRAND_MAESTRO, "maestro"},
		{"9999999999999995", PGW_BRAND_UNKNOWN, "unknown"},
		{"41111111111111111111", PGW_BRAND_UNKNOWN, "unknown"},
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
	/* 2028-03-01 12:00:00 UTC; 2028 has a 29th */
	const int64_t feb28_end = INT64_C(1835524800);

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

/* Lengths that are about, not all that schemes allow. */
static void
look_alikes(void **unused)
{
	(void) unused;
	assert_true(pgw_card_look_alike("4111111111111111", 16));
	assert_true(pgw_card_look_alike("378282246310005", 15));
	assert_true(pgw_card_look_alike("30569309025904", 14));
	assert_true(pgw_card_look_alike("2201382000000013", 16)); /* Mir */
	assert_int_equal(pgw_card_brand("2201382000000013", 16), PGW_BRAND_UNKNOWN);
	assert_false(pgw_card_look_alike("2205382000000019", 16));
	assert_false(pgw_card_look_alike("4111111111111112", 16));
	assert_false(pgw_card_look_alike("4222222222222", 13));
	assert_false(pgw_card_look_alike("9999999999999995", 16));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(luhn), cmocka_unit_test(brands),      cmocka_unit_test(expiry),
		cmocka_unit_test(cvv),  cmocka_unit_test(look_alikes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
