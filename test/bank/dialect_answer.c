/*-------------------------------------------------------------------------
 *
 * dialect_answer.c
 *		What a vendor's API answers: its published example, with what the bank
 *		did in its places.
 *
 * A document of a dialect is {"example": name, "set": {place: value, ...},
 * "drop": [place, ...]}.  A value is the name of something the bank knows
 * (variable() below), or one of
 *
 *		{"const": anything}
 *		{"case": name, "of": {text: value, ...}}	"*" for any other text
 *		{"add": [name, ...]}						a sum of amounts
 *		{"decimal": name}							an amount as decimal text
 *		{"prefix": text, "value": value}
 *		{"expand": name, "document": name, "else": value}
 *		{"document": name}							another document
 *		{"each": "charges" or "refunds", "document": name}
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <json-c/json_pointer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"

typedef struct View
{
	const Request *req;
	const Charge *charge;
	const Step *step;
	const Fault *fault;
	const char *within; /* where what is expanded stands: "data." in a list */
	int64_t now;
} View;

static json_object *value_of(View *v, json_object *expression);

static const char *
state_of_charge(const Charge *c, int64_t now)
{
	if (c->voided || (c->error != NULL && strcmp(c->error, "cancelled") == 0))
		return "canceled";
	switch (c->status)
	{
		case CH_DECLINED:
			return "declined";
		case CH_PENDING:
			return "pending";
		case CH_REQUIRES_ACTION:
			return "requires_action";
		case CH_APPROVED:
			break;
	}
	if (c->captured > 0)
		return c->refunded == 0            ? "captured"
			   : c->refunded < c->captured ? "partially_refunded"
										   : "refunded";
	return charge_expired(c, now) ? "expired" : "authorized";
}

/* What was authorized, and is neither captured nor held any more. */
static int64_t
released(const Charge *c, int64_t now)
{
	if (c->status == CH_APPROVED && (c->voided || c->closed || charge_expired(c, now)))
		return c->amount - c->captured;
	return 0;
}

static int64_t
capturable(const Charge *c, int64_t now)
{
	if (c->status != CH_APPROVED || c->immediate || released(c, now) > 0)
		return 0;
	return c->amount - c->captured;
}

static json_object *
currency_of(const View *v, bool lower)
{
	const char *currency = v->charge->currency;
	char text[4] = "";

	if (v->fault->kind == PGW_FAULT_WRONG_CURRENCY)
		currency = strcmp(currency, "USD") == 0 ? "EUR" : "USD";
	for (int i = 0; i < 3; i++)
		text[i] = lower ? (char) tolower((unsigned char) currency[i]) : currency[i];
	return json_object_new_string(text);
}

static json_object *
text_or_null(const char *s)
{
	return s != NULL && s[0] != '\0' ? json_object_new_string(s) : NULL;
}

static json_object *
of_charge(const View *v, const char *name)
{
	const Charge *c = v->charge;
	int64_t wrong = v->fault->kind == PGW_FAULT_WRONG_AMOUNT ? 100 : 0;

	if (strcmp(name, "id") == 0)
		return json_object_new_string(c->id);
	if (strcmp(name, "number") == 0) /* the id without its prefix */
		return json_object_new_string(strchr(c->id, '_') + 1);
	if (strcmp(name, "amount") == 0)
		return json_object_new_int64(c->amount + wrong);
	if (strcmp(name, "captured") == 0)
		return json_object_new_int64(c->captured);
	if (strcmp(name, "refunded") == 0)
		return json_object_new_int64(c->refunded);
	if (strcmp(name, "released") == 0)
		return json_object_new_int64(released(c, v->now));
	if (strcmp(name, "capturable") == 0)
		return json_object_new_int64(capturable(c, v->now));
	if (strcmp(name, "refundable") == 0)
		return json_object_new_int64(c->captured - c->refunded);
	if (strcmp(name, "authorized") == 0)
		return json_object_new_int64(c->authorized);
	if (strcmp(name, "currency") == 0)
		return currency_of(v, false);
	if (strcmp(name, "currency_lower") == 0)
		return currency_of(v, true);
	if (strcmp(name, "last4") == 0)
		return json_object_new_string(c->last4);
	if (strcmp(name, "brand") == 0)
		return json_object_new_string(c->brand);
	if (strcmp(name, "authorization_code") == 0)
		return text_or_null(c->auth_code);
	if (strcmp(name, "created") == 0)
		return json_object_new_int64(c->created_at / 1000);
	if (strcmp(name, "reference") == 0)
		return text_or_null(c->reference);
	if (strcmp(name, "metadata") == 0)
		return json_object_get(c->metadata);
	if (strcmp(name, "state") == 0)
		return json_object_new_string(state_of_charge(c, v->now));
	if (strcmp(name, "error") == 0)
		return text_or_null(c->error);
	if (strcmp(name, "immediate") == 0)
		return json_object_new_boolean(c->immediate);
	dialect_die(v->req->dialect, "knows nothing of a charge that is called", name);
	return NULL;
}

