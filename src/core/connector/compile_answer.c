/*
 * compile_answer.c - compile the answer side of an operation: rules, selection, error codes
 *
 * Invariants: every rule has at least one status and an outcome that its operation can have;
 * a selection names something of the question; every error code named is one of our stable list.
 */
#include "core/connector/compiled.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/error_codes.h"

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

/* What the bank may say of the key alone: nothing is known of what came under it before. */
static bool
compile_key_word(const char *s, PgwRule *rule)
{
	rule->outcome = PGW_OUT_UNKNOWN;
	for (PgwKeyWord word = PGW_KEY_IN_PROGRESS; pgw_key_word_name(word) != NULL; word++)
	{
		if (strcmp(s, pgw_key_word_name(word)) == 0)
			rule->key_word = word;
	}
	return rule->key_word != PGW_KEY_UNSAID;
}

/* A no for the state that the charge is in, and no other reason. */
static bool
compile_state_word(const char *s, PgwRule *rule)
{
	rule->error_code = strcmp(s, PGW_REFUND_UNSETTLED) == 0 ? PGW_REFUND_UNSETTLED
					   : strcmp(s, PGW_VOID_SETTLED) == 0   ? PGW_VOID_SETTLED
															: NULL;
	rule->outcome = PGW_OUT_DECLINED;
	return rule->error_code != NULL;
}

/* The bank has taken the order: of what follows a charge, and pgw sends once. */
static bool
compile_accepted(PgwCompile *cc, PgwBankOp op)
{
	if (!pgw_since_version(cc, 2, "this outcome"))
		return false;
	if (op != PGW_OP_CAPTURE && op != PGW_OP_VOID && op != PGW_OP_REFUND && op != PGW_OP_REVERSE)
		return pgw_fault_at(
			cc, "outcome",
			"\"accepted\" is for \"capture\", \"void\", \"refund\" and \"reverse\"; a charge or a look-up says \"pending\"");
	cc->connector->caps.accepts[op] = true;
	return true;
}

static bool
compile_outcome(PgwCompile *cc, json_object *v, PgwBankOp op, PgwRule *rule)
{
	bool lookup = op == PGW_OP_LOOKUP_CHARGE || op == PGW_OP_LOOKUP_REFUND ||
				  op == PGW_OP_VERIFY_NOTIFICATION;
	const char *s = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
	int outcome = pgw_outcome_parse(s);

	if (compile_key_word(s, rule))
	{
		if (!pgw_since_version(cc, 2, "this outcome"))
			return false;
		if (cc->connector->caps.keys[op].honoured || cc->capabilities_at_fault)
			return true;
		/* of several operations' answer it is for those of them that have a key */
		rule->key_word = PGW_KEY_UNSAID;
		return cc->named_answer ||
			   pgw_fault_at(
				   cc, "outcome",
				   "is about the request's key, and this operation has no \"idempotency\"");
	}
	if (compile_state_word(s, rule))
	{
		PgwBankOp fits = strcmp(s, PGW_VOID_SETTLED) == 0 ? PGW_OP_VOID : PGW_OP_REFUND;

		if (!pgw_since_version(cc, 2, "this outcome"))
			return false;
		return op == fits || pgw_fault_at(cc, "outcome", "is for \"%s\" only", pgw_op_name(fits));
	}
	if (outcome >= 0)
	{
		rule->outcome = (PgwOutcome) outcome;
		if (outcome == PGW_OUT_NOT_FOUND && !lookup)
			return pgw_fault_at(
				cc, "outcome",
				"\"not_found\" is for look-ups only; here say \"rejected\", or \"unknown\" when in doubt");
		return outcome != PGW_OUT_ACCEPTED || compile_accepted(cc, op);
	}
	return pgw_fault_at(
		cc, "outcome",
		"%s: must be approved, declined, requires_action, pending, rejected, not_processed, unknown, for what follows a charge accepted or, in look-ups, not_found",
		v == NULL ? "missing" : "unknown outcome");
}

/* Whatever the status, what an empty answer can say of this operation. */
static bool
may_be_empty(PgwBankOp op, PgwOutcome outcome)
{
	if (pgw_op_is_lookup(op))
		return outcome == PGW_OUT_NOT_FOUND;
	/* what the notification says stands in its body */
	if (op == PGW_OP_VERIFY_NOTIFICATION)
		return outcome == PGW_OUT_NOT_FOUND;
	/* ... if a header names its id: check_headers() */
	if (op == PGW_OP_CHARGE || op == PGW_OP_AUTHORIZE)
		return outcome == PGW_OUT_PENDING;
	return outcome == PGW_OUT_APPROVED || outcome == PGW_OUT_PENDING || outcome == PGW_OUT_ACCEPTED;
}

