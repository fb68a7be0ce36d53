/*
 * webhook_counters.c - what became of webhooks, by endpoint, and whether they are sent at all
 *
 * Owns: the counters of endpoints.  Only the database's one sender of webhooks writes them, so
 * there is no lock; a name is complete before the number of names covers it.  Endpoints beyond the
 * table share one that has no name: whoever makes endpoints does not make series without end.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/json_writer.h"
#include "observe/metrics_shmem.h"
#include "observe/webhook_counters.h"

static const char *const result_names[PGW_NWEBHOOK_RESULTS] = {"delivered", "failed", "given_up"};

static PgwEndpointCounters *
counters_of(PgwCounters *c, const char *endpoint)
{
	uint32 n = pg_atomic_read_u32(&c->nendpoints);

	for (uint32 i = 1; i <= n; i++)
	{
		if (strcmp(c->endpoints[i].name, endpoint) == 0)
			return &c->endpoints[i];
	}
	if (n + 1 >= PGW_METRICS_ENDPOINTS)
		return &c->endpoints[0];
	strlcpy(c->endpoints[n + 1].name, endpoint, sizeof(c->endpoints[n + 1].name));
	pg_write_barrier();
	pg_atomic_write_u32(&c->nendpoints, n + 1);
	return &c->endpoints[n + 1];
}

void
pgw_metrics_webhook(const char *endpoint, PgwWebhookResult result)
{
	PgwCounters *c = pgw_metrics_my_counters();

	if (c != NULL)
		pg_atomic_fetch_add_u64(&counters_of(c, endpoint)->results[result], 1);
}

void
pgw_metrics_webhooks_turned(void)
{
	PgwCounters *c = pgw_metrics_my_counters();

	if (c != NULL)
		pg_atomic_write_u64(&c->webhooks_turned_at, (uint64) GetCurrentTimestamp());
}

TimestampTz
pgw_metrics_webhooks_turned_at(void)
{
	PgwCounters *c = pgw_metrics_my_counters();

	return c != NULL ? (TimestampTz) pg_atomic_read_u64(&c->webhooks_turned_at) : 0;
}

static char *
labels_of(const char *endpoint, const char *result)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_begin_object(&w, NULL);
	pgw_json_put_string(&w, "endpoint", endpoint);
	pgw_json_put_string(&w, "result", result);
	pgw_json_end_object(&w);
	return w.text.data;
}

/* All results of an endpoint that had one, so that none begins at 1; of the others what there was.
 */
void
pgw_metrics_each_webhook(PgwMetricPut put, void *arg)
{
	PgwCounters *c = pgw_metrics_my_counters();
	uint32 n;

	if (c == NULL)
		return;
	n = pg_atomic_read_u32(&c->nendpoints);
	pg_read_barrier();
	for (uint32 i = 0; i <= n; i++)
	{
		for (int r = 0; r < PGW_NWEBHOOK_RESULTS; r++)
		{
			uint64 count = pg_atomic_read_u64(&c->endpoints[i].results[r]);

			if (i > 0 || count > 0)
				put(arg, "pgw_webhooks_total", labels_of(c->endpoints[i].name, result_names[r]),
					(double) count);
		}
	}
}
