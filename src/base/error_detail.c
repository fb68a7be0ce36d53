/*
 * error_detail.c - DETAIL of the errors that pgw raises, but for PW400, and of lines of the log
 *
 * Owns: its form.
 */
#include "postgres.h"

#include "base/error_detail.h"
#include "base/json_writer.h"
#include "core/base/error_codes.h"
#include "core/base/uuid7.h"

char *
pgw_error_detail(const char *error_code, const char *members)
{
	const PgwErrorInfo *info = pgw_error_find(error_code);
	PgwJsonWriter w;

	if (info == NULL)
		info = pgw_error_find("internal_error");
	pgw_json_begin(&w);
	pgw_json_begin_object(&w, NULL);
	pgw_json_put_string(&w, "code", info->code);
	pgw_json_put_string(&w, "class", pgw_error_class_name(info->class));
	pgw_json_put_int(&w, "http_status", info->http_status);
	pgw_json_put_bool(&w, "retryable", info->retryable);
	if (info->customer != NULL)
		pgw_json_put_string(&w, "customer_message_key", info->customer);
	if (members != NULL)
		pgw_json_put_raw(&w, NULL, members);
	pgw_json_end_object(&w);
	return w.text.data;
}

int
pgw_errdetail_attempt(const char *correlation, const pg_uuid_t *transaction,
					  const pg_uuid_t *payment, const char *bank, const char *rest)
{
	char transaction_id[37] = "";
	char payment_id[37] = "";

	if (transaction != NULL)
		pgw_uuid_to_text(transaction->data, transaction_id);
	if (payment != NULL)
		pgw_uuid_to_text(payment->data, payment_id);
	return errdetail("correlation id %s%s%s%s%s%s%s%s%s%s", correlation,
					 transaction != NULL ? ", transaction " : "", transaction_id,
					 payment != NULL ? ", payment " : "", payment_id,
					 bank != NULL ? ", bank \"" : "", bank != NULL ? bank : "",
					 bank != NULL ? "\"" : "", rest != NULL ? ", " : "", rest != NULL ? rest : "");
}
