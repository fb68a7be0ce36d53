/*
 * warnings.c - what a connector that compiles will cost: rules that say too much or can never be
 * asked, requests that leave out what they are about, lost answers that nobody can find out
 *
 * Invariants: nothing here changes a connector; what is said of a place is true of every answer or
 * request of that operation, so a document without warnings can be had.
 */
#include "core/connector/warnings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The next one; NULL: there is no room for it. */
static PgwConnectorError *
next_warning(PgwWarnings *w)
{
	PgwConnectorError *e = w->n < w->max ? &w->list[w->n] : NULL;

	w->n++;
	return e;
}

void
pgw_warn_at(PgwWarnings *w, const char *pointer, const char *message)
{
	PgwConnectorError *e = next_warning(w);

	if (e == NULL)
		return;
	snprintf(e->pointer, sizeof(e->pointer), "%s", pointer);
	snprintf(e->message, sizeof(e->message), "%s", message);
}

/* place: below the operation */
void
pgw_warn(PgwWarnings *w, PgwBankOp op, const char *place, const char *fmt, ...)
{
	PgwConnectorError *e = next_warning(w);
	va_list args;

	if (e == NULL)
		return;
	snprintf(e->pointer, sizeof(e->pointer), "/operations/%s%s",
			 w->by_id != NULL ? w->by_id : pgw_op_name(op), place);
	va_start(args, fmt);
	vsnprintf(e->message, sizeof(e->message), fmt, args);
	va_end(args);
}

/* ---- rules ---- */

/*
 * An error that says yes.  Of what follows a charge a bank may well say that it was done before
 * ("already voided", 409), with a status that is named.
 */
static bool
beyond_success(PgwBankOp op, const PgwRule *rule)
{
	bool again = op == PGW_OP_CAPTURE || op == PGW_OP_VOID || op == PGW_OP_REFUND ||
				 op == PGW_OP_CANCEL || op == PGW_OP_REVERSE;

	for (int i = 0; i < rule->nstatuses; i++)
	{
		const PgwStatusRange *range = &rule->statuses[i];

		if ((range->from < 200 || range->to > 299) && (!again || range->from != range->to))
			return true;
	}
	return false;
}

static bool
may_be_5xx(const PgwRule *rule)
{
	for (int i = 0; i < rule->nstatuses; i++)
	{
		if (rule->statuses[i].from <= 599 && rule->statuses[i].to >= 500)
			return true;
	}
	return false;
}

/*
 * A no ends a payment as declined or failed, and its caller pays again.  What stands between us and
 * the bank answers with JSON, too: "no route", "too many requests".
 */
static void
look_at_refusal(PgwWarnings *w, PgwBankOp op, const char *place, const PgwRule *rule)
{
	if (pgw_rule_says_something(rule))
	{
		if (rule->outcome == PGW_OUT_NOT_FOUND && pgw_rule_is_of_the_way(rule, true))
			pgw_warn(
				w, op, place,
				"a \"not found\" with a status that a proxy or a limit gives (401, 403, 407, 408, 425, 429, 5xx): is what \"when\" names there said by nothing but the bank's books?");
		return;
	}
	if (rule->outcome == PGW_OUT_NOT_FOUND)
		pgw_warn(
			w, op, place,
			"every answer with this status is a \"not found\", also a gateway's that knows no such path: name in \"when\" what says so");
	else if (rule->outcome == PGW_OUT_DECLINED)
		pgw_warn(
			w, op, place,
			"every answer with this status is a refusal for good, whatever it says: name in \"when\" what says so");
	else if ((rule->outcome == PGW_OUT_REJECTED || rule->outcome == PGW_OUT_NOT_PROCESSED) &&
			 may_be_5xx(rule) && !pgw_op_is_lookup(op))
		pgw_warn(
			w, op, place,
			"an error of the bank's (5xx) may come after it has done what it was asked for: name in \"when\" what says that nothing was done, or say \"unknown\"");
}

