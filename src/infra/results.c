/*
 * results.c - a bank call's result on its way into the tables, and back to the caller who waits
 *
 * Owns the calls whose exchange is over, until their result is committed.  core/flow.c decides, vote.c writes.
 *
 * Orderings that matter
 *	- A waiting caller's result may commit asynchronously: the caller's own commit has a later LSN and is forced to be synchronous, and
 *	  after a crash in between the attempt is "started, no answer".  Results that nobody waits for are flushed.
 *	- The answer is put into the slot only after the commit, so that the caller finds the row.
 *	- A result is written once: the state is looked at under the row's lock, and every result leaves Created (or is a look at BankUnknown).
 *	- Locks: the attempt's row, then a submitted payment's row, both without waiting; busy means again a little later.
 */
#include "postgres.h"

#include "utils/elog.h"
#include "utils/timestamp.h"

#include "infra/calls_internal.h"
#include "infra/vote.h"

#define BUSY_DELAY_MS 100
#define FAILED_DELAY_MS 1000
#define MAX_RESULT_FAILURES 5
#define UNDECIDED_CALLER_MS 5000

static dlist_head done;			/* not_before says when */

static void result_apply(PgwItem *item);
static void result_committed(PgwItem *item);
static void result_failed(PgwItem *item, int sqlstate);

const PgwItemOps pgw_result_ops = {"results", result_apply, result_committed, result_failed};

void
pgw_results_init(void)
{
	dlist_init(&done);
}

void
pgw_call_result(PgwCall *call)
{
	call->item.ops = &pgw_result_ops;
	dlist_push_tail(&done, &call->item.node);
}

static void
retry_later(PgwCall *call, int ms)
{
	call->not_before = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
	pgw_call_result(call);
}

bool
pgw_results_pending(void)
{
	return !dlist_is_empty(&done);
}

TimestampTz
pgw_results_next_due(void)
{
	TimestampTz next = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &done)
	{
		PgwCall    *call = dlist_container(PgwCall, item.node, iter.cur);
		TimestampTz when = Max(call->not_before, 1);	/* 0 means none */

		if (next == 0 || when < next)
			next = when;
	}
	return next;
}

void
pgw_results_forget(void)
{
	pgw_calls_forget_in(&done);
}

/* Sort them by whether somebody waits. */
void
pgw_results_collect(TimestampTz now, dlist_head *awaited, dlist_head *others)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &done)
	{
		PgwCall    *call = dlist_container(PgwCall, item.node, iter.cur);

		if (call->not_before > now)
			continue;
		dlist_delete(iter.cur);
		dlist_push_tail(call->slot >= 0 && !pgw_exchange_abandoned(call->slot) ? awaited : others, &call->item.node);
	}
}

/* May the payments row be written now?  false: busy, and the decision needs it. */
static bool
lock_for_result(const PgwCall *call, const PgwTransaction *t, PgwPayment *p, bool *locked)
{
	bool		busy = false;

	*locked = call->submitted && pgw_store_lock_payment(&t->payment_id, false, p, &busy) &&
		memcmp(&p->transaction_id, &t->transaction_id, sizeof(pg_uuid_t)) == 0 && p->status == PGW_PAY_PENDING;
	return !busy;
}

static void
reply_with(PgwCall *call, PgwState status)
{
	memset(&call->reply, 0, sizeof(call->reply));
	call->reply.kind = PGW_ANSWER_OUTCOME;
	call->reply.status = status;
}

static void
set_next_attempt(const PgwCall *call, PgwTransaction *t, const PgwFlowDecision *d)
{
	TimestampTz now = GetCurrentTimestamp();

	t->next_attempt_at = 0;
	if (d->state != PGW_BANK_APPROVED)
		return;
	/* approved: the caller's vote, or a busy row.  Found by a scan even if no signal ever comes. */
	t->next_attempt_at = TimestampTzPlusMilliseconds(now, call->submitted ? 1000 : UNDECIDED_CALLER_MS);
	if (call->submitted)
		pgw_attempts_wake_at(t->next_attempt_at);
}

static void
result_apply(PgwItem *item)
{
	PgwCall    *call = (PgwCall *) item;
	PgwTransaction t;
	PgwPayment	p;
	PgwFlowInput in;
	PgwFlowDecision d;
	bool		busy = false;
	bool		payment_free;

	call->later = false;
	if (!pgw_store_lock_transaction(&call->transaction_id, false, &t, &busy))
	{
		call->later = busy;
		reply_with(call, PGW_BANK_UNKNOWN);
		return;
	}
	reply_with(call, t.status);
	if (t.status != PGW_CREATED && t.status != PGW_BANK_UNKNOWN)
	{
		ereport(WARNING, (errmsg("pgw: an answer came for an attempt in state %s, and is not used", pgw_state_name(t.status)),
						  errdetail("correlation id %s", call->correlation)));
		return;
	}
	memset(&in, 0, sizeof(in));
	payment_free = lock_for_result(call, &t, &p, &in.payment_locked);
	in.kind = t.kind;
	in.state = t.status;
	in.capture = t.capture;
	in.submitted = call->submitted;
	in.amount = t.amount;
	in.currency = t.currency;
	in.transport = call->transport;
	in.answer = &call->answer;
	pgw_flow_result(&in, &d);
	if (!payment_free && d.state == PGW_FAILED)
	{
		call->later = true;		/* attempt and payments row fail in one commit or not yet */
		return;
	}
	set_next_attempt(call, &t, &d);
	pgw_vote_record(&t, in.payment_locked ? &p : NULL, &d, pgw_op_name(call->op),
					call->transport == PGW_TRANSPORT_ANSWERED ? &call->answer : NULL);
	reply_with(call, d.state);
}

static void
result_committed(PgwItem *item)
{
	PgwCall    *call = (PgwCall *) item;
	bool		gone = !call->submitted && (call->slot < 0 || pgw_exchange_abandoned(call->slot));

	if (call->later)
	{
		retry_later(call, BUSY_DELAY_MS);
		return;
	}
	/* The caller's wait ran out: its transaction may be over already, so nobody else will come back to this attempt. */
	if (gone)
		pgw_calls_add_attempt(call->transaction_id.data);
	if (call->slot >= 0)
		pgw_exchange_answer(call->slot, &call->reply);
	pgw_call_free(call);
}

static void
result_failed(PgwItem *item, int sqlstate)
{
	PgwCall    *call = (PgwCall *) item;

	ereport(WARNING, (errmsg("pgw: an answer of the bank could not be written (SQLSTATE %s)", unpack_sql_state(sqlstate)),
					  errdetail("correlation id %s", call->correlation)));
	if (++call->failures < MAX_RESULT_FAILURES)
	{
		retry_later(call, FAILED_DELAY_MS);
		return;
	}
	/* The attempt stays "started, no answer": to be asked for at the bank, never to be sent again blindly. */
	reply_with(call, PGW_BANK_UNKNOWN);
	if (call->slot >= 0)
		pgw_exchange_answer(call->slot, &call->reply);
	pgw_call_free(call);
}
