/*
 * customer.c - what may be told of a customer: options.customer
 *
 * Owns the list of members, the browser's by the names of EMV 3-D Secure, and what each may hold.
 * A member that is not named here has no place in any template, so it is refused: a misspelt one
 * would be left out of the request without a word.  Invariant: of what is told nothing is left in
 * memory of ours.
 */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include "core/customer/customer.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/characters.h"
#include "core/json/json_text.h"

#define WHOLE "options.customer"
#define MAX_VALUE_BYTES 2048
#define FIELD_SIZE 80
#define MAX_NAME_BYTES 40 /* longer unknown members are not named */

typedef enum Kind
{
	OBJECT,
	TEXT,
	ADDRESS, /* of the internet */
	EMAIL,
	PHONE,
	COUNTRY,
	NUMBER,
	BOOLEAN
} Kind;

typedef struct Member
{
	const char *place;
	Kind kind;
	int min; /* of a number */
	int max; /* ... or of a text, in bytes */
} Member;

#define POSTAL(where) \
	{"/" where, OBJECT, 0, 0}, {"/" where "/name", TEXT, 0, 128}, \
		{"/" where "/line1", TEXT, 0, 128}, {"/" where "/line2", TEXT, 0, 128}, \
		{"/" where "/line3", TEXT, 0, 128}, {"/" where "/city", TEXT, 0, 64}, \
		{"/" where "/state", TEXT, 0, 64}, {"/" where "/postal_code", TEXT, 0, 16}, \
	{ \
		"/" where "/country", COUNTRY, 0, 2 \
	}

static const Member members[] = {
	{"", OBJECT, 0, 0},
	{"/ip", ADDRESS, 0, 45},
	{"/email", EMAIL, 0, 254},
	{"/phone", PHONE, 0, 32},
	{"/name", TEXT, 0, 128},
	POSTAL("billing_address"),
	POSTAL("shipping_address"),
	{"/browser", OBJECT, 0, 0},
	{"/browser/browserAcceptHeader", TEXT, 0, MAX_VALUE_BYTES},
	{"/browser/browserColorDepth", NUMBER, 1, 99},
	{"/browser/browserIP", ADDRESS, 0, 45},
	{"/browser/browserJavaEnabled", BOOLEAN, 0, 0},
	{"/browser/browserJavascriptEnabled", BOOLEAN, 0, 0},
	{"/browser/browserLanguage", TEXT, 0, 35},
	{"/browser/browserScreenHeight", NUMBER, 0, 999999},
	{"/browser/browserScreenWidth", NUMBER, 0, 999999},
	{"/browser/browserTZ", NUMBER, -1440, 1440}, /* minutes behind UTC */
	{"/browser/browserUserAgent", TEXT, 0, MAX_VALUE_BYTES},
};

#define NMEMBERS (sizeof(members) / sizeof(members[0]))

static const Member *
find(const char *place)
{
	for (size_t i = 0; i < NMEMBERS; i++)
	{
		if (strcmp(members[i].place, place) == 0)
			return &members[i];
	}
	return NULL;
}

bool
pgw_customer_has_place(const char *pointer)
{
	return find(pointer) != NULL;
}

bool
pgw_customer_is_number(const char *pointer)
{
	const Member *member = find(pointer);

	return member != NULL && member->kind == NUMBER;
}

/* ---- one value ---- */

/* Digits of a whole number as JSON writes one, so that a filter can make a number of a text. */
static bool
is_number(const char *text, int min, int max)
{
	const char *digits = text + (*text == '-');
	size_t n = strspn(digits, "0123456789");
	long value;

	if (n == 0 || n > 6 || digits[n] != '\0' || (n > 1 && *digits == '0'))
		return false;
	value = strtol(text, NULL, 10);
	return value >= min && value <= max;
}

static bool
is_address(const char *text)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool
is_email(const char *text)
{
	const char *at = strrchr(text, '@');

	return at != NULL && at != text && at[1] != '\0' && strpbrk(text, " \t") == NULL;
}

static bool
is_phone(const char *text)
{
	return strlen(text) >= 4 && text[strspn(text, "+0123456789 ()-./")] == '\0' &&
		   strpbrk(text, "0123456789") != NULL;
}

static bool
is_country(const char *text)
{
	return strlen(text) == 2 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'A' &&
		   text[1] <= 'Z';
}

