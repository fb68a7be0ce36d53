/*
 * payment_requests.c - the requests of pgw.process_payments(), read from their document
 *
 * Owns: the members that a request can have.  A document and not an array of a row type: every
 * driver can bind it, whatever it knows of types.  Cards are refused, as submit_payment() refuses
 * them: what looks at arguments before a statement is logged, planned or freed (card_guard/,
 * wipe_remains.c) cannot tell a card in a document from the rest of it.
 *
 * Invariant: no fault holds a value of the document; of a name that is not known only one that can
 * hold neither number nor token.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/json_writer.h"
#include "card_guard/log_redaction.h"
#include "core/card/token_object.h"
#include "client_api/payment_requests.h"
#include "sql_function/jsonb_text.h"
#include "sql_function/raise_error.h"
#include "sql_function/wipe_remains.h"

#define MAX_FAULTS 100 /* then the rest is not looked at */
#define MAX_NAMED 64   /* longer unknown members are not named */

typedef enum Kind
{
	TEXT,
	AMOUNT,
	OBJECT,
	CARD
} Kind;

/* A member of a request, and where its text goes. */
static const struct
{
	const char *name;
	Kind kind;
	size_t at;
} members[] = {
	{"client_request_id", TEXT, offsetof(PgwPaymentArgs, client_request_id)},
	{"amount", AMOUNT, 0},
	{"currency", TEXT, offsetof(PgwPaymentArgs, currency)},
	{"token", TEXT, offsetof(PgwPaymentArgs, token)},
	{"bank", TEXT, offsetof(PgwPaymentArgs, bank)},
	{"capture", TEXT, offsetof(PgwPaymentArgs, capture)},
	{"reference", TEXT, offsetof(PgwPaymentArgs, reference)},
	{"metadata", OBJECT, offsetof(PgwPaymentArgs, metadata)},
	{"bank_fields", OBJECT, offsetof(PgwPaymentArgs, bank_fields)},
	{"merchant", TEXT, offsetof(PgwPaymentArgs, merchant)},
	{"options", OBJECT, offsetof(PgwPaymentArgs, options)},
	{"card_number", CARD, 0},
	{"card_expiry_month", CARD, 0},
	{"card_expiry_year", CARD, 0},
	{"card_cvv", CARD, 0},
	{"card_holder", CARD, 0},
};

typedef struct Reader
{
	PgwJsonWriter faults;
	int nfaults;
} Reader;

static void
fault(Reader *r, int request, const char *field, const char *code, const char *message)
{
	r->nfaults++;
	pgw_json_begin_object(&r->faults, NULL);
	if (request > 0)
		pgw_json_put_int(&r->faults, "request", request);
	pgw_json_put_string(&r->faults, "field", field);
	pgw_json_put_string(&r->faults, "code", code);
	pgw_json_put_string(&r->faults, "message", message);
	pgw_json_end_object(&r->faults);
}

static void
read_amount(Reader *r, PgwPaymentArgs *args, const JsonbValue *value)
{
	if (value->type != jbvNumeric)
	{
		fault(r, args->request, "amount", "invalid_format", "must be a number");
		return;
	}
	args->amount_isnull = false;
	args->amount_fault = pgw_money_from_numeric(
		DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric))),
		&args->amount);
}

static bool
is_object(const JsonbValue *value)
{
	return value->type == jbvBinary && JsonContainerIsObject(value->val.binary.data);
}

/* A value that is not null. */
static void
read_value(Reader *r, PgwPaymentArgs *args, int i, const JsonbValue *value)
{
	const char **text = (const char **) ((char *) args + members[i].at);

	switch (members[i].kind)
	{
		case TEXT:
			if (value->type == jbvString)
			{
				*text = pnstrdup(value->val.string.val, value->val.string.len);
				if (pgw_token_is_object(*text))
					pgw_remains_copy(*text);
			}
			else
				fault(r, args->request, members[i].name, "invalid_format", "must be a string");
			break;
		case AMOUNT:
			read_amount(r, args, value);
			break;
		case OBJECT:
			if (is_object(value))
			{
				*text = pgw_jsonb_text(value->val.binary.data, (Size) value->val.binary.len);
				/* what is told of a customer is refused, and was here all the same */
				if (strstr(*text, "\"customer\"") != NULL)
					pgw_remains_copy(*text);
			}
			else
				fault(r, args->request, members[i].name, "invalid_format", "must be a JSON object");
			break;
		case CARD:
			/* what has come is in the server's memory and perhaps in a text: keep it out of logs */
			pgw_log_redaction_watch();
			fault(r, args->request, members[i].name, "conflicting_fields",
				  "process_payments takes tokens only; use process_payment");
			break;
	}
}

/* A null is what NULL is to process_payment(): no value, also where that has a default. */
static void
read_null(PgwPaymentArgs *args, int i)
{
	if (members[i].kind == TEXT || members[i].kind == OBJECT)
		*(const char **) ((char *) args + members[i].at) = NULL;
}

static void
unknown_member(Reader *r, int request, const JsonbValue *name)
{
	const char *text = pnstrdup(name->val.string.val, name->val.string.len);
	bool plain =
		strlen(text) <= MAX_NAMED &&
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") == strlen(text);

	fault(r, request, "requests", "unknown_option",
		  plain ? psprintf("unknown member \"%s\"", text) : "unknown member");
}

