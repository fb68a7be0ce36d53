/*
 * housekeeping.c - what the worker does now and then, for no attempt in particular: partitions for
 * the events of coming months; the banks' breakers, kept for the next worker; notifications, of
 * which old ones go, odd ones are told of, and those that wait are looked at again; a look whether
 * calls can have their tables; after a start, what readers of events rely on
 *
 * Owns nothing: when each is due next stands in the PgwHousekeeping of its worker.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "bank/call_permission.h"
#include "base/clock.h"
#include "database/batch.h"
#include "database/event_partitions.h"
#include "database/late_events.h"
#include "database/watch_locks.h"
#include "exchange/event_fence.h"
#include "notified/unknown_payment.h"
#include "observe/notification_alerts.h"
#include "queue/due_attempts.h"
#include "store/changes_at_bank.h"
#include "store/told_disputes.h"
#include "store/said_by_bank.h"
#include "store/forget_notifications.h"
#include "worker/housekeeping.h"

#define PARTITIONS_AHEAD 2
#define PARTITION_INTERVAL_MS (24 * 60 * 60 * 1000)
#define PARTITION_RETRY_MS (60 * 1000) /* doubled at each failure ... */
#define PARTITION_LONGEST_RETRY_MS (60 * 60 * 1000)
#define DEFAULT_LARGEST \
	(INT64_C(128) * 1024 * \
	 1024) /* read through in a second or two: a transaction may take five (batch.c) */
#define FENCE_RETRY_MS 1000
#define TIDY_MS (60 * 60 * 1000)
#define SAVE_RETRY_MS 10000
#define ODD_MS (60 * 1000)
#define REFUSED_MS 5000
#define WATCH_MS 1000
#define FORGET_MS (60 * 60 * 1000)
/* A turn's part of a long list, so that nothing else waits: as many a second as can come in. */
#define FORGET_MOST 1000
#define FORGET_MORE_MS 1000
#define EVIDENCE_MS 10000
#define EVIDENCE_MORE_MS 1000
#define EVIDENCE_AGE_MS 5000 /* younger ones have their signal */
#define EVIDENCE_MOST 500

/* ---------------------------------------------------------------- breakers */

static void
load_bank_health(void *arg)
{
	pgw_bank_health_start();
}

void
pgw_housekeeping_start(void)
{
	(void) pgw_batch_transaction(load_bank_health, NULL, false, NULL);
}

static void
save_bank_health(void *arg)
{
	pgw_bank_health_save();
}

static void
tidy_bank_health(void *arg)
{
	pgw_bank_health_tidy();
}

/* Breakers that opened or closed: so that the next worker does not begin with a storm. */
static void
keep_bank_health(PgwHousekeeping *h, TimestampTz now)
{
	if (pgw_is_due(h->next_tidy, now, TIDY_MS))
	{
		h->next_tidy = TimestampTzPlusMilliseconds(now, TIDY_MS);
		(void) pgw_batch_transaction(tidy_bank_health, NULL, false, NULL);
	}
	if (!pgw_is_due(h->next_save, now, SAVE_RETRY_MS) || !pgw_bank_health_changed())
		return;
	if (pgw_batch_transaction(save_bank_health, NULL, false, NULL) == PGW_BATCH_DONE)
		pgw_bank_health_saved();
	else
		h->next_save = TimestampTzPlusMilliseconds(now, SAVE_RETRY_MS);
}

/* ---------------------------------------------------------------- partitions */

static void
make_partitions(void *arg)
{
	*(bool *) arg = pgw_event_partitions_ensure(PARTITIONS_AHEAD, DEFAULT_LARGEST);
}

static void
ensure_partitions(PgwHousekeeping *h, TimestampTz now)
{
	bool fine = false;

	if (!pgw_is_due(h->next_partitions, now, PARTITION_INTERVAL_MS))
		return;
	/*
	 * set first: a failure (a full disk, a lock) is tried again, and the default partition takes
	 * the rows meanwhile
	 */
	h->next_partitions = TimestampTzPlusMilliseconds(
		now, Min(PARTITION_RETRY_MS << h->partition_failures, PARTITION_LONGEST_RETRY_MS));
	h->partition_failures = Min(h->partition_failures + 1, 10);
	if (pgw_batch_transaction(make_partitions, &fine, true, NULL) != PGW_BATCH_DONE)
		return;
	h->partition_failures = 0;
	h->next_partitions =
		TimestampTzPlusMilliseconds(now, fine ? PARTITION_INTERVAL_MS : PARTITION_LONGEST_RETRY_MS);
	if (!fine)
		ereport(
			WARNING,
			(errmsg(
				 "pgw: the events' partition of this month or a coming one is missing, and the worker does not make it"),
			 errdetail(
				 "The server would look through all of pgw.transaction_events_default first, and that has become too large for the worker's turn."),
			 errhint(
				 "Call pgw.ensure_event_partitions() as the owner, at a quiet hour; until then events go to the default partition.")));
}

/* ---------------------------------------------------------------- readers of events */

static void
learn_fence(void *arg)
{
	(void) pgw_late_events_learn();
}

/* Until then each event is listed in pgw.late_events, which costs much more than to ask again. */
static void
learn_of_readers(PgwHousekeeping *h, TimestampTz now)
{
	if (pgw_event_fence() != PGW_FENCE_UNKNOWN || !pgw_is_due(h->next_fence, now, FENCE_RETRY_MS))
		return;
	h->next_fence = TimestampTzPlusMilliseconds(now, FENCE_RETRY_MS);
	(void) pgw_batch_transaction(learn_fence, NULL, false, NULL);
}

