/*
 * event_data.c - what an event says beside its columns
 *
 * Each thing is said once, where it is set first.  What has always the same form, and is long as a
 * member of JSON, has columns of its own (PgwEventFacts).  The first event says what holds for the
 * attempt to its end: the form (v), the correlation id, and the attempt's own operation.  The bank
 * and the number of requests are said by the first event, and by each one that finds them changed;
 * the bank also by each event until something is sent, as another one may take the attempt without
 * an event till then.  Another operation (a look-up, the give-back) is said by each event that is
 * about it.  A reader loses nothing by that: pgw_event_in_full() here, and the view
 * pgw.events_in_full in SQL, say again at each event what holds there.
 *
 * Owns: the form of event_data.  Locks: none.
 * Invariant: once something was sent, what of an attempt's row an event would have to say changes
 * only together with an event (pgw_store_update_attempt() asserts it), so the row as it was read
 * is what the events so far have said.
 */
#include "postgres.h"

#include "common/base64.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/compat.h"
#include "core/base/uuid7.h"
#include "core/payment/charge_rules.h"
#include "store/event_data.h"
#include "store/events.h"
#include "store/tables.h"

/* ---- an object, member by member ---- */

static void
add_member(PgwJsonbState *state, const char *name, JsonbValue *value)
{
	JsonbValue key = {.type = jbvString,
					  .val.string = {.len = strlen(name), .val = unconstify(char *, name)}};

	pgw_push_jsonb(state, WJB_KEY, &key);
	pgw_push_jsonb(state, WJB_VALUE, value);
}

/* NULL: a JSON null. */
static void
add_string(PgwJsonbState *state, const char *name, const char *value)
{
	JsonbValue v = {.type = jbvNull};

	if (value != NULL)
		v = (JsonbValue){.type = jbvString,
						 .val.string = {.len = strlen(value), .val = unconstify(char *, value)}};
	add_member(state, name, &v);
}

static void
add_number(PgwJsonbState *state, const char *name, int64 value)
{
	JsonbValue v = {.type = jbvNumeric, .val.numeric = int64_to_numeric(value)};

	add_member(state, name, &v);
}

static void
add_boolean(PgwJsonbState *state, const char *name, bool value)
{
	JsonbValue v = {.type = jbvBool, .val.boolean = value};

	add_member(state, name, &v);
}

static void
add_json(PgwJsonbState *state, const char *name, const char *text)
{
	Jsonb *object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	JsonbValue v = {.type = jbvBinary,
					.val.binary = {.len = VARSIZE(object) - VARHDRSZ, .data = &object->root}};

	add_member(state, name, &v);
}

static void
add(PgwJsonbState *state, const PgwEventMember *m)
{
	switch (m->kind)
	{
		case PGW_MEMBER_STRING:
			add_string(state, m->name, m->text);
			break;
		case PGW_MEMBER_NUMBER:
			add_number(state, m->name, m->number);
			break;
		case PGW_MEMBER_BOOLEAN:
			add_boolean(state, m->name, m->number != 0);
			break;
		case PGW_MEMBER_JSON:
			add_json(state, m->name, m->text);
			break;
	}
}

/* NULL when it has no member. */
static Jsonb *
finish(PgwJsonbState *state)
{
	pgw_push_jsonb(state, WJB_END_OBJECT, NULL);
	return state->result->val.object.nPairs == 0 ? NULL : JsonbValueToJsonb(state->result);
}

/* ---- what is new ---- */

/*
 * Is it the operation that the first event has named?  A payment that is captured after the commit
 * may have been begun by a call that would authorize, and be taken over by one that charges at
 * once; so its events each name theirs.
 */
static bool
is_own_operation(const PgwAttempt *attempt, const char *operation)
{
	const char *own;

	if (attempt->kind != PGW_KIND_PAYMENT)
		own = pgw_kind_name(attempt->kind);
	else if (attempt->capture == PGW_CAPTURE_ON_COMMIT)
		return false;
	else
		own = pgw_op_name(pgw_charge_operation(attempt->capture, attempt->submitted));
	return strcmp(operation, own) == 0;
}

bool
pgw_event_bank_is_told(const PgwAttempt *attempt)
{
	return attempt->told_requests_sent > 0 && attempt->told_bank != NULL && attempt->bank != NULL &&
		   strcmp(attempt->bank, attempt->told_bank) == 0;
}

PgwEventFacts
pgw_event_facts(const PgwAttempt *attempt, const PgwEvent *event)
{
	PgwEventFacts f = {.has_payment_id = event->names_payment,
					   .has_correlation_id = event->from == PGW_STATE_NONE,
					   .has_digest = event->digest != NULL};

	if (f.has_payment_id)
		f.payment_id = attempt->payment_id;
	if (f.has_correlation_id)
		f.correlation_id = attempt->correlation_id;
	if (f.has_digest)
		memcpy(f.digest, event->digest, PGW_EVENT_DIGEST_LEN);
	if (event->type == PGW_EV_BANK_PROCESSING_STARTED)
		f.bank_version = attempt->bank_version;
	return f;
}

/* Of one event, beside those that its writer gives it. */
#define MAX_OWN_MEMBERS 4

