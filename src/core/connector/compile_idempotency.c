/*
 * compile_idempotency.c - compile a connector document: what the bank makes of each operation's key
 *
 * Owns keys[] of the capabilities, and each operation's key_header.  Invariants: an operation has a
 * rule only if the document names it, or says it of all; a request of one that has a rule holds
 * its key; what is not said of errors counts as the worse: they are forgotten, so that a request
 * answered with one is never repeated.  ("idempotency" of "capabilities" in version 1 is older than
 * that: there they count as kept.)
 */
#include "core/connector/compiled.h"

#include <string.h>

#include "core/base/mutant.h"

/* Of a bank that does not publish it: long enough for a repetition at once. */
#define UNPUBLISHED_LIFETIME_S 300

bool
pgw_read_bool(PgwCompile *cc, json_object *obj, const char *name, bool *result)
{
	json_object *v;

	if (!json_object_object_get_ex(obj, name, &v))
		return true;
	if (!json_object_is_type(v, json_type_boolean))
		return pgw_fault_at(cc, name, "must be true or false");
	*result = json_object_get_boolean(v);
	return true;
}

bool
pgw_read_int(PgwCompile *cc, json_object *obj, const char *name, int64_t min, int64_t max,
			 int64_t *result)
{
	json_object *v = pgw_member(obj, name);
	int64_t n;

	if (v == NULL)
		return true;
	n = json_object_get_int64(v);
	if (!json_object_is_type(v, json_type_int) || n < min || n > max)
		return pgw_fault_at(cc, name, "must be a whole number from %lld to %lld", (long long) min,
							(long long) max);
	*result = n;
	return true;
}

static bool
compile_header(PgwCompile *cc, json_object *v, const char **name)
{
	const char *text = pgw_text_of(cc, v);

	if (text == NULL || !pgw_compile_header_name(cc, text))
		return false;
	*name = pgw_arena_text(cc, text, strlen(text));
	return *name != NULL;
}

static bool
compile_lifetime(PgwCompile *cc, json_object *v, PgwKeyRule *rule)
{
	static const char *const name = "lifetime_seconds";
	json_object *part = pgw_member(v, name);

	if (part == NULL)
		return pgw_fault_at(
			cc, name,
			"missing: say for how many seconds the bank remembers a key; version 2: or \"unpublished\"");
	if (!json_object_is_type(part, json_type_string))
		return pgw_read_int(cc, v, name, 1, PGW_TEN_YEARS_S, &rule->lifetime_s);
	if (strcmp(json_object_get_string(part), "unpublished") != 0)
		return pgw_fault_at(cc, name, "must be a whole number, or \"unpublished\"");
	rule->lifetime_s = UNPUBLISHED_LIFETIME_S;
	return cc->version >= 2 ||
		   pgw_fault_at(
			   cc, name,
			   "\"unpublished\" needs version 2 of the document format: write \"v\": 2, or %d",
			   UNPUBLISHED_LIFETIME_S);
}

static bool
compile_remembers(PgwCompile *cc, json_object *v, PgwKeyRule *rule)
{
	const char *s = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";

	if (!pgw_since_version(cc, 2, "\"remembers\""))
		return false;
	rule->repeats_errors = strcmp(s, "all") == 0;
	rule->forgets_errors = strcmp(s, "2xx") == 0;
	return rule->repeats_errors || rule->forgets_errors ||
		   pgw_fault(
			   cc,
			   "must be \"all\" or \"2xx\": which answers the bank gives again for the same key");
}

static bool
compile_rule(PgwCompile *cc, json_object *v, const char *const *keys, PgwKeyRule *rule,
			 const char **header)
{
	json_object *part;
	size_t mark;

	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys))
		return false;
	rule->honoured = true;
	if (json_object_object_get_ex(v, "header", &part))
	{
		mark = pgw_enter(cc, "header");
		if (!compile_header(cc, part, header))
			return false;
		pgw_leave(cc, mark);
	}
	if (!compile_lifetime(cc, v, rule))
		return false;
	if (json_object_object_get_ex(v, "remembers", &part))
	{
		mark = pgw_enter(cc, "remembers");
		if (!compile_remembers(cc, part, rule))
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}

bool
pgw_compile_idempotency(PgwCompile *cc, json_object *v)
{
	static const char *const keys[] = {"header", "lifetime_seconds", "replays_errors", "remembers",
									   NULL};
	PgwConnector *c = cc->connector;
	PgwKeyRule rule = {.honoured = true};
	const char *header = NULL;

	if (!compile_rule(cc, v, keys, &rule, &header))
		return false;
	if (pgw_member(v, "remembers") != NULL && pgw_member(v, "replays_errors") != NULL)
		return pgw_fault_at(cc, "replays_errors", "\"remembers\" says it already");
	if (!pgw_read_bool(cc, v, "replays_errors", &rule.repeats_errors))
		return false;
	if (cc->version >= 2 && !PGW_MUTATED(ERRORS_UNSAID))
		rule.forgets_errors = !rule.repeats_errors;
	for (int i = 0; i < PGW_NOPS; i++)
	{
		if (!pgw_op_moves_money((PgwBankOp) i))
			continue;
		c->caps.keys[i] = rule;
		c->ops[i].key_header = header;
	}
	return true;
}

bool
pgw_compile_idempotency_of(PgwCompile *cc, json_object *v, PgwBankOp which)
{
	static const char *const keys[] = {"header", "lifetime_seconds", "remembers", NULL};
	PgwConnector *c = cc->connector;
	PgwKeyRule *rule = &c->caps.keys[which];

	if (!pgw_since_version(cc, 2, "\"idempotency\" of one operation"))
		return false;
	if (!pgw_op_moves_money(which))
		return pgw_fault(cc, "is for operations that move money");
	c->ops[which].key_header = NULL;
	memset(rule, 0, sizeof(*rule));
	if (json_object_is_type(v, json_type_boolean) && !json_object_get_boolean(v))
		return true;
	if (!json_object_is_type(v, json_type_object))
		return pgw_fault(
			cc,
			"must be an object with \"lifetime_seconds\", or false: the bank takes no key here");
	rule->forgets_errors = true;
	return compile_rule(cc, v, keys, rule, &c->ops[which].key_header);
}

/* Under what key would the bank know it? */
bool
pgw_check_idempotency(PgwCompile *cc)
{
	PgwConnector *c = cc->connector;

	for (int i = 0; i < PGW_NOPS; i++)
	{
		PgwCompiledOp *op = &c->ops[i];

		if (!op->present || !c->caps.keys[i].honoured)
			continue;
		/* what is not said of a cancellation is that it has a key */
		if (i == PGW_OP_CANCEL && (op->uses & PGW_PH_BIT(PGW_PH_IDEMPOTENCY_KEY)) == 0)
			continue;
		if (!pgw_request_says_key(c, op))
			return pgw_fault_at(
				cc, pgw_op_name((PgwBankOp) i),
				"\"idempotency\" without \"header\": {{idempotency_key}} must stand in every request of this operation; not in one alternative of a choice alone, nor beside something that may have no value");
		op->needs |= PGW_PH_BIT(PGW_PH_IDEMPOTENCY_KEY);
	}
	return true;
}
