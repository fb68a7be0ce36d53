/*
 * test_breaker_random.c - circuit breaker: what must hold in any history, and an hour's outage
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cmocka_names.h"
#include "core/pacing/circuit_breaker.h"
#include "random.h"

#define COOLDOWN INT64_C(1000)
#define PROBE_TIMEOUT INT64_C(700)
#define LONGEST_COOLDOWN (COOLDOWN << PGW_BREAKER_MAX_DOUBLINGS)
#define START INT64_C(1000000)
#define SECOND INT64_C(1000)
#define HOUR INT64_C(3600000)
#define DAY INT64_C(86400000)
#define NVERDICTS 5
#define MAX_OUT 40

static const PgwBreakerConfig config = {
	.failures = 3, .cooldown_ms = COOLDOWN, .probe_timeout_ms = PROBE_TIMEOUT};

static PgwBreaker
fresh(void)
{
	PgwBreaker b;

	memset(&b, 0, sizeof(b));
	pgw_breaker_restore(&b);
	return b;
}

static uint64_t
random_below(uint64_t below)
{
	return (next_random() >> 11) % below;
}

typedef struct Call
{
	PgwBreakerPermit permit;
	int64_t at;
} Call;

typedef struct History
{
	PgwBreaker b;
	int64_t now;
	Call out[MAX_OUT];
	int nout;
	/* how often each thing was seen, so that no property is proved by nothing happening */
	int probes;
	int lost;
	int opened;
	int closed;
} History;

static int
live_probes(const History *h)
{
	int n = 0;

	for (int i = 0; i < h->nout; i++)
		n += h->out[i].permit.probe && h->now - h->out[i].at < PROBE_TIMEOUT;
	return n;
}

static void
random_call(History *h)
{
	PgwBreakerState before = h->b.state;
	int64_t wait = pgw_breaker_wait_ms(&h->b, &config, h->now);
	PgwBreakerPermit permit = {0, false, 0};
	bool yes = pgw_breaker_allows(&h->b, &config, h->now, &permit);

	if (!yes)
	{
		assert_int_not_equal(before, PGW_BREAKER_CLOSED);
		assert_int_equal(h->b.state, before);
		assert_int_in_range(wait, 1, before == PGW_BREAKER_OPEN ? LONGEST_COOLDOWN : PROBE_TIMEOUT);
		return;
	}
	assert_int_equal(permit.probe, before != PGW_BREAKER_CLOSED);
	if (permit.probe)
	{
		assert_int_equal(live_probes(h), 0);
		assert_int_equal(h->b.state, PGW_BREAKER_HALF_OPEN);
		h->probes++;
		h->lost += before == PGW_BREAKER_HALF_OPEN;
	}
	if (h->nout == MAX_OUT)
		h->nout--; /* it is never heard of again */
	h->out[h->nout++] = (Call){permit, h->now};
}

static void
random_report(History *h)
{
	int i = (int) random_below((uint64_t) h->nout);
	PgwCallVerdict verdict =
		random_below(2) == 0 ? PGW_VERDICT_FAILURE : (PgwCallVerdict) random_below(NVERDICTS);
	PgwBreaker before = h->b;
	PgwBreakerPermit permit = h->out[i].permit;
	PgwBreakerTransition transition = pgw_breaker_report(&h->b, &config, h->now, &permit, verdict);

	h->out[i] = h->out[--h->nout];
	h->opened += transition == PGW_BREAKER_OPENED;
	h->closed += transition == PGW_BREAKER_CLOSED_AGAIN;
	if (permit.epoch != before.epoch)
		assert_memory_equal(&h->b, &before, sizeof(before));
	assert_int_equal(transition == PGW_BREAKER_OPENED,
					 before.state == PGW_BREAKER_CLOSED && h->b.state == PGW_BREAKER_OPEN);
	assert_int_equal(transition == PGW_BREAKER_CLOSED_AGAIN,
					 before.state == PGW_BREAKER_HALF_OPEN && h->b.state == PGW_BREAKER_CLOSED);
	if (before.state != PGW_BREAKER_CLOSED && h->b.state == PGW_BREAKER_CLOSED)
		assert_true(permit.probe &&
					(verdict == PGW_VERDICT_SUCCESS || verdict == PGW_VERDICT_ALIVE));
	if (transition == PGW_BREAKER_OPENED)
		assert_true(verdict == PGW_VERDICT_FAILURE &&
					(before.openings > 0 || before.failures == config.failures - 1));
}

