/*
 * alerts.c - telling people: NOTIFY pgw_alerts, a WARNING in the log, a row in pgw.alert_state
 *
 * Owns: pgw.alert_period, pgw.alert_failed_threshold; the queue of alerts not yet written, and the
 * count of failures per bank.
 *
 * Why a queue: an alert is told after the commit of what it is about, in a transaction of its own.
 * A listener never hears of what was rolled back, and an alert that cannot be written never undoes
 * a payment's step.  The queue is memory only: a crash can lose an alert of the last moment, so
 * everything that stays (reviews, doubts, stuck refunds) is found again by its age.
 *
 * No flood: pgw.alert_state remembers per cause when people were last told; within pgw.alert_period
 * it only counts.
 *
 * One alert that cannot be written does not hold up the others, and is tried again at growing
 * distances.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/json_writer.h"
#include "core/base/uuid7.h"
#include "core/pacing/fair_turns.h"
#include "database/batch.h"
#include "database/notify.h"
#include "exchange/log_rate.h"
#include "observe/alert_state.h"
#include "observe/alerts.h"
#include "observe/metrics.h"

#define QUEUE_MAX 1000
#define FLUSH_MAX 100
#define FAILED_WINDOW_MS (5 * 60 * 1000)
#define IN_DOUBT_OLD_MS (15 * 60 * 1000)
#define PENDING_OLD_MS (INT64_C(3) * 24 * 60 * 60 * 1000)
#define UNDECIDED_OLD_MS (5 * 60 * 1000)
#define LONGEST_DELAY_MS (60 * 1000)

typedef struct Alert
{
	PgwBatchItem item; /* first */
	char kind[32];
	char subject[128];
	char bank[64];
	char transaction[37];
	char correlation[37];
	char message[256];
	int count; /* the same cause, again before this was written */
	/* tell, if people were last told before this; 0: before the period */
	TimestampTz told_before;
	int failures;
	TimestampTz not_before;
	bool tell; /* set by apply */
} Alert;

/*
 * Failures of a bank within a window that moves on when it is over, or when the clock was set back
 * behind its beginning.
 */
typedef struct Failures
{
	char bank[64]; /* key */
	TimestampTz since;
	int count;
} Failures;

static int alert_period = 15 * 60;
static int alert_failed_threshold = 10;

static dlist_head queue = DLIST_STATIC_INIT(queue);
static dlist_head due = DLIST_STATIC_INIT(due); /* being written */
static int queued = 0;                          /* on both */
static HTAB *failures = NULL;

static void alert_apply(PgwBatchItem *item);
static void alert_committed(PgwBatchItem *item);
static void alert_failed(PgwBatchItem *item, int sqlstate);
static void alert_broken(PgwBatchItem *item, bool committed);

static const PgwBatchItemOps alert_ops = {"alerts", alert_apply, alert_committed, alert_failed,
										  alert_broken};

