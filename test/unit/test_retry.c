/*
 * test_retry.c - back-off and retry budget: planned values, bounds, and what must hold for any
 * input
 */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cmocka_names.h"
#include "core/pacing/bank_share.h"
#include "core/pacing/retry_budget.h"
#include "core/pacing/retry_delay.h"
#include "random.h"

#define MIDDLE 0.5 /* no jitter */
#define HIGHEST (1.0 - DBL_EPSILON / 2)
#define HOUR INT64_C(3600000)
#define DAY INT64_C(86400000)

static const double randoms[] = {0, 0.25, MIDDLE, 0.75, HIGHEST};

/* Small and huge numbers alike, negative ones too. */
static int64_t
any_number(void)
{
	int64_t n = (int64_t) (next_random() >> (next_random() % 64));

	return next_random() % 4 == 0 ? -(n & INT64_MAX) : n & INT64_MAX;
}

static double
any_random(void)
{
	return (double) (next_random() >> 11) / (double) (UINT64_C(1) << 53);
}

/* ---- back-off ---- */

static void
retry_doubles(void **state)
{
	static const int64_t want[] = {500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};

	for (int i = 0; i < 10; i++)
	{
		assert_int_equal(pgw_retry_delay_ms(i + 1, 500, 60000, -1, MIDDLE), want[i]);
		assert_int_equal(pgw_retry_delay_ms(i + 1, 500, 60000, 0, 0), want[i] * 8 / 10);
		assert_int_equal(pgw_retry_delay_ms(i + 1, 500, 60000, 0, 0.25), want[i] * 9 / 10);
		assert_int_in_range(pgw_retry_delay_ms(i + 1, 500, 60000, 0, HIGHEST),
							want[i] * 12 / 10 - 1, want[i] * 12 / 10);
	}
}

static void
retry_after_is_kept(void **state)
{
	/* A bank that asks for less than we wait anyhow changes nothing. */
	assert_int_equal(pgw_retry_delay_ms(4, 1000, 60000, 7, MIDDLE), 8000);
	for (size_t i = 0; i < sizeof(randoms) / sizeof(randoms[0]); i++)
		assert_int_equal(pgw_retry_delay_ms(1, 1000, 60000, 7, randoms[i]), 7000);

	/* It may ask for more than our own longest delay, but for no more than an hour. */
	assert_int_equal(pgw_retry_delay_ms(1, 1000, 60000, 600, MIDDLE), 600000);
	assert_int_equal(pgw_retry_delay_ms(1, 1000, 60000, 3600, MIDDLE), HOUR);
	assert_int_equal(pgw_retry_delay_ms(1, 1000, 60000, 3601, MIDDLE), HOUR);
	assert_int_equal(pgw_retry_delay_ms(1, 1000, 60000, INT_MAX, MIDDLE), HOUR);

	/* The limit is on the bank's wish, not on ours. */
	assert_int_equal(pgw_retry_delay_ms(1, DAY, DAY, INT_MAX, MIDDLE), DAY);

	assert_int_equal(pgw_retry_delay_ms(1, 1000, 60000, INT_MIN, MIDDLE), 1000);
}

static void
watch_quadruples(void **state)
{
	static const int64_t want[] = {60000, 240000, 960000, 3840000, 15360000, 61440000, DAY, DAY};

	for (int i = 0; i < 8; i++)
	{
		assert_int_equal(pgw_retry_watch_delay_ms(i, 60000, MIDDLE), want[i]);
		assert_int_equal(pgw_retry_watch_delay_ms(i, 60000, 0), want[i] * 8 / 10);
	}
	assert_int_equal(pgw_retry_watch_delay_ms(0, 2 * DAY, MIDDLE), DAY);
	assert_int_equal(pgw_retry_watch_delay_ms(INT_MAX, 1, MIDDLE), DAY);
	assert_int_equal(pgw_retry_watch_delay_ms(INT_MIN, 1000, MIDDLE), 1000);
}

