/*
 * process_payments.c - pgw.process_payments(): many payments in one call, while the caller waits
 * once
 *
 * Owns nothing that lasts.  Each payment is made as process_payment() makes one, with the same
 * steps; but each step is done for all of them before the next begins, so that the caller waits
 * once.
 *
 *     look at what is recorded -> locks of all tables -> choose the banks -> claim all ids ->
 *     hand over as many as have a slot, wait for all of these; again with those that are left ->
 *     save all answers
 *
 * Orders that matter
 *     - Ids are claimed in the order of merchant and id, whatever the order of the requests: two
 *       calls that hold the same ids wait for each other, and never in a circle.
 *     - All claims come before the first slot: who holds a slot waits for the worker alone.
 *
 * atomic: the first error is raised, and when all have been answered one that was not taken is; the
 * rollback gives the others back, as for process_payment().
 *
 * not atomic: an error of pgw's own ends one payment, and the others are made.  Nothing that a
 * payment has written can be taken back alone while the others' stays, for they all wait together;
 * so from the first claim on they are in one subtransaction.  Of one that ends, all is rolled back,
 * and the others are asked for again, as a caller who rolls back to a savepoint would do it: the
 * worker hands them the attempts that they had (adoption.c).  That is rare: what can be seen of a
 * request by itself is seen before the first claim, in a subtransaction of its own.  Errors that
 * are not pgw's (a cancel, a deadlock, code of users) end the call.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/debug_points.h"
#include "client_api/bounded_call.h"
#include "client_api/bundle_errors.h"
#include "client_api/calls_in_one_statement.h"
#include "client_api/hand_over.h"
#include "client_api/pay_common.h"
#include "client_api/payment_requests.h"
#include "client_api/save_answer.h"
#include "core/base/mutant.h"
#include "core/payment/charge_rules.h"
#include "database/caller_locks.h"
#include "database/row.h"
#include "exchange/commit_signal.h"
#include "sql_function/check_access.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"
#include "sql_function/result_set.h"

#define SLOT_POLL_FIRST_MS 5
#define SLOT_POLL_MAX_MS 200
#define AGAIN_MS 5000 /* for attempts that the worker has: no bank has to be asked for them */

PG_FUNCTION_INFO_V1(pgw_process_payments_1_0);

/* ---------------------------------------------------------------- one payment */

static void
look(PgwBundle *b, PgwMember *m)
{
	if (!pgw_pay_repeat(m->pay, &m->attempt))
		return;
	m->state = PGW_MEMBER_DONE;
	m->have_t = true;
	m->audience = PGW_AUDIENCE_REPLAY;
}

static void
prepare(PgwBundle *b, PgwMember *m)
{
	pgw_pay_prepare(m->pay);
}

static void
claim(PgwBundle *b, PgwMember *m)
{
	if (pgw_pay_claim(m->pay, &m->attempt, &m->have_t))
	{
		m->state = PGW_MEMBER_TO_ASK;
		pgw_commit_signal_add(&m->pay->payment.transaction_id, PGW_COMMIT_SIGNAL_PROCESS);
		PGW_DEBUG_POINT("bundle_claimed");
		return;
	}
	m->state = PGW_MEMBER_DONE;
	m->audience = PGW_AUDIENCE_REPLAY;
}

static void
refuse(PgwBundle *b, PgwMember *m)
{
	pgw_hand_over_refuse(m->pay, m->no_slot);
}

static void
wait_for_give_back(PgwBundle *b, PgwMember *m)
{
	pgw_wait_for_give_back(m->pay, &m->waited.answer.transaction_id);
	m->state = PGW_MEMBER_TO_ASK;
}

static void
check(PgwBundle *b, PgwMember *m)
{
	pgw_hand_over_check(&m->waited);
}

static void
save(PgwBundle *b, PgwMember *m)
{
	m->audience = pgw_save_answer(m->pay, &m->waited, &m->attempt, &m->have_t);
	/* what this very call has begun, before it began again, is no repetition for its caller */
	if (m->audience == PGW_AUDIENCE_REPLAY && m->begun_before)
		m->audience = PGW_AUDIENCE_FIRST_CALL;
	PGW_DEBUG_POINT("saved");
}

/* ---------------------------------------------------------------- all of them */

/* Each that is in this state; false: one of them has failed.  each: go on with the others, then. */
static bool
for_all(PgwBundle *b, PgwMemberState state, PgwBundleStep step, bool each)
{
	bool ok = true;

	for (int i = 0; i < b->n && (ok || each); i++)
	{
		if (b->order[i]->state == state && !pgw_bundle_try(b, b->order[i], step))
			ok = false;
	}
	return ok;
}

/* What can be seen of each by itself: what one does is undone when it fails, and nothing else. */
static void
for_each_alone(PgwBundle *b, PgwBundleStep step)
{
	for (int i = 0; i < b->n; i++)
	{
		if (b->order[i]->state == PGW_MEMBER_NEW)
			(void) pgw_bundle_run(b, pgw_bundle_try, b->order[i], step);
	}
}

