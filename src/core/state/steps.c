/*
 * steps.c - can so many events lead an attempt from one state to another?
 *
 * What is asked of an update of an attempt's row, which may stand for several events: by the
 * trigger, and by pgw of itself.
 *
 * Owns: a cache of what follows from the table of edges.
 */
#include "core/state/steps.h"

#include <stddef.h>
#include <stdint.h>

#define MAX_STEPS (4 * PGW_NSTATES) /* states have loops to themselves: no new state after that */

/*
 * Do so many events lead from one state to the other?  One update may stand for several events
 * (events.c writes and checks each), and several may stand together on one edge, as far as it has
 * different ones.
 */
static bool
find_path(PgwKind kind, PgwState from, PgwState to, int last)
{
	size_t n;
	const PgwEdge *edges = pgw_edges(&n);
	/* the states that are reached after so many events */
	uint32_t reached[MAX_STEPS + 1] = {0};

	reached[0] = UINT32_C(1) << from;
	for (int step = 0; step < last; step++)
	{
		for (size_t i = 0; i < n; i++)
		{
			int together = 0;

			if (edges[i].from == PGW_STATE_NONE ||
				(reached[step] & (UINT32_C(1) << edges[i].from)) == 0)
				continue;
			for (size_t j = 0; j < n; j++)
			{
				if (edges[j].from == edges[i].from && edges[j].to == edges[i].to &&
					(edges[j].kinds & PGW_KIND_BIT(kind)) != 0 && step + ++together <= last)
					reached[step + together] |= UINT32_C(1) << edges[i].to;
			}
		}
	}
	return (reached[last] & (UINT32_C(1) << to)) != 0;
}

/* The table of edges does not change, and most updates are alike. */
static bool
path_exists(PgwKind kind, PgwState from, PgwState to, int64_t steps)
{
	static struct
	{
		bool known;
		bool exists;
	} paths[PGW_NKINDS][PGW_NSTATES][PGW_NSTATES][MAX_STEPS + 1];
	int last = steps < MAX_STEPS ? (int) steps : MAX_STEPS;

	if (!paths[kind][from][to][last].known)
	{
		paths[kind][from][to][last].exists = find_path(kind, from, to, last);
		paths[kind][from][to][last].known = true;
	}
	return paths[kind][from][to][last].exists;
}

bool
pgw_steps_lead(PgwKind kind, PgwState from, PgwState to, int64_t steps)
{
	if (from < 0 || to < 0)
		return false;
	if (steps <= 0)
		return steps == 0 && from == to;
	return path_exists(kind, from, to, steps);
}
