/*
 * verify_signature.c - does a notification come from who knows the bank's secret?
 *
 * Owns: nothing.  What is signed is the bytes as they came; only where the scheme signs fields of
 * the body is that read before it is known who has sent it.
 *
 * Invariants:
 *     - A signature is compared as it is written, and in constant time: none of two ways to write
 *       one counts, and where they differ cannot be found out by the clock.
 *     - Each secret is tried whatever the others gave, so that nobody sees which of them is in use.
 *     - The time counts once the signature is good: before that nobody has said it.
 *     - Keys and what was made of them are wiped.
 */
#include "core/notification/verify_signature.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/connector/compiled.h"
#include "core/bank_message/answer_body.h"
#include "core/base/mutant.h"
#include "core/base/sha2.h"

/* A longer signature is none that these schemes make. */
#define SIGNATURE_SIZE 160
/* Of a list: what stands behind these is not looked at. */
#define MAX_SIGNATURES 16
#define MAX_TIME_DIGITS 12
#define FIELD_SIZE 1024
#define STANDARD_PREFIX "whsec_"

static const char *const texts[] = {
	[PGW_VERIFIED] = "verified",
	[PGW_NOT_SIGNED] = "not signed as the connector says",
	[PGW_WRONG_SIGNATURE] = "signed by none of the secrets",
	[PGW_OUT_OF_TIME] = "signed too long ago, or in the future",
	[PGW_NO_URL] = "the signature covers the URL, which was not given",
	[PGW_NO_SECRET] = "there is no secret to check it with",
	[PGW_BAD_SECRET] = "a secret is not written as the connector says",
};

const char *
pgw_verified_text(PgwVerified v)
{
	return texts[v];
}

/* ---- what has come ---- */

const char *
pgw_arrived_header(const PgwArrived *n, const char *name)
{
	const char *value = NULL;

	for (int i = 0; i < n->nheaders; i++)
	{
		if (strcasecmp(n->headers[i].name, name) != 0)
			continue;
		if (value != NULL)
			return NULL; /* which of the two would another reader have taken? */
		value = n->headers[i].value;
	}
	return value != NULL && strlen(value) <= PGW_NOTIFICATION_MAX_HEADER ? value : NULL;
}

/* The signatures that it has, as they are written; hexadecimal ones in small letters. */
typedef struct Signatures
{
	int n;
	char texts[MAX_SIGNATURES][SIGNATURE_SIZE];
	size_t lens[MAX_SIGNATURES];
} Signatures;

static void
add_signature(Signatures *list, const char *text, size_t len, PgwByteText as)
{
	char *to;

	if (len == 0 || len > SIGNATURE_SIZE || list->n == MAX_SIGNATURES)
		return;
	to = list->texts[list->n];
	memcpy(to, text, len);
	for (size_t i = 0; as == PGW_BYTES_HEX && i < len; i++)
		to[i] = (char) (to[i] >= 'A' && to[i] <= 'F' ? to[i] - 'A' + 'a' : to[i]);
	list->lens[list->n++] = len;
}

static bool
read_time(const char *text, size_t len, int64_t *seconds)
{
	*seconds = 0;
	if (len < 1 || len > MAX_TIME_DIGITS)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
		*seconds = *seconds * 10 + (text[i] - '0');
	}
	return true;
}

/* One after the other in a text; false: there is no further one. */
static bool
next_part(const char **at, char separator, const char **part, size_t *len)
{
	const char *end;

	if (*at == NULL)
		return false;
	*part = *at;
	end = strchr(*at, separator);
	*len = end != NULL ? (size_t) (end - *at) : strlen(*at);
	*at = end != NULL ? end + 1 : NULL;
	return true;
}

/* NAME=value: where the value begins; NULL: another name. */
static const char *
value_of(const char *part, size_t len, const char *name, size_t *value_len)
{
	size_t n = strlen(name);

	if (len <= n || strncmp(part, name, n) != 0 || part[n] != '=')
		return NULL;
	*value_len = len - n - 1;
	return part + n + 1;
}

/* ---- what is signed, and the signatures, scheme by scheme ---- */

typedef struct Claim
{
	PgwBuf text; /* what is signed */
	bool has_time;
	int64_t time;
	Signatures signatures;
} Claim;

