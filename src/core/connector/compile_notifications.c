/*
 * compile_notifications.c - compile what the bank sends by itself: how it is signed, what tells one
 * notification from another, and what of it says which payment it is about
 *
 * Invariants: a notification that is taken is signed, or comes from who knows a password, or the
 * bank is asked for it; and one that is none of these can make pgw look and nothing more; each
 * scheme has what it needs and nothing that it would ignore; and where nothing in a notification
 * names a payment there are none.  A notification is no answer, so nothing in its fields is
 * compared with a question.
 */
#include "core/connector/compiled.h"

#include <string.h>

#define DEFAULT_TOLERANCE_S 300
#define MAX_TOLERANCE_S 86400
#define MAX_IDENTITY 8

static const char *const scheme_names[] = {
	"timestamped_hmac", "standard_webhooks", "hmac_body", "hmac_url_body",
	"hmac_fields",      "basic_auth",        "none",      "ask"};

#define NSCHEMES (sizeof(scheme_names) / sizeof(scheme_names[0]))

/* What may stand beside "scheme", scheme by scheme. */
static const char *const timestamped_keys[] = {
	"scheme", "header", "time", "value", "hash", "as", "key_as", "tolerance_seconds", NULL};
static const char *const standard_keys[] = {"scheme", "tolerance_seconds", NULL};
static const char *const body_keys[] = {"scheme", "header", "hash", "as", "key_as", NULL};
static const char *const field_keys[] = {"scheme", "at", "fields", "separator",
										 "hash",   "as", "key_as", NULL};
static const char *const bare_keys[] = {"scheme", NULL};
static const char *const *const keys_of[NSCHEMES] = {timestamped_keys, standard_keys, body_keys,
													 body_keys,        field_keys,    bare_keys,
													 bare_keys,        bare_keys};

/* ---- small parts ---- */

static bool
compile_name(PgwCompile *cc, json_object *obj, const char *key, const char **name)
{
	json_object *v = pgw_member(obj, key);
	const char *s;
	size_t mark;

	if (v == NULL)
		return true;
	mark = pgw_enter(cc, key);
	s = pgw_text_of(cc, v);
	if (s == NULL)
		return false;
	if (*s == '\0' || strlen(s) > 64)
		return pgw_fault(cc, "must be 1 to 64 characters");
	if ((*name = pgw_arena_text(cc, s, strlen(s))) == NULL)
		return false;
	pgw_leave(cc, mark);
	return true;
}

static bool
compile_header(PgwCompile *cc, json_object *obj, const char **header)
{
	json_object *v = pgw_member(obj, "header");
	const char *s;
	size_t mark;

	if (v == NULL)
		return pgw_fault_at(cc, "header", "missing: must be the name of the header");
	mark = pgw_enter(cc, "header");
	if ((s = pgw_text_of(cc, v)) == NULL || !pgw_compile_header_name(cc, s) ||
		(*header = pgw_arena_text(cc, s, strlen(s))) == NULL)
		return false;
	pgw_leave(cc, mark);
	return true;
}

static bool
compile_place(PgwCompile *cc, json_object *v, PgwPointer *place)
{
	const char *s = pgw_text_of(cc, v);

	if (s == NULL || !pgw_compile_pointer(cc, s, place))
		return false;
	return place->nsteps > 0 || pgw_fault(cc, "must point to one value, not to the whole");
}

