/*
 * capture_reference.h - the bank's id of a payment's capture
 */
#ifndef PGW_STORE_CAPTURE_REFERENCE_H
#define PGW_STORE_CAPTURE_REFERENCE_H

#include "postgres.h"

#include "utils/uuid.h"

/* Of the one that a caller has asked for; NULL: there is none, or it is not known which one. */
extern char *pgw_store_capture_reference(const pg_uuid_t *payment_id);

#endif
