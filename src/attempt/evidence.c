/*
 * evidence.c - what a bank that can be asked nothing has said of an attempt by itself
 *
 * Carries out core/payment/evidence_rules.c.  A notification that is evidence is no way of its own
 * into the tables: it becomes an answer to the operation's request, as if that had come back late,
 * and goes the way of all answers (queue/bank_answers.c, dispatch.c), where amount, currency and
 * whose charge it is are looked at.  All functions have the attempt's row locked.
 *
 * Orderings that matter
 *     - The endpoint's row is committed before the bank is answered; the worker only reads it here.
 *       So a worker or server that is killed at any point finds it again.
 *     - That it was used is in the commit of what it did.  An attempt has one call at a time, and
 *       this is one, so nothing is taken twice; and a second one finds the state that the first has
 *       made.
 *     - Locks: the attempt's row, then the notification's, which only the worker and a purge lock,
 *       then the payments row as with any answer; none is waited for.
 */
#include "postgres.h"

#include "attempt/charge_id.h"
#include "attempt/evidence.h"
#include "attempt/requested_operation.h"
#include "attempt/unknown_outcome.h"
#include "attempt/watch_after_end.h"
#include "base/clock.h"
#include "core/base/money.h"
#include "core/base/mutant.h"
#include "core/payment/evidence_rules.h"
#include "store/bank_references.h"
#include "store/said_by_bank.h"

static bool
is_of_now(const PgwAttempt *attempt, const PgwEvidence *e)
{
	const char *key = pgw_store_evidence_key(attempt, e->about);

	return key != NULL && e->request_key != NULL && strcmp(key, e->request_key) == 0;
}

static bool
is_of_bank(const PgwAttempt *attempt, const PgwEvidence *e)
{
	return e->bank != NULL && strcmp(e->bank, attempt->bank) == 0;
}

/* Of the same operation, by the request that the attempt has for it now, and of the same bank. */
static bool
is_beside(const PgwAttempt *attempt, const PgwEvidence *first, const PgwEvidence *e)
{
	return e->about == first->about && is_of_now(attempt, e) && strcmp(e->bank, first->bank) == 0;
}

static bool
lacks_amount(const PgwEvidence *e)
{
	return pgw_evidence_needs_amount(e->about) &&
		   (!e->has_amount || e->amount_unreadable || e->currency == NULL);
}

/*
 * Does it name another charge than the one that it would have to be about?  Of the charge itself
 * the first id that is named is its own, if nobody else has it, which its answer's way looks at
 * (charge_id.c).  A former bank has ids of its own.
 */
static bool
names_other_charge(const PgwAttempt *attempt, const PgwBank *bank, const PgwEvidence *e)
{
	if (e->bank_reference == NULL || !is_of_bank(attempt, e))
		return false;
	if (e->about != PGW_OP_CHARGE)
		return pgw_charge_id_is_others(bank, attempt, e->bank_reference);
	/* a no may have an id of its own */
	return e->says == PGW_OUT_APPROVED && pgw_charge_id_claimed_by(bank, attempt) != NULL &&
		   strcmp(attempt->bank_reference, e->bank_reference) != 0;
}

/* Two deliveries, for all we know, and not two of them that were done. */
static bool
same_one(const PgwEvidence *a, const PgwEvidence *b)
{
	return a->identity == NULL || b->identity == NULL || strcmp(a->identity, b->identity) == 0;
}

static bool
same_amount(const PgwEvidence *a, const PgwEvidence *b)
{
	return a->has_amount == b->has_amount && a->amount == b->amount &&
		   (a->currency == NULL || b->currency == NULL ? a->currency == b->currency
													   : strcmp(a->currency, b->currency) == 0);
}

/* No success that waits is left without a failure before it, and who has sent them is sure. */
static bool
is_proved_later(const PgwAttempt *attempt, const PgwEvidence *rows, int n, const PgwEvidence *first)
{
	for (int i = 0; i < n; i++)
	{
		const PgwEvidence *done = &rows[i];

		if (!done->waiting || done->says != PGW_OUT_APPROVED || !is_beside(attempt, first, done))
			continue;
		for (int k = 0; k < n; k++)
		{
			const PgwEvidence *failed = &rows[k];

			if (failed->says != PGW_OUT_APPROVED && is_beside(attempt, first, failed) &&
				(!done->proved_twice || !failed->proved_twice || done->time == NULL ||
				 failed->time == NULL || !pgw_evidence_later(done->time, failed->time)))
				return false;
		}
	}
	return true;
}

