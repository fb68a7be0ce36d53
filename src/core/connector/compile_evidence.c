/*
 * compile_evidence.c - compile what of a notification is the bank's own word on an operation
 *
 * Invariants: evidence is for banks that can be asked nothing; it is signed, and each place that it
 * is judged by (what happened, to which reference, of which charge, how much) is covered by the
 * signature, so that nobody on the way has written it; and it names reference, amount and currency,
 * which are compared as an answer's are.
 */
#include "core/connector/compiled.h"

#include <string.h>

#include "core/base/mutant.h"

#define MAX_RULES 32

/* ---- is it signed? ---- */

bool
pgw_signature_covers(const PgwSignature *s, const PgwPointer *place)
{
	if (s->scheme != PGW_SIGNED_FIELDS || PGW_MUTATED(EVIDENCE_COVERED))
		return true; /* the whole body is */
	for (int i = 0; i < s->nfields; i++)
	{
		if (pgw_same_place(&s->fields[i], place))
			return true;
	}
	return false;
}

bool
pgw_signature_covers_conditions(const PgwSignature *s, const PgwCondition *when, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (!pgw_signature_covers(s, &when[i].pointer))
			return false;
	}
	return true;
}

static bool
check_fields(PgwCompile *cc)
{
	static const PgwAnswerField needed[] = {PGW_FIELD_REFERENCE, PGW_FIELD_AMOUNT,
											PGW_FIELD_CURRENCY, PGW_FIELD_BANK_REFERENCE};
	const PgwNotificationSpec *n = &cc->connector->notifications;

	for (int i = 0; i < 4; i++)
	{
		const PgwField *field = &n->said.fields[needed[i]];

		if (!n->said.has_field[needed[i]])
			return pgw_fault(cc, "needs \"%s\" in the notification's fields",
							 pgw_field_name(needed[i]));
		for (int k = 0; k < field->nsources; k++)
		{
			if (field->sources[k].kind != PGW_SOURCE_PLACE ||
				!pgw_signature_covers(&n->signature, &field->sources[k].from) ||
				!pgw_signature_covers_conditions(&n->signature, field->sources[k].when,
												 field->sources[k].nwhen))
				return pgw_fault(
					cc, "the signature does not cover \"%s\", so that it is anybody's word",
					pgw_field_name(needed[i]));
		}
	}
	return true;
}

/*
 * Who has seen one notification could send it again under the identity of the next, which would
 * count as repeated when it comes, and no look-up makes up for that.
 */
bool
pgw_check_identity_is_signed(PgwCompile *cc)
{
	const PgwNotificationSpec *n = &cc->connector->notifications;
	bool covered =
		n->identity_header == NULL || n->signature.scheme == PGW_SIGNED_STANDARD_WEBHOOKS;

	for (int i = 0; i < n->nidentity; i++)
		covered &= pgw_signature_covers(&n->signature, &n->identity[i]);
	return covered ||
		   pgw_fault(
			   cc,
			   "the signature does not cover \"identity\": whoever has seen one notification could take the next one's place");
}

bool
pgw_check_content_is_signed(PgwCompile *cc)
{
	PgwSignatureScheme scheme = cc->connector->notifications.signature.scheme;

	return (scheme != PGW_SIGNED_BASIC_AUTH && scheme != PGW_UNSIGNED) ||
		   pgw_fault(cc, "is for notifications whose content is signed");
}

static bool
check_bank(PgwCompile *cc)
{
	const PgwConnector *c = cc->connector;

	if (!pgw_check_content_is_signed(cc))
		return false;
	if (c->lookup_by_id.present || c->ops[PGW_OP_LOOKUP_CHARGE].present ||
		c->ops[PGW_OP_LOOKUP_REFUND].present)
		return pgw_fault(
			cc,
			"is for banks without look-ups: here a notification makes pgw look, which says more");
	return true;
}

/* ---- the rules ---- */

/* An authorization is a charge, too. */
static bool
has_operation(const PgwConnector *c, PgwBankOp op)
{
	return c->ops[op].present || (op == PGW_OP_CHARGE && c->ops[PGW_OP_AUTHORIZE].present);
}

