/*
 * copy_rules.c - is this data directory the one that it was, or a copy of it?
 *
 * Owns the judgement and the text of $PGDATA/pgw.state.  A copy that was started beside its
 * original would work on the same attempts, and give back what the original's callers are about to
 * commit.  After recovery nothing tells it from a promoted standby; before, the files do:
 *
 *     standby.signal				it follows another server and is one of its line, whatever else
 * is there; a promotion needs no restart.  Unless it shall stop at a point in time: then it will
 * not follow recovery.signal				recovery to a point in time backup_label the first start
 * of a base backup, or after pg_rewind pg_control "in recovery"	a standby whose signal file was
 * taken away: no promotion, so the old primary knows nothing of it pgw.state was copied with
 * everything else, and names the directory and the file that it was written as
 *
 * pgw.state is part of every copy, and so is whatever incident it names: a standby has its
 * primary's.  A missing or unreadable file proves nothing, and so counts as a copy: whoever deletes
 * it in a copy gains nothing.
 *
 * Invariant: pgw_copy_state_parse() takes exactly what pgw_copy_state_format() writes, so a torn or
 * edited file is "unreadable", never another state.
 */
#include "core/files/copy_rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/uuid7.h"

static const struct
{
	const char *name;
	const char *text;
} reasons[] = {
	[PGW_COPY_NONE] = {"none", "this is the cluster that it was"},
	[PGW_COPY_POINT_IN_TIME] = {"point_in_time_recovery", "it was recovered to a point in time"},
	[PGW_COPY_BASE_BACKUP] =
		{"base_backup",
		 "it is a base backup, or was rewound, and was started without standby.signal"},
	[PGW_COPY_STANDBY_ALONE] =
		{"standby_started_alone",
		 "it was a standby, and was started without standby.signal and without a promotion"},
	[PGW_COPY_NO_STATE] = {"state_missing", "the file pgw.state was missing in its data directory"},
	[PGW_COPY_BAD_STATE] = {"state_unreadable",
							"the file pgw.state in its data directory could not be read"},
	[PGW_COPY_OTHER_CLUSTER] = {"another_cluster",
								"the file pgw.state in its data directory is another cluster's"},
	[PGW_COPY_OTHER_DIRECTORY] = {"another_directory",
								  "its data directory was copied, or restored from a copy"},
	[PGW_COPY_OTHER_INSTANCE] = {"another_instance", "pgw.instance is not what it was"},
};

#define NREASONS ((int) (sizeof(reasons) / sizeof(reasons[0])))

static bool
same_place(const PgwCopyPlace *a, const PgwCopyPlace *b)
{
	/* a file system may begin to tell the time of birth, or cease to */
	return a->directory == b->directory && a->file == b->file &&
		   (a->born == 0 || b->born == 0 || a->born == b->born);
}

PgwCopyReason
pgw_copy_judge(const PgwCopyStart *start)
{
	const PgwCopyPlace *before = &start->state.place;

	if (start->standby_signal && !start->recovery_target)
		return PGW_COPY_NONE;
	if (start->standby_signal || start->recovery_signal)
		return PGW_COPY_POINT_IN_TIME;
	if (start->backup_label)
		return PGW_COPY_BASE_BACKUP;
	if (start->was_standby)
		return PGW_COPY_STANDBY_ALONE;
	if (start->found == PGW_FILE_ABSENT)
		return PGW_COPY_NO_STATE;
	if (start->found == PGW_FILE_UNREADABLE)
		return PGW_COPY_BAD_STATE;
	if (before->system_identifier != start->place.system_identifier)
		return PGW_COPY_OTHER_CLUSTER;
	if (!same_place(before, &start->place))
		return PGW_COPY_OTHER_DIRECTORY;
	/*
	 * not set any more is another value, too: that is how a clone starts which nobody has told
	 * anything
	 */
	if (before->instance[0] != '\0' && strcmp(before->instance, start->place.instance) != 0)
		return PGW_COPY_OTHER_INSTANCE;
	return PGW_COPY_NONE;
}

const char *
pgw_copy_reason_name(PgwCopyReason reason)
{
	return reasons[reason].name;
}

const char *
pgw_copy_reason_text(PgwCopyReason reason)
{
	return reasons[reason].text;
}

/* ---------------------------------------------------------------- pgw.state */

size_t
pgw_copy_state_format(const PgwCopyState *state, char out[PGW_STATE_TEXT_MAX])
{
	char incident[37];
	int n;

	pgw_uuid_to_text(state->incident, incident);
	n = snprintf(out, PGW_STATE_TEXT_MAX,
				 "pgw state 1, written at the server's start: do not edit, copy or delete\n"
				 "system_identifier %" PRIu64 "\n"
				 "directory %" PRIu64 "\n"
				 "file %" PRIu64 "\n"
				 "born %" PRId64 "\n"
				 "instance \"%s\"\n"
				 "incident %s\n"
				 "reason %s\n"
				 "since %" PRId64 "\n"
				 "end\n",
				 state->place.system_identifier, state->place.directory, state->place.file,
				 state->place.born, state->place.instance, incident,
				 pgw_copy_reason_name(state->reason), state->since_us);
	return (size_t) n;
}

bool
pgw_copy_state_parse(const char *whole, PgwCopyState *out)
{
	const char *text = whole;
	char incident[37];
	char reason[32];
	char again[PGW_STATE_TEXT_MAX];

	memset(out, 0, sizeof(*out));
	if (sscanf(text,
			   "pgw state 1, written at the server's start: do not edit, copy or delete\n"
			   "system_identifier %" SCNu64 "\ndirectory %" SCNu64 "\nfile %" SCNu64
			   "\nborn %" SCNd64 "\n",
			   &out->place.system_identifier, &out->place.directory, &out->place.file,
			   &out->place.born) != 4)
		return false;
	text = strstr(text, "\ninstance \"");
	if (text == NULL)
		return false;
	text += strlen("\ninstance \"");
	if (*text != '"' && sscanf(text, "%63[!#-~]", out->place.instance) != 1)
		return false;
	text += strlen(out->place.instance);
	if (sscanf(text, "\"\nincident %36s\nreason %31s\nsince %" SCNd64 "\n", incident, reason,
			   &out->since_us) != 3)
		return false;
	if (!pgw_uuid_from_text(incident, out->incident))
		return false;
	for (out->reason = 0; out->reason < NREASONS && strcmp(reasons[out->reason].name, reason) != 0;
		 out->reason++)
		;
	if (out->reason == NREASONS)
		return false;
	/* written again it must be the same: nothing is missing, added or written in another way */
	(void) pgw_copy_state_format(out, again);
	return strcmp(whole, again) == 0;
}

bool
pgw_instance_valid(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
	{
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '"')
			return false;
	}
	return n <= PGW_INSTANCE_MAX;
}