/* All that has come of the same request as the first. */
static void
get_facts(const PgwAttempt *attempt, const PgwBank *bank, const PgwEvidence *rows, int n,
		  const PgwEvidence *first, PgwEvidenceFacts *f)
{
	const PgwEvidence *done = NULL;

	memset(f, 0, sizeof(*f));
	f->kind = attempt->kind;
	f->state = attempt->status;
	f->accepted = attempt->accepted_at != 0;
	f->about = first->about;
	f->part_of_charge = pgw_store_captured_by_charge(attempt);
	f->of_former_bank = !is_of_bank(attempt, first);
	f->proved_later = is_proved_later(attempt, rows, n, first);
	for (int i = 0; i < n; i++)
	{
		bool approved = rows[i].says == PGW_OUT_APPROVED;

		if (!is_beside(attempt, first, &rows[i]))
			continue;
		f->says_done |= rows[i].waiting && approved;
		f->says_failed |= rows[i].waiting && !approved;
		f->said_failed |= !rows[i].waiting && !approved;
		f->of_other_charge |= rows[i].waiting && names_other_charge(attempt, bank, &rows[i]);
		if (!approved)
			continue;
		f->lacks_amount |= rows[i].waiting && lacks_amount(&rows[i]);
		f->differ |= done != NULL && !same_amount(done, &rows[i]);
		f->twice |= done != NULL && !same_one(done, &rows[i]);
		done = &rows[i];
	}
}

static void
mark(const PgwAttempt *attempt, PgwEvidence *rows, int n, const PgwEvidence *first,
	 const char *becomes)
{
	for (int i = 0; i < n; i++)
	{
		if (!rows[i].waiting || !is_beside(attempt, first, &rows[i]))
			continue;
		pgw_store_evidence_is(&rows[i].notification_id, becomes);
		rows[i].waiting = false;
	}
}

/* What a success that is believed has overtaken; people are told. */
static void
overtake_failures(const PgwAttempt *attempt, PgwStep *step, PgwEvidence *rows, int n,
				  const PgwEvidence *first)
{
	for (int i = 0; i < n; i++)
	{
		if (!rows[i].waiting || rows[i].says == PGW_OUT_APPROVED ||
			!is_beside(attempt, first, &rows[i]))
			continue;
		pgw_store_evidence_is(&rows[i].notification_id, "contradicts");
		rows[i].waiting = false;
		step->contradicted = true;
	}
}

/* ---------------------------------------------------------------- as an answer */

static void
put_answer(const PgwEvidence *e, PgwOutcome says, PgwAnswer *a)
{
	memset(a, 0, sizeof(*a));
	a->outcome = says;
	a->captured = a->refunded = -1;
	a->retry_after_s = -1;
	/* one without is no success of what moves money, and goes to review; here, too, it is none */
	a->amount_unreadable =
		says == PGW_OUT_APPROVED && lacks_amount(e) && !PGW_MUTATED(EVIDENCE_AMOUNT);
	a->has_amount = e->has_amount && !PGW_MUTATED(EVIDENCE_AMOUNT);
	a->amount = a->has_amount ? e->amount : 0;
	if (a->has_amount && e->currency != NULL)
		strlcpy(a->currency, e->currency, sizeof(a->currency));
	/* of the charge itself: of what follows it the bank has ids of its own */
	if (e->about == PGW_OP_CHARGE && e->bank_reference != NULL)
		strlcpy(a->bank_reference, e->bank_reference, sizeof(a->bank_reference));
	/* claimed as of any answer: what is told with it later was made by pgw (told_at_bank.c) */
	if (e->about != PGW_OP_CHARGE && e->operation_reference != NULL && says == PGW_OUT_APPROVED)
		strlcpy(a->bank_reference, e->operation_reference, sizeof(a->bank_reference));
}

/*
 * An answer to the operation's own request; of a charge, and of a refund that is taken back, one
 * such as a look-up would bring.
 */
static PgwBankOp
answers_what(const PgwEvidence *e, PgwEvidenceStep what)
{
	if (what == PGW_EVIDENCE_REVERSED)
		return PGW_OP_LOOKUP_REFUND;
	return e->about == PGW_OP_CHARGE ? PGW_OP_LOOKUP_CHARGE : e->about;
}

