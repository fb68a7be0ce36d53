/*
 * ask_banks.c - the bank is asked for notifications that anybody may have sent, by their own ids
 *
 *      row (notified/unconfirmed.c) ---> claimed ---(commit)---> HTTP ---> answered ---> its row
 *
 * Such a call moves no money and is of no attempt: of what came nothing counts but the id, and of
 * the answer what the connector reads of any notification.
 *
 * Owns: what banks have answered, until that is committed.
 *
 * Orderings that matter
 *     - First it is written down when the bank is asked again, then it is asked: whoever is killed
 *       in between asks again, which does no harm.
 *     - What the answer says is recorded in one commit (notified/unconfirmed.c); only then are
 *       attempts visited.
 *
 * Bounds: such calls take from what notifications may ask a bank for (bank/call_permission.c),
 * never from what recovery may, and from the bank's room as look-ups do; a flood of what somebody
 * has made up waits in the table, and what lies in memory takes turns with it.
 */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include "postgres.h"

#include <string.h>

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bank/bank_config.h"
#include "bank/call_permission.h"
#include "bank_call/bank_lanes.h"
#include "base/clock.h"
#include "base/new_id.h"
#include "core/base/mutant.h"
#include "core/notification/ask_again.h"
#include "core/notification/notification_verdict.h"
#include "core/pacing/fair_turns.h"
#include "database/batch.h"
#include "exchange/ask_first.h"
#include "notified/unconfirmed.h"
#include "observe/alerts.h"
#include "observe/metrics.h"
#include "queue/ask_banks.h"
#include "queue/due_attempts.h"
#include "queue/send_after_flush.h"

#define LOOK_MS 1000 /* at the table, where a bank is asked at all */
#define AT_ONCE 20
#define FIRST_AT_ONCE 8     /* of those that have no row */
#define AGAIN_MS 1000       /* what could not be written, or has no room at its bank */
#define CLAIM_FOR_MS 30000  /* beyond the request's own time */
#define FAILURES_MAX 10     /* then it is asked for anew */
#define MOST_FOLLOW_UPS 100 /* of a payment */

typedef enum AskEnd
{
	ASK_NOTHING = 0, /* no answer, or none that says anything */
	ASK_CONFIRMED,
	ASK_NOT_FOUND
} AskEnd;

typedef struct PgwAsk
{
	dlist_node node;
	PgwUnconfirmed what;
	AskEnd end;
	PgwNotification said; /* ASK_CONFIRMED */
	int failures;
} PgwAsk;

static dlist_head answered = DLIST_STATIC_INIT(answered);
static TimestampTz not_before = 0; /* of what is answered: writing it has failed */
static TimestampTz last_look = 0;

/*
 * By the bank's name: was what has no row asked for last?  Then what has one goes before it.  Two
 * banks that share a place share the turns.
 */
#define TURNS 64
static bool first_was_last[TURNS];

/* ---------------------------------------------------------------- is any bank asked? */

static bool
is_asked(const PgwBank *bank)
{
	return bank->connector != NULL && pgw_notification_expected(bank->connector) &&
		   pgw_notification_is_asked_for(bank->connector);
}

/* Known until the configuration is read again: each turn of the worker wants to know. */
static bool
any_is_asked(void)
{
	static uint64 known_at = 0;
	static bool known = false;
	PgwBank *bank;

	if (known_at == pgw_config_reads())
		return known;
	known = false;
	for (int i = 0; !known && (bank = pgw_config_nth(i)) != NULL; i++)
		known = is_asked(bank);
	known_at = pgw_config_reads();
	return known;
}

TimestampTz
pgw_asks_next_at(void)
{
	if (!dlist_is_empty(&answered))
		return Max(not_before, 1);
	/* no sooner than that, while nothing may be asked: it is not looked at the table then */
	return any_is_asked() ? Max(TimestampTzPlusMilliseconds(last_look, LOOK_MS),
								TimestampTzPlusMilliseconds(pgw_now(), LOOK_MS / 10))
						  : 0;
}

