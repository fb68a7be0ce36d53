/*
 * told_at_bank.c - captures, refunds and voids that pgw has not made, told by a bank that can be
 * asked nothing
 *
 * Carries out pgw_report_told() of core/payment/reported_by_bank.c: the signed notification is what
 * a look-up would show elsewhere (made_at_bank.c), one operation each.  All functions have the row
 * of the charge's attempt locked.
 *
 * Orderings that matter
 *     - Whose the bank's id of the operation is, is looked at and claimed under the payments row's
 *       lock, in the commit that records it: told twice, or made by pgw, it is recorded once.
 *     - What pgw itself has asked for is committed before the bank can tell of it, so it is found
 *       here, read after that lock; while its id is not known the notification waits.
 *     - A notification is seen in that commit, too, so a worker that ends before it is followed by
 *       one that does the same.
 */
#include "postgres.h"

#include "attempt/made_at_bank.h"
#include "attempt/operation_id.h"
#include "attempt/told_at_bank.h"
#include "base/clock.h"
#include "base/debug_points.h"
#include "core/payment/reported_by_bank.h"
#include "store/bank_references.h"
#include "store/changes_at_bank.h"
#include "store/find_attempts.h"
#include "store/tables.h"

static PgwKind
kind_of(PgwBankOp about)
{
	return about == PGW_OP_CAPTURE ? PGW_KIND_CAPTURE
		   : about == PGW_OP_VOID  ? PGW_KIND_VOID
								   : PGW_KIND_REFUND;
}

static bool
is(const char *id, const char *other)
{
	return id != NULL && other != NULL && strcmp(id, other) == 0;
}

/* An id that is the charge's own, or of the capture that is refunded, names no operation. */
static bool
names_operation(const PgwPayment *p, PgwBankOp about, const char *id)
{
	return id != NULL && !is(id, p->bank_reference) &&
		   (about != PGW_OP_REFUND || !is(id, pgw_operation_id_of_capture(p)));
}

static bool
differs(const PgwAttempt *a, const PgwToldChange *told)
{
	return told->about != PGW_OP_VOID && a->kind == kind_of(told->about) && told->has_amount &&
		   (told->amount != a->amount || !is(told->currency, a->currency));
}

/* Whose it is, as far as there is an owner. */
static void
get_owner(const PgwBank *bank, const PgwPayment *p, const PgwToldChange *told, PgwToldInput *in,
		  PgwAttempt *owner)
{
	pg_uuid_t id;

	if (!pgw_store_operation_reference_attempt(bank->account, pgw_op_name(told->about),
											   told->operation_reference, &id))
		return;
	if (!pgw_store_attempt_by_id(&id, owner))
		elog(ERROR, "the attempt that an operation's id belongs to is not there");
	if (memcmp(&owner->payment_id, &p->payment_id, sizeof(pg_uuid_t)) != 0)
		in->owner = PGW_TOLD_ELSEWHERES;
	else
		in->owner = owner->origin != NULL ? PGW_TOLD_BANKS : PGW_TOLD_OURS;
	in->owner_done = owner->status == PGW_COMPLETED;
	in->owner_failed = owner->status == PGW_FAILED;
	in->differs = differs(owner, told);
}

/* Those of pgw's own that the bank may be telling of, for all we know. */
static void
look_for_unnamed(const PgwPayment *p, const PgwToldChange *told, PgwToldInput *in)
{
	PgwAttempt *attempts;
	int n = pgw_store_attempts(&p->payment_id, &attempts);

	for (int i = 0; i < n; i++)
	{
		const PgwAttempt *a = &attempts[i];

		if (a->kind != kind_of(told->about) || a->origin != NULL || a->status == PGW_FAILED ||
			names_operation(p, told->about, a->bank_reference))
			continue;
		if (a->status != PGW_COMPLETED)
			in->own_unnamed_open = true;
		else if (!differs(a, told))
			in->own_unnamed_done = true;
	}
}

