/*
 * test_errors.c - the table of error codes: its own invariants, that docs/errors.md shows the same
 * rows, and that it says of each code what the application does
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/error_codes.h"

/* Who may try again, and whoever waits for an outcome, is told so; why a card was refused is not.
 */
static void
check_customer(const PgwErrorInfo *e)
{
	if (strcmp(e->sqlstate, "PW402") == 0 || e->class == PGW_CLASS_TIMEOUT || e->retryable)
		assert_non_null(e->customer);
	if (e->class == PGW_CLASS_TIMEOUT)
		assert_string_equal(e->customer, "being_checked");
	if (strcmp(e->code, "suspected_fraud") == 0 || strcmp(e->code, "lost_or_stolen_card") == 0)
		assert_string_equal(e->customer, "declined");
	if (e->customer != NULL && strcmp(e->customer, "try_again") == 0)
		assert_true(e->retryable);
}

static void
rows_are_sound(void **unused)
{
	size_t n;
	const PgwErrorInfo *t = pgw_error_table(&n);

	(void) unused;
	for (size_t i = 0; i < n; i++)
	{
		assert_true(strspn(t[i].code, "abcdefghijklmnopqrstuvwxyz_") == strlen(t[i].code));
		assert_true(strlen(t[i].code) < 64);                /* PgwAnswer.error_code */
		assert_ptr_equal(pgw_error_find(t[i].code), &t[i]); /* so unique */
		assert_non_null(pgw_error_class_name(t[i].class));
		assert_true(strlen(t[i].message) > 0);
		assert_int_equal(strlen(t[i].sqlstate), 5);
		assert_int_equal(pgw_error_is_decline(t[i].code), strcmp(t[i].sqlstate, "PW402") == 0);
		check_customer(&t[i]);
		switch (t[i].class)
		{
			case PGW_CLASS_VALIDATION:
				assert_int_equal(t[i].http_status, 400);
				assert_string_equal(t[i].sqlstate, "PW400");
				assert_false(t[i].retryable);
				break;
			case PGW_CLASS_BUSINESS:
				assert_true(t[i].http_status == 422 || t[i].http_status == 404);
				assert_true(strcmp(t[i].sqlstate, t[i].http_status == 404 ? "PW404" : "PW422") ==
								0 ||
							strcmp(t[i].sqlstate, "PW402") == 0);
				break;
			case PGW_CLASS_EXTERNAL:
				assert_int_equal(t[i].http_status, 502);
				assert_string_equal(t[i].sqlstate, "PW502");
				break;
			case PGW_CLASS_INFRASTRUCTURE:
				assert_true(t[i].http_status == 500 || t[i].http_status == 409 ||
							t[i].http_status == 421 || t[i].http_status == 429);
				assert_int_equal(atoi(t[i].sqlstate + 2), t[i].http_status);
				break;
			case PGW_CLASS_TIMEOUT:
				assert_int_equal(t[i].http_status, 504);
				assert_string_equal(t[i].sqlstate, "PW504");
				assert_false(t[i].retryable); /* a new id could charge twice */
				break;
			case PGW_CLASS_NONE:
				fail();
		}
	}
}

