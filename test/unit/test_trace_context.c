/*
 * test_trace_context.c - the trace that a call is part of: what is taken, what is kept of it, what
 * of a card is found in it, and where a template may name it
 *
 * Documents and options are written with ' for ".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/bank_message/render_request.h"
#include "core/request/trace_context.h"
#include "core/request/validate.h"
#include "random.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define NUMBER "4111111111111111"
#define OTHER_NUMBER "5555555555554444"
#define NOT_SHOWN "(not shown: it may hold card data)"

static char quoted[16384];

static const char *
json(const char *text)
{
	snprintf(quoted, sizeof(quoted), "%s", text);
	for (char *s = quoted; *s != '\0'; s++)
		*s = *s == '\'' ? '"' : *s;
	return quoted;
}

/* ---- the recommendation ---- */

static void
parents(void **state)
{
	static const struct
	{
		const char *text;
		const char *kept; /* NULL: refused */
	} cases[] = {
		{"00-" TRACE "-" PARENT "-01", "00-" TRACE "-" PARENT "-01"},
		{"00-" TRACE "-" PARENT "-00", "00-" TRACE "-" PARENT "-00"},
		/* sampled and random; others are to be sent as zero */
		{"00-" TRACE "-" PARENT "-03", "00-" TRACE "-" PARENT "-03"},
		{"00-" TRACE "-" PARENT "-ff", "00-" TRACE "-" PARENT "-03"},
		{"00-" TRACE "-" PARENT "-08", "00-" TRACE "-" PARENT "-00"},
		/* one digit is enough of an id */
		{"00-00000000000000000000000000000001-0000000000000001-00",
		 "00-00000000000000000000000000000001-0000000000000001-00"},
		/* later versions are read as this one, and handed on as this one */
		{"01-" TRACE "-" PARENT "-01", "00-" TRACE "-" PARENT "-01"},
		{"cc-" TRACE "-" PARENT "-01-what the future will be like", "00-" TRACE "-" PARENT "-01"},
		{"fe-" TRACE "-" PARENT "-01-", "00-" TRACE "-" PARENT "-01"},
		{"cc-" TRACE "-" PARENT "-01.what", NULL},
		{"cc-" TRACE "-" PARENT "-011", NULL},
		{"cc-" TRACE "-" PARENT "-01-a\r\nX-Evil: 1", NULL},
		{"cc-" TRACE "-" PARENT "-01-\xC3\xA9", NULL},
		{"ff-" TRACE "-" PARENT "-01", NULL},
		{"00-" TRACE "-" PARENT "-01-more", NULL},
		{"00-" TRACE "-" PARENT "-01-", NULL},
		{"00-" TRACE "-" PARENT "-01 ", NULL},
		{" 00-" TRACE "-" PARENT "-01", NULL},
		{"00-" TRACE "-" PARENT "-1", NULL},
		{"00-" TRACE "-" PARENT, NULL},
		{"0-" TRACE "-" PARENT "-01", NULL},
		{"0g-" TRACE "-" PARENT "-01", NULL},
		{"00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", NULL},
		{"00-" TRACE "-00F067AA0BA902B7-01", NULL},
		{"00-" TRACE "-" PARENT "-0A", NULL},
		{"00-00000000000000000000000000000000-" PARENT "-01", NULL},
		{"00-" TRACE "-0000000000000000-01", NULL},
		{"00_" TRACE "_" PARENT "_01", NULL},
		{"00-4bf92f35-77b3-4da6-a3ce-929d0e0e4736-" PARENT "-01", NULL},
		{"", NULL},
	};

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwTrace t = {.parent = ""};
		const char *message;
		bool taken = pgw_trace_read_parent(cases[i].text, &t, &message);

		if (taken != (cases[i].kept != NULL) || taken != (message == NULL))
			fail_msg("%s: %s", cases[i].text, message != NULL ? message : "taken");
		assert_string_equal(t.parent, taken ? cases[i].kept : "");
	}
}

