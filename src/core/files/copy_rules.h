/*
 * copy_rules.h - is this data directory the one that it was, or a copy of it?
 */
#ifndef PGW_CORE_FILES_COPY_RULES_H
#define PGW_CORE_FILES_COPY_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PGW_INSTANCE_MAX 63     /* characters of pgw.instance */
#define PGW_STATE_TEXT_MAX 1024 /* bytes of pgw.state */

typedef enum PgwCopyReason
{
	PGW_COPY_NONE = 0,
	PGW_COPY_POINT_IN_TIME, /* recovery to a point in time */
	PGW_COPY_BASE_BACKUP,   /* the first start of a base backup that is no standby */
	/* it was a standby, and is started as a primary without a promotion */
	PGW_COPY_STANDBY_ALONE,
	PGW_COPY_NO_STATE,      /* the file is not there */
	PGW_COPY_BAD_STATE,     /* the file is there, and says nothing */
	PGW_COPY_OTHER_CLUSTER, /* another system identifier */
	/* the file was written in another directory, or for another file: copied since */
	PGW_COPY_OTHER_DIRECTORY,
	PGW_COPY_OTHER_INSTANCE /* pgw.instance says something else than before */
} PgwCopyReason;

/*
 * Where a cluster lies, as far as it can be told from inside. Device numbers and machine ids change
 * at reboots and moves: not used.
 */
typedef struct PgwCopyPlace
{
	uint64_t system_identifier;
	uint64_t directory; /* inode of the data directory */
	uint64_t file;      /* inode of pgw.state itself; 0: there is none */
	/* when that inode was made, in ns; 0: this file system does not tell */
	int64_t born;
	char instance[PGW_INSTANCE_MAX + 1]; /* empty: not set */
} PgwCopyPlace;

/* What pgw.state holds. */
typedef struct PgwCopyState
{
	PgwCopyPlace place;
	/* of the last incident; NONE: there was none, and the next two are zero */
	PgwCopyReason reason;
	uint8_t incident[16];
	int64_t since_us; /* Unix time */
} PgwCopyState;

/* What the postmaster finds before anything is recovered. */
typedef struct PgwCopyStart
{
	enum
	{
		PGW_FILE_ABSENT = 0,
		PGW_FILE_UNREADABLE,
		PGW_FILE_READ
	} found;
	PgwCopyState state; /* READ */
	PgwCopyPlace place; /* now */
	bool standby_signal;
	bool recovery_signal;
	bool recovery_target; /* one of recovery_target* is set */
	bool backup_label;
	bool was_standby; /* pg_control: it was last in archive recovery */
} PgwCopyStart;

/* A new incident, or NONE: this is the cluster that it was, or a standby that follows it. */
extern PgwCopyReason pgw_copy_judge(const PgwCopyStart *start);

extern const char *pgw_copy_reason_name(PgwCopyReason reason);

/* What happened, for people. */
extern const char *pgw_copy_reason_text(PgwCopyReason reason);

/* The length without the final zero. */
extern size_t pgw_copy_state_format(const PgwCopyState *state, char out[PGW_STATE_TEXT_MAX]);

/* false: it is not what pgw_copy_state_format() writes. */
extern bool pgw_copy_state_parse(const char *whole, PgwCopyState *out);

/* At most PGW_INSTANCE_MAX printable characters without blanks; empty is fine. */
extern bool pgw_instance_valid(const char *name);

#endif
