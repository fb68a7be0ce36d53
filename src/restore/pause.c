/*
 * pause.c - whether the worker may begin anything new: it is told not to, this database is a copy
 * (restored_database.c), it is a shard that has no slot, or the extension in it has another version
 * than the library
 *
 * Owns: pgw.worker_mode, and the worker's knowledge of all four (process-local).  Backends read
 * what it last told the exchange.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "core/base/mutant.h"
#include "database/extension_version.h"
#include "exchange/why_paused.h"
#include "exchange/worker_entries.h"
#include "restore/pause.h"
#include "restore/restored_database.h"
#include "shard/home_slots.h"

typedef enum WorkerMode
{
	WORKER_MODE_ON = 0,
	WORKER_MODE_PAUSED,
	WORKER_MODE_DRAINING
} WorkerMode;

static int worker_mode = WORKER_MODE_ON;

static const struct config_enum_entry worker_modes[] = {{"on", WORKER_MODE_ON, false},
														{"paused", WORKER_MODE_PAUSED, false},
														{"draining", WORKER_MODE_DRAINING, false},
														{NULL, 0, false}};

static bool checked = false;
static bool restored = false;
static bool other_version = false;
static bool not_home = false;
static PgwPause told = PGW_PAUSE_UNKNOWN;

void
pgw_pause_init(void)
{
	DefineCustomEnumVariable(
		"pgw.worker_mode", "Whether the workers of this cluster call banks.",
		"It is not what ends the pause of a restored or copied database: pgw.resume_after_restore() is.",
		&worker_mode, WORKER_MODE_ON, worker_modes, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

void
pgw_pause_check(void)
{
	/* first: what is read and written then needs the tables as this library knows them */
	other_version = !pgw_serves_script(pgw_script_version()) && !PGW_MUTATED(VERSION_PAUSE);
	checked = true;
	if (other_version)
		return;
	pgw_restored_notice();
	restored = pgw_is_restored() && !PGW_MUTATED(RESTORED_PAUSE);
	not_home = !pgw_any_slot_is_worked() && !PGW_MUTATED(HOME_WORKER);
}

void
pgw_pause_check_anew(void)
{
	pgw_slots_forget();
	pgw_pause_check();
}

PgwPause
pgw_pause(void)
{
	if (!checked)
		return PGW_PAUSE_UNKNOWN;
	if (other_version)
		return PGW_PAUSE_VERSION;
	if (restored)
		return PGW_PAUSE_RESTORED;
	if (not_home)
		return PGW_PAUSE_NOT_HOME;
	switch ((WorkerMode) worker_mode)
	{
		case WORKER_MODE_PAUSED:
			return PGW_PAUSE_MODE;
		case WORKER_MODE_DRAINING:
			return PGW_PAUSE_DRAINING;
		case WORKER_MODE_ON:
			break;
	}
	return PGW_PAUSE_NONE;
}

bool
pgw_pause_works(void)
{
	return pgw_pause() == PGW_PAUSE_NONE || pgw_pause() == PGW_PAUSE_DRAINING;
}

bool
pgw_pause_drains(void)
{
	return pgw_pause() == PGW_PAUSE_DRAINING && !PGW_MUTATED(DRAINING);
}

void
pgw_pause_tell(void)
{
	PgwPause now = pgw_pause();
	PgwPause before = told;

	if (now == PGW_PAUSE_UNKNOWN || now == before)
		return;
	/* at the first time also over what an earlier worker has left */
	pgw_exchange_set_paused(now);
	told = now;
	if (now != PGW_PAUSE_NONE)
		ereport(LOG, (errmsg("pgw: worker %s for database %u",
							 now == PGW_PAUSE_DRAINING ? "draining" : "paused", MyDatabaseId),
					  errhint("%s", pgw_pause_hint(now))));
	else if (before != PGW_PAUSE_UNKNOWN)
		ereport(LOG, (errmsg("pgw: worker goes on for database %u", MyDatabaseId)));
}
