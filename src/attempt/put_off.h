/*
 * put_off.h - attempts whose next request cannot be made now
 */
#ifndef PGW_ATTEMPT_PUT_OFF_H
#define PGW_ATTEMPT_PUT_OFF_H

#include "postgres.h"
#include "datatype/timestamp.h"

#include "attempt/step.h"

/*
 * Visit the attempt again then. If its request has been impossible for too long, end it instead:
 * Failed where the bank never took anything, else manual review. why: an error_code.
 */
extern void pgw_put_off(PgwAttempt *attempt, PgwStep *step, const char *why, TimestampTz when);

/*
 * The same where the next visit has no time of its own (step->try_later). Returns true if the
 * attempt has ended.
 */
extern bool pgw_put_off_blocked(PgwAttempt *attempt, PgwStep *step, const char *why);

/*
 * The request was made, and the bank did nothing for it: treat the attempt as if the request could
 * not have been made. pgw_put_off_ended(): has that lasted too long? It is asked before the next
 * request.
 */
extern void pgw_put_off_goes_on(const PgwCall *call, PgwAttempt *attempt, const char *why);
extern bool pgw_put_off_ended(PgwAttempt *attempt, PgwStep *step);
/*
 * The bank refunds the charge only when it is settled: so long it is put off, and health() says so.
 * pgw_put_off_wait_over(): at the next visit, what puts it off then begins anew.
 */
extern void pgw_put_off_wait(const PgwCall *call, PgwAttempt *attempt, int64 seconds);
extern bool pgw_put_off_wait_over(PgwAttempt *attempt);
/* a request is made, or an answer has come; the row is the caller's to write */
extern void pgw_put_off_over(PgwAttempt *attempt);

#endif
