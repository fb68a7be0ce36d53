/*
 * calling_actor.h - who calls: roles, address, application, and whom the application acts for
 */
#ifndef PGW_SQL_FUNCTION_CALLING_ACTOR_H
#define PGW_SQL_FUNCTION_CALLING_ACTOR_H

#include "postgres.h"

#include "core/request/actor.h"

/*
 * caller: the immediate one, as in check_access.h.  says: what the checked options say.
 * sought: this call's card, or NULL.
 */
extern void pgw_actor_calling(PgwActor *a, Oid caller, const PgwCallerSays *says,
							  const PgwSought *sought);

/* As a JSON object, for the tables of operators' words. */
extern char *pgw_actor_json(const PgwActor *a);

#endif
