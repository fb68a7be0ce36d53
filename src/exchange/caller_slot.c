/*
 * caller_slot.c - a caller's side of its slots: claim, submit, wait, leave
 *
 * Owns: which slots are this backend's, and for how long.
 *
 * A backend waits for one call at a time: its slots are those of one call, a slot for each payment
 * that it waits for.  Whatever way it leaves (time-out, error, cancel, FATAL), each slot is given
 * up in one look under the lock:
 *     - not bound: withdrawn.  Nothing of the request has been sent, and because the worker binds
 *       a slot before it sends, nothing will be.  An intent that is committed, or just being,
 *       becomes Failed.
 *     - bound: abandoned.  The worker goes on; a caller whose time was up leaves a pending
 *       payment that names the attempt, and else the caller's xid decides.
 * So no wait depends on a commit of the worker's, which may stand still for want of a synchronous
 * standby.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "core/pacing/fair_turns.h"
#include "exchange/caller_slot.h"
#include "exchange/exchange_shmem.h"
#include "exchange/slots_internal.h"

#define PGW_LONGEST_SLEEP_MS 60000

/* In the order of the claims, and the subtransaction that claimed them. */
static int *my_slots = NULL; /* in TopMemoryContext, room for all there are */
static int n_mine = 0;
static SubTransactionId my_slots_subid = InvalidSubTransactionId;

/* My own slot, without the lock: from ANSWERED only I take it further.  The body is mine, then. */
static bool
is_answered(int slot)
{
	if (*(volatile PgwSlotState *) &pgw_shared->slots[slot].state != PGW_SLOT_ANSWERED)
		return false;
	pg_read_barrier();
	return true;
}

/*
 * Give up a slot of mine, in whatever state it is; returns that state, REQUESTED also where the
 * worker had it but has not bound it.  What is there of an answer goes to *answer (may be NULL).
 * One look under the lock decides, for me and for the worker.
 */
static PgwSlotState
leave_slot(int slot, PgwSlotAnswer *answer)
{
	PgwSlotHeader *header = &pgw_shared->slots[slot];
	PgwSlotState state = PGW_SLOT_ANSWERED;

	if (!is_answered(slot))
	{
		LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
		state = header->state;
		if (state == PGW_SLOT_REQUESTED)
			pgw_slot_dequeue(slot);
		header->procno = PGW_NO_PROC;
		if (state == PGW_SLOT_TAKEN)
		{
			/* The worker frees it: its lists still hold the slot. */
			header->abandoned = true;
			if (answer != NULL)
				answer->transaction_id = header->transaction_id;
			if (!header->bound)
				state = PGW_SLOT_REQUESTED;
			LWLockRelease(pgw_lock);
			return state;
		}
		header->state = PGW_SLOT_CLAIMED;
		LWLockRelease(pgw_lock);
	}

	if (state == PGW_SLOT_ANSWERED && answer)
		*answer = pgw_bodies[slot].answer;
	pgw_slot_wipe_and_free(slot);
	return state;
}

/*
 * waited: one for each slot, or NULL.  The first slot is left last: until no slot of the call can
 * be answered any more, the count of those to be answered stands there.
 */
static void
leave_mine(PgwWaited *waited)
{
	while (n_mine > 0)
	{
		int i = --n_mine;
		PgwSlotState state = leave_slot(my_slots[i], waited != NULL ? &waited[i].answer : NULL);

		if (waited == NULL)
			continue;
		waited[i].answered = state == PGW_SLOT_ANSWERED;
		waited[i].withdrawn = state == PGW_SLOT_REQUESTED;
	}
}

static void
leave_at_exit(int code, Datum arg)
{
	leave_mine(NULL);
}

static void
leave_at_xact_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PREPARE:
			leave_mine(NULL);
			break;
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			break;
	}
}

/*
 * Subtransaction ids only grow: a slot with a lower one belongs to an outer level, which goes on.
 */
static void
leave_at_subxact_end(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid,
					 void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && n_mine > 0 && my_slots_subid >= mySubid)
		leave_mine(NULL);
}

static int
share_of(const char *name)
{
	return (int) ((pgw_turns_key(name) ^ (uint32) MyDatabaseId * 2654435761u) % PGW_SHARES);
}

/*
 * May this bank and this merchant have one more?  Whoever is called by many at once, or
 * hangs, leaves slots to the others.  Merchants count as alone as long as none but one was seen.
 * A call that has a slot already leaves half of all to those that have none.
 */
static PgwClaimSlot
may_claim(const char *bank, const char *merchant, Oid role, bool only_bank)
{
	int b = share_of(bank);
	int m = share_of(merchant);

	PGW_ASSERT_LOCKED_FOR_WRITING();
	if (!pgw_shared->merchant_seen[m])
	{
		pgw_shared->merchant_seen[m] = true;
		pgw_shared->nmerchants++;
	}
	if (pgw_shared->nfree == 0 ||
		(n_mine > 0 && pgw_shared->nfree <= pgw_max_waiting / 2 && !PGW_MUTATED(BUNDLE_SHARE)))
		return PGW_SLOT_NONE_FREE;
	if (OidIsValid(role) && pgw_shared->role_slots[role % PGW_SHARES] >= pgw_role_max_waiting)
		return PGW_SLOT_ROLE_QUOTA;
	if (!pgw_share_allows(pgw_shared->bank_slots[b], pgw_shared->nfree,
						  only_bank && pgw_shared->nentries <= 1))
		return PGW_SLOT_BANK_SHARE;
	if (!pgw_share_allows(pgw_shared->merchant_slots[m], pgw_shared->nfree,
						  pgw_shared->nmerchants <= 1))
		return PGW_SLOT_MERCHANT_SHARE;
	return PGW_SLOT_CAN_CLAIM;
}

