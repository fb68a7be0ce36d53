/*
 * health_writes.c - pgw.health(): can payments be written?  What has failed, whatever the cause;
 * and causes that the catalogs show before anybody has tried
 *
 * Owns nothing, changes nothing.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "exchange/write_failures.h"
#include "operator_api/health_writes.h"

#define WORKER_RECENT_MS 60000

/* What an SQLSTATE of this class is about. */
static const char *
class_of(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
			return "a constraint, index or trigger that pgw's table has";
		case ERRCODE_INVALID_TRANSACTION_STATE:
			return "a read-only or otherwise unusable transaction";
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
			return "a missing privilege, or an altered object";
		case ERRCODE_INSUFFICIENT_RESOURCES:
			return "resources: disk, memory, connections";
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
			return "an object that is not in the state that it should be in, such as a published table without a replica identity";
		case ERRCODE_SYSTEM_ERROR:
			return "the system: files and disks";
		case ERRCODE_PLPGSQL_ERROR:
			return "raised by a function, such as a trigger";
		case ERRCODE_INTERNAL_ERROR:
			return "the server's own";
		default:
			return "another one";
	}
}

static double
seconds_since(TimestampTz when)
{
	return (double) TimestampDifferenceMilliseconds(when, GetCurrentTimestamp()) / 1000;
}

static bool
within(TimestampTz when, int ms)
{
	return when != 0 && !TimestampDifferenceExceeds(when, GetCurrentTimestamp(), ms);
}

/* What has failed last, of callers and of the worker. */
static void
put_error(PgwHealthReport *r, int sqlstate)
{
	pgw_health_detail(r, "sqlstate", unpack_sql_state(sqlstate));
	pgw_health_detail(r, "about", class_of(sqlstate));
}

void
pgw_health_check_writes(PgwHealthReport *r, const PgwExchangeStatus *s)
{
	static const char *const names[] = {
		[PGW_WRITE_CALL] = "calls_failed",
		[PGW_WRITE_INTENT] = "requests_failed",
		[PGW_WRITE_ANSWER] = "answers_failed",
		[PGW_WRITE_STEP] = "steps_failed",
	};
	PgwWriteFailures f[PGW_WRITE_KINDS];
	const PgwWriteFailures *worst = f;
	bool worker = within(s->progress.failed_at, WORKER_RECENT_MS);
	bool nothing_since = worker && s->progress.failed_at >= s->progress.committed_at;

	pgw_write_failures(f);
	for (int i = 0; i < PGW_WRITE_KINDS; i++)
	{
		pgw_health_detail_number(r, names[i], f[i].n);
		if (f[i].n > worst->n)
			worst = &f[i];
	}
	if (worst->n > 0)
	{
		pgw_health_detail_number(r, "failing_for_seconds", seconds_since(worst->since));
		pgw_health_detail_number(r, "last_failure_age_seconds", seconds_since(worst->last));
	}
	pgw_health_detail_bool(r, "worker_failed", worker);
	if (worker)
		pgw_health_detail_number(r, "worker_failure_age_seconds",
								 seconds_since(s->progress.failed_at));
	if (worst->n > 0)
		put_error(r, worst->sqlstate);
	else if (worker)
		put_error(r, s->progress.sqlstate);
	pgw_health_put(
		r, "writes",
		worst->n >= PGW_WRITES_FAIL_AFTER || nothing_since ? PGW_HEALTH_ERROR
		: worst->n > 0 || worker                           ? PGW_HEALTH_WARNING
														   : PGW_HEALTH_OK,
		"Payments could not be written, and none has been since: sqlstate says why, the server's log says what it was. "
		"See what was changed on pgw's tables, and the other rows.");
}

/*
 * UPDATE and DELETE of a published table fail without a replica identity (55000), and where a list
 * of columns or a row filter leaves out or needs what that does not hold (42P10).
 */
void
pgw_health_check_publications(PgwHealthReport *r)
{
	char *found = pgw_health_read_text(
		"SELECT jsonb_agg(DISTINCT jsonb_build_object('table', c.relname, 'publication', p.pubname))::text"
		" FROM pg_catalog.pg_class c JOIN pg_catalog.pg_publication p ON (p.pubupdate OR p.pubdelete)"
		" AND (p.puballtables OR EXISTS (SELECT FROM pg_catalog.pg_publication_rel t WHERE t.prpubid = p.oid AND t.prrelid = c.oid)"
		" OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace n WHERE n.pnpubid = p.oid AND n.pnnspid = c.relnamespace))"
		" WHERE c.relnamespace = 'pgw'::pg_catalog.regnamespace AND c.relkind = 'r' AND c.relpersistence = 'p' AND c.relreplident <> 'f'"
		" AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid"
		" AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident))");

	char *narrow = pgw_health_read_text(
		"WITH published AS (SELECT t.oid, t.prattrs, t.prqual, t.prrelid, p.pubname, c.relname, c.relreplident, ARRAY(SELECT a.attnum FROM pg_catalog.pg_attribute a"
		" WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (c.relreplident = 'f' OR EXISTS (SELECT FROM pg_catalog.pg_index i"
		" WHERE i.indrelid = c.oid AND i.indisvalid AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)"
		" AND a.attnum = ANY (i.indkey::int2[])))) AS identity FROM pg_catalog.pg_publication_rel t JOIN pg_catalog.pg_publication p ON p.oid = t.prpubid AND (p.pubupdate OR p.pubdelete)"
		" JOIN pg_catalog.pg_class c ON c.oid = t.prrelid WHERE c.relnamespace = 'pgw'::pg_catalog.regnamespace AND (t.prattrs IS NOT NULL OR t.prqual IS NOT NULL))"
		" SELECT jsonb_agg(DISTINCT jsonb_build_object('table', d.relname, 'publication', d.pubname))::text FROM published d"
		" WHERE NOT d.identity <@ coalesce(d.prattrs::int2[], d.identity) OR EXISTS (SELECT FROM pg_catalog.pg_depend n"
		" JOIN pg_catalog.pg_attribute a ON a.attrelid = d.prrelid AND a.attnum = n.refobjsubid WHERE n.classid = 'pg_catalog.pg_publication_rel'::pg_catalog.regclass"
		" AND n.objid = d.oid AND n.refobjid = d.prrelid AND NOT n.refobjsubid::int2 = ANY (d.identity)"
		" AND pg_catalog.strpos(pg_catalog.pg_get_expr(d.prqual, d.prrelid), a.attname) > 0)");

	pgw_health_detail_list(r, "without_replica_identity", found);
	pgw_health_detail_list(r, "too_narrow", narrow);
	pgw_health_put(
		r, "publications", found != NULL || narrow != NULL ? PGW_HEALTH_ERROR : PGW_HEALTH_OK,
		found != NULL
			? "A publication has these tables, and they have no replica identity, so every UPDATE of them fails: "
			  "ALTER TABLE ... REPLICA IDENTITY DEFAULT, or take them out of the publication."
			: "A publication has these tables with a list of columns that leaves out some of the replica identity, or with a row filter on others, so every UPDATE of them fails: "
			  "publish them without, or for INSERT alone.");
}

