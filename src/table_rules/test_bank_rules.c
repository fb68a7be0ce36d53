/*
 * test_bank_rules.c - which rows of pgw.banks are answered inside the worker, and what is done to
 * the one that comes with the extension
 *
 * Nobody can make a real bank of a test bank or the reverse by one column alone: the address
 * "test:" and the connector "test" go together, and an attempt stays with the version of its bank
 * (bank_versions.c).  A name stands for one mode, live or test, for good, and so does an account.
 *
 * Owns nothing.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "base/error_detail.h"
#include "core/test_bank/test_bank.h"
#include "sql_function/raise_error.h"
#include "table_rules/test_bank_rules.h"
#include "table_rules/trigger_row.h"

static void
fault(PgwJsonWriter *faults, const char *field, const char *message)
{
	pgw_json_put_raw(faults, NULL, pgw_arg_fault(NULL, field, "invalid_format", message));
}

static bool
same(const char *a, const char *b)
{
	return a != NULL && strcmp(a, b) == 0;
}

bool
pgw_test_bank_check(PgwJsonWriter *faults, const char *name, const char *connector, const char *url,
					bool livemode)
{
	bool by_connector = same(connector, PGW_TEST_CONNECTOR);
	bool by_url = same(url, PGW_TEST_BANK_URL);

	if (by_url && !by_connector)
		fault(
			faults, "base_url",
			"\"test:\" is for the connector \"test\" alone: no request of another would leave the server");
	if (by_connector && !by_url)
		fault(
			faults, "base_url",
			"must be \"test:\" with the connector \"test\", which is answered inside the worker; the connector \"json\" says the same over a wire");
	if (same(name, PGW_TEST_BANK_NAME) && !(by_connector && by_url))
		fault(
			faults, "name",
			"\"test\" is the bank that comes with pgw and is answered inside the worker: call another one otherwise");
	if (by_connector && livemode)
		fault(faults, "livemode", "must be false with the connector \"test\": it moves no money");
	return by_url || by_connector;
}

/* Has a bank of that name ever sent or waited to send in the other mode? */
static bool
was_of_other_mode(const char *name, bool livemode)
{
	Oid types[2] = {TEXTOID, BOOLOID};
	Datum values[2] = {CStringGetTextDatum(name), BoolGetDatum(livemode)};

	return pgw_trigger_any_row(
		"SELECT FROM pgw.bank_versions v WHERE v.bank OPERATOR(pg_catalog.=) $1"
		" AND v.livemode OPERATOR(pg_catalog.<>) $2"
		" UNION ALL SELECT FROM pgw.open_work w JOIN pgw.payment_transactions t"
		" ON t.transaction_id OPERATOR(pg_catalog.=) w.transaction_id"
		" WHERE w.bank OPERATOR(pg_catalog.=) $1 AND t.livemode OPERATOR(pg_catalog.<>) $2",
		2, types, values);
}

/*
 * Payments say by themselves whether money moves, for good: so a bank's name stands for one mode.
 * This holds for the rows of a dump, too: what it has of versions agrees with its banks.
 */
void
pgw_test_bank_keep_mode(HeapTuple old, HeapTuple new, TupleDesc desc)
{
	char *name = pgw_trigger_text(new, desc, "name");
	bool livemode = pgw_trigger_bool(new, desc, "livemode");
	bool renamed = old == NULL || !pgw_trigger_same(old, new, desc, "name");

	if (creating_extension || name == NULL)
		return;
	if ((renamed || pgw_trigger_same(old, new, desc, "livemode")) &&
		!(renamed && was_of_other_mode(name, livemode)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_PGW_RULE),
			 errmsg(livemode ? "bank \"%s\" is one for tests, and cannot become a real one"
							 : "bank \"%s\" is a real one, and cannot become one for tests",
					name),
			 errdetail_internal("%s", pgw_error_detail("operation_not_allowed", NULL)),
			 errhint("Payments keep the mode of their bank: insert a row under another name.")));
}

