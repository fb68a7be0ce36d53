/*
 * match_notification.c - which payment a notification is about, and what is to follow from it
 *
 * Reads only.  The endpoint asks when it comes (client_api/receive_notification.c); the worker asks
 * again of those whose payment was not known then (unknown_payment.c).
 */
#include "postgres.h"

#include "miscadmin.h"

#include "base/debug_points.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "core/connector/compiled.h"
#include "core/payment/reported_by_bank.h"
#include "notified/match_notification.h"
#include "store/bank_references.h"
#include "store/find_attempts.h"
#include "store/said_by_bank.h"
#include "store/told_disputes.h"

#define MAX_SEARCHED 10000 /* attempts in doubt: some ten milliseconds */
/* a retry takes an attempt over once, hardly ever twice */
#define READ_TRIES 10

typedef struct Said
{
	const PgwNotification *said;
	bool is_hint;
} Said;

/* ---------------------------------------------------------------- what is it about? */

static bool
is_at(const PgwBank *bank, const PgwAttempt *attempt)
{
	return attempt->bank != NULL && strcmp(attempt->bank, bank->name) == 0;
}

static bool
is_of(const PgwBank *bank, const pg_uuid_t *id, PgwAttempt *attempt)
{
	return pgw_store_attempt_by_id(id, attempt) && is_at(bank, attempt);
}

/*
 * A reference that the bank was told otherwise than as 32 digits can be found only by writing each
 * of ours so: only what is in doubt matters, and of that as much as does not hold up the endpoint.
 * false: none, or two are called so.
 */
static bool
find_as_told(const Said *s, const PgwBank *bank, PgwAttempt *attempt)
{
	pg_uuid_t *ids;
	int n = s->said->reference[0] != '\0' ? pgw_store_in_doubt(bank->name, MAX_SEARCHED, &ids) : 0;
	int found = 0;

	for (int i = 0; i < n && found < 2; i++)
	{
		PgwAttempt one;
		const PgwBank *asked;
		bool unreadable;

		if (!is_of(bank, &ids[i], &one) || one.own_request.key == NULL)
			continue;
		asked = pgw_config_bank_of(one.bank, one.bank_version, &unreadable);
		if (unreadable)
			return false; /* it may be called so, too: matched later */
		if (asked == NULL || asked->connector == NULL ||
			!pgw_notification_names(asked->connector, s->said, one.own_request.key))
			continue;
		*attempt = one;
		found++;
	}
	return found == 1;
}

/* Ours as it is: nothing stands around it. */
static bool
reads_as_id(const char *reference, pg_uuid_t *id)
{
	return strlen(reference) == 2 * UUID_LEN && pgw_uuid_from_text(reference, id->data);
}

/* By our reference, which is the attempt's own id; else by the bank's id of the charge. */
static bool
find_exactly(const Said *s, const PgwBank *bank, PgwAttempt *attempt)
{
	pg_uuid_t id;

	if (reads_as_id(s->said->reference, &id) && is_of(bank, &id, attempt))
		return true;
	return s->said->bank_reference[0] != '\0' &&
		   pgw_store_reference_attempt(bank->account, s->said->bank_reference, &id) &&
		   is_of(bank, &id, attempt);
}

/* Ours as it is, at a bank that has it so: what is not found by it is not found by a search. */
static bool
is_told_whole(const Said *s, const PgwBank *bank)
{
	pg_uuid_t id;

	return bank->connector->references.length == 0 && reads_as_id(s->said->reference, &id);
}

/*
 * ... else by our reference as this bank has it, which is a search: not for anybody who knows the
 * endpoint.
 */
static bool
find_attempt(const Said *s, const PgwBank *bank, PgwAttempt *attempt)
{
	return find_exactly(s, bank, attempt) ||
		   (!s->is_hint && !is_told_whole(s, bank) && find_as_told(s, bank, attempt));
}

/* ... else by the dispute, of which an earlier notification has named the charge. */
static bool
find_by_dispute(const Said *s, const PgwBank *bank, PgwAttempt *attempt)
{
	pg_uuid_t id;

	return s->said->dispute.steps != 0 && s->said->dispute.id[0] != '\0' &&
		   pgw_store_dispute_attempt(bank->account, s->said->dispute.id, &id) &&
		   is_of(bank, &id, attempt);
}

