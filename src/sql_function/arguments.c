/*
 * arguments.c - the arguments of a client function, by name
 *
 * Owns: the map from argument names to positions, one per call site (fn_extra): a new library
 * serves an older SQL definition, and new arguments may stand anywhere.
 * Invariant: nothing here judges a value; core/request/validate.c does.  Amounts are numeric
 * outside and int64 from here on.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/clock.h"
#include "base/compat.h"
#include "sql_function/arguments.h"
#include "sql_function/wipe_remains.h"

typedef struct ArgNames
{
	bool noted; /* pgw_remains_call() has been called for this call site */
	int n;
	char *names[FUNC_MAX_ARGS];
} ArgNames;

static ArgNames *
arg_names(FunctionCallInfo fcinfo)
{
	FmgrInfo *flinfo = fcinfo->flinfo;

	if (flinfo->fn_extra == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(flinfo->fn_mcxt);
		ArgNames *a = palloc0(sizeof(ArgNames));
		HeapTuple tup = SearchSysCache1(PROCOID, ObjectIdGetDatum(flinfo->fn_oid));
		Oid *types;
		char **names;
		char *modes;
		int n;

		if (!HeapTupleIsValid(tup))
			elog(ERROR, "cache lookup failed for function %u", flinfo->fn_oid);
		n = get_func_arg_info(tup, &types, &names, &modes);
		for (int i = 0; i < n && names != NULL; i++)
		{
			/* Columns of RETURNS TABLE come after the arguments. */
			if (modes == NULL || modes[i] == PROARGMODE_IN)
				a->names[a->n++] = names[i];
		}
		ReleaseSysCache(tup);
		flinfo->fn_extra = a;
		MemoryContextSwitchTo(old);
	}
	return flinfo->fn_extra;
}

Datum
pgw_arg(FunctionCallInfo fcinfo, const char *name, bool *isnull)
{
	ArgNames *a = arg_names(fcinfo);

	for (int i = 0; i < a->n && i < PG_NARGS(); i++)
	{
		if (strcmp(a->names[i], name) == 0)
		{
			*isnull = PG_ARGISNULL(i);
			return *isnull ? (Datum) 0 : PG_GETARG_DATUM(i);
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

char *
pgw_arg_json(FunctionCallInfo fcinfo, const char *name)
{
	bool isnull;
	Datum d = pgw_arg(fcinfo, name, &isnull);
	Jsonb *j;

	if (isnull)
		return NULL;
	j = DatumGetJsonbP(d);
	return JsonbToCString(NULL, &j->root, VARSIZE(j));
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

void
pgw_args_note_secrets(FunctionCallInfo fcinfo)
{
	static const char *const secrets[] = {"card_number", "card_cvv", "card_holder"};
	bool isnull = true;

	for (int i = 0; isnull && i < lengthof(secrets); i++)
		(void) pgw_arg(fcinfo, secrets[i], &isnull);
	if (isnull || arg_names(fcinfo)->noted)
		return;
	arg_names(fcinfo)->noted = true;
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
	args->card_number = args->card_cvv = args->card_holder = NULL;
}
