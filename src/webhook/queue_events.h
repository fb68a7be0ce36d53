/*
 * queue_events.h - what has happened since the last look becomes rows of pgw.webhook_queue
 */
#ifndef PGW_WEBHOOK_QUEUE_EVENTS_H
#define PGW_WEBHOOK_QUEUE_EVENTS_H

#include "postgres.h"

/* In a transaction: the consumer of events is there while an endpoint is enabled. */
extern void pgw_webhooks_keep_consumer(void);

/*
 * In a transaction, whose commit is flushed before any of it is sent.  How many events were read,
 * so many at most.
 */
extern int pgw_webhooks_queue_events(int most);

#endif
