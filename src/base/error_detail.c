/*
 * error_detail.c - DETAIL of the errors that pgw raises, but for PW400
 *
 * Owns: its form.
 */
#include "postgres.h"

#include "base/error_detail.h"
#include "base/json_writer.h"
#include "core/base/error_codes.h"

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
