/*
 * shard_name.h - the name of this shard: slots belong to names, and a copy has none
 */
#ifndef PGW_SHARD_SHARD_NAME_H
#define PGW_SHARD_SHARD_NAME_H

#include "postgres.h"

/* _PG_init: the setting pgw.shard_name. */
extern void pgw_shard_name_init(void);

/* As it was when the server started; NULL: it has none, or one that every copy would have. */
extern const char *pgw_shard_name(void);

/* May a shard have this name? */
extern bool pgw_shard_name_valid(const char *of);

/* Does the setting stand in a file of the data directory? */
extern bool pgw_shard_name_ignored(void);

#endif