static void
states(void **state)
{
	static const struct
	{
		const char *text;
		const char *kept;
	} cases[] = {
		{"congo=t61rcWkgMzE", "congo=t61rcWkgMzE"},
		{"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
		{" a=1 ,\tb=2,, ,c=3,", "a=1,b=2,c=3"},
		{"fw529a3039@dt=FfAAaa;x", "fw529a3039@dt=FfAAaa;x"},
		{"0_-*/@=a \"\\ b", "0_-*/@=a \"\\ b"},
		{"", ""},
		{" , ", ""},
		{"a", NULL},
		{"=1", NULL},
		{"a=", NULL},
		{"a=b=c", NULL},
		{"A=1", NULL},
		{"_a=1", NULL},
		{"a b=1", NULL},
		{"a=1\r\nX-Evil: 1", NULL},
		{"a=1\x7F", NULL},
		{"a=\xC3\xA9", NULL},
		{"a=x\ty", NULL},
		{"a=1,1=2,3", NULL},
	};
	char many[4 * 33 + 1] = "";
	PgwTrace t;
	const char *message;

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		bool taken = pgw_trace_read_state(cases[i].text, &t, &message);

		if (taken != (cases[i].kept != NULL) || taken != (message == NULL))
			fail_msg("%s: %s", cases[i].text, message != NULL ? message : "taken");
		assert_string_equal(t.state, taken ? cases[i].kept : "");
	}
	for (int i = 0; i < 32; i++)
		strcat(many, "a=1,");
	assert_true(pgw_trace_read_state(many, &t, &message));
	strcat(many, "b=1");
	assert_false(pgw_trace_read_state(many, &t, &message));
}

/* The longest one has its place; one byte more has none. */
static void
lengths(void **state)
{
	char text[PGW_MAX_TRACESTATE_BYTES + 2];
	PgwTrace t;
	const char *message;

	(void) state;
	memset(text, 'a', sizeof(text));
	text[250] = '=';
	text[PGW_MAX_TRACESTATE_BYTES] = '\0';
	assert_false(pgw_trace_read_state(text, &t, &message)); /* its value is too long */
	text[260] = ',';
	text[300] = '=';
	assert_true(pgw_trace_read_state(text, &t, &message));
	assert_string_equal(t.state, text);
	text[PGW_MAX_TRACESTATE_BYTES] = 'a';
	text[PGW_MAX_TRACESTATE_BYTES + 1] = '\0';
	assert_false(pgw_trace_read_state(text, &t, &message));
	assert_string_equal(message, "must be at most 512 bytes");
	assert_string_equal(t.state, "");
}

/* ---- a call's options ---- */

static const char *
faults_of(const char *options, const char *bank_fields, const char *card_number,
		  PgwCheckedArgs *checked)
{
	static char text[8192];
	static char own_options[8192];
	PgwPaymentArgs args = {.client_request_id = "id",
						   .amount = 1,
						   .currency = "EUR",
						   .token = card_number == NULL ? "tok_1" : NULL,
						   .card_number = card_number,
						   .card_expiry_month_isnull = card_number == NULL,
						   .card_expiry_year_isnull = card_number == NULL,
						   .card_expiry_month = 12,
						   .card_expiry_year = 2099,
						   .card_cvv = card_number != NULL ? "123" : NULL,
						   .capture = "immediate",
						   .metadata = "{}",
						   .bank_fields = bank_fields,
						   .timeout_isnull = true,
						   .merchant = "default",
						   .options = own_options};
	PgwBuf faults;
	int n;

	snprintf(own_options, sizeof(own_options), "%s", json(options));
	pgw_buf_init(&faults, 0);
	n = pgw_validate_payment_args(&args, 1700000000, checked, &faults);
	snprintf(text, sizeof(text), "%s", n > 0 ? faults.data : "");
	pgw_buf_free(&faults);
	return text;
}

#define FAULT(field, code) "{\"field\":\"" field "\",\"code\":\"" code "\""

