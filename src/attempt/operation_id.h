/*
 * operation_id.h - the bank's own id of what follows a charge: of its capture, of a refund
 */
#ifndef PGW_ATTEMPT_OPERATION_ID_H
#define PGW_ATTEMPT_OPERATION_ID_H

#include "postgres.h"

#include "bank_call/call.h"
#include "store/bank_references.h"
#include "store/tables.h"

/*
 * Claims the id that the answer to a capture, void or refund gives to it. An answer with the id of
 * another one is marked as that (call->names_other_operation); a look-up that shows another one's
 * is no answer. false: somebody is writing just now whose it is, and nothing may be done yet.
 */
extern bool pgw_operation_id_claim(PgwCall *call, const PgwAttempt *attempt);

/*
 * The same for the id of what took the money, where an answer names it beside the charge's: never
 * returns NONE.
 */
extern PgwOwner pgw_operation_id_claim_capture(const PgwCall *call, const PgwAttempt *attempt);

/* Of the refund, or of the give-back that a payment's own attempt makes; NULL: not known. */
extern const char *pgw_operation_id_of_refund(const PgwAttempt *attempt);

/* Of what took the money of a payment, or of a payment's own attempt; NULL: not known. */
extern const char *pgw_operation_id_of_capture(const PgwPayment *p);
extern const char *pgw_operation_id_of_own_capture(const PgwAttempt *charge);

/* What the bank can do for this operation: it can be asked about by its id only where that is
 * known. */
extern const PgwCapabilities *pgw_operation_id_capabilities(const PgwBank *bank,
															const PgwAttempt *attempt);
extern void pgw_operation_id_reduce(const PgwAttempt *attempt, PgwCapabilities *caps);

/* What the answer names of it; the row is the caller's to write. */
extern void pgw_operation_id_note(const PgwCall *call, PgwAttempt *attempt);

/* What follows is another request, with an id of its own. */
extern void pgw_operation_id_forget(PgwAttempt *attempt);

#endif
