/*
 * events.h - the events of an attempt, and the one place where an attempt changes
 */
#ifndef PGW_STORE_EVENTS_H
#define PGW_STORE_EVENTS_H

#include "postgres.h"
#include "access/transam.h"
#include "datatype/timestamp.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "core/state/state_machine.h"
#include "database/event_rows.h"
#include "store/tables.h"

/* A further member of event_data.  Its values are the caller's, and are read within the call. */
typedef enum PgwMemberKind
{
	PGW_MEMBER_STRING, /* text; NULL: null */
	PGW_MEMBER_NUMBER,
	PGW_MEMBER_BOOLEAN, /* number: 0 or 1 */
	PGW_MEMBER_JSON     /* text is its JSON: an object or array */
} PgwMemberKind;

typedef struct PgwEventMember
{
	const char *name;
	PgwMemberKind kind;
	const char *text;
	int64 number;
} PgwEventMember;

typedef struct PgwEvent
{
	PgwEventType type;
	PgwState from; /* PGW_STATE_NONE for the first */
	PgwState to;
	const char *operation; /* "charge" ...; NULL */
	const PgwEventMember *members;
	int nmembers;
	bool names_payment;          /* in its column, the attempt's payment_id */
	const unsigned char *digest; /* ... of PGW_EVENT_DIGEST_LEN bytes; NULL */
	const char *error_details;   /* sanitized, or NULL */
} PgwEvent;

/*
 * The one place where an attempt changes: writes its events (step_order attempt->step_order+1 ...;
 * checks every edge with state_machine.h) and then the row (status = last event's to, step_order,
 * updated_at and all mutable columns of *attempt).  insert: the row is new.
 */
extern void pgw_store_advance(PgwAttempt *attempt, bool insert, const PgwEvent *events, int n);

/*
 * Whoever counts what becomes of attempts; NULL: nobody.  Called in the transaction that made the
 * change, when all of it is written: the attempt went from that state (PGW_STATE_NONE: it is new)
 * through these events to attempt->status.
 */
typedef void (*PgwAdvancedHook)(const PgwAttempt *attempt, PgwState from, const PgwEvent *events,
								int n);
extern PgwAdvancedHook pgw_store_advanced_hook;

/* One row of pgw.transaction_events as stored; for payment_history. */
typedef struct PgwEventRow
{
	pg_uuid_t event_id;
	pg_uuid_t transaction_id;
	TimestampTz occurred_at;
	FullTransactionId txid;
	char *event_type;
	int step_order;
	PgwState from; /* PGW_STATE_NONE for the first */
	PgwState to;
	PgwEventFacts facts;
	Jsonb *event_data; /* what it says for the first time; NULL: nothing */
	char *error_details;
} PgwEventRow;

/* The events of an attempt in order: committed or own; the array is palloc'd. */
extern int pgw_store_events(const pg_uuid_t *transaction_id, PgwEventRow **out);

/*
 * The event_data of the event with this index, with all that holds there, whichever event has said
 * it: as pgw.events_in_full.
 */
extern Jsonb *pgw_event_in_full(const PgwEventRow *events, int index);

#endif
