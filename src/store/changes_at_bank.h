/*
 * changes_at_bank.h - notifications that may tell of what was done at the bank without pgw, until
 * the bank has been asked how the charge stands
 */
#ifndef PGW_STORE_CHANGES_AT_BANK_H
#define PGW_STORE_CHANGES_AT_BANK_H

#include "postgres.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/payment/operation_rules.h"

/*
 * Is the bank to be asked now about the charge of this attempt?  *latest: when the newest of what
 * waits has come, whether due or not.
 */
extern bool pgw_store_change_is_due(const pg_uuid_t *transaction_id, TimestampTz now,
									TimestampTz *latest);

/* It was asked: what had come by then is seen. */
extern void pgw_store_change_seen(const pg_uuid_t *transaction_id, TimestampTz by);

/*
 * What still waits is due at that time; 0: the later, the older it is, so that a bank which never
 * tells is asked ever less often.
 */
extern void pgw_store_change_later(const pg_uuid_t *transaction_id, TimestampTz now,
								   TimestampTz when);

/* Attempts of which the bank is to be asked, at most so many. */
extern int pgw_store_changes_due(TimestampTz now, int most, pg_uuid_t *out);

/* What a bank that can be asked nothing has told of such an operation, its texts palloc'd. */
typedef struct PgwToldChange
{
	pg_uuid_t notification_id;
	PgwBankOp about;
	PgwOutcome says;           /* approved or declined */
	char *operation_reference; /* the bank's id of it; NULL: none */
	char *bank_reference;      /* of the charge; NULL: none */
	bool has_amount;
	int64 amount;
	char *currency; /* NULL: none */
} PgwToldChange;

/*
 * Those of this charge that wait, some at a time: those not looked at yet come first.  The array is
 * palloc'd.
 */
extern int pgw_store_told_changes(const pg_uuid_t *transaction_id, PgwToldChange **out);

/* Has the bank told that this operation of the payment, which has an id, has failed? */
extern bool pgw_store_told_failed(const pg_uuid_t *payment_id, const PgwToldChange *told);

/* One of them is over. */
extern void pgw_store_change_told(const pg_uuid_t *notification_id);

#endif
