/*
 * byte_text.h - bytes as text: plain, in hexadecimal digits, in base64; and whether two secrets are
 * the same
 */
#ifndef PGW_CORE_BASE_BYTE_TEXT_H
#define PGW_CORE_BASE_BYTE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"

/* How bytes are written as text. */
typedef enum PgwByteText
{
	PGW_BYTES_PLAIN,
	PGW_BYTES_HEX, /* in small letters; either case is read */
	PGW_BYTES_BASE64
} PgwByteText;

extern void pgw_put_hex(PgwBuf *b, const unsigned char *bytes, size_t len);
extern void pgw_put_base64(PgwBuf *b, const unsigned char *bytes, size_t len);
extern void pgw_put_bytes(PgwBuf *b, const unsigned char *bytes, size_t len, PgwByteText as);

/* What is written so; false: something else is, or there is no room. */
extern bool pgw_read_bytes(const char *text, PgwByteText as, PgwBuf *bytes);

/*
 * Takes as long wherever they differ, so that nobody can try one byte after the other.  That their
 * lengths differ may be seen: those are no secret.
 */
extern bool pgw_same_secret(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
