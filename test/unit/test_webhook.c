/*
 * test_webhook.c - webhooks: the signature against the published vector, the addresses that may be
 * reached, the schedule, and how an endpoint that fails is treated
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "cmocka_names.h"
#include "core/connector/bank_url.h"
#include "core/webhook/webhook_address.h"
#include "core/webhook/webhook_rules.h"
#include "core/webhook/webhook_signature.h"
#include "random.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define HOUR INT64_C(3600000)
#define NOW INT64_C(1000000000000)

/* ---------------------------------------------------------------- signature */

/* of libraries/javascript/src/webhook.test.ts in standard-webhooks/standard-webhooks */
#define PUBLISHED_KEY "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define PUBLISHED_ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define PUBLISHED_TIME 1614265330
#define PUBLISHED_PAYLOAD "{\"test\": 2432232314}"
#define PUBLISHED_SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static void
is_signed(const PgwSecretValues *secrets, const char *expected)
{
	PgwBuf out;

	pgw_buf_init(&out, 0);
	assert_true(pgw_webhook_sign(secrets, PUBLISHED_ID, PUBLISHED_TIME, PUBLISHED_PAYLOAD,
								 strlen(PUBLISHED_PAYLOAD), &out));
	assert_string_equal(out.data, expected);
	pgw_buf_free(&out);
}

static void
signs_as_published(void **state)
{
	PgwSecretValues one = {1, {{"", PUBLISHED_KEY}}};

	assert_null(pgw_webhook_secrets_fault(&one));
	is_signed(&one, PUBLISHED_SIGNATURE);
}

/* During a rotation the receiver finds the signature of whichever it has. */
static void
signs_with_both_secrets(void **state)
{
	PgwSecretValues two = {2,
						   {{"", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, {"", PUBLISHED_KEY}}};
	PgwBuf out;

	pgw_buf_init(&out, 0);
	assert_true(pgw_webhook_sign(&two, PUBLISHED_ID, PUBLISHED_TIME, PUBLISHED_PAYLOAD,
								 strlen(PUBLISHED_PAYLOAD), &out));
	assert_int_equal(out.len, 2 * strlen(PUBLISHED_SIGNATURE) + 1);
	assert_string_equal(strchr(out.data, ' ') + 1, PUBLISHED_SIGNATURE);
	assert_memory_equal(out.data, "v1,", 3);
	assert_string_not_equal(out.data, PUBLISHED_SIGNATURE);
	pgw_buf_free(&out);
}

static void
refuses_other_secrets(void **state)
{
	static const char *const bad[] = {
		"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",       /* no prefix: whatever key it is */
		"whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",  /* of the asymmetric scheme */
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa",   /* 22 bytes */
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La!aSw", /* no base64 */
		"whsec_",
		"",
		/* 66 bytes */
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8ILPZI",
	};

	for (size_t i = 0; i < LENGTH(bad); i++)
	{
		PgwSecretValues beside_a_good_one = {2, {{"", PUBLISHED_KEY}, {"", bad[i]}}};
		PgwBuf out;

		pgw_buf_init(&out, 0);
		assert_non_null(pgw_webhook_secrets_fault(&beside_a_good_one));
		assert_false(pgw_webhook_sign(&beside_a_good_one, "id", 1, "{}", 2, &out));
		pgw_buf_free(&out);
	}
	assert_non_null(pgw_webhook_secrets_fault(&(PgwSecretValues){0}));
}

/* ---------------------------------------------------------------- addresses */

typedef struct Address
{
	struct sockaddr_storage at;
	size_t len;
} Address;

static Address
address(const char *text)
{
	Address a = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *) &a.at;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &a.at;

	if (strchr(text, ':') != NULL)
	{
		v6->sin6_family = AF_INET6;
		a.len = sizeof(*v6);
		assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
	}
	else
	{
		v4->sin_family = AF_INET;
		a.len = sizeof(*v4);
		assert_int_equal(inet_pton(AF_INET, text, &v4->sin_addr), 1);
	}
	return a;
}

