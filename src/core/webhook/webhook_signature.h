/*
 * webhook_signature.h - what a webhook is signed with, as Standard Webhooks has it
 */
#ifndef PGW_CORE_WEBHOOK_WEBHOOK_SIGNATURE_H
#define PGW_CORE_WEBHOOK_WEBHOOK_SIGNATURE_H

#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/secret_values.h"

/*
 * Why these secrets cannot sign; NULL: they can.  Each is "whsec_" and base64 of 24 to 64 bytes;
 * two, while receivers change over from one to the other.
 */
extern const char *pgw_webhook_secrets_fault(const PgwSecretValues *secrets);

/*
 * The value of webhook-signature: "v1," and base64 of HMAC-SHA256 over "id.timestamp.payload", by
 * each of the secrets, with a blank between them.  false: out of memory, or a secret is none.
 */
extern bool pgw_webhook_sign(const PgwSecretValues *secrets, const char *id, int64_t timestamp,
							 const char *payload, size_t len, PgwBuf *out);

#endif
