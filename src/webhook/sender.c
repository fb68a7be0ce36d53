/*
 * sender.c - the process that sends webhooks for one database: its start, its loop, its end
 *
 *     transaction_events --(queue_events.c)--> pgw.webhook_queue --(here)--> endpoint
 *                                                    ^                         |
 *                                                    +----- what it answered --+
 *
 * Why a process of its own: nothing that an endpoint does, or that many of them do at once, takes a
 * turn, a connection or a lock from payments.  The database's worker starts it when an endpoint is
 * enabled, and ends it when it may not work itself, as after a restore (worker/keep_webhooks.c);
 * without endpoints there is no process, and nothing is read.
 *
 * Why a queue: the cursor over the events goes on whatever becomes of a message, which may be tried
 * for three days.  One event is read once for all endpoints, and becomes a row for each that wants
 * it; so a payment's own path writes nothing for webhooks, and no index on the events serves them.
 *
 * Orderings that matter
 *     - The rows are flushed before they are sent, and with them all that they tell of: what an
 *       endpoint has heard is not undone by a crash.
 *     - The result is written after the answer: a crash in between sends the message once more,
 *       with the same id and text.  Nothing is lost.
 *     - Of a payment one message is under way at a time (queue_rows.c).
 *     - Before each sending: is this still the database that was told to go on?  Where records were
 *       loaded, or the directory was copied, the generation has changed, and this process ends.
 *
 * Owns: what is under way; pgw.webhook_deliveries_max_age.  What has ended is results.c's.
 * Locks: a lock of its own on the database, so that there is one of these, however its predecessor
 * ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "core/base/version.h"
#include "core/pacing/fair_turns.h"
#include "core/webhook/webhook_signature.h"
#include "database/batch.h"
#include "database/extension_version.h"
#include "exchange/config_generation.h"
#include "http/http.h"
#include "observe/alerts.h"
#include "observe/webhook_counters.h"
#include "restore/restored_database.h"
#include "webhook/endpoints.h"
#include "webhook/queue_events.h"
#include "webhook/queue_rows.h"
#include "webhook/results.h"
#include "webhook/sender.h"
#include "worker/pinned_settings.h"

#define DAY_S (24 * 60 * 60)
#define READ_MOST 1000
#define READS_MS 5000                  /* a look may take so long ... */
#define READS_MOST_MS (15 * 60 * 1000) /* ... and after one that was too short, up to this */
#define READ_MS 500                    /* from the commit of an event until it is looked for */
#define SECRETS_MS 2000
#define TELL_MS (60 * 1000)
#define RETRY_MS 1000 /* after a transaction that failed */
#define CHANGING_MS 20
#define IDLE_MS 1000
#define FORGET_MS (60 * 60 * 1000)
#define FORGET_MOST 1000
#define MOVE_UP_MS (5 * 60 * 1000)
#define MOVE_UP_MOST 1000
#define MOST_IN_FLIGHT 512
#define ANSWER_MAX 16384
#define CONNECT_MS 5000
#define CONNECTION_AGE_S 60
#define LOCK_FIELD4 7 /* of no advisory lock of a user's: those have 1 and 2 */

PGDLLEXPORT void pgw_webhooks_main(Datum arg);

typedef struct Sender
{
	WaitEventSet *events;
	MemoryContext turn;
	bool checked; /* may work, as of the generation `seen` */
	uint64 seen;
	dlist_head sending;
	int nsending; /* with those whose result is not written yet: then a place is given back */
	TimestampTz next_read;
	bool more;    /* events, that the last look has left */
	int reads_ms; /* how long the next look may take */
	TimestampTz next_load;
	TimestampTz next_secrets;
	TimestampTz next_tell; /* of secrets that cannot sign */
	TimestampTz next_forget;
	TimestampTz next_move_up;
	TimestampTz not_before; /* a transaction has failed */
} Sender;

static Sender sender;
static int max_age = 3 * DAY_S;

