/*
 * taken_slots.c - the worker's side of the slots that it has taken
 *
 * Owns: which slots this worker has taken.  A slot can be given up behind its back only while
 * REQUESTED; whether it still has one, it knows by the number of the request (seq).
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "core/base/mutant.h"
#include "exchange/exchange_shmem.h"
#include "exchange/slots_internal.h"
#include "exchange/taken_slots.h"

/* seq of every slot when it was taken (0: not mine); allocated at the first take. */
static uint64 *taken_seq = NULL;

/* Do I still have what I took?  Without the lock, too: from TAKEN only I take it further. */
static bool
mine(int slot)
{
	const volatile PgwSlotHeader *header = &pgw_shared->slots[slot];

	return taken_seq != NULL && header->state == PGW_SLOT_TAKEN && header->seq == taken_seq[slot];
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

			pgw_slot_dequeue(slot);
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
			pgw_slot_release_taken(slots[i]);
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
	char *customer;
	size_t room;

	if (!mine(slot))
		return;
	/* first: it is found by the token's end.  Behind its own a slot's text was never written */
	customer = pgw_slot_customer(request, &room);
	if (!PGW_MUTATED(CUSTOMER_IN_SLOT))
		explicit_bzero(customer, strlen(customer));
	/* an object is as good as a card */
	explicit_bzero(request->token, strlen(request->token));
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
			caller = pgw_slot_set_answer(slot, answer);
			answered = true;
		}
	}
	LWLockRelease(pgw_lock);
	/* not with the lock held: whoever wakes would run into it */
	pgw_wake_procno(caller);
	if (release)
		pgw_slot_wipe_and_free(slot);
	return answered;
}

uint64
pgw_exchange_last_requested(void)
{
	uint64 last = 0;
	int e;

	LWLockAcquire(pgw_lock, LW_SHARED);
	e = pgw_entry_find(MyDatabaseId, false);
	if (e >= 0 && pgw_shared->entries[e].queue_head != PGW_NO_SLOT)
		last = pgw_shared->last_seq;
	LWLockRelease(pgw_lock);
	return last;
}

void
pgw_exchange_fail_requested(const char *error_code, uint64 last)
{
	int e;

	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(MyDatabaseId, false);
	if (e >= 0 && pgw_shared->entries[e].pid == MyProcPid)
		pgw_slots_fail_requested(e, error_code, last);
	LWLockRelease(pgw_lock);
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
