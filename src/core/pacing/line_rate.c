/*
 * line_rate.c - how many lines of one cause a log gets
 *
 * Owns: the places.  A cause keeps its place while its minute lasts; then whoever needs one takes
 * it, of those first that have nothing to tell.
 */
#include "core/pacing/line_rate.h"

#include <stddef.h>

#include "core/base/mutant.h"

#define MINUTE_US INT64_C(60000000)
#define SHARED (PGW_LINE_CAUSES - 1)

/* A clock that was set back ends it, too: nothing is silent until it has caught up. */
static bool
is_over(const PgwLineCause *c, int64_t now_us)
{
	return now_us < c->since_us || now_us - c->since_us >= MINUTE_US;
}

static PgwLineCause *
place_of(PgwLineRates *r, uint64_t key, int64_t now_us)
{
	PgwLineCause *best = NULL;

	for (int i = 0; i < SHARED; i++)
	{
		PgwLineCause *c = &r->causes[i];

		if (c->key == key)
			return c;
		if (c->key != 0 && !is_over(c, now_us))
			continue;
		if (best == NULL || (best->key != 0 && c->key == 0) ||
			(best->left_out > 0 && c->left_out == 0))
			best = c;
	}
	if (best == NULL)
		return &r->causes[SHARED];
	*best = (PgwLineCause){.key = key, .since_us = now_us};
	return best;
}

bool
pgw_line_due(PgwLineRates *r, uint64_t key, int64_t now_us, uint64_t *left_out)
{
	PgwLineCause *c = place_of(r, key != 0 ? key : 1, now_us);

	*left_out = 0;
	if (is_over(c, now_us))
	{
		c->since_us = now_us;
		c->written = 0;
	}
	if (c->written >= PGW_LINES_A_MINUTE && !PGW_MUTATED(LINE_RATE))
	{
		c->left_out++;
		return false;
	}
	c->written++;
	*left_out = c->left_out;
	c->left_out = 0;
	return true;
}