/*
 * "body": "empty".  An answer that was cut off before its first byte, and many of a proxy's, are
 * empty, too.  So it says something under a status that is named exactly and is a success; of a
 * charge no more than that it was accepted, if a header names its id, because it names no amount;
 * and that something is not there by 204 alone, which cannot have a body.
 */
static bool
compile_empty(PgwCompile *cc, json_object *v, PgwBankOp op, PgwRule *rule)
{
	bool exact = true;

	if (!json_object_is_type(v, json_type_string) ||
		strcmp(json_object_get_string(v), "empty") != 0)
		return pgw_fault_at(cc, "body", "must be \"empty\"");
	if (!pgw_since_version(cc, 2, "\"body\" of a rule"))
		return false;
	if (!pgw_conditions_of_headers(rule->conditions, rule->nconditions))
		return pgw_fault_at(cc, "when", "an empty answer has only headers that could be asked for");
	if (!may_be_empty(op, rule->outcome))
		return pgw_fault_at(
			cc, "body",
			"an empty answer can be \"approved\", \"accepted\" or \"pending\" for what follows a charge, and \"not_found\" for a look-up; of a charge it names no amount");
	for (int i = 0; i < rule->nstatuses; i++)
	{
		int status = rule->statuses[i].from;

		exact &= status == rule->statuses[i].to && status >= 200 && status <= 299 &&
				 (status == 204 || rule->outcome != PGW_OUT_NOT_FOUND);
	}
	rule->empty = true;
	return exact || pgw_fault_at(cc, "status",
								 rule->outcome == PGW_OUT_NOT_FOUND
									 ? "must be 204, which never has a body"
									 : "must name each status exactly: 204, 202 ...");
}

static bool
compile_rule(PgwCompile *cc, json_object *v, PgwBankOp op, PgwRule *rule)
{
	static const char *const keys[] = {"status", "when", "body", "outcome", NULL};
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
		if (!pgw_compile_conditions(cc, part, "when", &rule->conditions, &rule->nconditions))
			return false;
		pgw_leave(cc, mark);
	}
	return compile_outcome(cc, pgw_member(v, "outcome"), op, rule) &&
		   (!json_object_object_get_ex(v, "body", &part) || compile_empty(cc, part, op, rule)) &&
		   pgw_check_rule(cc, op, rule);
}

static bool
compile_rules(PgwCompile *cc, json_object *v, PgwBankOp op, PgwAnswerSpec *spec)
{
	bool good = true;
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

		good &= compile_rule(cc, json_object_array_get_idx(v, i), op, &spec->rules[i]);
		spec->nrules++;
		pgw_leave(cc, mark);
	}
	return good;
}

/* ---- error codes, echo, selection ---- */

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

/* Does the element say the reference that the question was about?  Then it is its answer. */
static bool
names_our_reference(const PgwSelect *select, PgwBankOp op)
{
	PgwPlaceholder ours = op == PGW_OP_LOOKUP_REFUND ? PGW_PH_TRANSACTION_REF : PGW_PH_ORIGINAL_REF;

	for (int i = 0; i < select->nwhere; i++)
	{
		if (select->where[i].nvalues == 1 && select->where[i].values[0].asked == ours)
			return true;
	}
	return false;
}

/* What of the question its conditions compare with. */
static uint64_t
asked_by(const PgwSelect *select)
{
	uint64_t asked = 0;

	for (int i = 0; i < select->nwhere; i++)
	{
		for (int k = 0; k < select->where[i].nvalues; k++)
		{
			if (select->where[i].values[k].asked != PGW_PH_NONE)
				asked |= PGW_PH_BIT(select->where[i].values[k].asked);
		}
	}
	return asked;
}

/* Is the element told from all others: by our reference of it, or by the bank's id? */
static bool
names_the_question(const PgwSelect *select, PgwBankOp op)
{
	PgwPlaceholder its_id =
		op == PGW_OP_LOOKUP_CHARGE ? PGW_PH_BANK_REFERENCE : PGW_PH_OPERATION_REFERENCE;

	for (int i = 0; i < select->nwhere; i++)
	{
		if (select->where[i].nvalues == 1 && select->where[i].values[0].asked == its_id)
			return true;
	}
	return names_our_reference(select, op);
}

/*
 * {"query": name, "from": pointer} or {"query": name, "last": pointer}: which parameter of the same
 * request asks for the next page, and its value.  Never an address: a bank could send us elsewhere.
 */
