/*
 * validate_customer.c - checks of what a caller tells of his customer: options.customer
 *
 * It is kept nowhere.  So it cannot wait for a commit, nor stand in a document of many payments,
 * which is not wiped; and a card number in it is no more than a bank is told by a card.
 */
#include "core/request/validate_internal.h"

#include <string.h>

#include "core/base/mutant.h"
#include "core/customer/customer.h"
#include "core/json/json_text.h"

#define FIELD "options.customer"

static void
tell(void *to, const char *where, const char *code, const char *message)
{
	pgw_check_fault(to, where, code, message);
}

void
pgw_check_customer(PgwChecker *c, const PgwJson *value, PgwCheckedArgs *out)
{
	const char *token = c->args->token;

	if (pgw_json_type(value) == PGW_JSON_NULL)
		return;
	if (c->args->is_submit && !PGW_MUTATED(CUSTOMER_SUBMITTED))
		pgw_check_fault(
			c, FIELD, "conflicting_fields",
			"what is told of a customer is never stored, so it cannot be submitted; use process_payment");
	else if (c->args->request > 0)
		pgw_check_fault(c, FIELD, "conflicting_fields",
						"process_payments takes no customer; use process_payment");
	if (value->len + (token != NULL ? strlen(token) : 0) > PGW_MAX_TOKEN_AND_CUSTOMER_BYTES)
		pgw_check_fault(c, FIELD, "too_long", "must be at most 6912 bytes together with the token");
	pgw_customer_check(value, tell, c);
	out->customer = value->text;
	out->customer_len = value->len;
}
