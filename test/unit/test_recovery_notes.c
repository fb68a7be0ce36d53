/*
 * test_recovery_notes.c - what a connector's capabilities mean when an answer is lost: each
 * sentence agrees with the rules that decide
 *
 * Documents are written with ' for ".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/connector/recovery_notes.h"
#include "core/payment/compensation_rules.h"
#include "core/payment/unknown_outcome_rules.h"

#define YES \
	"{'rules':[{'status':200,'when':{'/s':1},'outcome':'approved'}],'fields':{'bank_reference':'/i','reference':'/r'%s}}"
#define CHARGE \
	"'charge':{'method':'POST','path':'/c','body':{'r':'{{transaction_ref}}','a':'{{amount}}','t':'{{token}}'},'answer':" YES \
	"}"
#define AUTHORIZE \
	",'authorize':{'method':'POST','path':'/a','body':{'r':'{{transaction_ref}}','a':'{{amount}}','t':'{{token}}'},'answer':" YES \
	"},'capture':{'method':'POST','path':'/c/{{bank_reference}}','answer':" YES "}"
#define REFUND ",'refund':{'method':'POST','path':'/r/{{bank_reference}}','answer':" YES "}"
#define VOID ",'void':{'method':'POST','path':'/v/{{bank_reference}}','answer':" YES "}"
#define CANCEL ",'cancel':{'method':'POST','path':'/x/{{original_ref}}','answer':" YES "}"
#define LOOKUP ",'lookup_charge':{'method':'GET','path':'/c?r={{original_ref}}','answer':" YES "}"
#define BY_ID ",'lookup_charge':{'method':'GET','path':'/c/{{bank_reference}}','answer':" YES "}"
#define KEYS ",'idempotency':{'header':'K','lifetime_seconds':3600}"
#define LAG ",'lookup_consistent_after_seconds':5"
#define SHOWS ",'captured':'/c','refunded':'/f','voided':'/v'"

static PgwRecoveryNote notes[PGW_MAX_RECOVERY_NOTES];
static int n;
static PgwCapabilities caps;

/* fields: of every answer */
static void
notes_of(const char *capabilities, const char *operations, const char *fields)
{
	char text[8192];
	char document[8192];
	PgwConnectorError err;
	PgwConnector *c;
	size_t len;

	snprintf(text, sizeof(text), "{'v':1,'capabilities':{'tokens':true%s},'operations':{%s%s}}",
			 capabilities, CHARGE, operations);
	/* each %s of an answer is the fields */
	document[0] = '\0';
	for (const char *s = text; *s != '\0';)
	{
		len = strlen(document);
		if (s[0] == '%' && s[1] == 's')
		{
			strcat(document, fields);
			s += 2;
		}
		else
		{
			document[len] = *s == '\'' ? '"' : *s;
			document[len + 1] = '\0';
			s++;
		}
	}
	for (char *s = document; *s != '\0'; s++)
		*s = *s == '\'' ? '"' : *s;
	c = pgw_connector_compile(document, strlen(document), &err);
	if (c == NULL)
		fail_msg("%s: %s", err.pointer, err.message);
	caps = *pgw_connector_capabilities(c);
	n = pgw_recovery_notes(c, notes);
	pgw_connector_free(c);
}

static const PgwRecoveryNote *
note(const char *about)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(notes[i].about, about) == 0)
			return &notes[i];
	}
	fail_msg("nothing about %s", about);
	return NULL;
}

static void
says(const char *about, bool costs_a_person, const char *part)
{
	const PgwRecoveryNote *it = note(about);

	assert_int_equal(it->costs_a_person, costs_a_person);
	if (strstr(it->sentence, part) == NULL)
		fail_msg("%s: %s", about, it->sentence);
}

/* What the rules do of a charge by card whose answer is lost, and that is not known at the bank. */
static PgwUnknownOutcomeStep
step_of_card(void)
{
	PgwUnknownOutcomeFacts facts = {.deadline_s = 3600};
	const char *reason;

	return pgw_unknown_outcome_step(&caps, &facts, &reason);
}

static void
test_charge(void **state)
{
	(void) state;
	notes_of("", "", "");
	says("lost charge", true, "ends in review, because there is neither idempotency nor a look-up");
	assert_int_equal(step_of_card(), PGW_UNKNOWN_OUTCOME_REVIEW);
	notes_of(KEYS, "", "");
	says("lost charge", true, "by card ends in review");
	assert_int_equal(step_of_card(), PGW_UNKNOWN_OUTCOME_REVIEW);
	notes_of("", BY_ID, "");
	says("lost charge", true, "neither idempotency nor a look-up by our reference");
	assert_int_equal(step_of_card(), PGW_UNKNOWN_OUTCOME_REVIEW);
	notes_of("", LOOKUP, "");
	says("lost charge", true, "\"not found\" never counts");
	assert_int_equal(step_of_card(), PGW_UNKNOWN_OUTCOME_LOOKUP);
	notes_of(KEYS, LOOKUP, "");
	says("lost charge", true, "repeated with its key");
	notes_of(KEYS LAG, LOOKUP, "");
	says("lost charge", false, "found out by lookup_charge");
	assert_true(pgw_capabilities_not_found_counts(&caps, 5));
}

static void
test_operations(void **state)
{
	(void) state;
	notes_of("", REFUND, "");
	assert_int_equal(n, 3);
	says("lost refund", true, "ends in review, because");
	notes_of(KEYS, REFUND, "");
	says("lost refund", true, "repeated with its key");
	notes_of(LAG, REFUND LOOKUP AUTHORIZE VOID, SHOWS);
	says("lost refund", false, "captured and refunded");
	says("lost capture", false, "names captured");
	says("lost void", false, "names voided");
	notes_of("", REFUND LOOKUP AUTHORIZE VOID, SHOWS);
	says("lost refund", true, "no look-up that counts");
	says("lost capture", true, "ends in review");
	says("lost void", true, "ends in review");
}

/* What is said is fine is not only tried. */
static void
test_rollback(void **state)
{
	static const struct
	{
		const char *operations;
		bool fine;
	} cases[] = {{"", false},
				 {REFUND, true},
				 {CANCEL, true},
				 {AUTHORIZE REFUND, false},
				 {AUTHORIZE VOID, false},
				 {AUTHORIZE REFUND VOID, true},
				 {AUTHORIZE CANCEL, true}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		PgwBankOp captured;
		PgwBankOp authorized;

		notes_of("", cases[i].operations, "");
		says("rollback", !cases[i].fine, cases[i].fine ? "is given back" : "end");
		captured = pgw_compensation_operation(&caps, &(PgwToGiveBack){.captured = true});
		authorized = pgw_compensation_operation(&caps, &(PgwToGiveBack){.captured = false});
		if (cases[i].fine)
		{
			assert_true(captured == PGW_OP_REFUND || captured == PGW_OP_CANCEL);
			assert_true(!caps.separate_capture || authorized == PGW_OP_VOID ||
						authorized == PGW_OP_CANCEL);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_charge),
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_rollback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