/* t=TIME,v1=SIGNATURE,v1=SIGNATURE, and others that are none of ours. */
static bool
claim_timestamped(const PgwSignature *s, const PgwArrived *n, Claim *c)
{
	const char *at = pgw_arrived_header(n, s->header);
	const char *part;
	size_t len;

	while (next_part(&at, ',', &part, &len))
	{
		const char *value;
		size_t value_len;

		while (len > 0 && *part == ' ')
		{
			part++;
			len--;
		}
		if ((value = value_of(part, len, s->time_name, &value_len)) != NULL)
		{
			if (c->has_time || !read_time(value, value_len, &c->time))
				return false;
			c->has_time = true;
			pgw_buf_append(&c->text, value, value_len);
		}
		else if ((value = value_of(part, len, s->value_name, &value_len)) != NULL)
			add_signature(&c->signatures, value, value_len, s->as);
	}
	pgw_buf_puts(&c->text, ".");
	pgw_buf_append(&c->text, n->body, n->len);
	return c->has_time;
}

/* standardwebhooks.com: id, time and body, points between; "v1,SIGNATURE v1,SIGNATURE". */
static bool
claim_standard(const PgwSignature *s, const PgwArrived *n, Claim *c)
{
	const char *id = pgw_arrived_header(n, "webhook-id");
	const char *time = pgw_arrived_header(n, "webhook-timestamp");
	const char *at = pgw_arrived_header(n, "webhook-signature");
	const char *part;
	size_t len;

	/* with a point in it, part of the id could be taken for the time */
	if (id == NULL || *id == '\0' || strchr(id, '.') != NULL || time == NULL ||
		!read_time(time, strlen(time), &c->time))
		return false;
	c->has_time = true;
	while (next_part(&at, ' ', &part, &len))
	{
		if (len > 3 && strncmp(part, "v1,", 3) == 0)
			add_signature(&c->signatures, part + 3, len - 3, s->as);
	}
	pgw_buf_puts(&c->text, id);
	pgw_buf_puts(&c->text, ".");
	pgw_buf_puts(&c->text, time);
	pgw_buf_puts(&c->text, ".");
	pgw_buf_append(&c->text, n->body, n->len);
	return true;
}

static void
claim_header(const PgwSignature *s, const PgwArrived *n, Claim *c)
{
	const char *value = pgw_arrived_header(n, s->header);

	if (value != NULL)
		add_signature(&c->signatures, value, strlen(value), s->as);
	if (s->scheme == PGW_SIGNED_URL_AND_BODY)
		pgw_buf_puts(&c->text, n->url);
	pgw_buf_append(&c->text, n->body, n->len);
}

/*
 * As the bank writes it there: a text, a whole number, true, false; else nothing stands there. What
 * holds the separator is refused: the same signed text could be cut into other fields.
 */
static bool
put_field(const PgwSignature *s, const PgwAnswerBody *body, const PgwPointer *place, PgwBuf *out)
{
	char text[FIELD_SIZE];
	PgwJson v;

	if (!pgw_answer_body_follow(body, place, &v) || pgw_json_type(&v) == PGW_JSON_NULL)
		return true;
	if (pgw_json_type(&v) == PGW_JSON_BOOLEAN)
	{
		pgw_buf_puts(out, pgw_json_is_true(&v) ? "true" : "false");
		return true;
	}
	/* an empty text is one, too */
	if (pgw_json_type(&v) == PGW_JSON_STRING && v.len == 2)
		return true;
	if (!pgw_answer_body_text(&v, text, sizeof(text), false) || strstr(text, s->separator) != NULL)
		return false;
	pgw_buf_puts(out, text);
	return true;
}

static bool
claim_fields(const PgwSignature *s, const PgwArrived *n, Claim *c)
{
	char text[SIGNATURE_SIZE];
	PgwAnswerBody body;
	PgwJson v;
	size_t len;
	const char *one = pgw_arrived_one(n, &len);
	bool good;

	pgw_answer_body_read(one, len, false, &body);
	good = pgw_answer_body_follow(&body, &s->place, &v) &&
		   pgw_answer_body_text(&v, text, sizeof(text), false);
	if (good)
		add_signature(&c->signatures, text, strlen(text), s->as);
	for (int i = 0; good && i < s->nfields; i++)
	{
		if (i > 0)
			pgw_buf_puts(&c->text, s->separator);
		good = put_field(s, &body, &s->fields[i], &c->text);
	}
	pgw_answer_body_end(&body);
	return good;
}

/* ---- the secrets ---- */

static bool
one_matches(const Signatures *list, const char *wanted, size_t len)
{
	bool any = false;

	for (int i = 0; i < list->n; i++)
		any |= pgw_same_secret(list->texts[i], list->lens[i], wanted, len);
	return any;
}

