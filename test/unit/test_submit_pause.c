/*
 * test_submit_pause.c - the pause of those who submit: when it begins, grows and ends, its bounds,
 * and that a worker keeps up with any number of clients
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cmocka_names.h"
#include "core/pacing/submit_pause.h"
#include "random.h"

#define LOOK PGW_PACE_LOOK_US

typedef struct Clock
{
	int64_t now;
	int64_t ran;
} Clock;

/* A turn that took so long, in which the worker ran for this part of it. */
static bool
turn(PgwPace *pace, Clock *clock, bool behind, int64_t took, int percent)
{
	clock->now += took;
	clock->ran += took / 100 * percent;
	return pgw_pace_turn(pace, behind, clock->now, clock->ran);
}

static PgwPace
paced(Clock *clock, int looks)
{
	PgwPace pace = {0};

	(void) turn(&pace, clock, true, LOOK, 50);
	for (int i = 0; i < looks; i++)
		(void) turn(&pace, clock, true, LOOK, 50);
	return pace;
}

static void
nobody_pauses_at_first(void **state)
{
	PgwPace pace = {0};
	Clock clock = {5, 3};

	assert_true(turn(&pace, &clock, true, LOOK, 0));
	assert_int_equal(pace.pause_us, 0);
}

static void
grows_while_the_worker_is_kept_from_running(void **state)
{
	static const int64_t want[] = {200, 300, 450, 675, 1012};
	Clock clock = {5, 3};
	PgwPace pace = paced(&clock, 0);

	for (int i = 0; i < 5; i++)
	{
		assert_true(turn(&pace, &clock, true, LOOK, 84));
		assert_int_equal(pace.pause_us, want[i]);
	}
}

static void
has_an_upper_bound(void **state)
{
	Clock clock = {5, 3};
	PgwPace pace = paced(&clock, 100);

	assert_int_equal(pace.pause_us, PGW_PACE_MOST_US);
}

static void
who_keeps_up_has_nobody_pause(void **state)
{
	Clock clock = {5, 3};
	PgwPace pace = paced(&clock, 0);

	for (int i = 0; i < 10; i++)
		(void) turn(&pace, &clock, false, LOOK, 10);
	assert_int_equal(pace.pause_us, 0);
}

/* It is as fast as it can be, and others' pauses would not make it faster. */
static void
a_worker_that_always_runs_has_nobody_pause(void **state)
{
	Clock clock = {5, 3};
	PgwPace pace = paced(&clock, 0);

	for (int i = 0; i < 10; i++)
		(void) turn(&pace, &clock, true, LOOK, 86);
	assert_int_equal(pace.pause_us, 0);
}

static void
shrinks_to_nothing(void **state)
{
	for (int over = 0; over < 2; over++)
	{
		Clock clock = {5, 3};
		PgwPace pace = paced(&clock, 20);
		int64_t before;

		assert_true(pace.pause_us > 10000);
		do
		{
			before = pace.pause_us;
			assert_true(over ? turn(&pace, &clock, false, LOOK, 50)
							 : turn(&pace, &clock, true, LOOK, 100));
			assert_true(pace.pause_us < before);
		} while (pace.pause_us > 0);
		assert_true(before < 2 * PGW_PACE_FIRST_US);
	}
}

/* A second without work is worth as much as all the looks that it was too long for. */
static void
is_forgotten_by_an_idle_worker(void **state)
{
	Clock clock = {5, 3};
	PgwPace pace = paced(&clock, 20);

	assert_true(turn(&pace, &clock, false, INT64_C(1000000), 0));
	assert_int_equal(pace.pause_us, 0);
}

static void
looks_now_and_then(void **state)
{
	Clock clock = {5, 3};
	PgwPace pace = paced(&clock, 0);

	for (int i = 0; i < 3; i++)
		assert_false(turn(&pace, &clock, true, LOOK / 4, 0));
	assert_int_equal(pace.pause_us, 0);
	assert_true(turn(&pace, &clock, true, LOOK / 4, 0));
	assert_int_equal(pace.pause_us, PGW_PACE_FIRST_US);
}

/* A burst that is over before the next look is none. */
static void
one_turn_that_keeps_up_counts(void **state)
{
	Clock clock = {5, 3};
	PgwPace pace = paced(&clock, 0);

	(void) turn(&pace, &clock, true, LOOK / 2, 0);
	(void) turn(&pace, &clock, false, LOOK / 4, 0);
	assert_true(turn(&pace, &clock, true, LOOK / 2, 0));
	assert_int_equal(pace.pause_us, 0);
}

static void
stays_within_its_bounds(void **state)
{
	PgwPace pace = {0};
	Clock clock = {5, 3};

	seed = 42;
	for (int i = 0; i < 100000; i++)
	{
		(void) turn(&pace, &clock, next_random() % 4 != 0, (int64_t) (next_random() % (3 * LOOK)),
					(int) (next_random() % 101));
		assert_true(pace.pause_us == 0 ||
					(pace.pause_us >= PGW_PACE_FIRST_US && pace.pause_us <= PGW_PACE_MOST_US));
	}
}

/* ---- with clients: two processors, 150 us of them for a payment on either side ---- */

#define COST 150.0
#define COMMIT 1000.0 /* a client waits for its commit */
#define BATCH 200.0

typedef struct Simulated
{
	PgwPace pace;
	double now;
	double ran;
	double waiting;
	double sent;
} Simulated;

/* How many processors the clients want when they pause for so long. */
static double
wanted(int clients, double pause)
{
	return clients * COST / (COST + COMMIT + pause);
}

/* The worker gets a processor as any of those who want one. */
static void
simulate_look(Simulated *s, int clients)
{
	double want = wanted(clients, (double) s->pace.pause_us);
	double share = want > 1 ? 2 / (want + 1) : 1;
	double could = share * LOOK / COST;
	double sent = could < s->waiting ? could : s->waiting;

	s->now += LOOK;
	s->ran += sent * COST;
	s->sent += sent;
	s->waiting += (want < 2 - share ? want : 2 - share) * LOOK / COST - sent;
	(void) pgw_pace_turn(&s->pace, s->waiting > BATCH, (int64_t) s->now, (int64_t) s->ran);
}

/* Whatever their number, the worker sends nearly what it can at best, or what comes without pauses.
 */
static void
the_worker_keeps_up(void **state)
{
	for (int clients = 1; clients <= 512; clients *= 2)
	{
		Simulated s = {.now = 1, .ran = 1};
		double best = 1500 * (wanted(clients, 0) < 1 ? wanted(clients, 0) : 1) * LOOK / COST;
		double before;

		for (int i = 0; i < 500; i++)
			simulate_look(&s, clients);
		before = s.sent;
		for (int i = 0; i < 1500; i++)
			simulate_look(&s, clients);
		assert_true(s.sent - before > 0.85 * best);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_pauses_at_first),
		cmocka_unit_test(grows_while_the_worker_is_kept_from_running),
		cmocka_unit_test(has_an_upper_bound),
		cmocka_unit_test(who_keeps_up_has_nobody_pause),
		cmocka_unit_test(a_worker_that_always_runs_has_nobody_pause),
		cmocka_unit_test(shrinks_to_nothing),
		cmocka_unit_test(is_forgotten_by_an_idle_worker),
		cmocka_unit_test(looks_now_and_then),
		cmocka_unit_test(one_turn_that_keeps_up_counts),
		cmocka_unit_test(stays_within_its_bounds),
		cmocka_unit_test(the_worker_keeps_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
