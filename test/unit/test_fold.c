/*
 * test_fold.c - histories that lead to a state, and each way in which one does not
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/state/state_from_events.h"

#define LENGTH(a) ((int) (sizeof(a) / sizeof(a[0])))

/* The decline: its last two events stand on one edge. */
#define DECLINE \
	{1, PGW_EV_TRANSACTION_STARTED, PGW_STATE_NONE, PGW_CREATED, 7}, \
		{2, PGW_EV_BANK_PROCESSING_STARTED, PGW_CREATED, PGW_CREATED, 7}, \
		{3, PGW_EV_BANK_PROCESSING_FAILED, PGW_CREATED, PGW_FAILED, 8}, \
	{ \
		4, PGW_EV_TRANSACTION_FAILED, PGW_CREATED, PGW_FAILED, 8 \
	}

static void
expect(const PgwFoldEvent *events, int n, PgwFoldFault fault, int step, int index)
{
	PgwState state;
	int at;
	int found;

	assert_int_equal(pgw_fold(PGW_KIND_PAYMENT, events, n, &state, &at, &found), fault);
	assert_int_equal(at, step);
	assert_int_equal(found, index);
}

static void
sound(void **unused)
{
	static const PgwFoldEvent decline[] = {DECLINE};
	static const int states[] = {PGW_CREATED, PGW_CREATED, PGW_FAILED, PGW_FAILED};
	PgwState state;
	int step;
	int index;

	(void) unused;
	for (int n = 1; n <= LENGTH(decline); n++)
	{
		for (int kind = 0; kind < PGW_NKINDS; kind++)
		{
			assert_int_equal(pgw_fold((PgwKind) kind, decline, n, &state, &step, &index),
							 PGW_FOLD_SOUND);
			assert_int_equal(state, states[n - 1]);
		}
	}
}

static void
gaps(void **unused)
{
	PgwFoldEvent e[] = {DECLINE};

	(void) unused;
	expect(e, 0, PGW_FOLD_GAP, 1, 0);
	e[0].step = 2;
	expect(e, 4, PGW_FOLD_GAP, 1, 0);
	e[0].step = 1;
	e[3].step = 5;
	expect(e, 4, PGW_FOLD_GAP, 4, 3);
	e[3].step = 3; /* twice */
	expect(e, 4, PGW_FOLD_GAP, 4, 3);
}

static void
illegal(void **unused)
{
	static const PgwFoldEvent decline[] = {DECLINE};
	PgwFoldEvent e[LENGTH(decline)];

#define WITH(i, member, value) \
	for (int k = 0; k < LENGTH(decline); k++) \
		e[k] = decline[k]; \
	e[i].member = value; \
	expect(e, LENGTH(decline), PGW_FOLD_ILLEGAL, (i) + 1, i)

	(void) unused;
	WITH(0, from, PGW_CREATED); /* does not start from nothing */
	WITH(0, type, PGW_EV_BANK_PROCESSING_STARTED);
	WITH(1, from, PGW_STATE_NONE);                   /* starts twice */
	WITH(2, type, PGW_EV_BANK_PROCESSING_COMPLETED); /* another edge's event */
	WITH(2, to, PGW_BANK_APPROVED);
	WITH(3, txid, 9);                /* a group of events is of one commit */
	WITH(3, from, PGW_BANK_UNKNOWN); /* a legal edge, but not from here */
	WITH(1, type, PGW_FOLD_STRANGE);
	WITH(1, to, PGW_FOLD_STRANGE);
	WITH(1, from, PGW_FOLD_STRANGE);
#undef WITH

	for (int k = 0; k < LENGTH(decline); k++)
		e[k] = decline[k];
	e[1] = e[0];
	e[1].step = 2;
	expect(e, 2, PGW_FOLD_ILLEGAL, 2, 1); /* not even in one commit */
}

static void
kinds(void **unused)
{
	static const PgwFoldEvent late[] = {
		DECLINE, {5, PGW_EV_LATE_APPROVAL_RECEIVED, PGW_FAILED, PGW_REFUNDING, 9}};
	PgwState state;
	int step;
	int index;

	(void) unused;
	assert_int_equal(pgw_fold(PGW_KIND_PAYMENT, late, 5, &state, &step, &index), PGW_FOLD_SOUND);
	assert_int_equal(state, PGW_REFUNDING);
	assert_int_equal(pgw_fold(PGW_KIND_REFUND, late, 5, &state, &step, &index), PGW_FOLD_ILLEGAL);
	assert_int_equal(step, 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound),
		cmocka_unit_test(gaps),
		cmocka_unit_test(illegal),
		cmocka_unit_test(kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
