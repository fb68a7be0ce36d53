/*
 * test_histogram.c - each duration is counted under the first bound that is not less, and the
 * bounds are told as they are
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdbool.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/histogram.h"

#define LAST (PGW_HISTOGRAM_BUCKETS - 1)

/* The bound in microseconds, read from its text; exact, as the text has at most three decimals. */
static int64_t
bound_us(int bucket)
{
	return (int64_t) (strtod(pgw_histogram_bound(bucket), NULL) * 1e6 + 0.5);
}

static void
bounds_grow(void **state)
{
	for (int i = 1; i < LAST; i++)
		assert_true(bound_us(i) > bound_us(i - 1));
	assert_string_equal(pgw_histogram_bound(LAST), "+Inf");
}

/* What is exactly a bound's is counted there: `le` says less or equal. */
static void
counted_under_its_bound(void **state)
{
	for (int i = 0; i < LAST; i++)
	{
		assert_int_equal(pgw_histogram_bucket(bound_us(i) - 1), i);
		assert_int_equal(pgw_histogram_bucket(bound_us(i)), i);
		assert_int_equal(pgw_histogram_bucket(bound_us(i) + 1), i + 1);
	}
}

static void
extremes(void **state)
{
	assert_int_equal(pgw_histogram_bucket(0), 0);
	assert_int_equal(pgw_histogram_bucket(-5), 0);
	assert_int_equal(pgw_histogram_bucket(INT64_MIN), 0);
	assert_int_equal(pgw_histogram_bucket(INT64_MAX), LAST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bounds_grow),
		cmocka_unit_test(counted_under_its_bound),
		cmocka_unit_test(extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
