/*
 * copied_cluster.c - $PGDATA/pgw.state: the postmaster looks whether its data directory is a copy,
 * before anything is recovered
 *
 * Owns: the file, pgw.instance, and a small piece of shared memory that says what was found.  The
 * judgement is core/files/copy_rules.c's; whether a database is paused for it is
 * restored_database.c's, by its tables: an incident that is not in pgw.resumptions.
 *
 * When: in the shmem_startup hook, which runs after pg_control was read and before the startup
 * process consumes backup_label and recovery.signal.  Not in single-user mode (pg_rewind uses it),
 * not under pg_upgrade, not for `postgres -C`.  After a crash of a child the postmaster says again
 * what it found at its own start: the files may have been consumed since.
 *
 * What is durable when: the new pgw.state is written as pgw.state.tmp, flushed, and renamed, all
 * before recovery.  Killed before the rename, the next start finds the old file and the same
 * backup_label, and judges the same.  Only the postmaster writes it; no backend ever does.
 *
 * The file holds its own inode, which it keeps through the rename: a copy of it has another one, in
 * whatever directory, and also where an older copy was put back into the same directory.
 *
 * Shared memory: written once by the postmaster before it has children, then read only: no lock.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/guc.h"

#include "base/debug_points.h"
#include "base/shared_memory.h"
#include "base/start_name.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "restore/copied_cluster.h"

#define STATE_FILE "pgw.state"
#define STATE_FILE_TMP "pgw.state.tmp"
#define SIGNAL_STANDBY "standby.signal"
#define SIGNAL_RECOVERY "recovery.signal"
#define LABEL_BACKUP "backup_label"
#define UNIX_EPOCH_US ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

static PgwStartName instance = {"pgw.instance", "PGW_INSTANCE", NULL};
/* the postmaster's own: outlives the shared memory of a crash */
static PgwCopy found;
static bool judged = false;
static PgwCopy *shared = NULL;

/* ---------------------------------------------------------------- the file */

/* Inode, and time of birth in ns where the file system tells it. */
static bool
look_at(int fd, uint64 *inode, int64 *born)
{
#ifdef STATX_BTIME
	struct statx x;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &x) == 0)
	{
		*inode = x.stx_ino;
		*born = (x.stx_mask & STATX_BTIME)
					? (int64) x.stx_btime.tv_sec * 1000000000 + x.stx_btime.tv_nsec
					: 0;
		return true;
	}
#endif
	{
		struct stat st;

		*born = 0;
		if (fstat(fd, &st) != 0)
			return false;
		*inode = st.st_ino;
		return true;
	}
}

/* What the file says, and what it is. */
static void
read_state(PgwCopyStart *start)
{
	char text[PGW_STATE_TEXT_MAX];
	ssize_t n;
	int fd = OpenTransientFile(STATE_FILE, O_RDONLY | PG_BINARY);

	start->found = PGW_FILE_ABSENT;
	if (fd < 0 && errno == ENOENT)
		return;
	start->found = PGW_FILE_UNREADABLE;
	if (fd < 0)
	{
		ereport(WARNING, (errcode_for_file_access(),
						  errmsg("pgw: could not open file \"%s\": %m", STATE_FILE)));
		return;
	}
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		ereport(WARNING, (errcode_for_file_access(),
						  errmsg("pgw: could not read file \"%s\": %m", STATE_FILE)));
	text[Max(n, 0)] = '\0';
	if (look_at(fd, &start->place.file, &start->place.born) &&
		pgw_copy_state_parse(text, &start->state))
		start->found = PGW_FILE_READ;
	else
		memset(&start->state, 0, sizeof(start->state));
	CloseTransientFile(fd);
}

/* false: it is as it was before, and the reason is in the log. */
static bool
write_state(PgwCopyState *state)
{
	char text[PGW_STATE_TEXT_MAX];
	size_t n;
	bool written = false;
	int fd = OpenTransientFilePerm(STATE_FILE_TMP, O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY,
								   pg_file_create_mode);

	if (fd >= 0 && look_at(fd, &state->place.file, &state->place.born))
	{
		n = pgw_copy_state_format(state, text);
		errno = 0;
		written = write(fd, text, n) == (ssize_t) n;
		if (!written && errno == 0)
			errno = ENOSPC;
		PGW_DEBUG_POINT("state_written");
		written = written && pg_fsync(fd) == 0;
	}
	if (!written)
		ereport(WARNING, (errcode_for_file_access(),
						  errmsg("pgw: could not write file \"%s\": %m", STATE_FILE_TMP)));
	if (fd >= 0)
		written = CloseTransientFile(fd) == 0 && written;
	/* flushes it once more, which is cheap, and the directory after the rename */
	return written && durable_rename(STATE_FILE_TMP, STATE_FILE, WARNING) == 0;
}

