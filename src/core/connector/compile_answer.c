/*
 * compile_answer.c - compile the answer side of an operation: rules, fields, error codes
 *
 * Invariants: every rule has at least one status and an outcome that its operation can have;
 * pointers are split and unescaped once, here; every error code named is one of our stable list.
 */
#include "core/connector/compiled.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/error_codes.h"

static const char *const field_names[PGW_NFIELDS] = {
	"bank_reference", "authorization_code", "amount",    "currency",
	"bank_code",      "captured",           "refunded",  "voided",
	"card_brand",     "card_last4",         "reference", "livemode"};

/* RFC 6901. */
static bool
compile_pointer(PgwCompile *cc, const char *s, PgwPointer *pointer)
{
	size_t n = 0;

	if (*s != '\0' && *s != '/')
		return pgw_fault(
			cc, "must be a JSON pointer: empty, or beginning with \"/\", such as \"/error/code\"");
	for (const char *p = s; *p != '\0'; p++)
	{
		n += *p == '/';
		if (*p == '~' && p[1] != '0' && p[1] != '1')
			return pgw_fault(cc,
							 "in a JSON pointer \"~\" is written ~0 and \"/\" inside a name ~1");
	}
	pointer->nsteps = 0;
	if ((pointer->steps = pgw_arena(cc, n, sizeof(char *))) == NULL)
		return false;
	while (*s == '/')
	{
		size_t len = strcspn(++s, "/");
		char *step = pgw_arena_text(cc, s, len);
		size_t out = 0;

		if (step == NULL)
			return false;
		for (size_t i = 0; i < len; i++)
		{
			if (s[i] == '~')
				step[out++] = s[++i] == '0' ? '~' : '/';
			else
				step[out++] = s[i];
		}
		step[out] = '\0';
		pointer->steps[pointer->nsteps++] = step;
		s += len;
	}
	return true;
}

/* ---- rules ---- */

static bool
compile_status(PgwCompile *cc, json_object *v, PgwStatusRange *range)
{
	if (json_object_is_type(v, json_type_int))
	{
		int64_t n = json_object_get_int64(v);

		if (n < 100 || n > 599)
			return pgw_fault(cc, "an HTTP status is a number from 100 to 599");
		range->from = range->to = (int) n;
		return true;
	}
	if (json_object_is_type(v, json_type_string))
	{
		const char *s = json_object_get_string(v);

		if (strcmp(s, "*") == 0)
		{
			range->from = 0;
			range->to = 999;
			return true;
		}
		if (s[0] >= '1' && s[0] <= '5' && strcmp(s + 1, "xx") == 0)
		{
			range->from = (s[0] - '0') * 100;
			range->to = range->from + 99;
			return true;
		}
	}
	return pgw_fault(
		cc, "must be a number such as 200, a class such as \"4xx\", \"*\", or an array of these");
}