typedef struct Members
{
	int n;
	PgwEventMember *all;
} Members;

/* Does jsonb keep this name after the other one? */
static bool
comes_after(const char *name, const char *other)
{
	size_t len = strlen(name);
	size_t other_len = strlen(other);

	return len != other_len ? len > other_len : memcmp(name, other, len) > 0;
}

/*
 * In the order in which jsonb keeps them: it looks for that first, and sorts what is not so, which
 * took more than all else here.
 */
static void
put(Members *m, PgwEventMember member)
{
	int i = m->n++;

	for (; i > 0 && comes_after(m->all[i - 1].name, member.name); i--)
		m->all[i] = m->all[i - 1];
	m->all[i] = member;
}

static void
put_string(Members *m, const char *name, const char *value)
{
	put(m, (PgwEventMember){.name = name, .kind = PGW_MEMBER_STRING, .text = value});
}

static void
put_number(Members *m, const char *name, int64 value)
{
	put(m, (PgwEventMember){.name = name, .kind = PGW_MEMBER_NUMBER, .number = value});
}

/* Put together as what it is: parsing a text of it took a twelfth of the worker's time. */
Jsonb *
pgw_event_data(const PgwAttempt *attempt, const PgwEvent *event)
{
	bool first = event->from == PGW_STATE_NONE;
	Members members = {.all = palloc((MAX_OWN_MEMBERS + event->nmembers) * sizeof(PgwEventMember))};
	PgwJsonbState state = {0};

	if (first)
		put_number(&members, "v", 1);
	if (first || attempt->requests_sent != attempt->told_requests_sent)
		put_number(&members, "requests_sent", attempt->requests_sent);
	if (event->operation != NULL && (first || !is_own_operation(attempt, event->operation)))
		put_string(&members, "operation", event->operation);
	if (attempt->bank != NULL && !pgw_event_bank_is_told(attempt))
		put_string(&members, "bank", attempt->bank);
	Assert(members.n <= MAX_OWN_MEMBERS);
	for (int i = 0; i < event->nmembers; i++)
		put(&members, event->members[i]);

	if (members.n == 0)
		return NULL;
	pgw_push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < members.n; i++)
		add(&state, &members.all[i]);
	return finish(&state);
}

void
pgw_event_data_told(PgwAttempt *attempt)
{
	attempt->told_bank = attempt->bank;
	attempt->told_requests_sent = attempt->requests_sent;
}

/* ---- what holds ---- */

static JsonbValue *
member_of(const PgwEventRow *event, const char *name)
{
	if (event->event_data == NULL || !JB_ROOT_IS_OBJECT(event->event_data))
		return NULL;
	return getKeyJsonValueFromContainer(&event->event_data->root, name, strlen(name), NULL);
}

static void
add_uuid(PgwJsonbState *state, const char *name, const pg_uuid_t *id)
{
	char text[37];

	pgw_uuid_to_text(id->data, text);
	/* read when the object is finished */
	add_string(state, name, pstrdup(text));
}

static void
add_digest(PgwJsonbState *state, const unsigned char *digest)
{
	int size = pg_b64_enc_len(PGW_EVENT_DIGEST_LEN);
	char *text = palloc(size + 1);

	/* a char * up to PostgreSQL 17, a uint8 * from 18 on */
	text[pg_b64_encode((const void *) digest, PGW_EVENT_DIGEST_LEN, text, size)] = '\0';
	add_string(state, "digest", text);
}

/* What stands in columns, as members. */
static void
add_facts(PgwJsonbState *state, const PgwEventFacts *f)
{
	if (f->has_payment_id)
		add_uuid(state, "payment_id", &f->payment_id);
	if (f->has_digest)
		add_digest(state, f->digest);
	if (f->bank_version != 0)
		add_number(state, "bank_version", f->bank_version);
}

Jsonb *
pgw_event_in_full(const PgwEventRow *events, int index)
{
	static const char *const of_the_first[] = {"v", "operation"};
	static const char *const of_the_last[] = {"bank", "requests_sent"};
	const PgwEventRow *event = &events[index];
	PgwJsonbState state = {0};
	JsonbValue *value;
	Jsonb *holding;

	pgw_push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
	for (int m = 0; m < lengthof(of_the_first); m++)
	{
		if (events[0].step_order == 1 && (value = member_of(&events[0], of_the_first[m])) != NULL)
			add_member(&state, of_the_first[m], value);
	}
	for (int m = 0; m < lengthof(of_the_last); m++)
	{
		value = NULL;
		for (int i = index; i >= 0 && value == NULL; i--)
			value = member_of(&events[i], of_the_last[m]);
		if (value != NULL)
			add_member(&state, of_the_last[m], value);
	}
	if (events[0].step_order == 1 && events[0].facts.has_correlation_id)
		add_uuid(&state, "correlation_id", &events[0].facts.correlation_id);
	add_facts(&state, &event->facts);
	add_string(&state, "from", pgw_state_name(event->from));
	add_string(&state, "to", pgw_state_name(event->to));
	holding = finish(&state);
	if (event->event_data == NULL)
		return holding;
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(holding),
											  JsonbPGetDatum(event->event_data)));
}
