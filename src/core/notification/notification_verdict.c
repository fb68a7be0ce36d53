/*
 * notification_verdict.c - what becomes of a notification
 *
 * Invariants: nothing is read of a notification whose signature is not good, but what the scheme
 * signs; and what nobody has signed is a hint, whatever it says.
 */
#include "core/notification/notification_verdict.h"

#include <string.h>

#include "core/bank_message/answer_body.h"
#include "core/base/mutant.h"
#include "core/connector/compiled.h"
#include "core/notification/kept_ids.h"

static const struct
{
	const char *name;
	int http_status;
} verdicts[PGW_NNOTIFICATION_VERDICTS] = {
	[PGW_NOTIFICATION_ACCEPTED] = {"accepted", 200},
	[PGW_NOTIFICATION_REPEATED] = {"repeated", 200},
	[PGW_NOTIFICATION_HINT] = {"hint", 200},
	[PGW_NOTIFICATION_TO_CONFIRM] = {"to_confirm", 200},
	[PGW_NOTIFICATION_NOT_SIGNED] = {"not_signed", 400},
	[PGW_NOTIFICATION_WRONG_SIGNATURE] = {"wrong_signature", 400},
	[PGW_NOTIFICATION_OUT_OF_TIME] = {"out_of_time", 400},
	[PGW_NOTIFICATION_UNREADABLE] = {"unreadable", 400},
	[PGW_NOTIFICATION_OTHER_MODE] = {"other_mode", 400},
	[PGW_NOTIFICATION_TOO_LARGE] = {"too_large", 413},
	[PGW_NOTIFICATION_NOT_EXPECTED] = {"not_expected", 404},
	[PGW_NOTIFICATION_UNKNOWN_BANK] = {"unknown_bank", 404},
	[PGW_NOTIFICATION_TOO_MANY] = {"too_many", 503},
	[PGW_NOTIFICATION_ASKED_FIRST] = {"asked_first", 503},
	[PGW_NOTIFICATION_NO_URL] = {"no_url", 500},
	[PGW_NOTIFICATION_NO_SECRET] = {"no_secret", 503},
	[PGW_NOTIFICATION_BAD_SECRET] = {"bad_secret", 503},
	[PGW_NOTIFICATION_NOT_CONFIRMED] = {"not_confirmed", 400},
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

bool
pgw_notification_is_asked_for(const PgwConnector *c)
{
	return c->notifications.signature.scheme == PGW_TO_BE_ASKED;
}

void
pgw_notification_keep_id(PgwNotification *said)
{
	PgwNotification kept = {.readable = said->readable};

	memcpy(kept.digest, said->digest, sizeof(kept.digest));
	memcpy(kept.identity, said->identity, sizeof(kept.identity));
	memcpy(kept.event_id, said->event_id, sizeof(kept.event_id));
	/*
	 * JSON can write one id in many ways, and nobody has signed which: by what it was asked for is
	 * what it is, or one notification could be sent again as any number of others.
	 */
	if (!PGW_MUTATED(ID_RESPELLED))
		pgw_notification_identity_is(&kept, kept.event_id);
	*said = kept;
}

bool
pgw_notification_confirmed(const PgwConnector *c, const char *event_id, const char *body,
						   size_t len, bool livemode, PgwNotification *said)
{
	PgwArrived a = {.body = body, .len = len};

	if (len > PGW_NOTIFICATION_MAX_BYTES)
		return false;
	pgw_notification_read(c, &a, livemode, said);
	return said->readable &&
		   (strcmp(said->event_id, event_id) == 0 || PGW_MUTATED(ANOTHER_CONFIRMED));
}

bool
pgw_notification_needs_secret(const PgwConnector *c)
{
	return c->notifications.signature.scheme != PGW_UNSIGNED && !pgw_notification_is_asked_for(c);
}

PgwNotificationVerdict
pgw_notification_worse(PgwNotificationVerdict a, PgwNotificationVerdict b)
{
	int of_a = pgw_notification_http_status(a);
	int of_b = pgw_notification_http_status(b);

	if (of_a == of_b)
		return a < b ? a : b;
	return of_a > of_b ? a : b;
}

void
pgw_notification_order(const PgwJudged *judged, int n, int order[PGW_NOTIFICATION_MAX_ITEMS])
{
	for (int i = 0; i < n; i++)
	{
		int at = i;

		while (at > 0 && !PGW_MUTATED(NOTIFICATION_ORDER) &&
			   strcmp(judged[order[at - 1]].said.identity, judged[i].said.identity) > 0)
		{
			order[at] = order[at - 1];
			at--;
		}
		order[at] = i;
	}
}

/* Is its signature in each of several, or is it the whole body's? */
static bool
is_signed_one_by_one(const PgwConnector *c)
{
	return c->notifications.has_items && c->notifications.signature.scheme == PGW_SIGNED_FIELDS;
}

static PgwNotificationVerdict
verify(const PgwConnector *c, const PgwArrived *n, const PgwSecretValues *secrets)
{
	if (pgw_notification_is_asked_for(c))
		return PGW_MUTATED(ASKED_BELIEVED) ? PGW_NOTIFICATION_ACCEPTED
										   : PGW_NOTIFICATION_TO_CONFIRM;
	if (!pgw_notification_needs_secret(c))
		return PGW_MUTATED(UNSIGNED_TAKEN) ? PGW_NOTIFICATION_ACCEPTED : PGW_NOTIFICATION_HINT;
	return of_signature(pgw_verify_signature(&c->notifications.signature, n, secrets));
}

const char *
pgw_proof_name(PgwProof proof)
{
	static const char *const names[] = {[PGW_PROVED_BY_NOTHING] = NULL,
										[PGW_PROVED_BY_SIGNATURE] = "signature",
										[PGW_PROVED_BY_LOGIN] = "login",
										[PGW_PROVED_BY_BOTH] = "both",
										[PGW_PROVED_BY_ANSWER] = "answer"};

	return names[proof];
}

/* What the request as a whole adds to the signature, which is looked at for itself. */
static PgwProof
proof_of(const PgwConnector *c, bool logged_in)
{
	if (!pgw_notification_needs_secret(c))
		return PGW_PROVED_BY_NOTHING;
	if (c->notifications.signature.scheme == PGW_SIGNED_BASIC_AUTH)
		return PGW_PROVED_BY_LOGIN;
	return logged_in ? PGW_PROVED_BY_BOTH : PGW_PROVED_BY_SIGNATURE;
}

static bool
is_good(PgwNotificationVerdict v)
{
	return v == PGW_NOTIFICATION_ACCEPTED || v == PGW_NOTIFICATION_HINT ||
		   v == PGW_NOTIFICATION_TO_CONFIRM;
}

/* One, of which good is known already: what of it says that it is not taken after all? */
static void
judge_one(const PgwConnector *c, const PgwArrived *n, PgwNotificationVerdict good, bool livemode,
		  bool other_mode, PgwJudged *out)
{
	pgw_notification_read(c, n, livemode, &out->said);
	out->verdict = good;
	if (!out->said.readable)
		out->verdict = PGW_NOTIFICATION_UNREADABLE;
	else if (out->said.other_mode || other_mode)
		out->verdict = PGW_NOTIFICATION_OTHER_MODE;
	if (out->verdict == PGW_NOTIFICATION_TO_CONFIRM)
	{
		pgw_notification_keep_id(&out->said);
		/* nothing to ask by */
		if (out->said.event_id[0] == '\0')
			out->verdict = PGW_NOTIFICATION_UNREADABLE;
		else if (!pgw_notification_id_may_be_kept(out->said.event_id) &&
				 !PGW_MUTATED(ASKED_ID_KEPT))
			out->verdict = PGW_NOTIFICATION_ASKED_FIRST;
	}
}

/* The elements of the list; 0: none, or no list; -1: too many. */
static int
split(const PgwConnector *c, const PgwArrived *n, PgwArrived *items)
{
	PgwAnswerBody body;
	PgwJson list;
	PgwJson item;
	const char *at = NULL;
	int count = 0;

	pgw_answer_body_read(n->body, n->len, false, &body);
	if (pgw_answer_body_follow(&body, &c->notifications.items, &list))
	{
		while (count >= 0 && pgw_json_next_element(&list, &at, &item))
		{
			if (count == PGW_NOTIFICATION_MAX_ITEMS)
			{
				count = -1;
				break;
			}
			items[count] = *n;
			items[count].item = item.text;
			items[count++].item_len = item.len;
		}
	}
	pgw_answer_body_end(&body);
	return count;
}

static int
judge_items(const PgwConnector *c, const PgwArrived *n, const PgwSecretValues *secrets,
			PgwNotificationVerdict whole, bool livemode, PgwJudged *out)
{
	PgwArrived items[PGW_NOTIFICATION_MAX_ITEMS];
	bool other_mode = pgw_notification_other_mode(c, n, livemode);
	int count = split(c, n, items);

	out[0].verdict = count < 0 ? PGW_NOTIFICATION_TOO_LARGE : PGW_NOTIFICATION_UNREADABLE;
	for (int i = 0; i < count; i++)
	{
		memset(&out[i], 0, sizeof(out[i]));
		out[i].verdict = is_signed_one_by_one(c) && !PGW_MUTATED(ITEM_SIGNATURE)
							 ? verify(c, &items[i], secrets)
							 : whole;
		if (is_good(out[i].verdict))
			judge_one(c, &items[i], out[i].verdict, livemode, other_mode, &out[i]);
	}
	return count > 0 ? count : 1;
}

static int
judge_all(const PgwConnector *c, const PgwArrived *n, const PgwSecretValues *secrets, bool livemode,
		  PgwJudged *out)
{
	if (is_signed_one_by_one(c))
		return judge_items(c, n, secrets, PGW_NOTIFICATION_ACCEPTED, livemode, out);
	out[0].verdict = verify(c, n, secrets);
	if (!is_good(out[0].verdict))
		return 1;
	if (c->notifications.has_items)
		return judge_items(c, n, secrets, out[0].verdict, livemode, out);
	judge_one(c, n, out[0].verdict, livemode, false, &out[0]);
	return 1;
}

int
pgw_notification_judge(const PgwConnector *c, const PgwArrived *n, const PgwSecretValues *secrets,
					   const PgwSecretValues *logins, bool livemode,
					   PgwJudged out[PGW_NOTIFICATION_MAX_ITEMS])
{
	PgwVerified login = PGW_NOT_SIGNED;
	int count;

	memset(&out[0], 0, sizeof(out[0]));
	out[0].verdict = PGW_NOTIFICATION_NOT_EXPECTED;
	if (!pgw_notification_expected(c))
		return 1;
	out[0].verdict = PGW_NOTIFICATION_TOO_LARGE;
	if (n->len > PGW_NOTIFICATION_MAX_BYTES)
		return 1;
	if (logins != NULL)
		login = pgw_verify_login(n, logins);
	/* whoever tries a password has not forgotten it */
	if (login != PGW_VERIFIED && login != PGW_NOT_SIGNED)
	{
		out[0].verdict = of_signature(login);
		return 1;
	}
	count = judge_all(c, n, secrets, livemode, out);
	for (int i = 0; i < count; i++)
		out[i].proof = proof_of(c, login == PGW_VERIFIED || PGW_MUTATED(LOGIN_SUPPOSED));
	return count;
}