static bool
compile_statuses(PgwCompile *cc, json_object *v, PgwRule *rule)
{
	bool array = json_object_is_type(v, json_type_array);
	size_t n = array ? json_object_array_length(v) : 1;

	if (n == 0)
		return pgw_fault(cc, "an empty array matches nothing; name at least one status");
	if ((rule->statuses = pgw_arena(cc, n, sizeof(PgwStatusRange))) == NULL)
		return false;
	rule->nstatuses = (int) n;
	if (!array)
		return compile_status(cc, v, &rule->statuses[0]);
	for (size_t i = 0; i < n; i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		if (!compile_status(cc, json_object_array_get_idx(v, i), &rule->statuses[i]))
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}

static bool
compile_scalar(PgwCompile *cc, json_object *v, PgwScalar *scalar)
{
	const char *s;

	scalar->type = json_object_get_type(v);
	switch (scalar->type)
	{
		case json_type_null:
			return true;
		case json_type_boolean:
			scalar->number = json_object_get_boolean(v);
			return true;
		case json_type_int:
			scalar->number = json_object_get_int64(v);
			if (scalar->number == INT64_MAX || scalar->number == INT64_MIN)
				return pgw_fault(
					cc,
					"a number beyond 64 bits; compare with it as a string, if the bank sends it as one");
			return true;
		case json_type_string:
			if ((s = pgw_text_of(cc, v)) == NULL)
				return false;
			return (scalar->text = pgw_arena_text(cc, s, strlen(s))) != NULL;
		default:
			return pgw_fault(
				cc,
				"must be a string, whole number, true, false or null, an array of these, or {\"exists\": true}");
	}
}

/* One scalar, or an array of them. */
static bool
compile_scalars(PgwCompile *cc, json_object *v, int *count, PgwScalar **values)
{
	bool array = json_object_is_type(v, json_type_array);
	size_t n = array ? json_object_array_length(v) : 1;

	if (n == 0)
		return pgw_fault(cc, "an empty array matches nothing; name at least one value");
	if ((*values = pgw_arena(cc, n, sizeof(PgwScalar))) == NULL)
		return false;
	*count = (int) n;
	if (!array)
		return compile_scalar(cc, v, *values);
	for (size_t i = 0; i < n; i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		if (!compile_scalar(cc, json_object_array_get_idx(v, i), *values + i))
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}

static bool
compile_condition(PgwCompile *cc, json_object *v, PgwCondition *cond)
{
	static const char *const keys[] = {"exists", NULL};

	if (json_object_is_type(v, json_type_object))
	{
		json_object *exists = NULL;

		if (!pgw_check_keys(cc, v, keys))
			return false;
		if (!json_object_object_get_ex(v, "exists", &exists) ||
			!json_object_is_type(exists, json_type_boolean))
			return pgw_fault_at(cc, "exists", "must be true or false");
		cond->exists_test = true;
		cond->exists = json_object_get_boolean(exists);
		return true;
	}
	return compile_scalars(cc, v, &cond->nvalues, &cond->values);
}

static bool
compile_outcome(PgwCompile *cc, json_object *v, PgwBankOp op, PgwRule *rule)
{
	bool lookup = op == PGW_OP_LOOKUP_CHARGE || op == PGW_OP_LOOKUP_REFUND;
	const char *s = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
	int outcome = pgw_outcome_parse(s);

	if (outcome >= 0)
	{
		rule->outcome = (PgwOutcome) outcome;
		if (outcome == PGW_OUT_NOT_FOUND && !lookup)
			return pgw_fault_at(
				cc, "outcome",
				"\"not_found\" is for look-ups only; here say \"rejected\", or \"unknown\" when in doubt");
		return true;
	}
	return pgw_fault_at(
		cc, "outcome",
		"%s: must be approved, declined, requires_action, pending, rejected, not_processed, unknown or, in look-ups, not_found",
		v == NULL ? "missing" : "unknown outcome");
}

static bool
compile_rule(PgwCompile *cc, json_object *v, PgwBankOp op, PgwRule *rule)
{
	static const char *const keys[] = {"status", "when", "outcome", NULL};
	json_object *part;
	size_t mark;

	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys))
		return false;
	if ((part = pgw_member(v, "status")) == NULL)
		return pgw_fault_at(
			cc, "status",
			"missing: must be a number such as 200, a class such as \"4xx\", \"*\", or an array of these");
	mark = pgw_enter(cc, "status");
	if (!compile_statuses(cc, part, rule))
		return false;
	pgw_leave(cc, mark);
	if (json_object_object_get_ex(v, "when", &part))
	{
		mark = pgw_enter(cc, "when");
		if (!pgw_is_object(cc, part))
			return false;
		if (json_object_object_length(part) == 0)
			return pgw_fault(cc, "empty: name a pointer and a value, or leave \"when\" out");
		rule->conditions =
			pgw_arena(cc, (size_t) json_object_object_length(part), sizeof(PgwCondition));
		if (rule->conditions == NULL)
			return false;
		json_object_object_foreach(part, key, value)
		{
			size_t inner = pgw_enter(cc, key);
			PgwCondition *cond = &rule->conditions[rule->nconditions++];

			if (!compile_pointer(cc, key, &cond->pointer) || !compile_condition(cc, value, cond))
				return false;
			pgw_leave(cc, inner);
		}
		pgw_leave(cc, mark);
	}
	return compile_outcome(cc, pgw_member(v, "outcome"), op, rule);
}

