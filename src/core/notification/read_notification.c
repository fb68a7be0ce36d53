/*
 * read_notification.c - what a notification says
 *
 * Invariants: of the body nothing is kept but its digest and texts that hold no card number; what
 * is too long for its place is absent, as half an id names something else; and two notifications
 * have one identity only where each of its parts is the same in both.
 */
#include "core/notification/read_notification.h"

#include <string.h>

#include "core/connector/compiled.h"
#include "core/bank_message/answer_conditions.h"
#include "core/bank_message/answer_fields.h"
#include "core/base/byte_text.h"
#include "core/base/characters.h"
#include "core/base/mutant.h"
#include "core/notification/read_dispute.h"
#include "core/notification/said_text.h"

#define PART_SIZE 1024

static void
digest(const void *bytes, size_t len, char hex[65])
{
	unsigned char sum[PGW_SHA2_MAX];
	PgwBuf text;

	pgw_buf_init(&text, 0);
	pgw_put_hex(&text, sum, pgw_sha2(PGW_SHA256, len > 0 ? bytes : "", len, sum));
	hex[0] = '\0';
	if (!text.failed)
		memcpy(hex, text.data, 65);
	pgw_buf_free(&text);
}

/* What the bank writes where it has no id is none, as in its answers. */
static void
drop_no_id(const PgwConnector *c, char *id)
{
	bool none = id[strspn(id, " ")] == '\0';

	for (int i = 0; !none && i < c->nnot_ids; i++)
		none = strcmp(c->not_ids[i], id) == 0;
	if (none)
		id[0] = '\0';
}

static void
take_amount(const PgwConnector *c, const PgwAnswerBody *body, PgwNotification *out)
{
	PgwQuestion nothing = {.op = PGW_OP_LOOKUP_CHARGE};
	PgwAnswer said = {.has_amount = false};

	pgw_answer_own_amount(c, &c->notifications.said, &nothing, body, NULL, &said);
	out->has_amount = said.has_amount && !said.amount_unreadable;
	out->amount_unreadable = said.amount_unreadable;
	out->amount = said.amount;
	memcpy(out->currency, said.currency, sizeof(out->currency));
}

/* One part: what stands there, as it stands there.  false: nothing does. */
static bool
put_part(const PgwAnswerBody *body, const PgwPointer *place, PgwBuf *parts, char text[PART_SIZE])
{
	PgwJson v;

	if (!pgw_answer_body_follow(body, place, &v) || pgw_json_type(&v) == PGW_JSON_NULL)
		return false;
	(void) pgw_answer_body_text(&v, text, PART_SIZE, false);
	/* JSON says where it ends, so that no two parts can be taken for two others */
	pgw_buf_append(parts, v.text, v.len);
	pgw_buf_puts(parts, "\n");
	return true;
}

void
pgw_notification_identity_is(PgwNotification *said, const char *id)
{
	digest(id, strlen(id), said->identity);
}

/* All of its parts, or nothing: with one missing, two different ones would be the same. */
static void
take_identity(const PgwNotificationSpec *spec, const PgwArrived *n, const PgwAnswerBody *body,
			  PgwNotification *out)
{
	const char *header =
		spec->identity_header != NULL ? pgw_arrived_header(n, spec->identity_header) : NULL;
	char text[PART_SIZE] = "";
	PgwBuf parts;
	bool whole = header != NULL ? *header != '\0' : spec->nidentity > 0;

	pgw_buf_init(&parts, 0);
	if (header != NULL)
		pgw_buf_puts(&parts, header);
	for (int i = 0; i < spec->nidentity && whole; i++)
		whole = put_part(body, &spec->identity[i], &parts, text);
	if (whole && !parts.failed)
		digest(parts.data, parts.len, out->identity);
	if (whole && (header != NULL || spec->nidentity == 1))
	{
		const char *id = header != NULL ? header : text;

		if (strlen(id) < sizeof(out->event_id) && !pgw_has_control(id, ""))
			memcpy(out->event_id, id, strlen(id) + 1);
	}
	pgw_buf_free(&parts);
}

PgwSaidAmount
pgw_notification_compare_amount(const PgwNotification *said, int64_t amount, const char *currency)
{
	if (said->amount_unreadable)
		return PGW_SAID_UNREADABLE;
	if (!said->has_amount)
		return PGW_SAID_NOTHING;
	return said->amount == amount && strcmp(said->currency, currency) == 0 ? PGW_SAID_EQUAL
																		   : PGW_SAID_UNEQUAL;
}

