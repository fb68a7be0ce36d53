/*
 * config_rules.c - the rules of the configuration tables, whoever writes: a bad row is refused with
 * an error that says where it is bad
 *
 * Owns: whether the transaction in progress has changed the configuration.  The processes that keep
 * the configuration in memory learn of a change when it has committed.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "bank/bank_config.h"
#include "base/debug_points.h"
#include "base/error_detail.h"
#include "base/json_writer.h"
#include "core/base/characters.h"
#include "core/base/money.h"
#include "core/card/card_text.h"
#include "core/connector/bank_url.h"
#include "core/connector/connector.h"
#include "exchange/config_generation.h"
#include "sql_function/raise_error.h"
#include "table_rules/config_rules.h"
#include "table_rules/test_bank_rules.h"
#include "table_rules/trigger_row.h"

#define NO_CONTROLS "must not contain control characters: no call could name it"

PG_FUNCTION_INFO_V1(pgw_check_connector);
PG_FUNCTION_INFO_V1(pgw_check_merchant);
PG_FUNCTION_INFO_V1(pgw_check_bank);
PG_FUNCTION_INFO_V1(pgw_config_changed);

static bool config_changed = false; /* by the transaction in progress */

/* With one text argument. */
static bool
row_exists(const char *sql, const char *arg)
{
	return pgw_trigger_any_row(sql, 1, (Oid[]){TEXTOID}, (Datum[]){CStringGetTextDatum(arg)});
}

/* Built-in connectors are the extension scripts' alone. */
static void
refuse_builtin(HeapTuple old, HeapTuple new, TupleDesc desc)
{
	if (old != NULL && pgw_trigger_bool(old, desc, "builtin"))
		ereport(
			ERROR,
			(errcode(ERRCODE_PGW_RULE),
			 errmsg("connector \"%s\" is built in and cannot be changed",
					pgw_trigger_text(old, desc, "name")),
			 errdetail_internal("%s", pgw_error_detail("operation_not_allowed", NULL)),
			 errhint(
				 "Insert a copy of its definition under another name, and change the copy. See docs/connectors.md.")));
	if (new != NULL && pgw_trigger_bool(new, desc, "builtin"))
		ereport(ERROR, (errcode(ERRCODE_PGW_RULE),
						errmsg("a connector of your own cannot be marked as built in"),
						errdetail_internal("%s", pgw_error_detail("operation_not_allowed", NULL)),
						errhint("Leave builtin out: dumps leave built-in connectors out.")));
}

static char *
definition_fault(const char *code, const char *message)
{
	return pgw_json_array_of(pgw_arg_fault(NULL, "definition", code, message));
}

static void
say_warnings(const PgwConnectorError *list, int n, const char *name)
{
	for (int i = 0; i < n && i < PGW_MAX_CONNECTOR_WARNINGS; i++)
		ereport(NOTICE,
				(errmsg("connector \"%s\": at %s: %s", name, list[i].pointer, list[i].message)));
}

/* Each with its place, as many as are told at once. */
static char *
definition_faults(const PgwConnectorError *list, int n)
{
	char *faults = NULL;

	for (int i = 0; i < n && i < PGW_MAX_CONNECTOR_FAULTS; i++)
		faults = pgw_arg_fault(
			faults, "definition", "invalid_format",
			psprintf("at %s: %s", list[i].pointer[0] != '\0' ? list[i].pointer : "the top level",
					 list[i].message));
	return pgw_json_array_of(faults);
}

/* The document compiles, and holds no card number. */
static void
check_definition(HeapTuple new, TupleDesc desc)
{
	char *name = pgw_trigger_text(new, desc, "name");
	char *json = pgw_trigger_text(new, desc, "definition"); /* a json is its text */
	PgwConnectorError *found;
	PgwConnector *compiled;
	int n;

	if (json == NULL)
		return; /* NOT NULL says so */
	found = palloc0(Max(PGW_MAX_CONNECTOR_FAULTS, PGW_MAX_CONNECTOR_WARNINGS) *
					sizeof(PgwConnectorError));
	compiled = pgw_connector_compile_all(json, strlen(json), found, PGW_MAX_CONNECTOR_FAULTS, &n);
	if (compiled == NULL)
		ereport(ERROR, (errcode(ERRCODE_PGW_VALIDATION),
						errmsg("connector \"%s\" is not valid", name ? name : ""),
						errdetail_internal("%s", definition_faults(found, n)),
						errhint("docs/connectors.md describes the document.")));
	if (pgw_card_in_json(NULL, json, strlen(json)) != PGW_FOUND_NOTHING)
	{
		pgw_connector_free(compiled);
		ereport(ERROR,
				(errcode(ERRCODE_PGW_VALIDATION), errmsg("the connector is not valid"),
				 errdetail_internal("%s", definition_fault("card_number_in_stored_field", NULL)),
				 errhint("docs/security.md says what is taken for a card number.")));
	}
	n = pgw_connector_warnings(compiled, found, PGW_MAX_CONNECTOR_WARNINGS);
	pgw_connector_free(compiled);
	if (!creating_extension)
		say_warnings(found, n, name ? name : "");
}

