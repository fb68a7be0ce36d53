/*
 * sha2.h - SHA-256, SHA-512 (FIPS 180-4) and HMAC over them (RFC 2104), for signatures of requests
 *
 * PostgreSQL's own and OpenSSL's need a server around them, raise errors, or allocate; the core can
 * have none of that between a card and its request.  Nothing here depends on the data in its
 * branches or memory accesses, and what was computed with is wiped.
 */
#ifndef PGW_CORE_BASE_SHA2_H
#define PGW_CORE_BASE_SHA2_H

#include <stddef.h>
#include <stdint.h>

#define PGW_SHA2_MAX 64 /* bytes of the longest digest */

typedef enum PgwSha2Kind
{
	PGW_SHA256,
	PGW_SHA512
} PgwSha2Kind;

typedef struct PgwSha2
{
	PgwSha2Kind kind;
	uint64_t state[8]; /* SHA-256: 32 bits of each */
	uint64_t bytes;    /* so far */
	unsigned char block[128];
} PgwSha2;

extern void pgw_sha2_begin(PgwSha2 *s, PgwSha2Kind kind);
extern void pgw_sha2_add(PgwSha2 *s, const void *data, size_t len);

/* Writes the digest and wipes s; how many bytes it has. */
extern size_t pgw_sha2_end(PgwSha2 *s, unsigned char digest[PGW_SHA2_MAX]);

extern size_t pgw_sha2(PgwSha2Kind kind, const void *data, size_t len,
					   unsigned char digest[PGW_SHA2_MAX]);
extern size_t pgw_hmac(PgwSha2Kind kind, const void *key, size_t key_len, const void *data,
					   size_t len, unsigned char mac[PGW_SHA2_MAX]);

#endif
