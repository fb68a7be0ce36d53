/*
 * told_pause.c - for how long callers who submit are to pause, as their database's worker says
 *
 * Owns: the pause in the database's entry.  It is a hint: who reads an old one pauses for a little
 * too long, or not at all, and what a worker says that is stopped or gone is void after two
 * seconds. Locks: pgw_lock, when a session looks for its database's entry; not for the pause
 * itself.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "exchange/exchange_shmem.h"
#include "exchange/told_pause.h"

#define HOLDS_MS 2000 /* an idle worker makes a turn each second */

void
pgw_submit_pause_init(PgwSubmitPause *p)
{
	pg_atomic_init_u32(&p->each_us, 0);
	pg_atomic_init_u64(&p->until, 0);
}

void
pgw_submit_pause_say(uint32 each_us)
{
	int entry = pgw_entry_attached();
	PgwSubmitPause *p;

	if (entry < 0)
		return;
	p = &pgw_shared->entries[entry].submit_pause;
	pg_atomic_write_u32(&p->each_us, each_us);
	pg_atomic_write_u64(&p->until,
						(uint64) TimestampTzPlusMilliseconds(GetCurrentTimestamp(), HOLDS_MS));
}

uint32
pgw_submit_pause_each_us(void)
{
	PgwSubmitPause *p;
	uint32 each_us;
	int entry;

	if (!pgw_exchange_available() || (entry = pgw_entry_mine()) < 0)
		return 0;
	p = &pgw_shared->entries[entry].submit_pause;
	each_us = pg_atomic_read_u32(&p->each_us);
	return each_us != 0 && (TimestampTz) pg_atomic_read_u64(&p->until) > GetCurrentTimestamp()
			   ? each_us
			   : 0;
}