void
pgw_alerts_init(void)
{
	DefineCustomIntVariable(
		"pgw.alert_period", "How long after an alert the same cause is only counted.", NULL,
		&alert_period, 15 * 60, 1, 7 * 24 * 60 * 60, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"pgw.alert_failed_threshold",
		"How many transactions of one bank may fail within five minutes before there is an alert.",
		NULL, &alert_failed_threshold, 10, 1, 1000000, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

static Alert *
find_queued(const char *kind, const char *subject)
{
	dlist_iter iter;

	dlist_foreach(iter, &queue)
	{
		Alert *a = dlist_container(Alert, item.node, iter.cur);

		if (strcmp(a->subject, subject) == 0 && strcmp(a->kind, kind) == 0)
			return a;
	}
	return NULL;
}

/* One bank's thousand reviews must not keep another bank's alert from being told. */
static bool
has_place(const char *bank)
{
	dlist_iter iter;
	int n = 0;

	if (queued < QUEUE_MAX / 2)
		return true;
	dlist_foreach(iter, &queue) n +=
		strcmp(dlist_container(Alert, item.node, iter.cur)->bank, bank) == 0;
	return pgw_share_allows(n, QUEUE_MAX - queued, false);
}

/* The alert of this cause, with its newest message; NULL when there are too many. */
static Alert *
enqueue(const char *kind, const char *subject, const char *bank, const char *message)
{
	Alert *a = find_queued(kind, subject);

	if (a == NULL)
	{
		if (!has_place(bank))
			return NULL; /* what stays is found again by its age */
		a = MemoryContextAllocZero(TopMemoryContext, sizeof(Alert));
		a->item.ops = &alert_ops;
		strlcpy(a->kind, kind, sizeof(a->kind));
		strlcpy(a->subject, subject, sizeof(a->subject));
		dlist_push_tail(&queue, &a->item.node);
		queued++;
	}
	a->count++;
	strlcpy(a->message, message, sizeof(a->message));
	return a;
}

static void
alert(const char *kind, const char *subject, const char *bank, const pg_uuid_t *transaction_id,
	  const char *correlation, const char *message, TimestampTz told_before)
{
	Alert *a = enqueue(kind, subject, bank != NULL ? bank : "", message);

	if (a == NULL)
		return;
	strlcpy(a->bank, bank != NULL ? bank : "", sizeof(a->bank));
	if (transaction_id != NULL)
		pgw_uuid_to_text(transaction_id->data, a->transaction);
	strlcpy(a->correlation, correlation != NULL ? correlation : "", sizeof(a->correlation));
	a->told_before = told_before;
}

void
pgw_alert(const char *kind, const char *subject, const char *bank, const pg_uuid_t *transaction_id,
		  const char *correlation, const char *message)
{
	char id[37];

	Assert(subject != NULL || transaction_id != NULL);
	if (subject == NULL)
		pgw_uuid_to_text(transaction_id->data, id);
	alert(kind, subject != NULL ? subject : id, bank, transaction_id, correlation, message, 0);
}

void
pgw_alert_failed(const char *bank)
{
	TimestampTz now = pgw_now();
	Failures *f;
	char key[64];
	bool found;

	if (failures == NULL)
	{
		HASHCTL ctl;

		ctl.keysize = sizeof(key);
		ctl.entrysize = sizeof(Failures);
		ctl.hcxt = TopMemoryContext;
		failures = hash_create("pgw failures", 16, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	strlcpy(key, bank != NULL ? bank : "", sizeof(key));
	f = hash_search(failures, key, HASH_ENTER, &found);
	if (!found ||
		pgw_is_due(TimestampTzPlusMilliseconds(f->since, FAILED_WINDOW_MS), now, FAILED_WINDOW_MS))
	{
		f->since = now;
		f->count = 0;
	}
	if (++f->count >= alert_failed_threshold)
	{
		char message[256];

		snprintf(message, sizeof(message),
				 "%d transactions of bank \"%s\" have failed within five minutes", f->count, key);
		pgw_alert("failed_threshold", key, key, NULL, NULL, message);
	}
}

/* ---------------------------------------------------------------- out of the queue */

/*
 * Every role of the database can listen: bank, subject and message are in pgw.alerts, for those who
 * may read it.
 */
static void
tell_listeners(const Alert *a)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_begin_object(&w, NULL);
	pgw_json_put_int(&w, "v", 1);
	pgw_json_put_string(&w, "kind", a->kind);
	if (a->transaction[0] != '\0')
		pgw_json_put_string(&w, "transaction_id", a->transaction);
	pgw_json_end_object(&w);
	pgw_notify("pgw_alerts", w.text.data);
	pfree(w.text.data);
}

static void
alert_apply(PgwBatchItem *item)
{
	Alert *a = (Alert *) item;
	TimestampTz now = pgw_now();
	TimestampTz told_before = a->told_before != 0
								  ? a->told_before
								  : TimestampTzPlusMilliseconds(now, (int64) -alert_period * 1000);

	a->tell = pgw_alert_count(a->kind, a->subject, a->bank, a->transaction, a->message, a->count,
							  now, told_before);
	if (a->tell)
		tell_listeners(a);
}

static void
alert_committed(PgwBatchItem *item)
{
	uint64 more;

	Alert *a = (Alert *) item;

	/* pgw.alerts has each of them, and listeners were told */
	if (a->tell && pgw_log_due("alert", a->kind, &more))
		ereport(WARNING,
				(errmsg("pgw: %s: %s", a->kind, a->message),
				 a->correlation[0] == '\0'   ? 0
				 : a->transaction[0] == '\0' ? errdetail("correlation id %s", a->correlation)
											 : errdetail("correlation id %s, transaction %s",
														 a->correlation, a->transaction),
				 pgw_log_more(more)));
	queued--;
	pfree(a);
}

static void
alert_failed(PgwBatchItem *item, int sqlstate)
{
	Alert *a = (Alert *) item;

	a->failures = Min(a->failures + 1, 6);
	a->not_before =
		TimestampTzPlusMilliseconds(pgw_now(), Min(500 << a->failures, LONGEST_DELAY_MS));
	dlist_push_tail(&queue, &a->item.node);
}

/* The line for the log could not be had; listeners have been told. */
static void
alert_broken(PgwBatchItem *item, bool committed)
{
	Assert(committed); /* alert_failed() raises nothing */
	queued--;
	pfree(item);
}

void
pgw_alerts_flush(TimestampTz now)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &queue)
	{
		Alert *a = dlist_container(Alert, item.node, iter.cur);

		if (!pgw_is_due(a->not_before, now, LONGEST_DELAY_MS))
			continue;
		dlist_delete(iter.cur);
		dlist_push_tail(&due, &a->item.node);
	}
	if (!dlist_is_empty(&due))
		/* the others at the next turn: it is not to take long */
		(void) pgw_batch_run(&due, FLUSH_MAX, false);
}

/* ---------------------------------------------------------------- what has become too old */

typedef struct Ages
{
	TimestampTz now;
	PgwAgedAttempt *rows;
	int n;
} Ages;

static void
find_aged(void *arg)
{
	Ages *ages = arg;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	ages->n = pgw_alert_aged_attempts(
		TimestampTzPlusMilliseconds(ages->now, -IN_DOUBT_OLD_MS),
		TimestampTzPlusMilliseconds(ages->now, -PENDING_OLD_MS),
		TimestampTzPlusMilliseconds(ages->now, (int64) -pgw_refund_stuck_after * 1000),
		TimestampTzPlusMilliseconds(ages->now, -UNDECIDED_OLD_MS),
		TimestampTzPlusMilliseconds(ages->now, (int64) -60 * 60 * 1000), &ages->rows);
	MemoryContextSwitchTo(old);
}

/* Told again after 1 hour, 4 hours, a day, and then every day. */
static int
review_age_step(int64 age_ms)
{
	int64 hours = age_ms / (60 * 60 * 1000);

	return hours < 4 ? 1 : hours < 24 ? 4 : (int) (hours / 24 * 24);
}

static void
tell_aged(const PgwAgedAttempt *r, TimestampTz now)
{
	char id[37];
	char correlation[37];
	char review[128];
	char message[256];
	int64 age_ms = (now - r->since) / 1000;

	pgw_uuid_to_text(r->transaction_id.data, id);
	pgw_uuid_to_text(r->correlation_id.data, correlation);
	switch (r->status)
	{
		case PGW_REQUIRES_MANUAL_REVIEW:
			snprintf(review, sizeof(review), "%s after %d h", id, review_age_step(age_ms));
			snprintf(message, sizeof(message),
					 "a transaction waits for manual review since " INT64_FORMAT " min",
					 age_ms / 60000);
			/*
			 * once for each step of this review; an earlier review of the same transaction does not
			 * count
			 */
			alert("review_required", review, r->bank, &r->transaction_id, correlation, message,
				  r->since);
			break;
		case PGW_BANK_UNKNOWN:
			snprintf(message, sizeof(message),
					 r->pending ? "the bank says that it is on its way since " INT64_FORMAT " min"
								: "the outcome at the bank is not known since " INT64_FORMAT " min",
					 age_ms / 60000);
			pgw_alert(r->pending ? "pending_old" : "in_doubt_old", NULL, r->bank,
					  &r->transaction_id, correlation, message);
			break;
		case PGW_SAVED:
			snprintf(message, sizeof(message),
					 "whether the bank captured after the commit is not known since " INT64_FORMAT
					 " min",
					 age_ms / 60000);
			pgw_alert("in_doubt_old", NULL, r->bank, &r->transaction_id, correlation, message);
			break;
		case PGW_REFUNDING:
			snprintf(message, sizeof(message),
					 "a charge is being given back since " INT64_FORMAT " min", age_ms / 60000);
			pgw_alert("refund_stuck", NULL, r->bank, &r->transaction_id, correlation, message);
			break;
		case PGW_BANK_APPROVED:
			snprintf(message, sizeof(message),
					 "a charge is approved, and its caller has been undecided for " INT64_FORMAT
					 " min",
					 age_ms / 60000);
			pgw_alert("caller_undecided", NULL, r->bank, &r->transaction_id, correlation, message);
			break;
		default:
			break;
	}
}

void
pgw_alerts_check_ages(TimestampTz now)
{
	Ages ages = {.now = now};

	if (pgw_batch_transaction(find_aged, &ages, false, NULL) != PGW_BATCH_DONE)
		return;
	for (int i = 0; i < ages.n; i++)
		tell_aged(&ages.rows[i], now);
	for (int i = 0; i < ages.n; i++)
	{
		if (ages.rows[i].bank != NULL)
			pfree(ages.rows[i].bank);
	}
	if (ages.rows != NULL)
		pfree(ages.rows);
}
