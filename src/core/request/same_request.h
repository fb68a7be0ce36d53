/*
 * same_request.h - what makes two requests under one client_request_id the same request
 */
#ifndef PGW_CORE_REQUEST_SAME_REQUEST_H
#define PGW_CORE_REQUEST_SAME_REQUEST_H

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
} PgwIdentity;

/* How many fields differ; their names are appended to *names as JSON strings with commas. */
extern int pgw_identity_differ(const PgwIdentity *a, const PgwIdentity *b, PgwBuf *names);

#endif
