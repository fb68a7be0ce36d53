/*
 * waiting_callers.c - callers who wait for an attempt whose outcome is in doubt, or which another
 * caller began
 *
 * Owns the list of their slots.  A slot leaves it when the outcome is known, or when its caller has
 * left.
 * Invariant: a slot on this list is marked recorded and bound, so a worker that ends answers it as
 * BankUnknown, and a caller that leaves names the attempt in a pending payment.  It holds no card
 * any more.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "utils/memutils.h"

#include "bank_call/waiting_callers.h"
#include "exchange/taken_slots.h"

typedef struct Waiter
{
	dlist_node node;
	pg_uuid_t transaction_id;
	int slot;
	TimestampTz deadline; /* 0: none */
} Waiter;

static dlist_head waiters;

void
pgw_waiters_init(void)
{
	dlist_init(&waiters);
}

bool
pgw_waiters_add(const pg_uuid_t *transaction_id, int slot, TimestampTz deadline)
{
	/* called after a commit, where nothing may be raised */
	Waiter *w = MemoryContextAllocExtended(TopMemoryContext, sizeof(Waiter), MCXT_ALLOC_NO_OOM);

	if (w == NULL)
		return false;
	w->transaction_id = *transaction_id;
	w->slot = slot;
	w->deadline = deadline;
	dlist_push_tail(&waiters, &w->node);
	return true;
}

/* true: the caller has it. */
static bool
answer(Waiter *w, PgwState status)
{
	PgwSlotAnswer reply;
	bool told;

	memset(&reply, 0, sizeof(reply));
	reply.kind = PGW_ANSWER_OUTCOME;
	reply.transaction_id = w->transaction_id;
	reply.status = status;
	told = pgw_exchange_answer(w->slot, &reply);
	dlist_delete(&w->node);
	pfree(w);
	return told;
}

bool
pgw_waiters_answer(const pg_uuid_t *transaction_id, PgwState status)
{
	dlist_mutable_iter iter;
	bool told = false;

	if (status == PGW_CREATED || status == PGW_BANK_UNKNOWN || status == PGW_STATE_NONE)
		return false;
	dlist_foreach_modify(iter, &waiters)
	{
		Waiter *w = dlist_container(Waiter, node, iter.cur);

		if (memcmp(&w->transaction_id, transaction_id, sizeof(pg_uuid_t)) == 0)
			told |= answer(w, status);
	}
	return told;
}

bool
pgw_waiters_until(const pg_uuid_t *transaction_id, TimestampTz when)
{
	dlist_iter iter;

	dlist_foreach(iter, &waiters)
	{
		Waiter *w = dlist_container(Waiter, node, iter.cur);

		if (memcmp(&w->transaction_id, transaction_id, sizeof(pg_uuid_t)) == 0 &&
			!pgw_exchange_abandoned(w->slot) && (w->deadline == 0 || w->deadline > when))
			return true;
	}
	return false;
}

void
pgw_waiters_sweep(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &waiters)
	{
		Waiter *w = dlist_container(Waiter, node, iter.cur);

		if (pgw_exchange_abandoned(w->slot))
			(void) answer(w, PGW_BANK_UNKNOWN);
	}
}

void
pgw_waiters_forget(void)
{
	while (!dlist_is_empty(&waiters))
		pfree(dlist_container(Waiter, node, dlist_pop_head_node(&waiters)));
}