static void
options(void **state)
{
	static const struct
	{
		const char *options;
		const char *fault; /* what it begins with; "": none */
	} cases[] = {
		{"{'traceparent':'00-" TRACE "-" PARENT "-01'}", ""},
		{"{'traceparent':'00-" TRACE "-" PARENT "-01','tracestate':'a=1','actor':'a'}", ""},
		{"{'tracestate':'a=1','traceparent':'00-" TRACE "-" PARENT "-01'}", ""},
		{"{'traceparent':null,'tracestate':null}", ""},
		{"{'tracestate':''}", ""},
		{"{'traceparent':''}", FAULT("options.traceparent", "invalid_format")},
		{"{'traceparent':7}", FAULT("options.traceparent", "invalid_format")},
		{"{'traceparent':{'id':'a'}}", FAULT("options.traceparent", "invalid_format")},
		{"{'traceparent':'00-" TRACE "-" PARENT "-01\\u0000'}",
		 FAULT("options.traceparent", "invalid_format")},
		{"{'traceparent':'00-" TRACE "-" PARENT "-01\\r\\nX-Evil: 1'}",
		 FAULT("options.traceparent", "invalid_format")},
		{"{'tracestate':'a=1'}", FAULT("options.traceparent", "required")},
		{"{'tracestate':['a=1']}", FAULT("options.tracestate", "invalid_format")},
		{"{'Traceparent':'00-" TRACE "-" PARENT "-01'}", FAULT("options", "unknown_option")},
	};
	PgwCheckedArgs checked;
	PgwOperationArgs o = {.client_request_id = "c",
						  .options = "{\"traceparent\":\"00-" TRACE "-" PARENT "-01\"}"};
	PgwCallerSays says;
	PgwTrace trace;
	char end_user[PGW_MAX_END_USER_BYTES + 1];
	PgwBuf b;

	(void) state;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		const char *faults = faults_of(cases[i].options, "{}", NULL, &checked);
		size_t len = strlen(cases[i].fault);

		if (len == 0 ? *faults != '\0' : strncmp(faults + 1, cases[i].fault, len) != 0)
			fail_msg("%s: %s", cases[i].options, faults);
	}
	pgw_buf_init(&b, 0);
	assert_int_equal(pgw_validate_operation_args(&o, &says, &trace, NULL, &b), 0);
	assert_string_equal(trace.parent, "00-" TRACE "-" PARENT "-01");
	/* an operator's decision calls no bank in its own name */
	assert_int_equal(pgw_validate_options(o.options, end_user, &b), 1);
	pgw_buf_free(&b);
}

/* The fields beside which it is kept: their name for it is nobody's, and there is room. */
static void
beside_fields(void **state)
{
	char fields[PGW_MAX_BANK_FIELDS_BYTES + 1];
	PgwCheckedArgs checked;
	PgwTrace back;
	PgwBuf b;

	(void) state;
	assert_non_null(strstr(faults_of("{}", "{\"pgw.trace\": \"x\"}", NULL, &checked),
						   FAULT("bank_fields", "invalid_format")));
	snprintf(fields, sizeof(fields), "{\"a\":\"%03900d\"}", 0);
	assert_string_equal(
		faults_of("{'traceparent':'00-" TRACE "-" PARENT "-01'}", fields, NULL, &checked), "");
	snprintf(fields, sizeof(fields), "{\"a\":\"%04080d\"}", 0);
	assert_string_equal(faults_of("{}", fields, NULL, &checked), "");
	assert_non_null(
		strstr(faults_of("{'traceparent':'00-" TRACE "-" PARENT "-01'}", fields, NULL, &checked),
			   FAULT("options", "too_long")));

	pgw_buf_init(&b, 0);
	assert_string_equal(faults_of("{'traceparent':'00-" TRACE "-" PARENT
								  "-01','tracestate':'a=\\u0022\\u005c'}",
								  "{}", NULL, &checked),
						"");
	pgw_trace_into_fields(&checked.trace, "{\"x\": {\"pgw.trace\": 1}, \"y\": \"a,b\"}", &b);
	assert_string_equal(b.data, "{\"x\":{\"pgw.trace\": 1},\"y\":\"a,b\",\"pgw.trace\":"
								"{\"traceparent\":\"00-" TRACE "-" PARENT
								"-01\",\"tracestate\":\"a=\\\"\\\\\"}}");
	assert_true(pgw_trace_of_fields(b.data, &back));
	assert_memory_equal(back.parent, checked.trace.parent, strlen(back.parent) + 1);
	assert_string_equal(back.state, "a=\"\\");
	pgw_buf_reset(&b);
	pgw_trace_into_fields(&checked.trace, "{}", &b);
	assert_true(pgw_trace_of_fields(b.data, &back));
	assert_false(pgw_trace_of_fields("{\"a\": \"\\\"pgw.trace\\\"\"}", &back));
	assert_false(pgw_trace_of_fields("{\"a\": {\"pgw.trace\": {\"traceparent\": \"x\"}}}", &back));
	assert_false(pgw_trace_of_fields(NULL, &back));
	pgw_buf_free(&b);
}

