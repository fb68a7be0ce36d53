/*
 * webhook_signature.c - what a webhook is signed with, as Standard Webhooks has it
 *
 * https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.  id has no
 * full stop: it is a UUID.  Keys lie in buffers that are wiped.
 */
#include "core/webhook/webhook_signature.h"

#include <string.h>

#include "core/base/byte_text.h"
#include "core/base/sha2.h"

#define PREFIX "whsec_"
#define SHORTEST 24
#define LONGEST 64

/* NULL: key holds its bytes. */
static const char *
read_key(const char *text, PgwBuf *key)
{
	if (strncmp(text, PREFIX, strlen(PREFIX)) != 0)
		return "a webhook's secret is written whsec_ and base64";
	if (!pgw_read_bytes(text + strlen(PREFIX), PGW_BYTES_BASE64, key) || key->failed)
		return "what stands behind whsec_ is no base64";
	if (key->len < SHORTEST || key->len > LONGEST)
		return "a webhook's secret has 24 to 64 bytes";
	return NULL;
}

const char *
pgw_webhook_secrets_fault(const PgwSecretValues *secrets)
{
	const char *fault = secrets->n == 0 ? "there is no secret" : NULL;

	for (int i = 0; i < secrets->n && fault == NULL; i++)
	{
		PgwBuf key;

		pgw_buf_init(&key, 0);
		fault = read_key(secrets->values[i].text, &key);
		pgw_buf_free(&key);
	}
	return fault;
}

static bool
sign_by(const char *secret, const PgwBuf *signed_text, PgwBuf *out)
{
	unsigned char mac[PGW_SHA2_MAX];
	size_t len;
	PgwBuf key;
	bool fine;

	pgw_buf_init(&key, 0);
	fine = read_key(secret, &key) == NULL;
	if (fine)
	{
		len = pgw_hmac(PGW_SHA256, key.data, key.len, signed_text->data, signed_text->len, mac);
		if (out->len > 0)
			pgw_buf_puts(out, " ");
		pgw_buf_puts(out, "v1,");
		pgw_put_base64(out, mac, len);
	}
	pgw_buf_free(&key);
	return fine;
}

bool
pgw_webhook_sign(const PgwSecretValues *secrets, const char *id, int64_t timestamp,
				 const char *payload, size_t len, PgwBuf *out)
{
	PgwBuf text;
	bool fine = secrets->n > 0;

	pgw_buf_init(&text, 0);
	pgw_buf_puts(&text, id);
	pgw_buf_puts(&text, ".");
	pgw_buf_int(&text, timestamp);
	pgw_buf_puts(&text, ".");
	pgw_buf_append(&text, payload, len);
	fine &= !text.failed;
	for (int i = 0; i < secrets->n && fine; i++)
		fine = sign_by(secrets->values[i].text, &text, out);
	pgw_buf_free(&text);
	return fine && !out->failed;
}
