/*
 * state_from_events.h - the state that an attempt's events tell
 */
#ifndef PGW_CORE_STATE_STATE_FROM_EVENTS_H
#define PGW_CORE_STATE_STATE_FROM_EVENTS_H

#include <stdint.h>

#include "core/state/state_machine.h"

/* In place of a state or event that has no name of ours: no edge has it. */
#define PGW_FOLD_STRANGE 99

typedef struct PgwFoldEvent
{
	int step; /* step_order */
	int type; /* PgwEventType, or PGW_FOLD_STRANGE */
	int from; /* PgwState, or PGW_FOLD_STRANGE */
	int to;
	uint64_t txid; /* of the commit that wrote it */
} PgwFoldEvent;

typedef enum PgwFoldFault
{
	PGW_FOLD_SOUND = 0,
	PGW_FOLD_GAP,    /* the step is missing, or is there twice */
	PGW_FOLD_ILLEGAL /* the step's event does not follow from the one before it */
} PgwFoldFault;

/*
 * The events of one attempt, in step order.  SOUND: *state is where they lead.  Otherwise *step is
 * the first step at fault, and *index that of the event found in its place (n: none).
 */
extern PgwFoldFault pgw_fold(PgwKind kind, const PgwFoldEvent *events, int n, PgwState *state,
							 int *step, int *index);

#endif