/* ---- cards ---- */

#define OWN_REFUSED(options) \
	assert_non_null(strstr(faults_of(options, "{}", NUMBER, &checked), \
						   "\"code\":\"card_number_in_stored_field\""))
#define KEPT_AS(options, what, value) \
	do \
	{ \
		assert_string_equal(faults_of(options, "{}", NULL, &checked), ""); \
		assert_string_equal(checked.trace.what, value); \
	} while (0)

static void
cards(void **state)
{
	PgwCheckedArgs checked;

	(void) state;
	/* this call's own, wherever it stands */
	OWN_REFUSED("{'traceparent':'00-0000000000000000" NUMBER "-" PARENT "-01'}");
	OWN_REFUSED("{'traceparent':'00-deadbeef" NUMBER "deadbeef-" PARENT "-01'}");
	OWN_REFUSED("{'traceparent':'00-" TRACE "-" NUMBER "-01'}");
	OWN_REFUSED("{'traceparent':'cc-" TRACE "-" PARENT "-01-" NUMBER "'}");
	OWN_REFUSED("{'traceparent':'00-" TRACE "-" PARENT "-01','tracestate':'a=" NUMBER "'}");
	OWN_REFUSED("{'traceparent':'00-" TRACE "-" PARENT "-01','tracestate':'a=" NUMBER "a'}");
	OWN_REFUSED("{'traceparent':'00-" TRACE "-" PARENT "-01','tracestate':'n" NUMBER "=a'}");
	assert_string_equal(
		faults_of("{'traceparent':'00-" TRACE "-" PARENT "-01'}", "{}", NUMBER, &checked), "");
	assert_string_equal(checked.trace.parent, "00-" TRACE "-" PARENT "-01");

	/* what looks like somebody's is kept nowhere, and stops nobody */
	KEPT_AS("{'traceparent':'00-0000000000000000" OTHER_NUMBER "-" PARENT "-01'}", parent,
			NOT_SHOWN);
	KEPT_AS("{'traceparent':'00-" OTHER_NUMBER "0000000000000000-" PARENT "-01'}", parent,
			NOT_SHOWN);
	KEPT_AS("{'traceparent':'00-" TRACE "-" OTHER_NUMBER "-01'}", parent, NOT_SHOWN);
	KEPT_AS("{'traceparent':'00-" TRACE "-0378282246310005-01'}", parent, NOT_SHOWN);
	KEPT_AS("{'traceparent':'00-" TRACE "-" PARENT "-01','tracestate':'a=" OTHER_NUMBER "'}", state,
			NOT_SHOWN);
	assert_string_equal(checked.trace.parent, "00-" TRACE "-" PARENT "-01");
	assert_null(pgw_trace_header(NOT_SHOWN));
	assert_null(pgw_trace_header(""));
	assert_string_equal(pgw_trace_header("a=1"), "a=1");
}

/* No random trace is refused, and hardly one is not kept; the seed makes it the same ones. */
static void
random_ids(void **state)
{
	const int calls = 20000;
	PgwCheckedArgs checked;
	int hidden = 0;

	(void) state;
	seed = UINT64_C(0x9E3779B97F4A7C15);
	for (int i = 0; i < calls; i++)
	{
		char text[128];
		const char *faults;

		snprintf(text, sizeof(text), "{'traceparent':'00-%016llx%016llx-%016llx-01'}",
				 (unsigned long long) next_random(), (unsigned long long) next_random(),
				 (unsigned long long) next_random());
		faults = faults_of(text, "{}", NUMBER, &checked);
		if (*faults != '\0')
			fail_msg("%s: %s", text, faults);
		hidden += pgw_trace_header(checked.trace.parent) == NULL;
	}
	print_message("# %d of %d were not kept\n", hidden, calls);
	assert_true(hidden <= calls / 2000);
}

