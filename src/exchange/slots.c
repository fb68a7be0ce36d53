/*
 * slots.c - the slots by which a caller's backend hands a request to its database's worker
 *
 * Owns: slot headers and bodies, the free list and the queues; what each side does with a slot is
 * in caller_slot.c and taken_slots.c.  Locks and invariants are listed in exchange_shmem.h.
 *
 *               claim           submit             take            answer             wait
 *      FREE ----------> CLAIMED -------> REQUESTED ------> TAKEN ----------> ANSWERED ------> FREE
 *        ^                 |  error          |  ^            |  |
 *        +-----------------+---- withdraw ---+  +- give back +  |
 *        +--------------------- answer, when abandoned ---------+
 *
 * Bodies hold card numbers, so they are wiped before a slot becomes FREE, and by the worker as soon
 * as it has handed the secrets on.
 */
#include "postgres.h"

#include "core/state/state_machine.h"
#include "exchange/exchange_shmem.h"
#include "exchange/slots_internal.h"

PgwSlotRequest *
pgw_exchange_request(int slot)
{
	return &pgw_bodies[slot].request;
}

char *
pgw_slot_customer(PgwSlotRequest *r, size_t *room)
{
	size_t used = strlen(r->token) + 1;

	*room = sizeof(r->token) - used;
	return r->token + used;
}

/* Onto the free list; its body is wiped. */
static void
free_slot(int slot)
{
	PgwSlotHeader *header = &pgw_shared->slots[slot];

	PGW_ASSERT_LOCKED_FOR_WRITING();
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
	header->lead = slot;
	header->unanswered = 0;
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
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	pgw_shared->free_head = PGW_NO_SLOT;
	pgw_shared->nfree = 0;
	for (int i = pgw_max_waiting - 1; i >= 0; i--)
	{
		pgw_shared->slots[i].entry = PGW_NO_SLOT;
		free_slot(i);
	}
	LWLockRelease(pgw_lock);
}

static void
wipe(int slot)
{
	explicit_bzero(&pgw_bodies[slot], sizeof(PgwSlotBody));
}

void
pgw_slot_enqueue(int slot)
{
	PgwSlotHeader *header = &pgw_shared->slots[slot];
	PgwWorkerEntry *entry = &pgw_shared->entries[header->entry];
	int after = entry->queue_tail;

	PGW_ASSERT_LOCKED_FOR_WRITING();
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

void
pgw_slot_dequeue(int slot)
{
	PgwSlotHeader *header = &pgw_shared->slots[slot];
	PgwWorkerEntry *entry = &pgw_shared->entries[header->entry];

	PGW_ASSERT_LOCKED_FOR_WRITING();
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

int
pgw_slot_set_answer(int slot, const PgwSlotAnswer *answer)
{
	PgwSlotHeader *header = &pgw_shared->slots[slot];
	PgwSlotHeader *lead = &pgw_shared->slots[header->lead];

	PGW_ASSERT_LOCKED_FOR_WRITING();
	Assert(!header->abandoned && lead->procno == header->procno && lead->unanswered > 0);
	explicit_bzero(&pgw_bodies[slot].request, sizeof(PgwSlotRequest));
	pgw_bodies[slot].answer = *answer;
	pg_write_barrier(); /* the body before the state: see is_answered() */
	header->state = PGW_SLOT_ANSWERED;
	return --lead->unanswered == 0 ? header->procno : PGW_NO_PROC;
}

static void
answer_and_wake(int slot, const PgwSlotAnswer *answer)
{
	PGW_ASSERT_LOCKED_FOR_WRITING();
	pgw_wake_procno(pgw_slot_set_answer(slot, answer));
}

void
pgw_slot_wipe_and_free(int slot)
{
	wipe(slot);
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	free_slot(slot);
	LWLockRelease(pgw_lock);
}

void
pgw_slot_release_taken(int slot)
{
	PgwSlotHeader *header = &pgw_shared->slots[slot];
	PgwSlotAnswer answer = {.kind = PGW_ANSWER_OUTCOME, .status = PGW_BANK_UNKNOWN};

	PGW_ASSERT_LOCKED_FOR_WRITING();
	answer.transaction_id = header->transaction_id;
	if (header->abandoned)
	{
		wipe(slot);
		free_slot(slot);
	}
	else if (header->recorded)
		answer_and_wake(slot, &answer);
	else
		pgw_slot_enqueue(slot);
}

void
pgw_slots_release_taken(int entry)
{
	PGW_ASSERT_LOCKED_FOR_WRITING();
	for (int i = 0; i < pgw_max_waiting; i++)
	{
		if (pgw_shared->slots[i].state == PGW_SLOT_TAKEN && pgw_shared->slots[i].entry == entry)
			pgw_slot_release_taken(i);
	}
}

static PgwSlotAnswer
error_answer(const char *error_code)
{
	PgwSlotAnswer answer = {.kind = PGW_ANSWER_ERROR};

	strlcpy(answer.error_code, error_code, sizeof(answer.error_code));
	return answer;
}

void
pgw_slots_fail_requested(int entry, const char *error_code, uint64 last)
{
	PgwSlotAnswer answer = error_answer(error_code);
	int slot;

	PGW_ASSERT_LOCKED_FOR_WRITING();
	/* who came last is at the end */
	while ((slot = pgw_shared->entries[entry].queue_head) != PGW_NO_SLOT &&
		   pgw_shared->slots[slot].seq <= last)
	{
		pgw_slot_dequeue(slot);
		answer_and_wake(slot, &answer);
	}
}

void
pgw_slots_fail(int entry, const char *error_code, bool taken)
{
	PgwSlotAnswer answer = error_answer(error_code);

	pgw_slots_fail_requested(entry, error_code, PG_UINT64_MAX);
	for (int i = 0; taken && i < pgw_max_waiting; i++)
	{
		if (pgw_shared->slots[i].state != PGW_SLOT_TAKEN || pgw_shared->slots[i].entry != entry)
			continue;
		if (pgw_shared->slots[i].abandoned)
			pgw_slot_release_taken(i);
		else
			answer_and_wake(i, &answer);
	}
}
