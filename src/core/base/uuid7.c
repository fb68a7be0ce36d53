/*
 * uuid7.c - making and reading version 7 UUIDs
 *
 * Layout (RFC 9562 5.7): 48 bits Unix milliseconds, 4 bits version, 12 bits rand_a (here a
 * counter), 2 bits variant, 62 bits random.  Invariants: of two UUIDs of one generator the later is
 * greater (memcmp), whatever the clock does; the time never runs ahead of the clock except by
 * counter overflow (at least 2048 in one millisecond) or after a step back.
 */
#include "core/base/uuid7.h"

#include <stddef.h>
#include <string.h>

#include "core/base/characters.h"

#define MS_MASK UINT64_C(0xFFFFFFFFFFFF)
#define COUNTER_MAX 0x0FFF
#define COUNTER_SEED_MASK 0x07FF /* top bit clear: room for 2048 more within the millisecond */

void
pgw_uuid7_make(PgwUuid7Gen *gen, uint64_t unix_ms, const uint8_t rnd[10], uint8_t out[16])
{
	uint16_t seed = (uint16_t) ((((unsigned) rnd[0] << 8) | rnd[1]) & COUNTER_SEED_MASK);

	unix_ms &= MS_MASK;
	if (unix_ms > gen->last_ms)
	{
		gen->last_ms = unix_ms;
		gen->counter = seed;
	}
	else if (gen->counter < COUNTER_MAX)
		gen->counter++;
	else
	{
		gen->last_ms = (gen->last_ms + 1) & MS_MASK;
		gen->counter = seed;
	}

	for (int i = 0; i < 6; i++)
		out[i] = (uint8_t) (gen->last_ms >> (40 - 8 * i));
	out[6] = (uint8_t) (0x70 | (gen->counter >> 8));
	out[7] = (uint8_t) (gen->counter & 0xFF);
	memcpy(out + 8, rnd + 2, 8);
	out[8] = (uint8_t) ((out[8] & 0x3F) | 0x80);
}

void
pgw_uuid7_first_of(uint64_t unix_ms, uint8_t out[16])
{
	if (unix_ms > MS_MASK)
		unix_ms = MS_MASK;
	memset(out, 0, 16);
	for (int i = 0; i < 6; i++)
		out[i] = (uint8_t) (unix_ms >> (40 - 8 * i));
}

uint64_t
pgw_uuid7_unix_ms(const uint8_t uuid[16])
{
	uint64_t ms = 0;

	for (int i = 0; i < 6; i++)
		ms = (ms << 8) | uuid[i];
	return ms;
}

void
pgw_uuid_to_hex32(const uint8_t uuid[16], char out[33])
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++)
	{
		out[2 * i] = hex[uuid[i] >> 4];
		out[2 * i + 1] = hex[uuid[i] & 0x0F];
	}
	out[32] = '\0';
}

void
pgw_uuid_to_text(const uint8_t uuid[16], char out[37])
{
	char digits[33];
	char *p = out;

	pgw_uuid_to_hex32(uuid, digits);
	for (int i = 0; i < 32; i++)
	{
		if (i == 8 || i == 12 || i == 16 || i == 20)
			*p++ = '-';
		*p++ = digits[i];
	}
	*p = '\0';
}

/* Both of our own forms, 8-4-4-4-12 and 32 digits, in either case; nothing else. */
bool
pgw_uuid_from_text(const char *text, uint8_t out[16])
{
	uint8_t bytes[16] = {0};
	size_t len;
	int digit = 0;

	if (text == NULL)
		return false;
	len = strlen(text);
	if (len != 36 && len != 32)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		int v;

		if (len == 36 && (i == 8 || i == 13 || i == 18 || i == 23))
		{
			if (text[i] != '-')
				return false;
			continue;
		}
		v = pgw_hex_value(text[i]);
		if (v < 0)
			return false;
		bytes[digit / 2] = (uint8_t) ((bytes[digit / 2] << 4) | v);
		digit++;
	}
	memcpy(out, bytes, sizeof(bytes));
	return true;
}
