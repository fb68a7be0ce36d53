/*
 * notification_alerts.c - telling people of what banks send by themselves: amounts that are others,
 * and signatures that are wrong
 *
 * Owns: how many each bank's endpoint had refused when the window began.  It is the worker's memory
 * only: a new worker begins to count again.
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "database/batch.h"
#include "observe/alert_state.h"
#include "observe/alerts.h"
#include "observe/metrics.h"
#include "observe/notification_alerts.h"
#include "store/told_disputes.h"

/* One alone is a scanner of the net, or a clock; so many are a secret that was changed, or worse.
 */
#define REFUSED_THRESHOLD 10
#define REFUSED_WINDOW_MS (5 * 60 * 1000)

/* ---------------------------------------------------------------- amounts */

typedef struct OddOnes
{
	PgwOddNotification *rows;
	int n;
} OddOnes;

static void
find_odd(void *arg)
{
	OddOnes *odd = arg;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	odd->n = pgw_alert_odd_notifications(&odd->rows);
	MemoryContextSwitchTo(old);
}

/*
 * Marked first: a crash in between loses the alert, and leaves the row with what it says; the other
 * order would tell of one row again and again where it cannot be marked.
 */
void
pgw_alerts_check_notifications(void)
{
	OddOnes odd = {.rows = NULL};

	if (pgw_batch_transaction(find_odd, &odd, false, NULL) != PGW_BATCH_DONE)
		return;
	for (int i = 0; i < odd.n; i++)
	{
		PgwOddNotification *o = &odd.rows[i];
		char message[256];

		snprintf(message, sizeof(message),
				 "a notification of bank \"%s\" says an amount that is %s", o->bank,
				 strcmp(o->amounts, "unequal") == 0 ? "not the transaction's" : "unreadable");
		pgw_alert("notification_amount", NULL, o->bank, &o->transaction_id, NULL, message);
		pfree(o->bank);
		pfree(o->amounts);
	}
	if (odd.rows != NULL)
		pfree(odd.rows);
}

/* ---------------------------------------------------------------- disputes */

/* A payment that is under way is Completed in less. */
#define DISPUTE_WAITS_MS (10 * 60 * 1000)
#define ODD_DISPUTES 100

typedef struct OddDisputes
{
	PgwOddDispute *rows;
	int n;
} OddDisputes;

static void
find_odd_disputes(void *arg)
{
	OddDisputes *odd = arg;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	odd->n = pgw_store_odd_disputes(TimestampTzPlusMilliseconds(pgw_now(), -DISPUTE_WAITS_MS),
									ODD_DISPUTES, &odd->rows);
	MemoryContextSwitchTo(old);
}

/* Marked first, as above. */
void
pgw_alerts_check_disputes(void)
{
	OddDisputes odd = {.rows = NULL};

	if (pgw_batch_transaction(find_odd_disputes, &odd, false, NULL) != PGW_BATCH_DONE)
		return;
	for (int i = 0; i < odd.n; i++)
	{
		PgwOddDispute *d = &odd.rows[i];
		char message[256];

		snprintf(
			message, sizeof(message),
			d->waiting
				? "bank \"%s\" tells of a dispute, and there is no completed payment here that it could be of: see pgw.notifications"
				: "bank \"%s\" tells of a dispute that it does not name, or that is another payment's or of another amount than before: see pgw.notifications",
			d->bank);
		pgw_alert("dispute_unclear", d->has_transaction ? NULL : d->bank, d->bank,
				  d->has_transaction ? &d->transaction_id : NULL, NULL, message);
		pfree(d->bank);
		pfree(d->bank_dispute_id);
	}
	if (odd.rows != NULL)
		pfree(odd.rows);
}

/* ---------------------------------------------------------------- signatures */

typedef struct Refused
{
	char bank[64]; /* key */
	TimestampTz since;
	uint64 before; /* that were refused until then */
} Refused;

typedef struct Looking
{
	HTAB *seen;
	TimestampTz now;
	bool first; /* what came before this worker is not news */
} Looking;

static void
look_at(const char *bank, uint64 n, void *arg)
{
	Looking *l = arg;
	char key[64];
	char message[256];
	bool found;
	Refused *r;

	strlcpy(key, bank, sizeof(key));
	r = hash_search(l->seen, key, HASH_ENTER, &found);
	if (!found)
	{
		r->since = l->now;
		r->before = l->first ? n : 0;
	}
	if (n >= r->before + REFUSED_THRESHOLD)
	{
		snprintf(message, sizeof(message),
				 UINT64_FORMAT
				 " notifications for bank \"%s\" could not be verified within five minutes",
				 n - r->before, bank);
		pgw_alert("notifications_refused", bank, bank, NULL, NULL, message);
		r->before = n;
		r->since = l->now;
	}
	/* the counters begin anew with the server, which is not more than before */
	else if (n < r->before || pgw_is_due(TimestampTzPlusMilliseconds(r->since, REFUSED_WINDOW_MS),
										 l->now, REFUSED_WINDOW_MS))
	{
		r->before = n;
		r->since = l->now;
	}
}

void
pgw_alerts_check_refused(TimestampTz now)
{
	static HTAB *seen = NULL;
	Looking l = {.now = now, .first = seen == NULL};

	if (seen == NULL)
	{
		HASHCTL ctl;

		ctl.keysize = sizeof(((Refused *) 0)->bank);
		ctl.entrysize = sizeof(Refused);
		ctl.hcxt = TopMemoryContext;
		seen = hash_create("pgw refused notifications", 16, &ctl,
						   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	l.seen = seen;
	pgw_metrics_each_refused(look_at, &l);
}
