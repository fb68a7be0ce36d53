/*
 * same_request.h - what makes two requests under one client_request_id the same request
 */
#ifndef PGW_CORE_REQUEST_SAME_REQUEST_H
#define PGW_CORE_REQUEST_SAME_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/request/validate.h"

/*
 * NULL and "" are the same. Of a payment by token, the card's fields are none: what the bank says
 * of it later is no part of the request.
 */
typedef struct PgwIdentity
{
	int64_t amount;
	const char *currency;
	const char *token;
	const char *card_last4;
	int card_expiry_month; /* 0: none */
	int card_expiry_year;  /* two digits mean the same as four */
	const char *bank;      /* named by the caller */
	PgwCaptureMode capture;
	const char *reference;
	bool livemode; /* is money to move? */
} PgwIdentity;

/*
 * What of a request decides whether another one is the same, as text: a line for each field that
 * pgw_identity_differ() compares, in its order.  Its digest stands in the first event.
 */
extern void pgw_identity_text(const PgwIdentity *a, PgwBuf *text);

/* The same of a capture, void or refund: what a replay of it is compared by. */
extern void pgw_operation_identity_text(const char *payment_id, int64_t amount, bool final,
										const char *reason, PgwBuf *text);

/* How many fields differ; their names are appended to *names as JSON strings with commas. */
extern int pgw_identity_differ(const PgwIdentity *a, const PgwIdentity *b, PgwBuf *names);

#endif