static void
extremes(void **state)
{
	static const int tries[] = {INT_MIN, -1, 0, 1, 2, 31, 32, 33, 63, 64, 65, INT_MAX};
	static const int64_t numbers[] = {
		INT64_MIN, -1, 0, 1, 2, INT_MAX, HOUR, DAY, PGW_DELAY_LIMIT_MS, INT64_MAX / 2, INT64_MAX};
	static const int afters[] = {INT_MIN, -1, 0, 1, 3600, INT_MAX};
	const double odd[] = {
		0, HIGHEST, 1, -1, 1e300, -1e300, (double) NAN, (double) INFINITY, -(double) INFINITY};
	size_t ntries = sizeof(tries) / sizeof(tries[0]);
	size_t nnumbers = sizeof(numbers) / sizeof(numbers[0]);

	for (size_t t = 0; t < ntries; t++)
		for (size_t b = 0; b < nnumbers; b++)
			for (size_t r = 0; r < sizeof(odd) / sizeof(odd[0]); r++)
			{
				int64_t watch = pgw_retry_watch_delay_ms(tries[t], numbers[b], odd[r]);

				assert_true(watch >= 1 && watch <= DAY * 12 / 10);
				for (size_t m = 0; m < nnumbers; m++)
					for (size_t a = 0; a < sizeof(afters) / sizeof(afters[0]); a++)
					{
						int64_t delay =
							pgw_retry_delay_ms(tries[t], numbers[b], numbers[m], afters[a], odd[r]);

						/* Fits a timestamp in microseconds with room for any date. */
						assert_true(delay >= 1 && delay <= PGW_DELAY_LIMIT_MS * 12 / 10);
						if (afters[a] > 0)
							assert_true(delay >=
										(afters[a] > 3600 ? HOUR : afters[a] * INT64_C(1000)));
					}
			}

	/* Whatever is below its range counts as the least in it. */
	assert_int_equal(pgw_retry_delay_ms(INT_MIN, 700, 60000, 0, MIDDLE), 700);
	assert_int_equal(pgw_retry_delay_ms(1, INT64_MIN, 60000, 0, MIDDLE), 1);
	assert_int_equal(pgw_retry_delay_ms(5, INT64_MIN, 60000, 0, MIDDLE), 16);
	assert_int_equal(pgw_retry_delay_ms(5, 1000, INT64_MIN, 0, HIGHEST), 1);
	assert_int_equal(pgw_retry_delay_ms(INT_MAX, INT64_MAX, INT64_MAX, 0, MIDDLE),
					 PGW_DELAY_LIMIT_MS);

	/* Jitter stays within its fifth when the random number does not keep its range. */
	assert_int_equal(pgw_retry_delay_ms(1, 1000, 60000, 0, (double) NAN), 800);
	assert_int_equal(pgw_retry_delay_ms(1, 1000, 60000, 0, -(double) INFINITY), 800);
	assert_int_equal(pgw_retry_delay_ms(1, 1000, 60000, 0, (double) INFINITY), 1200);
}

/*
 * One more try never shortens the delay; the first delays are the base, the last ones the maximum;
 * jitter moves by a fifth.
 */
static void
retry_properties(void **state)
{
	seed = UINT64_C(0x9E3779B97F4A7C15);
	for (int round = 0; round < 4000; round++)
	{
		int64_t base = any_number();
		int64_t max = any_number();
		int after = (int) (any_number() % 5000);
		double random = any_random();
		int64_t floor = after < 0 ? 0 : after > 3600 ? HOUR : after * INT64_C(1000);
		int64_t top = max < 1 ? 1 : max > PGW_DELAY_LIMIT_MS ? PGW_DELAY_LIMIT_MS : max;
		int64_t first = base < 1 ? 1 : base > top ? top : base;
		int64_t before = 0;
		int64_t before_plain = 0;

		for (int tries = 1; tries <= 70; tries++)
		{
			int64_t plain = pgw_retry_delay_ms(tries, base, max, 0, MIDDLE);
			int64_t delay = pgw_retry_delay_ms(tries, base, max, 0, random);
			int64_t asked = pgw_retry_delay_ms(tries, base, max, after, random);

			assert_true(plain >= before_plain && delay >= before);
			assert_true(plain >= first && plain <= top);
			if (tries == 1)
				assert_int_equal(plain, first);
			else
				assert_int_equal(plain, before_plain > top / 2 ? top : before_plain * 2);

			assert_true(delay >= 1 && delay >= plain * 8 / 10);
			assert_true(delay <= plain * 12 / 10 && delay <= top * 12 / 10);
			assert_true(asked == (delay > floor ? delay : floor));
			before = delay;
			before_plain = plain;
		}
		assert_int_equal(before_plain, top);
	}
}

