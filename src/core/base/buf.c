/*
 * buf.c - growable byte buffer that never leaves a copy of its content behind
 *
 * Owns every allocation of a PgwBuf.  Invariants: memory is wiped before it is freed, so growing
 * never uses realloc(); everything from data[len] to the end of the allocation is NUL; after a
 * failure the content is wiped, len is 0 and everything appended later is ignored until
 * pgw_buf_reset().
 */
#include "core/base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 256

static void
fail(PgwBuf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	b->len = 0;
	b->failed = true;
}

/* Make room for len more bytes and the NUL. */
static bool
reserve(PgwBuf *b, size_t len)
{
	size_t need;
	size_t cap;
	char *data;

	if (b->failed)
		return false;
	if (__builtin_add_overflow(b->len, len, &need) || need >= SIZE_MAX / 4 ||
		(b->limit > 0 && need > b->limit))
	{
		fail(b);
		return false;
	}
	if (need < b->cap)
		return true;
	cap = b->cap > 0 ? b->cap : FIRST_CAPACITY;
	while (cap <= need)
		cap *= 2;
	data = calloc(1, cap);
	if (data == NULL)
	{
		fail(b);
		return false;
	}
	if (b->data != NULL)
	{
		memcpy(data, b->data, b->len);
		explicit_bzero(b->data, b->cap);
		free(b->data);
	}
	b->data = data;
	b->cap = cap;
	return true;
}

void
pgw_buf_init(PgwBuf *b, size_t limit)
{
	memset(b, 0, sizeof(*b));
	b->limit = limit;
}

void
pgw_buf_append(PgwBuf *b, const char *s, size_t len)
{
	if (!reserve(b, len))
		return;
	if (len > 0)
		memcpy(b->data + b->len, s, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void
pgw_buf_puts(PgwBuf *b, const char *s)
{
	pgw_buf_append(b, s, strlen(s));
}

/* In decimal; a sixth of what a format costs, which is read twice. */
void
pgw_buf_int(PgwBuf *b, int64_t number)
{
	char digits[20]; /* of INT64_MIN: 19, and the sign */
	size_t at = sizeof(digits);
	uint64_t left = number < 0 ? -(uint64_t) number : (uint64_t) number;

	do
	{
		digits[--at] = (char) ('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (number < 0)
		digits[--at] = '-';
	pgw_buf_append(b, digits + at, sizeof(digits) - at);
	explicit_bzero(digits, sizeof(digits));
}

/* Formats straight into the buffer: there is no temporary copy to wipe. */
void
pgw_buf_printf(PgwBuf *b, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0)
	{
		fail(b);
		return;
	}
	if (!reserve(b, (size_t) len))
		return;
	va_start(args, fmt);
	(void) vsnprintf(b->data + b->len, (size_t) len + 1, fmt, args);
	va_end(args);
	b->len += (size_t) len;
}

void
pgw_buf_truncate(PgwBuf *b, size_t len)
{
	if (b->data == NULL || len >= b->len)
		return;
	explicit_bzero(b->data + len, b->len - len);
	b->len = len;
}

void
pgw_buf_reset(PgwBuf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	b->len = 0;
	b->failed = false;
}

void
pgw_buf_free(PgwBuf *b)
{
	if (b->data != NULL)
	{
		explicit_bzero(b->data, b->cap);
		free(b->data);
	}
	pgw_buf_init(b, b->limit);
}