/* Slots for as many as can have one; *refused: the first that could have none. */
static int
claim_slots(PgwBundle *b, PgwMember **refused)
{
	int n = 0;

	*refused = NULL;
	for (int i = 0; i < b->n; i++)
	{
		PgwMember *m = b->order[i];
		int slot;

		if (m->state != PGW_MEMBER_TO_ASK)
			continue;
		slot = pgw_hand_over_claim(m->pay, n > 0, &m->no_slot);
		if (slot >= 0)
		{
			pgw_hand_over_fill(slot, m->pay);
			b->asked[n++] = m;
			continue;
		}
		if (*refused == NULL)
			*refused = m;
		if (m->no_slot == PGW_SLOT_NONE_FREE)
			break; /* another bank or merchant would have none either */
	}
	return n;
}

/* All of them at once, and their answers. */
static void
ask(PgwBundle *b, int n)
{
	pgw_exchange_submit();
	PGW_DEBUG_POINT("requested");
	pgw_hand_over_wait(b->deadline, b->waited, n);
	PGW_DEBUG_POINT("answered");
	for (int i = 0; i < n; i++)
	{
		PgwMember *m = b->asked[i];

		m->waited = b->waited[i];
		m->state = m->waited.answered && m->waited.answer.kind == PGW_ANSWER_BLOCKED
					   ? PGW_MEMBER_BLOCKED
					   : PGW_MEMBER_ASKED;
	}
}

static void
pause_for(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Nobody of those that are left has a slot.  A call that has asked nothing yet is refused at once,
 * as process_payment() is; one that has waits for what others give back.
 */
static bool
wait_for_slot(PgwBundle *b, const PgwMember *refused, long *pause)
{
	TimestampTz now = GetCurrentTimestamp();

	Assert(refused != NULL); /* who had to be asked has a slot or was refused one */
	if (!b->has_asked)
	{
		for (int i = 0; i < b->n; i++)
			b->order[i]->no_slot = refused->no_slot;
		return for_all(b, PGW_MEMBER_TO_ASK, refuse, true);
	}
	pause_for(Min(*pause, TimestampDifferenceMilliseconds(now, b->deadline) + 1));
	*pause = Min(*pause * 2, SLOT_POLL_MAX_MS);
	return true;
}

static bool
is_any(const PgwBundle *b, PgwMemberState state)
{
	for (int i = 0; i < b->n; i++)
	{
		if (b->order[i]->state == state)
			return true;
	}
	return false;
}

/* The time is up: what has not been handed over is not, as if it had been withdrawn. */
static void
withdraw_rest(PgwBundle *b)
{
	for (int i = 0; i < b->n; i++)
	{
		PgwMember *m = b->order[i];

		if (m->state != PGW_MEMBER_TO_ASK)
			continue;
		m->waited = (PgwWaited){.withdrawn = true};
		m->state = PGW_MEMBER_ASKED;
	}
}

/* false: some are refused; then nothing of any of them may stay. */
static bool
ask_all(PgwBundle *b)
{
	long pause = SLOT_POLL_FIRST_MS;
	bool ok = true;

	PGW_DEBUG_POINT("claimed");
	while (ok && (is_any(b, PGW_MEMBER_TO_ASK) || is_any(b, PGW_MEMBER_BLOCKED)))
	{
		PgwMember *refused;
		int n;

		if (!is_any(b, PGW_MEMBER_TO_ASK))
		{
			/* last of all: the others need not wait for what is given back */
			ok = for_all(b, PGW_MEMBER_BLOCKED, wait_for_give_back, true);
			continue;
		}
		if (b->has_asked && GetCurrentTimestamp() >= b->deadline)
		{
			withdraw_rest(b);
			continue;
		}
		n = claim_slots(b, &refused);
		if (n == 0)
		{
			ok = wait_for_slot(b, refused, &pause);
			continue;
		}
		ask(b, n);
		b->has_asked = true;
		pause = SLOT_POLL_FIRST_MS;
	}
	return for_all(b, PGW_MEMBER_ASKED, check, true) && ok;
}

static bool
pay_all(PgwBundle *b)
{
	return for_all(b, PGW_MEMBER_NEW, claim, false) && ask_all(b) &&
		   for_all(b, PGW_MEMBER_ASKED, save, false);
}

/* The tables are written before and after the wait. */
static bool
pay_with_open_tables(PgwBundle *b, PgwMember *none, PgwBundleStep no_step)
{
	bool keep = pgw_row_keep(b->context);
	bool ok;

	PG_TRY();
	{
		ok = pay_all(b);
	}
	PG_CATCH();
	{
		if (keep)
			pgw_row_forget_kept();
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (keep && ok)
		pgw_row_close_kept();
	else if (keep)
		pgw_row_forget_kept(); /* closed with the subtransaction */
	return ok;
}

/* Those that are left, with what they had begun; the worker has to hand it over, no bank to answer.
 */
static void
begin_again(PgwBundle *b)
{
	b->deadline = Max(b->deadline, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), AGAIN_MS));
	pgw_bounded_call_until(b->deadline);
	b->has_asked = false;
	for (int i = 0; i < b->n; i++)
	{
		PgwMember *m = b->order[i];

		m->pay->deadline = b->deadline;
		if (m->pay->found == PGW_FIND_NONE)
			m->pay->found = PGW_FIND_IN_PROGRESS; /* not known any more: look again */
		m->begun_before |= m->state == PGW_MEMBER_ASKED;
		if (m->state != PGW_MEMBER_FAILED && m->state != PGW_MEMBER_DONE)
			m->state = PGW_MEMBER_NEW;
	}
}

