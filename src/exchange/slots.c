/*
 * slots.c - the slots by which a caller's backend hands a request to its database's worker
 *
 * Owns: slot headers and bodies.  The memory is created in exchange_shmem.c, entries, signals and
 * wishes are in worker_entries.c; locks and invariants are listed in exchange_shmem.h.
 *
 *               claim           submit             take            answer             wait
 *      FREE ----------> CLAIMED -------> REQUESTED ------> TAKEN ----------> ANSWERED ------> FREE
 *        ^                 |  error          |  ^            |  |
 *        +-----------------+---- withdraw ---+  +- give back +  |
 *        +--------------------- answer, when abandoned ---------+
 *
 * Bodies hold card numbers, so they are wiped before a slot becomes FREE, and by the worker as soon
 * as it has handed the secrets on.
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
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#if PG_VERSION_NUM >= 170000
#include "utils/wait_event.h"
#endif

#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "core/pacing/fair_turns.h"
#include "core/state/state_machine.h"
#include "exchange/exchange.h"
#include "exchange/exchange_shmem.h"

#define PGW_LONGEST_SLEEP_MS 60000

/* Backend: the one slot, and the subtransaction that claimed it. */
static int my_slot = PGW_NO_SLOT;
static SubTransactionId my_slot_subid = InvalidSubTransactionId;

/* Worker: seq of every slot when it was taken (0: not mine); allocated at the first take. */
static uint64 *taken_seq = NULL;

/* ---------------------------------------------------------------- small parts */

int
pgw_my_procno(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyProc->pgprocno;
#endif
}

void
pgw_wake_procno(int procno)
{
	if (procno != PGW_NO_PROC)
		SetLatch(&ProcGlobal->allProcs[procno].procLatch);
}

/* Lock held, body wiped. */
static void
push_free(int slot)
{
	PgwSlotHeader *header = &pgw_shared->slots[slot];

	if (header->entry != PGW_NO_SLOT)
	{
		pgw_shared->entries[header->entry].slots--;
		pgw_shared->bank_slots[header->bank_share]--;
		pgw_shared->merchant_slots[header->merchant_share]--;
		if (header->role_share >= 0)
			pgw_shared->role_slots[header->role_share]--;
	}
	pgw_shared->nfree++;
	header->state = PGW_SLOT_FREE;
	header->entry = PGW_NO_SLOT;
	header->procno = PGW_NO_PROC;
	header->seq = 0;
	header->abandoned = header->recorded = header->bound = false;
	/* whoever has the slot next must not read it */
	memset(&header->transaction_id, 0, sizeof(pg_uuid_t));
	header->prev = PGW_NO_SLOT;
	header->next = pgw_shared->free_head;
	pgw_shared->free_head = slot;
}

void
pgw_slots_init(void)
{
	pgw_shared->free_head = PGW_NO_SLOT;
	pgw_shared->nfree = 0;
	for (int i = pgw_max_waiting - 1; i >= 0; i--)
	{
		pgw_shared->slots[i].entry = PGW_NO_SLOT;
		push_free(i);
	}
}

static void
wipe_body(int slot)
{
	explicit_bzero(&pgw_bodies[slot], sizeof(PgwSlotBody));
}

/*
 * Lock held: put on its entry's queue, in order of seq (a slot given back goes before later ones).
 */
static void
enqueue(int slot)
{
	PgwSlotHeader *header = &pgw_shared->slots[slot];
	PgwWorkerEntry *entry = &pgw_shared->entries[header->entry];
	int after = entry->queue_tail;

	while (after != PGW_NO_SLOT && pgw_shared->slots[after].seq > header->seq)
		after = pgw_shared->slots[after].prev;
	header->prev = after;
	header->next = (after == PGW_NO_SLOT) ? entry->queue_head : pgw_shared->slots[after].next;
	if (header->prev == PGW_NO_SLOT)
		entry->queue_head = slot;
	else
		pgw_shared->slots[header->prev].next = slot;
	if (header->next == PGW_NO_SLOT)
		entry->queue_tail = slot;
	else
		pgw_shared->slots[header->next].prev = slot;
	header->state = PGW_SLOT_REQUESTED;
	Assert(!header->recorded && !header->bound);
}

