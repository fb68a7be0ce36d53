/*
 * signal_ring.c - how backends tell a worker of attempts that it should look at
 *
 * Owns: the ring in each entry, its rescan flag, and the hints of notifications.  Locks: pgw_lock.
 *
 * Signals are hints.  A ring that is full drops them and sets rescan; so does a worker that starts.
 */
#include "postgres.h"

#include "exchange/exchange_shmem.h"
#include "exchange/signal_ring.h"

void
pgw_exchange_signal(Oid dboid, const PgwSignal *signals, int n)
{
	int worker = PGW_NO_PROC;
	int e;

	if (!pgw_exchange_available() || n <= 0)
		return;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(dboid, false);
	if (e >= 0)
	{
		PgwWorkerEntry *entry = &pgw_shared->entries[e];

		for (int i = 0; i < n; i++)
		{
			if (entry->ring_count >= PGW_RING_SIZE)
			{
				entry->rescan = true;
				break;
			}
			entry->ring[(entry->ring_head + entry->ring_count) % PGW_RING_SIZE] = signals[i];
			entry->ring_count++;
		}
		worker = pgw_entry_worker(e);
	}
	LWLockRelease(pgw_lock);
	pgw_wake_procno(worker);
}

static int
hint_place(const pg_uuid_t *transaction_id)
{
	return transaction_id->data[UUID_LEN - 2] % PGW_HINTS;
}

void
pgw_exchange_put_hint(Oid dboid, const pg_uuid_t *transaction_id, const char *bank_reference)
{
	int e;

	if (!pgw_exchange_available())
		return;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(dboid, false);
	if (e >= 0)
	{
		PgwHint *hint = &pgw_shared->entries[e].hints[hint_place(transaction_id)];

		hint->transaction_id = *transaction_id;
		strlcpy(hint->bank_reference, bank_reference, PGW_HINT_SIZE);
	}
	LWLockRelease(pgw_lock);
}

bool
pgw_exchange_hint(const pg_uuid_t *transaction_id, char bank_reference[PGW_HINT_SIZE])
{
	int attached = pgw_entry_attached();

	bank_reference[0] = '\0';
	if (attached < 0)
		return false;
	LWLockAcquire(pgw_lock, LW_SHARED);
	{
		const PgwHint *hint = &pgw_shared->entries[attached].hints[hint_place(transaction_id)];

		if (memcmp(&hint->transaction_id, transaction_id, sizeof(pg_uuid_t)) == 0)
			strlcpy(bank_reference, hint->bank_reference, PGW_HINT_SIZE);
	}
	LWLockRelease(pgw_lock);
	return bank_reference[0] != '\0';
}

bool
pgw_exchange_rescan(Oid dboid)
{
	bool running = false;
	int e;

	if (!pgw_exchange_available())
		return false;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(dboid, false);
	if (e >= 0)
	{
		pgw_shared->entries[e].rescan = true;
		running = pgw_shared->entries[e].state == PGW_ENTRY_RUNNING;
		pgw_wake_worker(e);
	}
	LWLockRelease(pgw_lock);
	return running;
}

int
pgw_exchange_signals(PgwSignal *out, int max, bool *rescan)
{
	int attached = pgw_entry_attached();
	int n = 0;

	*rescan = false;
	if (attached < 0)
		return 0;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	{
		PgwWorkerEntry *entry = &pgw_shared->entries[attached];

		while (n < max && entry->ring_count > 0)
		{
			out[n++] = entry->ring[entry->ring_head];
			entry->ring_head = (entry->ring_head + 1) % PGW_RING_SIZE;
			entry->ring_count--;
		}
		*rescan = entry->rescan;
		entry->rescan = false;
	}
	LWLockRelease(pgw_lock);
	return n;
}