static void
take(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, const PgwEvidence *e, PgwEvidenceStep what)
{
	const PgwCurrency *currency = pgw_currency_find(attempt->currency);
	PgwCall *call = pgw_call_new(&attempt->transaction_id, &attempt->payment_id,
								 &attempt->correlation_id, attempt->submitted);

	step->call = call; /* an ERROR from here on frees it */
	call->evidence = true;
	call->evidence_id = e->notification_id;
	call->evidence_state = attempt->status;
	call->op = answers_what(e, what);
	call->in_doubt = e->about == PGW_OP_CHARGE;
	call->iso_exponent = currency != NULL ? currency->exponent : 0;
	strlcpy(call->currency, attempt->currency, sizeof(call->currency));
	if (attempt->kind == PGW_KIND_PAYMENT && attempt->bank_reference != NULL)
		strlcpy(call->bank_reference, attempt->bank_reference, sizeof(call->bank_reference));
	strlcpy(call->bank_name, bank->name, sizeof(call->bank_name));
	pgw_config_hold(bank);
	call->bank = bank;
	call->transport = PGW_TRANSPORT_ANSWERED;
	put_answer(e, what == PGW_EVIDENCE_DONE ? PGW_OUT_APPROVED : PGW_OUT_DECLINED, &call->answer);
}

void
pgw_evidence_taken(const PgwCall *call)
{
	pgw_store_evidence_used(&call->evidence_id);
}

/* ---------------------------------------------------------------- the step */

static void
review(PgwAttempt *attempt, const PgwEvidence *e, const char *reason)
{
	if (e->about == PGW_OP_CHARGE)
	{
		pgw_step_charge_review(attempt, reason);
		return;
	}
	/* its claim on the payment stays: it may have been done */
	pgw_step_review(attempt, "outcome_unknown", reason, pgw_op_name(e->about), 0);
	pgw_operation_tell_review(attempt);
}

/*
 * While a person looks, the charge that the bank says it has taken is this attempt's: another
 * payment that is answered with its id must not become its owner.  One that has an owner is not
 * ours to claim, and what is said of it no less a person's to judge.  false: somebody is writing
 * just now whose it is.
 */
static bool
claim_charge(PgwAttempt *attempt, const PgwBank *bank, const PgwEvidence *e)
{
	PgwOwner owner;

	if (e->about != PGW_OP_CHARGE || e->says != PGW_OUT_APPROVED || e->bank_reference == NULL ||
		!is_of_bank(attempt, e) || PGW_MUTATED(EVIDENCE_UNCLAIMED))
		return true;
	owner = pgw_store_claim_reference(bank->account, e->bank_reference, &attempt->transaction_id,
									  false);
	/* one that pends keeps the id that it is known by */
	if (owner == PGW_OWNER_SELF &&
		(attempt->status == PGW_FAILED || pgw_charge_id_claimed_by(bank, attempt) == NULL))
		attempt->bank_reference = pstrdup(e->bank_reference);
	return owner != PGW_OWNER_BUSY;
}

/* It counts as failed, and its caller may have gone on from there.  false: later. */
static bool
late_review(PgwAttempt *attempt, PgwStep *step, const PgwEvidence *e, const char *reason)
{
	if (attempt->kind != PGW_KIND_PAYMENT)
		return pgw_step_operation_late_review(attempt, step, reason, PGW_EVIDENCE_UNCLAIMED);
	pgw_step_charge_late_review(attempt, reason);
	return true;
}

static const PgwEvidence *
first_of(const PgwAttempt *attempt, const PgwEvidence *rows, int n, const PgwEvidence *first,
		 PgwEvidenceStep what)
{
	PgwOutcome says = what == PGW_EVIDENCE_DONE ? PGW_OUT_APPROVED : PGW_OUT_DECLINED;

	for (int i = 0; i < n; i++)
	{
		if (rows[i].waiting && rows[i].says == says && is_beside(attempt, first, &rows[i]))
			return &rows[i];
	}
	return first;
}

/*
 * Nothing that could still matter: what was made anew has another reference (what was not made yet
 * has none), and a no of the bank that does not have the attempt any more is not the no of the one
 * that has it.
 */