/* false: the secret is not written as it should be. */
static bool
check_secret(const PgwSignature *s, const Claim *c, const char *secret, bool *matches)
{
	unsigned char mac[PGW_SHA2_MAX];
	PgwBuf written;
	PgwBuf key;
	size_t len;
	bool good;

	if (s->scheme == PGW_SIGNED_STANDARD_WEBHOOKS &&
		strncmp(secret, STANDARD_PREFIX, strlen(STANDARD_PREFIX)) == 0)
		secret += strlen(STANDARD_PREFIX);
	pgw_buf_init(&key, 0);
	pgw_buf_init(&written, 0);
	good = *secret != '\0' && pgw_read_bytes(secret, s->key_as, &key);
	if (good)
	{
		len = pgw_hmac(s->hash, key.data, key.len, c->text.data, c->text.len, mac);
		pgw_put_bytes(&written, mac, len, s->as);
		good = !written.failed;
		if (good)
			*matches |= one_matches(&c->signatures, written.data, written.len);
	}
	explicit_bzero(mac, sizeof(mac));
	pgw_buf_free(&written);
	pgw_buf_free(&key);
	return good;
}

static bool
is_out_of_time(const PgwSignature *s, const PgwArrived *n, const Claim *c)
{
	int64_t off = n->received_at - c->time;

	return c->has_time && (off > s->tolerance_s || off < -s->tolerance_s);
}

static PgwVerified
check_claim(const PgwSignature *s, const PgwArrived *n, const PgwSecretValues *secrets,
			const Claim *c)
{
	bool matches = false;
	bool bad = false;

	if (c->signatures.n == 0 || c->text.failed || c->text.data == NULL)
		return PGW_NOT_SIGNED;
	for (int i = 0; i < secrets->n; i++)
		bad |= !check_secret(s, c, secrets->values[i].text, &matches);
	if (PGW_MUTATED(NOTIFICATION_SIGNATURE))
		matches = true;
	if (!matches)
		return bad ? PGW_BAD_SECRET : PGW_WRONG_SIGNATURE;
	return is_out_of_time(s, n, c) ? PGW_OUT_OF_TIME : PGW_VERIFIED;
}

/* "Basic" and NAME:PASSWORD in base64 (RFC 7617), which is what a secret is. */
PgwVerified
pgw_verify_login(const PgwArrived *n, const PgwSecretValues *logins)
{
	const char *given = pgw_arrived_header(n, "authorization");
	bool matches = false;
	bool bad = false;

	if (given == NULL || strncasecmp(given, "Basic ", 6) != 0)
		return PGW_NOT_SIGNED;
	given += 6;
	given += strspn(given, " ");
	for (int i = 0; i < logins->n; i++)
	{
		const char *secret = logins->values[i].text;
		PgwBuf written;

		pgw_buf_init(&written, 0);
		pgw_put_base64(&written, (const unsigned char *) secret, strlen(secret));
		bad |= strchr(secret, ':') == NULL || written.failed;
		if (!written.failed && written.len > 0)
			matches |= pgw_same_secret(given, strlen(given), written.data, written.len);
		pgw_buf_free(&written);
	}
	return matches ? PGW_VERIFIED : bad ? PGW_BAD_SECRET : PGW_WRONG_SIGNATURE;
}

PgwVerified
pgw_verify_signature(const PgwSignature *s, const PgwArrived *n, const PgwSecretValues *secrets)
{
	PgwVerified v = PGW_NOT_SIGNED;
	bool good = true;
	Claim c;

	if (secrets == NULL || secrets->n == 0)
		return PGW_NO_SECRET;
	if (n->len > PGW_NOTIFICATION_MAX_BYTES || n->nheaders > PGW_NOTIFICATION_MAX_HEADERS)
		return PGW_NOT_SIGNED;
	if (s->scheme == PGW_UNSIGNED || s->scheme == PGW_TO_BE_ASKED)
		return PGW_NOT_SIGNED;
	if (s->scheme == PGW_SIGNED_BASIC_AUTH)
		return pgw_verify_login(n, secrets);
	if (s->scheme == PGW_SIGNED_URL_AND_BODY && n->url == NULL)
		return PGW_NO_URL;
	memset(&c, 0, sizeof(c));
	pgw_buf_init(&c.text, 0);
	switch (s->scheme)
	{
		case PGW_SIGNED_TIMESTAMPED:
			good = claim_timestamped(s, n, &c);
			break;
		case PGW_SIGNED_STANDARD_WEBHOOKS:
			good = claim_standard(s, n, &c);
			break;
		case PGW_SIGNED_FIELDS:
			good = claim_fields(s, n, &c);
			break;
		case PGW_SIGNED_BODY:
		case PGW_SIGNED_URL_AND_BODY:
		case PGW_SIGNED_BASIC_AUTH:
		case PGW_UNSIGNED:
		case PGW_TO_BE_ASKED:
			claim_header(s, n, &c);
			break;
	}
	if (good)
		v = check_claim(s, n, secrets, &c);
	pgw_buf_free(&c.text);
	return v;
}