/* *owner: the attempt whose operation it is, where one is to be taken back. */
static PgwToldStep
judge(const PgwBank *bank, const PgwPayment *p, const PgwPaymentAmounts *s,
	  const PgwToldChange *told, PgwAttempt *owner)
{
	PgwToldInput in = {.s = s,
					   .currency = p->currency,
					   .about = told->about,
					   .done = told->says == PGW_OUT_APPROVED,
					   .has_amount = told->has_amount,
					   .amount = told->amount,
					   .said_currency = told->currency};

	in.of_other_charge = !is(told->bank_reference, p->bank_reference);
	in.lacks_id = !names_operation(p, told->about, told->operation_reference);
	if (!in.lacks_id)
	{
		in.failed_too = in.done && pgw_store_told_failed(&p->payment_id, told);
		get_owner(bank, p, told, &in, owner);
		look_for_unnamed(p, told, &in);
	}
	return pgw_report_told(&in);
}

static void
record(const PgwAttempt *charge, const PgwBank *bank, const PgwPayment *p, PgwPaymentAmounts *s,
	   const PgwToldChange *told)
{
	PgwAnswer shown = {.captured = -1, .refunded = -1};
	PgwKind kind = kind_of(told->about);
	int64 amount = kind == PGW_KIND_VOID ? p->authorized_amount : told->amount;

	strlcpy(shown.bank_reference, told->operation_reference, sizeof(shown.bank_reference));
	pgw_made_at_bank_record(charge, bank, p, kind, amount, &shown);
	if (kind == PGW_KIND_CAPTURE)
		pgw_payment_bank_captured(amount, s);
	else if (kind == PGW_KIND_REFUND)
		pgw_payment_bank_refunded(amount, s);
	else
		pgw_payment_bank_voided(s);
}

static void
take_back(const PgwPayment *p, const PgwAttempt *refund, PgwPaymentAmounts *s)
{
	PgwAnswer nothing = {.captured = -1, .refunded = -1};

	pgw_made_at_bank_take_back(p, &refund->transaction_id, &nothing);
	pgw_payment_bank_refunded(-refund->amount, s);
}

/* true: the payment has become another. */
static bool
take(const PgwAttempt *charge, PgwStep *step, const PgwBank *bank, const PgwPayment *p,
	 PgwPaymentAmounts *s, const PgwToldChange *told)
{
	PgwAttempt owner;
	PgwToldStep what = judge(bank, p, s, told, &owner);

	if (what == PGW_TOLD_WAITS)
		return false;
	if (what == PGW_TOLD_RECORD)
		record(charge, bank, p, s, told);
	else if (what == PGW_TOLD_TAKE_BACK)
		take_back(p, &owner, s);
	step->contradicted |= what == PGW_TOLD_UNCLEAR;
	pgw_store_change_told(&told->notification_id);
	return what == PGW_TOLD_RECORD || what == PGW_TOLD_TAKE_BACK;
}

void
pgw_step_told_at_bank(PgwAttempt *charge, PgwStep *step, const PgwBank *bank)
{
	PgwToldChange *rows;
	PgwPaymentAmounts s;
	PgwPayment p;
	bool busy = false;
	bool changed = false;
	int n;

	if (!pgw_store_lock_payment(&charge->payment_id, false, &p, &busy))
	{
		step->try_later = busy;
		return;
	}
	/* of a charge that is not the payment's nothing could be recorded */
	if (memcmp(&p.transaction_id, &charge->transaction_id, sizeof(pg_uuid_t)) != 0)
	{
		pgw_store_change_seen(&charge->transaction_id, pgw_now());
		step->contradicted = true;
		return;
	}
	pgw_store_get_amounts(&p, &s);
	n = pgw_store_told_changes(&charge->transaction_id, &rows);
	for (int i = 0; i < n; i++)
		changed |= take(charge, step, bank, &p, &s, &rows[i]);
	/* whatever still waits is not looked at again at once */
	pgw_store_change_later(&charge->transaction_id, pgw_now(), 0);
	if (!changed)
		return;
	pgw_store_set_amounts(&p, &s);
	pgw_store_update_payment(&p);
	step->made_at_bank = true;
	PGW_DEBUG_POINT("told_at_bank");
}
