/*
 * render_sample_request.c - pgw.render_request(): the request that a bank would be sent
 *
 * Owns nothing, writes nothing, sends nothing, and reads no secret's file: a key, a card number,
 * CVV, holder and whatever is computed of them are written as marks.  What the caller does not give
 * has a sample value, and is named in the result.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/json_writer.h"
#include "core/bank_message/render_request.h"
#include "core/base/money.h"
#include "core/card/card_text.h"
#include "core/json/json_text.h"
#include "operator_api/tool_arguments.h"
#include "sql_function/arguments.h"
#include "sql_function/check_access.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"
#include "sql_function/wipe_remains.h"

PG_FUNCTION_INFO_V1(pgw_render_request_1_0);

#define MAX_NESTING 32
#define MAX_ARGUMENTS_BYTES 32768 /* the longest token, customer and bank_fields are 17,152 */
#define MAX_UNKNOWN 20            /* names that are told at once */

typedef enum ArgumentKind
{
	ARGUMENT_TEXT,
	ARGUMENT_NUMBER,
	ARGUMENT_BOOLEAN,
	ARGUMENT_OBJECT
} ArgumentKind;

/* One that the caller may give; what stands for it if he does not (NULL: nothing, it is left out).
 */
typedef struct Argument
{
	const char *name;
	ArgumentKind kind;
	const char *sample;
	bool card;        /* a part of the card's data */
	bool may_be_like; /* ids of others, which may look like a card number */
} Argument;

static const Argument arguments[] = {
	{"amount", ARGUMENT_NUMBER, "1234", false, false},
	{"currency", ARGUMENT_TEXT, NULL, false, false}, /* the bank's first, or EUR */
	{"token", ARGUMENT_TEXT, "tok_sample", false, true},
	{"card_number", ARGUMENT_TEXT, "4242424242424242", true, true},
	{"card_expiry_month", ARGUMENT_NUMBER, "12", true, false},
	{"card_expiry_year", ARGUMENT_NUMBER, "2039", true, false},
	{"card_cvv", ARGUMENT_TEXT, "123", true, true},
	{"card_holder", ARGUMENT_TEXT, "A. Sample", true, false},
	{"transaction_ref", ARGUMENT_TEXT, "00000000000000000000000000000001", false, true},
	{"original_ref", ARGUMENT_TEXT, "00000000000000000000000000000000", false, true},
	{"bank_reference", ARGUMENT_TEXT, "bank-id-of-the-charge", false, true},
	{"operation_reference", ARGUMENT_TEXT, "bank-id-of-the-operation", false, true},
	{"notification_id", ARGUMENT_TEXT, "bank-id-of-the-notification", false, true},
	{"merchant", ARGUMENT_TEXT, "default", false, false},
	{"reference", ARGUMENT_TEXT, NULL, false, false},
	{"reason", ARGUMENT_TEXT, NULL, false, false},
	{"final", ARGUMENT_BOOLEAN, "true", false, false},
	{"bank_fields", ARGUMENT_OBJECT, NULL, false, false},
	{"customer", ARGUMENT_OBJECT, "{}", false, true}, /* a sample of everybody */
};

#define NARGUMENTS ((int) lengthof(arguments))

typedef struct Values
{
	char *values[lengthof(arguments)]; /* as texts; NULL: none */
	bool given[lengthof(arguments)];
	int unknown;
} Values;

static int
place_of(const char *name)
{
	for (int i = 0; i < NARGUMENTS; i++)
	{
		if (strcmp(arguments[i].name, name) == 0)
			return i;
	}
	return -1;
}

static const char *
value_of(const Values *v, const char *name)
{
	return v->values[place_of(name)];
}

/* ---------------------------------------------------------------- arguments */

static char *
text_of(const PgwJson *v)
{
	char *text = palloc(v->len + 1);
	size_t n = v->len;

	if (pgw_json_type(v) == PGW_JSON_STRING)
		n = pgw_json_text(v, text, v->len);
	else
		memcpy(text, v->text, v->len);
	text[n] = '\0';
	return text;
}

