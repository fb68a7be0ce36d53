/*
 * test_money.c - currencies against iso4217.tsv (made apart from the table), and exact conversions
 * at their limits
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/money.h"

static void
currencies(void **unused)
{
	const char *dir = getenv("PGW_SRCDIR");
	char path[1024];
	char line[256];
	size_t n;
	size_t row = 0;
	const PgwCurrency *t = pgw_currency_table(&n);
	FILE *f;

	(void) unused;
	snprintf(path, sizeof(path), "%s/test/unit/iso4217.tsv", dir ? dir : ".");
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
	{
		char code[4];
		int numeric;
		int exponent;
		const PgwCurrency *c;

		if (line[0] == '#')
			continue;
		assert_int_equal(sscanf(line, "%3s\t%d\t%d", code, &numeric, &exponent), 3);
		c = pgw_currency_find(code);
		if (c == NULL)
			fail_msg("%s is missing", code);
		assert_int_equal(c->numeric, numeric);
		assert_int_equal(c->exponent, exponent);
		assert_true(row < n);
		assert_ptr_equal(c, &t[row]); /* both in order */
		row++;
	}
	fclose(f);
	assert_int_equal(row, n);
}

static void
not_currencies(void **unused)
{
	static const char *const bad[] = {"",     "E",   "EU",  "eur", "EURO",
									  "EUR ", "XXX", "XTS", "XAU", "CLF",
									  "BOV",  "HRK", "ANG", "BGN", "\xff\xff\xff"};

	(void) unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(pgw_currency_find(bad[i]));
	assert_null(pgw_currency_find(NULL));
}

static void
rescale(void **unused)
{
	int64_t r = -7;

	(void) unused;
	assert_true(pgw_money_rescale(1234, 2, 2, &r) && r == 1234);
	assert_true(pgw_money_rescale(1234, 2, 3, &r) && r == 12340);
	assert_true(pgw_money_rescale(12340, 3, 2, &r) && r == 1234);
	assert_true(pgw_money_rescale(-500, 2, 0, &r) && r == -5);
	assert_true(pgw_money_rescale(0, 0, 18, &r) && r == 0);
	assert_true(pgw_money_rescale(9, 0, 18, &r) && r == INT64_C(9000000000000000000));
	r = -7;
	assert_false(pgw_money_rescale(12345, 3, 2, &r));
	assert_false(pgw_money_rescale(10, 0, 18, &r));
	assert_false(pgw_money_rescale(INT64_MAX, 2, 3, &r));
	assert_false(pgw_money_rescale(INT64_MIN, 2, 3, &r));
	assert_false(pgw_money_rescale(1, -1, 2, &r));
	assert_false(pgw_money_rescale(1, 2, 19, &r));
	assert_int_equal(r, -7); /* left alone on failure */
}

static void
decimal_out(void **unused)
{
	static const struct
	{
		int64_t amount;
		int exponent;
		const char *text;
	} cases[] = {
		{1234, 2, "12.34"},
		{5, 2, "0.05"},
		{0, 2, "0.00"},
		{0, 0, "0"},
		{77, 0, "77"},
		{-5, 3, "-0.005"},
		{100, 2, "1.00"},
		{INT64_MAX, 2, "92233720368547758.07"},
		{INT64_MIN, 0, "-9223372036854775808"},
		{INT64_MIN, 18, "-9.223372036854775808"},
	};

	(void) unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char buf[32];
		int64_t back;

		assert_true(pgw_money_to_decimal(cases[i].amount, cases[i].exponent, buf, sizeof(buf)));
		assert_string_equal(buf, cases[i].text);
		assert_true(pgw_money_to_decimal(cases[i].amount, cases[i].exponent, buf,
										 strlen(cases[i].text) + 1));
		assert_false(
			pgw_money_to_decimal(cases[i].amount, cases[i].exponent, buf, strlen(cases[i].text)));
		assert_true(pgw_money_from_decimal(cases[i].text, cases[i].exponent, &back));
		assert_true(back == cases[i].amount);
	}
	assert_false(pgw_money_to_decimal(1, 19, (char[32]){0}, 32));
	assert_false(pgw_money_to_decimal(1, -1, (char[32]){0}, 32));
}

