/*
 * compile_field.c - compile where the value of a field of an answer comes from
 *
 * Invariants: a field has one source in a document of version 1, a place; what is not the bank's
 * own word (a constant) is allowed only where it cannot make money of nothing: nothing captured,
 * nothing refunded, a currency, a text; and of what the bank holds none is all that there is.  An
 * amount, an id and a reference are always read.  Of headers only what they alone say of the answer
 * itself, and no look-up's id: many repeat what they were asked for, whatever is shown.
 */
#include "core/connector/compiled.h"

#include <stdio.h>
#include <string.h>

#include "core/base/money.h"
#include "core/base/mutant.h"

static const char *const field_names[PGW_NFIELDS] = {
	"bank_reference",    "authorization_code", "amount",  "currency",   "bank_code",
	"captured",          "refunded",           "voided",  "card_brand", "card_last4",
	"capture_reference", "reference",          "livemode"};

const char *
pgw_field_name(PgwAnswerField field)
{
	return field_names[field];
}

static bool
is_counted(PgwAnswerField field)
{
	return field == PGW_FIELD_CAPTURED || field == PGW_FIELD_REFUNDED;
}

static bool
is_id(PgwAnswerField field)
{
	return field == PGW_FIELD_BANK_REFERENCE || field == PGW_FIELD_CAPTURE_REFERENCE;
}

/* ---- one source ---- */

/* A constant that this field may have, as JSON. */
static bool
compile_constant(PgwCompile *cc, json_object *v, PgwAnswerField field, PgwFieldSource *source)
{
	bool good = false;
	const char *wanted = "a constant is not the bank's word: name where this stands in the answer";
	const char *s;

	switch (field)
	{
		case PGW_FIELD_AMOUNT:
		case PGW_FIELD_BANK_REFERENCE:
		case PGW_FIELD_CAPTURE_REFERENCE:
		case PGW_FIELD_REFERENCE:
			break;
		case PGW_FIELD_CAPTURED:
		case PGW_FIELD_REFUNDED:
			wanted = "must be 0: any other amount has to stand in the answer";
			good = json_object_is_type(v, json_type_int) && json_object_get_int64(v) == 0;
			break;
		case PGW_FIELD_VOIDED:
			wanted = "must be true or false";
			good = json_object_is_type(v, json_type_boolean);
			break;
		case PGW_FIELD_CURRENCY:
			wanted = "must be a string: a currency of ISO 4217 in three capital letters, \"EUR\"";
			good = json_object_is_type(v, json_type_string) &&
				   pgw_currency_find(json_object_get_string(v)) != NULL;
			break;
		case PGW_FIELD_CARD_LAST4:
			wanted = "is not the same of every card: name where it stands in the answer";
			break;
		default:
			wanted = "must be a string";
			good = json_object_is_type(v, json_type_string);
			break;
	}
	if (PGW_MUTATED(CONSTANT_MONEY))
		good = true;
	if (!good || (json_object_is_type(v, json_type_string) && pgw_text_of(cc, v) == NULL))
		return pgw_fault(cc, "%s", wanted);
	s = json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN);
	source->kind = PGW_SOURCE_CONSTANT;
	return (source->constant = pgw_arena_text(cc, s, strlen(s))) != NULL;
}

/* In the body. */
static bool
compile_pointer(PgwCompile *cc, json_object *v, PgwPointer *pointer)
{
	const char *s = pgw_text_of(cc, v);

	return s != NULL && pgw_compile_pointer(cc, s, pointer);
}

/* A member that must be there, and is a pointer. */
static bool
compile_pointer_member(PgwCompile *cc, json_object *v, const char *name, const char *missing,
					   PgwPointer *pointer)
{
	json_object *part;
	size_t mark;

	if (!json_object_object_get_ex(v, name, &part))
		return pgw_fault_at(cc, name, "missing: %s", missing);
	mark = pgw_enter(cc, name);
	if (!compile_pointer(cc, part, pointer))
		return false;
	pgw_leave(cc, mark);
	return true;
}

