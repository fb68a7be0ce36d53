/*
 * tool_arguments.c - what the tools for writers of connectors are called with: a connector, an
 * operation
 *
 * Owns nothing.  Whoever calls them has perhaps not read the docs: each fault says what there is.
 */
#include "postgres.h"

#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"

#include "card_guard/log_redaction.h"
#include "core/card/card_text.h"
#include "operator_api/tool_arguments.h"
#include "sql_function/raise_error.h"

static void
free_connector(void *arg)
{
	pgw_connector_free(arg);
}

static const PgwConnector *
compile_document(const char *document, char **faults)
{
	PgwConnectorError err;
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));
	PgwConnector *c = pgw_connector_compile(document, strlen(document), &err);

	if (c == NULL)
	{
		*faults = pgw_arg_fault(*faults, "connector", "invalid_format",
								psprintf("the document cannot be used: %s%s%s", err.pointer,
										 err.pointer[0] != '\0' ? ": " : "", err.message));
		return NULL;
	}
	callback->func = free_connector;
	callback->arg = c;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return c;
}

static char *
no_such_connector(const char *name)
{
	PgwBank *bank = pgw_config_bank(name);
	const char *its = bank != NULL ? pgw_config_connector_name(bank) : NULL;

	if (its != NULL)
		return psprintf(
			"there is no such connector; the bank of that name has the connector \"%s\"", its);
	return psprintf(
		"must be the name of a row of pgw.connectors (%s), or a document that begins with {",
		pgw_config_connector_names());
}

const PgwConnector *
pgw_tool_connector(const char *connector, char **faults)
{
	const PgwConnector *c;

	if (connector == NULL)
	{
		*faults = pgw_arg_fault(
			*faults, "connector", "required",
			psprintf("must be one of %s, or a document", pgw_config_connector_names()));
		return NULL;
	}
	c = pgw_config_connector(connector);
	if (c != NULL)
		return c;
	if (connector[strspn(connector, " \t\r\n")] == '{')
		return compile_document(connector, faults);
	*faults = pgw_arg_fault(*faults, "connector", "unknown_value", no_such_connector(connector));
	return NULL;
}

static char *
operations_of(const PgwConnector *c)
{
	StringInfoData s;

	initStringInfo(&s);
	for (int i = 0; i < PGW_NOPS; i++)
	{
		if (c == NULL || pgw_connector_has(c, (PgwBankOp) i))
			appendStringInfo(&s, "%s%s", s.len > 0 ? ", " : "", pgw_op_name((PgwBankOp) i));
	}
	return s.data;
}

int
pgw_tool_operation(const PgwConnector *connector, const char *operation, char **faults)
{
	int op = operation != NULL ? pgw_op_parse(operation) : -1;

	if (op >= 0 && (connector == NULL || pgw_connector_has(connector, (PgwBankOp) op)))
		return op;
	*faults = pgw_arg_fault(
		*faults, "operation", operation == NULL ? "required" : "unknown_value",
		psprintf(op >= 0 ? "this connector does not have it; it has %s" : "must be one of %s",
				 operations_of(connector)));
	return -1;
}

PgwBank *
pgw_tool_bank(const char *name, char **faults)
{
	PgwBank *bank = pgw_config_bank(name);

	if (name == NULL)
		*faults =
			pgw_arg_fault(*faults, "bank", "required", "must be the name of a row of pgw.banks");
	else if (bank == NULL)
		*faults = pgw_arg_fault(*faults, "bank", "unknown_value",
								pgw_config_connector(name) != NULL
									? "there is no such bank; this is a connector's name"
									: "must be the name of a row of pgw.banks");
	else if (bank->connector == NULL)
		*faults = pgw_arg_fault(*faults, "bank", "invalid_format", "its connector cannot be used");
	return bank != NULL && bank->connector != NULL ? bank : NULL;
}

void
pgw_tool_document(const char *field, const char *text, size_t max, char **faults)
{
	bool fits = text == NULL || strlen(text) <= max;

	if (text == NULL || (fits && pgw_card_in_json(NULL, text, strlen(text)) == PGW_FOUND_NOTHING))
		return;
	if (!fits)
		*faults =
			pgw_arg_fault(*faults, field, "too_long", psprintf("must be at most %zu bytes", max));
	pgw_log_redaction_watch();
	if (debug_query_string != NULL &&
		(!fits || pgw_text_has_card_number(debug_query_string, strlen(debug_query_string))))
		pgstat_report_activity(STATE_RUNNING, "(not shown by pgw: it may hold card data)");
}
