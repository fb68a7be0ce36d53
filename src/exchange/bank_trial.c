/*
 * bank_trial.c - pgw.try_bank(): a backend asks the worker to call a bank for nothing but its
 * answer
 *
 * Owns: a few places in shared memory, each for one trial, protected by a lock of their own.  A
 * place is free, asked for, taken by the worker, or reported; the backend frees it, also when it
 * leaves early or is terminated, and what the worker reports then goes nowhere.  What a worker that
 * ends has taken is never reported: whoever waits has a deadline.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"

#include "base/shared_memory.h"
#include "exchange/bank_trial.h"
#include "exchange/config_generation.h"
#include "exchange/exchange_shmem.h"
#include "exchange/process_latch.h"

#define PLACES 8

typedef enum PlaceState
{
	PLACE_FREE = 0,
	PLACE_ASKED,
	PLACE_TAKEN,
	PLACE_REPORTED
} PlaceState;

typedef struct Place
{
	PlaceState state;
	uint64 ticket;
	Oid dboid;
	uint64 generation; /* of the configuration that the backend could see */
	int procno;        /* the backend's */
	char bank[64];
	PgwTrialReport report;
} Place;

typedef struct Trials
{
	uint64 last_ticket;
	pg_atomic_uint32 asked; /* places in that state, for a look without the lock */
	Place places[PLACES];
} Trials;

static Trials *trials = NULL;
static LWLock *trials_lock = NULL;

static Size
trials_size(void)
{
	return sizeof(Trials);
}

static void
trials_attach(void *area, bool created, LWLock *lock)
{
	trials = area;
	trials_lock = lock;
	if (created)
	{
		memset(trials, 0, sizeof(Trials));
		pg_atomic_init_u32(&trials->asked, 0);
	}
}

static const PgwSharedArea trials_area = {"pgw bank trials", trials_size, trials_attach};

void
pgw_trial_init(void)
{
	pgw_shared_memory_add(&trials_area);
}

static Place *
find(uint64 ticket)
{
	for (int i = 0; i < PLACES; i++)
	{
		if (trials->places[i].state != PLACE_FREE && trials->places[i].ticket == ticket)
			return &trials->places[i];
	}
	return NULL;
}

static void
set_state(Place *place, PlaceState state)
{
	if (place->state == PLACE_ASKED)
		pg_atomic_fetch_sub_u32(&trials->asked, 1);
	if (state == PLACE_ASKED)
		pg_atomic_fetch_add_u32(&trials->asked, 1);
	place->state = state;
}

static void
wake_worker(void)
{
	int e;

	LWLockAcquire(pgw_lock, LW_SHARED);
	e = pgw_entry_find(MyDatabaseId, false);
	if (e >= 0)
		pgw_wake_worker(e);
	LWLockRelease(pgw_lock);
}

uint64
pgw_trial_ask(const char *bank)
{
	uint64 ticket = 0;

	if (trials == NULL)
		return 0;
	LWLockAcquire(trials_lock, LW_EXCLUSIVE);
	for (int i = 0; ticket == 0 && i < PLACES; i++)
	{
		Place *place = &trials->places[i];

		if (place->state != PLACE_FREE)
			continue;
		memset(place, 0, sizeof(Place));
		ticket = place->ticket = ++trials->last_ticket;
		place->dboid = MyDatabaseId;
		place->generation = pgw_exchange_generation();
		place->procno = pgw_my_procno();
		strlcpy(place->bank, bank, sizeof(place->bank));
		set_state(place, PLACE_ASKED);
	}
	LWLockRelease(trials_lock);
	if (ticket != 0)
		wake_worker();
	return ticket;
}

bool
pgw_trial_fetch(uint64 ticket, PgwTrialReport *report)
{
	Place *place;
	bool reported;

	LWLockAcquire(trials_lock, LW_EXCLUSIVE);
	place = find(ticket);
	reported = place != NULL && place->state == PLACE_REPORTED;
	if (reported)
	{
		*report = place->report;
		set_state(place, PLACE_FREE);
	}
	LWLockRelease(trials_lock);
	return reported;
}

void
pgw_trial_forget(uint64 ticket)
{
	Place *place;

	LWLockAcquire(trials_lock, LW_EXCLUSIVE);
	place = find(ticket);
	if (place != NULL)
		set_state(place, PLACE_FREE);
	LWLockRelease(trials_lock);
}

bool
pgw_trial_waits(void)
{
	return trials != NULL && pg_atomic_read_u32(&trials->asked) > 0;
}

uint64
pgw_trial_take(uint64 generation, char bank[64])
{
	Place *oldest = NULL;
	uint64 ticket = 0;

	LWLockAcquire(trials_lock, LW_EXCLUSIVE);
	for (int i = 0; i < PLACES; i++)
	{
		Place *place = &trials->places[i];

		if (place->state == PLACE_ASKED && place->dboid == MyDatabaseId &&
			place->generation <= generation && (oldest == NULL || place->ticket < oldest->ticket))
			oldest = place;
	}
	if (oldest != NULL)
	{
		ticket = oldest->ticket;
		strlcpy(bank, oldest->bank, 64);
		set_state(oldest, PLACE_TAKEN);
	}
	LWLockRelease(trials_lock);
	return ticket;
}

void
pgw_trial_report(uint64 ticket, const PgwTrialReport *report)
{
	Place *place;

	LWLockAcquire(trials_lock, LW_EXCLUSIVE);
	place = find(ticket);
	if (place != NULL)
	{
		place->report = *report;
		set_state(place, PLACE_REPORTED);
		pgw_wake_procno(place->procno);
	}
	LWLockRelease(trials_lock);
}
