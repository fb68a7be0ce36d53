/*
 * steps.h - can so many events lead an attempt from one state to another?
 */
#ifndef PGW_CORE_STATE_STEPS_H
#define PGW_CORE_STATE_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/state/state_machine.h"

/* No events: only if it is the same state. */
extern bool pgw_steps_lead(PgwKind kind, PgwState from, PgwState to, int64_t steps);

#endif
