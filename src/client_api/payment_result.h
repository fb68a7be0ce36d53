/*
 * payment_result.h - pgw.payment_result: what callers are told about a payment
 */
#ifndef PGW_CLIENT_API_PAYMENT_RESULT_H
#define PGW_CLIENT_API_PAYMENT_RESULT_H

#include "postgres.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

#include "core/request/validate.h"
#include "store/tables.h"

typedef enum PgwAudience
{
	PGW_AUDIENCE_FIRST_CALL = 0, /* by the call that made the payment */
	/* the same, but its wait ended before the worker knew */
	PGW_AUDIENCE_WAIT_ENDED,
	PGW_AUDIENCE_SUBMIT, /* by the call that submitted it */
	PGW_AUDIENCE_REPLAY, /* by a later call with the same id */
	PGW_AUDIENCE_READ    /* by a read function */
} PgwAudience;

/* The error columns and http_status of a payment_result. */
typedef struct PgwResultError
{
	const char *error_class; /* NULL: none */
	const char *error_code;
	const char *error_message;
	int http_status;
	bool retryable;
} PgwResultError;

/* attempt may be NULL: the worker has not recorded the attempt yet. */
extern void pgw_result_error(const PgwPayment *p, const PgwAttempt *attempt, PgwAudience audience,
							 PgwResultError *v);

/* The row as a composite Datum of the function's result type. */
extern Datum pgw_result_datum(FunctionCallInfo fcinfo, const PgwPayment *p,
							  const PgwAttempt *attempt, PgwAudience audience);

/*
 * Of an operation on a payment: transaction_id, client_request_id, transaction_status, amount and
 * error_* are op's, the rest the payment's.
 */
extern Datum pgw_result_operation_datum(FunctionCallInfo fcinfo, const PgwPayment *p,
										const PgwAttempt *op, PgwAudience audience);

/* For SETOF functions: one payment_result into the result set. */
extern void pgw_result_put(Tuplestorestate *store, TupleDesc desc, const PgwPayment *p,
						   const PgwAttempt *attempt, PgwAudience audience);

/* For process_payments(): the same, with the request's place. */
extern void pgw_result_put_request(Tuplestorestate *store, TupleDesc desc, int ordinal,
								   const PgwPayment *p, const PgwAttempt *attempt,
								   PgwAudience audience);
/* ... of a request that was refused, so that there is no payment; details: JSON. */
extern void pgw_result_put_refused(Tuplestorestate *store, TupleDesc desc,
								   const PgwPaymentArgs *args, const char *error_code,
								   const char *details);

/*
 * A payments row as it would stand for an attempt whose own row nobody can see: in flight
 * elsewhere, or given back.
 */
extern void pgw_result_from_attempt(const PgwAttempt *attempt, PgwPayment *p);

#endif