/* Whose sessions begin read-only: they cannot pay. */
void
pgw_health_check_read_only(PgwHealthReport *r)
{
	char *everybody = pgw_health_read_text(
		"SELECT (SELECT 'server' FROM pg_catalog.pg_settings s WHERE s.name = 'default_transaction_read_only' AND s.setting = 'on'"
		" AND s.source IN ('configuration file', 'command line', 'environment variable'))"
		" UNION ALL SELECT 'database' FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) c (setting)"
		" JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database() AND s.setrole = 0"
		" AND c.setting ~* '^default_transaction_read_only=(on|t|tr|tru|true|y|ye|yes|1)$' ORDER BY 1 LIMIT 1");
	char *roles = pgw_health_read_text(
		"SELECT jsonb_agg(DISTINCT a.rolname ORDER BY a.rolname)::text FROM pg_catalog.pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) c (setting)"
		" JOIN pg_catalog.pg_roles a ON a.oid = s.setrole LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase"
		" WHERE (s.setdatabase = 0 OR d.datname = current_database())"
		" AND c.setting ~* '^default_transaction_read_only=(on|t|tr|tru|true|y|ye|yes|1)$'");

	pgw_health_detail(r, "everybody_by", everybody);
	pgw_health_detail_list(r, "roles", roles);
	pgw_health_put(
		r, "read_only",
		RecoveryInProgress() || (everybody == NULL && roles == NULL) ? PGW_HEALTH_OK
		: everybody != NULL                                          ? PGW_HEALTH_ERROR
																	 : PGW_HEALTH_WARNING,
		"default_transaction_read_only is on, so payments are refused with 25006: set it to off for the database or the roles that pay "
		"(ALTER DATABASE, ALTER ROLE, postgresql.conf).");
}

/* What grant_access() has given and is not there any more, and what pgw's owner lacks. */
void
pgw_health_check_grants(PgwHealthReport *r)
{
	char *missing = pgw_health_read_text(
		"WITH own AS MATERIALIZED (SELECT o.object, o.column_name, a.privilege_type, a.grantee FROM pgw.own_objects() o CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) a),"
		" due AS MATERIALIZED (SELECT DISTINCT g.object, g.column_name, g.privilege, r.role::oid AS grantee, r.role, r.level"
		" FROM pgw.access_grid() g JOIN pgw.access_grants r ON r.level = g.level JOIN pg_catalog.pg_roles p ON p.oid = r.role)"
		" SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('grantee', d.role::text, 'level', d.level, 'object', d.object, 'column', d.column_name, 'privilege', d.privilege))"
		" ORDER BY d.role::text, d.level, d.object)::text FROM due d WHERE NOT EXISTS (SELECT FROM own o WHERE o.object = d.object"
		" AND o.column_name IS NOT DISTINCT FROM d.column_name AND o.privilege_type = d.privilege AND o.grantee IN (0, d.grantee))");
	char *owner = pgw_health_read_text(
		"SELECT jsonb_agg(c.relname ORDER BY c.relname)::text FROM pg_catalog.pg_class c"
		" WHERE c.relnamespace = 'pgw'::pg_catalog.regnamespace AND c.relkind IN ('r', 'p')"
		" AND NOT (has_table_privilege(c.relowner, c.oid, 'SELECT') AND has_table_privilege(c.relowner, c.oid, 'INSERT')"
		" AND has_table_privilege(c.relowner, c.oid, 'UPDATE'))");

	pgw_health_detail_list(r, "missing", missing);
	pgw_health_detail_list(r, "owner_lacks", owner);
	pgw_health_put(
		r, "grants",
		owner != NULL     ? PGW_HEALTH_ERROR
		: missing != NULL ? PGW_HEALTH_WARNING
						  : PGW_HEALTH_OK,
		owner != NULL
			? "pgw's owner lacks privileges on its own tables, and nothing can be written: GRANT ALL ON them TO the owner."
			: "Somebody has taken away what pgw.grant_access() had given, and calls of these roles fail with 42501: call pgw.grant_access() for each again, "
			  "or pgw.revoke_access() where it is meant.");
}