bool
pgw_compile_more(PgwCompile *cc, json_object *v, bool *has_more, PgwPointer *more)
{
	json_object *part;
	size_t mark;

	*has_more = false;
	if (!json_object_object_get_ex(v, "more", &part))
		return pgw_fault_at(
			cc, "more",
			"missing: where does the bank say that the list goes on elsewhere?  false, if it always shows all of it");
	if (json_object_is_type(part, json_type_boolean) && !json_object_get_boolean(part))
		return true;
	*has_more = true;
	mark = pgw_enter(cc, "more");
	if (!json_object_is_type(part, json_type_string))
		return pgw_fault(cc, "must be a JSON pointer, or false");
	if (!compile_pointer(cc, part, more))
		return false;
	pgw_leave(cc, mark);
	return true;
}

/*
 * What the bank shows is compared with all that was captured or refunded of the charge, earlier
 * operations included.
 */
static bool
check_whole(PgwCompile *cc, const PgwFieldSource *source)
{
	for (int i = 0; i < source->nwhere; i++)
	{
		for (int k = 0; k < source->where[i].nvalues; k++)
		{
			if (source->where[i].values[k].asked == PGW_PH_TRANSACTION_REF)
				return pgw_fault(
					cc,
					"{{transaction_ref}} picks one operation, but the sum has to be all that was captured or refunded of the charge: leave it out, or add \"lookup_refund\"");
		}
	}
	return true;
}

/* One object of conditions, or an array of them: any of these. */
static bool
compile_except(PgwCompile *cc, json_object *v, PgwFieldSource *source)
{
	bool array = json_object_is_type(v, json_type_array);
	size_t n = array ? json_object_array_length(v) : 1;

	if (source->nwhere == 0)
		return pgw_fault(cc, "there is no \"where\" that says what counts");
	if (n == 0)
		return pgw_fault(cc, "an empty list leaves nothing out; leave it out");
	if ((source->except = pgw_arena(cc, n, sizeof(PgwConditions))) == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		PgwConditions *one = &source->except[i];
		size_t mark = array ? pgw_enter_index(cc, i) : cc->len;

		if (!pgw_compile_conditions(cc, array ? json_object_array_get_idx(v, i) : v, "except",
									&one->conditions, &one->n))
			return false;
		pgw_leave(cc, mark);
		source->nexcept++;
	}
	return true;
}

/* What an element says of itself, where the document can say it. */
static bool
compile_element_place(PgwCompile *cc, json_object *v, const char *name, bool *has,
					  PgwPointer *pointer)
{
	if ((*has = json_object_object_get_ex(v, name, NULL)) == false)
		return true;
	return compile_pointer_member(cc, v, name, "a JSON pointer", pointer);
}

static bool
compile_sum(PgwCompile *cc, json_object *v, PgwAnswerField field, PgwFieldSource *source)
{
	json_object *part;
	size_t mark;

	if (!is_counted(field))
		return pgw_fault_at(cc, "sum", "only \"captured\" and \"refunded\" can be a sum");
	source->kind = PGW_SOURCE_SUM;
	if (!compile_pointer_member(cc, v, "sum", "a JSON pointer to the list", &source->from) ||
		!compile_pointer_member(cc, v, "of", "a JSON pointer to the amount in each element",
								&source->of))
		return false;
	if (json_object_object_get_ex(v, "where", &part))
	{
		mark = pgw_enter(cc, "where");
		if (!pgw_compile_conditions(cc, part, "where", &source->where, &source->nwhere) ||
			!check_whole(cc, source))
			return false;
		pgw_leave(cc, mark);
	}
	if (json_object_object_get_ex(v, "except", &part))
	{
		mark = pgw_enter(cc, "except");
		if (!compile_except(cc, part, source))
			return false;
		pgw_leave(cc, mark);
	}
	if (!compile_element_place(cc, v, "currency", &source->has_currency, &source->currency) ||
		!compile_element_place(cc, v, "id", &source->has_id, &source->id))
		return false;
	return pgw_compile_more(cc, v, &source->has_more, &source->more);
}