/* What other modules and connectors rely on. */
static void
known_codes(void **unused)
{
	static const char *const codes[] = {"required",
										"out_of_range",
										"invalid_format",
										"too_long",
										"control_characters",
										"unknown_value",
										"unknown_option",
										"conflicting_fields",
										"luhn_failed",
										"card_expired",
										"cvv_invalid",
										"card_number_in_stored_field",
										"card_literal",
										"card_parameters_logged",
										"insufficient_funds",
										"do_not_honor",
										"expired_card",
										"lost_or_stolen_card",
										"invalid_card",
										"invalid_cvv",
										"suspected_fraud",
										"authentication_required",
										"limit_exceeded",
										"card_not_supported",
										"currency_not_supported",
										"declined",
										"idempotency_mismatch",
										"unknown_bank",
										"bank_disabled",
										"live_bank_in_test_mode",
										"bank_cannot_capture_separately",
										"bank_takes_no_cards",
										"bank_takes_no_tokens",
										"amount_not_representable",
										"operation_not_allowed",
										"amount_exceeds_remaining",
										"amount_disputed",
										"no_bank_configured",
										"bank_error",
										"bank_unavailable",
										"bank_rejected_request",
										"bank_credentials_rejected",
										"not_processed",
										"outcome_unknown",
										"bank_pending",
										"wait_timeout",
										"worker_not_running",
										"no_free_slot",
										"secret_missing",
										"internal_error",
										"request_in_flight",
										"payment_not_found"};

	(void) unused;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
	{
		if (pgw_error_find(codes[i]) == NULL)
			fail_msg("%s is not in the list", codes[i]);
	}
	assert_null(pgw_error_find(NULL));
	assert_null(pgw_error_find(""));
	assert_null(pgw_error_find("no_such_code"));
	assert_true(pgw_error_is_decline("do_not_honor"));
	assert_false(pgw_error_is_decline("request_expired")); /* nobody has said no */
	assert_false(pgw_error_is_decline("superseded"));
	assert_false(pgw_error_is_decline("bank_error"));
	assert_false(pgw_error_is_decline(NULL));
	assert_null(pgw_error_class_name(PGW_CLASS_NONE));
	assert_string_equal(pgw_error_class_name(PGW_CLASS_INFRASTRUCTURE), "infrastructure");
}

static FILE *
open_page(void)
{
	const char *dir = getenv("PGW_SRCDIR");
	char path[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%s/docs/errors.md", dir ? dir : ".");
	f = fopen(path, "r");
	assert_non_null(f);
	return f;
}

/* The place of a code in the table; fails where there is none. */
static size_t
place_of(const char *code)
{
	const PgwErrorInfo *info = pgw_error_find(code);
	size_t n;

	if (info == NULL)
		fail_msg("the page says what to do with %s, which is in no list", code);
	return (size_t) (info - pgw_error_table(&n));
}

/* Each code stands once in the first column of the table that says what the application does. */
static void
each_has_advice(void **unused)
{
	char line[2048];
	int seen[256] = {0};
	bool in_table = false;
	size_t n;
	const PgwErrorInfo *t = pgw_error_table(&n);
	FILE *f = open_page();

	(void) unused;
	assert_true(n < sizeof(seen) / sizeof(seen[0]));
	while (fgets(line, sizeof(line), f) != NULL)
	{
		char *end = line[0] == '|' ? strchr(line + 1, '|') : NULL;

		in_table = strncmp(line, "| codes |", 9) == 0 || (in_table && end != NULL);
		if (!in_table || end == NULL)
			continue;
		*end = '\0';
		/* what stands in backticks: every second part */
		strtok(line, "`");
		for (char *code = strtok(NULL, "`"); code != NULL; code = strtok(NULL, "`"))
		{
			seen[place_of(code)]++;
			strtok(NULL, "`");
		}
	}
	fclose(f);
	for (size_t i = 0; i < n; i++)
	{
		if (seen[i] != 1)
			fail_msg("the page says %d times what to do with %s", seen[i], t[i].code);
	}
}

static void
docs_agree(void **unused)
{
	char line[1024];
	char want[1024];
	size_t n;
	size_t row = 0;
	bool in_table = false;
	const PgwErrorInfo *t = pgw_error_table(&n);
	FILE *f = open_page();

	(void) unused;
	while (fgets(line, sizeof(line), f) != NULL)
	{
		if (strncmp(line, "| error_code |", 14) == 0)
		{
			assert_non_null(fgets(line, sizeof(line), f));
			in_table = true;
			continue;
		}
		if (!in_table)
			continue;
		if (line[0] != '|')
			break;
		assert_true(row < n);
		snprintf(want, sizeof(want), "| %s | %s | %d | %s | %s | %s | %s |\n", t[row].code,
				 pgw_error_class_name(t[row].class), t[row].http_status, t[row].sqlstate,
				 t[row].retryable ? "yes" : "no", t[row].message,
				 t[row].customer != NULL ? t[row].customer : "–");
		assert_string_equal(line, want);
		row++;
	}
	fclose(f);
	assert_int_equal(row, n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_sound),
		cmocka_unit_test(known_codes),
		cmocka_unit_test(docs_agree),
		cmocka_unit_test(each_has_advice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
