/*
 * attempts.c - work that is found in the tables: submitted payments, votes to be counted, notifications
 *
 * Owns the list of attempts to look at.  An id gets on it by a signal, by the scan for what is due, or because the caller of a call left
 * before the answer; what is to be done is decided under the attempt's row lock, by the row alone.  So a doubled or stale id is harmless.
 *
 * Orderings that matter
 *	- A submitted attempt is taken (taken, no next attempt, BankProcessingStarted) in a flushed commit before its request leaves; whoever
 *	  looks again finds it taken.  A crash in between is a durable intent without an answer: never sent again blindly.
 *	- Locks are taken without waiting: the attempt's row, then the payments row.
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "core/uuid7.h"
#include "infra/calls_internal.h"
#include "infra/store_internal.h"
#include "infra/vote.h"

#define SIGNALS_MAX 512
#define BUSY_DELAY_MS 50
#define MAX_BUSY 20
#define NOT_CONFIGURED_DELAY_MS 30000

typedef struct PgwAttempt
{
	PgwItem		item;			/* first */
	pg_uuid_t	transaction_id;
	bool		notify;			/* the caller has committed: tell the listeners */
	int			busy;			/* times that a row was locked */
	TimestampTz not_before;
	char		parked_for[64]; /* set by apply: this bank has no room; "" otherwise */
	bool		later;			/* set by apply: a row was busy */
	PgwCall    *call;			/* made by apply */
} PgwAttempt;

static MemoryContext attempts_context;
static dlist_head attempts;
static dlist_head parked;		/* their bank has no room */
static dlist_head postponed;	/* until not_before */
static TimestampTz scan_at = 0; /* something was put off in the table until then */

static void attempt_apply(PgwItem *item);
static void attempt_committed(PgwItem *item);
static void attempt_failed(PgwItem *item, int sqlstate);

static const PgwItemOps attempt_ops = {"attempts", attempt_apply, attempt_committed, attempt_failed};

void
pgw_attempts_init(void)
{
	attempts_context = AllocSetContextCreate(TopMemoryContext, "pgw attempts", ALLOCSET_DEFAULT_SIZES);
	dlist_init(&attempts);
	dlist_init(&parked);
	dlist_init(&postponed);
}

static PgwAttempt *
add(const uint8 *transaction_id)
{
	PgwAttempt *a = MemoryContextAllocZero(attempts_context, sizeof(PgwAttempt));

	memcpy(a->transaction_id.data, transaction_id, UUID_LEN);
	a->item.ops = &attempt_ops;
	dlist_push_tail(&attempts, &a->item.node);
	return a;
}

void
pgw_calls_add_attempt(const uint8 *transaction_id)
{
	(void) add(transaction_id);
}

void
pgw_calls_take_signals(bool *rescan)
{
	static PgwSignal signals[SIGNALS_MAX];
	int			n;

	*rescan = false;
	do
	{
		bool		lost;

		n = pgw_exchange_signals(signals, SIGNALS_MAX, &lost);
		*rescan |= lost;
		for (int i = 0; i < n; i++)
		{
			/* ABORTED: the same look; giving back what the caller left is decided there */
			PgwAttempt *a = add(signals[i].transaction_id.data);

			a->notify = signals[i].kind == PGW_SIGNAL_COMMITTED;
		}
	} while (n == SIGNALS_MAX);
}

/* ---------------------------------------------------------------- submitted payments */

static void
expire(PgwTransaction *t, PgwAttempt *a)
{
	PgwFlowDecision d;
	PgwPayment	p;
	bool		busy = false;
	bool		locked = pgw_store_lock_payment(&t->payment_id, false, &p, &busy);

	if (busy)
	{
		a->later = true;
		return;
	}
	pgw_flow_expired(&d);
	t->next_attempt_at = 0;
	pgw_vote_record(t, locked && p.status == PGW_PAY_PENDING ? &p : NULL, &d, NULL, NULL);
}

/* Cannot be sent as things are configured: stays Created, tried again in a while. */
static void
put_off(PgwTransaction *t, const PgwCall *call, const char *code, const char *why)
{
	ereport(WARNING,
			(errmsg("pgw: a submitted payment cannot be sent now: %s", code),
			 errdetail("correlation id %s, bank \"%s\"%s%s", call->correlation, t->bank, why[0] ? ": " : "", why)));
	t->next_attempt_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), NOT_CONFIGURED_DELAY_MS);
	pgw_store_update_transaction(t);	/* no step, so no event: only when to look again */
	pgw_attempts_wake_at(t->next_attempt_at);
}

static bool
render_submitted(PgwCall *call, const PgwTransaction *t, PgwBank *bank, const char **code, PgwConnectorError *err)
{
	PgwCallParams params;

	memset(&params, 0, sizeof(params));
	params.amount = t->amount;
	params.currency = t->currency;
	params.token = t->token;
	params.merchant = t->merchant;
	params.reference = t->reference;
	params.bank_fields = t->bank_fields;
	call->op = pgw_flow_operation(t->capture, true);
	return pgw_call_render(call, bank, &params, code, err);
}

