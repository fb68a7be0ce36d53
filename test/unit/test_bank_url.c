/*
 * test_bank_url.c - which URL a bank may have
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/connector/bank_url.h"

static void
is(const char *url, const char *fault)
{
	const char *found = pgw_bank_url_fault(url);

	if ((found == NULL) != (fault == NULL) || (found != NULL && strcmp(found, fault) != 0))
		fail_msg("%s: %s, not %s", url, found ? found : "good", fault ? fault : "good");
}

#define TLS_ONLY "must begin with https:// (http:// only for localhost, 127.0.0.0/8 and [::1])"
#define HOST "has no valid host"
#define PORT "has no valid port"
#define CHARACTER "contains a character that a URL cannot have"
#define USER "must not contain a user or password: name a secret file instead"
#define QUERY "must not contain a query or fragment"

static void
test_good(void **state)
{
	static const char *const urls[] = {"https://bank.example",
									   "HTTPS://Bank.Example/",
									   "https://bank.example/v1/a%20b",
									   "https://bank_1.example:8443/api",
									   "https://10.0.0.1",
									   "https://[2001:db8::1]:65535/x",
									   "https://bank.example:1",
									   "https://bank.example:00443",
									   "http://localhost:8080",
									   "HTTP://LOCALHOST",
									   "http://127.0.0.1/x",
									   "http://127.255.255.254:1",
									   "http://[::1]:8080",
									   "http://[0:0:0:0:0:0:0:1]"};

	(void) state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		is(urls[i], NULL);
}

static void
test_scheme(void **state)
{
	(void) state;
	is("", "must begin with https://");
	is("ftp://bank.example", "must begin with https://");
	is("bank.example", "must begin with https://");
	is("https:/bank.example", "must begin with https://");
	is(" https://bank.example", "must begin with https://");
}

/* Without encryption only what is this machine beyond doubt. */
static void
test_loopback(void **state)
{
	static const char *const urls[] = {"http://bank.example",
									   "http://localhost.evil.example",
									   "http://127.0.0.1.evil.example",
									   "http://localhost.",
									   "http://127.1",
									   "http://2130706433",
									   "http://0x7f.0.0.1",
									   "http://0177.0.0.1",
									   "http://0.0.0.0",
									   "http://128.0.0.1",
									   "http://126.255.255.255",
									   "http://[::]",
									   "http://[fe80::1]",
									   "http://[::2]",
									   "http://[::ffff:127.0.0.1]",
									   "http://xlocalhost:80",
									   "http://local"};

	(void) state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		is(urls[i], TLS_ONLY);
}

static void
test_characters(void **state)
{
	static const char bad[] = " \t\n\x01\x7f\"<>\\^`{|}\xc3";
	char url[64] = "https://bank.example/?";
	char *last = url + strlen(url) - 1;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) - 1; i++)
	{
		*last = bad[i];
		is(url, CHARACTER);
	}
	is("https://user@bank.example", USER);
	is("https://user:pw@bank.example", USER);
	is("https://bank.example/a@b", USER);
	is("https://bank.example/a?b", QUERY);
	is("https://bank.example#b", QUERY);
}

static void
test_host_and_port(void **state)
{
	static const char *const hosts[] = {
		"https://",         "https:///path",     "https://:443",   "https://a,b",
		"https://a%2e.b",   "https://[",         "https://[]",     "https://[::1",
		"https://[::1/]x",  "https://[1.2.3.4]", "https://[g::1]", "https://[fe80::1%25eth0]",
		"https://bank]:443"};
	static const char *const ports[] = {"https://a:",       "https://a:/x",    "https://a:0",
										"https://a:65536",  "https://a:99999", "https://a:123456",
										"https://a:000443", "https://a:4x",    "https://a:-1",
										"https://a:+1",     "https://a:1:2",   "https://[::1]443",
										"https://[::1]:",   "https://[::1]:0"};

	(void) state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		is(hosts[i], HOST);
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		is(ports[i], PORT);
}

static void
test_length(void **state)
{
	char url[2100] = "https://";

	(void) state;
	memset(url + 8, 'a', 1992);
	is(url, NULL);
	url[2000] = 'a';
	is(url, "is longer than 2000 bytes");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),          cmocka_unit_test(test_scheme),
		cmocka_unit_test(test_loopback),      cmocka_unit_test(test_characters),
		cmocka_unit_test(test_host_and_port), cmocka_unit_test(test_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