static bool
is_public(const char *text)
{
	Address a = address(text);

	return pgw_address_is_public((struct sockaddr *) &a.at, a.len);
}

static void
public_addresses(void **state)
{
	/* also the last one before and the first one after each special range */
	static const char *const good[] = {
		"1.0.0.0",         "9.255.255.255",   "11.0.0.0",        "100.63.255.255",
		"100.128.0.0",     "126.255.255.255", "128.0.0.0",       "169.253.255.255",
		"169.255.0.0",     "172.15.255.255",  "172.32.0.0",      "191.255.255.255",
		"192.0.1.0",       "192.0.3.0",       "192.167.255.255", "192.169.0.0",
		"198.17.255.255",  "198.20.0.0",      "198.51.99.255",   "198.51.101.0",
		"203.0.112.255",   "203.0.114.0",     "223.255.255.255", "8.8.8.8",
		"2606:4700::1111", "2001:200::1",     "2001:db7:ffff::", "2001:db9::",
		"2003::1",         "3ffe:ffff::1",    "3fff:1000::1",    "::ffff:8.8.8.8",
		"64:ff9b::808:808"};

	for (size_t i = 0; i < LENGTH(good); i++)
	{
		if (!is_public(good[i]))
			fail_msg("%s is taken for a special one", good[i]);
	}
}

static void
special_addresses(void **state)
{
	static const char *const bad[] = {"0.0.0.0",
									  "0.255.255.255",
									  "10.0.0.0",
									  "10.255.255.255",
									  "100.64.0.0",
									  "100.127.255.255",
									  "127.0.0.1",
									  "127.255.255.255",
									  "169.254.169.254",
									  "169.254.0.0",
									  "172.16.0.0",
									  "172.31.255.255",
									  "192.0.0.1",
									  "192.0.2.1",
									  "192.88.99.1",
									  "192.168.0.0",
									  "192.168.255.255",
									  "198.18.0.0",
									  "198.19.255.255",
									  "198.51.100.1",
									  "203.0.113.1",
									  "224.0.0.1",
									  "239.255.255.255",
									  "240.0.0.1",
									  "255.255.255.255",
									  "::",
									  "::1",
									  "::ffff:127.0.0.1",
									  "::ffff:10.0.0.1",
									  "::ffff:169.254.169.254",
									  "::127.0.0.1",
									  "64:ff9b::a00:1",
									  "64:ff9b::a9fe:a9fe",
									  "64:ff9b:1::808:808",
									  "fc00::1",
									  "fd00:ec2::254",
									  "fe80::1",
									  "fec0::1",
									  "ff02::1",
									  "100::1",
									  "2001::1",
									  "2001:1ff:ffff::",
									  "2001:db8::1",
									  "2002:a00:1::",
									  "2002:808:808::",
									  "3fff::1",
									  "3fff:fff::1",
									  "4000::1"};

	for (size_t i = 0; i < LENGTH(bad); i++)
	{
		if (is_public(bad[i]))
			fail_msg("%s is taken for public", bad[i]);
	}
}

/* What is no whole address of a family that is known is none. */
static void
odd_addresses(void **state)
{
	Address a = address("8.8.8.8");

	assert_false(pgw_address_is_public((struct sockaddr *) &a.at, a.len - 1));
	assert_false(pgw_address_is_loopback((struct sockaddr *) &a.at, a.len));
	a.at.ss_family = AF_UNIX;
	assert_false(pgw_address_is_public((struct sockaddr *) &a.at, a.len));
	assert_false(pgw_address_is_loopback((struct sockaddr *) &a.at, a.len));
}

/* Whatever embeds an address of IPv4 says what that says. */
static void
embedded_addresses(void **state)
{
	seed = 4711;
	for (int i = 0; i < 20000; i++)
	{
		struct sockaddr_in v4 = {.sin_family = AF_INET};
		struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
		bool public;

		v4.sin_addr.s_addr = (uint32_t) next_random();
		mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
		memcpy(&mapped.sin6_addr.s6_addr[12], &v4.sin_addr, 4);
		public = pgw_address_is_public((struct sockaddr *) &v4, sizeof(v4));
		assert_int_equal(public,
						 pgw_address_is_public((struct sockaddr *) &mapped, sizeof(mapped)));
		assert_int_equal(pgw_address_is_loopback((struct sockaddr *) &v4, sizeof(v4)),
						 pgw_address_is_loopback((struct sockaddr *) &mapped, sizeof(mapped)));
		if (pgw_address_is_loopback((struct sockaddr *) &v4, sizeof(v4)))
			assert_false(public);
	}
}