static bool
compile_next(PgwCompile *cc, json_object *v, PgwSelect *select)
{
	static const char *const keys[] = {"query", "from", "last", NULL};
	json_object *query;
	json_object *place;
	const char *s;
	size_t mark;

	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys))
		return false;
	query = pgw_member(v, "query");
	if (!json_object_is_type(query, json_type_string) || json_object_get_string_len(query) == 0)
		return pgw_fault_at(cc, "query", "must be the name of the parameter in the query");
	if ((s = pgw_text_of(cc, query)) == NULL ||
		(select->next_name = pgw_arena_text(cc, s, strlen(s))) == NULL)
		return false;
	select->next_of_last = json_object_object_get_ex(v, "last", &place);
	if (select->next_of_last == json_object_object_get_ex(v, "from", NULL))
		return pgw_fault(
			cc,
			"one of \"from\" and \"last\" must say where its value stands: in the whole answer, or in the list's last element");
	if (!select->next_of_last)
		place = pgw_member(v, "from");
	mark = pgw_enter(cc, select->next_of_last ? "last" : "from");
	if ((s = pgw_text_of(cc, place)) == NULL || !pgw_compile_pointer(cc, s, &select->next))
		return false;
	pgw_leave(cc, mark);
	return select->has_more ||
		   pgw_fault(cc, "\"more\" is false: then there is no next page to be asked for");
}

/*
 * {"when": conditions, "in": pointer to the list, "where": conditions, "more": pointer or false,
 * "next": how to ask for the next page}
 */
static bool
compile_select(PgwCompile *cc, json_object *v, PgwBankOp op, PgwSelect *select)
{
	static const char *const keys[] = {"when", "in", "where", "more", "next", NULL};
	json_object *part;
	const char *in;
	size_t mark;

	if (!pgw_since_version(cc, 2, "a selection"))
		return false;
	if (op != PGW_OP_LOOKUP_CHARGE && op != PGW_OP_LOOKUP_REFUND)
		return pgw_fault(cc, "is for look-ups only: the answer to another request is about itself");
	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys))
		return false;
	if (json_object_object_get_ex(v, "when", &part))
	{
		mark = pgw_enter(cc, "when");
		if (!pgw_compile_conditions(cc, part, "when", &select->when, &select->nwhen))
			return false;
		pgw_leave(cc, mark);
	}
	if ((part = pgw_member(v, "in")) == NULL)
		return pgw_fault_at(cc, "in", "missing: a JSON pointer to the list, \"\" for the whole");
	mark = pgw_enter(cc, "in");
	if ((in = pgw_text_of(cc, part)) == NULL || !pgw_compile_pointer(cc, in, &select->in))
		return false;
	pgw_leave(cc, mark);
	if ((part = pgw_member(v, "where")) == NULL)
		return pgw_fault_at(cc, "where", "missing: which element is the one asked for?");
	mark = pgw_enter(cc, "where");
	if (!pgw_compile_conditions(cc, part, "where", &select->where, &select->nwhere))
		return false;
	select->asked = asked_by(select);
	if (!names_the_question(select, op))
		return pgw_fault(
			cc,
			"the element is not told from others by anything that was asked for: %s must be one of the values",
			op == PGW_OP_LOOKUP_REFUND
				? "{{transaction_ref}} or {{operation_reference}}, which no other refund of the charge has,"
				: "{{original_ref}} or {{bank_reference}}");
	pgw_leave(cc, mark);
	select->present = true;
	select->by_our_reference = names_our_reference(select, op);
	if (!pgw_compile_more(cc, v, &select->has_more, &select->more))
		return false;
	if (json_object_object_get_ex(v, "next", &part))
	{
		mark = pgw_enter(cc, "next");
		if (!compile_next(cc, part, select))
			return false;
		pgw_leave(cc, mark);
	}
	return true;
}

/* Where the answer stands: with its operation, or by name. */
static bool
note_place(PgwCompile *cc, const char *name, PgwAnswerSpec *spec)
{
	PgwCompile at = {0};

	if (name == NULL)
		spec->pointer = pgw_arena_text(cc, cc->pointer, cc->len);
	else
	{
		pgw_enter(&at, "answers");
		pgw_enter(&at, name);
		spec->pointer = pgw_arena_text(cc, at.pointer, at.len);
	}
	return spec->pointer != NULL;
}

/* An answer that several operations have stands once, in "answers", and is named. */
static bool
find_answer(PgwCompile *cc, json_object **v, PgwAnswerSpec *spec)
{
	const char *name;

	cc->named_answer = json_object_is_type(*v, json_type_string);
	if (!cc->named_answer)
		return note_place(cc, NULL, spec);
	if (!pgw_since_version(cc, 2, "an answer by name") || (name = pgw_text_of(cc, *v)) == NULL)
		return false;
	if (cc->answers == NULL || (*v = pgw_member(cc->answers, name)) == NULL)
		return pgw_fault(cc, "there is no answer \"%.64s\" in \"answers\"", name);
	return note_place(cc, name, spec);
}

