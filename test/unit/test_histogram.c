/*
 * test_histogram.c - quantiles of durations are told with at most 10 % error
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdbool.h>
#include <cmocka.h>

#include "core/base/histogram.h"

static bool
near(double told_s, double exact_us)
{
	return told_s * 1e6 <= exact_us * 1.1 && told_s * 1e6 >= exact_us * 0.9;
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *) a;
	int64_t y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

static void
buckets_grow(void **state)
{
	int last = 0;

	assert_int_equal(pgw_histogram_bucket(0), 0);
	assert_int_equal(pgw_histogram_bucket(-5), 0);
	assert_int_equal(pgw_histogram_bucket(99), 0);
	assert_int_equal(pgw_histogram_bucket(100), 1);
	for (int64_t us = 100; us < INT64_C(1) << 50; us += 1 + us / 50)
	{
		int b = pgw_histogram_bucket(us);

		assert_true(b >= last && b < PGW_HISTOGRAM_BUCKETS);
		last = b;
	}
	assert_int_equal(last, PGW_HISTOGRAM_BUCKETS - 1);
	assert_int_equal(pgw_histogram_bucket(INT64_MAX), PGW_HISTOGRAM_BUCKETS - 1);
}

static void
each_value_within_ten_percent(void **state)
{
	for (int64_t us = 100; us < INT64_C(3) * 24 * 3600 * 1000000; us += 1 + us / 97)
	{
		uint64_t counts[PGW_HISTOGRAM_BUCKETS] = {0};

		counts[pgw_histogram_bucket(us)]++;
		assert_true(near(pgw_histogram_quantile(counts, 0.5), us));
	}
}

static void
quantiles_of_a_known_set(void **state)
{
	static int64_t values[10000];
	uint64_t counts[PGW_HISTOGRAM_BUCKETS] = {0};
	const double qs[] = {0.01, 0.5, 0.95, 0.99, 1.0};

	srandom(7);
	for (int i = 0; i < 10000; i++)
	{
		/* 0.2 ms to 26 s, about as many in each doubling */
		values[i] = (INT64_C(200) << (random() % 17)) + random() % 200;
		counts[pgw_histogram_bucket(values[i])]++;
	}
	qsort(values, 10000, sizeof(int64_t), compare);
	for (size_t i = 0; i < sizeof(qs) / sizeof(qs[0]); i++)
	{
		double exact = values[(int) (qs[i] * 10000 + 0.5) - 1];

		assert_true(near(pgw_histogram_quantile(counts, qs[i]), exact));
	}
}

static void
nothing_counted(void **state)
{
	uint64_t counts[PGW_HISTOGRAM_BUCKETS] = {0};

	assert_true(pgw_histogram_quantile(counts, 0.5) < 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_grow),
		cmocka_unit_test(each_value_within_ten_percent),
		cmocka_unit_test(quantiles_of_a_known_set),
		cmocka_unit_test(nothing_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
