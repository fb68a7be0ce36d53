/*
 * arguments.c - the arguments of a client function, by name
 *
 * Owns: the map from argument names to positions, by function: a new library serves an older SQL
 * definition, and new arguments may stand anywhere.  It is void when any function has changed.
 * Invariant: nothing here judges a value; core/request/validate.c does.  Amounts are numeric
 * outside and int64 from here on.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/compat.h"
#include "core/base/mutant.h"
#include "core/card/token_object.h"
#include "sql_function/arguments.h"
#include "sql_function/jsonb_text.h"
#include "sql_function/left_out_arguments.h"
#include "sql_function/wipe_remains.h"

typedef struct ArgNames
{
	Oid function; /* InvalidOid: void */
	MemoryContext context;
	int n;
	int next; /* behind the one that was asked for last: they are asked for in their order, nearly
			   */
	char *names[FUNC_MAX_ARGS];
	/* for a call that does not carry them all (left_out_arguments.c) */
	NullableDatum left_out[FUNC_MAX_ARGS];
} ArgNames;

#define MAX_FUNCTIONS 8

/* A statement that is executed again has other call sites, and the same functions. */
static ArgNames functions[MAX_FUNCTIONS];

static void
forget_functions(Datum arg, int cacheid, uint32 hashvalue)
{
	for (int i = 0; i < MAX_FUNCTIONS; i++)
		functions[i].function = InvalidOid; /* its names go once the place is used again */
}