static json_object *
of_step(const View *v, const char *name)
{
	static const char *const states[] = {"succeeded", "pending", "failed"};
	const Step *s = v->step;

	if (strcmp(name, "id") == 0)
		return json_object_new_string(s->id);
	if (strcmp(name, "amount") == 0)
		return json_object_new_int64(s->amount +
									 (v->fault->kind == PGW_FAULT_WRONG_AMOUNT ? 100 : 0));
	if (strcmp(name, "created") == 0)
		return json_object_new_int64(s->created_at / 1000);
	if (strcmp(name, "reference") == 0)
		return text_or_null(s->reference);
	if (strcmp(name, "metadata") == 0)
		return json_object_get(s->metadata);
	if (strcmp(name, "state") == 0)
		return json_object_new_string(states[s->status]);
	dialect_die(v->req->dialect, "knows nothing of a step that is called", name);
	return NULL;
}

/* What the bank knows under this name: "charge.id", "step.amount", "param". */
static json_object *
variable(const View *v, const char *name)
{
	if (strcmp(name, "param") == 0)
		return json_object_new_string(v->req->param);
	if (strncmp(name, "charge.", 7) == 0)
		return v->charge != NULL ? of_charge(v, name + 7) : NULL;
	if (strncmp(name, "step.", 5) == 0)
		return v->step != NULL ? of_step(v, name + 5) : NULL;
	dialect_die(v->req->dialect, "knows no value that is called", name);
	return NULL;
}

static json_object *
document(View *v, const char *name)
{
	json_object *data = v->req->dialect->data;
	json_object *spec = dialect_member(dialect_member(data, "documents"), name);
	json_object *example =
		dialect_member(dialect_member(dialect_member(data, "examples"),
									  json_object_get_string(dialect_member(spec, "example"))),
					   "document");
	json_object *set = dialect_member(spec, "set");
	json_object *drop = dialect_member(spec, "drop");
	json_object *ids = dialect_member(spec, "ids");
	json_object *doc = NULL;

	if (example == NULL)
		dialect_die(v->req->dialect, "has no example for", name);
	json_object_deep_copy(example, &doc, NULL);
	for (size_t i = 0; drop != NULL && i < json_object_array_length(drop); i++)
		json_object_object_del(doc, json_object_get_string(json_object_array_get_idx(drop, i)));
	if (set != NULL)
	{
		json_object_object_foreach(set, place, expression)
		{
			if (json_pointer_set(&doc, place, value_of(v, expression)) != 0)
				dialect_die(v->req->dialect, "has no such place", place);
		}
	}
	for (size_t i = 0;
		 v->fault->kind == PGW_FAULT_NO_IDS && ids != NULL && i < json_object_array_length(ids);
		 i++)
		json_object_object_del(doc, json_object_get_string(json_object_array_get_idx(ids, i)));
	return doc;
}

/* Does the request ask for this to be expanded? */
static bool
expands(const View *v, const char *name)
{
	json_object *list = dialect_member(v->req->params, "expand");
	char wanted[128];

	snprintf(wanted, sizeof(wanted), "%s%s", v->within, name);
	for (size_t i = 0; list != NULL && i < json_object_array_length(list); i++)
		if (strcmp(json_object_get_string(json_object_array_get_idx(list, i)), wanted) == 0)
			return true;
	return false;
}

static void
add_charges(View *v, json_object *list, const char *name)
{
	const char *reference = v->req->order.reference;
	int64_t then = v->now - settings.lookup_lag;
	Charge copy;

	if (settings.lookup_ignores_reference)
	{
		if (v->charge != NULL)
			json_object_array_add(list, document(v, name));
		return;
	}
	for (Charge *c = charge_by_reference(reference, NULL); c != NULL;
		 c = charge_by_reference(reference, c))
	{
		if (!charge_as_of(c, then, &copy))
			continue;
		v->charge = settings.lookup_lag > 0 ? &copy : c;
		json_object_array_add(list, document(v, name));
	}
}

static json_object *
each(View *v, const char *what, const char *name)
{
	json_object *list = json_object_new_array();
	View own = *v;

	own.within = "data.";
	if (strcmp(what, "charges") == 0)
		add_charges(&own, list, name);
	for (size_t i = refunds.count; strcmp(what, "refunds") == 0 && i > 0; i--)
	{
		Step *s = refunds.items[i - 1];

		own.step = s;
		if (strcmp(s->charge->id, v->charge->id) == 0 &&
			!(v->req->order.accepts_only && s->created_at > v->now - settings.lookup_lag))
			json_object_array_add(list, document(&own, name));
	}
	return list;
}

static json_object *
by_case(View *v, json_object *expression)
{
	json_object *of = dialect_member(expression, "of");
	json_object *text = variable(v, json_object_get_string(dialect_member(expression, "case")));
	json_object *chosen = NULL;

	if (text == NULL || !json_object_object_get_ex(of, json_object_get_string(text), &chosen))
		(void) json_object_object_get_ex(of, "*", &chosen);
	json_object_put(text);
	return value_of(v, chosen);
}

