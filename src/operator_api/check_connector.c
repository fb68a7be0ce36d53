/*
 * check_connector.c - pgw.check_connector(): what is wrong with a connector's document, and what it
 * will cost; pgw.reference_as_sent(): our references in its words
 *
 * Reads and writes nothing.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/json.h"

#include "core/card/card_text.h"
#include "core/connector/connector.h"
#include "sql_function/raise_error.h"
#include "sql_function/result_set.h"

PG_FUNCTION_INFO_V1(pgw_check_connector_1_0);
PG_FUNCTION_INFO_V1(pgw_reference_as_sent_1_0);

typedef struct Findings
{
	Tuplestorestate *store;
	TupleDesc desc;
} Findings;

static void
put(Findings *f, const char *severity, const char *pointer, const char *message)
{
	Datum values[3] = {CStringGetTextDatum(severity), CStringGetTextDatum(pointer),
					   CStringGetTextDatum(message)};
	bool nulls[3] = {false, false, false};

	tuplestore_putvalues(f->store, f->desc, values, nulls);
}

/*
 * pgw.check_connector(definition json): severity (error: it would be refused; warning), pointer
 * (RFC 6901; empty: the whole), message.  No row: nothing to say.
 */
Datum
pgw_check_connector_1_0(PG_FUNCTION_ARGS)
{
	Findings f;
	PgwConnectorError *found;
	PgwConnector *connector;
	text *definition;
	int n;

	f.store = pgw_result_set(fcinfo, &f.desc);
	if (PG_ARGISNULL(0))
	{
		put(&f, "error", "",
			"must not be null: there is no document, as of a name that no row of pgw.connectors has");
		return (Datum) 0;
	}
	definition = PG_GETARG_TEXT_PP(0);
	found = palloc0(Max(PGW_MAX_CONNECTOR_FAULTS, PGW_MAX_CONNECTOR_WARNINGS) *
					sizeof(PgwConnectorError));
	connector =
		pgw_connector_compile_all(VARDATA_ANY(definition), (size_t) VARSIZE_ANY_EXHDR(definition),
								  found, PGW_MAX_CONNECTOR_FAULTS, &n);
	if (connector == NULL)
	{
		for (int i = 0; i < n && i < PGW_MAX_CONNECTOR_FAULTS; i++)
			put(&f, "error", found[i].pointer, found[i].message);
		return (Datum) 0;
	}
	n = pgw_connector_warnings(connector, found, PGW_MAX_CONNECTOR_WARNINGS);
	pgw_connector_free(connector);
	if (pgw_card_in_json(NULL, VARDATA_ANY(definition), (size_t) VARSIZE_ANY_EXHDR(definition)) !=
		PGW_FOUND_NOTHING)
		put(&f, "error", "", "holds what could be a card number, which is stored nowhere");
	for (int i = 0; i < n && i < PGW_MAX_CONNECTOR_WARNINGS; i++)
		put(&f, "warning", found[i].pointer, found[i].message);
	return (Datum) 0;
}

/*
 * pgw.reference_as_sent(definition json, reference text): by which an operator finds at the bank
 * what he has the transaction_id of, and the reverse.
 */
Datum
pgw_reference_as_sent_1_0(PG_FUNCTION_ARGS)
{
	text *definition = PG_GETARG_TEXT_PP(0);
	char *reference = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char out[PGW_REFERENCE_SIZE];
	PgwConnectorError err;
	PgwConnector *connector;
	const char *sent;

	memset(&err, 0, sizeof(err));
	connector = pgw_connector_compile(VARDATA_ANY(definition),
									  (size_t) VARSIZE_ANY_EXHDR(definition), &err);
	if (connector == NULL)
		pgw_raise_fault(
			"definition", "invalid_format",
			psprintf("at %s: %s", err.pointer[0] ? err.pointer : "the top level", err.message));
	sent = pgw_connector_reference(connector, reference, out);
	pgw_connector_free(connector);
	PG_RETURN_TEXT_P(cstring_to_text(sent));
}