/*
 * BEFORE INSERT, UPDATE or DELETE ON connectors FOR EACH ROW: the document compiles; built-in rows
 * are the extension scripts' alone.
 */
Datum
pgw_check_connector(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = pgw_trigger_context(fcinfo);
	TupleDesc desc = RelationGetDescr(trigdata->tg_relation);
	HeapTuple old = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ? NULL : trigdata->tg_trigtuple;
	HeapTuple new = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event)   ? trigdata->tg_trigtuple
					: TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple
																  : NULL;

	if (!creating_extension)
		refuse_builtin(old, new, desc);
	if (old != NULL && (new == NULL || !pgw_trigger_same(old, new, desc, "name")) &&
		row_exists("SELECT FROM pgw.banks WHERE connector OPERATOR(pg_catalog.=) $1",
				   pgw_trigger_text(old, desc, "name")))
		ereport(ERROR,
				(errcode(ERRCODE_PGW_RULE),
				 errmsg("connector \"%s\" is used by a bank", pgw_trigger_text(old, desc, "name")),
				 errdetail_internal("%s", pgw_error_detail("operation_not_allowed", NULL)),
				 errhint("Give the banks in pgw.banks another connector first.")));

	if (new != NULL)
		check_definition(new, desc);
	return PointerGetDatum(new ? new : old);
}

/*
 * BEFORE INSERT or UPDATE ON merchants FOR EACH ROW: "default" is the extension script's alone, as
 * its CHECK says, too, which cannot say what to do.
 */
Datum
pgw_check_merchant(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = pgw_trigger_context(fcinfo);
	TupleDesc desc = RelationGetDescr(trigdata->tg_relation);
	bool update = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event);
	HeapTuple old = update ? trigdata->tg_trigtuple : NULL;
	HeapTuple new = update ? trigdata->tg_newtuple : trigdata->tg_trigtuple;
	const char *merchant = pgw_trigger_text(new, desc, "merchant");
	bool builtin = pgw_trigger_bool(new, desc, "builtin") ||
				   (update && pgw_trigger_bool(old, desc, "builtin")) ||
				   (merchant != NULL && strcmp(merchant, "default") == 0);

	if (builtin && !creating_extension &&
		!(update && pgw_trigger_same(old, new, desc, "merchant") &&
		  pgw_trigger_same(old, new, desc, "name") && pgw_trigger_same(old, new, desc, "enabled") &&
		  pgw_trigger_same(old, new, desc, "builtin")))
		ereport(ERROR, (errcode(ERRCODE_PGW_RULE),
						errmsg("the merchant \"default\" is built in, the only one that is, and "
							   "cannot be changed"),
						errdetail_internal("%s", pgw_error_detail("operation_not_allowed", NULL)),
						errhint("Insert a merchant under another name, and leave builtin out.")));
	if (merchant != NULL && pgw_has_control(merchant, ""))
		ereport(ERROR, (errcode(ERRCODE_PGW_VALIDATION), errmsg("the merchant is not valid"),
						errdetail_internal(
							"%s", pgw_json_array_of(pgw_arg_fault(
									  NULL, "merchant", "control_characters", NO_CONTROLS))),
						errhint("No call could name it.")));
	return PointerGetDatum(new);
}

const char *
pgw_rule_secret_fault(const char *name)
{
	if (*name == '\0' || *name == '.' || strlen(name) > 255 ||
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
			strlen(name))
		return "must be the name of a file in pgw.secrets_dir: letters, digits, '.', '_' and '-', not beginning with '.'";
	return NULL;
}

/*
 * Why a bank without a secret cannot speak this connector; NULL: it can, or the connector is not
 * there (yet).
 */
static const char *
secret_needed(const char *connector)
{
	Oid types[1] = {TEXTOID};
	Datum args[1] = {CStringGetTextDatum(connector)};
	PgwConnectorError err;
	PgwConnector *compiled = NULL;
	const char *const *names;
	char *message = NULL;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(
			"SELECT definition::text FROM pgw.connectors WHERE name OPERATOR(pg_catalog.=) $1", 1,
			types, args, NULL, false, 1) == SPI_OK_SELECT &&
		SPI_processed == 1)
	{
		char *json = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		compiled = pgw_connector_compile(json, strlen(json), &err);
	}
	SPI_finish();
	if (compiled != NULL && pgw_connector_secret_names(compiled, &names) > 0)
		message = psprintf(
			"is NULL, but the connector says {{secret.%s}}: must be the name of a file in pgw.secrets_dir with a line %s=value",
			names[0], names[0]);
	pgw_connector_free(compiled);
	return message;
}

