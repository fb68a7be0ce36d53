/*
 * shard_slot.c - the slot of a request, and of the ids that come of it
 *
 * Invariants: the slot of a request follows from its id alone, so that every repetition of it goes
 * where it was recorded; and the ids that are made for it hold the same slot, so that all that
 * follows finds its way by them.
 */
#include "core/base/shard_slot.h"

#include "core/base/sha2.h"

#define MAX_DIGITS 4

int
pgw_shard_slot_named(const char *request_id, size_t len)
{
	size_t i = 1;
	int slot = 0;

	if (len < 1 || request_id[0] != 's')
		return -1;
	while (i < len && i <= MAX_DIGITS && request_id[i] >= '0' && request_id[i] <= '9')
		slot = slot * 10 + (request_id[i++] - '0');
	if (i == 1 || (request_id[1] == '0' && i > 2) || slot >= PGW_SHARD_SLOTS)
		return -1;
	/* something of one's own has to follow: else it would be one id for all of a slot */
	if (i + 1 >= len || request_id[i] != '.')
		return -1;
	return slot;
}

int
pgw_shard_slot_of_request(const char *request_id, size_t len)
{
	unsigned char digest[PGW_SHA2_MAX];
	int named = pgw_shard_slot_named(request_id, len);

	if (named >= 0)
		return named;
	pgw_sha2(PGW_SHA256, request_id, len, digest);
	return digest[0] << 2 | digest[1] >> 6;
}

int
pgw_shard_slot_of_id(const uint8_t uuid[16])
{
	return (uuid[8] & 0x3F) << 4 | uuid[9] >> 4;
}

void
pgw_shard_slot_into_id(int slot, uint8_t uuid[16])
{
	uuid[8] = (uint8_t) ((uuid[8] & 0xC0) | slot >> 4);
	uuid[9] = (uint8_t) ((slot & 0x0F) << 4 | (uuid[9] & 0x0F));
}
