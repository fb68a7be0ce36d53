/*
 * notification_verdict.c - what becomes of a notification
 *
 * Invariant: nothing is read of a notification whose signature is not good, but what the scheme
 * signs.
 */
#include "core/notification/notification_verdict.h"

#include <string.h>

#include "core/connector/compiled.h"

static const struct
{
	const char *name;
	int http_status;
} verdicts[PGW_NNOTIFICATION_VERDICTS] = {
	[PGW_NOTIFICATION_ACCEPTED] = {"accepted", 200},
	[PGW_NOTIFICATION_REPEATED] = {"repeated", 200},
	[PGW_NOTIFICATION_NOT_SIGNED] = {"not_signed", 400},
	[PGW_NOTIFICATION_WRONG_SIGNATURE] = {"wrong_signature", 400},
	[PGW_NOTIFICATION_OUT_OF_TIME] = {"out_of_time", 400},
	[PGW_NOTIFICATION_UNREADABLE] = {"unreadable", 400},
	[PGW_NOTIFICATION_OTHER_MODE] = {"other_mode", 400},
	[PGW_NOTIFICATION_TOO_LARGE] = {"too_large", 413},
	[PGW_NOTIFICATION_NOT_EXPECTED] = {"not_expected", 404},
	[PGW_NOTIFICATION_UNKNOWN_BANK] = {"unknown_bank", 404},
	[PGW_NOTIFICATION_NO_URL] = {"no_url", 500},
	[PGW_NOTIFICATION_NO_SECRET] = {"no_secret", 503},
	[PGW_NOTIFICATION_BAD_SECRET] = {"bad_secret", 503},
};

const char *
pgw_notification_verdict_name(PgwNotificationVerdict v)
{
	return verdicts[v].name;
}

int
pgw_notification_http_status(PgwNotificationVerdict v)
{
	return verdicts[v].http_status;
}

bool
pgw_notification_expected(const PgwConnector *c)
{
	return c->notifications.present;
}

static PgwNotificationVerdict
of_signature(PgwVerified v)
{
	switch (v)
	{
		case PGW_VERIFIED:
			return PGW_NOTIFICATION_ACCEPTED;
		case PGW_NOT_SIGNED:
			return PGW_NOTIFICATION_NOT_SIGNED;
		case PGW_WRONG_SIGNATURE:
			return PGW_NOTIFICATION_WRONG_SIGNATURE;
		case PGW_OUT_OF_TIME:
			return PGW_NOTIFICATION_OUT_OF_TIME;
		case PGW_NO_URL:
			return PGW_NOTIFICATION_NO_URL;
		case PGW_NO_SECRET:
			return PGW_NOTIFICATION_NO_SECRET;
		case PGW_BAD_SECRET:
			break;
	}
	return PGW_NOTIFICATION_BAD_SECRET;
}

PgwNotificationVerdict
pgw_notification_judge(const PgwConnector *c, const PgwArrived *n, const PgwSecretValues *secrets,
					   bool livemode, PgwNotification *out)
{
	PgwNotificationVerdict v;

	memset(out, 0, sizeof(*out));
	if (!pgw_notification_expected(c))
		return PGW_NOTIFICATION_NOT_EXPECTED;
	if (n->len > PGW_NOTIFICATION_MAX_BYTES)
		return PGW_NOTIFICATION_TOO_LARGE;
	v = of_signature(pgw_verify_signature(&c->notifications.signature, n, secrets));
	if (v != PGW_NOTIFICATION_ACCEPTED)
		return v;
	pgw_notification_read(c, n, livemode, out);
	if (!out->readable)
		return PGW_NOTIFICATION_UNREADABLE;
	return out->other_mode ? PGW_NOTIFICATION_OTHER_MODE : PGW_NOTIFICATION_ACCEPTED;
}
