/*
 * exchange_shmem.c - creation and protection of the exchange's shared memory
 *
 * Owns: pgw.max_waiting, pgw.role_max_waiting, and the process-local addresses.  What lies in it,
 * and which lock protects what, is in exchange_shmem.h.
 *
 * Slot bodies hold card numbers, and so may what a bank is asked for first (ask_first.c): they lie
 * on pages of their own.  madvise(MADV_DONTDUMP) in the postmaster marks the mapping that every
 * child inherits, and the postmaster's mlock keeps the shared pages resident for all.  With huge
 * pages madvise may refuse; they are never swapped, and shared ones are not dumped by default.
 * After a crash the postmaster creates everything anew, empty.
 */
#include "postgres.h"

#include <sys/mman.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/guc.h"

#include "base/shared_memory.h"
#include "exchange/exchange_shmem.h"
#include "exchange/fencing_delay.h"
#include "exchange/slots_internal.h"
#include "exchange/unreplicated.h"
#include "exchange/worker_entries.h"

int pgw_max_waiting = 512;
int pgw_role_max_waiting = 10000;

PgwShared *pgw_shared = NULL;
PgwSlotBody *pgw_bodies = NULL;
PgwAskFirstPlaces *pgw_ask_first = NULL;
LWLock *pgw_lock = NULL;

static Size
page_size(void)
{
	return (Size) sysconf(_SC_PAGESIZE);
}

static Size
control_size(void)
{
	return add_size(offsetof(PgwShared, slots), mul_size(pgw_max_waiting, sizeof(PgwSlotHeader)));
}

/* Whole pages. */
static Size
bodies_size(void)
{
	return TYPEALIGN(page_size(), mul_size(pgw_max_waiting, sizeof(PgwSlotBody)));
}

static Size
ask_first_size(void)
{
	return TYPEALIGN(page_size(), mul_size(PGW_MAX_DATABASES, sizeof(PgwAskFirstPlaces)));
}

/* ... and one more, so that they can begin where a page does. */
static Size
bodies_area_size(void)
{
	return add_size(bodies_size(), page_size());
}

static Size
ask_first_area_size(void)
{
	return add_size(ask_first_size(), page_size());
}

/*
 * Keep whole pages out of core dumps and swap. Postmaster only; failing is no reason not to start.
 */
static void
protect(void *pages, Size size)
{
	if (madvise(pages, size, MADV_DONTDUMP) != 0)
		ereport(DEBUG1, (errmsg_internal("pgw: could not exclude card data from core dumps: %m")));
	if (mlock(pages, size) != 0)
		ereport(
			LOG,
			(errmsg("pgw: could not lock %zu kB of card data into memory: %m", size / 1024),
			 errhint(
				 "Raise the limit on locked memory (LimitMEMLOCK= of the service), or encrypt the swap space.")));
}

static void
attach_control(void *area, bool created, LWLock *lock)
{
	pgw_shared = area;
	pgw_lock = lock;
	if (!created)
		return;
	memset(pgw_shared, 0, control_size());
	pg_atomic_init_u64(&pgw_shared->generation, 1);
	pg_atomic_init_u32(&pgw_shared->changing, 0);
	pgw_fencing_attach();
	pgw_unreplicated_attach();
	pg_atomic_init_u32(&pgw_shared->failing, 0);
	SpinLockInit(&pgw_shared->lines_lock);
	pgw_entries_init();
	pgw_slots_init();
}

static void
attach_bodies(void *area, bool created, LWLock *lock)
{
	pgw_bodies = (PgwSlotBody *) TYPEALIGN(page_size(), area);
	if (created)
		memset(pgw_bodies, 0, bodies_size());
	if (!IsUnderPostmaster)
		protect(pgw_bodies, bodies_size());
}

static void
attach_ask_first(void *area, bool created, LWLock *lock)
{
	pgw_ask_first = (PgwAskFirstPlaces *) TYPEALIGN(page_size(), area);
	if (created)
		memset(pgw_ask_first, 0, ask_first_size());
	if (!IsUnderPostmaster)
		protect(pgw_ask_first, ask_first_size());
}

static const PgwSharedArea control_area = {"pgw", control_size, attach_control};
static const PgwSharedArea bodies_area = {"pgw slot bodies", bodies_area_size, attach_bodies};
static const PgwSharedArea ask_first_area = {"pgw asked first", ask_first_area_size,
											 attach_ask_first};

void
pgw_exchange_init(void)
{
	DefineCustomIntVariable(
		"pgw.role_max_waiting",
		"How many process_payment() calls of one role can wait for their bank at the same time.",
		"One more is refused with PW429 before anything is sent.", &pgw_role_max_waiting, 10000, 1,
		10000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	if (!process_shared_preload_libraries_in_progress)
		return;

	DefineCustomIntVariable(
		"pgw.max_waiting",
		"How many process_payment() calls can wait for their bank at the same time, in all databases together.",
		"One more is refused with PW500 before anything is sent. Each takes about 15 kB of locked shared memory.",
		&pgw_max_waiting, 512, 1, 10000, PGC_POSTMASTER, 0, NULL, NULL, NULL);

	pgw_shared_memory_add(&control_area);
	pgw_shared_memory_add(&bodies_area);
	pgw_shared_memory_add(&ask_first_area);
}

bool
pgw_exchange_available(void)
{
	return pgw_shared != NULL;
}