static void
look_at_rules(PgwWarnings *w, PgwBankOp op, const PgwAnswerSpec *spec)
{
	char place[64];

	for (int i = 0; i < spec->nrules; i++)
	{
		const PgwRule *rule = &spec->rules[i];
		bool asked = true;

		snprintf(place, sizeof(place), "/answer/rules/%d", i);
		for (int k = 0; k < i; k++)
		{
			if (!pgw_rule_hides(&spec->rules[k], rule))
				continue;
			pgw_warn(
				w, op, place,
				"never asked: whatever it matches, rule %d has matched before; put it first, or leave it out",
				k);
			asked = false;
			break;
		}
		if (asked && op != PGW_OP_PING)
			look_at_refusal(w, op, place, rule);
		if (asked && pgw_refusal_before_approval(op, spec, i))
			pgw_warn(
				w, op, place,
				"a refusal for good of whatever has something there, asked before the approval: a charge that was made and has it, too, would be declined. Name its value in \"when\", or put the rule behind the approval");
		if (op == PGW_OP_PING || rule->outcome != PGW_OUT_APPROVED)
			continue;
		if (beyond_success(op, rule))
			pgw_warn(
				w, op, place,
				"an approval with a status other than 2xx: an error that repeats the charge would be taken for a yes");
		if (!pgw_rule_says_something(rule))
			pgw_warn(
				w, op, place,
				"every answer with this status is an approval, whatever it says: name in \"when\" what says so");
	}
}

/* ---- the values that the bank's manual names ---- */

static bool
names_value(const PgwCondition *conditions, int n, const PgwPointer *place, const PgwScalar *value)
{
	for (int i = 0; i < n; i++)
	{
		for (int k = 0; pgw_same_place(&conditions[i].pointer, place) && k < conditions[i].nvalues;
			 k++)
		{
			if (pgw_same_value(&conditions[i].values[k], value))
				return true;
		}
	}
	return false;
}

/* For a message; a text that is long is cut. */
static const char *
value_text(const PgwScalar *value, char text[64])
{
	if (value->type == json_type_string)
	{
		char cut[62];

		snprintf(cut, sizeof(cut), "%s", value->text);
		pgw_drop_cut_characters(cut);
		snprintf(text, 64, "\"%s\"", cut);
	}
	else if (value->type == json_type_int)
		snprintf(text, 64, "%lld", (long long) value->number);
	else
		snprintf(text, 64, "%s",
				 value->type == json_type_null ? "null"
				 : value->number != 0          ? "true"
											   : "false");
	return text;
}

/* What is compared with something else than the bank's own words is no value of the list. */
static void
look_at_named(PgwWarnings *w, PgwBankOp op, const char *place, const PgwAnswerSpec *spec,
			  const PgwCondition *conditions, int n)
{
	char text[64];

	for (int d = 0; d < spec->ndeclared; d++)
	{
		const PgwCondition *declared = &spec->declared[d];

		for (int i = 0; i < n; i++)
		{
			const PgwCondition *named = &conditions[i];

			for (int k = 0;
				 pgw_same_place(&named->pointer, &declared->pointer) && k < named->nvalues; k++)
			{
				if (named->values[k].asked == PGW_PH_NONE &&
					!names_value(declared, 1, &named->pointer, &named->values[k]))
					pgw_warn(w, op, place,
							 "%s is none of the values that \"statuses\" names for %s",
							 value_text(&named->values[k], text), named->written);
			}
		}
	}
}

static void
look_at_statuses(PgwWarnings *w, PgwBankOp op, const PgwAnswerSpec *spec)
{
	char place[96];
	char text[64];

	for (int d = 0; d < spec->ndeclared; d++)
	{
		const PgwCondition *declared = &spec->declared[d];

		for (int k = 0; k < declared->nvalues; k++)
		{
			bool named = false;

			for (int i = 0; i < spec->nrules; i++)
				named |= names_value(spec->rules[i].conditions, spec->rules[i].nconditions,
									 &declared->pointer, &declared->values[k]);
			if (!named)
				pgw_warn(
					w, op, "/answer/statuses",
					"no rule says what %s at %s means: name it in one, as \"unknown\" if nothing follows from it",
					value_text(&declared->values[k], text), declared->written);
		}
	}
	for (int i = 0; i < spec->nrules; i++)
	{
		snprintf(place, sizeof(place), "/answer/rules/%d", i);
		look_at_named(w, op, place, spec, spec->rules[i].conditions, spec->rules[i].nconditions);
	}
	for (int field = 0; field < PGW_NFIELDS; field++)
	{
		snprintf(place, sizeof(place), "/answer/fields/%s", pgw_field_name((PgwAnswerField) field));
		for (int i = 0; spec->has_field[field] && i < spec->fields[field].nsources; i++)
			look_at_named(w, op, place, spec, spec->fields[field].sources[i].when,
						  spec->fields[field].sources[i].nwhen);
	}
}

