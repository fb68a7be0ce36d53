/*
 * waiting_callers.h - callers who wait for an attempt whose outcome is in doubt, or which another
 * caller began
 */
#ifndef PGW_BANK_CALL_WAITING_CALLERS_H
#define PGW_BANK_CALL_WAITING_CALLERS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

#include "core/state/state_machine.h"

extern void pgw_waiters_init(void);
/* false: out of memory */
extern bool pgw_waiters_add(const pg_uuid_t *transaction_id, int slot, TimestampTz deadline);

/* Does somebody wait until then at least? */
extern bool pgw_waiters_until(const pg_uuid_t *transaction_id, TimestampTz when);

/*
 * Answer those who wait for this attempt, which is in this committed state. Returns true if
 * somebody was answered.
 */
extern bool pgw_waiters_answer(const pg_uuid_t *transaction_id, PgwState status);
extern void pgw_waiters_sweep(void); /* free the slots of those who left */
extern void pgw_waiters_forget(void);

#endif