/* Does another bank of that account move money where this one moves none, or the reverse? */
static bool
account_is_of_other_mode(const char *account, const char *name, bool livemode)
{
	Oid types[3] = {TEXTOID, TEXTOID, BOOLOID};
	Datum values[3] = {CStringGetTextDatum(account), CStringGetTextDatum(name),
					   BoolGetDatum(livemode)};

	/* a bank that is gone has left its charges' ids in bank_references */
	return pgw_trigger_any_row(
		"SELECT FROM pgw.banks b WHERE coalesce(b.account, b.name) OPERATOR(pg_catalog.=) $1"
		" AND b.name OPERATOR(pg_catalog.<>) $2 AND b.livemode OPERATOR(pg_catalog.<>) $3"
		" UNION ALL SELECT FROM pgw.bank_versions v WHERE v.account OPERATOR(pg_catalog.=) $1"
		" AND v.bank OPERATOR(pg_catalog.<>) $2 AND v.livemode OPERATOR(pg_catalog.<>) $3",
		3, types, values);
}

/*
 * Within one account a bank's id of a charge belongs to one payment.  A bank's sandbox gives ids of
 * its own, which may be those of real charges: each would be taken for another payment's.
 */
void
pgw_test_bank_keep_apart(HeapTuple old, HeapTuple new, TupleDesc desc)
{
	char *name = pgw_trigger_text(new, desc, "name");
	char *account = pgw_trigger_text(new, desc, "account");
	bool livemode = pgw_trigger_bool(new, desc, "livemode");

	if (creating_extension || name == NULL ||
		(old != NULL && pgw_trigger_same(old, new, desc, "name") &&
		 pgw_trigger_same(old, new, desc, "account")))
		return;
	if (account == NULL)
		account = name;
	if (!account_is_of_other_mode(account, name, livemode))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_PGW_RULE),
			 errmsg(livemode ? "account \"%s\" of bank \"%s\" is that of a bank for tests"
							 : "account \"%s\" of bank \"%s\" is that of a bank for real money",
					account, name),
			 errdetail_internal("%s", pgw_error_detail("operation_not_allowed", NULL)),
			 errhint("Live and test do not share a ledger: give the row an account of its "
					 "own. Where it names none, its account is called as the bank.")));
}

void
pgw_test_bank_keep(HeapTuple old, HeapTuple new, TupleDesc desc)
{
	if (creating_extension || old == NULL ||
		!same(pgw_trigger_text(old, desc, "name"), PGW_TEST_BANK_NAME))
		return;
	if (new != NULL && pgw_trigger_same(old, new, desc, "name"))
		return;
	pgw_test_bank_refuse_loss();
}

void
pgw_test_bank_refuse_loss(void)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_PGW_RULE),
		 errmsg("bank \"test\" comes with pgw and can be neither renamed nor deleted"),
		 errdetail_internal("%s", pgw_error_detail("operation_not_allowed", NULL)),
		 errhint(
			 "Where nobody is to use it: UPDATE pgw.banks SET enabled = false WHERE name = 'test'. Others go by DELETE, not by TRUNCATE.")));
}

/*
 * CREATE EXTENSION has made the row already, so the whole COPY would fail.  check_function_bodies
 * is off while a dump is restored.
 */
bool
pgw_test_bank_restore(HeapTuple new, TupleDesc desc)
{
	static const char *const columns[] = {"priority",        "enabled",       "connect_timeout",
										  "request_timeout", "max_in_flight", "currencies",
										  "token_scope",     "account",       "settings"};
	Oid types[lengthof(columns)];
	Datum values[lengthof(columns)];
	char nulls[lengthof(columns) + 1];

	if (creating_extension || check_function_bodies ||
		!same(pgw_trigger_text(new, desc, "name"), PGW_TEST_BANK_NAME))
		return false;
	memset(nulls, ' ', sizeof(nulls));
	nulls[lengthof(columns)] = '\0';
	for (int i = 0; i < lengthof(columns); i++)
	{
		bool isnull;

		values[i] = pgw_trigger_value(new, desc, columns[i], &isnull);
		types[i] = SPI_gettypeid(desc, SPI_fnumber(desc, columns[i]));
		if (isnull)
			nulls[i] = 'n';
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(
			"UPDATE pgw.banks SET priority = $1, enabled = $2, connect_timeout = $3, request_timeout = $4,"
			" max_in_flight = $5, currencies = $6, token_scope = $7, account = $8, settings = $9"
			" WHERE name OPERATOR(pg_catalog.=) 'test'",
			lengthof(columns), types, values, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "the test bank could not be set as the dump has it");
	SPI_finish();
	return true;
}