static void
read_member(Reader *r, PgwPaymentArgs *args, const JsonbValue *name, const JsonbValue *value)
{
	for (int i = 0; i < lengthof(members); i++)
	{
		if ((size_t) name->val.string.len != strlen(members[i].name) ||
			memcmp(name->val.string.val, members[i].name, name->val.string.len) != 0)
			continue;
		if (value->type == jbvNull)
			read_null(args, i);
		else
			read_value(r, args, i, value);
		return;
	}
	unknown_member(r, args->request, name);
}

/* args->request is its place. */
static void
read_request(Reader *r, PgwPaymentArgs *args, const JsonbValue *request)
{
	JsonbIterator *it;
	JsonbValue name;
	JsonbValue value;

	args->amount_isnull = args->timeout_isnull = true;
	args->card_expiry_month_isnull = args->card_expiry_year_isnull = true;
	args->capture = "immediate";
	args->metadata = args->bank_fields = "{}";
	args->options = pstrdup("{}"); /* pgw_args_wipe() writes there: no literal */
	args->merchant = "default";
	it = JsonbIteratorInit(request->val.binary.data);
	(void) JsonbIteratorNext(&it, &name, true); /* the object's beginning */
	while (JsonbIteratorNext(&it, &name, true) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&it, &value, true);
		read_member(r, args, &name, &value);
	}
}

static int
compare(const PgwPaymentArgs *a, const PgwPaymentArgs *b)
{
	int c = strcmp(a->merchant, b->merchant);

	return c != 0 ? c : strcmp(a->client_request_id, b->client_request_id);
}

static int
compare_places(const void *a, const void *b, void *pays)
{
	const PgwPay *p = pays;

	return compare(&p[*(const int *) a].args, &p[*(const int *) b].args);
}

int *
pgw_payment_requests_order(const PgwPay *pays, int n)
{
	int *order = palloc(n * sizeof(int));

	for (int i = 0; i < n; i++)
		order[i] = i;
	qsort_arg(order, n, sizeof(int), compare_places, unconstify(PgwPay *, pays));
	return order;
}

/* All of them are valid, each for itself. */
static void
find_repeated(Reader *r, const PgwPay *pays, int n)
{
	const int *order = pgw_payment_requests_order(pays, n);

	for (int i = 1; i < n && r->nfaults < MAX_FAULTS; i++)
	{
		if (compare(&pays[order[i - 1]].args, &pays[order[i]].args) == 0)
			fault(r, Max(order[i - 1], order[i]) + 1, "client_request_id", "conflicting_fields",
				  psprintf("request %d has the same id", Min(order[i - 1], order[i]) + 1));
	}
}

static void
raise_faults(const Reader *r)
{
	if (r->nfaults > 0)
		pgw_raise_faults(pgw_json_array_of(r->faults.text.data));
}

/* NULL: it is no array of so many at most. */
static JsonbContainer *
find_array(Reader *r, FunctionCallInfo fcinfo)
{
	bool isnull;
	Datum d = pgw_arg(fcinfo, "requests", &isnull);
	JsonbContainer *root;

	if (isnull)
	{
		fault(r, 0, "requests", "required", "must not be null; of no requests it is '[]'");
		return NULL;
	}
	root = &DatumGetJsonbP(d)->root;
	if (!JsonContainerIsArray(root) || JsonContainerIsScalar(root))
		fault(r, 0, "requests", "invalid_format", "must be a JSON array of objects");
	else if (JsonContainerSize(root) > PGW_MAX_REQUESTS)
		fault(r, 0, "requests", "out_of_range",
			  psprintf("must hold at most %d requests", PGW_MAX_REQUESTS));
	else
		return root;
	return NULL;
}

PgwPay *
pgw_payment_requests(FunctionCallInfo fcinfo, int *n)
{
	Reader r = {.nfaults = 0};
	JsonbContainer *root;
	PgwPay *pays;

	pgw_json_begin(&r.faults);
	root = find_array(&r, fcinfo);
	raise_faults(&r);
	Assert(root != NULL); /* its lack is a fault */
	*n = (int) JsonContainerSize(root);
	pays = palloc0(Max(*n, 1) * sizeof(PgwPay));
	for (int i = 0; i < *n && r.nfaults < MAX_FAULTS; i++)
	{
		JsonbValue *request = getIthJsonbValueFromContainer(root, (uint32) i);
		int before = r.nfaults;
		char *faults;

		pays[i].args.request = i + 1;
		if (!is_object(request))
		{
			fault(&r, i + 1, "requests", "invalid_format", "must be a JSON object");
			continue;
		}
		read_request(&r, &pays[i].args, request);
		/* what is not of its type has no value to look at */
		faults = r.nfaults == before ? pgw_pay_validate(&pays[i]) : NULL;
		if (faults == NULL)
			continue;
		r.nfaults++;
		pgw_json_put_raw(&r.faults, NULL, faults);
	}
	raise_faults(&r);
	find_repeated(&r, pays, *n);
	raise_faults(&r);
	return pays;
}
