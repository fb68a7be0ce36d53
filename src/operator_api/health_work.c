/*
 * health_work.c - pgw.health(): what is under way, who waits for whom, and the banks
 *
 * Owns nothing, changes nothing.  Every check looks at rows that are open: finished payments cost
 * nothing.
 */
#include "postgres.h"

#include <unistd.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "bank/bank_config.h"
#include "bank/secrets.h"
#include "base/json_writer.h"
#include "base/schedule.h"
#include "core/bank_message/http_date.h"
#include "core/base/error_codes.h"
#include "core/base/trust_file.h"
#include "observe/gauges.h"
#include "observe/metrics.h"
#include "operator_api/health_work.h"
#include "quota/limit_submitted.h"
#include "store/events.h"
#include "store/open_work.h"

#define DOUBT_WARNING_S 60
#define QUEUE_WARNING_S 60
#define OLD_VERSION_WARNING_S 300
#define REVIEW_ERROR_S (24 * 60 * 60)
#define ACCEPTED_WARNING_S (14 * 24 * 60 * 60)
#define PENDING_WARNING_S (14 * 24 * 60 * 60)
#define PUT_OFF_ERROR_S (30 * 60)
#define QUOTA_WARNING_S 600

/*
 * How many of them for each reason and bank.  Returns since how long the oldest is put off that
 * does not only wait until its charge is settled, in seconds; negative: there is none.
 */