/* Lock held: take off the queue; the caller sets the new state. */
static void
dequeue(int slot)
{
	PgwSlotHeader *header = &pgw_shared->slots[slot];
	PgwWorkerEntry *entry = &pgw_shared->entries[header->entry];

	Assert(header->state == PGW_SLOT_REQUESTED);
	if (header->prev == PGW_NO_SLOT)
		entry->queue_head = header->next;
	else
		pgw_shared->slots[header->prev].next = header->next;
	if (header->next == PGW_NO_SLOT)
		entry->queue_tail = header->prev;
	else
		pgw_shared->slots[header->next].prev = header->prev;
	header->prev = header->next = PGW_NO_SLOT;
}

/*
 * Lock held: hand the answer to the waiting backend, which is to be woken. Its body keeps nothing
 * but the answer.
 */
static void
set_answer(int slot, const PgwSlotAnswer *answer)
{
	explicit_bzero(&pgw_bodies[slot].request, sizeof(PgwSlotRequest));
	pgw_bodies[slot].answer = *answer;
	pg_write_barrier(); /* the body before the state: see is_answered() */
	pgw_shared->slots[slot].state = PGW_SLOT_ANSWERED;
}

/* Lock held. */
static void
answer_and_wake(int slot, const PgwSlotAnswer *answer)
{
	set_answer(slot, answer);
	pgw_wake_procno(pgw_shared->slots[slot].procno);
}

/* My own slot, without the lock: from ANSWERED only I take it further.  The body is mine, then. */
static bool
is_answered(int slot)
{
	if (*(volatile PgwSlotState *) &pgw_shared->slots[slot].state != PGW_SLOT_ANSWERED)
		return false;
	pg_read_barrier();
	return true;
}

static void
wipe_and_free(int slot)
{
	wipe_body(slot);
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	push_free(slot);
	LWLockRelease(pgw_lock);
}

/* ---------------------------------------------------------------- backend side */

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
			dequeue(slot);
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
	wipe_and_free(slot);
	return state;
}

void
pgw_exchange_release_all(void)
{
	if (my_slot != PGW_NO_SLOT)
		(void) leave_slot(NULL);
}

static void
leave_at_exit(int code, Datum arg)
{
	pgw_exchange_release_all();
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
			pgw_exchange_release_all();
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
		pgw_exchange_release_all();
}

static int
share_of(const char *name)
{
	return (int) ((pgw_turns_key(name) ^ (uint32) MyDatabaseId * 2654435761u) % PGW_SHARES);
}

/*
 * Lock held: may this bank and this merchant have one more?  Whoever is called by many at once, or
 * hangs, leaves slots to the others.  Merchants count as alone as long as none but one was seen.
 */