static char *
names_of_arguments(void)
{
	StringInfoData s;

	initStringInfo(&s);
	for (int i = 0; i < NARGUMENTS; i++)
		appendStringInfo(&s, "%s%s", i > 0 ? ", " : "", arguments[i].name);
	return s.data;
}

static const char *
fault_of_kind(const Argument *a, const PgwJson *v)
{
	int64_t number;

	switch (a->kind)
	{
		case ARGUMENT_TEXT:
			return pgw_json_type(v) == PGW_JSON_STRING ? NULL : "must be a text";
		case ARGUMENT_NUMBER:
			return pgw_json_type(v) == PGW_JSON_NUMBER && pgw_json_integer(v, 0, &number) &&
						   number > 0
					   ? NULL
					   : "must be a whole number above 0 (an amount is in minor units: 1234 is 12.34 EUR)";
		case ARGUMENT_BOOLEAN:
			return pgw_json_type(v) == PGW_JSON_BOOLEAN ? NULL : "must be true or false";
		case ARGUMENT_OBJECT:
			return pgw_json_type(v) == PGW_JSON_OBJECT ? NULL : "must be a JSON object";
	}
	return NULL;
}

static void
read_member(const PgwJson *name_json, const PgwJson *v, Values *values, char **faults)
{
	char *name = text_of(name_json);
	int i = place_of(name);
	const char *fault;
	int64_t number;

	if (i < 0 && ++values->unknown > MAX_UNKNOWN)
		return;
	if (i < 0)
	{
		bool card = pgw_text_has_card_number(name, strlen(name));

		*faults =
			pgw_arg_fault(*faults, card ? "arguments" : psprintf("arguments.%s", name),
						  "unknown_value", psprintf("must be one of %s", names_of_arguments()));
		return;
	}
	if (pgw_json_type(v) == PGW_JSON_NULL)
		return;
	name = psprintf("arguments.%s", name);
	fault = fault_of_kind(&arguments[i], v);
	if (fault != NULL)
		*faults = pgw_arg_fault(*faults, name, "invalid_format", fault);
	else if (!arguments[i].may_be_like &&
			 pgw_card_in_json(NULL, v->text, v->len) != PGW_FOUND_NOTHING)
		*faults = pgw_arg_fault(*faults, name, "card_number_in_stored_field", NULL);
	if (arguments[i].kind == ARGUMENT_NUMBER && pgw_json_integer(v, 0, &number))
		values->values[i] = psprintf("%lld", (long long) number);
	else
		values->values[i] = text_of(v);
	values->given[i] = true;
}

static void
read_arguments(const char *text, Values *values, char **faults)
{
	PgwJson object;
	PgwJson name;
	PgwJson v;
	const char *at = NULL;

	if (text == NULL)
		return;
	if (pgw_json_read(text, strlen(text), MAX_NESTING, &object) != PGW_JSON_GOOD ||
		pgw_json_type(&object) != PGW_JSON_OBJECT)
	{
		*faults = pgw_arg_fault(*faults, "arguments", "invalid_format",
								"must be a JSON object, such as {\"amount\": 1234}");
		return;
	}
	while (pgw_json_next_member(&object, &at, &name, &v))
		read_member(&name, &v, values, faults);
}

/* ---------------------------------------------------------------- samples */

/* A payment is by token or by card: as the caller says, else as the bank takes it. */
static bool
pays_by_card(const PgwBank *bank, const Values *v)
{
	for (int i = 0; i < NARGUMENTS; i++)
	{
		if (arguments[i].card && v->given[i])
			return true;
	}
	return value_of(v, "token") == NULL && !pgw_connector_capabilities(bank->connector)->tokens &&
		   !pgw_connector_capabilities(bank->connector)->token_objects;
}