static void
urls_that_name_this_machine(void **state)
{
	static const char *const here[] = {"http://localhost/x", "http://127.0.0.1:80",
									   "https://[::1]/", "https://127.9.9.9/a/b"};
	static const char *const elsewhere[] = {"https://localhost.example/",
											"https://128.0.0.1/",
											"https://[::2]/",
											"https://example.com/127.0.0.1",
											"https://127.0.0.1.example:443/",
											"127.0.0.1",
											""};

	for (size_t i = 0; i < LENGTH(here); i++)
		assert_true(pgw_bank_url_is_loopback(here[i]));
	for (size_t i = 0; i < LENGTH(elsewhere); i++)
		assert_false(pgw_bank_url_is_loopback(elsewhere[i]));
}

/* ---------------------------------------------------------------- answers and the schedule */

static void
what_answers_mean(void **state)
{
	for (long status = 200; status <= 299; status++)
		assert_int_equal(pgw_webhook_judge(status, PGW_WEBHOOK_ATTEMPTS), PGW_WEBHOOK_DELIVERED);
	assert_int_equal(pgw_webhook_judge(410, 1), PGW_WEBHOOK_GONE);
	assert_int_equal(pgw_webhook_judge(410, PGW_WEBHOOK_ATTEMPTS), PGW_WEBHOOK_GONE);
	for (long status = 0; status < 700; status++)
	{
		if (status == 410 || (status >= 200 && status <= 299))
			continue;
		assert_int_equal(pgw_webhook_judge(status, 1), PGW_WEBHOOK_AGAIN);
		assert_int_equal(pgw_webhook_judge(status, PGW_WEBHOOK_ATTEMPTS - 1), PGW_WEBHOOK_AGAIN);
		assert_int_equal(pgw_webhook_judge(status, PGW_WEBHOOK_ATTEMPTS), PGW_WEBHOOK_GIVEN_UP);
	}
}

/* The table of the specification: ten attempts, the last after 75 h 35 min 5 s, without jitter. */
static void
schedule_as_published(void **state)
{
	static const int64_t delays[] = {5,         300,       1800,      2 * 3600, 5 * 3600,
									 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600};
	int64_t sum = 0;

	assert_int_equal(LENGTH(delays), PGW_WEBHOOK_ATTEMPTS - 1);
	for (int i = 0; i < (int) LENGTH(delays); i++)
	{
		assert_int_equal(pgw_webhook_delay_ms(i + 1, 0, 0.5), delays[i] * 1000);
		assert_int_equal(pgw_webhook_delay_ms(i + 1, 0, 0), delays[i] * 800);
		assert_int_in_range(pgw_webhook_delay_ms(i + 1, 0, 0.999999), delays[i] * 1199,
							delays[i] * 1200);
		sum += delays[i];
	}
	assert_int_equal(sum, 75 * 3600 + 35 * 60 + 5);
}

static void
schedule_of_odd_arguments(void **state)
{
	assert_int_equal(pgw_webhook_delay_ms(1, 60, 0.5), 60000);            /* asked for more */
	assert_int_equal(pgw_webhook_delay_ms(2, 60, 0.5), 300000);           /* for less */
	assert_int_equal(pgw_webhook_delay_ms(1, INT32_MAX, 0.5), 24 * HOUR); /* for ever */
	assert_int_equal(pgw_webhook_delay_ms(1, -1, 0.5), 5000);
	assert_int_equal(pgw_webhook_delay_ms(0, 0, 0.5), 5000);
	assert_int_equal(pgw_webhook_delay_ms(INT32_MAX, 0, 0.5), 24 * HOUR);
	assert_int_equal(pgw_webhook_delay_ms(1, 0, 7), 5000);
}