static void
watch_properties(void **state)
{
	seed = UINT64_C(0xD1B54A32D192ED03);
	for (int round = 0; round < 4000; round++)
	{
		int64_t base = any_number();
		double random = any_random();
		int64_t before = 0;
		int64_t before_plain = 0;

		for (int tries = 0; tries <= 40; tries++)
		{
			int64_t plain = pgw_retry_watch_delay_ms(tries, base, MIDDLE);
			int64_t delay = pgw_retry_watch_delay_ms(tries, base, random);

			assert_true(plain >= 1 && plain <= DAY && delay >= before);
			if (tries == 0)
				assert_int_equal(plain, base < 1 ? 1 : base > DAY ? DAY : base);
			else
				assert_int_equal(plain, before_plain > DAY / 4 ? DAY : before_plain * 4);
			assert_true(delay >= 1 && delay >= plain * 8 / 10 && delay <= plain * 12 / 10);
			before = delay;
			before_plain = plain;
		}
		assert_int_equal(before_plain, DAY);
	}
}

/*
 * Jitter spreads evenly over the whole range: a thousand that failed at once do not come back at
 * once.
 */
static void
jitter_spreads(void **state)
{
	int tenths[10] = {0};

	seed = 42;
	for (int i = 0; i < 10000; i++)
	{
		int64_t delay = pgw_retry_delay_ms(1, 100000, 100000, 0, any_random());

		tenths[(delay - 80000) / 4000]++;
	}
	for (int i = 0; i < 10; i++)
		assert_int_in_range(tenths[i], 850, 1150);
}

/* ---- budget ---- */

static int
take_all(PgwBudget *b, const PgwBudgetConfig *cfg, int64_t now)
{
	int n = 0;

	while (pgw_budget_take(b, cfg, now))
		n++;
	return n;
}

static void
succeed(PgwBudget *b, const PgwBudgetConfig *cfg, int64_t now, int times)
{
	for (int i = 0; i < times; i++)
		pgw_budget_success(b, cfg, now);
}

static void
budget_of_time(void **state)
{
	PgwBudgetConfig cfg = PGW_BUDGET_DEFAULT;
	PgwBudget b;

	pgw_budget_init(&b, &cfg, 5000);
	assert_int_equal(pgw_budget_wait_ms(&b, &cfg, 5000), 0);
	assert_int_equal(take_all(&b, &cfg, 5000), 10);
	assert_int_equal(pgw_budget_wait_ms(&b, &cfg, 5000), 1000);
	assert_int_equal(pgw_budget_wait_ms(&b, &cfg, 5999), 1);
	assert_false(pgw_budget_take(&b, &cfg, 5999));
	assert_int_equal(take_all(&b, &cfg, 6000), 1);
	assert_int_equal(take_all(&b, &cfg, 9500), 3);
	assert_int_equal(take_all(&b, &cfg, 10000), 1);
	assert_int_equal(take_all(&b, &cfg, 10000 + HOUR), 10);

	cfg.per_second = 20;
	assert_int_equal(pgw_budget_wait_ms(&b, &cfg, 10000 + HOUR), 50);
	assert_int_equal(take_all(&b, &cfg, 10000 + HOUR + 1000), 20);
	assert_int_equal(take_all(&b, &cfg, 10000 + 2 * HOUR), 200);
}

static void
budget_of_successes(void **state)
{
	PgwBudgetConfig cfg = PGW_BUDGET_DEFAULT;
	PgwBudget b;

	pgw_budget_init(&b, &cfg, 0);
	assert_int_equal(take_all(&b, &cfg, 0), 10);
	succeed(&b, &cfg, 0, 9);
	assert_false(pgw_budget_take(&b, &cfg, 0));
	succeed(&b, &cfg, 0, 1);
	assert_int_equal(take_all(&b, &cfg, 0), 1);

	/* Only recent ones count: half of them are gone after each half-life. What time gave is not. */
	succeed(&b, &cfg, 0, 800);
	assert_int_equal(take_all(&b, &cfg, 0), 80);
	succeed(&b, &cfg, 0, 800);
	assert_int_equal(take_all(&b, &cfg, 3 * PGW_BUDGET_HALF_LIFE_MS), 10 + 10);
	succeed(&b, &cfg, 3 * PGW_BUDGET_HALF_LIFE_MS, 20000);
	assert_int_equal(take_all(&b, &cfg, 3 * PGW_BUDGET_HALF_LIFE_MS), PGW_BUDGET_EARNED_LIMIT);
	succeed(&b, &cfg, 3 * PGW_BUDGET_HALF_LIFE_MS, 20000);
	assert_int_equal(take_all(&b, &cfg, DAY), 10);

	/* Earned tokens are spent before those that keep. */
	succeed(&b, &cfg, 2 * DAY, 20);
	assert_true(pgw_budget_take(&b, &cfg, 2 * DAY));
	assert_true(pgw_budget_take(&b, &cfg, 2 * DAY));
	assert_int_equal(take_all(&b, &cfg, 2 * DAY + PGW_BUDGET_HALF_LIFE_MS), 10);

	cfg.success_percent = 0;
	succeed(&b, &cfg, 3 * DAY, 1000);
	assert_int_equal(take_all(&b, &cfg, 3 * DAY), 10);
}