/* The bank may have approved less than was asked for, and said so. */
static PgwSaidAmount
compare_amount(const Said *s, const PgwAttempt *attempt)
{
	PgwSaidAmount asked =
		pgw_notification_compare_amount(s->said, attempt->amount, attempt->currency);

	if (asked != PGW_SAID_UNEQUAL ||
		(attempt->approved_amount == 0 && attempt->approved_currency == NULL))
		return asked;
	return pgw_notification_compare_amount(
		s->said, attempt->approved_amount != 0 ? attempt->approved_amount : attempt->amount,
		attempt->approved_currency != NULL ? attempt->approved_currency : attempt->currency);
}

/* ---------------------------------------------------------------- the bank's word */

static bool
is_named(const Said *s, const PgwBank *bank, const char *key)
{
	return key != NULL && pgw_notification_is_about(bank->connector, s->said, key);
}

/*
 * Which request of the payment it is about, by our own reference of that and nothing else.  One
 * that names the payment only may be of what somebody has done at the bank itself.
 */
static void
find_request(const Said *s, PgwMatch *m, const PgwBank *bank, const PgwAttempt *attempts, int n)
{
	const PgwAttempt *subject = NULL;

	if (!s->said->is_evidence)
		return;
	for (int i = 0; i < n && subject == NULL; i++)
	{
		if (is_at(bank, &attempts[i]) &&
			is_named(s, bank, pgw_store_evidence_key(&attempts[i], s->said->about)))
			subject = &attempts[i];
	}
	if (subject == NULL)
		return;
	m->transaction_id = subject->transaction_id;
	m->amounts = compare_amount(s, subject);
	m->request_key = pgw_store_evidence_key(subject, s->said->about);
	m->outcome = "evidence";
}

/* Kept, or it may be yet. */
static bool
is_kept_charge(const PgwBank *bank, const PgwAttempt *attempt)
{
	return attempt->kind == PGW_KIND_PAYMENT && is_at(bank, attempt) && !attempt->given_up &&
		   attempt->status != PGW_REFUNDING && attempt->status != PGW_REQUIRES_MANUAL_REVIEW;
}

/*
 * The bank's word on an operation that has the charge's own reference: it was made at the bank's
 * own pages, as whatever pgw asks for has a reference of its own.  A capture of which no id is told
 * may be that of the charge itself.  Whether it names the charge is looked at when that is at rest:
 * its id may not be known yet.
 */
static void
find_told(const Said *s, PgwMatch *m, const PgwBank *bank, const PgwAttempt *attempts, int n)
{
	const PgwNotification *said = s->said;

	if (!said->is_evidence || said->about == PGW_OP_CHARGE ||
		(said->about == PGW_OP_CAPTURE && said->operation_reference[0] == '\0'))
		return;
	for (int i = 0; i < n; i++)
	{
		const PgwAttempt *charge = &attempts[i];

		if (!is_kept_charge(bank, charge) || !is_named(s, bank, charge->own_request.key))
			continue;
		m->change = m->told = true;
		m->transaction_id = charge->transaction_id;
		m->amounts = said->amount_unreadable ? PGW_SAID_UNREADABLE : PGW_SAID_NOTHING;
		m->outcome = "change";
	}
}

/*
 * A charge that is kept, or may yet be: how it stands at the bank is asked once it is at rest.  Of
 * what every payment's own steps cause nothing is asked.
 */
static void
find_change(const Said *s, PgwMatch *m, const PgwBank *bank, const PgwAttempt *attempts, int n)
{
	for (int i = 0; i < n && s->said->changes != 0; i++)
	{
		const PgwAttempt *charge = &attempts[i];
		PgwPayment p;

		if (!is_kept_charge(bank, charge))
			continue;
		if (charge->status == PGW_COMPLETED &&
			(!pgw_store_payment_by_id(&charge->payment_id, &p) ||
			 !pgw_report_change_matters(s->said->changes, p.status)))
			continue;
		m->change = true;
		m->transaction_id = charge->transaction_id;
		m->outcome = "change";
	}
}

/*
 * The charge that is disputed: the payment's, or if pgw has not kept one, that which was found.
 * The worker records it, once it is Completed.
 */