void
pgw_asks_sweep(void)
{
	static TimestampTz last_sweep = 0;
	TimestampTz now = pgw_now();

	if (!pgw_is_due(TimestampTzPlusMilliseconds(last_sweep, LOOK_MS), now, LOOK_MS))
		return;
	last_sweep = now;
	pgw_exchange_ask_first_sweep();
}

/* ---------------------------------------------------------------- the answer */

void
pgw_ask_note(PgwCall *call, const PgwHttpDone *done)
{
	PgwAsk *ask = call->ask;

	if (done->result != PGW_HTTP_ANSWERED)
		return;
	if (call->answer.outcome == PGW_OUT_NOT_FOUND)
		ask->end = ASK_NOT_FOUND;
	else if (call->answer.outcome == PGW_OUT_APPROVED &&
			 pgw_notification_confirmed(call->bank->connector, ask->what.event_id, done->body->data,
										done->body->len, call->bank->livemode, &ask->said))
		ask->end = ASK_CONFIRMED;
}

void
pgw_ask_over(PgwCall *call)
{
	PgwAsk *ask = call->ask;

	call->ask = NULL;
	dlist_push_tail(&answered, &ask->node);
	pgw_call_free(call);
}

/* ---------------------------------------------------------------- what becomes of it */

typedef struct Ending
{
	PgwAsk *ask;
	const PgwBank *bank;
	bool counts;
	PgwNotificationVerdict verdict; /* where it counts */
	int n;
	PgwMatched found[MOST_FOLLOW_UPS];
} Ending;

/* The bank is asked again: what has no time left was not asked for (claim()). */
static void
ask_again(const PgwUnconfirmed *what, TimestampTz now)
{
	pgw_unconfirmed_ask_at(what, TimestampTzPlusMilliseconds(now, pgw_ask_again_ms(what->age_ms)));
}

static void
refuse(Ending *e, PgwNotificationVerdict verdict)
{
	e->counts = pgw_unconfirmed_drop(&e->ask->what);
	e->verdict = verdict;
}

static void
end(void *arg)
{
	Ending *e = arg;
	PgwAsk *ask = e->ask;
	TimestampTz now = pgw_now();

	e->counts = false;
	e->n = 0;
	e->bank = pgw_config_bank(ask->what.bank);
	if (ask->what.has_no_row && (ask->end != ASK_CONFIRMED || ask->said.other_mode))
		return; /* nobody was promised anything */
	if (e->bank == NULL || e->bank->connector == NULL || ask->end == ASK_NOTHING)
		ask_again(&ask->what, now);
	else if (ask->end == ASK_NOT_FOUND && !pgw_ask_not_found_counts(ask->what.age_ms))
		pgw_unconfirmed_ask_at(
			&ask->what,
			TimestampTzPlusMilliseconds(now, PGW_ASK_NOT_FOUND_MS - Max(ask->what.age_ms, 0)));
	else if (ask->end == ASK_NOT_FOUND)
		refuse(e, PGW_NOTIFICATION_NOT_CONFIRMED);
	else if (ask->said.other_mode)
		refuse(e, PGW_NOTIFICATION_OTHER_MODE);
	else
	{
		e->n = pgw_unconfirmed_is_confirmed(&ask->what, &ask->said, e->bank, e->found,
											MOST_FOLLOW_UPS);
		e->counts = e->n >= 0;
		e->verdict = PGW_NOTIFICATION_ACCEPTED;
	}
}

/* false: it could not be written. */
static bool
write_end(PgwAsk *ask)
{
	static Ending e;

	e.ask = ask;
	if (pgw_batch_transaction(end, &e, true, NULL) != PGW_BATCH_DONE)
		return false;
	if (e.counts && e.bank != NULL)
		pgw_metrics_notification(e.bank->name, e.bank->livemode, e.verdict);
	/* after the commit: its row says what follows, and is found again */
	for (int i = 0; i < e.n && !pgw_due_list_full(); i++)
		pgw_due_add_notified(&e.found[i].transaction_id, e.found[i].bank_reference);
	return true;
}