static void
budget_out_of_range(void **state)
{
	PgwBudgetConfig least = {.success_percent = INT_MIN, .per_second = INT_MIN};
	PgwBudgetConfig most = {.success_percent = INT_MAX, .per_second = INT_MAX};
	PgwBudget b;

	pgw_budget_init(&b, &least, INT64_MIN);
	succeed(&b, &least, INT64_MIN, 100);
	assert_int_equal(take_all(&b, &least, INT64_MIN), 10);
	assert_int_equal(pgw_budget_wait_ms(&b, &least, INT64_MIN), 1000);
	assert_int_equal(take_all(&b, &least, INT64_MAX), 10);

	pgw_budget_init(&b, &most, 0);
	assert_int_equal(take_all(&b, &most, 0), 100000);
	succeed(&b, &most, 0, 100);
	assert_int_equal(take_all(&b, &most, 0), 100);
	assert_int_equal(pgw_budget_wait_ms(&b, &most, 0), 1);

	/* A setting that is lowered takes effect at once. */
	pgw_budget_init(&b, &most, 0);
	assert_int_equal(take_all(&b, &least, 0), 10);
}

/* A bank that is down for an hour, with a retry due every 10 ms. */
static void
budget_in_an_outage(void **state)
{
	PgwBudgetConfig cfg = PGW_BUDGET_DEFAULT;
	PgwBudget b;
	int taken = 0;

	pgw_budget_init(&b, &cfg, 0);
	for (int64_t now = 0; now < 600000; now += 10)
		pgw_budget_success(&b, &cfg, now);
	for (int64_t now = 600000; now < 600000 + HOUR; now += 10)
		taken += pgw_budget_take(&b, &cfg, now);

	/* 100 successes a second had earned at most 10 a second for two half-lives. */
	assert_int_in_range(taken, 3600, 3600 + 10 + 2 * 10 * PGW_BUDGET_HALF_LIFE_MS / 1000);
}

static void
budget_when_the_clock_jumps(void **state)
{
	PgwBudgetConfig cfg = PGW_BUDGET_DEFAULT;
	PgwBudget b;
	int64_t now = 10 * DAY;

	pgw_budget_init(&b, &cfg, now);
	succeed(&b, &cfg, now, 1000);
	now += 3 * DAY;
	assert_int_equal(take_all(&b, &cfg, now), 10);
	now -= HOUR;
	assert_int_equal(take_all(&b, &cfg, now), 0);
	assert_int_equal(pgw_budget_wait_ms(&b, &cfg, now), 1000);
	assert_int_equal(take_all(&b, &cfg, now + 1000), 1);
	succeed(&b, &cfg, now + 1000, 100);
	assert_int_equal(take_all(&b, &cfg, now - 3 * DAY), 10);
	assert_int_equal(take_all(&b, &cfg, now - 3 * DAY + 2000), 2);
}

/*
 * Never more than what was there, what time gave and what successes gave; and a token at the
 * promised time, within a second.
 */