static void
find_disputed(PgwMatch *m, const PgwBank *bank, const PgwAttempt *attempts, int n)
{
	m->amounts = PGW_SAID_NOTHING;
	m->outcome = "dispute";
	for (int i = 0; i < n; i++)
	{
		if (attempts[i].kind == PGW_KIND_PAYMENT && is_at(bank, &attempts[i]) &&
			attempts[i].status == PGW_COMPLETED)
			m->transaction_id = attempts[i].transaction_id;
	}
}

/*
 * All attempts of the payment that it is of.  A retry may take it over between our two reads: then
 * it is of another payment, and read again.  That it cannot be for ever: each time a caller comes
 * with the same id, and at most one of them can keep it.
 */
static int
attempts_beside(const PgwBank *bank, PgwAttempt *attempt, PgwAttempt **attempts)
{
	pg_uuid_t id = attempt->transaction_id;

	PGW_DEBUG_POINT("notification_attempt_read");
	for (int tries = 0; tries < READ_TRIES; tries++)
	{
		int n = pgw_store_attempts(&attempt->payment_id, attempts);

		for (int i = 0; i < n; i++)
		{
			if (memcmp(&(*attempts)[i].transaction_id, &id, sizeof(id)) == 0)
				return n;
		}
		if (PGW_MUTATED(NOTIFIED_TAKEN_OVER) || !is_of(bank, &id, attempt))
			break;
		CHECK_FOR_INTERRUPTS();
	}
	return 0;
}

/* What of the payment is in doubt: about nothing else could the bank say anything that matters. */
void
pgw_match_notification(const PgwNotification *said, bool is_hint, const PgwBank *bank, PgwMatch *m)
{
	const Said *s = &(Said){said, is_hint};
	PgwAttempt *attempts;
	PgwAttempt attempt;
	int n;

	memset(m, 0, sizeof(*m));
	m->outcome = "unknown_payment";
	m->card_last4 = "";
	/* of a hint nothing is recorded: the connector has none */
	m->dispute = said->dispute.steps != 0;
	if (!find_attempt(s, bank, &attempt) && !find_by_dispute(s, bank, &attempt))
		return;
	n = attempts_beside(bank, &attempt, &attempts);
	m->has_payment = true;
	m->payment_id = attempt.payment_id;
	m->transaction_id = attempt.transaction_id;
	if (attempt.card_last4 != NULL)
		m->card_last4 = attempt.card_last4;
	m->amounts = compare_amount(s, &attempt);
	m->outcome = "nothing_open";
	if (m->dispute)
	{
		find_disputed(m, bank, attempts, n);
		return;
	}
	find_request(s, m, bank, attempts, n);
	if (m->request_key != NULL)
		return;
	find_told(s, m, bank, attempts, n);
	find_change(s, m, bank, attempts, n);
	m->in_doubt = attempts;
	for (int i = 0; i < n; i++)
	{
		bool open = attempts[i].status == PGW_BANK_UNKNOWN ||
					(attempts[i].status == PGW_SAVED && attempts[i].accepted_at != 0);

		if (open && is_at(bank, &attempts[i]))
			attempts[m->nin_doubt++] = attempts[i];
	}
	if (m->nin_doubt > 0)
		m->outcome = "asked";
}

/* ---------------------------------------------------------------- what follows */

static void
add(const pg_uuid_t *transaction_id, const char *bank_reference, PgwMatched *out, int most, int *n)
{
	if (*n == most)
		return;
	out[*n].transaction_id = *transaction_id;
	strlcpy(out[*n].bank_reference, bank_reference, sizeof(out[*n].bank_reference));
	(*n)++;
}

int
pgw_match_follow_ups(const PgwMatch *m, const PgwNotification *said, bool is_hint, PgwMatched *out,
					 int most)
{
	int n = 0;

	if (m->request_key != NULL || m->change || (m->dispute && m->has_payment))
		add(&m->transaction_id, "", out, most, &n);
	for (int i = 0; i < m->nin_doubt; i++)
		add(&m->in_doubt[i].transaction_id,
			m->in_doubt[i].kind == PGW_KIND_PAYMENT && !is_hint ? said->bank_reference : "", out,
			most, &n);
	return n;
}
