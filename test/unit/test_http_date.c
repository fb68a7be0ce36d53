/*
 * test_http_date.c - what a Date in a bank's answer says of its clock
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/bank_message/http_date.h"

#define THEN "Sun, 06 Nov 1994 08:49:37 GMT"
#define THEN_S 784111777

static void
test_read(void **state)
{
	(void) state;
	assert_int_equal(pgw_http_date_read(THEN), THEN_S);
	assert_int_equal(pgw_http_date_read(NULL), -1);
	assert_int_equal(pgw_http_date_read(""), -1);
	assert_int_equal(pgw_http_date_read("Sunday, 06-Nov-94 08:49:37 GMT"), -1);
	assert_int_equal(pgw_http_date_read(THEN "T"), -1);
}

static int64_t
ahead(int64_t now_s, int64_t took_ms)
{
	int64_t s = 12345;

	assert_true(pgw_clock_ahead(THEN, now_s, took_ms, &s));
	return s;
}

static void
test_clock(void **state)
{
	int64_t s;

	(void) state;
	assert_int_equal(ahead(THEN_S, 0), 0);
	/* whole seconds only */
	assert_int_equal(ahead(THEN_S + 1, 10), 0);
	assert_int_equal(ahead(THEN_S - 1, 10), 0);
	assert_int_equal(ahead(THEN_S + 2, 10), -1);
	assert_int_equal(ahead(THEN_S - 2, 10), 1);
	/* written at any time while we waited for the answer */
	assert_int_equal(ahead(THEN_S + 40, 45000), 0);
	assert_int_equal(ahead(THEN_S + 100, 45000), -54);
	assert_int_equal(ahead(THEN_S - 3600, 200), 3599);
	assert_false(pgw_clock_ahead("yesterday", THEN_S, 0, &s));
	assert_false(pgw_clock_ahead(NULL, THEN_S, 0, &s));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