void
pgw_asks_record(void)
{
	TimestampTz now;

	if (dlist_is_empty(&answered))
		return; /* each turn of the worker comes here */
	now = pgw_now();
	if (!pgw_is_due(not_before, now, AGAIN_MS))
		return;
	not_before = 0;
	while (!dlist_is_empty(&answered))
	{
		PgwAsk *ask = dlist_head_element(PgwAsk, node, &answered);

		if (!write_end(ask) && ++ask->failures < FAILURES_MAX)
		{
			not_before = TimestampTzPlusMilliseconds(now, AGAIN_MS);
			return;
		}
		dlist_delete(&ask->node);
		explicit_bzero(ask, sizeof(*ask)); /* the id of one without a row may be anything */
		pfree(ask);
	}
}

/* ---------------------------------------------------------------- asking */

typedef struct Turn
{
	TimestampTz now;
	PgwAskFirst first[FIRST_AT_ONCE];
	int nfirst;
	PgwUnconfirmed due[AT_ONCE];
	int n;
	const PgwUnconfirmed *over[AT_ONCE]; /* of these: their time has ended */
	int nover;
	PgwCall *calls[FIRST_AT_ONCE + AT_ONCE];
	int ncalls; /* each with its request */
} Turn;

static PgwCall *
new_call(const PgwUnconfirmed *what, PgwBank *bank)
{
	pg_uuid_t id;
	PgwCall *call;

	pgw_new_id(&id);
	call = pgw_call_new(&id, NULL, &id, false);
	call->op = PGW_OP_VERIFY_NOTIFICATION;
	strlcpy(call->bank_name, bank->name, sizeof(call->bank_name));
	return call;
}

static bool *
turn_of(const char *bank)
{
	return &first_was_last[pgw_turns_key(bank) % TURNS];
}

/* When it is asked for again if nothing is heard of this; *made: it is asked for now. */
static TimestampTz
ask(Turn *t, const PgwUnconfirmed *what, bool *made)
{
	int64 again_ms = pgw_ask_again_ms(what->age_ms);
	TimestampTz later = again_ms < 0 ? 0 : TimestampTzPlusMilliseconds(t->now, again_ms);
	PgwBank *bank = pgw_config_bank(what->bank);
	PgwCallParams params = {.notification_id = what->event_id};
	PgwConnectorError err;
	const char *code;
	TimestampTz when;
	PgwCall *call;

	*made = false;
	if (bank == NULL || !is_asked(bank) || later == 0)
		return later;
	if (!pgw_lanes_room(bank->name, PGW_LANE_LOOKUP, false))
		return TimestampTzPlusMilliseconds(t->now, AGAIN_MS);
	params.currency =
		bank->currencies != NULL && bank->currencies[0] != NULL ? bank->currencies[0] : "EUR";
	/* on the list before anything can raise: whoever ends the turn frees it */
	call = t->calls[t->ncalls] = new_call(what, bank);
	t->ncalls++;
	if (!pgw_call_allowed(call, bank->name, PGW_RETRY_NOTIFIED, &when))
		later = when;
	else if (pgw_call_render(call, bank, &params, &code, &err))
	{
		call->ask = MemoryContextAllocZero(TopMemoryContext, sizeof(PgwAsk));
		call->ask->what = *what;
		*turn_of(bank->name) = what->has_no_row && !PGW_MUTATED(ASKED_FIRST_ALWAYS);
		*made = true;
		return TimestampTzPlusMilliseconds(t->now, bank->request_timeout_ms + CLAIM_FOR_MS);
	}
	t->ncalls--;
	pgw_call_free(call);
	return later;
}