void
pgw_webhooks_init(void)
{
	pgw_endpoints_init();
	pgw_results_settings();
	DefineCustomIntVariable("pgw.webhook_deliveries_max_age",
							"How long a webhook's row is kept once it is delivered or given up.",
							NULL, &max_age, 3 * DAY_S, 60, 365 * DAY_S, PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
}

/* ---------------------------------------------------------------- may it work? */

static void
check_place(void *arg)
{
	bool *good = arg;

	*good = pgw_serves_script(pgw_script_version()) &&
			((!pgw_is_restored() && !pgw_restored_is_unnoticed()) || PGW_MUTATED(WEBHOOK_COPY));
	if (!*good)
		return;
	pgw_endpoints_read();
	pgw_webhooks_keep_consumer();
}

static bool
any_enabled(void)
{
	dlist_iter iter;

	dlist_foreach(iter, pgw_endpoints())
	{
		if (dlist_container(PgwWebhookEndpoint, node, iter.cur)->enabled)
			return true;
	}
	return false;
}

/*
 * As of now: true, it may read and send.  What is about to become visible may be a restore, so
 * nothing is done until it has.
 */
static bool
may_work(void)
{
	uint64 generation = pgw_exchange_generation();
	bool good = false;

	if (sender.checked && generation == sender.seen && !pgw_exchange_config_is_changing())
		return true;
	sender.checked = false;
	switch (pgw_batch_transaction(check_place, &good, false, NULL))
	{
		case PGW_BATCH_DONE:
			break;
		case PGW_BATCH_NO_EXTENSION:
			proc_exit(0);
		default:
			return false;
	}
	if (good && !any_enabled())
	{
		pgw_alerts_flush(pgw_now()); /* why the last one was disabled */
		proc_exit(0);
	}
	if (!good)
		proc_exit(0);
	sender.seen = generation;
	sender.checked = true;
	return !pgw_exchange_config_is_changing();
}

/* ---------------------------------------------------------------- what has come */

static void
take_results(void)
{
	PgwHttpDone done;

	pgw_http_drive();
	while (pgw_http_next_done(&done))
	{
		PgwDelivery *d = done.tag;
		instr_time took;

		INSTR_TIME_SET_CURRENT(took);
		INSTR_TIME_SUBTRACT(took, d->started);
		d->ms = (int) Min(INSTR_TIME_GET_MILLISEC(took), 3600000.0);
		d->transfer = NULL;
		dlist_delete(&d->node);
		pgw_results_judge(d, &done);
		pgw_http_release(done.handle);
	}
}

/* ---------------------------------------------------------------- one transaction of the queue */

/* How many of them an endpoint may be sent now: no one takes what is there for all. */
static int
places(PgwWebhookEndpoint *e, TimestampTz now)
{
	int in_all = Min(pgw_http_capacity(), MOST_IN_FLIGHT);
	bool alone = dlist_head_node(pgw_endpoints()) == dlist_tail_node(pgw_endpoints());
	int in_flight = e->in_flight;
	int own = pgw_webhook_places(&e->health, now / 1000, in_flight, e->max_in_flight);
	int n = 0;

	if (!e->enabled || e->secret_fault != NULL || e->disable_because != NULL)
		return 0;
	while (n < own && pgw_share_allows(in_flight + n, in_all - sender.nsending - n, alone))
		n++;
	return n;
}

typedef struct Loading
{
	TimestampTz now;
	dlist_head loaded;
} Loading;

/* After the results' transaction, as it frees their places. */
static void
load(void *arg)
{
	Loading *t = arg;
	dlist_iter iter;

	pgw_deliveries_free(&t->loaded); /* of a try that was rolled back */
	dlist_foreach(iter, pgw_endpoints())
	{
		PgwWebhookEndpoint *e = dlist_container(PgwWebhookEndpoint, node, iter.cur);
		int most = places(e, t->now);

		if (most > 0)
			pgw_queue_rows_load(e, t->now, most, &sender.sending, pgw_results_unwritten(),
								TopMemoryContext, &t->loaded);
	}
}

/* ---------------------------------------------------------------- sending */

static char *
signature_of(const PgwDelivery *d, int64 timestamp)
{
	PgwBuf text;
	char *header = NULL;

	pgw_buf_init(&text, 0);
	if (pgw_webhook_sign(pgw_secret_values(d->endpoint->secret), d->message_id, timestamp,
						 d->payload, strlen(d->payload), &text))
		header = psprintf("webhook-signature: %s", text.data);
	pgw_buf_free(&text);
	return header;
}

static void
send_one(PgwDelivery *d)
{
	PgwWebhookEndpoint *e = d->endpoint;
	int64 timestamp = pgw_unix_seconds(GetCurrentTimestamp());
	const char *error = "the secret cannot sign";
	char *headers[5] = {
		"Content-Type: application/json", "User-Agent: pgw-webhooks/" PGW_LIBRARY_VERSION,
		psprintf("webhook-id: %s", d->message_id),
		psprintf("webhook-timestamp: " INT64_FORMAT, timestamp), signature_of(d, timestamp)};
	PgwHttpRequest req = {.method = "POST",
						  .url = d->url,
						  .headers = headers,
						  .nheaders = lengthof(headers),
						  .body = d->payload,
						  .body_len = strlen(d->payload),
						  .connect_timeout_ms = Min(CONNECT_MS, e->timeout_ms),
						  .total_timeout_ms = e->timeout_ms,
						  .max_body = ANSWER_MAX,
						  .ca_file = e->ca_file,
						  .max_connection_age_s = CONNECTION_AGE_S,
						  .may_connect = pgw_endpoint_may_connect(e)};

	e->in_flight++;
	sender.nsending++;
	INSTR_TIME_SET_CURRENT(d->started);
	if (headers[4] != NULL)
		d->transfer = pgw_http_start(&req, d, &error);
	pfree(d->payload);
	d->payload = NULL;
	if (d->transfer != NULL)
	{
		dlist_push_tail(&sender.sending, &d->node);
		return;
	}
	pgw_results_put_off(d, error);
}

static void
send_all(dlist_head *loaded)
{
	while (!dlist_is_empty(loaded))
		send_one(dlist_container(PgwDelivery, node, dlist_pop_head_node(loaded)));
	pgw_http_drive();
}

/* ---------------------------------------------------------------- a turn's parts */

static bool
committed(PgwBatchEnd end, TimestampTz now)
{
	if (end == PGW_BATCH_NO_EXTENSION)
		proc_exit(0);
	if (end == PGW_BATCH_DONE)
		return true;
	sender.not_before = TimestampTzPlusMilliseconds(now, RETRY_MS);
	return false;
}

static void
read_events(void *arg)
{
	*(int *) arg = pgw_webhooks_queue_events(READ_MOST);
}

/*
 * After a very long transaction all events since its beginning are looked through once: each try
 * that was too short is followed by a longer one.  Nothing is under way meanwhile, whose answer
 * nobody would take; one that has come and cannot be written, as somebody holds its row, keeps
 * nobody waiting.
 */
static bool
reads_for_long(void)
{
	return sender.reads_ms > READS_MS;
}

/* Flushed: what is told is not undone by a crash. */
static void
read_turn(TimestampTz now)
{
	int n = 0;
	int sqlstate = 0;

	if ((!sender.more && !pgw_is_due(sender.next_read, now, READ_MS)) ||
		(reads_for_long() && !dlist_is_empty(&sender.sending)))
		return;
	sender.more = false;
	sender.next_read = TimestampTzPlusMilliseconds(now, READ_MS);
	if (committed(pgw_batch_transaction_within(sender.reads_ms, read_events, &n, true, &sqlstate),
				  now))
		sender.reads_ms = READS_MS;
	else
	{
		sender.checked = false; /* the consumer may be gone, and is made again */
		if (sqlstate == ERRCODE_QUERY_CANCELED && !PGW_MUTATED(WEBHOOK_LONG_READ))
			sender.reads_ms = Min(sender.reads_ms * 4, READS_MOST_MS);
	}
	if (n == 0)
		return;
	sender.next_load = now;
	sender.more = n == READ_MOST;
	PGW_DEBUG_POINT("webhooks_queued");
}

static void
queue_turns(TimestampTz now)
{
	Loading t = {.now = now};
	bool load_due = pgw_is_due(sender.next_load, now, IDLE_MS);
	int written = 0;

	dlist_init(&t.loaded);
	/* also before each look, as that gives back their places */
	if (pgw_results_are_due() || load_due)
		written = pgw_results_write(now);
	sender.nsending -= written;
	if (!load_due && written == 0)
		return;
	sender.next_load = TimestampTzPlusMilliseconds(now, IDLE_MS);
	if (reads_for_long())
		return;
	if (committed(pgw_batch_transaction(load, &t, false, NULL), now))
		send_all(&t.loaded);
	else
		pgw_deliveries_free(&t.loaded);
}

static void
forget(void *arg)
{
	uint64 *n = arg;

	*n = pgw_queue_rows_forget(TimestampTzPlusMilliseconds(pgw_now(), (int64) max_age * -1000),
							   FORGET_MOST);
}

static void
move_up(void *arg)
{
	pgw_queue_rows_move_up(pgw_now(), MOVE_UP_MOST);
}

static void
write_secret_fault(void *arg)
{
	PgwWebhookEndpoint *e = arg;

	pgw_queue_rows_secret(e->name, e->secret_fault);
}

/* For people who ask why nothing is sent. */
static void
write_secret_faults(void)
{
	dlist_iter iter;

	dlist_foreach(iter, pgw_endpoints())
	{
		PgwWebhookEndpoint *e = dlist_container(PgwWebhookEndpoint, node, iter.cur);

		if (e->enabled && !e->fault_written)
			e->fault_written =
				pgw_batch_transaction(write_secret_fault, e, false, NULL) == PGW_BATCH_DONE;
	}
}

static void
tell_of_secrets(void)
{
	dlist_iter iter;

	dlist_foreach(iter, pgw_endpoints())
	{
		PgwWebhookEndpoint *e = dlist_container(PgwWebhookEndpoint, node, iter.cur);

		if (e->enabled && e->secret_fault != NULL)
			pgw_endpoint_tell(e, "webhook_failing", e->secret_fault);
	}
}

static void
housekeeping(TimestampTz now)
{
	uint64 n = 0;

	if (pgw_is_due(sender.next_secrets, now, SECRETS_MS))
	{
		sender.next_secrets = TimestampTzPlusMilliseconds(now, SECRETS_MS);
		if (pgw_endpoints_watch_secrets())
			sender.next_tell = now;
		write_secret_faults();
	}
	if (pgw_is_due(sender.next_tell, now, TELL_MS))
	{
		sender.next_tell = TimestampTzPlusMilliseconds(now, TELL_MS);
		tell_of_secrets();
	}
	if (pgw_is_due(sender.next_forget, now, FORGET_MS))
	{
		sender.next_forget = TimestampTzPlusMilliseconds(now, FORGET_MS);
		if (committed(pgw_batch_transaction(forget, &n, false, NULL), now) && n == FORGET_MOST)
			sender.next_forget = TimestampTzPlusMilliseconds(now, RETRY_MS);
	}
	if (pgw_is_due(sender.next_move_up, now, MOVE_UP_MS))
	{
		sender.next_move_up = TimestampTzPlusMilliseconds(now, MOVE_UP_MS);
		(void) committed(pgw_batch_transaction(move_up, NULL, false, NULL), now);
	}
	pgw_alerts_flush(now);
}

static void
turn(void)
{
	TimestampTz now = pgw_now();

	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	take_results();
	pgw_metrics_webhooks_turned();
	if (!pgw_is_due(sender.not_before, now, RETRY_MS) || !may_work())
		return;
	read_turn(now);
	if (may_work()) /* asked again: what was read may have come with a restore */
		queue_turns(now);
	housekeeping(now);
}

static long
timeout_ms(void)
{
	long http = pgw_http_timeout_ms();
	long results = pgw_results_wait_ms();
	long ms = READ_MS;

	if (results >= 0)
		ms = results;
	if (sender.more)
		ms = 0;
	if (!sender.checked || pgw_exchange_config_is_changing())
		ms = CHANGING_MS;
	return http >= 0 ? Min(ms, http) : ms;
}

/* ---------------------------------------------------------------- the process */

/* One of these at a time; its predecessor may not have ended yet. */
static void
be_the_only_one(void)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, LOCK_FIELD4);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		proc_exit(0);
}

