/*
 * start_name.h - a name that the server is started under, which no copy of its data directory has
 */
#ifndef PGW_BASE_START_NAME_H
#define PGW_BASE_START_NAME_H

#include "postgres.h"

typedef struct PgwStartName
{
	const char *setting;  /* "pgw.instance" */
	const char *variable; /* of the environment, which is the setting's default */
	char *value;          /* as the setting says, wherever that stands; of this module */
} PgwStartName;

/* In _PG_init of a library that is preloaded; n lives as long as the process. */
extern void pgw_start_name_define(PgwStartName *n, const char *what, const char *whence);

/*
 * The name that counts, empty: none.  true: the setting stands in a file of the data directory and
 * is ignored, with a warning.  In the postmaster, once: a file that is read again later can say the
 * same at another place.
 */
extern bool pgw_start_name_read(const PgwStartName *n, char *out, Size size);

#endif
