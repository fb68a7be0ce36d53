/*
 * shared_memory.c - one pair of hooks for all areas of shared memory that pgw's modules ask for
 *
 * Owns: the list of areas, and the LWLock tranche "pgw", which has a lock for each of them.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#include "base/shared_memory.h"

#define AREAS_MAX 7
#define TRANCHE "pgw"

static const PgwSharedArea *areas[AREAS_MAX];
static int nareas = 0;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

static void
request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	for (int i = 0; i < nareas; i++)
		RequestAddinShmemSpace(areas[i]->size());
	RequestNamedLWLockTranche(TRANCHE, AREAS_MAX);
}

static void
attach(void)
{
	LWLockPadded *locks;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	locks = GetNamedLWLockTranche(TRANCHE);
	for (int i = 0; i < nareas; i++)
	{
		bool found;
		void *area = ShmemInitStruct(areas[i]->name, areas[i]->size(), &found);

		areas[i]->attach(area, !found, &locks[i].lock);
	}
	LWLockRelease(AddinShmemInitLock);
}

static void
set_hooks(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = attach;
}

void
pgw_shared_memory_add(const PgwSharedArea *area)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	if (nareas == AREAS_MAX)
		elog(FATAL, "pgw has no room for shared memory \"%s\"", area->name);
	if (nareas == 0)
		set_hooks();
	areas[nareas++] = area;
}
