/*
 * compile_disputes.c - compile which notifications tell of disputes, and what they say of one
 *
 * Invariants: nobody can be asked about a dispute, so what is said of one counts by itself; hence
 * it is signed, each place that it is read from is covered by the signature, and so is what tells
 * two notifications apart.  A dispute has an id of its own, and where money moves it is said how
 * much.
 */
#include "core/connector/compiled.h"

#include <string.h>

#define MAX_RULES 32

static PgwDisputeSpec *
spec_of(PgwCompile *cc)
{
	return &cc->connector->notifications.disputes;
}

/* ---- is it signed? ---- */

static bool
check_place(PgwCompile *cc, const PgwPointer *place)
{
	return pgw_signature_covers(&cc->connector->notifications.signature, place) ||
		   pgw_fault(cc, "the signature does not cover it, so that it is anybody's word");
}

static bool
check_source(PgwCompile *cc, const PgwFieldSource *source)
{
	if (source->kind != PGW_SOURCE_PLACE)
		return pgw_fault(cc, "of a dispute each value has to stand in the notification");
	if (!pgw_signature_covers_conditions(&cc->connector->notifications.signature, source->when,
										 source->nwhen))
		return pgw_fault(cc, "the signature does not cover it, so that it is anybody's word");
	return check_place(cc, &source->from);
}

static bool
check_field(PgwCompile *cc, const PgwAnswerSpec *said, PgwAnswerField field)
{
	size_t mark;

	if (!said->has_field[field])
		return true;
	mark = pgw_enter(cc, pgw_field_name(field));
	for (int i = 0; i < said->fields[field].nsources; i++)
	{
		if (!check_source(cc, &said->fields[field].sources[i]))
			return false;
	}
	pgw_leave(cc, mark);
	return true;
}

/* ---- what it says ---- */

static bool
compile_place(PgwCompile *cc, json_object *v, PgwPointer *place)
{
	const char *s = pgw_text_of(cc, v);

	if (s == NULL || !pgw_compile_pointer(cc, s, place))
		return false;
	if (place->nsteps == 0)
		return pgw_fault(cc, "must point to one value, not to the whole");
	return check_place(cc, place);
}

/* The charge, and what is disputed of it. */
static bool
compile_said(PgwCompile *cc, json_object *v)
{
	static const char *const keys[] = {"bank_reference", "reference",     "amount",
									   "currency",       "amount_format", NULL};
	static const PgwAnswerField fields[] = {PGW_FIELD_BANK_REFERENCE, PGW_FIELD_REFERENCE,
											PGW_FIELD_AMOUNT, PGW_FIELD_CURRENCY};
	PgwAnswerSpec *said = &spec_of(cc)->said;

	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys) || !pgw_compile_fields(cc, v, said))
		return false;
	for (int i = 0; i < 4; i++)
	{
		if (!check_field(cc, said, fields[i]))
			return false;
	}
	if (said->has_field[PGW_FIELD_AMOUNT] && !said->has_field[PGW_FIELD_CURRENCY])
		return pgw_fault_at(cc, "amount", "needs currency beside it: 500 of what?");
	return said->has_field[PGW_FIELD_BANK_REFERENCE] || said->has_field[PGW_FIELD_REFERENCE] ||
		   pgw_fault(
			   cc,
			   "bank_reference or reference must be there: else nothing says which payment it is about");
}

/* {"amount": place, "currency": place}, of which the amount has another name. */
static bool
compile_one_amount(PgwCompile *cc, json_object *v, const char *name, PgwAnswerSpec *said)
{
	json_object *fields = json_object_new_object();
	json_object *format = pgw_member(v, "amount_format");
	bool good;

	json_object_object_add(fields, "amount", json_object_get(pgw_member(v, name)));
	json_object_object_add(fields, "currency", json_object_get(pgw_member(v, "currency")));
	if (format != NULL)
		json_object_object_add(fields, "amount_format", json_object_get(format));
	good = pgw_compile_fields(cc, fields, said) && check_field(cc, said, PGW_FIELD_AMOUNT) &&
		   check_field(cc, said, PGW_FIELD_CURRENCY);
	json_object_put(fields);
	return good;
}

static bool
compile_moved(PgwCompile *cc, json_object *v, PgwMovedSpec *moved)
{
	static const char *const keys[] = {"amount", "currency", "fee", "amount_format", NULL};

	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys))
		return false;
	for (int i = 0; i < 2; i++)
	{
		if (pgw_member(v, keys[i]) == NULL)
			return pgw_fault_at(cc, keys[i], "missing: how much of what was moved?");
	}
	moved->present = true;
	moved->has_fee = pgw_member(v, "fee") != NULL;
	return compile_one_amount(cc, v, "amount", &moved->amount) &&
		   (!moved->has_fee || compile_one_amount(cc, v, "fee", &moved->fee));
}

static bool
compile_withdrawn(PgwCompile *cc, json_object *v)
{
	return compile_moved(cc, v, &spec_of(cc)->withdrawn);
}

static bool
compile_reinstated(PgwCompile *cc, json_object *v)
{
	return compile_moved(cc, v, &spec_of(cc)->reinstated);
}

