/*
 * error_codes.h - the stable list of error_code values, with class, HTTP-like status and whether
 * trying again can help
 *
 * docs/errors.md is checked against this table by a test.
 */
#ifndef PGW_CORE_BASE_ERROR_CODES_H
#define PGW_CORE_BASE_ERROR_CODES_H

#include <stdbool.h>
#include <stddef.h>

typedef enum PgwErrorClass
{
	PGW_CLASS_NONE = 0,
	PGW_CLASS_VALIDATION,     /* 400 */
	PGW_CLASS_BUSINESS,       /* 422 */
	PGW_CLASS_EXTERNAL,       /* 502 */
	PGW_CLASS_INFRASTRUCTURE, /* 500 */
	PGW_CLASS_TIMEOUT         /* 504 */
} PgwErrorClass;

typedef struct PgwErrorInfo
{
	const char *code; /* "insufficient_funds" */
	PgwErrorClass class;
	int http_status;
	bool retryable;      /* a new payment (new id) with the same data may succeed */
	const char *message; /* the sanitized text that callers see */
	/* when raised; the class alone does not tell PW402, PW404 and PW422 apart */
	const char *sqlstate;
	const char *customer; /* key of what the customer may be told; NULL: a matter of the shop's */
} PgwErrorInfo;

/* A bank that says of itself that it moves real money where it must not, or the reverse. */
#define PGW_LIVEMODE_MISMATCH "livemode_mismatch"

/* The card holder would have to act. */
#define PGW_ACTION_REQUIRED "authentication_required"

/* What the bank gives back in another way just now: a refund, and a void. */
#define PGW_REFUND_UNSETTLED "refund_refused_unsettled"
#define PGW_VOID_SETTLED "void_refused_settled"

extern const PgwErrorInfo *pgw_error_table(size_t *n);
extern const PgwErrorInfo *pgw_error_find(const char *code); /* NULL when not in the list */

/*
 * Declined or failed?  true: the issuer or the bank has said no to the payment (PW402), which is
 * then `declined` wherever it is shown or counted.  With any other error, and with none (code
 * NULL), it is `failed`.
 */
extern bool pgw_error_is_decline(const char *code);

extern const char *pgw_error_class_name(PgwErrorClass c); /* "business"; NONE -> NULL */

#endif
