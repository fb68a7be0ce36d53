/*
 * card_decode.c - characters of UTF-8, and the encodings in which a number can hide
 *
 * Pure functions from the caller's memory to the caller's memory.  Whoever calls wipes.
 */
#include "core/card/card_decode.h"

#include <string.h>

#include "core/base/characters.h"
#include "core/card/card_unicode.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

int32_t
pgw_utf8_next(const char *text, size_t len, size_t *pos)
{
	const unsigned char *b = (const unsigned char *) text + *pos;
	size_t left = len - *pos;
	int more = b[0] < 0x80                   ? 0
			   : b[0] >= 0xF0 && b[0] < 0xF5 ? 3
			   : b[0] >= 0xE0 && b[0] < 0xF0 ? 2
			   : b[0] >= 0xC2 && b[0] < 0xE0 ? 1
											 : -1;
	int32_t cp = more <= 0 ? b[0] : b[0] & (0x3F >> more);

	(*pos)++;
	if (more < 0 || (size_t) more >= left)
		return more == 0 ? cp : -1;
	for (int i = 1; i <= more; i++)
	{
		if ((b[i] & 0xC0) != 0x80)
			return -1;
		cp = (cp << 6) | (b[i] & 0x3F);
	}
	*pos += (size_t) more;
	return cp;
}

int
pgw_unicode_digit(int32_t cp)
{
	size_t low = 0;
	size_t high = LENGTH(unicode_digits);

	if (cp < 0x80)
		return cp >= '0' && cp <= '9' ? (int) (cp - '0') : -1;
	while (low < high)
	{
		size_t middle = (low + high) / 2;

		if ((uint32_t) cp < unicode_digits[middle].first)
			high = middle;
		else if ((uint32_t) cp > unicode_digits[middle].last)
			low = middle + 1;
		else
			return (int) ((uint32_t) unicode_digits[middle].value + (uint32_t) cp -
						  unicode_digits[middle].first) %
				   10;
	}
	return -1;
}

bool
pgw_unicode_hidden(int32_t cp)
{
	size_t low = 0;
	size_t high = LENGTH(unicode_hidden);

	while (cp >= 0x80 && low < high)
	{
		size_t middle = (low + high) / 2;

		if ((uint32_t) cp < unicode_hidden[middle].first)
			high = middle;
		else if ((uint32_t) cp > unicode_hidden[middle].last)
			low = middle + 1;
		else
			return true;
	}
	return false;
}

/*
 * Each of these reads one escape at text and says how long it is; 0: there is none.  *cp: what it
 * stands for.
 */
static size_t
backslash(const char *text, size_t len, int32_t *cp)
{
	int32_t low;

	if (len < 2 || text[0] != '\\')
		return 0;
	if (text[1] == 'x' && (*cp = pgw_hex_read(text + 2, len - 2, 2)) >= 0)
		return 4;
	if (text[1] == 'u' && (*cp = pgw_hex_read(text + 2, len - 2, 4)) >= 0)
	{
		if (*cp < 0xD800 || *cp > 0xDBFF || len < 12 || text[6] != '\\' || text[7] != 'u' ||
			(low = pgw_hex_read(text + 8, len - 8, 4)) < 0xDC00 || low > 0xDFFF)
			return 6;
		*cp = 0x10000 + ((*cp - 0xD800) << 10) + (low - 0xDC00);
		return 12;
	}
	*cp = strchr("bfnrt", text[1]) != NULL && text[1] != '\0' ? ' ' : (unsigned char) text[1];
	return (unsigned char) text[1] < 0x80 ? 2 : 0;
}

/* A byte, as C and shells write it; JSON does not. */
static size_t
byte_in_octal(const char *text, size_t len, int32_t *cp)
{
	if (len < 4 || text[0] != '\\' || text[1] < '0' || text[1] > '3')
		return 0;
	*cp = 0;
	for (size_t i = 1; i < 4; i++)
	{
		if (text[i] < '0' || text[i] > '7')
			return 0;
		*cp = *cp * 8 + (text[i] - '0');
	}
	return 4;
}

