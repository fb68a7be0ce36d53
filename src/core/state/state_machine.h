/*
 * state_machine.h - the states of an operation attempt, the events, and every legal edge, as data
 *
 * The one table of edges (contract: states and events) is used by the orchestrator, by the trigger
 * that refuses illegal edges in the database, by pgw.rebuild_status() and by the tests. Enum order
 * is the order of the SQL enum labels in pgw--1.0.sql; a regression test compares the two.
 */
#ifndef PGW_CORE_STATE_STATE_MACHINE_H
#define PGW_CORE_STATE_STATE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum PgwState
{
	PGW_STATE_NONE = -1, /* before the first event */
	PGW_CREATED = 0,
	PGW_BANK_APPROVED,
	PGW_SAVED,
	PGW_COMPLETED,
	PGW_FAILED,
	PGW_REFUNDING,
	PGW_REQUIRES_MANUAL_REVIEW,
	PGW_BANK_UNKNOWN,
	PGW_REFUNDED,
	PGW_NSTATES
} PgwState;

typedef enum PgwKind
{
	PGW_KIND_PAYMENT = 0,
	PGW_KIND_CAPTURE,
	PGW_KIND_VOID,
	PGW_KIND_REFUND,
	PGW_NKINDS
} PgwKind;

#define PGW_KIND_BIT(kind) (1u << (kind))

typedef enum PgwEventType
{
	PGW_EV_TRANSACTION_STARTED = 0,
	PGW_EV_BANK_PROCESSING_STARTED,
	PGW_EV_BANK_PROCESSING_COMPLETED,
	PGW_EV_BANK_PROCESSING_FAILED,
	PGW_EV_BANK_PROCESSING_PENDING,
	PGW_EV_BANK_RETRY_SCHEDULED,
	PGW_EV_BANK_SWITCHED,
	PGW_EV_BANK_OUTCOME_UNKNOWN,
	PGW_EV_BANK_OUTCOME_UNACCEPTABLE,
	PGW_EV_BANK_STATUS_CHECKED,
	PGW_EV_BANK_ACCEPTED,
	PGW_EV_PAYMENT_DATA_SAVE_STARTED,
	PGW_EV_PAYMENT_DATA_SAVE_COMPLETED,
	PGW_EV_PAYMENT_DATA_SAVE_FAILED,
	PGW_EV_TRANSACTION_ADOPTED,
	PGW_EV_TRANSACTION_COMPLETED,
	PGW_EV_TRANSACTION_FAILED,
	PGW_EV_CAPTURE_STARTED,
	PGW_EV_CAPTURE_COMPLETED,
	PGW_EV_CAPTURE_FAILED,
	PGW_EV_CAPTURE_RETRY_SCHEDULED,
	PGW_EV_CAPTURE_REVERSED,
	PGW_EV_AUTHORIZATION_EXPIRED,
	PGW_EV_COMPENSATION_STARTED,
	PGW_EV_REFUND_STARTED,
	PGW_EV_REFUND_COMPLETED,
	PGW_EV_REFUND_FAILED,
	PGW_EV_REFUND_PENDING,
	PGW_EV_REFUND_OUTCOME_UNKNOWN,
	PGW_EV_REFUND_RETRY_SCHEDULED,
	PGW_EV_REFUND_REVERSED,
	PGW_EV_LATE_APPROVAL_RECEIVED,
	PGW_EV_MANUAL_REVIEW_REQUIRED,
	PGW_EV_MANUAL_REVIEW_RESOLVED,
	PGW_EV_BANK_REPORTED,
	PGW_EV_INQUIRY_OPENED,
	PGW_EV_DISPUTE_OPENED,
	PGW_EV_DISPUTE_WITHDRAWN,
	PGW_EV_DISPUTE_REINSTATED,
	PGW_EV_DISPUTE_CLOSED,
	PGW_NEVENTS
} PgwEventType;

typedef struct PgwEdge
{
	PgwState from;
	PgwState to;
	/* an event that may stand on this edge (several rows per edge) */
	PgwEventType event;
	unsigned kinds; /* PGW_KIND_BIT of every kind that may take it */
} PgwEdge;

extern const PgwEdge *pgw_edges(size_t *n);

/*
 * Is from -> to an edge at all (same -> same counts when some event allows it)? kind narrows:
 * compensation states are for PGW_KIND_PAYMENT.
 */
extern bool pgw_edge_legal(PgwKind kind, PgwState from, PgwState to);

/* May this event stand on this edge? */
extern bool pgw_event_legal(PgwKind kind, PgwState from, PgwState to, PgwEventType event);

extern bool pgw_state_is_final(PgwState s);        /* Completed, Failed, Refunded */
extern const char *pgw_state_name(PgwState s);     /* "BankApproved"; NONE -> NULL */
extern PgwState pgw_state_parse(const char *name); /* PGW_STATE_NONE when unknown or NULL */
extern const char *pgw_event_name(PgwEventType e);
extern int pgw_event_parse(const char *name); /* -1 when unknown */
extern const char *pgw_kind_name(PgwKind k);
extern int pgw_kind_parse(const char *name);

#endif