static void
add_samples(const PgwBank *bank, PgwBankOp op, Values *v)
{
	bool charges = op == PGW_OP_CHARGE || op == PGW_OP_AUTHORIZE;
	bool by_card = pays_by_card(bank, v);

	for (int i = 0; i < NARGUMENTS; i++)
	{
		const Argument *a = &arguments[i];
		bool source = a->card || strcmp(a->name, "token") == 0;

		if (v->given[i] || (source && (!charges || a->card != by_card)))
			continue;
		v->values[i] = a->sample != NULL ? pstrdup(a->sample) : NULL;
		if (strcmp(a->name, "token") == 0 && !pgw_connector_capabilities(bank->connector)->tokens)
			v->values[i] = pstrdup("{}"); /* a sample of every object */
	}
	if (value_of(v, "currency") == NULL)
		v->values[place_of("currency")] = pstrdup(
			bank->currencies != NULL && bank->currencies[0] != NULL ? bank->currencies[0] : "EUR");
}

/* As pgw_call_render() (bank_call/call.c) gives them, but for the marks. */
static void
fill_params(const PgwBank *bank, PgwBankOp op, const Values *v, const PgwCurrency *currency,
			PgwCallParams *p)
{
	const char *month = value_of(v, "card_expiry_month");
	const char *year = value_of(v, "card_expiry_year");
	bool charges = op == PGW_OP_CHARGE || op == PGW_OP_AUTHORIZE;

	memset(p, 0, sizeof(*p));
	p->masked = true;
	p->amount = strtoll(value_of(v, "amount"), NULL, 10);
	p->has_amount = true;
	p->currency = currency->code;
	p->iso_exponent = currency->exponent;
	p->token = value_of(v, "token");
	p->card_number = value_of(v, "card_number");
	p->card_expiry_month = month != NULL ? atoi(month) : 0;
	p->card_expiry_year = year != NULL ? atoi(year) : 0;
	p->card_cvv = value_of(v, "card_cvv");
	p->card_holder = value_of(v, "card_holder");
	p->transaction_ref = value_of(v, "transaction_ref");
	p->original_ref = charges ? p->transaction_ref : value_of(v, "original_ref");
	p->bank_reference = charges ? NULL : value_of(v, "bank_reference");
	p->operation_reference = charges ? NULL : value_of(v, "operation_reference");
	p->notification_id = charges ? NULL : value_of(v, "notification_id");
	p->idempotency_key = p->transaction_ref;
	p->correlation_id = "00000000-0000-7000-8000-000000000000";
	p->merchant = value_of(v, "merchant");
	p->reference = value_of(v, "reference");
	p->reason = value_of(v, "reason");
	p->final_capture = strcmp(value_of(v, "final"), "true") == 0;
	p->now = pgw_unix_microseconds(pgw_now());
	p->base_url = bank->base_url;
	p->bank_fields = value_of(v, "bank_fields");
	p->customer = charges ? value_of(v, "customer") : NULL;
	p->settings = bank->settings;
}

/* ---------------------------------------------------------------- the result */

static char *
url_of(const PgwBank *bank, const PgwRendered *r)
{
	char *url = pstrdup(bank->base_url);

	while (url[0] != '\0' && url[strlen(url) - 1] == '/')
		url[strlen(url) - 1] = '\0';
	return psprintf("%s%s", url, r->path.data);
}

static char *
headers_of(const PgwRendered *r)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_begin_object(&w, NULL);
	for (int i = 0; i < r->nheaders; i++)
	{
		char *name = pstrdup(r->headers[i].data);
		char *colon = strchr(name, ':');

		*colon = '\0';
		pgw_json_put_string(&w, name, colon + 2);
	}
	pgw_json_end_object(&w);
	return w.text.data;
}

static bool
has_place(const PgwBank *bank, PgwBankOp op, const char *name)
{
	return pgw_connector_uses(bank->connector, op, name) ||
		   (strcmp(name, "customer") == 0 &&
			pgw_connector_uses(bank->connector, op, "customer.")) ||
		   (strcmp(name, "amount") == 0 &&
			pgw_connector_uses(bank->connector, op, "amount_decimal"));
}