static bool
compile_id(PgwCompile *cc, json_object *v)
{
	return compile_place(cc, v, &spec_of(cc)->id);
}

static bool
compile_deadline(PgwCompile *cc, json_object *v)
{
	spec_of(cc)->has_deadline = true;
	return compile_place(cc, v, &spec_of(cc)->deadline);
}

static bool
compile_reason(PgwCompile *cc, json_object *v)
{
	spec_of(cc)->has_reason = true;
	return compile_place(cc, v, &spec_of(cc)->reason);
}

/* ---- the rules ---- */

static bool
add_step(PgwCompile *cc, json_object *v, unsigned *steps)
{
	const char *name = pgw_text_of(cc, v);
	int step = name != NULL ? pgw_dispute_step_parse(name) : -1;
	const PgwDisputeSpec *d = spec_of(cc);

	if (name == NULL)
		return false;
	if (step < 0)
		return pgw_fault(
			cc,
			"must be inquiry, opened, withdrawn, reinstated, withdrawn_again, reinstated_again, won, lost or closed");
	if ((pgw_dispute_step_takes((PgwDisputeStep) step) ||
		 pgw_dispute_step_returns((PgwDisputeStep) step)) &&
		!d->said.has_field[PGW_FIELD_AMOUNT] &&
		!(pgw_dispute_step_takes((PgwDisputeStep) step) ? d->withdrawn.present
														: d->reinstated.present))
		return pgw_fault(cc, "moves money, and nothing says how much: name amount and currency");
	*steps |= PGW_DISPUTE_BIT(step);
	return true;
}

static bool
compile_steps(PgwCompile *cc, json_object *v, unsigned *steps)
{
	bool many = json_object_is_type(v, json_type_array);

	if (!many)
		return add_step(cc, v, steps);
	if (json_object_array_length(v) == 0)
		return pgw_fault(cc, "must be a step, or an array of them");
	for (size_t i = 0; i < json_object_array_length(v); i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		if (!add_step(cc, json_object_array_get_idx(v, i), steps))
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}

static bool
compile_rule(PgwCompile *cc, json_object *v, PgwDisputeRule *rule)
{
	static const char *const keys[] = {"when", "is", NULL};

	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys))
		return false;
	for (int i = 0; i < 2; i++)
	{
		json_object *part = pgw_member(v, keys[i]);
		size_t mark;

		if (part == NULL)
			return pgw_fault_at(cc, keys[i], "missing");
		mark = pgw_enter(cc, keys[i]);
		if (i == 1 ? !compile_steps(cc, part, &rule->steps)
				   : !pgw_compile_conditions(cc, part, "when", &rule->when, &rule->nwhen))
			return false;
		if (i == 0 && !pgw_conditions_compare(rule->when, rule->nwhen))
			return pgw_fault(
				cc,
				"compares nothing: what has happened must be told by a value, as any notification may have a place or lack it");
		if (i == 0 && !pgw_signature_covers_conditions(&cc->connector->notifications.signature,
													   rule->when, rule->nwhen))
			return pgw_fault(
				cc, "the signature does not cover all of it, so that it is anybody's word");
		pgw_leave(cc, mark);
	}
	return true;
}

static bool
compile_rules(PgwCompile *cc, json_object *v)
{
	PgwDisputeSpec *d = spec_of(cc);
	size_t count = json_object_is_type(v, json_type_array) ? json_object_array_length(v) : 0;

	if (count < 1 || count > MAX_RULES)
		return pgw_fault(cc, "must be an array of 1 to %d rules", MAX_RULES);
	if ((d->rules = pgw_arena(cc, count, sizeof(PgwDisputeRule))) == NULL)
		return false;
	for (size_t i = 0; i < count; i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		if (!compile_rule(cc, json_object_array_get_idx(v, i), &d->rules[i]))
			return false;
		d->nrules++;
		pgw_leave(cc, mark);
	}
	return true;
}

bool
pgw_compile_disputes(PgwCompile *cc, json_object *v)
{
	static const char *const keys[] = {"id",       "fields", "withdrawn", "reinstated",
									   "deadline", "reason", "rules",     NULL};
	static bool (*const compile[])(PgwCompile *, json_object *) = {
		compile_id,       compile_said,   compile_withdrawn, compile_reinstated,
		compile_deadline, compile_reason, compile_rules};

	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys) || !pgw_check_content_is_signed(cc) ||
		!pgw_check_identity_is_signed(cc))
		return false;
	cc->headers = 0;
	for (int i = 0; keys[i] != NULL; i++)
	{
		json_object *part = pgw_member(v, keys[i]);

		if (part == NULL && (i < 2 || compile[i] == compile_rules))
			return pgw_fault_at(cc, keys[i], "missing");
		if (part != NULL && !pgw_compile_member(cc, keys[i], part, compile[i]))
			return false;
	}
	return cc->headers == 0 ||
		   pgw_fault(cc, "stands in the notification's body: no header can be named here");
}

bool
pgw_connector_has_disputes(const PgwConnector *c)
{
	return c->notifications.disputes.nrules > 0;
}
