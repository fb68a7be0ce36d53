/*
 * pay_common.h - what process_payment and submit_payment have in common
 */
#ifndef PGW_CLIENT_API_PAY_COMMON_H
#define PGW_CLIENT_API_PAY_COMMON_H

#include "postgres.h"
#include "fmgr.h"

#include "bank/bank_config.h"
#include "client_api/payment_result.h"
#include "database/find_row.h"
#include "sql_function/arguments.h"
#include "store/tables.h"

typedef struct PgwPay
{
	PgwPaymentArgs args;
	PgwCheckedArgs checked;
	const char *capture_op; /* the bank's operation: "charge" or "authorize" */
	uint64 config_number;   /* of the configuration that has chosen the bank */
	bool config_changing;
	char bank[64];        /* by the rules of routing */
	bool livemode;        /* that bank's */
	TimestampTz deadline; /* of waiting; 0: none */
	bool raise;           /* on_failure */
	Oid caller;
	int saved_sec_context;
	bool was_none;      /* nobody had the id when pgw_pay_repeat() looked */
	PgwFind found;      /* the row with this id, as it was a moment ago */
	PgwPayment payment; /* the claim, or the row that was there */
	pg_uuid_t correlation_id;
} PgwPay;

extern bool pgw_allow_not_a_card;

extern void pgw_pay_init(void); /* _PG_init */

/*
 * Read-only checks, arguments, card refusals, validation, privileges; then acts as the owner until
 * pgw_pay_end().
 */
extern void pgw_pay_begin(PgwPay *pay, FunctionCallInfo fcinfo, const char *function,
						  bool is_submit);

/* Parts of it, for a call with many payments. */
extern void pgw_pay_require_writable(const char *function);
/* The faults of pay->args, as pgw_validate_payment_args() writes them; NULL: none. */
extern char *pgw_pay_validate(PgwPay *pay);
/* of this call's wait; without a timeout that of pgw.wait_timeout */
extern TimestampTz pgw_pay_deadline(bool timeout_isnull, int64 timeout_ms);

/*
 * true: the id is taken by an equal request (else PW422), and pay->payment and *attempt are the
 * payment as it stands.  false: not known yet, and the merchant may take a new one (else PW422);
 * pgw_pay_claim() will tell.  Of what is known no lock stays, and all this must come before the
 * locks of table_locks.c, which most repeats do not need.
 */
extern bool pgw_pay_repeat(PgwPay *pay, PgwAttempt *attempt);

/*
 * What a new payment needs and a replay does not: a running worker (PW500), and a bank that takes
 * it (PW422).
 */
extern void pgw_pay_prepare(PgwPay *pay);

/*
 * false: the id is taken by an equal request (else PW422), and pay->payment, and *attempt if
 * recorded, are the payment as it stands.
 */
extern bool pgw_pay_claim(PgwPay *pay, PgwAttempt *attempt, bool *have_t);

/* PW500: none runs; paused is all right for what waits in a table */
extern void pgw_need_worker(bool is_submit);
extern void pgw_pay_end(PgwPay *pay); /* normal exit; an abort restores the user by itself */

/* The row, or with on_failure => 'raise' the error that it tells of. */
extern Datum pgw_pay_result(PgwPay *pay, FunctionCallInfo fcinfo, const PgwAttempt *attempt,
							PgwAudience audience);

/*
 * What is kept beside the attempt of a call's bank_fields and its trace; NULL: of neither there is
 * any.
 */
extern char *pgw_fields_with_trace(const char *bank_fields, const PgwTrace *trace);

/* DETAIL's members of PW429, and of PW422 for another request under the same id. */
extern char *pgw_quota_detail(const char *setting, const char *of, int limit);
extern char *pgw_fields_detail(const char *fields); /* JSON strings with commas */

/* PW422: fields as JSON strings with commas. */
extern void pgw_pay_mismatch(const char *fields);

#endif
