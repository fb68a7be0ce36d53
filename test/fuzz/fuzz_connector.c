/*
 * fuzz_connector.c - any bytes as a connector document
 *
 * Either it compiles, and then renders and judges, or there are faults, each with a message and a
 * well-formed pointer, and the first is what is told alone.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/bank_message/judge_answer.h"
#include "core/bank_message/render_request.h"
#include "core/connector/connector.h"

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const PgwSecretValues secrets = {2, {{"", "s"}, {"a", "named"}}};
static const PgwCallParams params = {.amount = 1234,
									 .has_amount = true,
									 .currency = "EUR",
									 .iso_exponent = 2,
									 .token = "tok",
									 .transaction_ref = "0198c0de000070008000000000000001",
									 .original_ref = "0198c0de000070008000000000000002",
									 .bank_reference = "b",
									 .operation_reference = "o",
									 .idempotency_key = "k",
									 .secrets = &secrets};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PgwQuestion question = {.transaction_ref = "0198c0de000070008000000000000001",
							.original_ref = "0198c0de000070008000000000000002",
							.bank_reference = "b",
							.operation_reference = "o",
							.currency = "EUR",
							.iso_exponent = 2};
	PgwConnectorError err;
	PgwConnectorError warnings[3];
	PgwConnectorError faults[4];
	int nfaults;
	PgwConnector *c = pgw_connector_compile((const char *) data, size, &err);
	PgwConnector *again = pgw_connector_compile_all((const char *) data, size, faults, 4, &nfaults);

	if ((c == NULL) != (nfaults > 0) || (c == NULL) != (again == NULL))
		abort();
	pgw_connector_free(again);
	for (int i = 0; i < nfaults && i < 4; i++)
	{
		if (faults[i].message[0] == '\0' ||
			(faults[i].pointer[0] != '\0' && faults[i].pointer[0] != '/'))
			abort();
	}
	if (c == NULL)
	{
		if (strcmp(err.message, faults[0].message) != 0 ||
			strcmp(err.pointer, faults[0].pointer) != 0)
			abort();
		return 0;
	}
	for (int i = pgw_connector_warnings(c, warnings, 3) - 1; i >= 0; i--)
	{
		if (i < 3 && (warnings[i].pointer[0] != '/' || warnings[i].message[0] == '\0'))
			abort();
	}
	for (int op = 0; op < PGW_NOPS; op++)
	{
		PgwRendered r;
		PgwAnswer a;

		pgw_rendered_init(&r);
		if (!pgw_connector_render(c, (PgwBankOp) op, &params, &r, &err) && err.message[0] == '\0')
			abort();
		pgw_rendered_free(&r);
		question.op = (PgwBankOp) op;
		pgw_connector_judge(
			c, &question,
			&(PgwGivenAnswer){.status = 200, .body = (const char *) data, .len = size}, &a);
	}
	pgw_connector_free(c);
	return 0;
}
