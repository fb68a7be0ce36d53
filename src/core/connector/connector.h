/*
 * connector.h - a bank's dialect as data: compile, render a request, judge an answer
 *
 * A connector is one JSON document.  It is compiled once (with errors that point into the
 * document), after which rendering and judging allocate only in the caller's buffers or in the
 * answer.  Pure C: json-c and libc, no server calls; nothing here logs.  docs/connectors.md
 * describes the document.
 */
#ifndef PGW_CORE_CONNECTOR_CONNECTOR_H
#define PGW_CORE_CONNECTOR_CONNECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/card/card_text.h"

typedef enum PgwBankOp
{
	PGW_OP_CHARGE = 0,
	PGW_OP_AUTHORIZE,
	PGW_OP_CAPTURE,
	PGW_OP_VOID,
	PGW_OP_REFUND,
	PGW_OP_LOOKUP_CHARGE, /* by our reference */
	PGW_OP_LOOKUP_REFUND,
	PGW_OP_CANCEL, /* by our reference, whatever state it is in */
	PGW_OP_PING,
	PGW_NOPS
} PgwBankOp;

typedef enum PgwOutcome
{
	PGW_OUT_UNKNOWN = 0, /* no rule matched, or not parsable: never "failed" */
	PGW_OUT_APPROVED,
	PGW_OUT_DECLINED,        /* the issuer or the bank's rules said no, finally */
	PGW_OUT_REQUIRES_ACTION, /* 3-D Secure and the like */
	PGW_OUT_PENDING,         /* accepted, not final */
	/* our request itself was refused (credentials, format); nothing happened */
	PGW_OUT_REJECTED,
	PGW_OUT_NOT_PROCESSED, /* the bank says it did nothing; another try is safe */
	PGW_OUT_NOT_FOUND      /* look-ups only */
} PgwOutcome;

typedef struct PgwCapabilities
{
	bool idempotency; /* a key header (or body field) that the bank honours */
	/* replay with the same key is safe this long after first use */
	int64_t key_lifetime_s;
	bool replays_errors; /* a replay may return a stored 5xx */
	bool lookup;         /* lookup_charge present */
	bool lookup_refund;
	/* lookup_charge asks by the bank's id alone: nothing is found out of a charge without one */
	bool lookup_needs_id;
	/* lookup_charge names them; absent or unreadable in one answer is still possible */
	bool lookup_shows_captured;
	bool lookup_shows_refunded;
	bool lookup_shows_voided;
	/* "not found" counts this long after the request ended; -1: never */
	int64_t lookup_consistent_after_s;
	bool cards; /* takes raw card numbers */
	bool tokens;
	bool separate_capture; /* authorize + capture present */
	bool partial_capture;
	bool multiple_captures;
	bool can_void;
	bool can_refund;
	bool partial_refund;
	bool can_cancel;
	int64_t authorization_lifetime_s; /* 0: not said */
} PgwCapabilities;

typedef struct PgwConnector PgwConnector;

typedef struct PgwConnectorError
{
	char pointer[256]; /* JSON pointer (RFC 6901) to the place at fault */
	char message[512]; /* says what is wrong and what would be right */
} PgwConnectorError;

/* Compile; NULL and *err filled on a fault. Never reads beyond len. */
extern PgwConnector *pgw_connector_compile(const char *json, size_t len, PgwConnectorError *err);
extern void pgw_connector_free(PgwConnector *c);
extern const PgwCapabilities *pgw_connector_capabilities(const PgwConnector *c);
extern bool pgw_connector_has(const PgwConnector *c, PgwBankOp op);

/*
 * Is there no request of this operation without a value for that placeholder ("bank_reference",
 * "original_ref", "reference" ...)?  So it is where it stands in the path, and where it alone says
 * which charge, capture or refund is meant: such a request is refused, not sent without it.
 */
extern bool pgw_connector_needs(const PgwConnector *c, PgwBankOp op, const char *placeholder);

/*
 * The bank's id of the charge: an approval without one (or with one that is none,
 * bank_reference_invalid) cannot be followed by this operation.
 */
extern bool pgw_connector_needs_bank_reference(const PgwConnector *c, PgwBankOp follow_up);

/*
 * What a connector that compiles cannot do although its operations suggest it: one text for people,
 * or NULL.
 */