static void
decimal_in(void **unused)
{
	static const char *const bad[] = {"",
									  "-",
									  ".",
									  "1.",
									  ".5",
									  "+1",
									  " 1",
									  "1 ",
									  "1e2",
									  "0x1",
									  "1,5",
									  "1.2.3",
									  "--1",
									  "12.345",
									  "nan",
									  "inf",
									  "1.-2",
									  "92233720368547758.08",
									  "99999999999999999999",
									  "-92233720368547758.09",
									  "\xd9\xa1"};
	int64_t r = -7;

	(void) unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		if (pgw_money_from_decimal(bad[i], 2, &r))
			fail_msg("\"%s\" was taken", bad[i]);
	}
	assert_false(pgw_money_from_decimal(NULL, 2, &r));
	assert_false(pgw_money_from_decimal("1", 19, &r));
	assert_int_equal(r, -7);
	assert_true(pgw_money_from_decimal("12.34", 2, &r) && r == 1234);
	assert_true(pgw_money_from_decimal("12.3", 2, &r) && r == 1230);
	assert_true(pgw_money_from_decimal("12", 2, &r) && r == 1200);
	assert_true(pgw_money_from_decimal("12.3400000000000000000000000", 2, &r) && r == 1234);
	assert_true(pgw_money_from_decimal("7.00", 0, &r) && r == 7);
	assert_true(pgw_money_from_decimal("007", 0, &r) && r == 7);
	assert_true(pgw_money_from_decimal("-0.01", 2, &r) && r == -1);
	assert_true(pgw_money_from_decimal("-92233720368547758.08", 2, &r) && r == INT64_MIN);
	assert_true(pgw_money_from_decimal("92233720368547758.07", 2, &r) && r == INT64_MAX);
}

/* What PostgreSQL writes for a numeric. */
static void
whole(void **unused)
{
	static const struct
	{
		const char *text;
		PgwAmountFault want;
		int64_t value;
	} cases[] = {
		{"4990", PGW_AMOUNT_OK, 4990},
		{"0", PGW_AMOUNT_OK, 0},
		{"-5", PGW_AMOUNT_OK, -5},
		{"4990.00", PGW_AMOUNT_OK, 4990},
		{"9223372036854775807", PGW_AMOUNT_OK, INT64_MAX},
		{"9223372036854775807.000", PGW_AMOUNT_OK, INT64_MAX},
		{"-9223372036854775808", PGW_AMOUNT_OK, INT64_MIN},
		{"9223372036854775808", PGW_AMOUNT_TOO_LARGE, 0},
		{"-9223372036854775809", PGW_AMOUNT_TOO_LARGE, 0},
		{"100000000000000000000000000000000000000000", PGW_AMOUNT_TOO_LARGE, 0},
		{"49.90", PGW_AMOUNT_FRACTION, 0},
		{"0.5", PGW_AMOUNT_FRACTION, 0},
		{"-49.90", PGW_AMOUNT_FRACTION, 0},
		{"4990.0000000000000000000000000000000001", PGW_AMOUNT_FRACTION, 0},
		{"99999999999999999999.5", PGW_AMOUNT_FRACTION, 0},
		{"NaN", PGW_AMOUNT_NO_NUMBER, 0},
		{"Infinity", PGW_AMOUNT_NO_NUMBER, 0},
		{"-Infinity", PGW_AMOUNT_NO_NUMBER, 0},
		{"", PGW_AMOUNT_NO_NUMBER, 0},
		{"-", PGW_AMOUNT_NO_NUMBER, 0},
		{"1e3", PGW_AMOUNT_NO_NUMBER, 0},
		{".5", PGW_AMOUNT_NO_NUMBER, 0},
		{"1.5x", PGW_AMOUNT_NO_NUMBER, 0},
		{"1.0.0", PGW_AMOUNT_NO_NUMBER, 0},
		{"1.", PGW_AMOUNT_NO_NUMBER, 0},
		{" 1", PGW_AMOUNT_NO_NUMBER, 0},
	};

	(void) unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		int64_t value = -7;
		PgwAmountFault got = pgw_money_from_numeric(cases[i].text, &value);

		if (got != cases[i].want || value != (got == PGW_AMOUNT_OK ? cases[i].value : -7))
			fail_msg("\"%s\": %d, %lld", cases[i].text, got, (long long) value);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(currencies),  cmocka_unit_test(not_currencies), cmocka_unit_test(rescale),
		cmocka_unit_test(decimal_out), cmocka_unit_test(decimal_in),     cmocka_unit_test(whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