static void
pay_bundle(PgwBundle *b)
{
	bool ok = false;

	for_each_alone(b, look);
	if (!is_any(b, PGW_MEMBER_NEW))
		return;
	pgw_tables_enter(b->deadline);
	pgw_need_worker(false);
	for_each_alone(b, prepare);
	while (!ok && is_any(b, PGW_MEMBER_NEW))
	{
		ok = pgw_bundle_run(b, pay_with_open_tables, NULL, NULL);
		if (!ok)
			begin_again(b);
	}
}

/* ---------------------------------------------------------------- the call */

/* PW400 when the statement around it would pay again with other ids. */
static void
check_statement(FunctionCallInfo fcinfo, const PgwBundle *b)
{
	StringInfoData ids;

	initStringInfo(&ids);
	for (int i = 0; i < b->n; i++)
		appendStringInfo(&ids, "%s\n", b->order[i]->pay->args.client_request_id);
	pgw_statement_calls_check(fcinfo, ids.data);
	pfree(ids.data);
}

static void
read_arguments(FunctionCallInfo fcinfo, PgwBundle *b)
{
	bool isnull;
	Datum timeout = pgw_arg(fcinfo, "timeout", &isnull);
	int64 timeout_ms = isnull ? 0 : pgw_interval_ms(timeout);
	PgwPay *pays;
	int *order;

	if (timeout_ms < 0 || timeout_ms > PGW_MAX_TIMEOUT_MS)
		pgw_raise_fault("timeout", "out_of_range", "must be 0 to 24 hours");
	b->deadline = pgw_pay_deadline(isnull, timeout_ms);
	pgw_bounded_call_until(b->deadline);
	b->atomic = DatumGetBool(pgw_arg(fcinfo, "atomic", &isnull));
	if (isnull)
		pgw_raise_fault("atomic", "required", "must not be null");
	pays = pgw_payment_requests(fcinfo, &b->n);
	order = pgw_payment_requests_order(pays, b->n);
	b->members = MemoryContextAllocExtended(b->context, Max(b->n, 1) * sizeof(PgwMember),
											MCXT_ALLOC_ZERO | MCXT_ALLOC_HUGE);
	b->order = palloc0(Max(b->n, 1) * sizeof(PgwMember *));
	b->asked = palloc0(Max(b->n, 1) * sizeof(PgwMember *));
	b->waited = palloc0(Max(b->n, 1) * sizeof(PgwWaited));
	for (int i = 0; i < b->n; i++)
	{
		b->members[i].pay = &pays[i];
		b->order[i] = &b->members[PGW_MUTATED(CLAIM_ORDER) ? i : order[i]];
	}
}

static void
begin(FunctionCallInfo fcinfo, PgwBundle *b, Oid *caller, int *sec_context)
{
	memset(b, 0, sizeof(*b));
	b->context = CurrentMemoryContext;
	b->owner = CurrentResourceOwner;
	pgw_pay_require_writable("pgw.process_payments()");
	read_arguments(fcinfo, b);
	check_statement(fcinfo, b);
	for (int i = 0; i < b->n; i++)
	{
		/* in order of merchants: each is asked for once */
		if (i == 0 ||
			strcmp(b->order[i]->pay->args.merchant, b->order[i - 1]->pay->args.merchant) != 0)
			pgw_require(GetUserId(), "client", b->order[i]->pay->args.merchant);
	}
	pgw_require_version();
	pgw_become_owner(caller, sec_context);
	for (int i = 0; i < b->n; i++)
	{
		PgwPay *p = b->members[i].pay;

		p->caller = *caller;
		p->deadline = b->deadline;
		p->capture_op = pgw_op_name(pgw_charge_operation(p->checked.capture, false));
	}
}

static Datum
process_payments(PG_FUNCTION_ARGS)
{
	PgwBundle b;
	TupleDesc desc;
	Tuplestorestate *store = pgw_result_set(fcinfo, &desc);
	Oid caller;
	int sec_context;

	begin(fcinfo, &b, &caller, &sec_context);
	if (b.n > 0)
		pay_bundle(&b);
	if (b.atomic)
		pgw_bundle_require_taken(&b);
	for (int i = 0; i < b.n; i++)
		pgw_bundle_put(&b.members[i], store, desc);
	pgw_become_caller(caller, sec_context);
	return (Datum) 0;
}

Datum
pgw_process_payments_1_0(PG_FUNCTION_ARGS)
{
	return pgw_bounded_call(fcinfo, true, process_payments);
}
