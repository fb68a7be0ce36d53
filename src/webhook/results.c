/*
 * results.c - what endpoints have answered, until it is written
 *
 * Owns: the results that are not written; pgw.webhook_disable_after.
 *
 * Many results are written in one transaction.  If that fails (somebody has one of the rows
 * locked), each gets one of its own and waits for a moment only: so who holds a row keeps that one
 * message from going on, and no other.  How an endpoint does is written apart from them, and
 * without any wait: as long as somebody holds its row it is kept here, and nothing is sent to one
 * that is to be disabled.
 *
 * A result that is not written when the process ends is lost, and its message is sent once more.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "core/base/mutant.h"
#include "core/bank_message/retry_after.h"
#include "database/batch.h"
#include "database/wait_limit.h"
#include "observe/alerts.h"
#include "observe/webhook_counters.h"
#include "webhook/endpoints.h"
#include "webhook/results.h"

#define DAY_S (24 * 60 * 60)
#define RESULTS_MS 10 /* results wait for others so long */
#define RESULTS_MANY 64
#define RETRY_MS 1000
#define WAIT_MS 100 /* for a row that somebody holds */
#define BUSY_MOST 4 /* ... and for so many of them at one go */

static dlist_head results;
static int nresults = 0;
static TimestampTz first_result = 0;
static bool singly = false; /* a transaction of many has failed */
static TimestampTz not_before = 0;
static TimestampTz endpoints_not_before = 0;
static int disable_after = 3 * DAY_S;

