/*
 * open_work_rules.h - which attempts stand in pgw.open_work
 */
#ifndef PGW_CORE_STATE_OPEN_WORK_RULES_H
#define PGW_CORE_STATE_OPEN_WORK_RULES_H

#include <stdbool.h>

#include "core/state/state_machine.h"

typedef struct PgwOpenWorkFacts
{
	PgwState state;
	bool live;          /* the worker has begun it */
	bool submitted;     /* no caller waits for it, or ends it */
	bool has_next_step; /* next_step_at is set */
	bool put_off;
	bool below_mark; /* its id is smaller than the mark */
} PgwOpenWorkFacts;

/* Is anything left to do with it, or to be looked at later? */
extern bool pgw_attempt_is_open(PgwState state, bool has_next_step);

/* Must it have a row there?  What is open and has none is found by the mark. */
extern bool pgw_open_work_has(const PgwOpenWorkFacts *facts);

/* Has the worker begun it?  Else it waits for its turn at a bank. */
extern bool pgw_open_work_begun(PgwState state, bool live);

/* May its caller end it by itself, without a look at the row? */
extern bool pgw_open_work_left_to_caller(PgwState state, bool submitted);

#endif
