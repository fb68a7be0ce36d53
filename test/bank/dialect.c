/*-------------------------------------------------------------------------
 *
 * dialect.c
 *		A vendor's API in front of the bank, from data: which request it is,
 *		and what it asks for.
 *
 * Each file of dialects/ is a dialect.  It holds what the vendor has
 * published, with its sources: the parameters of each request (schema.c) and
 * example answers (dialect_answer.c).  Beside that stands how both hang
 * together with the bank: what a request does, where its amount is.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <json-c/json_pointer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"

/* The file's text, put into the program by the assembler. */
#define EMBED(name) \
	__asm__(".section .rodata\n.global dialect_text_" #name "\ndialect_text_" #name \
			":\n.incbin \"dialects/" #name ".json\"\n.byte 0\n.previous\n"); \
	extern const char dialect_text_##name[]

EMBED(stripe);
EMBED(checkout);
EMBED(adyen);
EMBED(mollie);

static bool dialect_parse(Request *req);

static Dialect dialects[] = {{.name = "reference",
							  .root = "/v1",
							  .keys = true,
							  .parse = v1_parse,
							  .answer = v1_answer,
							  .error = v1_error},
							 {.name = "formbank",
							  .root = "/form",
							  .parse = form_parse,
							  .answer = form_answer,
							  .error = form_error},
							 {.name = "stripe",
							  .root = "/stripe",
							  .keys = true,
							  .parse = dialect_parse,
							  .answer = dialect_answer,
							  .error = dialect_error,
							  .text = dialect_text_stripe},
							 {.name = "checkout",
							  .root = "/checkout",
							  .keys = true,
							  .parse = dialect_parse,
							  .answer = dialect_answer,
							  .error = dialect_error,
							  .text = dialect_text_checkout},
							 {.name = "adyen",
							  .root = "/adyen",
							  .keys = true,
							  .parse = dialect_parse,
							  .answer = dialect_answer,
							  .error = dialect_error,
							  .text = dialect_text_adyen},
							 {.name = "mollie",
							  .root = "/mollie",
							  .keys = true,
							  .parse = dialect_parse,
							  .answer = dialect_answer,
							  .error = dialect_error,
							  .text = dialect_text_mollie}};

void
dialect_die(const Dialect *d, const char *what, const char *name)
{
	fprintf(stderr, "pgw-bank: dialect %s: %s %s\n", d->name, what, name);
	abort();
}

json_object *
dialect_member(json_object *obj, const char *name)
{
	json_object *value = NULL;

	if (json_object_is_type(obj, json_type_object))
		(void) json_object_object_get_ex(obj, name, &value);
	return value;
}

/* Read what is in data.  A file that cannot be read is an error of the program. */
void
dialects_load(void)
{
	for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++)
	{
		Dialect *d = &dialects[i];

		if (d->text == NULL)
			continue;
		d->data = json_tokener_parse(d->text);
		if (d->data == NULL)
			dialect_die(d, "is no", "JSON");
		d->id_prefix = json_object_get_string(dialect_member(d->data, "id_prefix"));
	}
}