static json_object *
sum(View *v, json_object *names)
{
	int64_t total = 0;

	for (size_t i = 0; i < json_object_array_length(names); i++)
	{
		json_object *part =
			variable(v, json_object_get_string(json_object_array_get_idx(names, i)));

		total += json_object_get_int64(part);
		json_object_put(part);
	}
	return json_object_new_int64(total);
}

static json_object *
decimal(View *v, const char *name)
{
	json_object *amount = variable(v, name);
	json_object *text;
	Buf b = {0};

	put_decimal(&b, json_object_get_int64(amount), decimal_digits(v->charge->currency));
	text = json_object_new_string_len(b.data, (int) b.len);
	buf_free(&b);
	json_object_put(amount);
	return text;
}

static json_object *
prefixed(View *v, const char *prefix, json_object *expression)
{
	json_object *value = value_of(v, expression);
	char text[64];

	snprintf(text, sizeof(text), "%s%s", prefix, json_object_get_string(value));
	json_object_put(value);
	return json_object_new_string(text);
}

static json_object *
value_of(View *v, json_object *expression)
{
	const char *name = json_object_get_string(dialect_member(expression, "document"));
	json_object *part = NULL;

	if (json_object_is_type(expression, json_type_string))
		return variable(v, json_object_get_string(expression));
	if (json_object_object_get_ex(expression, "const", &part))
		return json_object_get(part);
	if (dialect_member(expression, "case") != NULL)
		return by_case(v, expression);
	if (json_object_object_get_ex(expression, "prefix", &part))
		return prefixed(v, json_object_get_string(part), dialect_member(expression, "value"));
	if (json_object_object_get_ex(expression, "add", &part))
		return sum(v, part);
	if (json_object_object_get_ex(expression, "decimal", &part))
		return decimal(v, json_object_get_string(part));
	if (json_object_object_get_ex(expression, "each", &part))
		return each(v, json_object_get_string(part), name);
	if (json_object_object_get_ex(expression, "expand", &part) &&
		!expands(v, json_object_get_string(part)))
		return value_of(v, dialect_member(expression, "else"));
	return name != NULL ? document(v, name) : NULL;
}

/* ---- whole answers ---- */

static void
put_document(View *v, Request *req, json_object *doc)
{
	const char *twice = json_object_get_string(dialect_member(req->dialect->data, "twice"));
	const char *text = json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PLAIN |
															   JSON_C_TO_STRING_NOSLASHESCAPE);

	req->out.len = 0;
	if (v->fault->kind == PGW_FAULT_DOUBLE_KEYS && twice != NULL)
		buf_printf(&req->out, "{%s,%s", twice, text + 1);
	else
		buf_puts(&req->out, text);
	json_object_put(doc);
}

/* [status, document or value]; [status]: without a body */
static void
put_answer(View *v, Request *req, json_object *answer)
{
	json_object *what = json_object_array_get_idx(answer, 1);

	req->status = (int) json_object_get_int64(json_object_array_get_idx(answer, 0));
	req->out.len = 0;
	if (json_object_is_type(what, json_type_string))
		put_document(v, req, document(v, json_object_get_string(what)));
	else if (what != NULL)
		put_document(v, req, value_of(v, what));
}

static View
view_of(const Request *req, const Outcome *out, const Fault *fault)
{
	static const Fault none = {PGW_FAULT_NONE, -1, NULL};
	View v = {.req = req, .fault = fault != NULL ? fault : &none, .within = "", .now = now_ms()};

	v.charge = out != NULL ? out->charge : NULL;
	v.step = out != NULL ? out->step : NULL;
	return v;
}

static void
put_error(Request *req, const Outcome *out, int status, const char *code)
{
	View v = view_of(req, out, NULL);
	json_object *errors = dialect_member(req->dialect->data, "errors");
	json_object *answer = dialect_member(errors, code);

	if (status == 0)
		return; /* nothing is answered */
	if (answer == NULL)
		answer = dialect_member(errors, "*");
	put_answer(&v, req, answer);
}

void
dialect_error(Request *req, int status, const char *code, const char *message)
{
	(void) message;
	put_error(req, NULL, status, code);
}

/* What the bank did decides which of the request's answers it is. */
static json_object *
answer_for(const Request *req, const Outcome *out, int64_t now)
{
	json_object *answers = dialect_member(req->request, "answers");
	const char *state = out->charge == NULL ? "none"
						: out->step != NULL ? (out->step->status == RE_FAILED ? "failed" : "done")
											: state_of_charge(out->charge, now);
	json_object *answer = dialect_member(answers, state);

	return answer != NULL ? answer : dialect_member(answers, "*");
}

void
dialect_answer(Request *req, const Outcome *out, const Fault *fault)
{
	View v = view_of(req, out, fault);
	json_object *answers = dialect_member(req->request, "answers");

	if (out->http != 0 && (out->http != 404 || dialect_member(answers, "none") == NULL))
	{
		put_error(req, out, out->http, out->code);
		return;
	}
	put_answer(&v, req, answer_for(req, out, v.now));
}