extern const char *pgw_connector_warning(const PgwConnector *c);

/* Exponent that this bank uses for the currency: its own override, else iso_exponent. */
extern int pgw_connector_exponent(const PgwConnector *c, const char *currency, int iso_exponent);

extern const char *pgw_op_name(PgwBankOp op); /* "lookup_charge" */
extern int pgw_op_parse(const char *name);    /* -1 when unknown */
extern const char *pgw_outcome_name(PgwOutcome o);

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
	const char *idempotency_key;
	const char *correlation_id;
	const char *merchant;
	const char *reference; /* the merchant's own */
	const char *reason;
	bool final_capture;
	const char *secret;      /* content of the bank's secret file */
	const char *bank_fields; /* JSON text of an object, or NULL: {{bank_fields.xyz}} */
	const char *settings;    /* JSON text of the bank row's settings: {{settings.xyz}} */
} PgwCallParams;

#define PGW_MAX_HEADERS 24

/* What a bank's Retry-After may ask for at most: it must not park a payment for ever. */
#define PGW_RETRY_AFTER_MAX_S 3600

typedef struct PgwRendered
{
	char method[8];
	PgwBuf path; /* begins with '/', percent-encoded where placeholders stood */
	int nheaders;
	PgwBuf headers[PGW_MAX_HEADERS]; /* "Name: value", CR/LF refused */
	PgwBuf body;                     /* empty: none */
	bool has_body;
} PgwRendered;

extern void pgw_rendered_init(PgwRendered *r);
extern void pgw_rendered_free(PgwRendered *r); /* wipes */

/*
 * false: err says which placeholder could not be rendered (missing required value, inexact amount,
 * CR/LF in a header).
 */
extern bool pgw_connector_render(const PgwConnector *c, PgwBankOp op, const PgwCallParams *p,
								 PgwRendered *r, PgwConnectorError *err);

/* A bank's answer, judged. Strings are bounded copies; empty when absent. */
typedef struct PgwAnswer
{
	PgwOutcome outcome;
	/*
	 * look-ups: how the looked-up charge/refund stands (then outcome == subject, or
	 * NOT_FOUND/UNKNOWN)
	 */
	PgwOutcome subject;
	char bank_reference[256];
	/*
	 * something stands there, but it is no id: empty, null, too long, of the wrong kind, or one of
	 * "not_ids"
	 */
	bool bank_reference_invalid;
	char authorization_code[64];
	char bank_code[128]; /* the bank's own reason, for operators */
	char error_code[64]; /* mapped to our stable list; empty: none */
	char card_brand[32];
	char card_last4[5];
	bool has_amount;
	int64_t amount;   /* converted back to ISO minor units */
	char currency[4]; /* upper-cased; empty when absent */
	/* the answer had an amount that could not be read exactly: treat as unacceptable */
	bool amount_unreadable;
	int64_t captured; /* look-ups, -1 when absent */
	int64_t refunded; /* look-ups, -1 when absent */
	bool has_voided;  /* the answer says whether it was */
	bool voided;      /* look-ups: was cancelled */
	/*
	 * captured, refunded or voided stands there, and cannot be read: it is neither nothing nor all
	 */
	bool charge_state_unreadable;
	/* UNKNOWN: it is about another payment, or a look-up's does not say that it is about ours */
	bool other_reference;
	int retry_after_s; /* -1 when absent */
	/* it repeats card data or a key of ours; what does is left out */
	bool echoed;
} PgwAnswer;

/* What was asked, and with which references.  NULL: the request had none. */
typedef struct PgwQuestion
{
	PgwBankOp op;
	const char *transaction_ref;
	const char *original_ref;
	const char *bank_reference;
	const char *currency; /* asked for */
	int iso_exponent;
	/*
	 * what must not be kept of an answer; last4: the card's.  NULL: only what looks like a card
	 * number anyway
	 */
	const PgwSought *sought;
} PgwQuestion;

/*
 * Judge a whole answer.  retry_after: the header's text or NULL.  Never fails: what cannot be read,
 * and what answers another question, is PGW_OUT_UNKNOWN.
 */
extern void pgw_connector_judge(const PgwConnector *c, const PgwQuestion *q, long http_status,
								const char *retry_after, const char *body, size_t len,
								PgwAnswer *a);

#endif