/* What a text of this kind has to be; NULL: it is. */
static const char *
fault_of_text(const Member *member, const char *text)
{
	switch (member->kind)
	{
		case ADDRESS:
			return is_address(text) ? NULL : "must be an IPv4 or IPv6 address";
		case EMAIL:
			return is_email(text) ? NULL : "must be an e-mail address";
		case PHONE:
			return is_phone(text)
					   ? NULL
					   : "must be a telephone number: digits, blanks and + ( ) - . /, 4 at least";
		case COUNTRY:
			return is_country(text) ? NULL : "must be a country's two capital letters of ISO 3166";
		case NUMBER:
			return is_number(text, member->min, member->max)
					   ? NULL
					   : "must be a whole number in its range, or its digits";
		default:
			return *text != '\0' ? NULL : "must not be empty";
	}
}

static void
check_text(const Member *member, const PgwJson *v, const char *where, PgwCustomerTell tell,
		   void *to)
{
	char text[MAX_VALUE_BYTES + 1];
	size_t max = member->kind == NUMBER ? 7 : (size_t) member->max;
	size_t len = pgw_json_text(v, text, max);
	const char *fault;

	if (len > max)
		tell(to, where, "too_long", "is longer than docs/sql-reference.md says");
	else
	{
		text[len] = '\0';
		fault = strlen(text) == len ? fault_of_text(member, text) : NULL;
		if (strlen(text) != len || pgw_has_control(text, ""))
			tell(to, where, "control_characters", "must not contain control characters");
		else if (fault != NULL)
			tell(to, where, "invalid_format", fault);
	}
	explicit_bzero(text, sizeof(text));
}

static void
check_value(const Member *member, const PgwJson *v, const char *where, PgwCustomerTell tell,
			void *to)
{
	PgwJsonType type = pgw_json_type(v);

	if (type == PGW_JSON_NULL)
		return; /* as if it were not there */
	if (member->kind == BOOLEAN)
	{
		if (type != PGW_JSON_BOOLEAN)
			tell(to, where, "invalid_format", "must be true or false");
	}
	else if (type == PGW_JSON_STRING || (type == PGW_JSON_NUMBER && member->kind == NUMBER))
		check_text(member, v, where, tell, to);
	else
		tell(to, where, "invalid_format",
			 member->kind == NUMBER ? "must be a whole number in its range, or its digits"
									: "must be a string");
}

/* ---- objects ---- */

/* As faults name fields. */
static void
field_of(const char *place, char field[FIELD_SIZE])
{
	snprintf(field, FIELD_SIZE, WHOLE "%s", place);
	for (char *s = field; *s != '\0'; s++)
		*s = *s == '/' ? '.' : *s;
}

/* A name that is none of ours may be anything, a value included: told only where it is a word. */
static void
unknown_member(const char *name, const char *where, PgwCustomerTell tell, void *to)
{
	char message[MAX_NAME_BYTES + 32];
	size_t len = strlen(name);

	if (len > 0 && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") == len)
		snprintf(message, sizeof(message), "unknown member \"%s\"", name);
	else
		snprintf(message, sizeof(message), "unknown member");
	tell(to, where, "unknown_option", message);
	explicit_bzero(message, sizeof(message));
}

static void check_object(const char *place, const PgwJson *v, PgwCustomerTell tell, void *to);

static void
check_member(const Member *member, const PgwJson *v, PgwCustomerTell tell, void *to)
{
	char where[FIELD_SIZE];

	field_of(member->place, where);
	if (member->kind == OBJECT)
		check_object(member->place, v, tell, to);
	else
		check_value(member, v, where, tell, to);
}

static void
check_object(const char *place, const PgwJson *v, PgwCustomerTell tell, void *to)
{
	char where[FIELD_SIZE];
	const char *at = NULL;
	PgwJson name;
	PgwJson inner;

	field_of(place, where);
	if (pgw_json_type(v) != PGW_JSON_OBJECT)
	{
		tell(to, where, "invalid_format", "must be a JSON object");
		return;
	}
	while (pgw_json_next_member(v, &at, &name, &inner))
	{
		char key[MAX_NAME_BYTES + 1];
		char inside[64 + MAX_NAME_BYTES];
		size_t len = pgw_json_text(&name, key, MAX_NAME_BYTES);
		const Member *member;

		key[len <= MAX_NAME_BYTES ? len : 0] = '\0';
		snprintf(inside, sizeof(inside), "%s/%s", place, key);
		member = strlen(key) == len && strchr(key, '/') == NULL && len > 0 ? find(inside) : NULL;
		if (member == NULL)
			unknown_member(key, where, tell, to);
		else
			check_member(member, &inner, tell, to);
		explicit_bzero(key, sizeof(key));
		explicit_bzero(inside, sizeof(inside));
	}
}

void
pgw_customer_check(const PgwJson *customer, PgwCustomerTell tell, void *to)
{
	check_object("", customer, tell, to);
}
