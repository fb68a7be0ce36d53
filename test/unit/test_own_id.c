/*
 * test_own_id.c - {{operation_reference}}: the bank's own id of a refund, by which it is looked up,
 * and of the capture that is to be refunded
 *
 * Documents and answers are written with ' for ".
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/bank_message/render_request.h"
#include "core/connector/recovery_notes.h"
#include "core/payment/compensation_rules.h"
#include "core/payment/operation_rules.h"
#include "compile_quoted.h"

#define RULES "'rules':[{'status':200,'when':{'/s':'ok'},'outcome':'approved'}]"
#define OURS "ffffffffffffffffffffffffffffffff"
#define BY_ID \
	"'path':'/refunds/{{operation_reference}}','answer':{" RULES \
	",'fields':{'bank_reference':'/id'}}"


/* NULL: as a good document has it. */
typedef struct Parts
{
	const char *capabilities;
	const char *charge; /* fields */
	const char *capture;
	const char *refund;
	const char *refund_path;
	const char *lookup; /* of refunds, behind the method */
	const char *further;
} Parts;

static bool
compile(Parts p)
{
	return compile_quoted(
		"{'v':2,'capabilities':{'tokens':true%s},'operations':{"
		"'charge':{'method':'POST','path':'/c','body':{'t':'{{token}}'},'answer':{" RULES
		",'fields':{%s}}},"
		"'authorize':{'method':'POST','path':'/a','body':{'t':'{{token}}'},'answer':{" RULES
		",'fields':{'bank_reference':'/id'}}},"
		"'capture':{'method':'POST','path':'/c/{{bank_reference}}','answer':{" RULES
		",'fields':{%s}}},"
		"'refund':{'method':'POST','path':'%s','answer':{" RULES ",'fields':{%s}}},"
		"'lookup_refund':{'method':'GET',%s}%s}}",
		p.capabilities ? p.capabilities : "", p.charge ? p.charge : "'bank_reference':'/id'",
		p.capture ? p.capture : "'bank_reference':'/id'",
		p.refund_path ? p.refund_path : "/captures/{{operation_reference}}/refund",
		p.refund ? p.refund : "'bank_reference':'/id'", p.lookup ? p.lookup : BY_ID,
		p.further ? p.further : "");
}

static void
refused(Parts p, const char *pointer, const char *message)
{
	assert_false(compile(p));
	assert_string_equal(err.pointer, pointer);
	if (strstr(err.message, message) == NULL)
		fail_msg("%s", err.message);
}

static void
documents(void **unused)
{
	(void) unused;
	assert_true(compile((Parts){0}));
	assert_true(pgw_connector_capabilities(connector)->lookup_refund_needs_id);
	refused((Parts){.refund = "'bank_code':'/code'"}, "/operations/lookup_refund",
			"the answer to \"refund\" must name it");
	refused((Parts){.capture = "'bank_code':'/code'"}, "/operations/refund",
			"the bank's id of what took the money");
	assert_true(compile((Parts){.charge = "'bank_reference':'/id','capture_reference':'/c'",
								.capture = "'capture_reference':'/c'"}));
	refused((Parts){.capabilities = ",'multiple_captures':true"}, "/operations/refund",
			"nothing says which of them");
	refused(
		(Parts){.further =
					",'void':{'method':'POST','path':'/v/{{operation_reference}}','answer':{" RULES
					"}}"},
		"/operations/void", "has a value in \"lookup_refund\"");
	refused((Parts){.lookup = "'path':'/refunds/{{operation_reference}}','answer':{" RULES "}"},
			"/operations/lookup_refund/answer/fields/reference", "where does the answer name");
	assert_true(
		compile((Parts){.lookup = "'path':'/refunds/{{operation_reference}}','answer':{" RULES
								  ",'reference_echoed':false}"}));
	/* a list of the charge's refunds, of which the id picks one */
	assert_true(compile((Parts){
		.lookup =
			"'path':'/c/{{bank_reference}}/refunds','answer':{" RULES
			",'select':{'in':'/l','where':{'/id':'{{operation_reference}}'},'more':false},'fields':{'bank_reference':'/id'}}"}));
	assert_true(pgw_connector_capabilities(connector)->lookup_refund_needs_id);
	assert_true(compile((Parts){.lookup = "'path':'/refunds?r={{transaction_ref}}','answer':{" RULES
										  ",'reference_echoed':false}"}));
	assert_false(pgw_connector_capabilities(connector)->lookup_refund_needs_id);
	/* 62 bits: the refund names a charge all the same, by its capture's id */
	refused(
		(Parts){.further =
					"},'references':{'length':12,'alphabet':'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'",
				.refund_path = "/r/{{original_ref}}"},
		"/operations/refund", "{{operation_reference}}");
	assert_true(compile((Parts){
		.further =
			"},'references':{'length':12,'alphabet':'0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ'"}));
}