/* A list of places, behind those that are there already. */
static bool
compile_parts(PgwCompile *cc, json_object *v, const char *name, PgwPointer *parts, int *n)
{
	json_object *list = pgw_member(v, name);
	size_t mark = pgw_enter(cc, name);

	if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) == 0)
		return pgw_fault(cc, "must be an array of JSON pointers to amounts");
	for (size_t i = 0; i < json_object_array_length(list); i++)
	{
		size_t at = pgw_enter_index(cc, i);

		if (!compile_pointer(cc, json_object_array_get_idx(list, i), &parts[i]))
			return false;
		pgw_leave(cc, at);
		(*n)++;
	}
	pgw_leave(cc, mark);
	return true;
}

/* {"total": places, "less": places} */
static bool
compile_total(PgwCompile *cc, json_object *v, PgwAnswerField field, PgwFieldSource *source)
{
	json_object *total = pgw_member(v, "total");
	json_object *less = pgw_member(v, "less");
	size_t n = (json_object_is_type(total, json_type_array) ? json_object_array_length(total) : 0) +
			   (json_object_is_type(less, json_type_array) ? json_object_array_length(less) : 0);

	if (!is_counted(field))
		return pgw_fault_at(cc, "total", "only \"captured\" and \"refunded\" can be a total");
	source->kind = PGW_SOURCE_TOTAL;
	return (source->parts = pgw_arena(cc, n, sizeof(PgwPointer))) != NULL &&
		   compile_parts(cc, v, "total", source->parts, &source->ntotal) &&
		   compile_parts(cc, v, "less", source->parts + source->ntotal, &source->nless);
}

/*
 * {"from", "behind"}: the id at the end of a URL.  What must stand before it is named, because the
 * end of any other URL (a login page's, an error's) would be taken for one, too.
 */
static bool
compile_behind(PgwCompile *cc, json_object *v, PgwFieldSource *source)
{
	const char *s = pgw_text_of(cc, v);

	if (s == NULL)
		return false;
	if (strlen(s) < 3 || s[0] != '/' || s[strlen(s) - 1] != '/')
		return pgw_fault(
			cc,
			"must be what stands before the id in the URL, with both its slashes: \"/captures/\"");
	return (source->behind = pgw_arena_text(cc, s, strlen(s))) != NULL;
}

/* What stands somewhere in the answer, or of some fields in its headers. */
static bool
compile_place(PgwCompile *cc, json_object *v, PgwAnswerField field, PgwFieldSource *source)
{
	const char *s = pgw_text_of(cc, v);

	return s != NULL && pgw_compile_place(cc, s, &source->from) &&
		   (source->from.header == 0 || is_id(field) || field == PGW_FIELD_AUTHORIZATION_CODE ||
			field == PGW_FIELD_BANK_CODE ||
			pgw_fault(
				cc,
				"\"%s\" cannot stand in a header: name where it stands in the body, with what it is about",
				pgw_field_name(field)));
}

static bool
compile_from(PgwCompile *cc, json_object *v, PgwAnswerField field, PgwFieldSource *source)
{
	static const char *const keys[] = {"when", "from", "behind", NULL};
	json_object *part;
	size_t mark;

	if (!pgw_check_keys(cc, v, keys))
		return false;
	if (!json_object_object_get_ex(v, "from", &part))
		return pgw_fault_at(cc, "from",
							"missing: one of \"from\", \"value\", \"sum\" and \"total\"");
	mark = pgw_enter(cc, "from");
	if (!compile_place(cc, part, field, source))
		return false;
	pgw_leave(cc, mark);
	if (!json_object_object_get_ex(v, "behind", &part))
		return true;
	mark = pgw_enter(cc, "behind");
	if (!is_id(field))
		return pgw_fault(cc, "is for ids only");
	if (!compile_behind(cc, part, source))
		return false;
	pgw_leave(cc, mark);
	return true;
}

/*
 * {"when", "from", "behind"}, {"when", "value"},
 * {"when", "sum", "of", "where", "except", "currency", "id", "more"},
 * {"when", "total", "less"}
 */
