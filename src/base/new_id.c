/*
 * new_id.c - a new id: UUIDv7, so that ids grow with time
 *
 * Owns: random bytes that were fetched in advance.
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/timestamp.h"

#include "base/new_id.h"
#include "core/base/shard_slot.h"
#include "core/base/uuid7.h"

#define RANDOM_PER_ID 10
#define IDS_AT_ONCE 32

/*
 * Random bytes for many ids at a time: asking for them costs as much as writing an event.  Each is
 * used once; a process forks none that uses them, too.
 */
void
pgw_new_id(pg_uuid_t *out)
{
	static PgwUuid7Gen gen;
	static uint8_t rnd[IDS_AT_ONCE][RANDOM_PER_ID];
	static int left = 0;
	uint64 ms = (GetCurrentTimestamp() +
				 (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY) /
				1000;

	if (left == 0)
	{
		if (!pg_strong_random(rnd, sizeof(rnd)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
		left = IDS_AT_ONCE;
	}
	pgw_uuid7_make(&gen, ms, rnd[--left], out->data);
}

void
pgw_new_id_in_slot(pg_uuid_t *out, int slot)
{
	pgw_new_id(out);
	pgw_shard_slot_into_id(slot, out->data);
}
