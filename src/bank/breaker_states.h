/*
 * breaker_states.h - circuit breakers as the worker leaves them to the next one: pgw.bank_states
 */
#ifndef PGW_BANK_BREAKER_STATES_H
#define PGW_BANK_BREAKER_STATES_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* One row of pgw.bank_states: a circuit breaker as it was when the worker ended. */
typedef struct PgwSavedBreaker
{
	const char *bank;
	const char *operation_group;
	const char *state;
	int failures;
	int openings;
	TimestampTz opened_at; /* 0 = NULL */
	TimestampTz cooldown_from;
} PgwSavedBreaker;

/* All that are recorded, palloc'd; returns how many. */
extern int pgw_breaker_states_read(PgwSavedBreaker **out);
extern void pgw_breaker_states_save(const PgwSavedBreaker *s);
/* of what is no bank's name now, and has not changed since then */
extern void pgw_breaker_states_forget(TimestampTz before);

#endif