/* What waits for the card holder is undone; where nothing can undo it, it may be done in the end.
 */
static void
look_at_action(PgwWarnings *w, const PgwConnector *c, PgwBankOp op, const PgwAnswerSpec *spec)
{
	char place[64];

	if ((op != PGW_OP_CHARGE && op != PGW_OP_AUTHORIZE && op != PGW_OP_LOOKUP_CHARGE) ||
		c->ops[PGW_OP_CANCEL].present || c->ops[PGW_OP_REVERSE].present ||
		c->ops[PGW_OP_VOID].present)
		return;
	for (int i = 0; i < spec->nrules; i++)
	{
		if (spec->rules[i].outcome != PGW_OUT_REQUIRES_ACTION)
			continue;
		snprintf(place, sizeof(place), "/answer/rules/%d", i);
		pgw_warn(
			w, op, place,
			"nothing can undo what waits for the card holder: it is declined at once, and one that goes through later is given back only if a look-up of the next seven days shows it. Add \"cancel\", \"reverse\" or \"void\", or ask the bank not to let anybody authenticate");
	}
}

/* ---- requests ---- */

static bool
says_amount(const PgwCompiledOp *op)
{
	return (op->uses & (PGW_PH_BIT(PGW_PH_AMOUNT) | PGW_PH_BIT(PGW_PH_AMOUNT_DECIMAL))) != 0;
}

static void
look_at_amounts(PgwWarnings *w, const PgwConnector *c, PgwBankOp op)
{
	const PgwAnswerSpec *spec = &c->ops[op].answer;
	bool charges = op == PGW_OP_CHARGE || op == PGW_OP_AUTHORIZE;

	if (((op == PGW_OP_CAPTURE && c->caps.partial_capture) ||
		 (op == PGW_OP_REFUND && c->caps.partial_refund)) &&
		!says_amount(&c->ops[op]))
		pgw_warn(
			w, op, "",
			"the request names no {{amount}}, although a part can be asked for: the bank would %s all of it",
			op == PGW_OP_CAPTURE ? "capture" : "refund");
	if (charges && !says_amount(&c->ops[op]))
		pgw_warn(w, op, "", "the request names no {{amount}}");
	if (charges && (c->ops[op].uses & PGW_PH_BIT(PGW_PH_TRANSACTION_REF)) == 0)
		pgw_warn(
			w, op, "",
			"the request does not name {{transaction_ref}}: no look-up, and no person at the bank, could tell which charge it was");
	if ((charges || op == PGW_OP_LOOKUP_CHARGE) && !c->caps.no_partial_approval &&
		(!spec->has_field[PGW_FIELD_AMOUNT] || !spec->has_field[PGW_FIELD_CURRENCY]))
		pgw_warn(
			w, op, "/answer/fields",
			"does not name \"amount\" and \"currency\": an approval of a part, or in another currency, would be taken for the whole");
}

/* ---- fields ---- */

/* Is it said of each element whether it counts?  Whether something is there always is. */
static bool
says_what_not(const PgwFieldSource *source)
{
	if (source->nexcept > 0)
		return true;
	for (int i = 0; i < source->nwhere; i++)
	{
		for (int k = 0; k < source->where[i].nvalues; k++)
		{
			if (source->where[i].values[k].asked == PGW_PH_NONE &&
				source->where[i].values[k].type != json_type_boolean)
				return false;
		}
	}
	return true;
}

static void
look_at_sums(PgwWarnings *w, PgwBankOp op, const PgwAnswerSpec *spec)
{
	for (int i = 0; i < PGW_NFIELDS; i++)
	{
		char place[80];

		for (int k = 0; spec->has_field[i] && k < spec->fields[i].nsources; k++)
		{
			const PgwFieldSource *source = &spec->fields[i].sources[k];

			if (source->kind != PGW_SOURCE_SUM)
				continue;
			snprintf(place, sizeof(place), "/answer/fields/%s", pgw_field_name((PgwAnswerField) i));
			if (source->has_more)
				pgw_warn(
					w, op, place,
					"of a list that goes on elsewhere the sum is unknown, and what depends on it ends with a person: ask for as many elements as the bank shows at once");
			if (source->nwhere > 0 && says_what_not(source))
				continue;
			if (source->nwhere > 0)
				pgw_warn(
					w, op, place,
					"an element that \"where\" does not name makes the sum unknown: name in \"except\" what does not count, such as what has failed");
			else
				pgw_warn(
					w, op, place,
					"a sum without \"where\" counts what has failed, too: name what is done or under way, or, if the list has nothing else, say {\"exists\": true} of its amount");
		}
	}
}