static void
forget_calls(Turn *t)
{
	for (int i = 0; i < t->ncalls; i++)
		pgw_call_free(t->calls[i]);
	t->ncalls = 0;
}

/* What cannot be asked for within a minute is forgotten: it comes again. */
static void
ask_first(Turn *t, const PgwAskFirst *first)
{
	PgwUnconfirmed what = {
		.received_at = first->received_at, .recorded_at = t->now, .has_no_row = true};
	bool made;

	pgw_new_id(&what.notification_id);
	strlcpy(what.bank, first->bank, sizeof(what.bank));
	strlcpy(what.event_id, first->event_id, sizeof(what.event_id));
	strlcpy(what.identity, first->identity, sizeof(what.identity));
	(void) ask(t, &what, &made);
	if (!made && (t->now - first->received_at) / 1000 < PGW_ASK_FIRST_FOR_MS)
		pgw_exchange_ask_later(MyDatabaseId, first);
	explicit_bzero(&what, sizeof(what));
}

static void
claim(void *arg)
{
	Turn *t = arg;
	const PgwAskFirst *after[FIRST_AT_ONCE]; /* the rows */
	int nafter = 0;

	forget_calls(t); /* of a transaction that is run again */
	/*
	 * Both take from one bucket, which may have less than a token a second, and anybody can have
	 * the bank asked for more than that of either kind.  So at each bank they take turns by what is
	 * really asked for, whenever that is.
	 */
	for (int i = 0; i < t->nfirst; i++)
	{
		if (*turn_of(t->first[i].bank))
			after[nafter++] = &t->first[i];
		else
			ask_first(t, &t->first[i]);
	}
	t->nover = 0;
	t->n = pgw_unconfirmed_due(t->now, AT_ONCE, t->due);
	for (int i = 0; i < t->n; i++)
	{
		bool made;
		TimestampTz next = ask(t, &t->due[i], &made);

		pgw_unconfirmed_ask_at(&t->due[i], next);
		if (next == 0)
			t->over[t->nover++] = &t->due[i];
	}
	for (int i = 0; i < nafter; i++)
		ask_first(t, after[i]);
}

/*
 * The bank could not be asked for it, or has said nothing of it, for so long that nobody asks any
 * more: it may have been the bank's, so a person has to know.
 */
static void
tell_over(const PgwUnconfirmed *what)
{
	const PgwBank *bank = pgw_config_bank(what->bank);
	char subject[128];
	char message[256];

	if (bank != NULL)
		pgw_metrics_notification(bank->name, bank->livemode, PGW_NOTIFICATION_NOT_CONFIRMED);
	snprintf(subject, sizeof(subject), "%s unconfirmed", what->bank);
	snprintf(
		message, sizeof(message),
		"bank \"%s\" has said nothing for a day of notifications that came from it, or from somebody else: see pgw.notifications with the outcome unconfirmed",
		what->bank);
	pgw_alert("notifications_refused", subject, what->bank, NULL, NULL, message);
}

void
pgw_asks_send(void)
{
	static Turn t;
	TimestampTz now = pgw_now();
	bool done;

	if (!any_is_asked() ||
		!pgw_is_due(TimestampTzPlusMilliseconds(last_look, LOOK_MS), now, LOOK_MS))
		return;
	last_look = now;
	t.now = now;
	t.n = t.ncalls = t.nover = 0;
	t.nfirst = pgw_exchange_asked_first(t.first, FIRST_AT_ONCE);
	done = pgw_batch_transaction(claim, &t, false, NULL) == PGW_BATCH_DONE;
	explicit_bzero(t.first, sizeof(t.first));
	if (!done)
	{
		forget_calls(&t);
		return;
	}
	for (int i = 0; i < t.ncalls; i++)
		pgw_call_ready(t.calls[i]);
	t.ncalls = 0;
	for (int i = 0; i < t.nover; i++)
		tell_over(t.over[i]);
}
