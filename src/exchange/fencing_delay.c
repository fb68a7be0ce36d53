/*
 * fencing_delay.c - while it is not known that this server is still the one that pays, nothing new
 * leaves for a bank
 *
 * An old primary whose synchronous standby was promoted elsewhere is fenced: no commit of it ends.
 * Whoever empties synchronous_standby_names takes that fence away.  An operator does so who knows
 * that the standby is lost; but a cluster manager does so, too, that finds the old primary running
 * and has not asked yet who leads (Patroni 3.0: a tenth of a second before it demotes the server,
 * longer where its store is slow).  What waited then goes on at once, and a bank would be asked for
 * charges that no other server has heard of: their callers make the same calls at the new primary,
 * where they are charged again.  So what is to be sent waits for pgw.fencing_delay after the names
 * were emptied; or have * among them, and had not: then any standby will do that still follows this
 * server, while the one that was named may lead.  From names to other names there is no delay: a
 * cluster manager changes them so only where it leads.
 *
 * Owns: pgw.fencing_delay; `fence` and `unfenced_at` of PgwShared, which are atomic.  They outlive
 * a worker, and the recovery from a crash, but not a restart of the server.
 *
 * Orderings that matter
 *     - The settings of two processes change at two moments.  The checkpointer ends the waits when
 *       it has read that the names are empty; a worker may not have read it yet, and then takes
 *       them for set: so what is sent is asked for by its place in the log, which only a standby's
 *       answer brings forward, and not by its commit having ended.  Or the worker has read it
 *       first, and its commits wait for nobody while the checkpointer's still would: so its own
 *       reading begins the delay.  A walsender that reads * before the worker does is not noticed:
 *       the postmaster signals one right after the other, and a standby would have to answer
 *       between.
 *     - unfenced_at is written before `fence` is taken back: who finds that gone finds the time.
 */
#include "postgres.h"

#include "access/xact.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "utils/guc.h"

#include "core/base/mutant.h"
#include "exchange/exchange_shmem.h"
#include "exchange/fencing_delay.h"

/* What keeps an old primary from committing, the better the greater. */
enum
{
	FENCE_NONE = 0,
	FENCE_ANY,  /* a standby, whichever */
	FENCE_NAMED /* a standby of a name: which an old primary has not, once that leads */
};

static int fencing_delay = 15000;
static struct
{
	bool looked;
	uint32 fence;
} mine; /* as this process has seen it last */

/* The postmaster's, while shared memory is made anew after a crash. */
static struct
{
	uint32 fence;
	uint64 unfenced_at;
} kept;

void
pgw_fencing_init(void)
{
	DefineCustomIntVariable(
		"pgw.fencing_delay",
		"How long nothing new is sent to banks after synchronous_standby_names was emptied, or has * among its names.",
		"The time in which a cluster manager finds out that this server is an old primary, and ends it.",
		&fencing_delay, 15000, 0, 60 * 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
}

static void
keep(int code, Datum arg)
{
	kept.fence = pg_atomic_read_u32(&pgw_shared->fence);
	kept.unfenced_at = pg_atomic_read_u64(&pgw_shared->unfenced_at);
}

void
pgw_fencing_attach(void)
{
	pg_atomic_init_u32(&pgw_shared->fence, kept.fence);
	pg_atomic_init_u64(&pgw_shared->unfenced_at, kept.unfenced_at);
	/* called before the memory is given up, of which the postmaster has been told earlier */
	on_shmem_exit(keep, (Datum) 0);
}

/* By a clock that nobody sets, and that all processes have in common. */
static uint64
monotonic_ms(void)
{
	instr_time t;

	INSTR_TIME_SET_CURRENT(t);
	return (uint64) INSTR_TIME_GET_MILLISEC(t);
}

static bool
standbys_are_named(void)
{
	return SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0';
}

bool
pgw_waits_for_standbys(void)
{
	return SyncRepRequested() && standbys_are_named();
}

static uint32
fence_by_settings(void)
{
	const char *name;

	if (!pgw_waits_for_standbys() || SyncRepConfig == NULL)
		return FENCE_NONE;
	name = SyncRepConfig->member_names;
	for (int i = 0; i < SyncRepConfig->nmembers; i++, name += strlen(name) + 1)
	{
		if (strcmp(name, "*") == 0)
			return FENCE_ANY;
	}
	return FENCE_NAMED;
}

void
pgw_fencing_look(void)
{
	uint32 fence = fence_by_settings();
	uint32 before;

	/* others may have read already what this process has not: only its own change is its to tell */
	if (mine.looked && mine.fence == fence)
		return;
	mine.looked = true;
	mine.fence = fence;
	before = pg_atomic_read_u32(&pgw_shared->fence);
	pg_read_barrier(); /* then unfenced_at: see the head of this file */
	if (fence == before)
		return;
	if (fence < before)
		pg_atomic_write_u64(&pgw_shared->unfenced_at, monotonic_ms());
	/* a full barrier; false: another database's worker was faster, and has told it */
	if (!pg_atomic_compare_exchange_u32(&pgw_shared->fence, &before, fence) || fence > before ||
		fencing_delay == 0)
		return;
	ereport(
		LOG,
		(errmsg(
			 "pgw: nothing new is sent to banks for %d s: synchronous_standby_names was emptied, or took in *",
			 (fencing_delay + 999) / 1000),
		 errhint(
			 "If another server was promoted, end this one now. Else there is nothing to do: payments wait for pgw.fencing_delay. See docs/reliability.md.")));
}

long
pgw_fencing_ms_left(void)
{
	uint64 at = pgw_shared != NULL ? pg_atomic_read_u64(&pgw_shared->unfenced_at) : 0;
	uint64 until = at + fencing_delay;
	uint64 now = monotonic_ms();

	if (at == 0 || now >= until || PGW_MUTATED(FENCING))
		return 0;
	return (long) (until - now);
}

XLogRecPtr
pgw_replicated_up_to(void)
{
	return pgw_waits_for_standbys() ? pgw_at_standbys() : PG_UINT64_MAX;
}

XLogRecPtr
pgw_at_standbys(void)
{
	XLogRecPtr lsn;

	if (max_wal_senders == 0 || !standbys_are_named())
		return PG_UINT64_MAX;
	LWLockAcquire(SyncRepLock, LW_SHARED);
	lsn = WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH];
	LWLockRelease(SyncRepLock);
	return lsn;
}
