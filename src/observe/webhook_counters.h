/*
 * webhook_counters.h - what became of webhooks, by endpoint, and whether they are sent at all
 */
#ifndef PGW_OBSERVE_WEBHOOK_COUNTERS_H
#define PGW_OBSERVE_WEBHOOK_COUNTERS_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "observe/metrics.h"

typedef enum PgwWebhookResult
{
	PGW_WEBHOOK_COUNT_DELIVERED = 0,
	PGW_WEBHOOK_COUNT_FAILED, /* an attempt; it is sent again */
	PGW_WEBHOOK_COUNT_GIVEN_UP,
	PGW_NWEBHOOK_RESULTS
} PgwWebhookResult;

/* The process that sends them, of which a database has one at a time. */
extern void pgw_metrics_webhook(const char *endpoint, PgwWebhookResult result);
extern void pgw_metrics_webhooks_turned(void);

/* When it made its last turn; 0: not since the server's start. */
extern TimestampTz pgw_metrics_webhooks_turned_at(void);

extern void pgw_metrics_each_webhook(PgwMetricPut put, void *arg);

#endif
