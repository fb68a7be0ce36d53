/*
 * event_fence.c - events of attempts that began before the fence are listed in pgw.late_events
 *
 * Owns: event_fence in the database's entry.  It only grows, until the server ends; then it is
 * unknown, until the worker has looked into pgw.event_consumers.
 * Locks: pgw_lock, when a session looks for its database's entry; not for the fence itself.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "exchange/event_fence.h"
#include "exchange/exchange_shmem.h"

void
pgw_event_fence_init(pg_atomic_uint64 *fence)
{
	pg_atomic_init_u64(fence, PGW_FENCE_UNKNOWN);
}

/* NULL: the server did not preload pgw, or the database has no entry yet. */
static pg_atomic_uint64 *
my_fence(void)
{
	int entry = pgw_exchange_available() ? pgw_entry_mine() : -1;

	return entry >= 0 ? &pgw_shared->entries[entry].event_fence : NULL;
}

uint64
pgw_event_fence(void)
{
	pg_atomic_uint64 *fence = my_fence();

	return fence != NULL ? pg_atomic_read_u64(fence) : PGW_FENCE_UNKNOWN;
}

void
pgw_event_fence_know(uint64 ms)
{
	pg_atomic_uint64 *fence = my_fence();
	uint64 unknown = PGW_FENCE_UNKNOWN;

	if (fence != NULL)
		(void) pg_atomic_compare_exchange_u64(fence, &unknown, ms);
}

bool
pgw_event_fence_raise(uint64 ms)
{
	pg_atomic_uint64 *fence = my_fence();
	uint64 now = fence != NULL ? pg_atomic_read_u64(fence) : PGW_FENCE_UNKNOWN;

	while (now < ms)
	{
		/* a full barrier; another value is in now if somebody was faster */
		if (pg_atomic_compare_exchange_u64(fence, &now, ms))
			return true;
	}
	return now != PGW_FENCE_UNKNOWN;
}
