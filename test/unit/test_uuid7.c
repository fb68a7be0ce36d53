/*
 * test_uuid7.c - order under a clock that stands still, jumps and steps back; form; text in and out
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/uuid7.h"

/* RFC 9562 appendix A.6 */
static const char *const rfc = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";

static void
rfc_example(void **unused)
{
	uint8_t u[16];
	char text[37];
	char hex[33];

	(void) unused;
	assert_true(pgw_uuid_from_text(rfc, u));
	assert_true(pgw_uuid7_unix_ms(u) == UINT64_C(1645557742000));
	pgw_uuid_to_text(u, text);
	assert_string_equal(text, rfc);
	pgw_uuid_to_hex32(u, hex);
	assert_string_equal(hex, "017f22e279b07cc398c4dc0c0c07398f");
}

static void
text_forms(void **unused)
{
	static const char *const bad[] = {"",
									  "017f22e2",
									  "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
									  "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
									  "017f22e279b0-7cc3-98c4-dc0c0c07398f0",
									  "{017f22e279b07cc398c4dc0c0c07398}",
									  "017f22e2-79b0-7cc3-98c4-dc0c0c07398f ",
									  "017f22e2079b007cc3098c40dc0c0c07398f",
									  "-17f22e279b07cc398c4dc0c0c07398f"};
	uint8_t u[16];
	uint8_t v[16];

	(void) unused;
	memset(u, 0xAA, 16);
	memset(v, 0xAA, 16);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(pgw_uuid_from_text(bad[i], u));
	assert_false(pgw_uuid_from_text(NULL, u));
	assert_memory_equal(u, v, 16); /* left alone on failure */
	assert_true(pgw_uuid_from_text("017F22E2-79B0-7CC3-98C4-DC0C0C07398F", u));
	assert_true(pgw_uuid_from_text("017f22e279b07cc398c4dc0c0c07398f", v));
	assert_memory_equal(u, v, 16);
}

static void
strictly_increasing(void **unused)
{
	PgwUuid7Gen gen = {0};
	uint8_t last[16] = {0};
	uint64_t x = 88172645463325252u;
	uint64_t now = UINT64_C(1800000000000);

	(void) unused;
	for (int i = 0; i < 200000; i++)
	{
		uint8_t rnd[10];
		uint8_t u[16];

		for (int k = 0; k < 10; k++)
		{
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			rnd[k] = (uint8_t) x;
		}
		if (i % 10000 == 9999)
			now -= 50; /* a step back */
		else if (i % 6000 == 0)
			now += 3;
		pgw_uuid7_make(&gen, now, rnd, u);
		assert_true(memcmp(last, u, 16) < 0);
		assert_int_equal(u[6] >> 4, 7);
		assert_int_equal(u[8] >> 6, 2);
		assert_memory_equal(u + 9, rnd + 3, 7);
		memcpy(last, u, 16);
	}
}

static void
time_and_overflow(void **unused)
{
	PgwUuid7Gen gen = {0};
	uint8_t rnd[10];
	uint8_t u[16];

	(void) unused;
	memset(rnd, 0xFF, sizeof(rnd));
	pgw_uuid7_make(&gen, 1000, rnd, u);
	assert_true(pgw_uuid7_unix_ms(u) == 1000);
	assert_int_equal(gen.counter, 0x7FF); /* top bit clear */
	for (int i = 0; i < 2048; i++)
		pgw_uuid7_make(&gen, 1000, rnd, u);
	assert_true(pgw_uuid7_unix_ms(u) == 1000);
	assert_int_equal(gen.counter, 0xFFF);
	pgw_uuid7_make(&gen, 1000, rnd, u); /* full: borrows the next millisecond */
	assert_true(pgw_uuid7_unix_ms(u) == 1001);
	pgw_uuid7_make(&gen, 5000, rnd, u);
	assert_true(pgw_uuid7_unix_ms(u) == 5000);
	pgw_uuid7_make(&gen, UINT64_C(0xFFFFFFFFFFFF), rnd, u);
	assert_true(pgw_uuid7_unix_ms(u) == UINT64_C(0xFFFFFFFFFFFF));
	pgw_uuid7_first_of(UINT64_C(0x1000000000005),
					   u); /* later than any id: it does not begin anew */
	assert_true(pgw_uuid7_unix_ms(u) == UINT64_C(0xFFFFFFFFFFFF));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_example),
		cmocka_unit_test(text_forms),
		cmocka_unit_test(strictly_increasing),
		cmocka_unit_test(time_and_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