static bool
compile_places(PgwCompile *cc, json_object *v, size_t max, PgwPointer **places, int *n)
{
	bool many = json_object_is_type(v, json_type_array);
	size_t count = many ? json_object_array_length(v) : 1;

	if (count < 1 || count > max)
		return pgw_fault(cc, "must be a JSON pointer, or an array of 1 to %d", (int) max);
	if ((*places = pgw_arena(cc, count, sizeof(PgwPointer))) == NULL)
		return false;
	if (!many)
		return compile_place(cc, v, &(*places)[(*n)++]);
	for (size_t i = 0; i < count; i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		if (!compile_place(cc, json_object_array_get_idx(v, i), &(*places)[(*n)++]))
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}

/* ---- the signature ---- */

static bool
compile_hash(PgwCompile *cc, json_object *obj, PgwSignature *s)
{
	json_object *v = pgw_member(obj, "hash");
	const char *name = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";

	if (v == NULL || strcmp(name, "sha256") == 0)
		s->hash = PGW_SHA256;
	else if (strcmp(name, "sha512") == 0)
		s->hash = PGW_SHA512;
	else
		return pgw_fault_at(cc, "hash", "must be \"sha256\" or \"sha512\"");
	return true;
}

/* "as" must be said, where the scheme itself has no way that is its own. */
static bool
compile_writing(PgwCompile *cc, json_object *obj, PgwSignature *s)
{
	json_object *v = pgw_member(obj, "as");
	size_t mark;

	if (v == NULL && s->scheme != PGW_SIGNED_TIMESTAMPED)
		return pgw_fault_at(cc, "as", "missing: must be \"hex\" or \"base64\"");
	if (v != NULL)
	{
		mark = pgw_enter(cc, "as");
		if (!pgw_compile_byte_text(cc, v, false, &s->as))
			return false;
		pgw_leave(cc, mark);
	}
	if ((v = pgw_member(obj, "key_as")) != NULL)
	{
		mark = pgw_enter(cc, "key_as");
		if (!pgw_compile_byte_text(cc, v, true, &s->key_as))
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}

static bool
compile_signed_fields(PgwCompile *cc, json_object *obj, PgwSignature *s)
{
	static const struct
	{
		const char *key;
		const char *missing;
	} parts[] = {
		{"at", "missing: must be a JSON pointer to the signature"},
		{"fields", "missing: must be an array of JSON pointers to what is signed, in order"},
		{"separator", "missing: must be what stands between the fields, such as \":\""}};

	for (int i = 0; i < 3; i++)
	{
		json_object *v = pgw_member(obj, parts[i].key);
		size_t mark;
		bool good;

		if (v == NULL)
			return pgw_fault_at(cc, parts[i].key, "%s", parts[i].missing);
		if (i == 2)
			return compile_name(cc, obj, "separator", &s->separator);
		mark = pgw_enter(cc, parts[i].key);
		good = i == 0 ? compile_place(cc, v, &s->place)
					  : compile_places(cc, v, PGW_MAX_SIGNED_FIELDS, &s->fields, &s->nfields);
		if (!good)
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}

static bool
compile_scheme(PgwCompile *cc, json_object *v, PgwSignature *s)
{
	json_object *part = pgw_member(v, "scheme");
	const char *name =
		json_object_is_type(part, json_type_string) ? json_object_get_string(part) : "";
	size_t i = 0;

	while (i < NSCHEMES && strcmp(scheme_names[i], name) != 0)
		i++;
	if (i == NSCHEMES)
		return pgw_fault_at(
			cc, "scheme",
			"must be one of timestamped_hmac, standard_webhooks, hmac_body, hmac_url_body, hmac_fields, basic_auth, none, ask");
	s->scheme = (PgwSignatureScheme) i;
	return pgw_check_keys(cc, v, keys_of[i]);
}

static bool
compile_signature(PgwCompile *cc, json_object *v)
{
	PgwSignature *s = &cc->connector->notifications.signature;

	if (!pgw_is_object(cc, v) || !compile_scheme(cc, v, s))
		return false;
	s->time_name = "t";
	s->value_name = "v1";
	s->as = s->scheme == PGW_SIGNED_STANDARD_WEBHOOKS ? PGW_BYTES_BASE64 : PGW_BYTES_HEX;
	s->key_as = s->scheme == PGW_SIGNED_STANDARD_WEBHOOKS ? PGW_BYTES_BASE64 : PGW_BYTES_PLAIN;
	s->tolerance_s = DEFAULT_TOLERANCE_S;
	if (!pgw_read_int(cc, v, "tolerance_seconds", 1, MAX_TOLERANCE_S, &s->tolerance_s))
		return false;
	switch (s->scheme)
	{
		case PGW_SIGNED_TIMESTAMPED:
			if (!compile_name(cc, v, "time", &s->time_name) ||
				!compile_name(cc, v, "value", &s->value_name))
				return false;
			if (strcmp(s->time_name, s->value_name) == 0)
				return pgw_fault_at(cc, "value", "time and signature cannot have one name");
			break;
		case PGW_SIGNED_BODY:
		case PGW_SIGNED_URL_AND_BODY:
			break;
		case PGW_SIGNED_FIELDS:
			return compile_signed_fields(cc, v, s) && compile_hash(cc, v, s) &&
				   compile_writing(cc, v, s);
		case PGW_SIGNED_STANDARD_WEBHOOKS:
		case PGW_SIGNED_BASIC_AUTH:
		case PGW_UNSIGNED:
		case PGW_TO_BE_ASKED:
			return true;
	}
	return compile_header(cc, v, &s->header) && compile_hash(cc, v, s) && compile_writing(cc, v, s);
}

/* ---- what it says ---- */

static bool
compile_identity(PgwCompile *cc, json_object *v)
{
	static const char *const keys[] = {"header", NULL};
	PgwNotificationSpec *n = &cc->connector->notifications;

	if (json_object_is_type(v, json_type_object))
	{
		/* they would be one: the first would be taken, the others dropped as repeated */
		if (n->has_items)
			return pgw_fault(
				cc,
				"a header comes once with a body and is the same for each of its items: must be pointers into the item");
		return pgw_check_keys(cc, v, keys) && compile_header(cc, v, &n->identity_header);
	}
	return compile_places(cc, v, MAX_IDENTITY, &n->identity, &n->nidentity);
}

static bool
compile_type(PgwCompile *cc, json_object *v)
{
	cc->connector->notifications.has_type = true;
	return compile_place(cc, v, &cc->connector->notifications.type);
}

static bool
compile_time(PgwCompile *cc, json_object *v)
{
	cc->connector->notifications.has_time = true;
	return compile_place(cc, v, &cc->connector->notifications.time);
}

static bool
asks(const PgwCondition *conditions, int n)
{
	for (int i = 0; i < n; i++)
	{
		for (int k = 0; k < conditions[i].nvalues; k++)
		{
			if (conditions[i].values[k].asked != PGW_PH_NONE)
				return true;
		}
	}
	return false;
}

static bool
check_field(PgwCompile *cc, PgwAnswerField field)
{
	const PgwAnswerSpec *said = &cc->connector->notifications.said;

	if (field != PGW_FIELD_BANK_REFERENCE && field != PGW_FIELD_REFERENCE &&
		field != PGW_FIELD_LIVEMODE && field != PGW_FIELD_AMOUNT && field != PGW_FIELD_CURRENCY)
		return pgw_fault_at(
			cc, pgw_field_name(field),
			"is not read from a notification, which only makes pgw look: known here are bank_reference, reference, livemode, amount and currency");
	if (field == PGW_FIELD_AMOUNT && !said->has_field[PGW_FIELD_CURRENCY])
		return pgw_fault_at(cc, "amount", "needs currency beside it: 500 of what?");
	for (int i = 0; field == PGW_FIELD_AMOUNT && i < said->fields[field].nsources; i++)
	{
		if (said->fields[field].sources[i].kind == PGW_SOURCE_SUM)
			return pgw_fault_at(cc, "amount", "of a notification stands at one place");
	}
	for (int i = 0; i < said->fields[field].nsources; i++)
	{
		const PgwFieldSource *source = &said->fields[field].sources[i];

		if (asks(source->when, source->nwhen))
			return pgw_fault_at(
				cc, pgw_field_name(field),
				"a notification answers no question: nothing of one can stand here");
	}
	return true;
}

static bool
compile_said(PgwCompile *cc, json_object *v)
{
	PgwAnswerSpec *said = &cc->connector->notifications.said;

	cc->headers = 0;
	if (!pgw_compile_fields(cc, v, said))
		return false;
	if (cc->headers != 0)
		return pgw_fault(cc,
						 "a notification's fields stand in its body: no header can be named here");
	for (int i = 0; i < PGW_NFIELDS; i++)
	{
		if (said->has_field[i] && !check_field(cc, (PgwAnswerField) i))
			return false;
	}
	return said->has_field[PGW_FIELD_BANK_REFERENCE] || said->has_field[PGW_FIELD_REFERENCE] ||
		   pgw_fault(
			   cc,
			   "bank_reference or reference must be there: else nothing says which payment it is about");
}

static bool
compile_format(PgwCompile *cc, json_object *v)
{
	const char *name = pgw_text_of(cc, v);

	if (name == NULL)
		return false;
	cc->connector->notifications.form = strcmp(name, "form") == 0;
	return cc->connector->notifications.form || strcmp(name, "json") == 0 ||
		   pgw_fault(cc, "must be \"json\" or \"form\"");
}

static bool
compile_items(PgwCompile *cc, json_object *v)
{
	PgwNotificationSpec *n = &cc->connector->notifications;

	if (n->form)
		return pgw_fault(cc, "a form has no lists");
	n->has_items = true;
	return compile_place(cc, v, &n->items);
}

/* Of a hint no row is kept, so nothing would come of what is for the row alone. */
static bool
check_unsigned(PgwCompile *cc, json_object *v)
{
	static const char *const kept[] = {"identity", "type", "time"};
	const PgwConnector *c = cc->connector;

	if (c->notifications.signature.scheme != PGW_UNSIGNED)
		return true;
	for (int i = 0; i < 3; i++)
	{
		if (pgw_member(v, kept[i]) != NULL)
			return pgw_fault_at(cc, kept[i],
								"is not read of what nobody has signed: of a hint no row is kept");
	}
	if (c->lookup_by_id.present || c->ops[PGW_OP_LOOKUP_CHARGE].present ||
		c->ops[PGW_OP_LOOKUP_REFUND].present)
		return true;
	return pgw_fault_at(cc, "signature",
						"what nobody has signed can only make pgw look, and there is no look-up");
}

/* What came counts for its id alone: there is one, and the bank can be asked by it. */
static bool
check_asked(PgwCompile *cc)
{
	const PgwConnector *c = cc->connector;
	const PgwNotificationSpec *n = &c->notifications;

	if (n->signature.scheme != PGW_TO_BE_ASKED)
		return true;
	/* one with faults of its own is not missing */
	if (cc->nfaults == 0 && !c->ops[PGW_OP_VERIFY_NOTIFICATION].present)
		return pgw_fault_at(
			cc, "signature",
			"the bank is asked for the notification by its id, and there is no operation \"verify_notification\"");
	if (n->form)
		return pgw_fault_at(
			cc, "format",
			"what came is read as what the bank answers when it is asked for it: must be \"json\"");
	if (n->has_items)
		return pgw_fault_at(cc, "items",
							"the bank is asked for each notification by its own id: one in a body");
	return n->nidentity == 1 ||
		   pgw_fault_at(cc, "identity",
						"must be one pointer: the id by which the bank is asked for it");
}

bool
pgw_compile_notifications(PgwCompile *cc, json_object *v)
{
	static const char *const keys[] = {"signature", "format",   "items",  "identity",
									   "type",      "time",     "fields", "evidence",
									   "changes",   "disputes", NULL};
	static bool (*const compile[])(PgwCompile *, json_object *) = {
		compile_signature,   compile_format,      compile_items, compile_identity,
		compile_type,        compile_time,        compile_said,  pgw_compile_evidence,
		pgw_compile_changes, pgw_compile_disputes};

	if (!pgw_since_version(cc, 2, "\"notifications\"") || !pgw_is_object(cc, v) ||
		!pgw_check_keys(cc, v, keys))
		return false;
	for (int i = 0; keys[i] != NULL; i++)
	{
		json_object *part = pgw_member(v, keys[i]);

		if (part != NULL && !pgw_compile_member(cc, keys[i], part, compile[i]))
			return false;
		if (part == NULL && (i == 0 || i == 6))
			return pgw_fault_at(cc, keys[i],
								i == 0 ? "missing: must say how they are signed"
									   : "missing: must say which payment they are about");
	}
	if (!check_unsigned(cc, v) || !check_asked(cc))
		return false;
	cc->connector->notifications.present = true;
	return true;
}
