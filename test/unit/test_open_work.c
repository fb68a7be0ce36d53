/*
 * test_open_work.c - which attempts stand in pgw.open_work: every combination of what counts
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/state/open_work_rules.h"

static PgwOpenWorkFacts
facts(PgwState state, unsigned bits)
{
	PgwOpenWorkFacts f = {.state = state,
						  .live = bits & 1,
						  .submitted = bits & 2,
						  .has_next_step = bits & 4,
						  .put_off = bits & 8,
						  .below_mark = bits & 16};

	return f;
}

/* Only what is over has no row and is not found by the mark either. */
static void
nothing_open_is_lost(void **state)
{
	for (int s = 0; s < PGW_NSTATES; s++)
	{
		for (unsigned bits = 0; bits < 32; bits++)
		{
			PgwOpenWorkFacts f = facts((PgwState) s, bits);
			bool open =
				f.has_next_step || (s != PGW_COMPLETED && s != PGW_FAILED && s != PGW_REFUNDED);

			assert_int_equal(pgw_attempt_is_open(f.state, f.has_next_step), open);
			if (!open)
				assert_false(pgw_open_work_has(&f));
			else if (f.below_mark)
				assert_true(pgw_open_work_has(&f));
		}
	}
}

/* A payment that goes well, by a caller or submitted, needs none once the worker has it. */
static void
the_normal_path_needs_none(void **state)
{
	static const PgwState path[] = {PGW_CREATED, PGW_BANK_APPROVED, PGW_SAVED, PGW_COMPLETED};

	for (int i = 0; i < 4; i++)
	{
		PgwOpenWorkFacts f = facts(path[i], 1);

		assert_false(pgw_open_work_has(&f));
		f.submitted = true;
		assert_false(pgw_open_work_has(&f));
	}
}

/* What somebody has to come back to has one at once. */
static void
exceptions_have_one(void **state)
{
	static const PgwState beyond[] = {PGW_REFUNDING, PGW_REQUIRES_MANUAL_REVIEW, PGW_BANK_UNKNOWN};
	PgwOpenWorkFacts f;

	for (int i = 0; i < 3; i++)
	{
		f = facts(beyond[i], 1);
		assert_true(pgw_open_work_has(&f));
		f.live = false; /* it has turned up late */
		assert_true(pgw_open_work_has(&f));
	}
	f = facts(PGW_CREATED, 2); /* submitted, and waits */
	assert_true(pgw_open_work_has(&f));
	for (int s = 0; s < PGW_NSTATES; s++)
	{
		f = facts((PgwState) s, 1 | 4); /* due later: another try, a watch, a capture's end */
		assert_true(pgw_open_work_has(&f));
	}
	f = facts(PGW_CREATED, 1 | 8);
	assert_true(pgw_open_work_has(&f));
}

static void
begun_and_left_to_the_caller(void **state)
{
	assert_false(pgw_open_work_begun(PGW_CREATED, false));
	assert_true(pgw_open_work_begun(PGW_CREATED, true));
	assert_true(pgw_open_work_begun(PGW_REFUNDING, false));
	for (int s = 0; s < PGW_NSTATES; s++)
	{
		assert_false(pgw_open_work_left_to_caller((PgwState) s, true));
		assert_int_equal(pgw_open_work_left_to_caller((PgwState) s, false), s == PGW_BANK_APPROVED);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_open_is_lost),
		cmocka_unit_test(the_normal_path_needs_none),
		cmocka_unit_test(exceptions_have_one),
		cmocka_unit_test(begun_and_left_to_the_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
