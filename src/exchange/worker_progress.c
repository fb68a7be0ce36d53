/*
 * worker_progress.c - when a database's worker has last made a turn, has last committed, and what
 * its last error was
 *
 * Owns: the progress in the database's entry.  Who is asked how the worker does must not have to
 * wait for anything that it may wait for itself, so it is left in shared memory at each turn.
 * Locks: none.  A worker's entry is its own while it is attached.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "exchange/exchange_shmem.h"
#include "exchange/worker_progress.h"

void
pgw_progress_init(PgwWorkerProgress *p)
{
	pg_atomic_init_u64(&p->turned_at, 0);
	pg_atomic_init_u64(&p->committed_at, 0);
	pg_atomic_init_u64(&p->failed_at, 0);
	pg_atomic_init_u32(&p->sqlstate, 0);
}

/* So long as no turn was made, it is counted from here. */
void
pgw_progress_begin(PgwWorkerProgress *p)
{
	pg_atomic_write_u64(&p->turned_at, (uint64) GetCurrentTimestamp());
	pg_atomic_write_u64(&p->committed_at, 0);
	pg_atomic_write_u64(&p->failed_at, 0);
}

void
pgw_progress_read(PgwWorkerProgress *p, PgwProgress *out)
{
	out->turned_at = (TimestampTz) pg_atomic_read_u64(&p->turned_at);
	out->committed_at = (TimestampTz) pg_atomic_read_u64(&p->committed_at);
	out->failed_at = (TimestampTz) pg_atomic_read_u64(&p->failed_at);
	pg_read_barrier(); /* the SQLSTATE is of this error, or of a later one */
	out->sqlstate = (int) pg_atomic_read_u32(&p->sqlstate);
}

static PgwWorkerProgress *
mine(void)
{
	int entry = pgw_entry_attached();

	return entry < 0 ? NULL : &pgw_shared->entries[entry].progress;
}

void
pgw_progress_turned(void)
{
	PgwWorkerProgress *p = mine();

	if (p != NULL)
		pg_atomic_write_u64(&p->turned_at, (uint64) GetCurrentTimestamp());
}

void
pgw_progress_committed(void)
{
	PgwWorkerProgress *p = mine();

	if (p != NULL)
		pg_atomic_write_u64(&p->committed_at, (uint64) GetCurrentTimestamp());
}

void
pgw_progress_failed(int sqlstate)
{
	PgwWorkerProgress *p = mine();

	if (p == NULL)
		return;
	pg_atomic_write_u32(&p->sqlstate, (uint32) sqlstate);
	pg_write_barrier();
	pg_atomic_write_u64(&p->failed_at, (uint64) GetCurrentTimestamp());
}