/* Which values are not the caller's, of those that the operation has a place for at all. */
static char *
samples_of(const PgwBank *bank, PgwBankOp op, const Values *v)
{
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_begin_object(&w, NULL);
	for (int i = 0; i < NARGUMENTS; i++)
	{
		if (v->given[i] || v->values[i] == NULL || arguments[i].card ||
			!has_place(bank, op, arguments[i].name))
			continue;
		pgw_json_put_string(&w, arguments[i].name, v->values[i]);
	}
	if (pgw_connector_uses(bank->connector, op, "now"))
		pgw_json_put_string(&w, "now", "this moment");
	if (pgw_connector_uses(bank->connector, op, "nonce"))
		pgw_json_put_string(&w, "nonce", "made of the operation, its reference and now");
	if (pgw_connector_uses(bank->connector, op, "idempotency_key"))
		pgw_json_put_string(&w, "idempotency_key", "the transaction_ref");
	if (pgw_connector_uses(bank->connector, op, "correlation_id"))
		pgw_json_put_string(&w, "correlation_id", "of no payment");
	pgw_json_end_object(&w);
	return w.text.data;
}

_Noreturn static void
refuse(const char *faults)
{
	pgw_raise_invalid(
		"the request cannot be rendered", pgw_json_array_of(faults),
		"Correct what DETAIL names. pgw.render_request(bank, operation, arguments) shows a request with keys and cards masked; it stores and sends nothing.");
}

static HeapTuple
render(const PgwBank *bank, PgwBankOp op, const Values *v, const PgwCurrency *currency,
	   TupleDesc desc)
{
	PgwCallParams params;
	PgwConnectorError err;
	PgwRendered rendered;
	Datum values[5];
	bool nulls[5] = {false};

	fill_params(bank, op, v, currency, &params);
	pgw_rendered_init(&rendered);
	if (!pgw_connector_render(bank->connector, op, &params, &rendered, &err))
	{
		pgw_rendered_free(&rendered);
		refuse(pgw_arg_fault(
			NULL, "arguments", "invalid_format",
			psprintf("%s%s%s", err.pointer, err.pointer[0] != '\0' ? ": " : "", err.message)));
	}
	values[0] = CStringGetTextDatum(rendered.method);
	values[1] = CStringGetTextDatum(url_of(bank, &rendered));
	values[2] = DirectFunctionCall1(jsonb_in, CStringGetDatum(headers_of(&rendered)));
	nulls[3] = !rendered.has_body;
	values[3] = nulls[3] ? (Datum) 0 : CStringGetTextDatum(rendered.body.data);
	values[4] = DirectFunctionCall1(jsonb_in, CStringGetDatum(samples_of(bank, op, v)));
	pgw_rendered_free(&rendered);
	return heap_form_tuple(BlessTupleDesc(desc), values, nulls);
}

/*
 * pgw.render_request(bank, operation, arguments): method, url, headers, body, samples.
 */
Datum
pgw_render_request_1_0(PG_FUNCTION_ARGS)
{
	Values values = {.values = {NULL}};
	const PgwCurrency *currency;
	TupleDesc desc;
	PgwBank *bank;
	char *faults = NULL;
	char *given;
	int op;

	pgw_require(GetUserId(), "operator", NULL);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != 5)
		elog(ERROR, "unexpected result type of pgw.render_request()");
	pgw_require_version();
	pgw_config_refresh(false);
	given = pgw_arg_json(fcinfo, "arguments");
	pgw_remains_copy(given); /* a card's and a customer's data may stand there */
	pgw_tool_document("arguments", given, MAX_ARGUMENTS_BYTES, &faults);
	if (faults != NULL)
		refuse(faults);
	bank = pgw_tool_bank(pgw_arg_text(fcinfo, "bank"), &faults);
	op = pgw_tool_operation(bank != NULL ? bank->connector : NULL,
							pgw_arg_text(fcinfo, "operation"), &faults);
	read_arguments(given, &values, &faults);
	if (faults != NULL)
		refuse(faults);
	Assert(bank != NULL); /* or there is a fault */
	add_samples(bank, (PgwBankOp) op, &values);
	currency = pgw_currency_find(value_of(&values, "currency"));
	if (currency == NULL)
		refuse(pgw_arg_fault(NULL, "arguments.currency", "unknown_value",
							 "must be a currency of ISO 4217, such as EUR"));
	return HeapTupleGetDatum(render(bank, (PgwBankOp) op, &values, currency, desc));
}
