/*
 * metrics_read.c - the counters as figures with names and labels
 *
 * Owns nothing.  What is read while others count may be a moment apart from figure to figure.
 */
#include "postgres.h"

#include <stdarg.h>

#include "utils/timestamp.h"

#include "base/json_writer.h"
#include "core/base/error_codes.h"
#include "observe/metrics_shmem.h"

static const char *const end_names[PGW_NATTEMPT_ENDS] = {
	"captured", "authorized", "completed", "declined", "failed", "given_back", "in_review"};

bool
pgw_metrics_bank_seen(const char *bank, PgwBankSeen *out)
{
	PgwCounters *b = pgw_metrics_my_counters();
	int i = b != NULL ? pgw_metrics_find_bank(b, bank) : 0;

	memset(out, 0, sizeof(*out));
	if (i == 0)
		return false;
	out->last_success = (TimestampTz) pg_atomic_read_u64(&b->banks[i].last_success);
	out->last_failure = (TimestampTz) pg_atomic_read_u64(&b->banks[i].last_failure);
	out->failures = pg_atomic_read_u64(&b->banks[i].failures);
	out->credentials_rejected = (TimestampTz) pg_atomic_read_u64(&b->banks[i].credentials_rejected);
	out->clock_seen = pg_atomic_read_u32(&b->banks[i].clock_seen) != 0;
	out->clock_ahead_s = (int64) pg_atomic_read_u64(&b->banks[i].clock_ahead);
	out->secret_fault = (int) pg_atomic_read_u32(&b->banks[i].secret_fault);
	return true;
}

static uint64
events_of(PgwCounters *b, PgwEventType type)
{
	return pg_atomic_read_u64(&b->events[true][type]) + pg_atomic_read_u64(&b->events[false][type]);
}

void
pgw_recovery_figures(PgwRecoveryFigures *out)
{
	PgwCounters *b = pgw_metrics_my_counters();

	memset(out, 0, sizeof(*out));
	if (b == NULL)
		return;
	out->looked_at = pg_atomic_read_u64(&b->looked_at);
	out->resolved = pg_atomic_read_u64(&b->resolved);
	out->given_back = events_of(b, PGW_EV_REFUND_COMPLETED);
	out->to_review = events_of(b, PGW_EV_MANUAL_REVIEW_REQUIRED);
	out->retried = events_of(b, PGW_EV_BANK_RETRY_SCHEDULED) +
				   events_of(b, PGW_EV_REFUND_RETRY_SCHEDULED) +
				   events_of(b, PGW_EV_CAPTURE_RETRY_SCHEDULED);
	out->calls = pg_atomic_read_u64(&b->all_calls);
}

/* name, value, name, value ...: n pairs */
static char *
make_labels(int n, ...)
{
	PgwJsonWriter w;
	va_list args;

	pgw_json_begin(&w);
	pgw_json_begin_object(&w, NULL);
	va_start(args, n);
	for (int i = 0; i < n; i++)
	{
		const char *name = va_arg(args, const char *);

		pgw_json_put_string(&w, name, va_arg(args, const char *));
	}
	va_end(args);
	pgw_json_end_object(&w);
	return w.text.data;
}

/* The label that stands on everything that is of payments or banks. */
static const char *
mode_name(bool livemode)
{
	return livemode ? "true" : "false";
}

typedef struct Reader
{
	PgwMetricPut put;
	void *arg;
} Reader;

/* The histogram NAME, with two labels and the mode; nothing while nothing was counted. */
static void
put_times(const Reader *r, const char *name, PgwTimes *h, bool livemode, const char *label1,
		  const char *value1, const char *label2, const char *value2)
{
	const char *mode = mode_name(livemode);
	const char *labels = make_labels(3, "livemode", mode, label1, value1, label2, value2);
	uint64 counts[PGW_HISTOGRAM_BUCKETS];
	uint64 total = 0;

	/* each bucket is read once, so that they grow whatever is counted meanwhile */
	for (int i = 0; i < PGW_HISTOGRAM_BUCKETS; i++)
	{
		total += pg_atomic_read_u64(&h->counts[i]);
		counts[i] = total;
	}
	if (total == 0)
		return;
	for (int i = 0; i < PGW_HISTOGRAM_BUCKETS; i++)
		r->put(r->arg, psprintf("%s_bucket", name),
			   make_labels(4, "livemode", mode, label1, value1, label2, value2, "le",
						   pgw_histogram_bound(i)),
			   (double) counts[i]);
	r->put(r->arg, psprintf("%s_sum", name), labels, (double) pg_atomic_read_u64(&h->sum_us) / 1e6);
	r->put(r->arg, psprintf("%s_count", name), labels, (double) total);
}

