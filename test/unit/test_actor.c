/*
 * test_actor.c - who asked: which roles are told, and what of an application's name is kept
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/request/actor.h"

/* want: name=value of each part, with blanks. */
static void
expect(const PgwActor *a, const char *want)
{
	PgwActorPart parts[PGW_ACTOR_PARTS];
	char got[1024] = "";
	int n = pgw_actor_parts(a, parts);

	for (int i = 0; i < n; i++)
	{
		size_t len = strlen(got);

		snprintf(got + len, sizeof(got) - len, "%s%s=%s", i > 0 ? " " : "", parts[i].name,
				 parts[i].value);
	}
	assert_string_equal(got, want);
}

static void
roles(void **unused)
{
	static const struct
	{
		const char *session, *set_role, *current, *want;
	} cases[] = {
		{"web", "web", "web", "session_user=web"},
		/* SET ROLE */
		{"web", "anna", "anna", "session_user=web current_user=anna"},
		/* a SECURITY DEFINER function of shop */
		{"web", "web", "shop", "session_user=web current_user=shop"},
		/* both: who was chosen by SET ROLE would be lost otherwise */
		{"web", "anna", "shop", "session_user=web set_role=anna current_user=shop"},
		/* one of the session's own role, called as another */
		{"web", "anna", "web", "session_user=web set_role=anna current_user=web"},
	};

	(void) unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		PgwActor a = {.address = ""};

		pgw_actor_set_roles(&a, cases[i].session, cases[i].set_role, cases[i].current);
		expect(&a, cases[i].want);
	}
}

static void
all_parts(void **unused)
{
	PgwActor a = {.address = "10.0.0.7", .says.end_user = "user 42"};

	(void) unused;
	pgw_actor_set_roles(&a, "web", "anna", "shop");
	pgw_actor_set_application(&a, NULL, "till");
	expect(&a, "session_user=web set_role=anna current_user=shop address=10.0.0.7 application=till "
			   "actor=user 42");
}

static const char *
kept(const PgwSought *sought, const char *name)
{
	static PgwActor a;

	memset(&a, 'x', sizeof(a));
	pgw_actor_set_application(&a, sought, name);
	return a.application;
}

static void
applications(void **unused)
{
	const PgwSought own = {.card_number = "6011000000000000000", .card_cvv = "737"};
	const char *hidden = "(not shown: it may hold card data)";
	char name[200];

	(void) unused;
	assert_string_equal(kept(NULL, NULL), "");
	assert_string_equal(kept(NULL, ""), "");
	assert_string_equal(kept(NULL, "PostgreSQL JDBC Driver"), "PostgreSQL JDBC Driver");
	/* as pgbouncer adds the client's address, and drivers a process's number */
	assert_string_equal(kept(NULL, "till - 10.17.200.31:54321"), "till - 10.17.200.31:54321");
	assert_string_equal(kept(NULL, "till - [2001:db8::17]:54321"), "till - [2001:db8::17]:54321");
	assert_string_equal(kept(NULL, "app - unix:6432"), "app - unix:6432");
	assert_string_equal(kept(NULL, "web-1234567 worker 20261127"), "web-1234567 worker 20261127");
	/* the server has cleaned it already */
	assert_string_equal(kept(NULL, "caf\xC3\xA9\n\x7Fx"), "caf????x");

	assert_string_equal(kept(NULL, "4111111111111111"), hidden);
	assert_string_equal(kept(NULL, "till 4111 1111 1111 1111 - 10.0.0.1:5"), hidden);
	assert_string_equal(kept(NULL, "4111-1111-1111-1111"), hidden);
	/* not one that looks like a card's, but this call's */
	assert_string_equal(kept(NULL, "till 6011000000000000000"), "till 6011000000000000000");
	assert_string_equal(kept(&own, "till 6011000000000000000"), hidden);
	assert_string_equal(kept(&own, "cvv 737"), hidden);
	assert_string_equal(kept(&own, "boeing 737"), "boeing 737");

	/* cut at its end, where a number may have gone on */
	memset(name, 'a', sizeof(name));
	strcpy(name + 45, " 4111 1111 1111 1111");
	assert_string_equal(kept(NULL, name), hidden);
	strcpy(name + 51, " 4111111111111111");
	assert_string_equal(kept(NULL, name), hidden);
	strcpy(name + 51, " worker 1234567");
	assert_string_equal(kept(NULL, name) + 52, "worker 1234");

	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(strlen(kept(NULL, name)), 63);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(roles),
		cmocka_unit_test(all_parts),
		cmocka_unit_test(applications),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