/* ---- keys ---- */

static void
look_at_key(PgwWarnings *w, const PgwConnector *c, PgwBankOp op)
{
	if (pgw_op_moves_money(op) && !c->caps.keys[op].honoured &&
		(c->ops[op].uses & PGW_PH_BIT(PGW_PH_IDEMPOTENCY_KEY)) != 0)
		pgw_warn(
			w, op, "",
			"the request has a key, and \"idempotency\" does not say what the bank makes of it: it is never repeated when its answer is lost");
}

/* Only a document of version 1 leaves open what becomes of errors. */
static void
look_at_errors_of_keys(PgwWarnings *w, const PgwConnector *c)
{
	const PgwKeyRule *rule = &c->caps.keys[PGW_OP_CHARGE];

	if (rule->honoured && !rule->repeats_errors && !rule->forgets_errors)
		pgw_warn_at(
			w, "/capabilities/idempotency",
			"what was answered with an error is sent again with its key: a bank that keeps only its successes would do it twice. Say \"replays_errors\": true of one that keeps errors, too; of any other write version 2, and \"remembers\": \"2xx\"");
}

/* Does a look-up of a charge say in time that there is none? */
static bool
lookup_of_charge_counts(const PgwConnector *c)
{
	return c->caps.lookup && !c->caps.lookup_needs_id && c->caps.lookup_consistent_after_s >= 0;
}

/*
 * A lost answer may have been an error, of which such a bank keeps nothing; and what it did before
 * the error it does again.
 */
static void
look_at_unheard_errors(PgwWarnings *w, const PgwConnector *c, PgwBankOp op)
{
	if ((op == PGW_OP_CHARGE || op == PGW_OP_AUTHORIZE) && c->caps.keys[op].honoured &&
		c->caps.keys[op].forgets_errors && !lookup_of_charge_counts(c))
		pgw_warn(
			w, op, "",
			"what the bank charges before it answers with an error, and nobody hears, is charged once more when the request is repeated with its key: of errors it keeps nothing. Add \"lookup_charge\" by {{original_ref}}, and say in \"lookup_consistent_after_seconds\" when its \"not found\" counts.");
}

/* What is kept nowhere cannot be sent again, and the bank would refuse its key with another body.
 */
static void
look_at_customer(PgwWarnings *w, const PgwConnector *c, PgwBankOp op)
{
	if ((c->ops[op].uses & PGW_PH_BIT(PGW_PH_CUSTOMER)) != 0 && c->caps.keys[op].honoured &&
		!lookup_of_charge_counts(c))
		pgw_warn(
			w, op, "/body",
			"a charge that was told something of {{customer./POINTER}} is not repeated with its key, because that is kept nowhere: what no look-up finds ends in manual review. Add \"lookup_charge\" by {{original_ref}}, and say in \"lookup_consistent_after_seconds\" when its \"not found\" counts.");
}

/* ---- lost answers ---- */

#define SHOWN \
	"name \"captured\" and \"refunded\" in the fields of \"lookup_charge\"; and say in \"lookup_consistent_after_seconds\" when \"not found\" counts."
#define ADD_LOOKUP "Add \"lookup_refund\", or " SHOWN
#define OWN_ID "The answer would have named the id by which \"lookup_refund\" asks: " SHOWN

static void
look_at_lost_answers(PgwWarnings *w, const PgwConnector *c)
{
	bool by_own_id = c->caps.lookup_refund_needs_id;
	PgwCapabilities caps; /* the id would have come with the answer */

	pgw_capabilities_without_own_id(&c->caps, &caps);
	if (!caps.can_refund || pgw_capabilities_lookup_counts(&caps, PGW_OP_REFUND))
		return;
	if (c->caps.keys[PGW_OP_REFUND].honoured)
		pgw_warn(
			w, PGW_OP_REFUND, "",
			by_own_id
				? "a refund whose answer is lost can only be repeated while the bank remembers its key, and ends in manual review after that. " OWN_ID
				: "a refund whose answer is lost can only be repeated while the bank remembers its key, and ends in manual review after that: no look-up shows whether it was made. " ADD_LOOKUP);
	else
		pgw_warn(
			w, PGW_OP_REFUND, "",
			by_own_id
				? "a refund whose answer is lost ends in manual review, as there is no key under which it could be repeated. " OWN_ID
				: "a refund whose answer is lost ends in manual review: there is neither a key under which it could be repeated nor a look-up that shows whether it was made. " ADD_LOOKUP);
}

