/*
 * characters.h - what several readers of text share: hexadecimal digits, a code point as UTF-8, and
 * control characters
 */
#ifndef PGW_CORE_BASE_CHARACTERS_H
#define PGW_CORE_BASE_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 0 to 15, in either case; -1: not a digit. */
static inline int
pgw_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Exactly n digits, at most 7, of a text of len bytes; -1: there are no such. */
static inline int32_t
pgw_hex_read(const char *text, size_t len, size_t n)
{
	int32_t value = 0;

	if (n > len)
		return -1;
	for (size_t i = 0; i < n; i++)
	{
		if (pgw_hex_value(text[i]) < 0)
			return -1;
		value = value * 16 + pgw_hex_value(text[i]);
	}
	return value;
}

/*
 * Up to four bytes into out; returns how many.  Whether the code point is one is the caller's
 * business.
 */
static inline size_t
pgw_utf8_encode(uint32_t c, char *out)
{
	if (c < 0x80)
	{
		out[0] = (char) c;
		return 1;
	}
	if (c < 0x800)
	{
		out[0] = (char) (0xC0 | c >> 6);
		out[1] = (char) (0x80 | (c & 0x3F));
		return 2;
	}
	if (c < 0x10000)
	{
		out[0] = (char) (0xE0 | c >> 12);
		out[1] = (char) (0x80 | (c >> 6 & 0x3F));
		out[2] = (char) (0x80 | (c & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | c >> 18);
	out[1] = (char) (0x80 | (c >> 12 & 0x3F));
	out[2] = (char) (0x80 | (c >> 6 & 0x3F));
	out[3] = (char) (0x80 | (c & 0x3F));
	return 4;
}

/* A control character of ASCII: C0 or DEL. */
static inline bool
pgw_is_ascii_control(char c)
{
	return (unsigned char) c < 0x20 || c == 0x7F;
}

/*
 * Is there a control character of ASCII in this text, whatever its encoding, other than the allowed
 * ones?  A header or URL with a line end could smuggle in a request of its own.
 */
static inline bool
pgw_has_ascii_control(const char *text, const char *allowed)
{
	for (const char *s = text; *s != '\0'; s++)
	{
		if (pgw_is_ascii_control(*s) && strchr(allowed, *s) == NULL)
			return true;
	}
	return false;
}

/*
 * Is there a control character in this UTF-8 text, other than the allowed ones (ASCII)?  Besides
 * ASCII's there are the C1 controls U+0080 to U+009F, which terminals obey as well.
 */
static inline bool
pgw_has_control(const char *text, const char *allowed)
{
	for (const char *s = text; *s != '\0'; s++)
	{
		if (*s == '\xC2' && (unsigned char) s[1] >= 0x80 && (unsigned char) s[1] <= 0x9F)
			return true;
	}
	return pgw_has_ascii_control(text, allowed);
}

#endif
