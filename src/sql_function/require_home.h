/*
 * require_home.h - nothing is done for a slot that is not at home here
 */
#ifndef PGW_SQL_FUNCTION_REQUIRE_HOME_H
#define PGW_SQL_FUNCTION_REQUIRE_HOME_H

#include "postgres.h"
#include "utils/uuid.h"

/*
 * PW421 wrong_shard.  Asked twice by whoever writes: before anything else, so that a misrouted call
 * waits for nobody, and under the locks of pgw's tables, which a change of slots waits for.
 */
extern void pgw_require_home_of_request(const char *client_request_id);

/* The same by the id of a payment or attempt. */
extern void pgw_require_home_of_id(const pg_uuid_t *id);

#endif
