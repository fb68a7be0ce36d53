/*
 * event_members.h - what is put into the event_data of one event, and what the first one tells
 */
#ifndef PGW_OUTCOME_EVENT_MEMBERS_H
#define PGW_OUTCOME_EVENT_MEMBERS_H

#include "postgres.h"

#include "core/request/actor.h"
#include "core/request/same_request.h"
#include "store/events.h"
#include "store/tables.h"

/* The texts that members point to are the caller's, the attempt's, or here. */
typedef struct PgwEventMembers
{
	PgwEventMember members[16];
	int n;
	/* what has columns: what of the event is to be set by them, pgw_event_members_into() */
	bool names_payment;
	bool has_digest;
	unsigned char digest[PGW_EVENT_DIGEST_LEN];
} PgwEventMembers;

/* The event says all that; it points to m. */
extern void pgw_event_members_into(const PgwEventMembers *m, PgwEvent *event);

extern void pgw_event_members_add(PgwEventMembers *m, PgwEventMember member);
/* NULL and "": nothing */
extern void pgw_event_members_add_string(PgwEventMembers *m, const char *name, const char *value);
extern void pgw_event_members_add_number(PgwEventMembers *m, const char *name, int64 number);
extern void pgw_event_members_add_actor(PgwEventMembers *m, const PgwActor *actor);

/*
 * Of TransactionStarted: what was asked for, and by whom; docs/state-machine.md has the members.
 */
extern void pgw_event_members_started(PgwEventMembers *m, const PgwAttempt *attempt);

/* Of TransactionAdopted: by whom, for which payment. */
extern void pgw_event_members_adopted(PgwEventMembers *m, const PgwAttempt *attempt);

/* What of a recorded attempt is compared with a new request under its id. */
extern void pgw_record_identity(const PgwAttempt *attempt, PgwIdentity *out);

#endif