static bool
render(PgwBankOp op, const char *id, char *path, size_t size)
{
	PgwCallParams params = {.amount = 100,
							.has_amount = true,
							.currency = "EUR",
							.iso_exponent = 2,
							.transaction_ref = OURS,
							.original_ref = OURS,
							.bank_reference = "ch_1",
							.operation_reference = id};
	PgwRendered r;
	bool good;

	pgw_rendered_init(&r);
	good = pgw_connector_render(connector, op, &params, &r, &err);
	snprintf(path, size, "%s", good ? r.path.data : "");
	pgw_rendered_free(&r);
	return good;
}

static void
requests(void **unused)
{
	char path[100];

	(void) unused;
	assert_true(compile((Parts){0}));
	assert_true(render(PGW_OP_REFUND, "cap/1", path, sizeof(path)));
	assert_string_equal(path, "/captures/cap%2F1/refund");
	assert_true(render(PGW_OP_LOOKUP_REFUND, "re_1", path, sizeof(path)));
	assert_string_equal(path, "/refunds/re_1");
	assert_false(render(PGW_OP_REFUND, NULL, path, sizeof(path)));
	assert_non_null(strstr(err.message, "operation_reference"));
	assert_true(compile((Parts){
		.lookup =
			"'path':'/c/{{bank_reference}}/refunds','answer':{" RULES
			",'select':{'in':'/l','where':{'/id':'{{operation_reference}}'},'more':false},'fields':{'bank_reference':'/id'}}"}));
	assert_false(render(PGW_OP_LOOKUP_REFUND, NULL, path, sizeof(path)));
	assert_true(render(PGW_OP_LOOKUP_REFUND, "re_1", path, sizeof(path)));
}

static PgwAnswer
look(const char *text)
{
	PgwQuestion question = {.op = PGW_OP_LOOKUP_REFUND,
							.transaction_ref = OURS,
							.original_ref = OURS,
							.bank_reference = "ch_1",
							.operation_reference = "re_A",
							.currency = "EUR",
							.iso_exponent = 2};
	PgwAnswer answer;
	char body[300];

	snprintf(body, sizeof(body), "%s", text);
	with_quotes(body);
	pgw_connector_judge(connector, &question,
						&(PgwGivenAnswer){.status = 200, .body = body, .len = strlen(body)},
						&answer);
	return answer;
}

/* There are banks that ignore what they do not know, and show whatever they have. */
static void
answers(void **unused)
{
	(void) unused;
	assert_true(compile((Parts){0}));
	assert_int_equal(look("{'s':'ok','id':'re_A'}").outcome, PGW_OUT_APPROVED);
	assert_int_equal(look("{'s':'ok','id':'re_B'}").outcome, PGW_OUT_UNKNOWN);
	assert_int_equal(look("{'s':'ok','id':'re_a'}").outcome, PGW_OUT_UNKNOWN);
	assert_int_equal(look("{'s':'ok'}").outcome, PGW_OUT_UNKNOWN);
	assert_true(look("{'s':'ok','id':'re_B'}").other_reference);
	assert_true(compile((Parts){
		.lookup =
			"'path':'/c/{{bank_reference}}/refunds','answer':{" RULES
			",'select':{'in':'/l','where':{'/id':'{{operation_reference}}'},'more':false},'fields':{'bank_reference':'/id'}}"}));
	assert_int_equal(look("{'l':[{'s':'ok','id':'re_B'},{'s':'ok','id':'re_A'}]}").outcome,
					 PGW_OUT_APPROVED);
	assert_int_equal(look("{'l':[{'s':'ok','id':'re_B'}]}").outcome, PGW_OUT_NOT_FOUND);
}

