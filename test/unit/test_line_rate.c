/*
 * test_line_rate.c - how many lines of one cause a log gets
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/pacing/line_rate.h"
#include "random.h"

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define BEGIN (1000 * MINUTE)

static PgwLineRates rates;

static int
zeroed(void **state)
{
	(void) state;
	memset(&rates, 0, sizeof(rates));
	return 0;
}

/* A bank that fails ten times a second for an hour: so many lines, and each other one is counted.
 */
static void
an_hour(void **state)
{
	uint64_t written = 0;
	uint64_t told = 0;
	uint64_t more;

	(void) state;
	for (int i = 0; i < 36000; i++)
	{
		if (pgw_line_due(&rates, 7, BEGIN + i * SECOND / 10, &more))
		{
			written++;
			told += more;
			/* the first ten of a minute, and the first of them tells of the last minute */
			assert_true(i % 600 < PGW_LINES_A_MINUTE);
			assert_int_equal(more, i > 0 && i % 600 == 0 ? 590 : 0);
		}
	}
	assert_int_equal(written, 60 * PGW_LINES_A_MINUTE);
	assert_true(pgw_line_due(&rates, 7, BEGIN + 61 * MINUTE, &more));
	assert_int_equal(written + told + more, 36000);
}

/* One cause never silences another, also where both come at once. */
static void
others(void **state)
{
	uint64_t more;

	(void) state;
	for (int i = 0; i < 100; i++)
		(void) pgw_line_due(&rates, 11, BEGIN, &more);
	for (int i = 0; i < PGW_LINES_A_MINUTE; i++)
		assert_true(pgw_line_due(&rates, 2, BEGIN, &more));
	assert_false(pgw_line_due(&rates, 2, BEGIN, &more));
	assert_true(pgw_line_due(&rates, 0, BEGIN, &more)); /* as good a key as any */
}

/* Set back, it writes at once, and not when the clock is there again. */
static void
clock_set_back(void **state)
{
	uint64_t more;

	(void) state;
	for (int i = 0; i < 20; i++)
		(void) pgw_line_due(&rates, 1, BEGIN, &more);
	assert_false(pgw_line_due(&rates, 1, BEGIN + 59 * SECOND, &more));
	assert_true(pgw_line_due(&rates, 1, BEGIN - 100 * MINUTE, &more));
	assert_int_equal(more, 11);
}

/* More causes than there are places: all of them together get no more than all places do. */
static void
flood(void **state)
{
	uint64_t more;
	int written = 0;

	(void) state;
	for (int i = 0; i < 100000; i++)
		written += pgw_line_due(&rates, (uint64_t) i + 1, BEGIN, &more);
	assert_int_equal(written, PGW_LINE_CAUSES - 1 + PGW_LINES_A_MINUTE);
	/* ... and in the next minute there is room again */
	assert_true(pgw_line_due(&rates, 500000, BEGIN + MINUTE, &more));
	assert_true(pgw_line_due(&rates, 500001, BEGIN + MINUTE, &more));
}

/* Whatever comes, in whatever order: never more than so many of one cause in its minute. */
static void
random_causes(void **state)
{
	static int in_minute[200];
	static int64_t since[200];
	int64_t now = BEGIN;

	(void) state;
	seed = UINT64_C(0x2545F4914F6CDD1D);
	for (int i = 0; i < 200000; i++)
	{
		int cause = any(200);
		uint64_t more;

		now += any(40000);
		if (!pgw_line_due(&rates, (uint64_t) cause + 1, now, &more))
			continue;
		if (now - since[cause] >= MINUTE)
		{
			since[cause] = now;
			in_minute[cause] = 0;
		}
		in_minute[cause]++;
		/* a place that was lost and had again begins a minute of its own */
		assert_true(in_minute[cause] <= 2 * PGW_LINES_A_MINUTE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_hour, zeroed),        cmocka_unit_test_setup(others, zeroed),
		cmocka_unit_test_setup(clock_set_back, zeroed), cmocka_unit_test_setup(flood, zeroed),
		cmocka_unit_test_setup(random_causes, zeroed),
	};

	return cmocka_run_group_tests_name("line_rate", tests, NULL, NULL);
}
