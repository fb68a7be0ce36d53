/*
 * shard_name.c - pgw.shard_name: the name of this shard
 *
 * All servers of a group that fails over have the same name; a copy that is started by itself has
 * none until somebody gives it one.
 *
 * Owns: the setting, and what it was when the postmaster started, which all processes inherit.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/start_name.h"
#include "core/files/copy_rules.h"
#include "shard/shard_name.h"

static PgwStartName setting = {"pgw.shard_name", "PGW_SHARD_NAME", NULL};
static char name[PGW_INSTANCE_MAX + 1];
static bool ignored = false;

void
pgw_shard_name_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	pgw_start_name_define(
		&setting,
		"The name of this shard: slots of pgw.shard_slots that belong to another name are not at home here.",
		"From outside the data directory: the environment (PGW_SHARD_NAME), the command line, or a file elsewhere.");
	ignored = pgw_start_name_read(&setting, name, sizeof(name));
}

const char *
pgw_shard_name(void)
{
	return name[0] != '\0' ? name : NULL;
}

bool
pgw_shard_name_valid(const char *of)
{
	return of[0] != '\0' && pgw_instance_valid(of);
}

bool
pgw_shard_name_ignored(void)
{
	return ignored;
}