static bool
under(const char *path, const char *root)
{
	size_t len = strlen(root);

	return strncmp(path, root, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* NULL: the path belongs to none. */
const Dialect *
dialect_of(const char *path)
{
	for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++)
		if (under(path, dialects[i].root))
			return &dialects[i];
	return NULL;
}

/* ---- which request it is ---- */

/* "/payments/{charge}/voids": the text in the place of {charge} goes to *id. */
static bool
path_matches(const char *pattern, const char *path, char **id)
{
	const char *mark = strstr(pattern, "{charge}");
	size_t before = mark != NULL ? (size_t) (mark - pattern) : 0;
	size_t len;

	if (mark == NULL)
		return strcmp(pattern, path) == 0;
	if (strncmp(pattern, path, before) != 0)
		return false;
	len = strcspn(path + before, "/");
	if (len == 0 || strcmp(path + before + len, mark + strlen("{charge}")) != 0)
		return false;
	*id = xalloc(len + 1);
	memcpy(*id, path + before, len);
	return true;
}

static json_object *
find_request(Request *req)
{
	json_object *requests = dialect_member(req->dialect->data, "requests");
	const char *path = req->path + strlen(req->dialect->root);

	for (size_t i = 0; i < json_object_array_length(requests); i++)
	{
		json_object *r = json_object_array_get_idx(requests, i);

		if (strcmp(json_object_get_string(dialect_member(r, "method")), req->method) == 0 &&
			path_matches(json_object_get_string(dialect_member(r, "path")), path,
						 &req->order.charge_id))
			return r;
	}
	return NULL;
}

static Operation
operation_by_name(const Dialect *d, const char *name)
{
	for (int op = 0; op < OP_COUNT; op++)
		if (strcmp(operation_names[op], name) == 0)
			return (Operation) op;
	dialect_die(d, "knows no operation", name);
	return OP_OTHER;
}

/* What it does; "does_if" decides by a parameter. */
static Operation
operation_of(const Request *req, json_object *request, json_object *params)
{
	json_object *other = dialect_member(request, "does_if");
	json_object *value = NULL;

	if (other != NULL &&
		json_pointer_get(params, json_object_get_string(dialect_member(other, "at")), &value) ==
			0 &&
		strcmp(json_object_get_string(value),
			   json_object_get_string(dialect_member(other, "is"))) == 0)
		return operation_by_name(req->dialect,
								 json_object_get_string(dialect_member(other, "does")));
	return operation_by_name(req->dialect, json_object_get_string(dialect_member(request, "does")));
}

/* ---- what it asks for ---- */

/*
 * What stands at a place of the parameters, as text of our own; NULL: nothing.  In
 * {"at": place, "between": [before, after]} it is what stands between these two.
 */
static char *
take_from(json_object *from, json_object *params)
{
	json_object *between = dialect_member(from, "between");
	json_object *value = NULL;
	const char *at = json_object_get_string(between ? dialect_member(from, "at") : from);
	const char *start;
	const char *end;
	char *text;

	if (at == NULL || json_pointer_get(params, at, &value) != 0 || value == NULL)
		return NULL;
	start = json_object_get_string(value);
	if (between == NULL)
		return xstrdup(start);
	at = json_object_get_string(json_object_array_get_idx(between, 0));
	if (strncmp(start, at, strlen(at)) != 0)
		return NULL;
	start += strlen(at);
	end = strstr(start, json_object_get_string(json_object_array_get_idx(between, 1)));
	if (end == NULL)
		return NULL;
	text = xalloc((size_t) (end - start) + 1);
	memcpy(text, start, (size_t) (end - start));
	return text;
}

/* ... by the request's name for it; of several places the first where something stands. */
static char *
take(json_object *request, json_object *params, const char *name)
{
	json_object *from = dialect_member(dialect_member(request, "take"), name);
	size_t n = json_object_is_type(from, json_type_array) ? json_object_array_length(from) : 0;
	char *text = n == 0 ? take_from(from, params) : NULL;

	for (size_t i = 0; i < n && text == NULL; i++)
		text = take_from(json_object_array_get_idx(from, i), params);
	return text;
}

static bool
bad(Request *req, const char *code, const char *param)
{
	snprintf(req->param, sizeof(req->param), "%s", param);
	answer_error(req, 400, code, param);
	return false;
}

/* The vendor's own token, or one of the simulator's. */
static bool
take_token(Request *req, char *token)
{
	const char *own =
		json_object_get_string(dialect_member(dialect_member(req->dialect->data, "tokens"), token));

	return order_token(&req->order, own != NULL ? own : token) == NULL;
}

static bool
take_card(Request *req, json_object *request, json_object *params)
{
	char *number = take(request, params, "card_number");
	char *month = take(request, params, "card_month");
	char *year = take(request, params, "card_year");
	bool good =
		number != NULL && month != NULL && year != NULL &&
		order_card(&req->order, number, strtol(month, NULL, 10), strtol(year, NULL, 10)) == NULL;

	free(number);
	free(month);
	free(year);
	return good;
}

static bool
take_amount(Request *req, json_object *request, json_object *params)
{
	char *text = take(request, params, "amount");
	json_object *multiples = dialect_member(req->dialect->data, "amount_multiples");
	const char *currency = req->order.currency;
	int64_t multiple;

	if (text == NULL)
		return true;
	if (req->order.charge_id != NULL)
	{
		const Charge *c = charge_by_id(req->order.charge_id);

		currency = c != NULL ? c->currency : "";
	}
	req->order.amount =
		json_object_get_boolean(dialect_member(req->dialect->data, "decimal_amounts"))
			? decimal_amount(text, decimal_digits(currency))
			: strtoll(text, NULL, 10);
	free(text);
	multiple = json_object_get_int64(dialect_member(multiples, currency));
	return req->order.amount > 0 && (multiple == 0 || req->order.amount % multiple == 0);
}

static bool
take_currency(Request *req, json_object *request, json_object *params)
{
	char *text = take(request, params, "currency");
	bool good =
		text == NULL || (strlen(text) == 3 && isalpha((unsigned char) text[0]) &&
						 isalpha((unsigned char) text[1]) && isalpha((unsigned char) text[2]));

	for (int i = 0; good && text != NULL && i < 3; i++)
		req->order.currency[i] = (char) toupper((unsigned char) text[i]);
	free(text);
	return good;
}

/* Does the request want a refusal where the card holder would have to do something? */
static bool
declines_action(const Request *req, json_object *params)
{
	const char *at = json_object_get_string(dialect_member(req->dialect->data, "declines_action"));
	json_object *value = NULL;

	return at != NULL && json_pointer_get(params, at, &value) == 0 &&
		   strcmp(json_object_get_string(value), "true") == 0;
}

/* What pays; of a new charge only. */
static bool
take_source(Request *req, json_object *request, json_object *params)
{
	Order *o = &req->order;
	char *token = take(request, params, "token");
	bool good = token != NULL ? take_token(req, token) : take_card(req, request, params);
	const char *by_amount = pgw_token_of_amount(o->amount);

	free(token);
	if (good && o->fault.kind == PGW_FAULT_NONE && by_amount != NULL)
		(void) pgw_fault_by_token(by_amount, &o->fault);
	if (o->fault.kind == PGW_FAULT_AUTH_REQUIRED && declines_action(req, params))
		o->fault.kind = PGW_FAULT_DECLINE;
	return good;
}

/*
 * The parameters are as published: what they ask for.  What the vendor could do with them and the
 * bank cannot is answered as no vendor answers, so that a test sees it.
 */
static bool
read_order(Request *req, json_object *request, json_object *params)
{
	Order *o = &req->order;
	json_object *only = dialect_member(request, "only");
	bool is_new = o->op == OP_CHARGE || o->op == OP_AUTHORIZE;

	if (only != NULL)
	{
		json_object_object_foreach(only, at, wanted)
		{
			json_object *value = NULL;

			if (json_pointer_get(params, at, &value) != 0 ||
				strcmp(json_object_get_string(value), json_object_get_string(wanted)) != 0)
			{
				answer_error(req, 501, "not_simulated", at);
				return false;
			}
		}
	}
	if (o->charge_id == NULL)
		o->charge_id = take(request, params, "charge");
	o->reference = take(request, params, "reference");
	o->merchant_reference = take(request, params, "merchant_reference");
	o->merchant = take(request, params, "merchant");
	if (!take_currency(req, request, params))
		return bad(req, "invalid_currency", "currency");
	if (!take_amount(req, request, params) || (is_new && o->amount < 0))
		return bad(req, "invalid_amount", "amount");
	if (is_new && !take_source(req, request, params))
		return bad(req, "invalid_source", "source");
	if (o->reference == NULL && (is_new || (o->op == OP_LOOKUP && o->charge_id == NULL)))
	{
		answer_error(req, 501, "not_simulated", "without a reference");
		return false;
	}
	if (o->op == OP_LOOKUP)
		o->lookup = "charges";
	o->capture_closes =
		json_object_get_boolean(dialect_member(req->dialect->data, "capture_closes"));
	o->accepts_only = json_object_get_boolean(dialect_member(req->dialect->data, "accepts_only"));
	o->or_void = json_object_get_boolean(dialect_member(request, "or_void"));
	o->void_stops = json_object_get_boolean(dialect_member(req->dialect->data, "void_stops"));
	return true;
}

static const char *
header(Request *req, const char *name)
{
	const char *value = MHD_lookup_connection_value(req->connection, MHD_HEADER_KIND, name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* Secret, pinned version and the key, which are headers. */
static bool
headers_are_good(Request *req)
{
	json_object *data = req->dialect->data;
	json_object *pinned = dialect_member(data, "headers");
	const char *scheme = json_object_get_string(dialect_member(data, "authorization"));
	const char *where = json_object_get_string(dialect_member(data, "secret_header"));
	const char *value = header(req, where != NULL ? where : "Authorization");
	size_t len = strlen(scheme);

	free(req->key);
	req->key = xstrdup(header(req, json_object_get_string(dialect_member(data, "key_header"))));
	if (value == NULL || strncmp(value, scheme, len) != 0 ||
		strcmp(value + len, settings.secret) != 0)
	{
		answer_error(req, 401, "unauthorized", "wrong or missing secret");
		return false;
	}
	if (pinned != NULL)
	{
		json_object_object_foreach(pinned, name, wanted)
		{
			value = header(req, name);
			if (value == NULL || strcmp(value, json_object_get_string(wanted)) != 0)
				return bad(req, "wrong_version", value != NULL ? value : name);
		}
	}
	return true;
}

/* NULL: answered. */
static json_object *
read_parameters(Request *req, json_object *request)
{
	const char *encoding = json_object_get_string(dialect_member(request, "encoding"));
	const char *type = header(req, "Content-Type");
	json_object *params;

	if (strcmp(req->method, "GET") == 0)
		return parameters_of_query(req->connection);
	if (req->body.len == 0)
		return json_object_new_object();
	if (type == NULL || strncmp(type, encoding, strlen(encoding)) != 0 || req->body_too_large)
	{
		(void) bad(req, "wrong_encoding", type != NULL ? type : "");
		return NULL;
	}
	params = strcmp(encoding, "application/json") == 0
				 ? parameters_of_json(req->body.data, req->body.len)
				 : parameters_of_form(req->body.data);
	if (params == NULL)
		(void) bad(req, "wrong_encoding", "");
	return params;
}

/* Read a request into its order; false = answered already. */
static bool
dialect_parse(Request *req)
{
	json_object *data = req->dialect->data;
	json_object *request = find_request(req);
	json_object *schema;
	SchemaFault f;

	req->request = request;
	if (request != NULL)
		req->order.op = operation_of(req, request, NULL);
	if (!headers_are_good(req))
		return false;
	if (request == NULL)
	{
		answer_error(req, 404, "no_such_request", req->path);
		return false;
	}
	req->params = read_parameters(req, request);
	if (req->params == NULL)
		return false;
	schema = dialect_member(dialect_member(data, "schemas"),
							json_object_get_string(dialect_member(request, "schema")));
	if (schema == NULL)
		dialect_die(req->dialect, "has no schema for", req->path);
	if (!schema_check(
			schema, req->params,
			json_object_get_string(dialect_member(request, "encoding")) == NULL ||
				strstr(json_object_get_string(dialect_member(request, "encoding")), "json") == NULL,
			"", &f))
		return bad(req, f.code, f.param);
	req->order.op = operation_of(req, request, req->params);
	return read_order(req, request, req->params);
}