static bool
compile_source_object(PgwCompile *cc, json_object *v, PgwAnswerField field, PgwFieldSource *source)
{
	static const char *const constant_keys[] = {"when", "value", NULL};
	static const char *const sum_keys[] = {"when",     "sum", "of",   "where", "except",
										   "currency", "id",  "more", NULL};
	static const char *const total_keys[] = {"when", "total", "less", NULL};
	bool sum = json_object_object_get_ex(v, "sum", NULL);
	json_object *part;
	size_t mark;

	if (json_object_object_get_ex(v, "when", &part))
	{
		mark = pgw_enter(cc, "when");
		if (!pgw_compile_conditions(cc, part, "when", &source->when, &source->nwhen))
			return false;
		pgw_leave(cc, mark);
	}
	if (sum)
		return pgw_check_keys(cc, v, sum_keys) && compile_sum(cc, v, field, source);
	if (json_object_object_get_ex(v, "total", NULL))
		return pgw_check_keys(cc, v, total_keys) && compile_total(cc, v, field, source);
	if (!json_object_object_get_ex(v, "value", &part))
		return compile_from(cc, v, field, source);
	if (!pgw_check_keys(cc, v, constant_keys))
		return false;
	mark = pgw_enter(cc, "value");
	if (!compile_constant(cc, part, field, source))
		return false;
	pgw_leave(cc, mark);
	return true;
}

/* Are all names places?  Then the object is a test. */
static bool
is_test(json_object *v)
{
	json_object_object_foreach(v, key, value)
	{
		(void) value;
		if (!pgw_is_place(key))
			return false;
	}
	return json_object_object_length(v) > 0;
}

static bool
compile_source(PgwCompile *cc, json_object *v, PgwAnswerField field, PgwFieldSource *source)
{
	if (!json_object_is_type(v, json_type_object))
		return compile_place(cc, v, field, source);
	if (!pgw_since_version(cc, 2, "where a value comes from, as an object,"))
		return false;
	if (!is_test(v))
		return compile_source_object(cc, v, field, source);
	if (field != PGW_FIELD_VOIDED)
		return pgw_fault(
			cc, "a test is true or false, which only \"voided\" can be; say {\"when\": ..., ...}");
	source->kind = PGW_SOURCE_TEST;
	return pgw_compile_conditions(cc, v, "voided", &source->when, &source->nwhen);
}

/* ---- all of them ---- */

/*
 * A constant of what the bank holds that holds for each answer would be taken for something the
 * bank shows: nothing refunded, so a lost refund is made again; all voided, so nothing has to be
 * given back.
 */
static bool
check_constants(PgwCompile *cc, PgwAnswerField which, const PgwField *field)
{
	const PgwFieldSource *last = &field->sources[field->nsources - 1];

	if ((which != PGW_FIELD_VOIDED && !is_counted(which)) || last->kind != PGW_SOURCE_CONSTANT ||
		last->nwhen > 0 || PGW_MUTATED(CONSTANT_ALWAYS))
		return true;
	if (which == PGW_FIELD_VOIDED && strcmp(last->constant, "true") == 0)
		return pgw_fault(
			cc,
			"true needs a \"when\": whatever an answer says, nothing would be left to give back");
	return field->nsources > 1 ||
		   pgw_fault(
			   cc,
			   "the same for every answer: the bank shows nothing here; leave it out, or say where it stands");
}

static bool
compile_field(PgwCompile *cc, json_object *v, PgwAnswerField which, PgwField *field)
{
	bool array = json_object_is_type(v, json_type_array);
	size_t n = array ? json_object_array_length(v) : 1;

	if (array && !pgw_since_version(cc, 2, "a list of alternatives"))
		return false;
	if (n == 0)
		return pgw_fault(cc, "an empty list is nowhere; name at least one place");
	if ((field->sources = pgw_arena(cc, n, sizeof(PgwFieldSource))) == NULL)
		return false;
	field->nsources = (int) n;
	if (!array)
		return compile_source(cc, v, which, &field->sources[0]) &&
			   check_constants(cc, which, field);
	for (size_t i = 0; i < n; i++)
	{
		size_t mark = pgw_enter_index(cc, i);

		if (!compile_source(cc, json_object_array_get_idx(v, i), which, &field->sources[i]))
			return false;
		if (field->sources[i].kind == PGW_SOURCE_CONSTANT && field->sources[i].nwhen == 0 &&
			i + 1 < n)
			return pgw_fault(cc, "always there: what follows is never asked; put it last");
		pgw_leave(cc, mark);
	}
	return check_constants(cc, which, field);
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
	PgwField *field = &spec->fields[PGW_FIELD_LIVEMODE];
	size_t mark;

	if (!pgw_since_version(cc, 2, "\"livemode\""))
		return false;
	spec->has_field[PGW_FIELD_LIVEMODE] = true;
	field->nsources = 1;
	if ((field->sources = pgw_arena(cc, 1, sizeof(PgwFieldSource))) == NULL)
		return false;
	if (json_object_is_type(v, json_type_string))
		return compile_pointer(cc, v, &field->sources[0].from);
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
			good = compile_pointer(cc, part, &field->sources[0].from);
		else if (i == 1)
			good = pgw_compile_values(cc, part, &spec->nlive, &spec->live);
		else
			good = pgw_compile_values(cc, part, &spec->ntest, &spec->test);
		if (!good)
			return false;
		pgw_leave(cc, mark);
	}
	for (int i = 0; i < spec->nlive * spec->ntest; i++)
	{
		if (pgw_same_value(&spec->live[i / spec->ntest], &spec->test[i % spec->ntest]))
			return pgw_fault(cc, "the same value stands under \"live\" and \"test\"");
	}
	return true;
}