/* It is of no help where the answer that would have named it was lost. */
static void
lost(void **unused)
{
	PgwRecoveryNote notes[PGW_MAX_RECOVERY_NOTES];
	PgwConnectorError warnings[32];
	PgwCapabilities without;
	bool told = false;
	int n;

	(void) unused;
	assert_true(compile((Parts){.capabilities = ",'lookup_consistent_after_seconds':2"}));
	assert_true(pgw_connector_capabilities(connector)->lookup_refund);
	pgw_capabilities_without_own_id(pgw_connector_capabilities(connector), &without);
	assert_false(without.lookup_refund);
	n = pgw_connector_warnings(connector, warnings, 32);
	for (int i = 0; i < n && i < 32; i++)
		told |= strstr(warnings[i].message, "a refund whose answer is lost ends in manual") != NULL;
	assert_true(told);
	n = pgw_recovery_notes(connector, notes);
	for (int i = 0; i < n; i++)
	{
		if (strcmp(notes[i].about, "lost refund") == 0)
			assert_true(notes[i].costs_a_person);
	}
}

/*
 * What the bank has taken and named itself is not gone for not being shown: sent again, it would be
 * twice.  One that was refused, and is not shown, was not made.
 */
static void
named_and_not_found(void **unused)
{
	const PgwCapabilities by_id = {KEYS(86400), .lookup_refund = true,
								   .lookup_refund_needs_id = true, .lookup_consistent_after_s = 2};
	PgwAnswer a = answer(PGW_OUT_NOT_FOUND);
	PgwCompensationInput back = {.op = PGW_OP_LOOKUP_REFUND,
								 .operation = PGW_OP_REFUND,
								 .transport = PGW_TRANSPORT_ANSWERED,
								 .answer = &a,
								 .caps = &by_id,
								 .amount = 100,
								 .currency = "EUR",
								 .in_doubt = true,
								 .pending = true,
								 .max_keys = 5,
								 .not_found_counts = true};
	PgwOperationInput in = {.op = PGW_OP_LOOKUP_REFUND,
							.operation = PGW_OP_REFUND,
							.asked_for = true,
							.in_doubt = true,
							.pending = true,
							.transport = PGW_TRANSPORT_ANSWERED,
							.answer = &a,
							.caps = &by_id,
							.amount = 100,
							.currency = "EUR",
							.not_found_counts = true};
	PgwCompensationDecision given_back;
	PgwOperationDecision d;

	(void) unused;
	pgw_compensation_result(&back, &given_back);
	assert_int_equal(given_back.next, PGW_COMPENSATION_FIND_OUT);
	back.pending = false;
	pgw_compensation_result(&back, &given_back);
	assert_int_equal(given_back.next, PGW_COMPENSATION_AGAIN);
	pgw_operation_result(&in, &d);
	assert_int_equal(d.next, PGW_OPERATION_FIND_OUT);
	in.pending = false;
	in.refusal = "refund_refused";
	pgw_operation_result(&in, &d);
	assert_int_equal(d.next, PGW_OPERATION_REFUSED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(documents), cmocka_unit_test(requests),
									   cmocka_unit_test(answers), cmocka_unit_test(lost),
									   cmocka_unit_test(named_and_not_found)};

	return cmocka_run_group_tests(tests, NULL, forget_connector);
}