void
pgw_rule_fault(PgwJsonWriter *faults, const char *field, const char *message)
{
	pgw_json_put_raw(faults, NULL, pgw_arg_fault(NULL, field, "invalid_format", message));
}

void
pgw_rule_timeout(PgwJsonWriter *faults, HeapTuple tuple, TupleDesc desc, const char *field,
				 int max_s)
{
	bool isnull;
	Datum value = pgw_trigger_value(tuple, desc, field, &isnull);
	Interval *interval;

	if (isnull)
		return; /* NOT NULL says so */
	interval = DatumGetIntervalP(value);
	if (interval->month != 0 || interval->day != 0 || interval->time < INT64CONST(10000) ||
		interval->time > max_s * USECS_PER_SEC)
		pgw_rule_fault(faults, field, psprintf("must be between 10 ms and %d s", max_s));
}

static void
check_currencies(PgwJsonWriter *faults, HeapTuple tuple, TupleDesc desc)
{
	bool isnull;
	Datum value = pgw_trigger_value(tuple, desc, "currencies", &isnull);
	Datum *elems;
	bool *nulls;
	int n;

	if (isnull)
		return;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls,
					  &n);
	if (n == 0)
		pgw_rule_fault(faults, "currencies", "is empty; NULL means all");
	for (int i = 0; i < n; i++)
	{
		char *code = nulls[i] ? NULL : TextDatumGetCString(elems[i]);

		if (code == NULL || pgw_currency_find(code) == NULL)
			pgw_rule_fault(
				faults, "currencies",
				psprintf("%s is no ISO 4217 currency for payments (three capital letters)",
						 code ? quote_literal_cstr(code) : "NULL"));
	}
}

/* As the breakers of a bank's former version are named (bank_versions.c): "bank@3". */
static bool
is_like_a_version(const char *name)
{
	const char *at = strrchr(name, '@');

	return at != NULL && at[1] != '\0' && strspn(at + 1, "0123456789") == strlen(at + 1);
}

/* What stands in the row alone: times, numbers, lists and short texts. */
static void
check_bank_limits(PgwJsonWriter *faults, HeapTuple new, TupleDesc desc)
{
	char *scope = pgw_trigger_text(new, desc, "token_scope");
	char *account = pgw_trigger_text(new, desc, "account");
	int64 in_flight = pgw_trigger_number(new, desc, "max_in_flight");
	bool isnull;
	Datum settings = pgw_trigger_value(new, desc, "settings", &isnull);

	pgw_rule_timeout(faults, new, desc, "connect_timeout", 60);
	pgw_rule_timeout(faults, new, desc, "request_timeout", 600);
	if (in_flight < 1 || in_flight > 100000)
		pgw_rule_fault(faults, "max_in_flight", "must be between 1 and 100000");
	check_currencies(faults, new, desc);
	if (scope != NULL && (*scope == '\0' || strlen(scope) > 63))
		pgw_rule_fault(faults, "token_scope", "must be 1 to 63 bytes; NULL means this bank alone");
	if (account != NULL && (*account == '\0' || strlen(account) > 63))
		pgw_rule_fault(faults, "account",
					   "must be 1 to 63 bytes; NULL means the bank's own, by its name");
	if (!isnull && !JB_ROOT_IS_OBJECT(DatumGetJsonbP(settings)))
		pgw_rule_fault(faults, "settings", "must be a JSON object");
}

/* The files that a session reads: a backend must never read the bank's key. */
static void
check_notification_files(PgwJsonWriter *faults, HeapTuple new, TupleDesc desc, const char *secret)
{
	char *signs = pgw_trigger_text(new, desc, "notification_secret");
	char *login = pgw_trigger_text(new, desc, "notification_login");
	const char *message;

	if (signs != NULL && (message = pgw_rule_secret_fault(signs)) != NULL)
		pgw_rule_fault(faults, "notification_secret", message);
	if (signs != NULL && secret != NULL && strcmp(signs, secret) == 0)
		pgw_rule_fault(faults, "notification_secret",
					   "must be another file than that of the bank's key");
	if (login == NULL)
		return;
	if ((message = pgw_rule_secret_fault(login)) != NULL)
		pgw_rule_fault(faults, "notification_login", message);
	if (signs == NULL)
		pgw_rule_fault(faults, "notification_login",
					   "is a second proof: needs notification_secret beside it");
	else if (strcmp(login, signs) == 0 || (secret != NULL && strcmp(login, secret) == 0))
		pgw_rule_fault(faults, "notification_login", "must be another file than the bank's others");
}

