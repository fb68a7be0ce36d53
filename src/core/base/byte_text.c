/*
 * byte_text.c - bytes as text, written and read; and whether two secrets are the same
 *
 * Invariant: what passed through here on its way is wiped; the buffers are their owners'.
 */
#include "core/base/byte_text.h"

#include <stdint.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
pgw_put_hex(PgwBuf *b, const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		char pair[2] = {hex_digits[bytes[i] >> 4], hex_digits[bytes[i] & 15]};

		pgw_buf_append(b, pair, 2);
	}
}

void
pgw_put_base64(PgwBuf *b, const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i += 3)
	{
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t group = (uint32_t) bytes[i] << 16 | (n > 1 ? (uint32_t) bytes[i + 1] << 8 : 0) |
						 (n > 2 ? bytes[i + 2] : 0);
		char four[4];

		for (size_t k = 0; k < 4; k++)
			four[k] = k <= n ? base64_digits[group >> (18 - 6 * k) & 63] : '=';
		pgw_buf_append(b, four, 4);
		explicit_bzero(four, sizeof(four));
	}
}

void
pgw_put_bytes(PgwBuf *b, const unsigned char *bytes, size_t len, PgwByteText as)
{
	if (as == PGW_BYTES_HEX)
		pgw_put_hex(b, bytes, len);
	else if (as == PGW_BYTES_BASE64)
		pgw_put_base64(b, bytes, len);
	else
		pgw_buf_append(b, (const char *) bytes, len);
}

static int
digit_of(char c, const char *digits)
{
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at != NULL ? (int) (at - digits) : -1;
}

bool
pgw_read_bytes(const char *text, PgwByteText as, PgwBuf *bytes)
{
	static const char hex[] = "0123456789abcdef0123456789ABCDEF";
	int width = as == PGW_BYTES_HEX ? 4 : 6;
	size_t len = strlen(text);
	uint32_t held = 0;
	int bits = 0;

	if (as == PGW_BYTES_PLAIN)
	{
		pgw_buf_puts(bytes, text);
		return !bytes->failed;
	}
	if (len == 0 || len % (as == PGW_BYTES_HEX ? 2 : 4) != 0)
		return false;
	for (int pad = 0; as == PGW_BYTES_BASE64 && pad < 2 && text[len - 1] == '='; pad++)
		len--;
	for (size_t i = 0; i < len; i++)
	{
		int digit = digit_of(text[i], as == PGW_BYTES_HEX ? hex : base64_digits);

		if (digit < 0)
			return false;
		held = held << width | (uint32_t) (as == PGW_BYTES_HEX ? digit & 15 : digit);
		bits += width;
		if (bits >= 8)
		{
			char byte = (char) (held >> (bits - 8) & 0xff);

			pgw_buf_append(bytes, &byte, 1);
			bits -= 8;
		}
	}
	explicit_bzero(&held, sizeof(held));
	return !bytes->failed;
}

bool
pgw_same_secret(const char *a, size_t a_len, const char *b, size_t b_len)
{
	volatile unsigned char differs = 0;

	if (a_len != b_len)
		return false;
	for (size_t i = 0; i < a_len; i++)
		differs |= (unsigned char) a[i] ^ (unsigned char) b[i];
	return differs == 0;
}
