/*
 * charge_id.h - the bank's id of a charge: whose it is, and what cannot be asked without one
 */
#ifndef PGW_ATTEMPT_CHARGE_ID_H
#define PGW_ATTEMPT_CHARGE_ID_H

#include "postgres.h"

#include "bank_call/call.h"
#include "core/payment/charge_rules.h"
#include "store/tables.h"

/* What the bank can do for a charge of this id (NULL: it is not known). */
extern void pgw_charge_id_capabilities(const PgwBank *bank, const char *bank_reference,
									   PgwCapabilities *out);

/*
 * The id that the attempt has, if it is its own: to ask the bank with.  NULL: it has none, or one
 * that came with a no and has not been claimed.
 */
extern const char *pgw_charge_id_claimed_by(const PgwBank *bank, const PgwAttempt *attempt);

/*
 * The answer to a charge, its replay or look-up: claims the id that it names, forgets one that was
 * never claimed, and fills in what pgw_charge_result() asks of ids.  false: busy, later.  In the
 * transaction that records the answer.
 */
extern bool pgw_charge_id_claim(PgwCall *call, PgwAttempt *attempt, PgwChargeInput *in);

/* BankUnknown: the bank has said yes, and not which charge. */
extern bool pgw_charge_id_is_missing(const PgwAttempt *attempt);

/*
 * What the bank says of something that comes after the charge names this charge: is it another one
 * than the payment's?  Where that one's id is not known: is it another payment's?
 */
extern bool pgw_charge_id_is_others(const PgwBank *bank, const PgwAttempt *attempt,
									const char *named);

/*
 * A look-up of what comes after the charge: one that shows another charge becomes an answer that
 * was not understood.
 */
extern void pgw_charge_id_check_subject(PgwCall *call, const PgwAttempt *attempt);

#endif