/* ---------------------------------------------------------------- the look */

static bool
there(const char *file)
{
	struct stat st;

	return stat(file, &st) == 0;
}

static bool
is_set(const char *setting)
{
	const char *value = GetConfigOption(setting, true, false);

	return value != NULL && value[0] != '\0';
}

static bool
control_says_standby(void)
{
	bool crc_ok;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);
	bool standby = crc_ok && (control->state == DB_SHUTDOWNED_IN_RECOVERY ||
							  control->state == DB_IN_ARCHIVE_RECOVERY);

	pfree(control);
	return standby;
}

static void
look(PgwCopyStart *start)
{
	struct stat st;

	if (stat(".", &st) != 0)
		ereport(FATAL,
				(errcode_for_file_access(), errmsg("pgw: could not stat the data directory: %m")));
	read_state(start);
	start->place.directory = st.st_ino;
	start->place.system_identifier = GetSystemIdentifier();
	strlcpy(start->place.instance, found.instance, sizeof(start->place.instance));
	start->standby_signal = there(SIGNAL_STANDBY);
	start->recovery_signal = there(SIGNAL_RECOVERY);
	start->backup_label = there(LABEL_BACKUP);
	start->recovery_target = is_set("recovery_target") || is_set("recovery_target_lsn") ||
							 is_set("recovery_target_name") || is_set("recovery_target_time") ||
							 is_set("recovery_target_xid");
	start->was_standby = control_says_standby();
}

static void
new_incident(PgwCopyState *state, PgwCopyReason reason)
{
	PgwUuid7Gen gen = {0};
	uint8 rnd[10];

	state->reason = reason;
	state->since_us = GetCurrentTimestamp() + UNIX_EPOCH_US;
	if (!pg_strong_random(rnd, sizeof(rnd)))
		ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("pgw: could not generate a random number")));
	pgw_uuid7_make(&gen, (uint64) (state->since_us / 1000), rnd, state->incident);
}

/*
 * A file that is not there is what every new cluster has: that is for the log only where somebody
 * looks for it.
 */
static void
report(const PgwCopyState *state)
{
	ereport(
		state->reason == PGW_COPY_NO_STATE ? DEBUG1 : WARNING,
		(errmsg("pgw: this may be a copy of another cluster: %s",
				pgw_copy_reason_text(state->reason)),
		 errdetail("Databases that have payments stay paused."),
		 errhint(
			 "Once it is sure that the original makes no more payments: SELECT pgw.resume_after_restore() in each of them. See docs/restore.md.")));
}

static void
judge(void)
{
	PgwCopyStart start;
	PgwCopyState state;
	PgwCopyReason reason;
	bool write;

	memset(&start, 0, sizeof(start));
	found.instance_ignored = pgw_start_name_read(&instance, found.instance, sizeof(found.instance));
	look(&start);
	reason = PGW_MUTATED(COPY_PAUSE) ? PGW_COPY_NONE : pgw_copy_judge(&start);

	/*
	 * the last incident stays in the file: it is over in the databases that have it in
	 * pgw.resumptions, and in no other
	 */
	state = start.state;
	write = reason != PGW_COPY_NONE || start.found != PGW_FILE_READ ||
			memcmp(&state.place, &start.place, sizeof(PgwCopyPlace)) != 0;
	state.place = start.place;
	if (reason != PGW_COPY_NONE)
	{
		new_incident(&state, reason);
		report(&state);
	}
	if (write && !write_state(&state))
	{
		found.unwritten = true;
		ereport(
			WARNING,
			(errmsg("pgw: what was found out about this data directory is not on disk"),
			 errhint(
				 "Make it possible to write \"%s\" in the data directory, and restart the server.",
				 STATE_FILE)));
	}
	found.reason = state.reason;
	found.since = state.since_us - UNIX_EPOCH_US;
	memcpy(found.incident.data, state.incident, UUID_LEN);
}

static Size
shared_size(void)
{
	return sizeof(PgwCopy);
}

static void
attach(void *area, bool created, LWLock *lock)
{
	shared = area;
	if (!created || IsUnderPostmaster)
		return;
	if (IsPostmasterEnvironment && !judged)
	{
		judge();
		judged = true;
	}
	*shared = found;
}

static const PgwSharedArea shared_area = {"pgw copy", shared_size, attach};

void
pgw_copy_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	pgw_start_name_define(
		&instance,
		"A name for this server that no copy of its data directory has: another one than before means a copy, and pauses payments.",
		"From outside the data directory: the environment (PGW_INSTANCE), the command line, or a file elsewhere.");
	pgw_shared_memory_add(&shared_area);
}

const PgwCopy *
pgw_copy(void)
{
	return IsPostmasterEnvironment ? shared : NULL;
}
