/*
 * shared_memory.h - a module's area of shared memory, and the lock that goes with it
 */
#ifndef PGW_BASE_SHARED_MEMORY_H
#define PGW_BASE_SHARED_MEMORY_H

#include "postgres.h"
#include "storage/lwlock.h"

typedef struct PgwSharedArea
{
	const char *name; /* as pg_shmem_allocations shows it */
	/* Called when every setting of the server's start is known. */
	Size (*size)(void);

	/*
	 * Called with AddinShmemInitLock held, in the postmaster when the memory is created, and where
	 * processes do not inherit it in each of them; created: nobody has initialized it yet.  The
	 * lock is this area's own.
	 */
	void (*attach)(void *area, bool created, LWLock *lock);
} PgwSharedArea;

/*
 * In _PG_init, after the settings that the size depends on were defined.  Areas are attached in the
 * order in which they were asked for.  Does nothing in a library that is loaded after the server's
 * start: attach() is never called then.
 */
extern void pgw_shared_memory_add(const PgwSharedArea *area);

#endif
