/*
 * schedule.c - when to try again
 *
 * Owns: pgw.retry_base_delay, pgw.retry_max_delay, pgw.unknown_deadline.  The arithmetic is
 * core/pacing/retry_delay.c's.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/schedule.h"
#include "core/pacing/retry_delay.h"

#define LATE_MS 60000 /* no worker that runs is as late as this */

int pgw_unknown_deadline = 24 * 60 * 60;

static int base_delay = 1000;
static int max_delay = 5 * 60 * 1000;

void
pgw_schedule_init(void)
{
	DefineCustomIntVariable(
		"pgw.retry_base_delay",
		"The delay before the first retry at a bank; each further one waits twice as long.", NULL,
		&base_delay, 1000, 10, 60 * 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"pgw.retry_max_delay", "The longest delay between two retries at a bank.", NULL, &max_delay,
		5 * 60 * 1000, 10, 24 * 60 * 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"pgw.unknown_deadline",
		"How long a bank is asked about an outcome that it does not tell, before a person has to look.",
		NULL, &pgw_unknown_deadline, 24 * 60 * 60, 1, 30 * 24 * 60 * 60, PGC_SIGHUP, GUC_UNIT_S,
		NULL, NULL, NULL);
}

static double
chance(void)
{
	return pg_prng_double(&pg_global_prng_state);
}

TimestampTz
pgw_schedule_retry(int tries, int retry_after_s)
{
	return TimestampTzPlusMilliseconds(
		pgw_now(), pgw_retry_delay_ms(tries, base_delay, max_delay, retry_after_s, chance()));
}

TimestampTz
pgw_schedule_next_look(int tries, int retry_after_s, TimestampTz since, TimestampTz watch_until)
{
	TimestampTz when = pgw_schedule_retry(tries, retry_after_s);
	TimestampTz end = watch_until;

	if (since != 0)
		end = Max(end, TimestampTzPlusMilliseconds(since, (int64) pgw_unknown_deadline * 1000));
	return end > pgw_now() && when > end ? end : when;
}

TimestampTz
pgw_schedule_patiently(TimestampTz when, TimestampTz since)
{
	int64 pause_s = Min(pgw_schedule_age_s(since) / 8, 60 * 60);

	return Max(when, TimestampTzPlusMilliseconds(pgw_now(), pause_s * 1000));
}

TimestampTz
pgw_schedule_watch(int tries)
{
	return TimestampTzPlusMilliseconds(pgw_now(),
									   pgw_retry_watch_delay_ms(tries, base_delay, chance()));
}

TimestampTz
pgw_schedule_ask_until(TimestampTz watch_until, TimestampTz due, TimestampTz since)
{
	TimestampTz now = pgw_now();
	int64 deadline_ms = (int64) pgw_unknown_deadline * 1000;
	TimestampTz deadline = TimestampTzPlusMilliseconds(since, deadline_ms);

	if (watch_until > now || since == 0 || due >= deadline || now < deadline ||
		(due != 0 && now < TimestampTzPlusMilliseconds(due, LATE_MS)))
		return watch_until;
	return TimestampTzPlusMilliseconds(now, deadline_ms);
}

TimestampTz
pgw_schedule_put_off_until(TimestampTz since)
{
	return TimestampTzPlusMilliseconds(since, (int64) pgw_unknown_deadline * 1000);
}

TimestampTz
pgw_schedule_put_off_since(TimestampTz since, TimestampTz due)
{
	TimestampTz now = pgw_now();
	TimestampTz until = pgw_schedule_put_off_until(since);

	if (since == 0 || since > now)
		return now;
	if (now >= until && due != 0 && due < until && now >= TimestampTzPlusMilliseconds(due, LATE_MS))
		return now;
	return since;
}

int64
pgw_schedule_age_s(TimestampTz then)
{
	TimestampTz now = pgw_now();

	if (then == 0)
		return PG_INT32_MAX;
	return now <= then ? 0 : (now - then) / USECS_PER_SEC;
}
