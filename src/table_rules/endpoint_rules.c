/*
 * endpoint_rules.c - the rules of pgw.webhook_endpoints, whoever writes
 *
 * Owns nothing.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "base/json_writer.h"
#include "core/base/characters.h"
#include "core/connector/bank_url.h"
#include "sql_function/raise_error.h"
#include "table_rules/config_rules.h"
#include "table_rules/trigger_row.h"

#define LONGEST_TIMEOUT_S 60
#define MOST_IN_FLIGHT 500

PG_FUNCTION_INFO_V1(pgw_check_webhook_endpoint);

static const char *
event_types_fault(HeapTuple new, TupleDesc desc)
{
	bool isnull;
	Datum value = pgw_trigger_value(new, desc, "event_types", &isnull);
	ArrayType *types;

	if (isnull)
		return NULL;
	types = DatumGetArrayTypeP(value);
	if (ArrayGetNItems(ARR_NDIM(types), ARR_DIMS(types)) == 0)
		return "names no event: NULL means all of them";
	return array_contains_nulls(types) ? "must not contain NULL" : NULL;
}

static bool
is_merchant(const char *name)
{
	return pgw_trigger_any_row("SELECT FROM pgw.merchants WHERE merchant OPERATOR(pg_catalog.=) $1",
							   1, (Oid[]){TEXTOID}, (Datum[]){CStringGetTextDatum(name)});
}

static void
check_endpoint(HeapTuple new, TupleDesc desc)
{
	PgwJsonWriter faults;
	const char *message;
	char *name = pgw_trigger_text(new, desc, "endpoint");
	char *url = pgw_trigger_text(new, desc, "url");
	char *secret = pgw_trigger_text(new, desc, "secret");
	char *ca_file = pgw_trigger_text(new, desc, "ca_file");
	char *merchant = pgw_trigger_text(new, desc, "merchant");
	int64 in_flight = pgw_trigger_number(new, desc, "max_in_flight");

	pgw_json_begin(&faults);
	if (name != NULL && pgw_has_control(name, ""))
		pgw_rule_fault(&faults, "endpoint", "must not contain control characters");
	if (url != NULL && (message = pgw_bank_url_fault(url)) != NULL)
		pgw_rule_fault(&faults, "url", message);
	if (secret != NULL && (message = pgw_rule_secret_fault(secret)) != NULL)
		pgw_rule_fault(&faults, "secret", message);
	if ((message = event_types_fault(new, desc)) != NULL)
		pgw_rule_fault(&faults, "event_types", message);
	if (merchant != NULL && !is_merchant(merchant))
		pgw_rule_fault(&faults, "merchant",
					   "names no row of pgw.merchants: NULL means all of them");
	if (ca_file != NULL && !is_absolute_path(ca_file))
		pgw_rule_fault(&faults, "ca_file", "must be an absolute path");
	if (in_flight < 1 || in_flight > MOST_IN_FLIGHT)
		pgw_rule_fault(&faults, "max_in_flight",
					   psprintf("must be between 1 and %d", MOST_IN_FLIGHT));
	pgw_rule_timeout(&faults, new, desc, "timeout", LONGEST_TIMEOUT_S);
	if (faults.text.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_PGW_VALIDATION),
				 errmsg("webhook endpoint \"%s\" is not valid", name ? name : ""),
				 errdetail_internal("%s", pgw_json_array_of(faults.text.data)),
				 errhint("docs/webhooks.md describes the columns of pgw.webhook_endpoints.")));
}

/* BEFORE INSERT or UPDATE ON webhook_endpoints FOR EACH ROW: every fault at once. */
Datum
pgw_check_webhook_endpoint(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = pgw_trigger_context(fcinfo);
	HeapTuple new = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple
																: trigdata->tg_trigtuple;

	check_endpoint(new, RelationGetDescr(trigdata->tg_relation));
	return PointerGetDatum(new);
}