static void
start(Oid dboid)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, pgw_batch_cancel);
	pqsignal(SIGPIPE, PG_SIG_IGN);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	pgw_pin_settings();
	pgw_pin_for_queries("pgw webhooks");
	be_the_only_one();
	pgw_http_init();
	dlist_init(&sender.sending);
	pgw_results_init();
	sender.reads_ms = READS_MS;
	sender.turn =
		AllocSetContextCreate(TopMemoryContext, "pgw webhooks turn", ALLOCSET_DEFAULT_SIZES);
	sender.events = pgw_create_wait_event_set(3);
	AddWaitEventToSet(sender.events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(sender.events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(sender.events, WL_SOCKET_READABLE, pgw_http_fd(), NULL, NULL);
}

/* An ERROR outside of a transaction's work ends this process: the next one reads the tables. */
void
pgw_webhooks_main(Datum arg)
{
	start(DatumGetObjectId(arg));
	MemoryContextSwitchTo(sender.turn);
	ereport(LOG, (errmsg("pgw: webhooks are sent for database %u", MyDatabaseId)));
	for (;;)
	{
		WaitEvent event;

		CHECK_FOR_INTERRUPTS();
		turn();
		MemoryContextReset(sender.turn);
		(void) WaitEventSetWait(sender.events, timeout_ms(), &event, 1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
