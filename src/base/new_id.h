/*
 * new_id.h - a new id: UUIDv7, so that ids grow with time
 */
#ifndef PGW_BASE_NEW_ID_H
#define PGW_BASE_NEW_ID_H

#include "postgres.h"
#include "utils/uuid.h"

extern void pgw_new_id(pg_uuid_t *out);

/* The same of a payment or attempt, which is found by the slot in it (core/base/shard_slot.h). */
extern void pgw_new_id_in_slot(pg_uuid_t *out, int slot);

#endif
