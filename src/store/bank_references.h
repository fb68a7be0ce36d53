/*
 * bank_references.h - whose a bank's id of a charge is, and of what follows it
 */
#ifndef PGW_STORE_BANK_REFERENCES_H
#define PGW_STORE_BANK_REFERENCES_H

#include "postgres.h"
#include "utils/uuid.h"

/* Whose is the charge that a bank calls so? */
typedef enum PgwOwner
{
	PGW_OWNER_NONE, /* nobody's yet */
	PGW_OWNER_SELF,
	PGW_OWNER_OTHER,
	PGW_OWNER_BUSY /* somebody is writing that just now */
} PgwOwner;
extern PgwOwner pgw_store_reference_owner(const char *account, const char *bank_reference,
										  const pg_uuid_t *transaction_id);

/* Whose charge it is; false: nobody's, as far as it is committed. */
extern bool pgw_store_reference_attempt(const char *account, const char *bank_reference,
										pg_uuid_t *transaction_id);

/*
 * Like pgw_store_reference_owner(), but claims the id for this attempt if nobody has it. Never
 * returns NONE. wait: waits instead of returning BUSY; only in a caller's own backend.
 */
extern PgwOwner pgw_store_claim_reference(const char *account, const char *bank_reference,
										  const pg_uuid_t *transaction_id, bool wait);

/*
 * The same for the id of a capture, void or refund: an id is the attempt's that claims it first,
 * within the account and that kind of operation (a name of core/connector/bank_op.h). Waits for
 * nobody.
 */
extern PgwOwner pgw_store_claim_operation_reference(const char *account, const char *operation,
													const char *bank_reference,
													const pg_uuid_t *transaction_id);

/* Whose it is; false: nobody's, as far as it is committed. */
extern bool pgw_store_operation_reference_attempt(const char *account, const char *operation,
												  const char *bank_reference,
												  pg_uuid_t *transaction_id);

#endif