static bool
is_superseded(const PgwAttempt *attempt, const PgwEvidence *e)
{
	if (!is_of_now(attempt, e))
		return pgw_store_evidence_key(attempt, e->about) != NULL;
	return !is_of_bank(attempt, e) && e->says != PGW_OUT_APPROVED;
}

/* The bank took it back.  false: its amounts do not allow that, and people are told. */
static bool
capture_reversed(PgwAttempt *attempt, PgwStep *step, PgwEvidence *rows, int n,
				 const PgwEvidence *first)
{
	if (!pgw_step_capture_reversed(attempt, step))
		return true; /* later */
	mark(attempt, rows, n, first, attempt->status == PGW_COMPLETED ? "contradicts" : "used");
	return attempt->status != PGW_COMPLETED;
}

/* One that waits, and what is beside it.  true: this visit has something to do with it. */
static bool
judge(PgwAttempt *attempt, PgwStep *step, PgwBank *bank, PgwEvidence *rows, int n,
	  PgwEvidence *first)
{
	PgwEvidenceFacts facts;
	PgwEvidenceStep what;

	if (is_superseded(attempt, first))
	{
		pgw_store_evidence_is(&first->notification_id, "superseded");
		first->waiting = false;
	}
	if (!first->waiting || !is_of_now(attempt, first))
		return false;
	get_facts(attempt, bank, rows, n, first, &facts);
	what = pgw_evidence_step(&facts);
	switch (what)
	{
		case PGW_EVIDENCE_WAITS:
			return false;
		case PGW_EVIDENCE_DONE:
			overtake_failures(attempt, step, rows, n, first);
			take(attempt, step, bank, first_of(attempt, rows, n, first, what), what);
			return true;
		case PGW_EVIDENCE_REVERSED:
			if (attempt->kind == PGW_KIND_CAPTURE)
				return capture_reversed(attempt, step, rows, n, first);
			take(attempt, step, bank, first_of(attempt, rows, n, first, what), what);
			return true;
		case PGW_EVIDENCE_FAILED:
			take(attempt, step, bank, first_of(attempt, rows, n, first, what), what);
			return true;
		case PGW_EVIDENCE_AGREES:
			mark(attempt, rows, n, first, "agrees");
			return false;
		case PGW_EVIDENCE_CONTRADICTS:
			mark(attempt, rows, n, first, "contradicts");
			step->contradicted = true;
			return false;
		case PGW_EVIDENCE_REVIEW:
			if (!claim_charge(attempt, bank, first_of(attempt, rows, n, first, PGW_EVIDENCE_DONE)))
				return true;
			mark(attempt, rows, n, first, "used");
			review(attempt, first, pgw_evidence_reason(&facts));
			return true;
		case PGW_EVIDENCE_LATE:
			if (claim_charge(attempt, bank, first_of(attempt, rows, n, first, PGW_EVIDENCE_DONE)) &&
				late_review(attempt, step, first, pgw_evidence_reason(&facts)))
				mark(attempt, rows, n, first, "contradicts");
			return true;
	}
	return false;
}

/* What is told of a reversal's refund is told of the reversal, which is what was asked for. */
static void
name_operations(const PgwAttempt *attempt, PgwEvidence *rows, int n)
{
	const char *otherwise = attempt->refund_operation;

	if (otherwise == NULL || strcmp(otherwise, pgw_op_name(PGW_OP_REVERSE)) != 0)
		return;
	for (int i = 0; i < n; i++)
	{
		if (rows[i].about == PGW_OP_REFUND)
			rows[i].about = PGW_OP_REVERSE;
	}
}

bool
pgw_step_evidence(PgwAttempt *attempt, PgwStep *step)
{
	PgwEvidence *rows;
	PgwBank *bank;
	bool unreadable;
	int n;

	if (attempt->bank == NULL || attempt->bank_version == 0)
		return false; /* nothing was sent yet */
	bank = pgw_config_bank_of(attempt->bank, attempt->bank_version, &unreadable);
	if (bank == NULL || bank->connector == NULL || !pgw_connector_has_evidence(bank->connector))
		return false;
	n = pgw_store_evidence(&attempt->transaction_id, &rows);
	name_operations(attempt, rows, n);
	/* one that is too early does not hide the next */
	for (int i = 0; i < n; i++)
	{
		if (rows[i].waiting && judge(attempt, step, bank, rows, n, &rows[i]))
			return true;
	}
	return false;
}