static bool
compile_format(PgwCompile *cc, json_object *v, PgwAnswerSpec *spec)
{
	const char *s = json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";

	spec->form = strcmp(s, "form") == 0;
	if (!spec->form && strcmp(s, "json") != 0)
		return pgw_fault_at(cc, "format", "must be \"json\" or \"form\"");
	return pgw_since_version(cc, 2, "\"format\"");
}

/*
 * "statuses": what the bank's manual says may stand somewhere.  It decides nothing: warnings.c says
 * which of the values no rule names, and which that a rule names is none of them.
 */
static bool
compile_statuses_of_bank(PgwCompile *cc, json_object *v, PgwAnswerSpec *spec)
{
	if (!pgw_since_version(cc, 2, "\"statuses\"") ||
		!pgw_compile_conditions(cc, v, "statuses", &spec->declared, &spec->ndeclared))
		return false;
	for (int i = 0; i < spec->ndeclared; i++)
	{
		const PgwCondition *declared = &spec->declared[i];
		bool asked = false;

		for (int k = 0; k < declared->nvalues; k++)
			asked |= declared->values[k].asked != PGW_PH_NONE;
		if (declared->exists_test || asked)
			return pgw_fault_at(
				cc, declared->written,
				"must be the values that the bank's manual names: [\"paid\", \"failed\"]");
	}
	return true;
}

static bool
takes_from_header(const PgwField *field)
{
	for (int i = 0; i < field->nsources; i++)
	{
		if (field->sources[i].from.header != 0)
			return true;
	}
	return false;
}

/*
 * A look-up's id is what shows whose charge it found, and a header may do no more than repeat the
 * address that was asked for.  An empty answer to a charge is one of which only a header can say
 * the id.
 */
static bool
check_headers(PgwCompile *cc, PgwBankOp op, const PgwAnswerSpec *spec)
{
	bool by_header = takes_from_header(&spec->fields[PGW_FIELD_BANK_REFERENCE]);

	if (pgw_op_is_lookup(op) && by_header)
	{
		pgw_enter(cc, "fields");
		return pgw_fault_at(
			cc, "bank_reference",
			"a look-up's stands in the body, with what it shows: a header may only repeat what was asked for");
	}
	for (int i = 0; i < spec->nrules && (op == PGW_OP_CHARGE || op == PGW_OP_AUTHORIZE); i++)
	{
		if (!spec->rules[i].empty || by_header)
			continue;
		pgw_enter(cc, "rules");
		pgw_enter_index(cc, (size_t) i);
		return pgw_fault_at(
			cc, "body",
			"an empty answer to a charge names no id, unless \"bank_reference\" is in one of its headers");
	}
	return true;
}

bool
pgw_compile_answer(PgwCompile *cc, json_object *v, PgwBankOp op, PgwAnswerSpec *spec)
{
	static const char *const keys[] = {
		"format", "rules", "select", "fields", "error_codes", "reference_echoed", "statuses", NULL};
	json_object *part;
	size_t mark;
	bool good;

	cc->headers = 0;
	if (!find_answer(cc, &v, spec) || !pgw_is_object(cc, v))
		return false;
	mark = cc->len;
	good = pgw_check_keys(cc, v, keys);
	if (json_object_object_get_ex(v, "format", &part))
		good &= compile_format(cc, part, spec);
	pgw_enter(cc, "rules");
	good &= compile_rules(cc, pgw_member(v, "rules"), op, spec);
	pgw_leave(cc, mark);
	if (json_object_object_get_ex(v, "select", &part))
	{
		pgw_enter(cc, "select");
		good &= spec->form ? pgw_fault(cc, "a form has no list")
						   : compile_select(cc, part, op, &spec->select);
		pgw_leave(cc, mark);
	}
	if ((part = pgw_member(v, "fields")) != NULL)
	{
		pgw_enter(cc, "fields");
		good &= pgw_compile_fields(cc, part, spec);
		pgw_leave(cc, mark);
	}
	/* what follows is about rules and fields */
	if (!good)
		return false;
	if (json_object_object_get_ex(v, "statuses", &part))
	{
		pgw_enter(cc, "statuses");
		good &= compile_statuses_of_bank(cc, part, spec);
		pgw_leave(cc, mark);
	}
	if (json_object_object_get_ex(v, "reference_echoed", &part))
		good &= compile_echoed(cc, part, spec);
	if ((part = pgw_member(v, "error_codes")) != NULL)
	{
		pgw_enter(cc, "error_codes");
		good &= compile_error_codes(cc, part, spec);
		pgw_leave(cc, mark);
	}
	spec->headers = cc->headers;
	return good && check_headers(cc, op, spec);
}