/*
 * What the bank shows of the charge is as a rule what was ordered of it, and that an order has
 * failed is then seen by nobody.
 */
static void
look_at_accepted(PgwWarnings *w, const PgwConnector *c)
{
	if (!c->caps.accepts[PGW_OP_REFUND] || !pgw_capabilities_lookup_tells(&c->caps, PGW_OP_REFUND))
		return;
	if (c->caps.lookup_refund_needs_id && !c->caps.tells[PGW_OP_REFUND])
		pgw_warn(
			w, PGW_OP_REFUND, "",
			"a refund that is only accepted, and whose answer is lost or names no id, ends in manual review after a month: it can be asked about by that id alone, and that the charge shows it does not say that it is done. Let \"lookup_refund\" ask by {{transaction_ref}} where the bank can find it by that");
	else if (!c->caps.lookup_refund)
		pgw_warn(
			w, PGW_OP_REFUND, "",
			"a refund that is only accepted counts as done as soon as the charge shows it: where the bank's \"refunded\" counts what is only accepted, at once, and one that fails after that is not noticed. Add \"lookup_refund\"");
}

/*
 * A bank may take a second refund of a charge for the first one, and answers with that one again:
 * only a name in the answer tells.
 */
static void
look_at_refund_names(PgwWarnings *w, const PgwConnector *c)
{
	const PgwAnswerSpec *spec = &c->ops[PGW_OP_REFUND].answer;

	if (c->ops[PGW_OP_REFUND].present && c->caps.partial_refund &&
		!spec->has_field[PGW_FIELD_REFERENCE] && !spec->has_field[PGW_FIELD_BANK_REFERENCE])
		pgw_warn(
			w, PGW_OP_REFUND, "/answer/fields",
			"nothing tells the answer to one refund of a charge from that to another: a second refund that the bank takes for the first would count as done. Name \"reference\", what the bank repeats of {{transaction_ref}}, or its own id of the refund as \"bank_reference\"");
}

int
pgw_connector_warnings(const PgwConnector *c, PgwConnectorError *list, int max)
{
	PgwWarnings w = {.list = list, .max = max};

	look_at_lost_answers(&w, c);
	look_at_errors_of_keys(&w, c);
	look_at_accepted(&w, c);
	look_at_refund_names(&w, c);
	for (int i = 0; i < PGW_NOPS; i++)
	{
		if (!c->ops[i].present)
			continue;
		look_at_amounts(&w, c, (PgwBankOp) i);
		look_at_key(&w, c, (PgwBankOp) i);
		look_at_unheard_errors(&w, c, (PgwBankOp) i);
		look_at_customer(&w, c, (PgwBankOp) i);
		look_at_rules(&w, (PgwBankOp) i, &c->ops[i].answer);
		look_at_sums(&w, (PgwBankOp) i, &c->ops[i].answer);
		look_at_statuses(&w, (PgwBankOp) i, &c->ops[i].answer);
		look_at_action(&w, c, (PgwBankOp) i, &c->ops[i].answer);
		pgw_look_at_units(&w, c, (PgwBankOp) i);
		pgw_look_at_currency(&w, c, (PgwBankOp) i);
		pgw_look_at_totals(&w, c, (PgwBankOp) i, &c->ops[i].answer);
	}
	if (c->lookup_by_id.present)
	{
		w.by_id = "lookup_by_id";
		look_at_rules(&w, PGW_OP_LOOKUP_CHARGE, &c->lookup_by_id.answer);
		look_at_sums(&w, PGW_OP_LOOKUP_CHARGE, &c->lookup_by_id.answer);
		look_at_statuses(&w, PGW_OP_LOOKUP_CHARGE, &c->lookup_by_id.answer);
		look_at_action(&w, c, PGW_OP_LOOKUP_CHARGE, &c->lookup_by_id.answer);
		pgw_look_at_totals(&w, c, PGW_OP_LOOKUP_CHARGE, &c->lookup_by_id.answer);
	}
	pgw_look_at_evidence(&w, c);
	return w.n;
}
