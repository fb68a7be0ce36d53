/*
 * compile.c - compile a connector document: the whole
 *
 * Owns the life of a PgwConnector and its arena.  Invariants: a connector that was compiled has
 * everything that rendering and judging need, so neither looks for gaps again; each fault names
 * its place and what would be right there.
 */
#include "core/connector/compiled.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/money.h"
#include "core/base/mutant.h"
#include "core/json/json_read.h"

/* ---- places, faults, arena ---- */

size_t
pgw_enter(PgwCompile *cc, const char *step)
{
	size_t mark = cc->len;
	size_t last = sizeof(cc->pointer) - 1;

	if (cc->len < last)
		cc->pointer[cc->len++] = '/';
	for (; *step != '\0' && cc->len + 2 <= last; step++)
	{
		if (*step == '~' || *step == '/')
		{
			cc->pointer[cc->len++] = '~';
			cc->pointer[cc->len++] = *step == '~' ? '0' : '1';
		}
		else
			cc->pointer[cc->len++] = *step;
	}
	cc->pointer[cc->len] = '\0';
	return mark;
}

size_t
pgw_enter_index(PgwCompile *cc, size_t index)
{
	char step[24];

	snprintf(step, sizeof(step), "%zu", index);
	return pgw_enter(cc, step);
}

void
pgw_leave(PgwCompile *cc, size_t mark)
{
	cc->len = mark;
	cc->pointer[mark] = '\0';
}

/*
 * Take out of UTF-8 that was cut, at its end or where a piece was put in, the characters that are
 * not whole: it goes into an error of the server's, which must be valid.
 */
void
pgw_drop_cut_characters(char *s)
{
	char *to = s;

	while (*s != '\0')
	{
		unsigned char lead = (unsigned char) *s;
		int len = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
		int have = 1;

		while (have < len && ((unsigned char) s[have] & 0xC0) == 0x80)
			have++;
		if (have == len)
		{
			memmove(to, s, (size_t) len);
			to += len;
		}
		s += have;
	}
	*to = '\0';
}

static bool fault_va(PgwCompile *cc, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));

static bool
fault_va(PgwCompile *cc, const char *fmt, va_list args)
{
	PgwConnectorError *fault = cc->nfaults < cc->maxfaults ? &cc->faults[cc->nfaults] : NULL;

	cc->nfaults++;
	if (fault == NULL)
		return false;
	snprintf(fault->pointer, sizeof(fault->pointer), "%s", cc->pointer);
	vsnprintf(fault->message, sizeof(fault->message), fmt, args);
	pgw_drop_cut_characters(fault->pointer);
	pgw_drop_cut_characters(fault->message);
	return false;
}

bool
pgw_fault(PgwCompile *cc, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fault_va(cc, fmt, args);
	va_end(args);
	return false;
}

bool
pgw_since_version(PgwCompile *cc, int version, const char *what)
{
	return cc->version >= version ||
		   pgw_fault(cc, "%s needs version %d of the document format: write \"v\": %d", what,
					 version, version);
}

bool
pgw_fault_at(PgwCompile *cc, const char *step, const char *fmt, ...)
{
	va_list args;
	size_t mark = pgw_enter(cc, step);

	va_start(args, fmt);
	fault_va(cc, fmt, args);
	va_end(args);
	pgw_leave(cc, mark);
	return false;
}

void *
pgw_arena(PgwCompile *cc, size_t n, size_t size)
{
	size_t bytes;
	PgwChunk *chunk;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 2 ||
		(chunk = calloc(1, sizeof(PgwChunk) + bytes)) == NULL)
	{
		pgw_fault(cc, "out of memory");
		return NULL;
	}
	chunk->next = cc->connector->chunks;
	cc->connector->chunks = chunk;
	return chunk + 1;
}

char *
pgw_arena_text(PgwCompile *cc, const char *s, size_t len)
{
	char *copy = pgw_arena(cc, len + 1, 1);

	if (copy != NULL && len > 0)
		memcpy(copy, s, len);
	return copy;
}

/* ---- reading the json-c tree ---- */