static void
forget_late(void *arg)
{
	*(int *) arg = pgw_late_events_forget(FORGET_MOST);
}

static void
forget_late_events(PgwHousekeeping *h, TimestampTz now)
{
	int n = 0;

	if (pgw_event_fence() == PGW_FENCE_UNKNOWN || !pgw_is_due(h->next_late, now, FORGET_MS))
		return;
	h->next_late = TimestampTzPlusMilliseconds(now, FORGET_MS);
	if (pgw_batch_transaction(forget_late, &n, false, NULL) == PGW_BATCH_DONE && n == FORGET_MOST)
		h->next_late = TimestampTzPlusMilliseconds(now, FORGET_MORE_MS);
}

/* ---------------------------------------------------------------- old notifications */

typedef struct Forgetting
{
	TimestampTz now;
	uint64 forgotten;
} Forgetting;

static void
forget(void *arg)
{
	Forgetting *f = arg;

	f->forgotten = pgw_store_forget_notifications(f->now, FORGET_MOST);
}

static void
forget_notifications(PgwHousekeeping *h, TimestampTz now)
{
	Forgetting f = {now, 0};

	if (!pgw_is_due(h->next_forget, now, FORGET_MS))
		return;
	h->next_forget = TimestampTzPlusMilliseconds(now, FORGET_MS);
	if (pgw_batch_transaction(forget, &f, false, NULL) == PGW_BATCH_DONE &&
		f.forgotten == FORGET_MOST)
		h->next_forget = TimestampTzPlusMilliseconds(now, FORGET_MORE_MS);
}

/* ---------------------------------------------------------------- what banks have said by
 * themselves */

typedef struct Waiting
{
	TimestampTz before;
	int n;
	pg_uuid_t ids[EVIDENCE_MOST];
	int nchanged;
	pg_uuid_t changed[EVIDENCE_MOST];
	pg_uuid_t disputed_after;
	int ndisputed;
	pg_uuid_t disputed[EVIDENCE_MOST];
	int nfound;
	PgwMatched found[EVIDENCE_MOST];
} Waiting;

static void
find_waiting(void *arg)
{
	Waiting *w = arg;

	w->n = pgw_store_evidence_waiting(w->before, EVIDENCE_MOST, w->ids);
	w->nchanged = pgw_store_changes_due(pgw_now(), EVIDENCE_MOST, w->changed);
	w->ndisputed =
		pgw_store_disputes_due(w->before, EVIDENCE_MOST, &w->disputed_after, w->disputed);
}

/* Its signal may have been lost, or have come while a request was under way. */
static void
visit_waiting(PgwHousekeeping *h, TimestampTz now)
{
	static Waiting w;

	if (!pgw_is_due(h->next_evidence, now, EVIDENCE_MS))
		return;
	h->next_evidence = TimestampTzPlusMilliseconds(now, EVIDENCE_MS);
	w.before = TimestampTzPlusMilliseconds(now, -EVIDENCE_AGE_MS);
	w.n = w.nchanged = w.ndisputed = 0;
	w.disputed_after = h->disputed_after;
	/* first, so that what is evidence by now is found below */
	w.nfound = pgw_unknown_payments_match(now, w.found, EVIDENCE_MOST);
	if (pgw_batch_transaction(find_waiting, &w, false, NULL) != PGW_BATCH_DONE)
		return;
	/* the rest of a long list comes soon */
	h->disputed_after = w.disputed_after;
	if (w.ndisputed == EVIDENCE_MOST)
		h->next_evidence = TimestampTzPlusMilliseconds(now, EVIDENCE_MORE_MS);
	for (int i = 0; i < w.n && !pgw_due_list_full(); i++)
		(void) pgw_due_add(w.ids[i].data);
	for (int i = 0; i < w.nchanged && !pgw_due_list_full(); i++)
		pgw_due_add_notified(&w.changed[i], "");
	for (int i = 0; i < w.ndisputed && !pgw_due_list_full(); i++)
		pgw_due_add_notified(&w.disputed[i], "");
	/* after the commit: their rows say what follows */
	for (int i = 0; i < w.nfound && !pgw_due_list_full(); i++)
		pgw_due_add_notified(&w.found[i].transaction_id, w.found[i].bank_reference);
}

void
pgw_housekeeping_turn(PgwHousekeeping *h, TimestampTz now)
{
	if (pgw_is_due(h->next_watch, now, WATCH_MS))
	{
		h->next_watch = TimestampTzPlusMilliseconds(now, WATCH_MS);
		(void) pgw_batch_transaction(pgw_tables_watch, NULL, false, NULL);
	}
	learn_of_readers(h, now);
	forget_late_events(h, now);
	visit_waiting(h, now);
	ensure_partitions(h, now);
	keep_bank_health(h, now);
	forget_notifications(h, now);
	if (pgw_is_due(h->next_refused, now, REFUSED_MS))
	{
		h->next_refused = TimestampTzPlusMilliseconds(now, REFUSED_MS);
		pgw_alerts_check_refused(now);
	}
	if (pgw_is_due(h->next_odd, now, ODD_MS))
	{
		h->next_odd = TimestampTzPlusMilliseconds(now, ODD_MS);
		pgw_alerts_check_notifications();
		pgw_alerts_check_disputes();
	}
}