static PgwClaimSlot
may_claim(const char *bank, const char *merchant, Oid role, bool only_bank)
{
	int b = share_of(bank);
	int m = share_of(merchant);

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
	pgw_exchange_release_all();

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

PgwSlotRequest *
pgw_exchange_request(int slot)
{
	return &pgw_bodies[slot].request;
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
	enqueue(slot);
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
#if PG_VERSION_NUM >= 170000
	static uint32 event = 0;

	if (event == 0)
		event = WaitEventExtensionNew("PgwWait");
	return event;
#else
	return PG_WAIT_EXTENSION;
#endif
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

/* ---------------------------------------------------------------- worker side */

/* Do I still have what I took?  Without the lock, too: from TAKEN only I take it further. */
static bool
mine(int slot)
{
	const volatile PgwSlotHeader *header = &pgw_shared->slots[slot];

	return taken_seq != NULL && header->state == PGW_SLOT_TAKEN && header->seq == taken_seq[slot];
}

/* Lock held: what becomes of one TAKEN slot that its worker gives up. */
static void
release_taken(int slot)
{
	PgwSlotHeader *header = &pgw_shared->slots[slot];
	PgwSlotAnswer answer = {.kind = PGW_ANSWER_OUTCOME, .status = PGW_BANK_UNKNOWN};

	answer.transaction_id = header->transaction_id;
	if (header->abandoned)
	{
		wipe_body(slot);
		push_free(slot);
	}
	else if (header->recorded)
		answer_and_wake(slot, &answer);
	else
		enqueue(slot);
}

int
pgw_exchange_take(int *slots, int max)
{
	int n = 0;
	int e;

	if (taken_seq == NULL)
		taken_seq =
			MemoryContextAllocZero(TopMemoryContext, mul_size(pgw_max_waiting, sizeof(uint64)));

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(MyDatabaseId, false);
	if (e >= 0 && pgw_shared->entries[e].pid == MyProcPid && pgw_shared->entries[e].holds == 0 &&
		pgw_shared->entries[e].dropping == 0)
	{
		PgwWorkerEntry *entry = &pgw_shared->entries[e];

		while (n < max && entry->queue_head != PGW_NO_SLOT)
		{
			int slot = entry->queue_head;

			dequeue(slot);
			pgw_shared->slots[slot].state = PGW_SLOT_TAKEN;
			taken_seq[slot] = pgw_shared->slots[slot].seq;
			slots[n++] = slot;
		}
	}
	LWLockRelease(pgw_lock);
	return n;
}

void
pgw_exchange_give_back(const int *slots, int n)
{
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	for (int i = 0; i < n; i++)
	{
		if (mine(slots[i]))
			release_taken(slots[i]);
	}
	LWLockRelease(pgw_lock);
}

bool
pgw_exchange_abandoned(int slot)
{
	/*
	 * without the lock: the caller can leave right after the look, too; who acts on it looks again
	 * under the lock
	 */
	return !mine(slot) || *(volatile bool *) &pgw_shared->slots[slot].abandoned;
}

void
pgw_exchange_mark_recorded(int slot, const pg_uuid_t *transaction_id)
{
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	if (mine(slot))
	{
		pgw_shared->slots[slot].transaction_id = *transaction_id;
		pgw_shared->slots[slot].recorded = true;
	}
	LWLockRelease(pgw_lock);
}

bool
pgw_exchange_bind(int slot)
{
	bool ok;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	ok = mine(slot) && (!pgw_shared->slots[slot].abandoned || PGW_MUTATED(GONE_BEFORE_SEND));
	if (ok)
	{
		Assert(pgw_shared->slots[slot].recorded);
		pgw_shared->slots[slot].bound = true;
	}
	LWLockRelease(pgw_lock);
	return ok;
}

void
pgw_exchange_wipe(int slot)
{
	PgwSlotRequest *request = &pgw_bodies[slot].request;

	if (!mine(slot))
		return;
	explicit_bzero(request->card_number, sizeof(request->card_number));
	explicit_bzero(request->card_cvv, sizeof(request->card_cvv));
	explicit_bzero(request->card_holder, sizeof(request->card_holder));
}

bool
pgw_exchange_answer(int slot, const PgwSlotAnswer *answer)
{
	bool answered = false;
	bool release = false;
	int caller = PGW_NO_PROC;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	if (mine(slot))
	{
		release = pgw_shared->slots[slot].abandoned;
		if (release)
			pgw_shared->slots[slot].state = PGW_SLOT_CLAIMED;
		else
		{
			set_answer(slot, answer);
			caller = pgw_shared->slots[slot].procno;
			answered = true;
		}
	}
	LWLockRelease(pgw_lock);
	/* not with the lock held: whoever wakes would run into it */
	pgw_wake_procno(caller);
	if (release)
		wipe_and_free(slot);
	return answered;
}

void
pgw_slots_release_taken(int entry)
{
	for (int i = 0; i < pgw_max_waiting; i++)
	{
		if (pgw_shared->slots[i].state == PGW_SLOT_TAKEN && pgw_shared->slots[i].entry == entry)
			release_taken(i);
	}
}

void
pgw_slots_fail(int entry, const char *error_code, bool taken)
{
	PgwSlotAnswer answer = {.kind = PGW_ANSWER_ERROR};

	strlcpy(answer.error_code, error_code, sizeof(answer.error_code));
	while (pgw_shared->entries[entry].queue_head != PGW_NO_SLOT)
	{
		int slot = pgw_shared->entries[entry].queue_head;

		dequeue(slot);
		answer_and_wake(slot, &answer);
	}
	for (int i = 0; taken && i < pgw_max_waiting; i++)
	{
		if (pgw_shared->slots[i].state != PGW_SLOT_TAKEN || pgw_shared->slots[i].entry != entry)
			continue;
		if (pgw_shared->slots[i].abandoned)
			release_taken(i);
		else
			answer_and_wake(i, &answer);
	}
}

void
pgw_exchange_fail_all(const char *error_code)
{
	int e;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(MyDatabaseId, false);
	if (e >= 0 && pgw_shared->entries[e].pid == MyProcPid)
		pgw_slots_fail(e, error_code, true);
	LWLockRelease(pgw_lock);
}