static bool
compile_about(PgwCompile *cc, json_object *v, PgwBankOp *about)
{
	const char *name = pgw_text_of(cc, v);
	int op = name != NULL ? pgw_op_parse(name) : -1;

	if (name == NULL)
		return false;
	if (op != PGW_OP_CHARGE && op != PGW_OP_CAPTURE && op != PGW_OP_VOID && op != PGW_OP_REFUND &&
		op != PGW_OP_CANCEL && op != PGW_OP_REVERSE)
		return pgw_fault(cc, "must be charge, capture, void, refund, cancel or reverse");
	*about = (PgwBankOp) op;
	/* an operation with faults of its own is not missing */
	return cc->nfaults > 0 || has_operation(cc->connector, *about) ||
		   pgw_fault(cc, "the connector has no operation \"%s\"", name);
}

static bool
compile_says(PgwCompile *cc, json_object *v, PgwOutcome *outcome)
{
	const char *name = pgw_text_of(cc, v);

	if (name == NULL)
		return false;
	*outcome = strcmp(name, "approved") == 0 ? PGW_OUT_APPROVED : PGW_OUT_DECLINED;
	return *outcome == PGW_OUT_APPROVED || strcmp(name, "declined") == 0 ||
		   pgw_fault(cc, "must be approved or declined: nothing else is final");
}

/*
 * Where the bank's own id of the operation stands: by it what was done at the bank's own pages,
 * which has the reference of the charge, is recorded once.
 */
static bool
compile_id(PgwCompile *cc, json_object *v, PgwEvidenceRule *rule)
{
	const PgwConnector *c = cc->connector;
	const char *s = pgw_text_of(cc, v);

	if (s == NULL || !pgw_compile_pointer(cc, s, &rule->id))
		return false;
	rule->has_id = true;
	if (rule->about != PGW_OP_CAPTURE && rule->about != PGW_OP_VOID && rule->about != PGW_OP_REFUND)
		return pgw_fault(cc, "is for capture, void and refund");
	if (!pgw_signature_covers(&c->notifications.signature, &rule->id))
		return pgw_fault(cc, "the signature does not cover it, so that it is anybody's word");
	return cc->nfaults > 0 || pgw_connector_uses(c, rule->about, "transaction_ref") ||
		   pgw_fault(
			   cc,
			   "the request of this operation does not hold {{transaction_ref}}, so that what pgw has asked for could not be told from what was done at the bank");
}

static bool
compile_rule(PgwCompile *cc, json_object *v, PgwEvidenceRule *rule)
{
	static const char *const keys[] = {"when", "about", "outcome", "id", NULL};
	const PgwSignature *s = &cc->connector->notifications.signature;

	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys))
		return false;
	for (int i = 0; keys[i] != NULL; i++)
	{
		json_object *part = pgw_member(v, keys[i]);
		size_t mark;
		bool good;

		if (part == NULL && i == 3)
			break;
		if (part == NULL)
			return pgw_fault_at(cc, keys[i], "missing");
		mark = pgw_enter(cc, keys[i]);
		good = i == 0   ? pgw_compile_conditions(cc, part, "when", &rule->when, &rule->nwhen)
			   : i == 1 ? compile_about(cc, part, &rule->about)
			   : i == 2 ? compile_says(cc, part, &rule->outcome)
						: compile_id(cc, part, rule);
		if (good && i == 0 && !pgw_conditions_compare(rule->when, rule->nwhen))
			good = pgw_fault(
				cc,
				"compares nothing: what has happened must be told by a value, as any notification may have a place or lack it");
		if (good && i == 0 && !pgw_signature_covers_conditions(s, rule->when, rule->nwhen))
			good = pgw_fault(
				cc, "the signature does not cover all of it, so that it is anybody's word");
		if (!good)
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}

bool
pgw_compile_evidence(PgwCompile *cc, json_object *v)
{
	PgwNotificationSpec *n = &cc->connector->notifications;
	size_t count = json_object_is_type(v, json_type_array) ? json_object_array_length(v) : 0;

	if (count < 1 || count > MAX_RULES)
		return pgw_fault(cc, "must be an array of 1 to %d rules", MAX_RULES);
	cc->headers = 0;
	if (!check_bank(cc) || !check_fields(cc) || !pgw_check_identity_is_signed(cc) ||
		(n->evidence = pgw_arena(cc, count, sizeof(PgwEvidenceRule))) == NULL)
		return false;
	for (size_t i = 0; i < count; i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		if (!compile_rule(cc, json_object_array_get_idx(v, i), &n->evidence[i]))
			return false;
		cc->connector->caps.tells[n->evidence[i].about] = true;
		n->nevidence++;
		pgw_leave(cc, mark);
	}
	return cc->headers == 0 ||
		   pgw_fault(cc, "stands in the notification's body: no header can be named here");
}

bool
pgw_connector_has_evidence(const PgwConnector *c)
{
	return c->notifications.nevidence > 0;
}
