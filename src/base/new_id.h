/*
 * new_id.h - a new id: UUIDv7, so that ids grow with time
 */
#ifndef PGW_BASE_NEW_ID_H
#define PGW_BASE_NEW_ID_H

#include "postgres.h"
#include "utils/uuid.h"

extern void pgw_new_id(pg_uuid_t *out);

#endif