static double
epoch(TimestampTz when)
{
	return (double) when / USECS_PER_SEC +
		   (double) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
}

static const char *
result_name(int result)
{
	if (result == PGW_RESULT_NEVER_SENT)
		return "never_sent";
	return result == PGW_RESULT_NO_ANSWER ? "no_answer" : pgw_outcome_name((PgwOutcome) result);
}

/* Declines and failures of payments, by code: they are as many as pgw_error_table() has. */
static void
put_errors(const Reader *r, PgwBankCounters *k)
{
	size_t n;
	const PgwErrorInfo *table = pgw_error_table(&n);

	for (int i = 0; i < PGW_METRICS_ERRORS; i++)
	{
		const char *code = i < n ? table[i].code : "other";
		uint64 times = pg_atomic_read_u64(&k->errors[i]);

		if (times > 0)
			r->put(
				r->arg, pgw_error_is_decline(code) ? "pgw_declines_total" : "pgw_failures_total",
				make_labels(3, "livemode", mode_name(k->livemode), "bank", k->name, "code", code),
				(double) times);
	}
}

static void
put_bank(const Reader *r, PgwBankCounters *k)
{
	const char *mode = mode_name(k->livemode);
	uint64 n;

	for (int kind = 0; kind < PGW_NKINDS; kind++)
	{
		for (int end = 0; end < PGW_NATTEMPT_ENDS; end++)
		{
			if ((n = pg_atomic_read_u64(&k->ends[kind][end])) > 0)
				r->put(r->arg, "pgw_transactions_total",
					   make_labels(4, "livemode", mode, "bank", k->name, "operation",
								   pgw_kind_name((PgwKind) kind), "outcome", end_names[end]),
					   (double) n);
		}
	}
	put_errors(r, k);
	for (int op = 0; op < PGW_NOPS; op++)
	{
		const char *name = pgw_op_name((PgwBankOp) op);

		for (int result = 0; result < PGW_NRESULTS; result++)
		{
			if ((n = pg_atomic_read_u64(&k->calls[op][result])) > 0)
				r->put(r->arg, "pgw_bank_calls_total",
					   make_labels(4, "livemode", mode, "bank", k->name, "operation", name,
								   "result", result_name(result)),
					   (double) n);
		}
		put_times(r, "pgw_bank_call_duration_seconds", &k->call_times[op], k->livemode, "bank",
				  k->name, "operation", name);
	}
	for (int v = 0; v < PGW_NNOTIFICATION_VERDICTS; v++)
	{
		if ((n = pg_atomic_read_u64(&k->notifications[v])) > 0)
			r->put(r->arg, "pgw_notifications_total",
				   make_labels(3, "livemode", mode, "bank", k->name, "verdict",
							   pgw_notification_verdict_name((PgwNotificationVerdict) v)),
				   (double) n);
	}
	if ((n = pg_atomic_read_u64(&k->last_success)) > 0)
		r->put(r->arg, "pgw_bank_last_success_timestamp_seconds",
			   make_labels(2, "livemode", mode, "bank", k->name), epoch((TimestampTz) n));
}

static void
put_mode(const Reader *r, PgwCounters *b, bool livemode)
{
	for (int i = 0; i < PGW_NEVENTS; i++)
		r->put(r->arg, "pgw_events_total",
			   make_labels(2, "livemode", mode_name(livemode), "event",
						   pgw_event_name((PgwEventType) i)),
			   (double) pg_atomic_read_u64(&b->events[livemode][i]));
	for (int kind = 0; kind < PGW_NKINDS; kind++)
	{
		for (int end = 0; end < PGW_NATTEMPT_ENDS; end++)
			put_times(r, "pgw_transaction_duration_seconds", &b->times[livemode][kind][end],
					  livemode, "operation", pgw_kind_name((PgwKind) kind), "outcome",
					  end_names[end]);
	}
}

void
pgw_metrics_each(PgwMetricPut put, void *arg)
{
	PgwCounters *b = pgw_metrics_my_counters();
	Reader r = {put, arg};
	uint32 nbanks;

	if (b == NULL)
		return;
	put(arg, "pgw_stats_since_timestamp_seconds", "{}", epoch(b->since));
	put(arg, "pgw_recovery_scans_total", "{}", (double) pg_atomic_read_u64(&b->scans));
	for (int mode = true; mode >= false; mode--)
		put_mode(&r, b, mode);
	nbanks = pg_atomic_read_u32(&b->nbanks);
	pg_read_barrier();
	for (uint32 i = 0; i < nbanks; i++)
		put_bank(&r, &b->banks[i]);
}
