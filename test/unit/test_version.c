/*
 * test_version.c - which of two versions of the extension is the newer one
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/version.h"

static int
sign(int n)
{
	return (n > 0) - (n < 0);
}

/* Both ways round. */
static void
expect(const char *a, const char *b, int order)
{
	assert_int_equal(sign(pgw_version_compare(a, b)), order);
	assert_int_equal(sign(pgw_version_compare(b, a)), -order);
}

static void
test_numbers(void **state)
{
	expect("1.0", "1.0", 0);
	expect("1.0", "1.1", -1);
	expect("1.9", "1.10", -1);
	expect("2.0", "1.99", 1);
	expect("1.0", "1.0.1", -1);
	expect("1", "1.0", -1);
	expect("1.01", "1.1", 0);
	expect("1.0", "1.00", 0);
	/* longer than any integer */
	expect("1.99999999999999999999999998", "1.99999999999999999999999999", -1);
	expect("1.100000000000000000000000000", "1.99999999999999999999999999", 1);
}

static void
test_text(void **state)
{
	expect("", "", 0);
	expect("", "1.0", -1);
	expect("1.0", "1.0beta", -1);
	expect("1.0alpha", "1.0beta", -1);
	expect("1.1beta9", "1.1beta10", -1);
	expect("1.x", "1.1", 1);
	expect("\xff", "a", 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