static bool
compile_rules(PgwCompile *cc, json_object *v, PgwBankOp op, PgwAnswerSpec *spec)
{
	size_t n;

	if (!json_object_is_type(v, json_type_array) || (n = json_object_array_length(v)) == 0)
		return pgw_fault(cc,
						 "%s: must be an array of at least one {\"status\", \"when\", \"outcome\"}",
						 v == NULL ? "missing" : "wrong");
	if ((spec->rules = pgw_arena(cc, n, sizeof(PgwRule))) == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		if (!compile_rule(cc, json_object_array_get_idx(v, i), op, &spec->rules[i]))
			return false;
		spec->nrules++;
		pgw_leave(cc, mark);
	}
	return true;
}

/* ---- fields and error codes ---- */

static bool
same_scalar(const PgwScalar *a, const PgwScalar *b)
{
	return a->type == b->type && a->number == b->number &&
		   (a->type != json_type_string || strcmp(a->text, b->text) == 0);
}

/*
 * A place where true means real money, or an object that says which values do, and which mean a
 * test.  One value cannot mean both, and neither side may be left out: what is not named is
 * neither.
 */
static bool
compile_livemode(PgwCompile *cc, json_object *v, PgwAnswerSpec *spec)
{
	static const char *const keys[] = {"at", "live", "test", NULL};
	const char *at;
	size_t mark;

	if (!pgw_since_version(cc, 2, "\"livemode\""))
		return false;
	spec->has_field[PGW_FIELD_LIVEMODE] = true;
	if (json_object_is_type(v, json_type_string))
		return (at = pgw_text_of(cc, v)) != NULL &&
			   compile_pointer(cc, at, &spec->fields[PGW_FIELD_LIVEMODE]);
	if (!json_object_is_type(v, json_type_object))
		return pgw_fault(
			cc,
			"must be a JSON pointer to true or false, or {\"at\": pointer, \"live\": values, \"test\": values}");
	if (!pgw_check_keys(cc, v, keys))
		return false;
	for (int i = 0; i < 3; i++)
	{
		json_object *part;
		bool good;

		if (!json_object_object_get_ex(v, keys[i], &part))
			return pgw_fault_at(cc, keys[i], "missing");
		mark = pgw_enter(cc, keys[i]);
		if (i == 0)
			good = (at = pgw_text_of(cc, part)) != NULL &&
				   compile_pointer(cc, at, &spec->fields[PGW_FIELD_LIVEMODE]);
		else if (i == 1)
			good = compile_scalars(cc, part, &spec->nlive, &spec->live);
		else
			good = compile_scalars(cc, part, &spec->ntest, &spec->test);
		if (!good)
			return false;
		pgw_leave(cc, mark);
	}
	for (int i = 0; i < spec->nlive * spec->ntest; i++)
	{
		if (same_scalar(&spec->live[i / spec->ntest], &spec->test[i % spec->ntest]))
			return pgw_fault(cc, "the same value stands under \"live\" and \"test\"");
	}
	return true;
}

static bool
compile_fields(PgwCompile *cc, json_object *v, PgwAnswerSpec *spec)
{
	const char *keys[PGW_NFIELDS + 2] = {NULL};

	if (!pgw_is_object(cc, v))
		return false;
	for (int i = 0; i < PGW_NFIELDS; i++)
		keys[i] = field_names[i];
	keys[PGW_NFIELDS] = "amount_format";
	if (!pgw_check_keys(cc, v, keys))
		return false;
	json_object_object_foreach(v, key, value)
	{
		size_t mark = pgw_enter(cc, key);
		const char *s;

		if (strcmp(key, field_names[PGW_FIELD_LIVEMODE]) == 0)
		{
			if (!compile_livemode(cc, value, spec))
				return false;
			pgw_leave(cc, mark);
			continue;
		}
		if ((s = pgw_text_of(cc, value)) == NULL)
			return false;
		if (strcmp(key, "amount_format") == 0)
		{
			spec->decimal = strcmp(s, "decimal") == 0;
			if (!spec->decimal && strcmp(s, "integer") != 0)
				return pgw_fault(
					cc, "must be \"integer\" (minor units) or \"decimal\" (such as \"12.34\")");
		}
		for (int i = 0; i < PGW_NFIELDS; i++)
		{
			if (strcmp(key, field_names[i]) != 0)
				continue;
			if (!compile_pointer(cc, s, &spec->fields[i]))
				return false;
			spec->has_field[i] = true;
		}
		pgw_leave(cc, mark);
	}
	return true;
}

