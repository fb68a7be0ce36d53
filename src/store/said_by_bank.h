/*
 * said_by_bank.h - notifications that are a bank's word on an attempt
 */
#ifndef PGW_STORE_SAID_BY_BANK_H
#define PGW_STORE_SAID_BY_BANK_H

#include "postgres.h"
#include "utils/uuid.h"

#include "core/payment/operation_rules.h"
#include "store/tables.h"

/*
 * Our reference of the request that the attempt has for this operation now; NULL: it has none.  A
 * give-back that is tried again has another one.
 */
extern const char *pgw_store_evidence_key(const PgwAttempt *attempt, PgwBankOp about);

/* A payment whose capture is part of its charge, by one request. */
extern bool pgw_store_captured_by_charge(const PgwAttempt *attempt);

/* One row of pgw.notifications, its texts palloc'd. */
typedef struct PgwEvidence
{
	pg_uuid_t notification_id;
	PgwBankOp about;
	PgwOutcome says;           /* approved or declined */
	char *request_key;         /* of the request that it is about */
	bool waiting;              /* not taken yet */
	char *bank;                /* that has sent it */
	char *identity;            /* what two deliveries of it have in common; NULL: not known */
	char *bank_reference;      /* of the charge; NULL: none */
	char *operation_reference; /* of what was made of it; NULL: none */
	bool has_amount;
	bool amount_unreadable;
	int64 amount;
	char *currency;    /* NULL: none */
	bool proved_twice; /* by its signature, and by a name and a password */
	char *time;        /* when it happened, as the bank writes it; NULL: it does not say */
} PgwEvidence;

/*
 * What has come of an attempt, oldest first; the array is palloc'd.  Those that wait are locked;
 * what somebody else has locked is left out.
 */
extern int pgw_store_evidence(const pg_uuid_t *transaction_id, PgwEvidence **out);

/* What becomes of one that waits: "used", "agrees", "contradicts", "superseded". */
extern void pgw_store_evidence_is(const pg_uuid_t *notification_id, const char *becomes);

/* The same, "used", in a later transaction: one that somebody else has locked is passed over. */
extern void pgw_store_evidence_used(const pg_uuid_t *notification_id);

/* Attempts of which something waits that has come before that time, at most so many. */
extern int pgw_store_evidence_waiting(TimestampTz before, int most, pg_uuid_t *out);

#endif
