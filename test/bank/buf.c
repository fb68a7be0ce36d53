/*-------------------------------------------------------------------------
 *
 * buf.c
 *		Growing text, JSON strings, hashing and the clock.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bank.h"

void *
xalloc(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
	{
		fputs("pgw-bank: out of memory\n", stderr);
		abort();
	}
	return p;
}

/* NULL stays NULL. */
char *
xstrdup(const char *s)
{
	size_t len;
	char *p;

	if (s == NULL)
		return NULL;
	len = strlen(s) + 1;
	p = xalloc(len);
	memcpy(p, s, len);
	return p;
}

static void
buf_reserve(Buf *b, size_t more)
{
	size_t want = b->len + more + 1;

	if (want <= b->cap)
		return;
	if (want < b->cap * 2)
		want = b->cap * 2;
	if (want < 512)
		want = 512;
	b->data = realloc(b->data, want);
	if (b->data == NULL)
	{
		fputs("pgw-bank: out of memory\n", stderr);
		abort();
	}
	b->cap = want;
}

void
buf_add(Buf *b, const char *data, size_t len)
{
	buf_reserve(b, len);
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void
buf_puts(Buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_printf(Buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	buf_reserve(b, 256);
	va_start(ap, fmt);
	n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t) n >= b->cap - b->len)
	{
		buf_reserve(b, (size_t) n);
		va_start(ap, fmt);
		(void) vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
		va_end(ap);
	}
	b->len += (size_t) n;
}

/* Append a JSON string, or null. */
void
buf_json(Buf *b, const char *s)
{
	if (s == NULL)
	{
		buf_puts(b, "null");
		return;
	}
	buf_add(b, "\"", 1);
	for (; *s != '\0'; s++)
	{
		unsigned char c = (unsigned char) *s;

		if (c == '"' || c == '\\')
		{
			char two[2] = {'\\', (char) c};

			buf_add(b, two, 2);
		}
		else if (c < 0x20)
			buf_printf(b, "\\u%04x", c);
		else
			buf_add(b, s, 1);
	}
	buf_add(b, "\"", 1);
}

void
buf_free(Buf *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

/*
 * Copy text for the request log.  A run of 13 to 19 digits that is not part
 * of a longer word could be a card number: only its last four digits stay.
 */
void
copy_masked(char *dst, size_t size, const char *src)
{
	size_t n = 0;
	size_t i = 0;
	size_t len = src ? strlen(src) : 0;

	while (i < len && n + 1 < size)
	{
		size_t run = 0;

		if (i == 0 || !isalnum((unsigned char) src[i - 1]))
		{
			while (isdigit((unsigned char) src[i + run]))
				run++;
			if (run < 13 || run > 19 || isalpha((unsigned char) src[i + run]))
				run = 0;
		}
		if (run == 0)
			dst[n++] = src[i++];
		else
		{
			size_t stop = i + run - 4;

			for (; i < stop && n + 1 < size; i++)
				dst[n++] = '*';
		}
	}
	dst[n] = '\0';
}

/* FNV-1a, 64 bits; start with HASH_START. */
uint64_t
hash_bytes(const void *data, size_t len, uint64_t h)
{
	const unsigned char *p = data;

	while (len-- > 0)
	{
		h ^= *p++;
		h *= UINT64_C(1099511628211);
	}
	return h;
}

int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
