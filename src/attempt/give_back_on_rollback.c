/*
 * give_back_on_rollback.c - the caller of an approved charge rolled back: PaymentDataSaveFailed,
 * and the charge begins to be given back
 *
 * Owns: pgw.compensation_delay.  How a charge is given back, from RefundStarted to its end, is in
 * compensation.c; that the caller rolled back is found out in outcome/caller_committed.c, and which
 * events are written then is said in core/payment/compensation_rules.c.  The attempt's row is
 * locked.
 *
 * Orderings that matter: from RefundStarted on the attempt cannot be adopted; until then it can,
 * and pgw.compensation_delay is the time for that.
 */
#include "postgres.h"

#include "access/transam.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "attempt/charge_id.h"
#include "attempt/compensation.h"
#include "attempt/give_back_on_rollback.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "core/payment/compensation_rules.h"
#include "outcome/record_decision.h"

static int compensation_delay = 5000;

void
pgw_step_rolled_back_init(void)
{
	DefineCustomIntVariable(
		"pgw.compensation_delay",
		"How long a charge whose caller rolled back waits for a retry that takes it over, before it is given back.",
		NULL, &compensation_delay, 5000, 0, 60 * 60 * 1000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL,
		NULL);
}

static void
give_to_review(PgwAttempt *attempt, const char *reason)
{
	pgw_step_review(attempt, "refund_refused", reason, attempt->refund_operation, 0);
}

void
pgw_step_rolled_back(PgwAttempt *attempt, PgwStep *step)
{
	TimestampTz now = pgw_now();
	TimestampTz due;
	PgwCapabilities caps;
	PgwDecision d;
	PgwBank *bank;

	Assert(attempt->place.held && attempt->status == PGW_BANK_APPROVED);
	/*
	 * Taken over after a restore (pgw.resume_after_restore): who called, and how that ended, is not
	 * known here.
	 */
	if (!attempt->submitted && !FullTransactionIdIsValid(attempt->caller_xid))
	{
		give_to_review(attempt, "restored_without_payment");
		return;
	}
	if (attempt->abandoned_at == 0)
		attempt->abandoned_at = now;
	due = TimestampTzPlusMilliseconds(attempt->abandoned_at, compensation_delay);
	if (now < due)
	{
		if (attempt->next_step_at != due)
			pgw_step_reschedule(attempt, due);
		return;
	}
	bank = pgw_step_bank(attempt, step, false);
	if (bank == NULL)
		return;
	pgw_compensation_begin(PGW_BANK_APPROVED, &d);
	pgw_charge_id_capabilities(bank, attempt->bank_reference, &caps);
	if (!pgw_step_compensation_prepare(attempt, &caps, false, NULL))
	{
		give_to_review(attempt, "bank_cannot_give_back");
		return;
	}
	if (!pgw_step_compensation_call(attempt, step, bank, pgw_step_compensation_operation(attempt)))
		return;
	attempt->refund_request.key_used_at = step->call->said_at;
	attempt->refund_request.asked_at = now;
	attempt->next_step_at = 0;
	pgw_record_decision(attempt, NULL, &d, attempt->refund_operation, NULL);
	PGW_DEBUG_POINT("compensation_apply");
}