static void
check_bank(HeapTuple new, TupleDesc desc)
{
	PgwJsonWriter faults;
	const char *message;
	char *name = pgw_trigger_text(new, desc, "name");
	char *connector = pgw_trigger_text(new, desc, "connector");
	char *url = pgw_trigger_text(new, desc, "base_url");
	char *secret = pgw_trigger_text(new, desc, "secret");
	bool judged;

	pgw_json_begin(&faults);
	judged =
		pgw_test_bank_check(&faults, name, connector, url, pgw_trigger_bool(new, desc, "livemode"));

	/*
	 * check_function_bodies is off while a dump is restored: banks may come before their
	 * connectors then
	 */
	if (connector != NULL && check_function_bodies &&
		!row_exists("SELECT FROM pgw.connectors WHERE name OPERATOR(pg_catalog.=) $1", connector))
		pgw_rule_fault(
			&faults, "connector",
			psprintf("there is no connector %s in pgw.connectors", quote_literal_cstr(connector)));
	if (name != NULL && pgw_has_control(name, ""))
		pgw_rule_fault(&faults, "name", NO_CONTROLS);
	if (name != NULL && is_like_a_version(name))
		pgw_rule_fault(
			&faults, "name",
			"must not end with '@' and digits: so the versions of banks are named in pgw.bank_states");
	if (url != NULL && !judged && (message = pgw_bank_url_fault(url)) != NULL)
		pgw_rule_fault(&faults, "base_url", message);
	if (secret != NULL && (message = pgw_rule_secret_fault(secret)) != NULL)
		pgw_rule_fault(&faults, "secret", message);
	check_notification_files(&faults, new, desc, secret);
	if (secret == NULL && connector != NULL && check_function_bodies &&
		(message = secret_needed(connector)) != NULL)
		pgw_rule_fault(&faults, "secret", message);
	check_bank_limits(&faults, new, desc);
	if (faults.text.len > 0)
		ereport(ERROR, (errcode(ERRCODE_PGW_VALIDATION),
						errmsg("bank \"%s\" is not valid", name ? name : ""),
						errdetail_internal("%s", pgw_json_array_of(faults.text.data)),
						errhint("docs/sql-reference.md describes the columns of pgw.banks.")));
}

/*
 * BEFORE INSERT, UPDATE or DELETE ON banks FOR EACH ROW: every fault at once.  What attempts were
 * sent under stays in pgw.bank_versions.  BEFORE TRUNCATE, which would take the bank "test" along.
 */
Datum
pgw_check_bank(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = pgw_trigger_context(fcinfo);
	TupleDesc desc = RelationGetDescr(trigdata->tg_relation);
	HeapTuple old = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ? NULL : trigdata->tg_trigtuple;
	HeapTuple new = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event)   ? trigdata->tg_trigtuple
					: TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple
																  : NULL;

	if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
		pgw_test_bank_refuse_loss();
	pgw_test_bank_keep(old, new, desc);
	if (new != NULL)
	{
		check_bank(new, desc);
		pgw_test_bank_keep_mode(old, new, desc);
		pgw_test_bank_keep_apart(old, new, desc);
	}
	/* NULL: no row is inserted */
	if (old == NULL && pgw_test_bank_restore(new, desc))
		return PointerGetDatum(NULL);
	return PointerGetDatum(new ? new : old);
}

/*
 * The bump comes after the commit, so that who reads then finds the change; from before the commit
 * nobody trusts what was read.
 */
static void
config_xact_callback(XactEvent event, void *arg)
{
	static bool config_changing = false;

	if (!config_changed)
		return;
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			Assert(!config_changing); /* each begun change is ended once */
			pgw_exchange_begin_config_change();
			config_changing = true;
			break;
		case XACT_EVENT_PRE_PREPARE:
			/* who ends it tells (ddl/utility_hook.c) */
			pgw_exchange_mark_prepared_change();
			break;
		case XACT_EVENT_PREPARE:
			config_changed = false;
			break;
		case XACT_EVENT_COMMIT:
			PGW_DEBUG_POINT("config_visible");
			config_changed = false;
			pgw_exchange_bump_generation();
			if (config_changing)
				pgw_exchange_end_config_change();
			config_changing = false;
			break;
		case XACT_EVENT_ABORT:
			config_changed = false;
			if (config_changing)
				pgw_exchange_end_config_change();
			config_changing = false;
			break;
		default:
			break;
	}
}

/*
 * AFTER ... FOR EACH STATEMENT on the configuration tables: tell the processes that keep it in
 * memory, when it has committed.
 */
Datum
pgw_config_changed(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	pgw_trigger_context(fcinfo);
	if (!registered)
	{
		RegisterXactCallback(config_xact_callback, NULL);
		registered = true;
	}
	config_changed = true;
	pgw_config_invalidate();
	return PointerGetDatum(NULL);
}