static void
check(const History *h, bool clock_jumped)
{
	PgwBreaker copy = h->b;
	PgwBreakerPermit permit;
	int64_t longest = LONGEST_COOLDOWN > PROBE_TIMEOUT ? LONGEST_COOLDOWN : PROBE_TIMEOUT;
	int64_t wait = pgw_breaker_wait_ms(&copy, &config, h->now);

	assert_int_in_range(h->b.openings, h->b.state == PGW_BREAKER_CLOSED ? 0 : 1,
						PGW_BREAKER_MAX_DOUBLINGS + 1);
	assert_int_in_range(h->b.failures, 0, config.failures - 1);
	assert_int_in_range(wait, 0, longest);

	/* Never stuck, and never earlier than said. */
	if (wait > 0)
		assert_false(pgw_breaker_allows(&copy, &config, h->now, &permit));
	if (wait > 1 && !clock_jumped)
		assert_false(pgw_breaker_allows(&copy, &config, h->now + wait - 1, &permit));
	assert_true(pgw_breaker_allows(&copy, &config, h->now + wait, &permit));
}

static void
random_histories(void **state)
{
	History total = {0};

	for (int round = 0; round < 300; round++)
	{
		bool jumps = round % 3 == 2;
		History h = {.b = fresh(), .now = START};

		seed = (uint64_t) (round + 1) * UINT64_C(0x9E3779B97F4A7C15);
		for (int step = 0; step < 500; step++)
		{
			switch (random_below(8))
			{
				case 0:
				case 1:
					h.now += (int64_t) random_below(random_below(4) == 0 ? 2 * COOLDOWN : 100);
					break;
				case 2:
				case 3:
				case 4:
					random_call(&h);
					break;
				case 5:
				case 6:
					if (h.nout > 0)
						random_report(&h);
					break;
				default:
					if (random_below(10) == 0)
					{
						pgw_breaker_restore(&h.b);
						assert_int_not_equal(h.b.state, PGW_BREAKER_HALF_OPEN);
						if (random_below(2) == 0)
							h.nout = 0;
						for (int i = 0; i < h.nout; i++)
							/* died with the process; its answer may yet turn up */
							h.out[i].permit.probe = false;
					}
					else if (jumps && random_below(5) == 0)
					{
						h.now += (int64_t) random_below(3 * DAY) - DAY;
						for (int i = 0; i < h.nout; i++)
							/* its age cannot be told any more */
							h.out[i].at = h.now - PROBE_TIMEOUT;
					}
					break;
			}
			check(&h, jumps);
		}
		total.probes += h.probes;
		total.lost += h.lost;
		total.opened += h.opened;
		total.closed += h.closed;
	}
	assert_true(total.probes > 1000 && total.lost > 100 && total.opened > 500 &&
				total.closed > 500);
}

/* ---- an hour's outage, ten payments a second ---- */

static void
outage(void **state)
{
	const PgwBreakerConfig usual = {
		.failures = 5, .cooldown_ms = 30 * SECOND, .probe_timeout_ms = 60 * SECOND};
	PgwBreaker b = fresh();
	int64_t back = START + HOUR;
	int64_t now;
	int sent = 0;
	int refused = 0;

	for (now = START; now < back; now += 100)
	{
		PgwBreakerPermit permit;

		if (!pgw_breaker_allows(&b, &usual, now, &permit))
		{
			refused++;
			continue;
		}
		sent++;
		pgw_breaker_report(&b, &usual, now, &permit, PGW_VERDICT_FAILURE);
	}
	assert_int_equal(sent + refused, 36000);

	/* 5 that opened it, then probes after 30, 60, 120, 120 ... seconds. */
	assert_int_equal(sent, 5 + 31);
	assert_true(pgw_breaker_wait_ms(&b, &usual, now) <= 120 * SECOND);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_histories),
		cmocka_unit_test(outage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
