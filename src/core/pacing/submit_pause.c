/*
 * submit_pause.c - how long a session that submits payments is to pause for each of them
 *
 * Owns the arithmetic of the pause.
 *
 * Invariant: pause_us is 0, or from PGW_PACE_FIRST_US to PGW_PACE_MOST_US.
 */
#include "core/pacing/submit_pause.h"

#include "core/base/clamp.h"

/* It runs all of the time: a little is lost to whoever else runs, and to its own commits. */
#define RUNS_PERCENT 85

static bool
runs_all_the_time(int64_t ran_us, int64_t passed_us)
{
	return ran_us >= passed_us / 100 * RUNS_PERCENT;
}

static int64_t
longer(int64_t pause_us)
{
	return pgw_clamp(pause_us + pause_us / 2, PGW_PACE_FIRST_US, PGW_PACE_MOST_US);
}

/* By an eighth for each time that a look could have been taken: an idle worker looks rarely. */
static int64_t
shorter(int64_t pause_us, int64_t passed_us)
{
	for (; passed_us >= PGW_PACE_LOOK_US && pause_us > 0; passed_us -= PGW_PACE_LOOK_US)
	{
		pause_us -= pause_us / 8;
		if (pause_us < PGW_PACE_FIRST_US)
			pause_us = 0;
	}
	return pause_us;
}

bool
pgw_pace_turn(PgwPace *pace, bool behind, int64_t now_us, int64_t ran_us)
{
	int64_t passed_us = now_us - pace->looked_at_us;
	bool first = pace->looked_at_us == 0;
	bool hindered;

	pace->behind = behind && (pace->behind || first);
	if (!first && passed_us < PGW_PACE_LOOK_US)
		return false;
	hindered = !first && pace->behind && !runs_all_the_time(ran_us - pace->ran_us, passed_us);
	pace->pause_us = hindered ? longer(pace->pause_us) : shorter(pace->pause_us, passed_us);
	pace->looked_at_us = now_us;
	pace->ran_us = ran_us;
	pace->behind = true; /* until a turn says otherwise */
	return true;
}