/* ---------------------------------------------------------------- endpoints */

static PgwWebhookHealth
failed(int times)
{
	PgwWebhookHealth h = {0};

	for (int i = 0; i < times; i++)
		pgw_webhook_failed(&h, NOW, 0, 0.5);
	return h;
}

static void
some_failures_change_nothing(void **state)
{
	PgwWebhookHealth h = failed(PGW_WEBHOOK_TRIAL_AFTER - 1);

	assert_int_equal(pgw_webhook_places(&h, NOW, 3, 50), 47);
	assert_int_equal(pgw_webhook_places(&h, NOW, 60, 50), 0);
	assert_int_equal(h.failing_since, NOW);
}

/* One at a time, at growing distances, and never less often than every five minutes. */
static void
many_failures_leave_it_alone(void **state)
{
	PgwWebhookHealth h = failed(PGW_WEBHOOK_TRIAL_AFTER);
	int64_t before = 0;

	for (int i = 0; i < 60; i++)
	{
		int64_t rest = h.rest_until - NOW;

		assert_true(rest >= before && rest <= PGW_WEBHOOK_LONGEST_REST_MS);
		assert_int_equal(pgw_webhook_places(&h, h.rest_until - 1, 0, 50), 0);
		assert_int_equal(pgw_webhook_places(&h, h.rest_until, 0, 50), 1);
		assert_int_equal(pgw_webhook_places(&h, h.rest_until, 1, 50), 0);
		before = rest;
		pgw_webhook_failed(&h, NOW, 0, 0.5);
	}
	assert_int_equal(before, PGW_WEBHOOK_LONGEST_REST_MS);
	pgw_webhook_succeeded(&h);
	assert_int_equal(pgw_webhook_places(&h, NOW, 0, 50), 50);
	assert_int_equal(h.failing_since, 0);
}

static void
rests_as_asked(void **state)
{
	PgwWebhookHealth h = {0};

	pgw_webhook_failed(&h, NOW, 120, 0.5);
	assert_int_equal(pgw_webhook_places(&h, NOW + 119999, 0, 50), 0);
	assert_int_equal(pgw_webhook_places(&h, NOW + 120000, 0, 50), 50);
	/* the clock was set back by a week: nobody has asked for that */
	assert_int_equal(pgw_webhook_places(&h, NOW - 168 * HOUR, 0, 50), 50);
}

static void
fails_for_long(void **state)
{
	PgwWebhookHealth h = failed(1);

	assert_false(pgw_webhook_failed_for(&h, NOW + 72 * HOUR - 1, 72 * HOUR));
	assert_true(pgw_webhook_failed_for(&h, NOW + 72 * HOUR, 72 * HOUR));
	/* a clock that was set back: it is counted from then on */
	assert_false(pgw_webhook_failed_for(&h, NOW - HOUR, 72 * HOUR));
	pgw_webhook_failed(&h, NOW - HOUR, 0, 0.5);
	assert_int_equal(h.failing_since, NOW - HOUR);
	pgw_webhook_succeeded(&h);
	assert_false(pgw_webhook_failed_for(&h, NOW + 1000 * HOUR, 72 * HOUR));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signs_as_published),
		cmocka_unit_test(signs_with_both_secrets),
		cmocka_unit_test(refuses_other_secrets),
		cmocka_unit_test(public_addresses),
		cmocka_unit_test(special_addresses),
		cmocka_unit_test(odd_addresses),
		cmocka_unit_test(embedded_addresses),
		cmocka_unit_test(urls_that_name_this_machine),
		cmocka_unit_test(what_answers_mean),
		cmocka_unit_test(schedule_as_published),
		cmocka_unit_test(schedule_of_odd_arguments),
		cmocka_unit_test(some_failures_change_nothing),
		cmocka_unit_test(many_failures_leave_it_alone),
		cmocka_unit_test(rests_as_asked),
		cmocka_unit_test(fails_for_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
