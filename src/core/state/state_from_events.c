/*
 * state_from_events.c - the state that an attempt's events tell
 *
 * The same rule as where events are written (pgw_store_advance): each event takes a legal edge from
 * the state that the one before it has reached; but the events of one commit may stand together on
 * one edge, and then each names from and to of that edge. The view pgw.broken_invariants says it in
 * SQL; a test compares the two.
 */
#include "core/state/state_from_events.h"

#include <stdbool.h>

static bool
follows(const PgwFoldEvent *event, const PgwFoldEvent *before)
{
	if (before == NULL)
		return event->from == PGW_STATE_NONE;
	if (event->from == PGW_STATE_NONE)
		return false; /* nothing starts twice, not even in one commit */
	return event->from == before->to ||
		   (event->from == before->from && event->to == before->to && event->txid == before->txid);
}

PgwFoldFault
pgw_fold(PgwKind kind, const PgwFoldEvent *events, int n, PgwState *state, int *step, int *index)
{
	PgwFoldFault fault = n > 0 ? PGW_FOLD_SOUND : PGW_FOLD_GAP;

	*state = PGW_STATE_NONE;
	*step = 1;
	*index = 0;
	for (int i = 0; i < n && fault == PGW_FOLD_SOUND; i++)
	{
		const PgwFoldEvent *e = &events[i];

		*step = i + 1;
		*index = i;
		if (e->step != i + 1)
			fault = PGW_FOLD_GAP;
		else if (!follows(e, i > 0 ? &events[i - 1] : NULL) ||
				 !pgw_event_legal(kind, (PgwState) e->from, (PgwState) e->to,
								  (PgwEventType) e->type))
			fault = PGW_FOLD_ILLEGAL;
		else
			*state = (PgwState) e->to;
	}
	return fault;
}
