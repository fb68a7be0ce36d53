/*
 * buf.h - growable byte buffer that never leaves a copy of its content behind
 *
 * Request bodies can hold a card number, so whatever grows or frees such a
 * buffer wipes the old memory first.  Pure C; allocation failure is sticky
 * (buf->failed) instead of an error jump, so that callers inside libcurl or
 * json-c frames stay safe.
 */
#ifndef PGW_CORE_BASE_BUF_H
#define PGW_CORE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct PgwBuf
{
	char *data; /* NUL terminated once something was appended */
	size_t len;
	size_t cap;
	bool failed;  /* out of memory or over the limit; content void */
	size_t limit; /* 0: none */
} PgwBuf;

extern void pgw_buf_init(PgwBuf *b, size_t limit);
extern void pgw_buf_append(PgwBuf *b, const char *s, size_t len);
extern void pgw_buf_puts(PgwBuf *b, const char *s);
extern void pgw_buf_int(PgwBuf *b, int64_t number);
extern void pgw_buf_printf(PgwBuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Drop what lies beyond len, wiping it: how a renderer takes back what it began to write. */
extern void pgw_buf_truncate(PgwBuf *b, size_t len);
extern void pgw_buf_reset(PgwBuf *b); /* wipe, keep the allocation */
extern void pgw_buf_free(PgwBuf *b);  /* wipe and free */

#endif