/* "source", anywhere: where that was read, by a name of "sources", or several. */
static bool
check_source(PgwCompile *cc, json_object *v)
{
	bool array = json_object_is_type(v, json_type_array);
	size_t n = array ? json_object_array_length(v) : 1;

	for (size_t i = 0; i < n; i++)
	{
		json_object *name = array ? json_object_array_get_idx(v, i) : v;

		if (!json_object_is_type(name, json_type_string) ||
			!json_object_object_get_ex(cc->sources, json_object_get_string(name), NULL))
			return pgw_fault_at(cc, "source", "must be a name that stands in \"sources\"");
	}
	return true;
}

bool
pgw_check_keys(PgwCompile *cc, json_object *obj, const char *const *allowed)
{
	bool good = true;

	json_object_object_foreach(obj, key, value)
	{
		char list[320] = "";
		size_t len = 0;
		int i = 0;

		while (allowed[i] != NULL && strcmp(allowed[i], key) != 0)
			i++;
		if (allowed[i] != NULL)
			continue;
		if (cc->sources != NULL && strcmp(key, "source") == 0)
		{
			good &= check_source(cc, value);
			continue;
		}
		for (i = 0; allowed[i] != NULL && len < sizeof(list); i++)
			len += (size_t) snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
									 allowed[i]);
		good &= pgw_fault_at(cc, key, "unknown key \"%.60s\"; known here: %s", key, list);
	}
	return good;
}

json_object *
pgw_member(json_object *obj, const char *name)
{
	json_object *v = NULL;

	json_object_object_get_ex(obj, name, &v);
	return v;
}

bool
pgw_is_object(PgwCompile *cc, json_object *v)
{
	if (json_object_is_type(v, json_type_object))
		return true;
	return pgw_fault(cc, "must be an object");
}

const char *
pgw_text_of(PgwCompile *cc, json_object *v)
{
	const char *s;

	if (!json_object_is_type(v, json_type_string))
	{
		pgw_fault(cc, "must be a string");
		return NULL;
	}
	s = json_object_get_string(v);
	if (strlen(s) != (size_t) json_object_get_string_len(v))
	{
		pgw_fault(cc, "must not hold U+0000");
		return NULL;
	}
	return s;
}

bool
pgw_compile_member(PgwCompile *cc, const char *name, json_object *v,
				   bool (*compile)(PgwCompile *, json_object *))
{
	size_t mark = pgw_enter(cc, name);
	bool good = compile(cc, v);

	pgw_leave(cc, mark);
	return good;
}

/* ---- the document ---- */

