/*
 * late_events.h - pgw.late_events: events that come long after their attempt began
 */
#ifndef PGW_DATABASE_LATE_EVENTS_H
#define PGW_DATABASE_LATE_EVENTS_H

#include "postgres.h"

#include "database/event_rows.h"

/* List those of them that are late, in the transaction that writes them. */
extern void pgw_late_events_write(const PgwNewEvent *rows, int n);

/*
 * The worker's, in a transaction: learn from pgw.event_consumers what the fence was before the
 * server's start, if nobody has yet.  It may be false for a while, and is asked again.
 */
extern bool pgw_late_events_learn(void);

/*
 * The worker's, in a transaction: where nobody reads the events the list goes; how many, at most so
 * many.
 */
extern int pgw_late_events_forget(int most);

#endif
