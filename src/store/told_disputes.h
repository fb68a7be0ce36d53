/*
 * told_disputes.h - what notifications have said of disputes and is not recorded yet, and
 * pgw.disputes
 */
#ifndef PGW_STORE_TOLD_DISPUTES_H
#define PGW_STORE_TOLD_DISPUTES_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "core/payment/dispute_rules.h"

/* As it stands in pgw.notifications. */
extern char *pgw_store_said_dispute_text(const PgwSaidDispute *said);

/* A notification that waits. */
typedef struct PgwToldDispute
{
	pg_uuid_t notification_id;
	char *bank;
	PgwSaidDispute said;
} PgwToldDispute;

/*
 * Those of a charge's attempt, oldest first, at most a hundred; the array is palloc'd.  They are
 * locked; what somebody else has locked is left out.
 */
extern int pgw_store_told_disputes(const pg_uuid_t *transaction_id, PgwToldDispute **out);

/* Is there one?  Without a lock. */
extern bool pgw_store_any_told_dispute(const pg_uuid_t *transaction_id);

/* What becomes of one that waits: "used", "agrees", "unclear". */
extern void pgw_store_told_dispute_is(const pg_uuid_t *notification_id, const char *becomes);

/* One row of pgw.disputes, with what its writer needs. */
typedef struct PgwDisputeRow
{
	pg_uuid_t dispute_id;
	bool is_new;
	const char *account;
	const char *bank;
	const char *merchant;
	bool livemode;
	pg_uuid_t payment_id;
	pg_uuid_t transaction_id;
	const char *currency;
	PgwDispute state;
} PgwDisputeRow;

/*
 * By account and id, which are set, as is whose it would be: then *row is that of the table, or a
 * new one of nothing yet.  false: it is another payment's.
 */
extern bool pgw_store_dispute(const char *bank_dispute_id, PgwDisputeRow *row);

/* Write it, with what was said last. */
extern void pgw_store_put_dispute(const PgwDisputeRow *row, const PgwSaidDispute *said);

/* The attempt of the charge that a dispute is of; false: it is not known. */
extern bool pgw_store_dispute_attempt(const char *account, const char *bank_dispute_id,
									  pg_uuid_t *transaction_id);

/* Has a dispute of the payment taken what nobody can tell the amount of? */
extern bool pgw_store_dispute_takes_unknown(const pg_uuid_t *payment_id);

/* What all disputes of a payment take. */
extern int64 pgw_store_disputed(const pg_uuid_t *payment_id);

/*
 * Charges of which something waits that came before that time, at most so many, by their ids: those
 * behind *after, which becomes the last one's, or all zero at the end of them.  So whatever cannot
 * be recorded holds up nothing but its own turn.
 */
extern int pgw_store_disputes_due(TimestampTz before, int most, pg_uuid_t *after, pg_uuid_t *out);

/* One that a person should see; texts are palloc'd in the caller's context. */
typedef struct PgwOddDispute
{
	char *bank;
	char *bank_dispute_id; /* "" where it names none */
	pg_uuid_t transaction_id;
	bool has_transaction;
	bool waiting; /* else it is unclear */
} PgwOddDispute;

/* Those that are unclear, or have waited since before that time; they are marked as told. */
extern int pgw_store_odd_disputes(TimestampTz before, int most, PgwOddDispute **out);

#endif