static size_t
byte_in_hex(const char *text, size_t len, int32_t *cp)
{
	return len >= 3 && (text[0] == '%' || text[0] == '=') &&
				   (*cp = pgw_hex_read(text + 1, len - 1, 2)) >= 0
			   ? 3
			   : 0;
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static size_t
entity(const char *text, size_t len, int32_t *cp)
{
	size_t n = 2;
	bool hex;
	size_t digits;

	if (len < 4 || text[0] != '&')
		return 0;
	if (text[1] != '#')
	{
		for (n = 1; n < len && n < 10 && is_letter(text[n]); n++)
			;
		*cp = ' ';
		return n > 2 && n < len && text[n] == ';' ? n + 1 : 0;
	}
	hex = text[2] == 'x' || text[2] == 'X';
	n += hex;
	*cp = 0;
	for (digits = 0; n < len && digits < 9; n++, digits++)
	{
		int value = pgw_hex_value(text[n]);

		if (value < 0 || (value > 9 && !hex))
			break;
		*cp = *cp > 0x10FFFF ? *cp : *cp * (hex ? 16 : 10) + value;
	}
	if (digits == 0 || *cp > 0x10FFFF)
		return 0;
	return n < len && text[n] == ';' ? n + 1 : n;
}

static size_t
decode(const char *text, size_t len, bool backslashes_only, char *out, bool *found)
{
	size_t n = 0;
	size_t pos = 0;

	*found = false;
	while (pos < len)
	{
		int32_t cp = 0;
		size_t escape = backslashes_only ? 0 : byte_in_octal(text + pos, len - pos, &cp);
		bool byte;

		if (escape == 0 && !backslashes_only)
			escape = byte_in_hex(text + pos, len - pos, &cp);
		byte = escape > 0;
		if (escape == 0)
			escape = backslash(text + pos, len - pos, &cp);
		if (escape == 0 && !backslashes_only)
			escape = entity(text + pos, len - pos, &cp);
		if (escape == 0)
		{
			out[n++] = text[pos++];
			continue;
		}
		*found = true;
		pos += escape;
		if (byte)
			out[n++] = (char) cp; /* of a UTF-8 sequence, perhaps */
		else
			n += pgw_utf8_encode((uint32_t) cp, out + n); /* no more than the escape had */
	}
	return n;
}

size_t
pgw_decode_backslashes(const char *text, size_t len, char *out, bool *found)
{
	return decode(text, len, true, out, found);
}

size_t
pgw_decode_escapes(const char *text, size_t len, char *out, bool *found)
{
	return decode(text, len, false, out, found);
}

/* One more than the value; 0: none. */
static const unsigned char base64_values[256] = {
	['A'] = 1, 2,  3,  4,  5,          6,  7,  8,          9,          10,         11,
	12,        13, 14, 15, 16,         17, 18, 19,         20,         21,         22,
	23,        24, 25, 26, ['a'] = 27, 28, 29, 30,         31,         32,         33,
	34,        35, 36, 37, 38,         39, 40, 41,         42,         43,         44,
	45,        46, 47, 48, 49,         50, 51, 52,         ['0'] = 53, 54,         55,
	56,        57, 58, 59, 60,         61, 62, ['+'] = 63, ['-'] = 63, ['/'] = 64, ['_'] = 64,
};

bool
pgw_is_base64(char c)
{
	return base64_values[(unsigned char) c] != 0;
}

bool
pgw_next_text(const char *bytes, size_t len, size_t min, size_t *pos, size_t *text_len)
{
	size_t start = *pos;

	while (*pos < len)
	{
		unsigned char b = (unsigned char) bytes[*pos];
		size_t next = *pos + 1;

		if (b < 0x80 ? b >= ' ' || b == '\0' || b == '\t' || b == '\r' || b == '\n'
					 : (next = *pos, pgw_utf8_next(bytes, len, &next)) >= 0)
		{
			*pos = next;
			continue;
		}
		if (*pos - start >= min)
			break;
		*pos = next;
		start = next;
	}
	*text_len = *pos - start;
	if (*text_len < min)
		return false;
	return true;
}

size_t
pgw_decode_base64(const char *text, size_t len, size_t skip, char *out)
{
	uint32_t bits = 0;
	int nbits = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
	{
		unsigned value = base64_values[(unsigned char) text[i]];

		if (value == 0)
			continue; /* an end of line */
		if (skip > 0)
		{
			skip--;
			continue;
		}
		bits = (bits << 6) | (value - 1);
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			out[n++] = (char) ((bits >> nbits) & 0xFF);
		}
	}
	return n;
}

size_t
pgw_decode_hex(const char *text, size_t len, size_t skip, char *out)
{
	size_t n = 0;
	size_t pos = 0;
	int high = -1;

	while (pos < len)
	{
		int value = pgw_hex_value(text[pos]);

		if (high < 0 && pos + 1 < len && (text[pos] == '0' || text[pos] == '\\') &&
			(text[pos + 1] == 'x' || text[pos + 1] == 'X'))
		{
			pos += 2;
			continue;
		}
		pos++;
		if (value >= 0 && skip > 0)
		{
			skip--;
			continue;
		}
		if (value < 0)
		{
			/*
			 * a letter breaks what is there; anything else may stand between two pairs, not within
			 * one
			 */
			if (high >= 0 || is_letter(text[pos - 1]))
			{
				high = -1;
				out[n++] = 'x';
			}
		}
		else if (high < 0)
			high = value;
		else
		{
			out[n++] = (char) (high * 16 + value);
			high = -1;
		}
	}
	return n;
}
