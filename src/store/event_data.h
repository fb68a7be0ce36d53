/*
 * event_data.h - what an event says beside its columns
 */
#ifndef PGW_STORE_EVENT_DATA_H
#define PGW_STORE_EVENT_DATA_H

#include "postgres.h"
#include "utils/jsonb.h"

#include "store/events.h"
#include "store/tables.h"

/* Of the attempt's next event: what has a column of its own. */
extern PgwEventFacts pgw_event_facts(const PgwAttempt *attempt, const PgwEvent *event);

/* ... and its event_data; NULL: nothing that no event has said. */
extern Jsonb *pgw_event_data(const PgwAttempt *attempt, const PgwEvent *event);

/* Has an event said which bank the attempt is at? */
extern bool pgw_event_bank_is_told(const PgwAttempt *attempt);

/* All that events say of the attempt has been told, or is known from its row. */
extern void pgw_event_data_told(PgwAttempt *attempt);

#endif