/* ---- requests ---- */

#define ANSWER \
	"'answer':{'rules':[{'status':200,'when':{'/s':1},'outcome':'approved'}],'fields':{'bank_reference':'/i'}}"
#define DOCUMENT(v, computed, headers, path, body) \
	"{'v':" v ",'capabilities':{'tokens':true}," computed "'headers':{" headers "}," \
	"'operations':{'charge':{'method':'POST','path':'/c" path "','body':{'t':'{{token}}'" body \
	"}," ANSWER "}}}"

static const char *
fault_of(const char *document)
{
	static PgwConnectorError err;
	char text[4096];
	PgwConnector *c;

	snprintf(text, sizeof(text), "%s", json(document));
	err.message[0] = '\0';
	c = pgw_connector_compile(text, strlen(text), &err);
	if (c != NULL)
		pgw_connector_free(c);
	return err.message;
}

/* A trace is part of nothing that a bank compares, or that is signed. */
static void
places(void **state)
{
	static const char *const elsewhere[] = {
		DOCUMENT("2", "", "", "?t={{traceparent}}", ""),
		DOCUMENT("2", "", "", "", ",'x':'{{traceparent}}'"),
		DOCUMENT("2", "", "", "", ",'x':{'y':['a {{tracestate}}']}"),
		DOCUMENT("2", "'computed':[{'name':'s','sha256':'{{traceparent}}','as':'hex'}],",
				 "'X':'{{computed.s}}'", "", ""),
	};

	(void) state;
	assert_string_equal(
		fault_of(DOCUMENT("2", "", "'traceparent':'{{traceparent}}','X':'{{tracestate}}'", "", "")),
		"");
	assert_non_null(
		strstr(fault_of(DOCUMENT("1", "", "'X':'{{traceparent}}'", "", "")), "version 2"));
	for (size_t i = 0; i < LENGTH(elsewhere); i++)
	{
		if (strstr(fault_of(elsewhere[i]), "stands in a header only") == NULL)
			fail_msg("%s: %s", elsewhere[i], fault_of(elsewhere[i]));
	}
}

/* How many headers of it there are. */
static int
traced(const PgwRendered *r)
{
	int n = 0;

	for (int i = 0; i < r->nheaders; i++)
		n += strncmp(r->headers[i].data, "trace", 5) == 0;
	return n;
}

static void
sent(void **state)
{
	static const char document[] =
		DOCUMENT("2", "", "'traceparent':'{{traceparent}}','tracestate':'{{tracestate}}'", "", "");
	char text[4096];
	PgwConnectorError err;
	PgwConnector *c;
	PgwRendered r;
	PgwCallParams p = {.amount = 1,
					   .has_amount = true,
					   .currency = "EUR",
					   .token = "t",
					   .transaction_ref = "r",
					   .iso_exponent = 2};

	(void) state;
	snprintf(text, sizeof(text), "%s", json(document));
	c = pgw_connector_compile(text, strlen(text), &err);
	assert_non_null(c);
	pgw_rendered_init(&r);
	assert_true(pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err));
	assert_int_equal(traced(&r), 0);
	p.traceparent = "00-" TRACE "-" PARENT "-01";
	assert_true(pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err));
	assert_int_equal(traced(&r), 1);
	assert_string_equal(r.headers[0].data, "traceparent: 00-" TRACE "-" PARENT "-01");
	p.tracestate = "a=1,b=2";
	assert_true(pgw_connector_render(c, PGW_OP_CHARGE, &p, &r, &err));
	assert_int_equal(traced(&r), 2);
	assert_string_equal(r.headers[1].data, "tracestate: a=1,b=2");
	pgw_rendered_free(&r);
	pgw_connector_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parents),    cmocka_unit_test(states),        cmocka_unit_test(lengths),
		cmocka_unit_test(options),    cmocka_unit_test(beside_fields), cmocka_unit_test(cards),
		cmocka_unit_test(random_ids), cmocka_unit_test(places),        cmocka_unit_test(sent),
	};

	return cmocka_run_group_tests_name("trace_context", tests, NULL, NULL);
}
