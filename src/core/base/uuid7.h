/*
 * uuid7.h - RFC 9562 version 7 UUIDs, strictly increasing within one generator
 */
#ifndef PGW_CORE_BASE_UUID7_H
#define PGW_CORE_BASE_UUID7_H

#include <stdbool.h>
#include <stdint.h>

typedef struct PgwUuid7Gen
{
	uint64_t last_ms;
	/* rand_a as a counter within one millisecond (RFC 9562 6.2 method 1) */
	uint16_t counter;
} PgwUuid7Gen;

/*
 * unix_ms: now; rnd: 10 fresh random bytes; out: 16 bytes. A clock that steps back does not break
 * the order.
 */
extern void pgw_uuid7_make(PgwUuid7Gen *gen, uint64_t unix_ms, const uint8_t rnd[10],
						   uint8_t out[16]);
/* the smallest of that millisecond, or of the last one that ids have */
extern void pgw_uuid7_first_of(uint64_t unix_ms, uint8_t out[16]);
extern uint64_t pgw_uuid7_unix_ms(const uint8_t uuid[16]);
extern void pgw_uuid_to_text(const uint8_t uuid[16], char out[37]);
/* no hyphens: safe as a reference at every bank */
extern void pgw_uuid_to_hex32(const uint8_t uuid[16], char out[33]);
extern bool pgw_uuid_from_text(const char *text, uint8_t out[16]);

#endif
