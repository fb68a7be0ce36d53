/*
 * bank_url.c - which URL a bank may have
 *
 * Narrower than what libcurl takes, which makes much good by itself (a host such as 127.1 or one
 * that is percent-encoded, say): what stands in pgw.banks is what is called.  Without encryption
 * only this machine itself, by an address or a name that can mean nothing else.
 */
#include "core/connector/bank_url.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define MAX_URL 2000

/* Does the URL name this machine itself, beyond doubt? */
static bool
host_is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* Copies text[0..len), which is no longer than a URL may be. */
static void
copy_host(char *host, const char *text, size_t len)
{
	memcpy(host, text, len);
	host[len] = '\0';
}

/* What stands behind the host: nothing, or a port. */
static bool
is_port(const char *port, const char *end)
{
	int number = 0;
	const char *p = port + 1;

	if (port == end)
		return true;
	if (*port != ':' || p == end || end - p > 5)
		return false;
	for (; p < end; p++)
	{
		if (*p < '0' || *p > '9')
			return false;
		number = number * 10 + (*p - '0');
	}
	return number >= 1 && number <= 65535;
}

/* NULL, or what is wrong with host and port.  host has room for them all. */
static const char *
authority_fault(const char *text, size_t len, char *host)
{
	const char *end = text + len;
	const char *port;

	if (*text == '[')
	{
		struct in6_addr v6;
		const char *close = memchr(text, ']', len);

		if (close == NULL)
			return "has no valid host";
		copy_host(host, text + 1, (size_t) (close - text - 1));
		port = close + 1;
		if (inet_pton(AF_INET6, host, &v6) != 1)
			return "has no valid host";
	}
	else
	{
		port = memchr(text, ':', len);
		if (port == NULL)
			port = end;
		copy_host(host, text, (size_t) (port - text));
		if (*host == '\0' ||
			strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") !=
				strlen(host))
			return "has no valid host";
	}
	return is_port(port, end) ? NULL : "has no valid port";
}

const char *
pgw_bank_url_fault(const char *url)
{
	char host[MAX_URL + 1];
	const char *rest;
	const char *message;
	bool tls;

	if (strncasecmp(url, "https://", 8) == 0)
	{
		tls = true;
		rest = url + 8;
	}
	else if (strncasecmp(url, "http://", 7) == 0)
	{
		tls = false;
		rest = url + 7;
	}
	else
		return "must begin with https://";
	if (strlen(url) > MAX_URL)
		return "is longer than 2000 bytes";

	for (const char *p = url; *p; p++)
	{
		if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 0x7f ||
			strchr("\"<>\\^`{|}", *p) != NULL)
			return "contains a character that a URL cannot have";
	}
	if (strchr(rest, '@') != NULL)
		return "must not contain a user or password: name a secret file instead";
	if (strpbrk(rest, "?#") != NULL)
		return "must not contain a query or fragment";

	if ((message = authority_fault(rest, strcspn(rest, "/"), host)) != NULL)
		return message;
	if (!tls && !host_is_loopback(host))
		return "must begin with https:// (http:// only for localhost, 127.0.0.0/8 and [::1])";
	return NULL;
}

bool
pgw_bank_url_is_loopback(const char *url)
{
	char host[MAX_URL + 1];
	const char *rest = strstr(url, "://");

	if (rest == NULL || strlen(url) > MAX_URL)
		return false;
	rest += 3;
	return authority_fault(rest, strcspn(rest, "/"), host) == NULL && host_is_loopback(host);
}