/* CLAIMED, as one more of mine. */
static int
take_free_slot(int entry, const char *bank, const char *merchant, Oid role)
{
	int slot = pgw_shared->free_head;
	PgwSlotHeader *header = &pgw_shared->slots[slot];

	PGW_ASSERT_LOCKED_FOR_WRITING();
	pgw_shared->free_head = header->next;
	header->state = PGW_SLOT_CLAIMED;
	header->entry = entry;
	header->procno = pgw_my_procno();
	header->prev = header->next = PGW_NO_SLOT;
	Assert(!header->abandoned && !header->recorded && !header->bound);
	pgw_shared->entries[entry].slots++;
	pgw_shared->nfree--;
	header->bank_share = share_of(bank);
	header->merchant_share = share_of(merchant);
	header->role_share = OidIsValid(role) ? (int) (role % PGW_SHARES) : -1;
	pgw_shared->bank_slots[header->bank_share]++;
	if (header->role_share >= 0)
		pgw_shared->role_slots[header->role_share]++;
	pgw_shared->merchant_slots[header->merchant_share]++;
	my_slots[n_mine++] = slot;
	header->lead = my_slots[0];
	return slot;
}

int
pgw_exchange_claim_more(const char *bank, const char *merchant, Oid role, bool only_bank,
						PgwClaimSlot *why)
{
	int slot = PGW_NO_SLOT;
	int entry;

	Assert(n_mine == 0 || my_slots_subid == GetCurrentSubTransactionId());
	*why = PGW_SLOT_NONE_FREE;
	if (!pgw_exchange_available())
		return PGW_NO_SLOT;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = pgw_entry_find(MyDatabaseId, true);
	if (entry >= 0)
		*why = may_claim(bank, merchant, role, only_bank);
	if (*why == PGW_SLOT_CAN_CLAIM)
		slot = take_free_slot(entry, bank, merchant, role);
	LWLockRelease(pgw_lock);
	return slot;
}

int
pgw_exchange_claim(const char *bank, const char *merchant, Oid role, bool only_bank,
				   PgwClaimSlot *why)
{
	static bool registered = false;

	if (!registered)
	{
		my_slots = MemoryContextAlloc(TopMemoryContext, mul_size(pgw_max_waiting, sizeof(int)));
		before_shmem_exit(leave_at_exit, (Datum) 0);
		RegisterXactCallback(leave_at_xact_end, NULL);
		RegisterSubXactCallback(leave_at_subxact_end, NULL);
		registered = true;
	}
	leave_mine(NULL);
	my_slots_subid = GetCurrentSubTransactionId();
	return pgw_exchange_claim_more(bank, merchant, role, only_bank, why);
}

void
pgw_exchange_submit(void)
{
	PgwWorkerEntry *entry;
	int entry_index;
	int worker = PGW_NO_PROC;

	Assert(n_mine > 0);
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	pgw_shared->slots[my_slots[0]].unanswered = n_mine;
	for (int i = 0; i < n_mine; i++)
	{
		Assert(pgw_shared->slots[my_slots[i]].state == PGW_SLOT_CLAIMED);
		pgw_shared->slots[my_slots[i]].seq = ++pgw_shared->last_seq;
		pgw_slot_enqueue(my_slots[i]);
	}
	entry_index = pgw_shared->slots[my_slots[0]].entry;
	entry = &pgw_shared->entries[entry_index];
	if (entry->dropping > 0)
		pgw_slots_fail(entry_index, "extension_dropped", false);
	else if (pgw_pause_refuses(entry->paused))
		pgw_slots_fail(entry_index, "worker_paused", false);
	else if (entry->state == PGW_ENTRY_RUNNING)
		worker = entry->procno;
	else
		pgw_wake_launcher();
	LWLockRelease(pgw_lock);
	pgw_wake_procno(worker);
}

static uint32
wait_event(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = pgw_new_wait_event("PgwWait");
	return event;
}

/*
 * Until all slots are answered or the time is up.  A worker that dies changes nothing here: its
 * leave answers or requeues the slots.
 */
static void
wait_for_answers(TimestampTz deadline)
{
	int answered = 0; /* so many of the first */

	for (;;)
	{
		long timeout = PGW_LONGEST_SLEEP_MS;

		while (answered < n_mine && is_answered(my_slots[answered]))
			answered++;
		if (answered == n_mine)
			return;
		if (deadline != 0)
		{
			TimestampTz now = GetCurrentTimestamp();

			if (now >= deadline)
				return;
			/* rounded up, so as not to spin through the last millisecond */
			timeout = (long) Min((deadline - now) / 1000 + 1, (int64) PGW_LONGEST_SLEEP_MS);
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout,
						 wait_event());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
pgw_exchange_wait(TimestampTz deadline, PgwWaited *waited)
{
	PG_TRY();
	{
		wait_for_answers(deadline);
	}
	PG_CATCH();
	{
		/* Here, not only at the abort: an outer handler may run long before that. */
		leave_mine(waited);
		PG_RE_THROW();
	}
	PG_END_TRY();

	PGW_DEBUG_POINT("wait_over");
	leave_mine(waited);
}