static bool
compile_amount_format(PgwCompile *cc, json_object *v, PgwAnswerSpec *spec)
{
	const char *s = pgw_text_of(cc, v);

	if (s == NULL)
		return false;
	spec->decimal = strcmp(s, "decimal") == 0;
	return spec->decimal || strcmp(s, "integer") == 0 ||
		   pgw_fault(cc, "must be \"integer\" (minor units) or \"decimal\" (such as \"12.34\")");
}

static bool
compile_one_field(PgwCompile *cc, const char *name, json_object *v, PgwAnswerSpec *spec)
{
	if (strcmp(name, "amount_format") == 0)
		return compile_amount_format(cc, v, spec);
	if (strcmp(name, field_names[PGW_FIELD_LIVEMODE]) == 0)
		return compile_livemode(cc, v, spec);
	if (strcmp(name, field_names[PGW_FIELD_CAPTURE_REFERENCE]) == 0 &&
		!pgw_since_version(cc, 2, "\"capture_reference\""))
		return false;
	for (int i = 0; i < PGW_FIELD_LIVEMODE; i++)
	{
		if (strcmp(name, field_names[i]) == 0)
			return (spec->has_field[i] =
						compile_field(cc, v, (PgwAnswerField) i, &spec->fields[i]));
	}
	return true; /* told of already */
}

bool
pgw_fields_share_a_place(const PgwAnswerSpec *spec, PgwAnswerField a, PgwAnswerField b)
{
	const PgwField *x = &spec->fields[a];
	const PgwField *y = &spec->fields[b];

	for (int i = 0; spec->has_field[a] && i < x->nsources; i++)
	{
		for (int k = 0; spec->has_field[b] && k < y->nsources; k++)
		{
			if (x->sources[i].kind == PGW_SOURCE_PLACE && y->sources[k].kind == PGW_SOURCE_PLACE &&
				x->sources[i].nwhen == 0 && y->sources[k].nwhen == 0 &&
				pgw_same_place(&x->sources[i].from, &y->sources[k].from))
				return true;
		}
	}
	return false;
}

bool
pgw_compile_fields(PgwCompile *cc, json_object *v, PgwAnswerSpec *spec)
{
	const char *keys[PGW_NFIELDS + 2] = {NULL};
	bool good;

	if (!pgw_is_object(cc, v))
		return false;
	for (int i = 0; i < PGW_NFIELDS; i++)
		keys[i] = field_names[i];
	keys[PGW_NFIELDS] = "amount_format";
	good = pgw_check_keys(cc, v, keys);
	json_object_object_foreach(v, key, value)
	{
		size_t mark = pgw_enter(cc, key);

		good &= compile_one_field(cc, key, value, spec);
		pgw_leave(cc, mark);
	}
	if (good && pgw_fields_share_a_place(spec, PGW_FIELD_CAPTURED, PGW_FIELD_REFUNDED))
		return pgw_fault_at(
			cc, "refunded",
			"stands where \"captured\" does: every charge that was captured would be taken for given back");
	return good;
}