static void
budget_properties(void **state)
{
	for (int round = 0; round < 500; round++)
	{
		PgwBudgetConfig cfg = PGW_BUDGET_DEFAULT;
		PgwBudget b;
		int64_t now;
		int64_t allowed;
		int64_t n;

		seed = 1000 + round;
		cfg.success_percent = (int) (next_random() % 101);
		cfg.per_second = 1 + (int) (next_random() % 50);
		cfg.leave = (int) (round % 2);
		cfg.shards = round % 3 == 0 ? 1 + (int) (next_random() % 64) : round % 3 - 1;
		n = cfg.shards > 1 ? cfg.shards : 1;
		now = any_number() / 4;
		pgw_budget_init(&b, &cfg, now);
		/* in parts of a thousandth of a token, one of which each shard has */
		allowed = (b.granted + b.earned) * n;
		for (int step = 0; step < 1000; step++)
		{
			int64_t pause;
			PgwBudget copy;

			switch (next_random() % 4)
			{
				case 0:
					pause = (int64_t) (next_random() % (next_random() % 8 == 0 ? 30000 : 300));
					now += pause;
					allowed += pause * cfg.per_second;
					break;
				case 1:
					pgw_budget_success(&b, &cfg, now);
					allowed += cfg.success_percent * 10 * n;
					break;
				default:
					if (pgw_budget_take(&b, &cfg, now))
						allowed -= 1000 * n;
					break;
			}
			assert_true(
				b.granted >= 0 &&
				(b.granted <= cfg.per_second * PGW_BUDGET_BURST_S * 1000 / n || b.granted <= 2000));
			assert_true(b.earned >= 0 && b.earned <= PGW_BUDGET_EARNED_LIMIT * 1000);
			assert_true(allowed >= (b.granted + b.earned) * n);

			copy = b;
			pause = pgw_budget_wait_ms(&copy, &cfg, now);
			assert_true(pause >= 0 && pause <= 1000 * n);
			assert_true(pause == 0 || !pgw_budget_take(&copy, &cfg, now));
			assert_true(pgw_budget_take(&copy, &cfg, now + pause));

			/*
			 * From here on, afresh: the bound holds between any two moments, also when the clock is
			 * set back.
			 */
			if (next_random() % 50 == 0)
			{
				pgw_budget_wait_ms(&b, &cfg, now);
				allowed = (b.granted + b.earned) * n + (now - b.granted_at) * cfg.per_second;
				if (next_random() % 4 == 0)
				{
					int64_t before = b.granted + b.earned;

					now -= (int64_t) (next_random() % (uint64_t) DAY);
					pgw_budget_wait_ms(&b, &cfg, now);
					assert_int_equal(b.granted + b.earned, before);
				}
			}
		}
	}
}

