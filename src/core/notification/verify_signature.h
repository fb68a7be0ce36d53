/*
 * verify_signature.h - does a notification come from who knows the bank's secret?
 */
#ifndef PGW_CORE_NOTIFICATION_VERIFY_SIGNATURE_H
#define PGW_CORE_NOTIFICATION_VERIFY_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/secret_values.h"
#include "core/connector/connector.h"

/* A longer body is none: nothing of it is read. */
#define PGW_NOTIFICATION_MAX_BYTES (256 * 1024)
#define PGW_NOTIFICATION_MAX_HEADERS 200
/* Of one header that is looked at. */
#define PGW_NOTIFICATION_MAX_HEADER 8192

typedef struct PgwGivenHeader
{
	const char *name;
	const char *value;
} PgwGivenHeader;

/* As it came in: nothing in it is to be believed. */
typedef struct PgwArrived
{
	int nheaders;
	const PgwGivenHeader *headers;
	const char *body; /* not terminated, any bytes */
	size_t len;
	/* of a body that has several: the one that this is about; NULL: all of the body is one */
	const char *item;
	size_t item_len;
	const char *url;     /* that it was sent to; NULL: not told */
	int64_t received_at; /* seconds since 1970 */
} PgwArrived;

typedef enum PgwVerified
{
	PGW_VERIFIED = 0,
	PGW_NOT_SIGNED, /* what the scheme needs is not there, is no such thing, or is there twice */
	PGW_WRONG_SIGNATURE, /* by none of the secrets */
	PGW_OUT_OF_TIME,     /* signed, but for another time than that at which it came */
	PGW_NO_URL,          /* the scheme covers it, and it was not told */
	PGW_NO_SECRET,
	PGW_BAD_SECRET /* one is not written as the scheme has it */
} PgwVerified;

/* For people: "verified", "not signed" ... */
extern const char *pgw_verified_text(PgwVerified v);

/* Every value of secrets counts, whatever its name: during a rotation there are two. */
struct PgwSignature; /* core/connector/compiled.h */
extern PgwVerified pgw_verify_signature(const struct PgwSignature *s, const PgwArrived *n,
										const PgwSecretValues *secrets);

/*
 * Does it come from who knows one of these names and passwords?  PGW_NOT_SIGNED: it names none, or
 * two.
 */
extern PgwVerified pgw_verify_login(const PgwArrived *n, const PgwSecretValues *logins);

/* The one that this is about: an element of the body, or all of it. */
static inline const char *
pgw_arrived_one(const PgwArrived *n, size_t *len)
{
	*len = n->item != NULL ? n->item_len : n->len;
	return n->item != NULL ? n->item : n->body;
}

/* The value of the header, whatever the case of its name; NULL: it is not there, or twice. */
extern const char *pgw_arrived_header(const PgwArrived *n, const char *name);

#endif