static bool
compile_error_codes(PgwCompile *cc, json_object *v, PgwAnswerSpec *spec)
{
	if (!pgw_is_object(cc, v))
		return false;
	if (!spec->has_field[PGW_FIELD_BANK_CODE] && json_object_object_length(v) > 0)
		return pgw_fault(
			cc,
			"has no use without \"bank_code\" in \"fields\", which says where the bank's code is");
	spec->errors = pgw_arena(cc, (size_t) json_object_object_length(v), sizeof(PgwErrorMap));
	if (spec->errors == NULL)
		return false;
	json_object_object_foreach(v, key, value)
	{
		size_t mark = pgw_enter(cc, key);
		const char *s = pgw_text_of(cc, value);
		const PgwErrorInfo *info;

		if (s == NULL)
			return false;
		if ((info = pgw_error_find(s)) == NULL)
			return pgw_fault(
				cc,
				"unknown error code \"%.64s\"; it must be one of the list in docs/errors.md, such as \"declined\"",
				s);
		if (strcmp(key, "*") == 0)
			spec->default_error = info->code;
		else
		{
			PgwErrorMap *map = &spec->errors[spec->nerrors];

			if ((map->bank_code = pgw_arena_text(cc, key, strlen(key))) == NULL)
				return false;
			map->error_code = info->code;
			spec->nerrors++;
		}
		pgw_leave(cc, mark);
	}
	return true;
}

/*
 * Whether answers name our reference follows from "fields"; here it can only be said that they do
 * not.
 */
static bool
compile_echoed(PgwCompile *cc, json_object *v, PgwAnswerSpec *spec)
{
	bool echoed = json_object_get_boolean(v);

	if (!json_object_is_type(v, json_type_boolean))
		return pgw_fault_at(cc, "reference_echoed", "must be true or false");
	if (echoed && !spec->has_field[PGW_FIELD_REFERENCE])
		return pgw_fault_at(cc, "reference_echoed",
							"is true: then say where, as \"reference\" in \"fields\"");
	if (!echoed && spec->has_field[PGW_FIELD_REFERENCE])
		return pgw_fault_at(
			cc, "reference_echoed",
			"is false, but \"fields\" says where \"reference\" is echoed; leave one of them out");
	spec->not_echoed = !echoed;
	return true;
}

bool
pgw_compile_answer(PgwCompile *cc, json_object *v, PgwBankOp op, PgwAnswerSpec *spec)
{
	static const char *const keys[] = {"rules", "fields", "error_codes", "reference_echoed", NULL};
	json_object *part;
	size_t mark;

	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys))
		return false;
	mark = pgw_enter(cc, "rules");
	if (!compile_rules(cc, pgw_member(v, "rules"), op, spec))
		return false;
	pgw_leave(cc, mark);
	if ((part = pgw_member(v, "fields")) != NULL)
	{
		mark = pgw_enter(cc, "fields");
		if (!compile_fields(cc, part, spec))
			return false;
		pgw_leave(cc, mark);
	}
	if (json_object_object_get_ex(v, "reference_echoed", &part) && !compile_echoed(cc, part, spec))
		return false;
	if ((part = pgw_member(v, "error_codes")) != NULL)
	{
		mark = pgw_enter(cc, "error_codes");
		if (!compile_error_codes(cc, part, spec))
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}