/* Shards together get what one would, and none gets nothing. */
static void
shares_of_a_bank(void **state)
{
	static const struct
	{
		int limit;
		int shards;
		int in_flight;
		int failures;
	} cases[] = {
		{1000, 0, 1000, 1000}, {1000, 1, 1000, 1000}, {1000, 3, 333, 334}, {5, 2, 2, 3},
		{5, 4, 1, 2},          {5, 1024, 1, 2},       {2, 2, 1, 2},        {1, 8, 1, 1},
		{10, INT_MAX, 1, 2},   {0, 4, 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		assert_int_equal(pgw_bank_share_in_flight(cases[i].limit, cases[i].shards),
						 cases[i].in_flight);
		assert_int_equal(pgw_bank_share_failures(cases[i].limit, cases[i].shards),
						 cases[i].failures);
	}
	/* in an hour in which nothing succeeds: 3600 retries, and the first ones */
	for (int shards = 1; shards <= 16; shards *= 2)
	{
		PgwBudgetConfig cfg = PGW_BUDGET_DEFAULT;
		PgwBudget b;
		int taken = 0;

		cfg.shards = shards;
		pgw_budget_init(&b, &cfg, 0);
		for (int64_t now = 0; now <= 3600 * 1000; now += 7)
			taken += pgw_budget_take(&b, &cfg, now);
		assert_int_in_range(taken * shards, 3600, 3600 + (shards > 5 ? 3 * shards : 10 + shards));
	}
}

/* ---- what takes a token: the whole table ---- */

static void
what_takes_a_token(void **state)
{
	static const struct
	{
		PgwRetryFacts facts;
		bool takes;
		const char *what;
	} cases[] = {
		{{0}, false, "a first try"},
		{{.put_off = true}, false, "a first try that was put off: no bank has had it"},
		{{.in_doubt = true}, false, "the first look at an answer that has just been lost"},
		{{.in_doubt = true, .put_off = true}, true, "... that had to wait"},
		{{.tries = 1}, true, "another try"},
		{{.tries = 1, .put_off = true}, true, "... that was put off"},
		{{.tries = 1, .in_doubt = true}, true, "another look"},
		{{.tries = 7, .in_doubt = true, .put_off = true}, true, "... that was put off"},
		{{.tries = 1, .goes_on = true}, false, "what a look allows that has taken one"},
		{{.goes_on = true, .in_doubt = true}, false, "... in whatever state"},
		{{.goes_on = true, .token_owed = true}, true, "what a look allows that was free"},
		{{.tries = 1, .goes_on = true, .token_owed = true, .in_doubt = true}, true, "... likewise"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		PgwRetryFacts facts = cases[i].facts;

		if (pgw_retry_kind(&facts) != (cases[i].takes ? PGW_RETRY : PGW_FIRST_TRY))
			fail_msg("%s", cases[i].what);
		facts.give_back = true;
		if (pgw_retry_kind(&facts) != (cases[i].takes ? PGW_RETRY_GIVE_BACK : PGW_FIRST_TRY))
			fail_msg("%s, of a give-back", cases[i].what);
	}
}

/* A retry takes one token, whether its look-up waited or not, and never two. */
static void
a_look_and_what_it_allows(void **state)
{
	(void) state;
	for (int i = 0; i < 8; i++)
	{
		PgwRetryFacts look = {.tries = i & 1, .in_doubt = true, .put_off = (i & 2) != 0};
		bool taken = pgw_retry_kind(&look) != PGW_FIRST_TRY;
		PgwRetryFacts next = {.tries = (i >> 2) & 1, .goes_on = true, .token_owed = !taken};

		assert_int_equal(taken + (pgw_retry_kind(&next) != PGW_FIRST_TRY), 1);
	}
}

/* Whoever else comes, a give-back finds a token within a second; and nobody waits for ever. */
static void
the_last_token(void **state)
{
	PgwBudgetConfig other = PGW_BUDGET_DEFAULT;
	PgwBudgetConfig give_back = PGW_BUDGET_DEFAULT;
	PgwBudget b;

	(void) state;
	other.leave = pgw_retry_leaves(PGW_RETRY);
	give_back.leave = pgw_retry_leaves(PGW_RETRY_GIVE_BACK);
	pgw_budget_init(&b, &other, 0);
	assert_int_equal(take_all(&b, &other, 0), 9);
	assert_int_equal(pgw_budget_wait_ms(&b, &other, 0), 1000);
	assert_int_equal(take_all(&b, &give_back, 0), 1);
	assert_int_equal(pgw_budget_wait_ms(&b, &give_back, 0), 1000);
	assert_int_equal(pgw_budget_wait_ms(&b, &other, 0), 2000);

	/* a thousand come every tenth of a second */
	for (int64_t now = 0; now < HOUR; now += 100)
	{
		(void) take_all(&b, &other, now);
		if (now % 10000 == 9900)
			assert_true(pgw_budget_take(&b, &give_back, now));
	}
	/* give-backs alone: the others have to wait, no longer than until they are done */
	for (int64_t now = HOUR; now < HOUR + 60000; now += 100)
		(void) take_all(&b, &give_back, now);
	assert_int_in_range(pgw_budget_wait_ms(&b, &other, HOUR + 60000), 1, 2000);
	assert_true(pgw_budget_take(&b, &other, HOUR + 62000));

	/* what was earned counts for both */
	(void) take_all(&b, &other, HOUR + 62000);
	succeed(&b, &other, HOUR + 62000, 30);
	assert_int_equal(take_all(&b, &other, HOUR + 62000), 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retry_doubles),       cmocka_unit_test(retry_after_is_kept),
		cmocka_unit_test(watch_quadruples),    cmocka_unit_test(extremes),
		cmocka_unit_test(retry_properties),    cmocka_unit_test(watch_properties),
		cmocka_unit_test(jitter_spreads),      cmocka_unit_test(budget_of_time),
		cmocka_unit_test(budget_of_successes), cmocka_unit_test(budget_out_of_range),
		cmocka_unit_test(budget_in_an_outage), cmocka_unit_test(budget_when_the_clock_jumps),
		cmocka_unit_test(budget_properties),   cmocka_unit_test(shares_of_a_bank),
		cmocka_unit_test(what_takes_a_token),  cmocka_unit_test(a_look_and_what_it_allows),
		cmocka_unit_test(the_last_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
