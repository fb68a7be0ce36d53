/*
 * caller_slot.c - a caller's side of its slot: claim, submit, wait, leave
 *
 * Owns: which slot is this backend's, and for how long.
 *
 * A backend waits for one payment at a time, so it has at most one slot.  Whatever way it leaves
 * (time-out, error, cancel, FATAL), its slot is given up in one look under the lock:
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
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/debug_points.h"
#include "core/pacing/fair_turns.h"
#include "exchange/caller_slot.h"
#include "exchange/exchange_shmem.h"
#include "exchange/slots_internal.h"

#define PGW_LONGEST_SLEEP_MS 60000

/* The one slot, and the subtransaction that claimed it. */
static int my_slot = PGW_NO_SLOT;
static SubTransactionId my_slot_subid = InvalidSubTransactionId;

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
 * Give up my slot, in whatever state it is; returns that state, REQUESTED also where the worker had
 * it but has not bound it.  What is there of an answer goes to *answer (may be NULL).  One look
 * under the lock decides, for me and for the worker.
 */
static PgwSlotState
leave_slot(PgwSlotAnswer *answer)
{
	int slot = my_slot;
	PgwSlotHeader *header = &pgw_shared->slots[slot];
	PgwSlotState state = PGW_SLOT_ANSWERED;

	my_slot = PGW_NO_SLOT;
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

static void
leave_mine(void)
{
	if (my_slot != PGW_NO_SLOT)
		(void) leave_slot(NULL);
}

static void
leave_at_exit(int code, Datum arg)
{
	leave_mine();
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
			leave_mine();
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
	if (event == SUBXACT_EVENT_ABORT_SUB && my_slot != PGW_NO_SLOT && my_slot_subid >= mySubid)
		leave_mine();
}

static int
share_of(const char *name)
{
	return (int) ((pgw_turns_key(name) ^ (uint32) MyDatabaseId * 2654435761u) % PGW_SHARES);
}

/*
 * May this bank and this merchant have one more?  Whoever is called by many at once, or
 * hangs, leaves slots to the others.  Merchants count as alone as long as none but one was seen.
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
	if (pgw_shared->nfree == 0)
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

int
pgw_exchange_claim(const char *bank, const char *merchant, Oid role, bool only_bank,
				   PgwClaimSlot *why)
{
	static bool registered = false;
	int slot = PGW_NO_SLOT;
	int entry;

	*why = PGW_SLOT_NONE_FREE;
	if (!pgw_exchange_available())
		return PGW_NO_SLOT;
	if (!registered)
	{
		before_shmem_exit(leave_at_exit, (Datum) 0);
		RegisterXactCallback(leave_at_xact_end, NULL);
		RegisterSubXactCallback(leave_at_subxact_end, NULL);
		registered = true;
	}
	leave_mine();

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	entry = pgw_entry_find(MyDatabaseId, true);
	if (entry >= 0)
		*why = may_claim(bank, merchant, role, only_bank);
	if (*why == PGW_SLOT_CAN_CLAIM)
	{
		PgwSlotHeader *header;

		slot = pgw_shared->free_head;
		header = &pgw_shared->slots[slot];
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
		my_slot = slot;
		my_slot_subid = GetCurrentSubTransactionId();
	}
	LWLockRelease(pgw_lock);
	return slot;
}

void
pgw_exchange_submit(int slot)
{
	PgwSlotHeader *header = &pgw_shared->slots[slot];
	PgwWorkerEntry *entry;
	int worker = PGW_NO_PROC;

	Assert(slot == my_slot);
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	Assert(header->state == PGW_SLOT_CLAIMED);
	entry = &pgw_shared->entries[header->entry];
	header->seq = ++pgw_shared->last_seq;
	pgw_slot_enqueue(slot);
	if (entry->dropping > 0)
		pgw_slots_fail(header->entry, "extension_dropped", false);
	else if (entry->paused != PGW_PAUSE_NONE)
		pgw_slots_fail(header->entry, "worker_paused", false);
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
 * Until the slot is answered or the time is up.  A worker that dies changes nothing here: its leave
 * answers or requeues the slot.
 */
static void
wait_for_answer(int slot, TimestampTz deadline)
{
	for (;;)
	{
		long timeout = PGW_LONGEST_SLEEP_MS;

		if (is_answered(slot))
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

bool
pgw_exchange_wait(int slot, TimestampTz deadline, PgwSlotAnswer *answer, bool *withdrawn)
{
	PgwSlotState state;

	Assert(slot == my_slot);
	PG_TRY();
	{
		wait_for_answer(slot, deadline);
	}
	PG_CATCH();
	{
		/* Here, not only at the abort: an outer handler may run long before that. */
		if (my_slot != PGW_NO_SLOT)
			(void) leave_slot(answer);
		PG_RE_THROW();
	}
	PG_END_TRY();

	PGW_DEBUG_POINT("wait_over");
	state = leave_slot(answer);
	*withdrawn = (state == PGW_SLOT_REQUESTED);
	return state == PGW_SLOT_ANSWERED;
}
