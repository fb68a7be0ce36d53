/*
 * disagreements.c - places of a connector that compiles, and that contradict each other: amounts in
 * two units, a currency in one request and another in the next, totals that are none, rules of
 * evidence of which one is never asked
 */
#include "core/connector/warnings.h"

#include <stdio.h>
#include <string.h>

/* ---- units ---- */

typedef enum Unit
{
	NO_UNIT, /* no amount, or both */
	MINOR,
	DECIMAL
} Unit;

static Unit
unit_sent(const PgwCompiledOp *op)
{
	bool minor = (op->uses & PGW_PH_BIT(PGW_PH_AMOUNT)) != 0;
	bool decimal = (op->uses & PGW_PH_BIT(PGW_PH_AMOUNT_DECIMAL)) != 0;

	if (!op->present || minor == decimal)
		return NO_UNIT;
	return decimal ? DECIMAL : MINOR;
}

/* What the others are compared with: an authorization is sent where there is no charge. */
static PgwBankOp
first_request(const PgwConnector *c)
{
	return c->ops[PGW_OP_CHARGE].present ? PGW_OP_CHARGE : PGW_OP_AUTHORIZE;
}

static bool
reads_amounts(const PgwAnswerSpec *spec)
{
	return spec->has_field[PGW_FIELD_AMOUNT] || spec->has_field[PGW_FIELD_CAPTURED] ||
		   spec->has_field[PGW_FIELD_REFUNDED];
}

void
pgw_look_at_units(PgwWarnings *w, const PgwConnector *c, PgwBankOp op)
{
	PgwBankOp first = first_request(c);
	Unit sent = unit_sent(&c->ops[op]);
	Unit wanted = unit_sent(&c->ops[first]);

	if (wanted == NO_UNIT)
		return;
	if (pgw_op_moves_money(op) && sent != NO_UNIT && sent != wanted)
		pgw_warn(
			w, op, "",
			"sends the amount in another unit than \"%s\" does ({{amount}} is minor units, {{amount_decimal}} is not): if the bank has one unit for both, this is a hundred times too much or too little",
			pgw_op_name(first));
	if ((op == PGW_OP_CHARGE || op == PGW_OP_AUTHORIZE || op == PGW_OP_LOOKUP_CHARGE) &&
		reads_amounts(&c->ops[op].answer) && c->ops[op].answer.decimal != (wanted == DECIMAL))
		pgw_warn(
			w, op, "/answer/fields",
			"amounts are read in another unit than \"%s\" sends them in: \"amount_format\" is \"integer\" for minor units, as {{amount}} is, and \"decimal\" for what is as {{amount_decimal}}",
			pgw_op_name(first));
}

/* ---- currencies ---- */

static bool
is_currency(const PgwNode *node)
{
	return node->kind == PGW_NODE_TEXT && node->text.nsegments == 1 &&
		   node->text.segments[0].kind == PGW_PH_CURRENCY;
}

static bool
is_constant(const PgwNode *node)
{
	return node->kind == PGW_NODE_RAW ||
		   (node->kind == PGW_NODE_TEXT && node->text.nsegments == 1 &&
			node->text.segments[0].kind == PGW_PH_NONE);
}

/* Is there a member of this name, at any depth, that is as wanted? */
static bool
has_member(const PgwNode *node, const char *name, bool (*wanted)(const PgwNode *))
{
	for (int i = 0; node != NULL && i < node->nchildren; i++)
	{
		if ((node->kind == PGW_NODE_OBJECT && strcmp(node->names[i], name) == 0 &&
			 wanted(node->children[i])) ||
			has_member(node->children[i], name, wanted))
			return true;
	}
	return false;
}

/* What the first request calls its currency, and this one has as a constant; NULL: nothing. */
static const char *
constant_currency(const PgwNode *first, const PgwNode *body)
{
	const char *found = NULL;

	for (int i = 0; first != NULL && i < first->nchildren && found == NULL; i++)
	{
		if (first->kind == PGW_NODE_OBJECT && is_currency(first->children[i]) &&
			has_member(body, first->names[i], is_constant))
			found = first->names[i];
		else
			found = constant_currency(first->children[i], body);
	}
	return found;
}

/* A bank of one currency says so where its answer would. */
static bool
has_one_currency(const PgwAnswerSpec *spec)
{
	const PgwField *currency = &spec->fields[PGW_FIELD_CURRENCY];

	return spec->has_field[PGW_FIELD_CURRENCY] && currency->nsources == 1 &&
		   currency->sources[0].kind == PGW_SOURCE_CONSTANT;
}

void
pgw_look_at_currency(PgwWarnings *w, const PgwConnector *c, PgwBankOp op)
{
	PgwBankOp first = first_request(c);
	const char *name;

	if (!pgw_op_moves_money(op) || (c->ops[op].uses & PGW_PH_BIT(PGW_PH_CURRENCY)) != 0)
		return;
	if ((op == PGW_OP_CHARGE || op == PGW_OP_AUTHORIZE) && !has_one_currency(&c->ops[op].answer))
		pgw_warn(
			w, op, "",
			"the request names no {{currency}}: the bank would take its own for that of every payment. Of a bank that has one alone say which it is, as the \"value\" of \"currency\" in the answer's fields");
	if (op == first)
		return;
	if ((name = constant_currency(c->ops[first].body, c->ops[op].body)) != NULL)
		pgw_warn(
			w, op, "/body",
			"\"%.64s\" is always the same, and {{currency}} in \"%s\": of a payment in another currency this asks for something else",
			name, pgw_op_name(first));
}

/* ---- totals ---- */

void
pgw_look_at_totals(PgwWarnings *w, const PgwConnector *c, PgwBankOp op, const PgwAnswerSpec *spec)
{
	if (c->ops[PGW_OP_AUTHORIZE].present &&
		(op == PGW_OP_AUTHORIZE || op == PGW_OP_LOOKUP_CHARGE) &&
		pgw_fields_share_a_place(spec, PGW_FIELD_CAPTURED, PGW_FIELD_AMOUNT))
		pgw_warn(
			w, op, "/answer/fields/captured",
			"stands where \"amount\" does: what is only authorized would be taken for captured. Name where the bank says what it has taken, or say in \"when\" of which charges this is it");
}

/* ---- evidence ---- */

void
pgw_look_at_evidence(PgwWarnings *w, const PgwConnector *c)
{
	const PgwNotificationSpec *n = &c->notifications;

	if (n->nevidence > 0 && n->identity_header == NULL && n->nidentity == 0)
		pgw_warn_at(
			w, "/notifications",
			"evidence without \"identity\": nobody can tell a notification that comes again from a new one. Name what two deliveries of one have in common");
	for (int i = 1; i < n->nevidence; i++)
	{
		const PgwEvidenceRule *later = &n->evidence[i];
		bool hidden = false;
		char pointer[64];

		for (int k = 0; k < i; k++)
			hidden |= pgw_conditions_hide(n->evidence[k].when, n->evidence[k].nwhen, later->when,
										  later->nwhen);
		if (!hidden)
			continue;
		snprintf(pointer, sizeof(pointer), "/notifications/evidence/%d", i);
		pgw_warn_at(
			w, pointer,
			"never asked: whatever it matches, an earlier rule has matched before; put it first, or leave it out");
	}
}
