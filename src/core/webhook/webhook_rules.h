/*
 * webhook_rules.h - what an answer to a webhook means, when it is sent again, and how much an
 * endpoint is sent at a time
 *
 * Pure: times are milliseconds of the caller's clock, the random number in [0, 1) is passed in.
 */
#ifndef PGW_CORE_WEBHOOK_WEBHOOK_RULES_H
#define PGW_CORE_WEBHOOK_WEBHOOK_RULES_H

#include <stdbool.h>
#include <stdint.h>

/* The schedule of Standard Webhooks: at once, and nine more over three days. */
#define PGW_WEBHOOK_ATTEMPTS 10

/* What an endpoint may ask for by Retry-After, at most. */
#define PGW_WEBHOOK_RETRY_AFTER_S (24 * 60 * 60)

/* So many failures in a row, and it gets one message at a time, at growing distances. */
#define PGW_WEBHOOK_TRIAL_AFTER 10

/* It is tried at least this often (before jitter), however long it has failed. */
#define PGW_WEBHOOK_LONGEST_REST_MS (INT64_C(5) * 60 * 1000)

typedef enum PgwWebhookNext
{
	PGW_WEBHOOK_DELIVERED,
	PGW_WEBHOOK_AGAIN,
	PGW_WEBHOOK_GIVEN_UP, /* that was the last attempt */
	PGW_WEBHOOK_GONE      /* 410: the endpoint wants nothing any more */
} PgwWebhookNext;

/*
 * status: of the answer, 0 without one; what stands in its body does not matter.  attempts: with
 * this one.
 */
extern PgwWebhookNext pgw_webhook_judge(long status, int attempts);

/* How long until the next one; retry_after_s as the answer has it, 0: nothing. */
extern int64_t pgw_webhook_delay_ms(int attempts, int retry_after_s, double random);

/* How an endpoint does.  Zeroed: well. */
typedef struct PgwWebhookHealth
{
	int failures;          /* in a row */
	int64_t failing_since; /* 0: it is not */
	int64_t rest_until;
} PgwWebhookHealth;

extern void pgw_webhook_succeeded(PgwWebhookHealth *h);
extern void pgw_webhook_failed(PgwWebhookHealth *h, int64_t now, int retry_after_s, double random);

/* How many more it may be sent now. */
extern int pgw_webhook_places(const PgwWebhookHealth *h, int64_t now, int in_flight,
							  int max_in_flight);

/* Has it failed for so long that it is to be disabled? */
extern bool pgw_webhook_failed_for(const PgwWebhookHealth *h, int64_t now, int64_t after_ms);

#endif