void
pgw_results_settings(void)
{
	DefineCustomIntVariable(
		"pgw.webhook_disable_after",
		"How long an endpoint of webhooks may fail, without one success, until it is disabled.",
		NULL, &disable_after, 3 * DAY_S, 60, 30 * DAY_S, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

void
pgw_results_init(void)
{
	dlist_init(&results);
}

dlist_head *
pgw_results_unwritten(void)
{
	return &results;
}

static void
delivery_free(PgwDelivery *d)
{
	if (d->payload != NULL)
		pfree(d->payload);
	pfree(d->url);
	pfree(d);
}

void
pgw_deliveries_free(dlist_head *list)
{
	while (!dlist_is_empty(list))
		delivery_free(dlist_container(PgwDelivery, node, dlist_pop_head_node(list)));
}

/* ---------------------------------------------------------------- what an answer means */

static double
random_fraction(void)
{
	return pg_prng_double(&pg_global_prng_state);
}

void
pgw_endpoint_tell(const PgwWebhookEndpoint *e, const char *kind, const char *what)
{
	char message[256];

	snprintf(message, sizeof(message), "webhooks to \"%s\": %s", e->name, what);
	pgw_alert(kind, e->name, NULL, NULL, NULL, message);
}

static void
add(PgwDelivery *d)
{
	dlist_push_tail(&results, &d->node);
	if (nresults++ == 0)
		first_result = GetCurrentTimestamp();
}

static void
put_off(PgwDelivery *d, const char *error)
{
	d->attempts--;
	d->next = PGW_WEBHOOK_AGAIN;
	d->again_at = TimestampTzPlusMilliseconds(d->ended_at, RETRY_MS);
	strlcpy(d->error, error, sizeof(d->error));
}

void
pgw_results_put_off(PgwDelivery *d, const char *error)
{
	d->ended_at = pgw_now();
	put_off(d, error);
	add(d);
}

static void
endpoint_failed(PgwWebhookEndpoint *e, PgwDelivery *d, int retry_after_s)
{
	int64 now = d->ended_at / 1000;
	bool failing = e->health.failing_since != 0;

	pgw_webhook_failed(&e->health, now, retry_after_s, random_fraction());
	e->health_changed |= !failing;
	if (e->health.failures == PGW_WEBHOOK_TRIAL_AFTER)
		pgw_endpoint_tell(e, "webhook_failing", "ten in a row were not taken");
	if (d->next == PGW_WEBHOOK_GIVEN_UP)
		pgw_endpoint_tell(e, "webhook_undelivered",
						  "a message was given up after its last attempt");
	if (d->next == PGW_WEBHOOK_GONE)
		e->disable_because = "it has answered 410 Gone";
	else if (pgw_webhook_failed_for(&e->health, now, (int64) disable_after * 1000))
		e->disable_because = "it has failed for longer than pgw.webhook_disable_after";
}

static PgwWebhookResult
counted_as(PgwWebhookNext next)
{
	switch (next)
	{
		case PGW_WEBHOOK_DELIVERED:
			return PGW_WEBHOOK_COUNT_DELIVERED;
		case PGW_WEBHOOK_GIVEN_UP:
			return PGW_WEBHOOK_COUNT_GIVEN_UP;
		case PGW_WEBHOOK_AGAIN:
		case PGW_WEBHOOK_GONE:
			break;
	}
	return PGW_WEBHOOK_COUNT_FAILED;
}

/* What has answered is not where its messages go now, or was given up and then enabled again. */
static bool
is_former(const PgwDelivery *d)
{
	const PgwWebhookEndpoint *e = d->endpoint;

	return !PGW_MUTATED(WEBHOOK_FORMER) &&
		   (strcmp(d->url, e->url) != 0 || d->enabled_at != e->enabled_at);
}

static void
judge(PgwDelivery *d, const PgwHttpDone *done)
{
	PgwWebhookEndpoint *e = d->endpoint;
	int retry_after_s = pgw_retry_after_read(done->retry_after, PGW_WEBHOOK_RETRY_AFTER_S);

	if (done->our_fault)
	{
		put_off(d, done->error);
		return;
	}
	if (is_former(d))
	{
		put_off(d, "the endpoint was changed meanwhile");
		return;
	}
	/* a status is the answer, whatever becomes of the body, of which nothing is wanted */
	d->status = done->status >= 200 ? done->status : 0;
	if (d->status == 0)
		strlcpy(d->error, done->error != NULL ? done->error : "no answer", sizeof(d->error));
	d->next = pgw_webhook_judge(d->status, d->attempts);
	d->again_at = TimestampTzPlusMilliseconds(
		d->ended_at, pgw_webhook_delay_ms(d->attempts, retry_after_s, random_fraction()));
	pgw_metrics_webhook(e->name, counted_as(d->next));
	if (d->next == PGW_WEBHOOK_DELIVERED)
	{
		e->health_changed |= e->health.failing_since != 0;
		pgw_webhook_succeeded(&e->health);
	}
	else
		endpoint_failed(e, d, retry_after_s);
}

void
pgw_results_judge(PgwDelivery *d, const PgwHttpDone *done)
{
	d->ended_at = pgw_now();
	judge(d, done);
	add(d);
}

/* ---------------------------------------------------------------- writing them */

bool
pgw_results_are_due(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (nresults == 0 || now < not_before)
		return false;
	return nresults >= RESULTS_MANY || TimestampDifferenceExceeds(first_result, now, RESULTS_MS);
}

long
pgw_results_wait_ms(void)
{
	if (nresults == 0)
		return -1;
	return GetCurrentTimestamp() < not_before ? RETRY_MS : RESULTS_MS;
}

typedef struct Writing
{
	dlist_head *list;
	TimestampTz now;
} Writing;

static void
record(void *arg)
{
	Writing *w = arg;

	pgw_queue_rows_record(w->list, w->now);
}

static PgwBatchEnd
write_list(dlist_head *list, TimestampTz now)
{
	Writing w = {list, now};
	PgwWaitLimit limit;
	PgwBatchEnd end;

	/* an ERROR of its work does not come out of a transaction */
	pgw_wait_limit_begin(&limit, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WAIT_MS));
	end = pgw_batch_transaction(record, &w, false, NULL);
	pgw_wait_limit_end(&limit);
	return end;
}

static void
is_written(PgwDelivery *d)
{
	d->endpoint->in_flight--;
	nresults--;
	delivery_free(d);
}

static int
write_together(TimestampTz now, PgwBatchEnd *end)
{
	int n = 0;

	*end = write_list(&results, now);
	if (*end != PGW_BATCH_DONE)
		return 0;
	for (; !dlist_is_empty(&results); n++)
		is_written(dlist_container(PgwDelivery, node, dlist_pop_head_node(&results)));
	return n;
}

/* Those that cannot be written go to the end, so that the next go begins with others. */
static int
write_singly(TimestampTz now, PgwBatchEnd *end)
{
	int n = 0;
	int busy = 0;

	for (int left = nresults; left > 0 && busy < BUSY_MOST; left--)
	{
		dlist_node *node = dlist_pop_head_node(&results);
		dlist_head one;

		dlist_init(&one);
		dlist_push_tail(&one, node);
		*end = write_list(&one, now);
		dlist_delete(node);
		if (*end == PGW_BATCH_DONE)
		{
			is_written(dlist_container(PgwDelivery, node, node));
			n++;
			continue;
		}
		if (*end == PGW_BATCH_NO_EXTENSION)
			return n;
		dlist_push_tail(&results, node);
		busy++;
	}
	if (busy > 0)
		*end = PGW_BATCH_FAILED;
	singly = busy > 0;
	return n;
}

/* ---------------------------------------------------------------- how endpoints do */

static void
write_endpoint(void *arg)
{
	PgwWebhookEndpoint *e = arg;

	e->written = pgw_queue_rows_endpoint(e, pgw_now());
}

/* Of one that is disabled already, what comes in late says nothing new. */
static bool
is_to_be_written(const PgwWebhookEndpoint *e)
{
	return e->enabled && (e->health_changed || e->disable_because != NULL);
}

static void
write_endpoints(void)
{
	TimestampTz now = GetCurrentTimestamp();
	dlist_iter iter;

	if (now < endpoints_not_before)
		return;
	dlist_foreach(iter, pgw_endpoints())
	{
		PgwWebhookEndpoint *e = dlist_container(PgwWebhookEndpoint, node, iter.cur);

		if (!is_to_be_written(e))
			continue;
		e->written = false;
		if (pgw_batch_transaction(write_endpoint, e, false, NULL) != PGW_BATCH_DONE || !e->written)
		{
			endpoints_not_before = TimestampTzPlusMilliseconds(now, RETRY_MS);
			continue;
		}
		e->health_changed = false;
		if (e->disable_because == NULL)
			continue;
		e->enabled = false;
		pgw_endpoint_tell(e, "webhook_disabled", e->disable_because);
	}
	pgw_endpoints_forget();
}

static int
write_results(TimestampTz now)
{
	PgwBatchEnd end = PGW_BATCH_DONE;
	bool together = !singly;
	int n = together ? write_together(now, &end) : write_singly(now, &end);

	if (end == PGW_BATCH_NO_EXTENSION)
		proc_exit(0);
	if (end == PGW_BATCH_DONE)
		return n;
	/* at once after the one that failed; then others have their turn */
	if (together && end == PGW_BATCH_FAILED && !PGW_MUTATED(WEBHOOK_ROW_HELD))
		singly = true;
	else
		not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RETRY_MS);
	return n;
}

int
pgw_results_write(TimestampTz now)
{
	int n = 0;

	if (nresults > 0 && GetCurrentTimestamp() >= not_before)
		n = write_results(now);
	write_endpoints();
	return n;
}
