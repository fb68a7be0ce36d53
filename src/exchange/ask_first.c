/*
 * ask_first.c - notifications that are not taken yet, and that the bank is asked for all the same
 *
 * Owns: the places for them of each entry, which lie on pages of their own as slot bodies do
 * (exchange_shmem.c).  Locks: pgw_lock.
 *
 * Invariants
 *     - They lie in memory only: an id that anybody may have sent can be a card's number.  They are
 *       wiped when the worker has them, when it ends or is paused, and after a minute at most.
 *     - A place depends on the bank, so a flood of what somebody makes up for one takes none of
 *       the others', but by accident.
 */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include "postgres.h"

#include <string.h>

#include "common/hashfn.h"
#include "utils/timestamp.h"

#include "exchange/ask_first.h"
#include "exchange/exchange_shmem.h"

#define EACH 2 /* places of one bank */

static int
place_of(const PgwAskFirst *what)
{
	uint32 bank = DatumGetUInt32(hash_any((const unsigned char *) what->bank, strlen(what->bank)));
	uint32 id = (unsigned char) what->identity[0];

	return (int) (bank % (PGW_ASK_FIRST_PLACES / EACH) * EACH + id % EACH);
}

/* Also what is of another time: the clock was set back. */
static void
wipe_old(int entry)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < PGW_ASK_FIRST_PLACES; i++)
	{
		PgwAskFirst *what = &pgw_ask_first[entry][i];
		int64 age_ms = (now - what->received_at) / 1000;

		if (what->event_id[0] != '\0' &&
			(age_ms >= PGW_ASK_FIRST_FOR_MS || age_ms <= -PGW_ASK_FIRST_FOR_MS))
			explicit_bzero(what, sizeof(*what));
	}
}

void
pgw_ask_first_wipe(int entry)
{
	PGW_ASSERT_LOCKED_FOR_WRITING();
	explicit_bzero(pgw_ask_first[entry], sizeof(pgw_ask_first[entry]));
}

static bool
is_asked(const PgwWorkerEntry *entry)
{
	return entry->state == PGW_ENTRY_RUNNING &&
		   (entry->paused == PGW_PAUSE_NONE || entry->paused == PGW_PAUSE_DRAINING);
}

static void
put(Oid dboid, const PgwAskFirst *what, bool if_free)
{
	PgwAskFirst *place;
	int e;

	if (!pgw_exchange_available())
		return;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	e = pgw_entry_find(dboid, false);
	if (e >= 0 && is_asked(&pgw_shared->entries[e]))
	{
		wipe_old(e);
		place = &pgw_ask_first[e][place_of(what)];
		if (!if_free || place->event_id[0] == '\0')
			*place = *what;
	}
	LWLockRelease(pgw_lock);
}

void
pgw_exchange_ask_first(Oid dboid, const PgwAskFirst *what)
{
	put(dboid, what, false);
}

void
pgw_exchange_ask_later(Oid dboid, const PgwAskFirst *what)
{
	put(dboid, what, true);
}

int
pgw_exchange_asked_first(PgwAskFirst *out, int most)
{
	static int from = 0; /* whoever comes first does not always do so */
	int attached = pgw_entry_attached();
	int n = 0;

	if (attached < 0)
		return 0;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	wipe_old(attached);
	for (int i = 0; i < PGW_ASK_FIRST_PLACES && n < most; i++)
	{
		PgwAskFirst *what = &pgw_ask_first[attached][(from + i) % PGW_ASK_FIRST_PLACES];

		if (what->event_id[0] == '\0')
			continue;
		out[n++] = *what;
		explicit_bzero(what, sizeof(*what));
	}
	LWLockRelease(pgw_lock);
	from = (from + most) % PGW_ASK_FIRST_PLACES;
	return n;
}

void
pgw_exchange_ask_first_sweep(void)
{
	int attached = pgw_entry_attached();

	if (attached < 0)
		return;
	LWLockAcquire(pgw_lock, LW_EXCLUSIVE);
	wipe_old(attached);
	LWLockRelease(pgw_lock);
}
