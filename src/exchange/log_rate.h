/*
 * log_rate.h - lines of the log, so many of each cause
 *
 *     if (pgw_log_due("bank call failed", bank, &more))
 *         ereport(LOG, (errmsg(...), errdetail(...), pgw_log_more(more)));
 */
#ifndef PGW_EXCHANGE_LOG_RATE_H
#define PGW_EXCHANGE_LOG_RATE_H

#include "postgres.h"

/*
 * May a line of this kind and about this be written now?  For what comes as often as payments,
 * notifications or connections do.  about: of few, such as a bank; NULL: nothing.  Raises nothing,
 * and can be called with any lock held.
 */
extern bool pgw_log_due(const char *kind, const char *about, uint64 *more);

/* In ereport(): CONTEXT says how many more like it were left out before it, if any. */
extern int pgw_log_more(uint64 more);

#endif