const char *
pgw_said_amount_name(PgwSaidAmount s)
{
	static const char *const names[] = {[PGW_SAID_NOTHING] = NULL,
										[PGW_SAID_EQUAL] = "equal",
										[PGW_SAID_UNEQUAL] = "unequal",
										[PGW_SAID_UNREADABLE] = "unreadable"};

	return names[s];
}

bool
pgw_notification_names(const PgwConnector *c, const PgwNotification *said, const char *reference)
{
	char told[PGW_REFERENCE_SIZE];

	return said->reference[0] != '\0' &&
		   strcasestr(said->reference, pgw_connector_reference(c, reference, told)) != NULL;
}

bool
pgw_notification_is_about(const PgwConnector *c, const PgwNotification *said, const char *reference)
{
	char told[PGW_REFERENCE_SIZE];

	return said->reference[0] != '\0' &&
		   strcmp(said->reference, pgw_connector_reference(c, reference, told)) == 0;
}

/* The first rule that fits. */
static void
take_evidence(const PgwNotificationSpec *spec, const PgwAnswerBody *body, PgwNotification *out)
{
	PgwQuestion nothing = {.op = PGW_OP_LOOKUP_CHARGE};

	for (int i = 0; i < spec->nevidence && !out->is_evidence; i++)
	{
		const PgwEvidenceRule *rule = &spec->evidence[i];

		if (!pgw_answer_conditions_hold(rule->when, rule->nwhen, &nothing, body))
			continue;
		out->is_evidence = true;
		out->about = rule->about;
		out->says = rule->outcome;
		if (rule->has_id)
			pgw_said_id(body, &rule->id, out->operation_reference,
						sizeof(out->operation_reference));
	}
}

static unsigned
changes_of(const PgwNotificationSpec *spec, const char *type)
{
	unsigned what = 0;

	for (int i = 0; i < spec->nchanges; i++)
	{
		if (strcmp(spec->changes[i].type, type) == 0)
			what |= spec->changes[i].what;
	}
	return what;
}

static bool
says_other_mode(const PgwConnector *c, const PgwAnswerBody *body, bool livemode)
{
	PgwQuestion nothing = {.op = PGW_OP_LOOKUP_CHARGE};
	bool live;
	bool test;

	return pgw_answer_says_mode(&c->notifications.said, &nothing, body, &live, &test) &&
		   !(livemode ? live : test) && !PGW_MUTATED(ANSWER_MODE);
}

bool
pgw_notification_other_mode(const PgwConnector *c, const PgwArrived *n, bool livemode)
{
	PgwAnswerBody body;
	bool other;

	pgw_answer_body_read(n->body, n->len, c->notifications.form, &body);
	other = says_other_mode(c, &body, livemode);
	pgw_answer_body_end(&body);
	return other;
}

void
pgw_notification_read(const PgwConnector *c, const PgwArrived *n, bool livemode,
					  PgwNotification *out)
{
	const PgwNotificationSpec *spec = &c->notifications;
	PgwAnswerBody body;
	size_t len;
	const char *one = pgw_arrived_one(n, &len);

	memset(out, 0, sizeof(*out));
	digest(one, len, out->digest);
	pgw_answer_body_read(one, len, spec->form, &body);
	out->readable = pgw_json_type(&body.value) != PGW_JSON_NONE;
	if (out->readable)
	{
		take_identity(spec, n, &body, out);
		if (spec->has_type)
			pgw_said_place(&body, &spec->type, out->type, sizeof(out->type));
		if (spec->has_time)
			pgw_said_place(&body, &spec->time, out->time, sizeof(out->time));
		pgw_said_field(&spec->said, &body, PGW_FIELD_BANK_REFERENCE, out->bank_reference,
					   sizeof(out->bank_reference));
		pgw_said_field(&spec->said, &body, PGW_FIELD_REFERENCE, out->reference,
					   sizeof(out->reference));
		pgw_dispute_read(c, &body, out->bank_reference, sizeof(out->bank_reference), out->reference,
						 sizeof(out->reference), &out->dispute);
		/* what tells of a dispute is nothing else: its amount would count twice */
		if (out->dispute.steps == 0)
		{
			out->changes = changes_of(spec, out->type);
			take_amount(c, &body, out);
			take_evidence(spec, &body, out);
		}
		drop_no_id(c, out->bank_reference);
		drop_no_id(c, out->operation_reference);
		drop_no_id(c, out->dispute.id);
		out->other_mode = !spec->has_items && says_other_mode(c, &body, livemode);
	}
	pgw_answer_body_end(&body);
}
