/*
 * connector.h - a bank's dialect as data: compiled from its document, and what it says of the bank
 *
 * A connector is one JSON document.  It is compiled once, with errors that point into the document;
 * core/bank_message then renders requests and judges answers by it.  Pure C: json-c and libc, no
 * server calls; nothing here logs.  docs/connectors.md describes the document.
 */
#ifndef PGW_CORE_CONNECTOR_CONNECTOR_H
#define PGW_CORE_CONNECTOR_CONNECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/connector/bank_op.h"
#include "core/connector/capabilities.h"

/* The most headers that a request can have. */
#define PGW_MAX_BODY_DIGESTS 2 /* of a request, without a key */
#define PGW_MAX_HEADERS 24
#define PGW_MAX_CONNECTOR_FAULTS 32 /* that are told at once */

typedef struct PgwConnector PgwConnector;

typedef struct PgwConnectorError
{
	char pointer[256]; /* JSON pointer (RFC 6901) to the place at fault */
	char message[768]; /* says what is wrong and what would be right */
} PgwConnectorError;

/* Compile; NULL and *err filled on a fault. Never reads beyond len. */
extern PgwConnector *pgw_connector_compile(const char *json, size_t len, PgwConnectorError *err);

/*
 * The same, with all faults that can be told at once, in the order in which they were met: the
 * first max of them in list, and *n, how many there are.  What depends on a part that is at fault
 * is looked at when that is right.  max is 1 at least.
 */
extern PgwConnector *pgw_connector_compile_all(const char *json, size_t len,
											   PgwConnectorError *list, int max, int *n);
extern void pgw_connector_free(PgwConnector *c);
extern const PgwCapabilities *pgw_connector_capabilities(const PgwConnector *c);
extern bool pgw_connector_has(const PgwConnector *c, PgwBankOp op);

/*
 * Is there no request of this operation without a value for that placeholder ("bank_reference",
 * "original_ref", "reference" ...)?  So it is where it stands in the path, and where it alone says
 * which charge, capture or refund is meant: such a request is refused, not sent without it.
 */
extern bool pgw_connector_needs(const PgwConnector *c, PgwBankOp op, const char *placeholder);

/* Does it stand anywhere in a request of this operation? */
extern bool pgw_connector_uses(const PgwConnector *c, PgwBankOp op, const char *placeholder);

/*
 * May a look-up by an id be asked for whose charge nobody knows?  Its answer has to name our
 * reference, which shows whether it is ours.
 */
extern bool pgw_connector_shows_whose(const PgwConnector *c);

/* Are signed notifications the bank's own word there, as it can be asked nothing? */
extern bool pgw_connector_has_evidence(const PgwConnector *c);

/* Do notifications tell of disputes there? */
extern bool pgw_connector_has_disputes(const PgwConnector *c);

/* What a notification may tell of that was done at the bank without pgw: bits. */
#define PGW_CHANGE_CAPTURED 1u
#define PGW_CHANGE_REFUNDED 2u
#define PGW_CHANGE_VOIDED 4u

/*
 * The bank's id of the charge: an approval without one (or with one that is none,
 * bank_reference_invalid) cannot be followed by this operation.
 */
extern bool pgw_connector_needs_bank_reference(const PgwConnector *c, PgwBankOp follow_up);

/*
 * Which names the connector asks of its bank's secret file, {{secret.NAME}}; 0: the file holds one
 * value, if there is one.
 */
extern int pgw_connector_secret_names(const PgwConnector *c, const char *const **names);

#define PGW_MAX_ANSWER_HEADERS 8

/* Which headers of its bank's answers the connector reads: what has to be kept of them. */
extern int pgw_connector_answer_headers(const PgwConnector *c, const char *const **names);

#define PGW_REFERENCE_SIZE 41 /* of a reference as a bank takes it, with its end */

/*
 * A reference of ours (32 hex digits) as this bank is told it, and names it: in out, or as it is.
 * The same one each time.  A text that is none of ours stays as it is.
 */
extern const char *pgw_connector_reference(const PgwConnector *c, const char *whole,
										   char out[PGW_REFERENCE_SIZE]);

/* Is the same reference of ours the same text in the requests of both? */
extern bool pgw_connector_same_references(const PgwConnector *a, const PgwConnector *b);

#define PGW_MAX_CONNECTOR_WARNINGS 100

/*
 * What a connector that compiles will cost, with the place in its document: at most max of it into
 * the list, the gravest first.  Returns how many there are.
 */
extern int pgw_connector_warnings(const PgwConnector *c, PgwConnectorError *list, int max);

/* Exponent that this bank uses for the currency: its own override, else iso_exponent. */
extern int pgw_connector_exponent(const PgwConnector *c, const char *currency, int iso_exponent);

/*
 * An amount in the bank's unit.  false: it cannot be said exactly, or is no multiple of what the
 * bank takes.
 */
extern bool pgw_connector_amount(const PgwConnector *c, const char *currency, int iso_exponent,
								 int64_t amount, int64_t *in_its_unit);

#endif