static double
put_off_details(PgwHealthReport *r)
{
	Oid types[2] = {TIMESTAMPTZOID, TEXTOID};
	Datum args[2] = {TimestampTzGetDatum(r->now), CStringGetTextDatum(PGW_REFUND_UNSETTLED)};
	bool isnull;
	double age;

	pgw_health_detail_number(r, "deadline_seconds", pgw_unknown_deadline);
	if (SPI_execute_with_args(
			"SELECT coalesce(jsonb_agg(jsonb_build_object('reason', g.reason, 'bank', g.bank, 'count', g.n) ORDER BY g.nth) FILTER (WHERE g.nth <= 20), '[]')::text,"
			" coalesce(extract(epoch FROM $1 - min(g.since) FILTER (WHERE g.reason <> $2)), -1)::float8 FROM ("
			" SELECT p.put_off_reason AS reason, p.bank, count(*) AS n, min(w.put_off_since) AS since, row_number() OVER (ORDER BY count(*) DESC, p.put_off_reason, p.bank) AS nth FROM pgw.open_work w JOIN pgw.payment_transactions p USING (transaction_id)"
			" WHERE w.put_off_since IS NOT NULL GROUP BY 1, 2) g",
			2, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "what is put off could not be read");
	age = DatumGetFloat8(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	pgw_health_detail_json(r, "reasons",
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	SPI_freetuptable(SPI_tuptable);
	return age;
}

void
pgw_health_check_work(PgwHealthReport *r)
{
	PgwGauges g;
	double put_off_s;

	pgw_gauges_read_all(&g, r->now);
	pgw_health_detail_gauge(r, &g.queued);
	pgw_health_put(
		r, "queue", g.queued.age_s > QUEUE_WARNING_S ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		"Submitted payments wait: see the rows on the worker and on the banks; a bank's max_in_flight may be too low.");
	pgw_health_detail_gauge(r, &g.in_doubt);
	pgw_health_put(
		r, "in_doubt", g.in_doubt.age_s > DOUBT_WARNING_S ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		"The banks do not tell the outcome of these charges. It is asked for again until pgw.unknown_deadline; ask the bank about its look-ups.");
	pgw_health_detail_gauge(r, &g.pending);
	pgw_health_put(
		r, "pending", g.pending.age_s > PENDING_WARNING_S ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		"The banks say that they have not decided yet, and that for long: ask the bank. Until when a charge may be pending is said by pending_deadline_seconds of its connector.");
	pgw_health_detail_gauge(r, &g.refunding);
	pgw_health_detail_number(r, "stuck", (double) g.stuck.n);
	pgw_health_detail_number(r, "stuck_after_seconds", pgw_refund_stuck_after);
	pgw_health_put(
		r, "refunding", g.stuck.n > 0 ? PGW_HEALTH_ERROR : PGW_HEALTH_OK,
		"Charges could not be given back for longer than pgw.refund_stuck_after: see error_code and event history in pgw.audit_transactions and pgw.audit_events.");
	pgw_health_detail_gauge(r, &g.accepted);
	pgw_health_put(
		r, "accepted", g.accepted.age_s > ACCEPTED_WARNING_S ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		"The banks have accepted captures, voids, refunds or give-backs, and do not say what became of them: ask the bank, see accepted_at in pgw.payment_transactions. After a month they need a person.");
	pgw_health_detail_gauge(r, &g.reviews);
	pgw_health_put(
		r, "reviews",
		g.reviews.n == 0                   ? PGW_HEALTH_OK
		: g.reviews.age_s > REVIEW_ERROR_S ? PGW_HEALTH_ERROR
										   : PGW_HEALTH_WARNING,
		"Payments wait for a person: see transactions in status RequiresManualReview, and pgw.resolve_review().");
	pgw_health_detail_gauge(r, &g.undecided);
	pgw_health_put(
		r, "callers_undecided", g.undecided.n > 0 ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		"Charged, and the caller's transaction has neither committed nor rolled back: look for idle and prepared transactions, and end them.");
	pgw_health_detail_gauge(r, &g.put_off);
	put_off_s = put_off_details(r);
	pgw_health_put(
		r, "put_off",
		put_off_s < 0                 ? PGW_HEALTH_OK
		: put_off_s > PUT_OFF_ERROR_S ? PGW_HEALTH_ERROR
									  : PGW_HEALTH_WARNING,
		"The next request of these transactions cannot be made: details says why and where. Cure it, and they go on by themselves; after pgw.unknown_deadline they fail"
		" (nothing was sent) or need a person.");
	pgw_health_detail_gauge(r, &g.of_other_database);
	pgw_health_put(
		r, "origin", g.of_other_database.n > 0 ? PGW_HEALTH_ERROR : PGW_HEALTH_OK,
		"Open payments were recorded in another cluster or database (restored, upgraded or copied); they are left alone until pgw.resume_after_restore().");
}

void
pgw_health_check_prepared(PgwHealthReport *r)
{
	bool isnull;
	int64 n;
	Oid types[1] = {TIMESTAMPTZOID};
	Datum args[1] = {TimestampTzGetDatum(r->now)};

	if (SPI_execute_with_args(
			"SELECT count(*), coalesce(jsonb_agg(jsonb_build_object('gid', p.gid, 'owner', p.owner, 'prepared', p.prepared)"
			" ORDER BY p.prepared), '[]')::text FROM pg_prepared_xacts p"
			" WHERE p.database = current_database() AND p.prepared < $1 - interval '5 min'",
			1, types, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the prepared transactions could not be read");
	n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	pgw_health_detail_number(r, "count", (double) n);
	pgw_health_detail_json(r, "transactions",
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	SPI_freetuptable(SPI_tuptable);
	pgw_health_put(
		r, "prepared_transactions", n > 0 ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		"Prepared for more than 5 minutes: their payments stay undecided. COMMIT PREPARED or ROLLBACK PREPARED.");
}

/* ---------------------------------------------------------------- banks */

/* The gravest of what is wrong with it. */
static PgwHealthStatus
bank_status(const PgwBankSeen *seen, bool breaker_open, bool key_unusable, bool no_trust,
			const char **advice)
{
	PgwHealthStatus status = PGW_HEALTH_ERROR;

	if (no_trust)
		*advice =
			"The file of trusted certificates that settings.ca_file names cannot be read by the server's user, so no certificate of the bank's can be accepted: put it back.";
	else if (key_unusable)
		*advice =
			"The worker cannot use its key: mend its file in pgw.secrets_dir, owned by the server's user with mode 0600. It is taken up within seconds.";
	else if (seen->credentials_rejected != 0)
		*advice =
			"The bank refuses its key (HTTP 401 or 403): put the right one into its file in pgw.secrets_dir. It is taken up within seconds.";
	else if (breaker_open)
		*advice =
			"It failed so often that it is left alone for a while, and is tried again by itself: see the server's log for the reasons.";
	else if (seen->failures > 0)
	{
		status = PGW_HEALTH_WARNING;
		*advice = "Its last calls failed: see the server's log for the reasons.";
	}
	else if (seen->clock_ahead_s > PGW_CLOCK_SKEW_LIMIT_S ||
			 seen->clock_ahead_s < -PGW_CLOCK_SKEW_LIMIT_S)
	{
		status = PGW_HEALTH_WARNING;
		*advice =
			"The bank's clock and this server's differ: what is signed with a time will be refused, and ages of payments are wrong by as much. Set this server's by NTP.";
	}
	else
		status = PGW_HEALTH_OK;
	return status;
}

static void
check_bank(PgwHealthReport *r, const char *name, bool enabled, bool livemode, const char *secret,
		   const char *breakers, const char *ca_file)
{
	bool no_trust =
		ca_file != NULL && (!pgw_trust_file_fits(ca_file) || access(ca_file, R_OK) != 0);
	const char *problem = secret != NULL ? pgw_secret_problem(secret) : NULL;
	const char *advice = NULL;
	PgwHealthStatus status;
	PgwBankSeen seen;

	(void) pgw_metrics_bank_seen(name, &seen);
	if (secret != NULL && problem == NULL)
		/* what only its content shows */
		problem = pgw_secret_fault_text((PgwSecretFault) seen.secret_fault);
	status = bank_status(&seen, breakers != NULL, problem != NULL, no_trust, &advice);
	if (!enabled)
		/* it gets no charge; what it has is looked up and given back as far as it answers */
		status = PGW_HEALTH_OK;
	pgw_health_detail(r, "bank", name);
	pgw_health_detail_bool(r, "enabled", enabled);
	pgw_health_detail_bool(r, "livemode", livemode);
	pgw_health_detail(r, "secret",
					  problem != NULL  ? problem
					  : secret != NULL ? "readable"
									   : "none needed");
	pgw_health_detail(r, "secret_file", secret);
	pgw_health_detail(r, "ca_file",
					  no_trust          ? "cannot be read"
					  : ca_file != NULL ? "readable"
										: "the system's");
	pgw_health_detail_time(r, "credentials_rejected_at", seen.credentials_rejected);
	pgw_health_detail_list(r, "open_breakers", breakers);
	pgw_health_detail_number(r, "failures", (double) seen.failures);
	pgw_health_detail_time(r, "last_success", seen.last_success);
	pgw_health_detail_time(r, "last_failure", seen.last_failure);
	if (seen.clock_seen)
		pgw_health_detail_number(r, "clock_ahead_seconds", (double) seen.clock_ahead_s);
	pgw_health_put(r, psprintf("bank:%s", name), status, advice);
}

void
pgw_health_check_banks(PgwHealthReport *r)
{
	int enabled = 0;
	int test = 0;
	uint64 n;

	if (SPI_execute(
			"SELECT b.name, b.enabled::text, b.secret, (SELECT jsonb_agg(jsonb_build_object('operations', s.operation_group,"
			" 'state', s.state, 'failures', s.failures, 'opened_at', s.opened_at)) FROM pgw.bank_states s"
			" WHERE s.bank = b.name AND s.state <> 'closed')::text, b.settings->>'ca_file',"
			" b.livemode::text FROM pgw.banks b ORDER BY b.priority, b.name",
			true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the banks could not be read");
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool on = strcmp(SPI_getvalue(row, desc, 2), "true") == 0;
		bool livemode = strcmp(SPI_getvalue(row, desc, 6), "true") == 0;

		if (livemode)
			enabled += on;
		else
			test += on;
		check_bank(r, SPI_getvalue(row, desc, 1), on, livemode, SPI_getvalue(row, desc, 3),
				   SPI_getvalue(row, desc, 4), SPI_getvalue(row, desc, 5));
	}
	SPI_freetuptable(SPI_tuptable);
	pgw_health_detail_number(r, "enabled", enabled);
	pgw_health_detail_number(r, "enabled_for_tests", test);
	pgw_health_detail_number(r, "all", (double) n);
	pgw_health_put(
		r, "banks", enabled > 0 ? PGW_HEALTH_OK : PGW_HEALTH_WARNING,
		test > 0
			? "Only test banks are enabled: payments move no money. Insert a row into pgw.banks for a real bank, or enable one."
			: "No bank can take a payment: insert a row into pgw.banks, or enable one.");
}

/* Open attempts that go by a bank as it was when they were sent. */
typedef struct OldVersions
{
	PgwJsonWriter list;
	int64 open;
	double oldest_s;
	bool unusable; /* one needs a key that is not there any more */
} OldVersions;

/* The open attempts of one version, if it is not what their bank is now. */
static void
add_version(OldVersions *all, HeapTuple row, TupleDesc desc)
{
	bool isnull;
	int version = DatumGetInt32(SPI_getbinval(row, desc, 1, &isnull));
	char *name = SPI_getvalue(row, desc, 2);
	const PgwBank *now = pgw_config_bank(name);
	int goes_by = pgw_config_goes_by(version);
	int64 n = DatumGetInt64(SPI_getbinval(row, desc, 5, &isnull));
	double age = DatumGetFloat8(SPI_getbinval(row, desc, 6, &isnull));
	char *secret = SPI_getvalue(row, desc, 7);
	const char *problem = secret != NULL && goes_by == version ? pgw_secret_problem(secret) : NULL;

	if (now != NULL && now->version == goes_by)
		return;
	all->open += n;
	all->oldest_s = Max(all->oldest_s, age);
	all->unusable |= problem != NULL;
	pgw_json_begin_object(&all->list, NULL);
	pgw_json_put_int(&all->list, "version", version);
	pgw_json_put_int(&all->list, "goes_by", goes_by);
	pgw_json_put_int(&all->list, "present_version", now != NULL ? now->version : 0);
	pgw_json_put_int(&all->list, "open", n);
	pgw_json_put_float(&all->list, "oldest_age_seconds", age, 0);
	pgw_json_put_string(&all->list, "bank", name);
	pgw_json_put_string(&all->list, "connector", SPI_getvalue(row, desc, 3));
	pgw_json_put_string(&all->list, "base_url", SPI_getvalue(row, desc, 4));
	pgw_json_put_string(&all->list, "secret",
						problem != NULL  ? problem
						: secret != NULL ? "readable"
										 : "none needed");
	pgw_json_end_object(&all->list);
}

/* They end by themselves; after a while somebody should see whether their bank still answers. */
void
pgw_health_check_versions(PgwHealthReport *r)
{
	OldVersions all = {.open = 0};

	pgw_config_refresh(false);
	pgw_json_begin(&all.list);
	if (SPI_execute(
			"SELECT v.version, v.bank, v.connector, v.base_url, t.n, extract(epoch FROM clock_timestamp() - t.since)::float8, v.secret"
			" FROM (SELECT bank_version, count(*) AS n, min(created_at) AS since"
			" FROM " PGW_OPEN_ATTEMPTS
			" WHERE status NOT IN ('Completed', 'Failed', 'Refunded') AND bank_version IS NOT NULL GROUP BY bank_version) t"
			" JOIN pgw.bank_versions v ON v.version = t.bank_version ORDER BY v.version",
			true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the versions of banks could not be read");
	for (uint64 i = 0; i < SPI_processed; i++)
		add_version(&all, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	SPI_freetuptable(SPI_tuptable);
	pgw_health_detail_number(r, "open", (double) all.open);
	pgw_health_detail_json(r, "versions", pgw_json_array_of(all.list.text.data));
	if (all.unusable)
		pgw_health_put(
			r, "bank_versions", PGW_HEALTH_ERROR,
			"Open payments need a key whose file is not usable any more: put it back into pgw.secrets_dir, or pgw.rebind_attempts().");
	else
		pgw_health_put(
			r, "bank_versions",
			all.oldest_s > OLD_VERSION_WARNING_S ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
			"Open payments go by a bank as it was when they were sent. If it has moved with its books, pgw.rebind_attempts() sends them after it.");
}

/* ---------------------------------------------------------------- quotas */

void
pgw_health_check_quotas(PgwHealthReport *r)
{
	PgwQuotaReport refused[20];
	int n = pgw_quota_refused(r->now - QUOTA_WARNING_S * USECS_PER_SEC, refused, lengthof(refused));
	PgwJsonWriter list;

	pgw_json_begin(&list);
	for (int i = 0; i < n; i++)
	{
		const PgwQuotaReport *q = &refused[i];

		pgw_json_begin_object(&list, NULL);
		pgw_json_put_string(&list, "quota", pgw_quota_setting(q->of));
		pgw_json_put_string(&list, "name", q->name);
		pgw_json_put_uint(&list, "refused", q->refused);
		pgw_json_put_uint(&list, "waiting", q->waiting);
		pgw_json_end_object(&list);
	}
	pgw_health_detail_json(r, "refused", pgw_json_array_of(list.text.data));
	pgw_health_put(
		r, "quotas", n > 0 ? PGW_HEALTH_WARNING : PGW_HEALTH_OK,
		"These merchants or roles were refused with PW429 within ten minutes: as many submitted payments waited as they may have. See why their bank is slow, or what the client does; or raise the setting.");
}