static void
take_submitted(PgwTransaction *t, PgwAttempt *a)
{
	PgwEvent	event = {.type = PGW_EV_BANK_PROCESSING_STARTED, .from = PGW_CREATED, .to = PGW_CREATED};
	PgwBank    *bank = pgw_config_bank(t->bank);
	PgwConnectorError err = {.message = ""};
	const char *code = NULL;

	if (bank != NULL && bank->enabled && !pgw_call_bank_has_room(bank))
	{
		strlcpy(a->parked_for, bank->name, sizeof(a->parked_for));
		return;
	}
	a->call = pgw_call_new(&t->transaction_id, &t->correlation_id, true);
	if (bank == NULL || !bank->enabled)
		code = bank == NULL ? "unknown_bank" : "bank_disabled";
	if (code != NULL || !render_submitted(a->call, t, bank, &code, &err))
	{
		put_off(t, a->call, code, err.message);
		pgw_call_free(a->call);
		a->call = NULL;
		return;
	}
	t->taken = true;
	t->next_attempt_at = 0;
	t->attempts++;
	t->bank_key = pstrdup(a->call->reference);
	t->bank_key_used_at = GetCurrentTimestamp();
	event.operation = pgw_op_name(a->call->op);
	pgw_store_advance(t, false, &event, 1);
}

static void
work_on_created(PgwTransaction *t, PgwAttempt *a)
{
	TimestampTz now = GetCurrentTimestamp();

	/* taken: its request is out, or was when a worker ended; that is not for us to repeat */
	if (!t->submitted || t->taken || t->kind != PGW_KIND_PAYMENT)
		return;
	if (t->next_attempt_at == 0 || t->next_attempt_at > now)
		return;
	if (t->expires_at != 0 && t->expires_at <= now)
		expire(t, a);
	else
		take_submitted(t, a);
}

/* ---------------------------------------------------------------- the item */

static void
notify(const PgwTransaction *t)
{
	PgwPayment	p;

	if (pgw_store_payment_by_id(&t->payment_id, &p))
		pgw_store_notify_payment(&p);
}

static void
attempt_apply(PgwItem *item)
{
	PgwAttempt *a = (PgwAttempt *) item;
	PgwTransaction t;
	PgwVote		vote = PGW_VOTE_NOTHING;
	bool		busy = false;

	a->later = false;
	a->parked_for[0] = '\0';
	if (a->call != NULL)
	{
		/* made in a transaction that was rolled back */
		pgw_call_free(a->call);
		a->call = NULL;
	}
	if (!pgw_store_lock_transaction(&a->transaction_id, false, &t, &busy))
	{
		a->later = busy;
		return;
	}
	if (t.status == PGW_CREATED)
		work_on_created(&t, a);
	else
		vote = pgw_vote_finish(&t);

	/* ROLLED_BACK, FOREIGN and UNDECIDED stay due: the scan comes back to them, and nothing is concluded from their age */
	a->later |= vote == PGW_VOTE_BUSY;
	if (a->notify && !a->later && vote != PGW_VOTE_SAVED)
		notify(&t);				/* saving has notified */
}

static void
attempt_committed(PgwItem *item)
{
	PgwAttempt *a = (PgwAttempt *) item;

	if (a->call != NULL)
	{
		pgw_call_ready(a->call);
		a->call = NULL;
	}
	else if (a->parked_for[0] != '\0')
	{
		dlist_push_tail(&parked, &a->item.node);
		return;
	}
	else if (a->later && ++a->busy <= MAX_BUSY)
	{
		a->not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), BUSY_DELAY_MS * a->busy);
		dlist_push_tail(&postponed, &a->item.node);
		return;
	}
	pfree(a);
}

static void
attempt_failed(PgwItem *item, int sqlstate)
{
	PgwAttempt *a = (PgwAttempt *) item;
	char		id[37];

	pgw_uuid_to_text(a->transaction_id.data, id);

	/* The error is in the log.  Nothing was changed: the next scan finds it as it was. */
	ereport(WARNING, (errmsg("pgw: work on an attempt failed"),
					  errdetail("transaction %s", id)));
	if (a->call != NULL)
		pgw_call_free(a->call);
	pfree(a);
}

/* ---------------------------------------------------------------- when */

void
pgw_attempts_wake_at(TimestampTz when)
{
	if (scan_at == 0 || when < scan_at)
		scan_at = when;
}

bool
pgw_calls_scan_due(TimestampTz now)
{
	if (scan_at == 0 || scan_at > now)
		return false;
	scan_at = 0;				/* what is put off again sets it again */
	return true;
}

/* As many as their banks now have room for. */
static void
unpark(void)
{
	dlist_mutable_iter iter;
	int			moved = 0;

	dlist_foreach_modify(iter, &parked)
	{
		PgwAttempt *a = dlist_container(PgwAttempt, item.node, iter.cur);
		PgwBank    *bank = pgw_config_bank(a->parked_for);

		if (bank != NULL && bank->max_in_flight > 0 && bank->in_flight + moved >= bank->max_in_flight)
			continue;
		dlist_delete(iter.cur);
		dlist_push_tail(&attempts, &a->item.node);
		moved++;
	}
}

static void
take_postponed(TimestampTz now)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &postponed)
	{
		PgwAttempt *a = dlist_container(PgwAttempt, item.node, iter.cur);

		if (a->not_before > now)
			continue;
		dlist_delete(iter.cur);
		dlist_push_tail(&attempts, &a->item.node);
	}
}

void
pgw_attempts_collect(dlist_head *items)
{
	take_postponed(GetCurrentTimestamp());
	unpark();
	while (!dlist_is_empty(&attempts))
		dlist_push_tail(items, dlist_pop_head_node(&attempts));
}

TimestampTz
pgw_calls_next_due(void)
{
	TimestampTz next = scan_at;
	TimestampTz result = pgw_results_next_due();
	dlist_iter	iter;

	if (next == 0 || (result != 0 && result < next))
		next = result;
	if (!dlist_is_empty(&attempts))
		next = 1;				/* at once: a committed result has asked for a look */
	dlist_foreach(iter, &postponed)
	{
		PgwAttempt *a = dlist_container(PgwAttempt, item.node, iter.cur);

		if (next == 0 || a->not_before < next)
			next = a->not_before;
	}
	return next;
}
