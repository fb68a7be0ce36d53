/*
 * require_home.h - nothing is done for a slot that is not at home here
 */
#ifndef PGW_SQL_FUNCTION_REQUIRE_HOME_H
#define PGW_SQL_FUNCTION_REQUIRE_HOME_H

#include "postgres.h"
#include "utils/uuid.h"

/*
 * PW421 wrong_shard.  Asked by everybody before anything else, so that a misrouted call waits for
 * nobody.
 */
extern void pgw_require_home_of_request(const char *client_request_id);

/* The same by the id of a payment or attempt. */
extern void pgw_require_home_of_id(const pg_uuid_t *id);

/*
 * The same, and it stays so until this transaction ends: by whoever writes, once he has the locks
 * of pgw's tables, which a claim that leaves slots out waits for, as well.
 */
extern void pgw_hold_home_of_request(const char *client_request_id);
extern void pgw_hold_home_of_id(const pg_uuid_t *id);

#endif