static void
read_names(ArgNames *a, Oid function)
{
	HeapTuple tup = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	MemoryContext old;
	Oid *types;
	char **names;
	char *modes;
	int n;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for function %u", function);
	if (a->context == NULL)
		a->context =
			AllocSetContextCreate(TopMemoryContext, "pgw argument names", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(a->context);
	old = MemoryContextSwitchTo(a->context);
	n = get_func_arg_info(tup, &types, &names, &modes);
	a->n = a->next = 0;
	for (int i = 0; i < n && names != NULL; i++)
	{
		/* Columns of RETURNS TABLE come after the arguments. */
		if (modes != NULL && modes[i] != PROARGMODE_IN)
			continue;
		a->left_out[a->n].value = pgw_left_out_value(names[i], &a->left_out[a->n].isnull);
		a->names[a->n++] = names[i];
	}
	MemoryContextSwitchTo(old);
	ReleaseSysCache(tup);
	a->function = function;
}

static ArgNames *
arg_names(Oid function)
{
	static bool registered = false;
	static int next = 0;
	ArgNames *a;

	for (int i = 0; i < MAX_FUNCTIONS; i++)
	{
		if (functions[i].function == function)
			return &functions[i];
	}
	if (!registered)
		CacheRegisterSyscacheCallback(PROCOID, forget_functions, (Datum) 0);
	registered = true;
	a = &functions[next];
	next = (next + 1) % MAX_FUNCTIONS;
	a->function = InvalidOid;
	read_names(a, function);
	return a;
}

Datum
pgw_arg(FunctionCallInfo fcinfo, const char *name, bool *isnull)
{
	ArgNames *a = arg_names(fcinfo->flinfo->fn_oid);

	for (int looked = 0; looked < a->n; looked++)
	{
		int i = a->next < a->n ? a->next : 0;

		a->next = i + 1;
		if (strcmp(a->names[i], name) == 0)
		{
			const NullableDatum *arg = i < PG_NARGS() ? &fcinfo->args[i] : &a->left_out[i];

			*isnull = arg->isnull;
			return *isnull ? (Datum) 0 : arg->value;
		}
	}
	*isnull = true;
	return (Datum) 0;
}

char *
pgw_arg_text(FunctionCallInfo fcinfo, const char *name)
{
	bool isnull;
	Datum d = pgw_arg(fcinfo, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(d);
}

/*
 * A value that came short, compressed or from a TOAST table was copied to be read: the customer of
 * "options" would stand there when the text is wiped.  The value itself is the caller's.
 */
static void
wipe_copy(Jsonb *j, Datum value)
{
	if ((Pointer) j == DatumGetPointer(value) || PGW_MUTATED(OPTIONS_COPY))
		return;
	explicit_bzero(j, VARSIZE(j));
	pfree(j);
}

char *
pgw_arg_json(FunctionCallInfo fcinfo, const char *name)
{
	bool isnull;
	Datum d = pgw_arg(fcinfo, name, &isnull);
	Jsonb *j;
	char *text;

	if (isnull)
		return NULL;
	j = DatumGetJsonbP(d);
	if (JB_ROOT_IS_OBJECT(j) && JB_ROOT_COUNT(j) == 0)
		return pstrdup("{}"); /* nearly always */
	text = pgw_jsonb_text(&j->root, VARSIZE(j));
	wipe_copy(j, d);
	return text;
}

static int
arg_int(FunctionCallInfo fcinfo, const char *name, bool *isnull)
{
	Datum d = pgw_arg(fcinfo, name, isnull);

	return *isnull ? 0 : DatumGetInt32(d);
}

PgwAmountFault
pgw_arg_amount(FunctionCallInfo fcinfo, const char *name, bool *isnull, int64 *amount)
{
	Datum d = pgw_arg(fcinfo, name, isnull);

	*amount = 0;
	return *isnull ? PGW_AMOUNT_OK
				   : pgw_money_from_numeric(DatumGetCString(DirectFunctionCall1(numeric_out, d)),
											amount);
}

TimestampTz
pgw_deadline(int64 timeout_ms)
{
	return GetCurrentTimestamp() + timeout_ms * 1000;
}

static bool
is_token_object(FunctionCallInfo fcinfo)
{
	char *token = pgw_arg_text(fcinfo, "token");

	if (!pgw_token_is_object(token))
		return false;
	pgw_remains_copy(token);
	return true;
}

void
pgw_args_note_secrets(FunctionCallInfo fcinfo)
{
	static const char *const secrets[] = {"card_number", "card_cvv", "card_holder"};
	static char noted; /* its address at a call site: pgw_remains_call() has been called for that */
	bool isnull = true;

	if (fcinfo->flinfo->fn_extra == &noted)
		return;
	for (int i = 0; isnull && i < lengthof(secrets); i++)
		(void) pgw_arg(fcinfo, secrets[i], &isnull);
	if (isnull && !is_token_object(fcinfo))
		return;
	fcinfo->flinfo->fn_extra = &noted;
	pgw_remains_call(fcinfo);
}

/* pgw_args_wipe() is only earlier. */
static char *
arg_secret(FunctionCallInfo fcinfo, const char *name)
{
	char *value = pgw_arg_text(fcinfo, name);

	pgw_remains_copy(value);
	return value;
}

void
pgw_args_read(FunctionCallInfo fcinfo, bool is_submit, PgwPaymentArgs *args)
{
	Datum d;

	memset(args, 0, sizeof(*args));
	args->is_submit = is_submit;
	args->client_request_id = pgw_arg_text(fcinfo, "client_request_id");
	args->amount_fault = pgw_arg_amount(fcinfo, "amount", &args->amount_isnull, &args->amount);
	args->currency = pgw_arg_text(fcinfo, "currency");
	args->token = pgw_arg_text(fcinfo, "token");
	if (pgw_token_is_object(args->token))
		pgw_remains_copy(args->token);
	args->card_number = arg_secret(fcinfo, "card_number");
	args->card_expiry_month = arg_int(fcinfo, "card_expiry_month", &args->card_expiry_month_isnull);
	args->card_expiry_year = arg_int(fcinfo, "card_expiry_year", &args->card_expiry_year_isnull);
	args->card_cvv = arg_secret(fcinfo, "card_cvv");
	args->card_holder = arg_secret(fcinfo, "card_holder");
	args->bank = pgw_arg_text(fcinfo, "bank");
	args->capture = pgw_arg_text(fcinfo, "capture");
	args->reference = pgw_arg_text(fcinfo, "reference");
	args->metadata = pgw_arg_json(fcinfo, "metadata");
	args->bank_fields = pgw_arg_json(fcinfo, "bank_fields");
	d = pgw_arg(fcinfo, "timeout", &args->timeout_isnull);
	args->timeout_ms = args->timeout_isnull ? 0 : pgw_interval_ms(d);
	args->on_failure = pgw_arg_text(fcinfo, "on_failure");
	args->merchant = pgw_arg_text(fcinfo, "merchant");
	args->options = pgw_arg_json(fcinfo, "options");
	if (args->options != NULL && strstr(args->options, "\"customer\"") != NULL)
		pgw_remains_copy(args->options);
}

static void
wipe(const char *s)
{
	if (s != NULL)
		explicit_bzero(unconstify(char *, s), strlen(s));
}

void
pgw_args_wipe(PgwPaymentArgs *args)
{
	wipe(args->card_number);
	wipe(args->card_cvv);
	wipe(args->card_holder);
	wipe(args->options); /* the customer stands there */
	args->card_number = args->card_cvv = args->card_holder = args->options = NULL;
	if (!pgw_token_is_object(args->token))
		return;
	wipe(args->token);
	args->token = NULL;
}
