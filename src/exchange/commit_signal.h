/*
 * commit_signal.h - how the worker hears of the commit or rollback of a caller
 */
#ifndef PGW_EXCHANGE_COMMIT_SIGNAL_H
#define PGW_EXCHANGE_COMMIT_SIGNAL_H

#include "postgres.h"
#include "utils/uuid.h"

#include "store/tables.h"

typedef enum PgwFateKind
{
	PGW_FATE_PROCESS,			/* commit: COMMITTED, rollback: ABORTED */
	PGW_FATE_SUBMIT				/* commit: SUBMITTED, rollback: nothing, nobody knows of it */
} PgwFateKind;

/* The current (sub)transaction's end decides on this attempt. */
extern void pgw_fate_add(const pg_uuid_t *transaction_id, PgwFateKind kind);
extern void pgw_fate_add_submitted(const PgwTransaction *t);	/* PGW_FATE_SUBMIT, and where it will have to wait */

/* Did this very, still open transaction ask for it? */
extern bool pgw_fate_is_open(const pg_uuid_t *transaction_id);

/* Was it submitted by this very, still open transaction? */
extern bool pgw_fate_is_open_submit(const pg_uuid_t *transaction_id);

#endif