/* "not_ids": what the bank writes where it has no id. */
static bool
compile_not_ids(PgwCompile *cc, json_object *v)
{
	PgwConnector *c = cc->connector;
	size_t n;

	if (!json_object_is_type(v, json_type_array))
		return pgw_fault(cc, "must be an array of strings, such as [\"0\"]");
	n = json_object_array_length(v);
	if ((c->not_ids = pgw_arena(cc, n, sizeof(char *))) == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
	{
		size_t mark = pgw_enter_index(cc, i);
		const char *s = pgw_text_of(cc, json_object_array_get_idx(v, i));

		if (s == NULL || (c->not_ids[i] = pgw_arena_text(cc, s, strlen(s))) == NULL)
			return false;
		c->nnot_ids++;
		pgw_leave(cc, mark);
	}
	return true;
}

/* "headers": those of every operation. */
static bool
compile_common_headers(PgwCompile *cc, json_object *v)
{
	PgwConnector *c = cc->connector;
	uint64_t uses = 0;

	return pgw_compile_headers(cc, v, c->common, &c->ncommon, &uses);
}

/* Which operation this is the document of; NULL: of none. */
static PgwCompiledOp *
operation_called(PgwConnector *c, const char *name, PgwBankOp *which)
{
	int op = pgw_op_parse(name);

	*which = PGW_OP_LOOKUP_CHARGE;
	if (strcmp(name, "lookup_by_id") == 0)
		return &c->lookup_by_id;
	if (op < 0)
		return NULL;
	*which = (PgwBankOp) op;
	return &c->ops[op];
}

static bool
compile_one_operation(PgwCompile *cc, const char *name, json_object *v)
{
	PgwBankOp which;
	PgwCompiledOp *op = operation_called(cc->connector, name, &which);

	if (op == NULL)
		return pgw_fault(
			cc,
			"unknown operation; known: charge, authorize, capture, void, refund, lookup_charge, lookup_by_id, lookup_refund, cancel, reverse, ping, verify_notification");
	if (op == &cc->connector->lookup_by_id && !pgw_since_version(cc, 2, "\"lookup_by_id\""))
		return false;
	if (which == PGW_OP_REVERSE && !pgw_since_version(cc, 2, "\"reverse\""))
		return false;
	if (which == PGW_OP_VERIFY_NOTIFICATION && !pgw_since_version(cc, 2, "\"verify_notification\""))
		return false;
	return pgw_compile_operation(cc, v, which, op);
}

static bool
compile_operations(PgwCompile *cc, json_object *v)
{
	bool good = true;

	if (!pgw_is_object(cc, v))
		return false;
	json_object_object_foreach(v, key, value)
	{
		size_t mark = pgw_enter(cc, key);

		good &= compile_one_operation(cc, key, value);
		pgw_leave(cc, mark);
	}
	/* what holds between operations can be said of whole ones only */
	return good && cc->nfaults == 0 && pgw_check_operations(cc);
}

/* They are compiled where they are named, each time for that operation. */
static bool
check_answers(PgwCompile *cc, json_object *v)
{
	return pgw_since_version(cc, 2, "a list of answers") && pgw_is_object(cc, v);
}

/* "sources": where what the document says was read, each by a name: for people alone. */
static bool
check_sources(PgwCompile *cc, json_object *v)
{
	if (!pgw_since_version(cc, 2, "a list of sources") || !pgw_is_object(cc, v))
		return false;
	json_object_object_foreach(v, name, text)
	{
		if (!json_object_is_type(text, json_type_string))
			return pgw_fault_at(cc, name, "must be a string: what was read, and when");
	}
	return true;
}

/* Of what is signed, or a hint, nobody asks. */
static bool
check_verify_notification(PgwCompile *cc)
{
	const PgwConnector *c = cc->connector;

	if (!c->ops[PGW_OP_VERIFY_NOTIFICATION].present ||
		(c->notifications.present && c->notifications.signature.scheme == PGW_TO_BE_ASKED))
		return true;
	pgw_enter(cc, "operations");
	return pgw_fault_at(cc, pgw_op_name(PGW_OP_VERIFY_NOTIFICATION),
						"has no use: the notifications' scheme is not \"ask\"");
}

static bool
compile_document(PgwCompile *cc, json_object *doc)
{
	static const char *const keys[] = {"v",        "name",       "description", "capabilities",
									   "not_ids",  "references", "headers",     "card_brands",
									   "computed", "answers",    "operations",  "notifications",
									   "sources",  NULL};
	json_object *part;
	bool good;

	if (!pgw_is_object(cc, doc))
		return false;
	good = pgw_check_keys(cc, doc, keys);
	part = pgw_member(doc, "v");
	if (!json_object_is_type(part, json_type_int) || json_object_get_int64(part) < 1 ||
		json_object_get_int64(part) > 2)
		return pgw_fault_at(cc, "v", "must be 1 or 2, the version of the document format");
	cc->version = (int) json_object_get_int64(part);
	for (int i = 1; i <= 2; i++)
	{
		if (json_object_object_get_ex(doc, keys[i], &part) &&
			!json_object_is_type(part, json_type_string))
			good &= pgw_fault_at(cc, keys[i], "must be a string");
	}
	if (json_object_object_get_ex(doc, "sources", &part))
	{
		if (!pgw_compile_member(cc, "sources", part, check_sources))
			return false;
		cc->sources = part;
	}
	if ((part = pgw_member(doc, "capabilities")) == NULL)
		good &=
			pgw_fault_at(cc, "capabilities",
						 "missing: must be an object that says at least \"cards\" or \"tokens\"");
	else
		good &= pgw_compile_member(cc, "capabilities", part, pgw_compile_capabilities);
	cc->capabilities_at_fault = cc->nfaults > 0;
	if (json_object_object_get_ex(doc, "not_ids", &part))
		good &= pgw_compile_member(cc, "not_ids", part, compile_not_ids);
	if (json_object_object_get_ex(doc, "references", &part))
		good &= pgw_compile_member(cc, "references", part, pgw_compile_references);
	if ((part = pgw_member(doc, "computed")) != NULL &&
		!pgw_compile_member(cc, "computed", part, pgw_compile_computed))
		return false; /* all that follows may name one */
	if ((part = pgw_member(doc, "headers")) != NULL)
		good &= pgw_compile_member(cc, "headers", part, compile_common_headers);
	if ((part = pgw_member(doc, "card_brands")) != NULL)
		good &= pgw_compile_member(cc, "card_brands", part, pgw_compile_card_brands);
	if (json_object_object_get_ex(doc, "answers", &cc->answers) &&
		!pgw_compile_member(cc, "answers", cc->answers, check_answers))
		return false;
	if ((part = pgw_member(doc, "operations")) == NULL)
		good &=
			pgw_fault_at(cc, "operations",
						 "missing: must be an object with at least \"charge\" or \"authorize\"");
	else
		good &= pgw_compile_member(cc, "operations", part, compile_operations);
	if ((part = pgw_member(doc, "notifications")) != NULL)
		good &= pgw_compile_member(cc, "notifications", part, pgw_compile_notifications);
	if (!good || cc->nfaults > 0 || !check_verify_notification(cc))
		return false;
	pgw_enter(cc, "capabilities");
	return pgw_check_capabilities(cc);
}

/* ---- the public small functions ---- */

/* What this reader and its many options let pass, and JSON does not. */
static bool
check_strictly(PgwCompile *cc, const char *json, size_t len)
{
	PgwJson value;

	switch (pgw_json_read(json, len, PGW_DOC_MAX_NESTING, &value))
	{
		case PGW_JSON_GOOD:
			return pgw_check_names(cc, json, len);
		case PGW_JSON_AMBIGUOUS:
			return pgw_check_names(cc, json, len) &&
				   pgw_fault(cc, "a name stands twice in one object; which of the two is meant?");
		default:
			return pgw_fault(
				cc,
				"not valid JSON: single quotes, NaN, Infinity, numbers such as 01 or 1., a line end inside a string, or no UTF-8");
	}
}

static bool
compile_text(PgwCompile *cc, json_tokener *tokener, const char *json, size_t len)
{
	json_object *doc;
	enum json_tokener_error error;
	bool good;

	doc = json_tokener_parse_ex(tokener, json, (int) len);
	error = json_tokener_get_error(tokener);
	if (error == json_tokener_error_depth)
		good = pgw_fault(cc, "nested deeper than %d levels", PGW_DOC_MAX_NESTING);
	else if (error != json_tokener_success || json_tokener_get_parse_end(tokener) != len)
		good = pgw_fault(cc, "not valid JSON at byte %zu: %s", json_tokener_get_parse_end(tokener),
						 error == json_tokener_continue ? "it ends too early"
														: json_tokener_error_desc(error));
	else
		good = check_strictly(cc, json, len) && compile_document(cc, doc);
	json_object_put(doc);
	return good;
}

PgwConnector *
pgw_connector_compile_all(const char *json, size_t len, PgwConnectorError *list, int max, int *n)
{
	PgwCompile cc = {.faults = list, .maxfaults = max};
	json_tokener *tokener;
	bool good;

	list->pointer[0] = list->message[0] = '\0';
	*n = 0;
	while (len > 0 && (json[len - 1] == ' ' || json[len - 1] == '\n' || json[len - 1] == '\r' ||
					   json[len - 1] == '\t'))
		len--;
	if (len == 0 || len > PGW_DOC_MAX_BYTES)
	{
		pgw_fault(&cc, "a connector is a JSON document of 1 to %d bytes", PGW_DOC_MAX_BYTES);
		*n = cc.nfaults;
		return NULL;
	}
	tokener = json_tokener_new_ex(PGW_DOC_MAX_NESTING);
	cc.connector = calloc(1, sizeof(PgwConnector));
	if (tokener != NULL && cc.connector != NULL)
		good = compile_text(&cc, tokener, json, len);
	else
		good = pgw_fault(&cc, "out of memory");
	if (tokener != NULL)
		json_tokener_free(tokener);
	*n = cc.nfaults;
	if (good && cc.nfaults == 0)
		return cc.connector;
	pgw_connector_free(cc.connector);
	return NULL;
}

PgwConnector *
pgw_connector_compile(const char *json, size_t len, PgwConnectorError *err)
{
	int n;

	return pgw_connector_compile_all(json, len, err, 1, &n);
}

void
pgw_connector_free(PgwConnector *c)
{
	if (c == NULL)
		return;
	while (c->chunks != NULL)
	{
		PgwChunk *next = c->chunks->next;

		free(c->chunks);
		c->chunks = next;
	}
	free(c);
}

const PgwCapabilities *
pgw_connector_capabilities(const PgwConnector *c)
{
	return &c->caps;
}

bool
pgw_connector_has(const PgwConnector *c, PgwBankOp op)
{
	return (int) op >= 0 && op < PGW_NOPS && c->ops[op].present;
}

const PgwCompiledOp *
pgw_compiled_op(const PgwConnector *c, PgwBankOp which, const char *bank_reference)
{
	if (which == PGW_OP_LOOKUP_CHARGE && bank_reference != NULL && c->lookup_by_id.present)
		return &c->lookup_by_id;
	return &c->ops[which];
}

bool
pgw_connector_needs(const PgwConnector *c, PgwBankOp op, const char *placeholder)
{
	int ph = pgw_placeholder_parse(placeholder);

	return ph >= 0 && pgw_connector_has(c, op) && (c->ops[op].needs & PGW_PH_BIT(ph)) != 0;
}

bool
pgw_connector_uses(const PgwConnector *c, PgwBankOp op, const char *placeholder)
{
	int ph = pgw_placeholder_parse(placeholder);

	return ph >= 0 && pgw_connector_has(c, op) && (c->ops[op].uses & PGW_PH_BIT(ph)) != 0;
}

bool
pgw_connector_shows_whose(const PgwConnector *c)
{
	return c->lookup_by_id.present && c->lookup_by_id.answer.has_field[PGW_FIELD_REFERENCE] &&
		   !c->references.need_ids;
}

bool
pgw_connector_needs_bank_reference(const PgwConnector *c, PgwBankOp follow_up)
{
	return pgw_connector_needs(c, follow_up, "bank_reference");
}

int
pgw_connector_secret_names(const PgwConnector *c, const char *const **names)
{
	*names = c->secret_names;
	return c->nsecret_names;
}

int
pgw_connector_answer_headers(const PgwConnector *c, const char *const **names)
{
	*names = c->answer_headers;
	return c->nanswer_headers;
}

static int64_t
of_currency(const PgwOfCurrency *list, int n, const char *currency, int64_t otherwise)
{
	for (int i = 0; currency != NULL && i < n; i++)
	{
		if (strcmp(list[i].currency, currency) == 0)
			return list[i].n;
	}
	return otherwise;
}

int
pgw_connector_exponent(const PgwConnector *c, const char *currency, int iso_exponent)
{
	return (int) of_currency(c->exponents, c->nexponents, currency, iso_exponent);
}

bool
pgw_connector_amount(const PgwConnector *c, const char *currency, int iso_exponent, int64_t amount,
					 int64_t *in_its_unit)
{
	int exponent = pgw_connector_exponent(c, currency, iso_exponent);
	int64_t multiple = of_currency(c->multiples, c->nmultiples, currency, 1);

	return pgw_money_rescale(amount, iso_exponent, exponent, in_its_unit) &&
		   (*in_its_unit % multiple == 0 || PGW_MUTATED(AMOUNT_MULTIPLE));
}
