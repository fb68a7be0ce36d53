/*
 * render_request.h - a request in a bank's dialect
 *
 * Allocates only in the caller's buffers.
 */
#ifndef PGW_CORE_BANK_MESSAGE_RENDER_REQUEST_H
#define PGW_CORE_BANK_MESSAGE_RENDER_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/secret_values.h"
#include "core/connector/connector.h"

/* Values for placeholders. NULL strings: placeholder without a value (drops its member). */
typedef struct PgwCallParams
{
	/* minor units, ISO exponent; the engine converts to the bank's exponent */
	int64_t amount;
	bool has_amount;
	const char *currency;
	int iso_exponent;
	const char *token;
	const char *card_number;
	int card_expiry_month; /* 0: none */
	int card_expiry_year;
	const char *card_cvv;
	const char *card_holder;
	const char *transaction_ref; /* our reference of this attempt: 32 hex digits */
	/* our reference of the charge that a capture/void/refund/look-up is about */
	const char *original_ref;
	const char *bank_reference; /* the bank's id of that charge */
	/* the bank's own id of the refund that is looked up; of a refund: of what took the money */
	const char *operation_reference;
	const char *notification_id; /* the bank's own id of what it has sent by itself */
	const char *idempotency_key;
	const char *correlation_id;
	const char *traceparent; /* of the trace that the caller's work is part of */
	const char *tracestate;
	const char *merchant;
	const char *reference; /* the merchant's own */
	const char *reason;
	bool final_capture;
	/*
	 * when this request was first sent under its key, in microseconds since 1970; what moves no
	 * money: when it is sent.  0: no time
	 */
	int64_t now;
	const char *base_url;           /* of the bank: where the path is appended */
	const PgwSecretValues *secrets; /* of the bank's secret file */
	const char *bank_fields;        /* JSON text of an object, or NULL: {{bank_fields.xyz}} */
	const char *customer;           /* JSON text of options.customer, or NULL */
	const char *settings;           /* JSON text of the bank row's settings: {{settings.xyz}} */
	/*
	 * to be shown to people, not sent: secrets, card number, CVV, holder, tokens that are objects,
	 * what is told of the customer and computed values are written as marks.  secrets are not
	 * looked at
	 */
	bool masked;
} PgwCallParams;

#define PGW_BODY_DIGEST_SIZE 129 /* SHA-512 in hexadecimal */

typedef struct PgwRendered
{
	char method[8];
	PgwBuf path; /* begins with '/', percent-encoded where placeholders stood */
	int nheaders;
	PgwBuf headers[PGW_MAX_HEADERS]; /* "Name: value", CR/LF refused */
	PgwBuf body;                     /* empty: none */
	bool has_body;
	bool has_customer; /* something of what is told of him stands in it, or chose a part */
	/*
	 * digests of the body, as they stand in it: without a key one of a body with a card is as good
	 * as its number
	 */
	int ndigests;
	char digests[PGW_MAX_BODY_DIGESTS][PGW_BODY_DIGEST_SIZE];
} PgwRendered;

extern void pgw_rendered_init(PgwRendered *r);
extern void pgw_rendered_free(PgwRendered *r); /* wipes */

/*
 * false: err says which placeholder could not be rendered (missing required value, inexact amount,
 * CR/LF in a header).
 */
extern bool pgw_connector_render(const PgwConnector *c, PgwBankOp op, const PgwCallParams *p,
								 PgwRendered *r, PgwConnectorError *err);

/*
 * Does a path need one of the bank row's settings that is not there?  Then no request of that
 * operation can ever be sent; name: the placeholder of the first one.
 */
extern bool pgw_connector_lacks_setting(const PgwConnector *c, const char *settings, PgwBankOp *op,
										char *name, size_t size);

#endif
