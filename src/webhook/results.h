/*
 * results.h - what endpoints have answered, until it is written
 */
#ifndef PGW_WEBHOOK_RESULTS_H
#define PGW_WEBHOOK_RESULTS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"

#include "webhook/queue_rows.h"

extern void pgw_results_settings(void); /* _PG_init */
extern void pgw_results_init(void);     /* the process's start */

/* A delivery is over; it belongs to the results from then on. */
extern void pgw_results_judge(PgwDelivery *d, const PgwHttpDone *done);
/* Nothing was sent, by no fault of the endpoint's: it does not count. */
extern void pgw_results_put_off(PgwDelivery *d, const char *error);

/* What is not written yet: in the table it is still due. */
extern dlist_head *pgw_results_unwritten(void);

/* Enough of them, or the first has waited long enough. */
extern bool pgw_results_are_due(void);

/* Until they may be; -1: there are none. */
extern long pgw_results_wait_ms(void);

/*
 * Write what can be, and how endpoints do.  Outside of transactions; how many results are written
 * and freed.
 */
extern int pgw_results_write(TimestampTz now);

/* Those that are to be told of, and what is wrong with them. */
extern void pgw_endpoint_tell(const PgwWebhookEndpoint *e, const char *kind, const char *what);

extern void pgw_deliveries_free(dlist_head *list);

#endif
