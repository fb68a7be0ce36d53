/*
 * retry_delay.c - how long to wait before the next try
 *
 * Owns the two back-off curves and their jitter.
 *
 * Invariants:
 *	- A delay before jitter never shrinks with the number of tries, and never passes its maximum.
 *	- Jitter moves it by a fifth at most, downwards or upwards.
 *	- No input overflows: growth stops at the maximum, and no maximum passes PGW_DELAY_LIMIT_MS.
 */
#include "core/pacing/retry_delay.h"

#include "core/base/clamp.h"

#define JITTER_UNIT INT64_C(1000000)
#define JITTER_LEAST INT64_C(800000)
#define JITTER_SPAN INT64_C(400000)

/*
 * start * factor^steps, at most max; stops growing there, so any number of steps takes few rounds.
 */
static int64_t
grown(int64_t start, int factor, int steps, int64_t max)
{
	int64_t value = pgw_clamp(start, 1, max);

	for (; steps > 0 && value < max; steps--)
		value = value > max / factor ? max : value * factor;
	return value;
}

static int64_t
jittered(int64_t value, double random)
{
	int64_t parts = JITTER_LEAST;

	/* Written so that NaN counts as 0. */
	if (random > 0)
		parts += random < 1 ? (int64_t) (random * JITTER_SPAN) : JITTER_SPAN;
	return pgw_clamp(value * parts / JITTER_UNIT, 1, INT64_MAX);
}

int64_t
pgw_retry_delay_ms(int tries, int64_t base_ms, int64_t max_ms, int retry_after_s, double random)
{
	int64_t max = pgw_clamp(max_ms, 1, PGW_DELAY_LIMIT_MS);
	int64_t delay = jittered(grown(base_ms, 2, tries > 1 ? tries - 1 : 0, max), random);

	return pgw_clamp(delay, pgw_clamp((int64_t) retry_after_s * 1000, 1, PGW_RETRY_AFTER_LIMIT_MS),
					 INT64_MAX);
}

int64_t
pgw_retry_watch_delay_ms(int tries, int64_t base_ms, double random)
{
	return jittered(grown(base_ms, 4, tries, PGW_WATCH_LIMIT_MS), random);
}
