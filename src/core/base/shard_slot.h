/*
 * shard_slot.h - the slot, 0..1023, of a request and of the ids that come of it
 *
 * Payments are divided among databases by slots (docs/scaling.md).  What computes one here is what
 * routers compute elsewhere, in other languages, so it is fixed for good:
 * test/unit/test_shard_slot.c has vectors.
 */
#ifndef PGW_CORE_BASE_SHARD_SLOT_H
#define PGW_CORE_BASE_SHARD_SLOT_H

#include <stddef.h>
#include <stdint.h>

#define PGW_SHARD_SLOTS 1024

/*
 * The slot that an id names by its prefix, as in "s17.order-4711": the letter s, the number without
 * leading zeros, a dot, and at least one character more.  -1: it names none.
 */
extern int pgw_shard_slot_named(const char *request_id, size_t len);

/* The slot that it names; else the first ten bits of its SHA-256.  In UTF-8. */
extern int pgw_shard_slot_of_request(const char *request_id, size_t len);

/*
 * The slot in an id of pgw's own (a payment's, an attempt's): the ten bits that follow the variant.
 * Not those after the time, which order the ids of one millisecond.
 */
extern int pgw_shard_slot_of_id(const uint8_t uuid[16]);
extern void pgw_shard_slot_into_id(int slot, uint8_t uuid[16]);

#endif
