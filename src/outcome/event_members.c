/*
 * event_members.c - what is put into the event_data of one event, and what the first one tells
 *
 * Owns: the members of TransactionStarted and TransactionAdopted.  They are evidence: the rows of
 * payments and attempts can be checked by them (pgw.check_consistency()), never the other way
 * round.  What was asked for stands there in full, but for the token, what is stored of the card
 * and the merchant's reference: of those there is the digest, by which a row can be proven.
 */
#include "postgres.h"

#include "base/compat.h"
#include "core/base/sha2.h"
#include "core/base/uuid7.h"
#include "core/request/trace_context.h"
#include "outcome/event_members.h"

void
pgw_event_members_into(const PgwEventMembers *m, PgwEvent *event)
{
	event->members = m->members;
	event->nmembers = m->n;
	event->names_payment = m->names_payment;
	event->digest = m->has_digest ? m->digest : NULL;
}

void
pgw_event_members_add(PgwEventMembers *m, PgwEventMember member)
{
	Assert(m->n < lengthof(m->members));
	m->members[m->n++] = member;
}

void
pgw_event_members_add_string(PgwEventMembers *m, const char *name, const char *value)
{
	if (value != NULL && value[0] != '\0')
		pgw_event_members_add(
			m, (PgwEventMember){.name = name, .kind = PGW_MEMBER_STRING, .text = value});
}

void
pgw_event_members_add_number(PgwEventMembers *m, const char *name, int64 number)
{
	pgw_event_members_add(
		m, (PgwEventMember){.name = name, .kind = PGW_MEMBER_NUMBER, .number = number});
}

void
pgw_event_members_add_actor(PgwEventMembers *m, const PgwActor *actor)
{
	PgwActorPart parts[PGW_ACTOR_PARTS];
	int n = actor != NULL ? pgw_actor_parts(actor, parts) : 0;

	for (int i = 0; i < n; i++)
		pgw_event_members_add_string(m, parts[i].name, parts[i].value);
	if (actor != NULL && actor->says.not_a_card[0] != '\0')
		pgw_event_members_add(m, (PgwEventMember){.name = "not_a_card",
												  .kind = PGW_MEMBER_JSON,
												  .text = actor->says.not_a_card});
}

void
pgw_record_identity(const PgwAttempt *attempt, PgwIdentity *out)
{
	bool card = attempt->token == NULL;

	out->amount = attempt->amount;
	out->currency = attempt->currency;
	out->token = attempt->token;
	out->card_last4 = card ? attempt->card_last4 : NULL;
	out->card_expiry_month = card ? attempt->card_expiry_month : 0;
	out->card_expiry_year = card ? attempt->card_expiry_year : 0;
	out->bank = attempt->bank_requested;
	out->capture = attempt->capture;
	out->reference = attempt->reference;
	out->livemode = attempt->livemode;
}

/* SHA-256 of what decides whether a request under this id is the same one. */
static void
put_digest(const PgwAttempt *attempt, unsigned char *out)
{
	PgwIdentity identity;
	PgwBuf text;
	unsigned char digest[PGW_SHA2_MAX];
	char payment_id[37];
	bool failed;

	/* malloc'd memory, and the digest is the core's: nothing in between can raise */
	pgw_buf_init(&text, 0);
	if (attempt->kind == PGW_KIND_PAYMENT)
	{
		pgw_record_identity(attempt, &identity);
		pgw_identity_text(&identity, &text);
	}
	else
	{
		pgw_uuid_to_text(attempt->payment_id.data, payment_id);
		pgw_operation_identity_text(payment_id, attempt->amount, attempt->final_capture,
									attempt->reason, &text);
	}
	failed = text.failed;
	(void) pgw_sha2(PGW_SHA256, text.data, text.len, digest);
	pgw_buf_free(&text);
	if (failed)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	memcpy(out, digest, PGW_EVENT_DIGEST_LEN);
}

static void
put_trace(PgwEventMembers *m, const char *bank_fields)
{
	PgwTrace trace;

	if (!pgw_trace_of_fields(bank_fields, &trace))
		return;
	pgw_event_members_add_string(m, "traceparent", pstrdup(trace.parent));
	if (trace.state[0] != '\0')
		pgw_event_members_add_string(m, "tracestate", pstrdup(trace.state));
}

void
pgw_event_members_started(PgwEventMembers *m, const PgwAttempt *attempt)
{
	m->n = 0;
	m->names_payment = m->has_digest = true;
	put_digest(attempt, m->digest);
	pgw_event_members_add_string(m, "merchant", attempt->merchant);
	pgw_event_members_add_string(m, "client_request_id", attempt->client_request_id);
	pgw_event_members_add_number(m, "amount", attempt->amount);
	pgw_event_members_add_string(m, "currency", attempt->currency);
	if (attempt->kind == PGW_KIND_PAYMENT && attempt->capture != PGW_CAPTURE_IMMEDIATE)
		pgw_event_members_add_string(m, "capture", pgw_capture_name(attempt->capture));
	if (attempt->kind == PGW_KIND_CAPTURE && !attempt->final_capture)
		pgw_event_members_add(
			m, (PgwEventMember){.name = "final", .kind = PGW_MEMBER_BOOLEAN, .number = false});
	if (attempt->despite_dispute)
		pgw_event_members_add(m, (PgwEventMember){.name = PGW_DESPITE_DISPUTE,
												  .kind = PGW_MEMBER_BOOLEAN,
												  .number = true});
	pgw_event_members_add_string(m, "origin", attempt->origin);
	put_trace(m, attempt->bank_fields);
	pgw_event_members_add_actor(m, attempt->actor);
}

void
pgw_event_members_adopted(PgwEventMembers *m, const PgwAttempt *attempt)
{
	m->n = 0;
	m->names_payment = true;
	m->has_digest = false;
	pgw_event_members_add_actor(m, attempt->actor);
}
