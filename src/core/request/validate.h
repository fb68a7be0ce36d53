/*
 * validate.h - checks of a caller's arguments: every fault at once (PW400)
 *
 * No value of a secret field ever appears in a fault.
 */
#ifndef PGW_CORE_REQUEST_VALIDATE_H
#define PGW_CORE_REQUEST_VALIDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/money.h"
#include "core/card/card_checks.h"
#include "core/request/actor.h"
#include "core/request/trace_context.h"

/* Limits; lengths in characters unless they say bytes. Documented in docs/sql-reference.md. */
#define PGW_MAX_ID_CHARS 255
#define PGW_MAX_REFERENCE_CHARS 255
#define PGW_MAX_TOKEN_BYTES 512
#define PGW_MAX_HOLDER_BYTES 255
#define PGW_MAX_NAME_BYTES 63 /* bank and merchant names */
#define PGW_MAX_METADATA_BYTES 16384
#define PGW_MAX_BANK_FIELDS_BYTES 4096
/*
 * A token and what is told of the customer share one place: a slot of shared memory has room for
 * the largest token that is an object and some of him, or for all of him beside an ordinary token.
 */
#define PGW_MAX_TOKEN_AND_CUSTOMER_BYTES 6912
#define PGW_MAX_REQUESTS 1000 /* of one process_payments() */
#define PGW_MAX_TIMEOUT_MS INT64_C(86400000)

/* In the message of a fault that options.not_a_card can mend. */
#define PGW_SAY_NOT_A_CARD "options.not_a_card can say so"

typedef enum PgwCaptureMode
{
	PGW_CAPTURE_IMMEDIATE = 0,
	PGW_CAPTURE_ON_COMMIT,
	PGW_CAPTURE_MANUAL
} PgwCaptureMode;

/* What a caller asked for, as it came: strings are NUL terminated UTF-8 or NULL for SQL NULL. */
typedef struct PgwPaymentArgs
{
	bool is_submit;
	int request; /* its place among the requests of process_payments(), from 1; else 0 */
	const char *client_request_id;
	bool amount_isnull;
	PgwAmountFault amount_fault; /* PGW_AMOUNT_OK: amount holds it */
	int64_t amount;
	const char *currency;
	const char *token;
	const char *card_number;
	bool card_expiry_month_isnull;
	int card_expiry_month;
	bool card_expiry_year_isnull;
	int card_expiry_year;
	const char *card_cvv;
	const char *card_holder;
	const char *bank; /* NULL: by priority */
	const char *capture;
	const char *reference;
	const char *metadata;    /* JSON text */
	const char *bank_fields; /* JSON text */
	bool timeout_isnull;
	int64_t timeout_ms;     /* may be negative: a fault */
	const char *on_failure; /* NULL: the setting */
	const char *merchant;
	const char *options;      /* JSON text */
	bool statement_forbidden; /* options.not_a_card counts for nothing here */
} PgwPaymentArgs;

/* What the checks derive from it. */
typedef struct PgwCheckedArgs
{
	PgwCaptureMode capture;
	bool on_failure_raise; /* only when request.on_failure is not NULL */
	PgwCardBrand brand;
	char last4[5]; /* empty for a token */
	/* the number fails its check digit, and may be a card's all the same: some banks take it */
	bool unchecked;
	PgwCallerSays says;
	/* options.customer, a part of the options' text; NULL: nothing is told of him */
	const char *customer;
	size_t customer_len;
	PgwTrace trace;
} PgwCheckedArgs;

/* What is said of a card number whose check digit is wrong. */
#define PGW_LUHN_FAILED "fails its check digit (Luhn); a digit is probably mistyped"

/*
 * Append a JSON array of {"field","code","message"} to faults, in argument order, and return the
 * number of faults.  With a request's place: {"request","field","code","message"}, without the
 * brackets, after those that are there already. codes are error_codes of error_codes.h.  now: Unix
 * seconds, for the card's expiry.
 */
extern int pgw_validate_payment_args(const PgwPaymentArgs *args, int64_t now, PgwCheckedArgs *out,
									 PgwBuf *faults);

/* What a caller of capture, void or refund asked for. */
typedef struct PgwOperationArgs
{
	bool payment_id_isnull;
	const char *client_request_id;
	bool has_amount;             /* else all that is left */
	PgwAmountFault amount_fault; /* PGW_AMOUNT_OK: amount holds it */
	int64_t amount;
	bool final_isnull;   /* capture */
	const char *reason;  /* refund; NULL: none */
	const char *options; /* JSON text */
	bool statement_forbidden;
} PgwOperationArgs;

/*
 * *says and *trace: as far as they are without a fault.  despite_dispute: of a refund,
 * options.despite_dispute; NULL: there is no such option.
 */
extern int pgw_validate_operation_args(const PgwOperationArgs *args, PgwCallerSays *says,
									   PgwTrace *trace, bool *despite_dispute, PgwBuf *faults);

/*
 * The same for an operator's options alone: his actor, and nothing else.  Appends faults without
 * the brackets.
 */
extern int pgw_validate_options(const char *options, char end_user[PGW_MAX_END_USER_BYTES + 1],
								PgwBuf *faults);

/*
 * The same for a lone id; field names it. Appends faults without the brackets, after those that
 * are there already.
 */
extern int pgw_validate_id(const char *field, const char *value, PgwBuf *faults);

extern const char *pgw_capture_name(PgwCaptureMode m);
extern int pgw_capture_parse(const char *name); /* -1 */

#endif
