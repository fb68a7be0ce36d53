/*
 * card_loggers.c - who in this server would write card data somewhere
 *
 * Owns: the list of settings under which calls with a card are refused, that of libraries known to
 * keep queries or parameters, and what was in the hooks when we put ours there. docs/security.md
 * has the table "Settings that could write a card", which test/tap/286_card_settings.pl makes by
 * setting each and searching the logs. A setting is refused where it writes what was bound, by
 * itself and whatever the caller does; it is warned of (pgw.health()) where it does so only in some
 * error, which log_redaction.c cuts, or where we can only guess.
 */
#include "postgres.h"

#include <dlfcn.h>
#include <link.h>

#include "commands/user.h"
#include "catalog/objectaccess.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "base/json_writer.h"
#include "card_guard/card_loggers.h"

#define MAX_BENEATH 16

static const char *const lengths =
	"Set log_parameter_max_length = 0 (for this role or database, or in postgresql.conf), so that bound parameters stay out of the log.";

/* ---------------------------------------------------------------- refused */

static bool
is_on(const char *name)
{
	const char *value = GetConfigOption(name, true, false);
	bool on = false;

	return value != NULL && parse_bool(value, &on) && on;
}

/* The text of a setting that may not exist. */
static const char *
text_of(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return value != NULL ? value : "";
}

const char *
pgw_loggers_refused(const char **hint)
{
	const char *auto_explain;

	*hint = lengths;
	if (log_parameter_max_length != 0)
	{
		if (log_statement == LOGSTMT_ALL || log_statement == LOGSTMT_MOD)
			return "log_statement";
		if (log_min_duration_statement >= 0)
			return "log_min_duration_statement";
		if (log_min_duration_sample >= 0 && log_statement_sample_rate > 0)
			return "log_min_duration_sample";
		if (log_xact_sample_rate > 0)
			return "log_transaction_sample_rate";
	}
	if (log_parameter_max_length_on_error != 0)
	{
		*hint = "Set log_parameter_max_length_on_error = 0.";
		return "log_parameter_max_length_on_error";
	}

	/* Trees hold the parameters as constants, whatever log_parameter_max_length says. */
	if (Debug_print_parse || Debug_print_rewritten || Debug_print_plan)
	{
		*hint = "Set debug_print_parse, debug_print_rewritten and debug_print_plan to off.";
		return Debug_print_plan    ? "debug_print_plan"
			   : Debug_print_parse ? "debug_print_parse"
								   : "debug_print_rewritten";
	}
	auto_explain = GetConfigOption("auto_explain.log_min_duration", true, false);
	if (auto_explain != NULL && atoi(auto_explain) >= 0)
	{
		*hint =
			"Set auto_explain.log_min_duration = -1 for this role or database: plans show parameters as constants.";
		return "auto_explain.log_min_duration";
	}
	if (is_on("pgaudit.log_parameter") &&
		(pg_strcasecmp(text_of("pgaudit.log"), "none") != 0 || text_of("pgaudit.role")[0] != '\0'))
	{
		*hint = "Set pgaudit.log_parameter = off for this role or database.";
		return "pgaudit.log_parameter";
	}
	if (is_on("plpgsql_check.tracer") && is_on("plpgsql_check.enable_tracer"))
	{
		*hint =
			"Set plpgsql_check.tracer = off: it shows the arguments and variables of functions.";
		return "plpgsql_check.tracer";
	}
	return NULL;
}

/* ---------------------------------------------------------------- warned of: hooks and libraries
 */

static struct
{
	const char *hook;
	void *function;
} beneath[MAX_BENEATH];
static int n_beneath = 0;

void
pgw_loggers_beneath(const char *hook, void *function)
{
	Assert(n_beneath < MAX_BENEATH);
	if (n_beneath < MAX_BENEATH)
	{
		beneath[n_beneath].hook = hook;
		beneath[n_beneath++].function = function;
	}
}

/* Of a path: the name without folder and ending. */
static void
library_name(const char *path, char *name, size_t size)
{
	const char *slash = strrchr(path, '/');
	char *dot;

	strlcpy(name, slash != NULL ? slash + 1 : path, size);
	if ((dot = strchr(name, '.')) != NULL)
		*dot = '\0';
}

/*
 * Have hooks, and write nothing of queries with their parameters; or have a setting of their own
 * above.
 */
static bool
is_harmless(const char *library)
{
	static const char *const names[] = {
		"pgw",     "postgres",      "plpgsql",        "pg_stat_statements", "auto_explain",
		"pgaudit", "plpgsql_check", "pg_stat_kcache", "timescaledb",        "pg_cron",
		"sepgsql", "pg_prewarm",    "auth_delay",     "passwordcheck"};

	for (size_t i = 0; i < lengthof(names); i++)
	{
		if (strcmp(library, names[i]) == 0)
			return true;
	}
	return strncmp(library, "timescaledb-", 12) == 0;
}

/* Libraries that keep, show or send what queries hold. */
static bool
is_recorder(const char *library)
{
	static const char *const names[] = {"pg_store_plans", "pg_show_plans",   "pg_qualstats",
										"pg_tracing",     "pg_stat_monitor", "plugin_debugger",
										"plprofiler",     "pg_query_state",  "pgsentinel",
										"pg_stat_plans",  "set_user"};

	for (size_t i = 0; i < lengthof(names); i++)
	{
		if (strcmp(library, names[i]) == 0)
			return true;
	}
	return false;
}

static void
add(PgwJsonWriter *list, const char *text)
{
	PgwJsonWriter json;

	pgw_json_begin(&json);
	pgw_json_put_string(&json, NULL, text);
	if (strstr(list->text.data, json.text.data) == NULL)
		pgw_json_put_raw(list, NULL, json.text.data);
	pfree(json.text.data);
}

static char *
finished(const PgwJsonWriter *list)
{
	return list->text.len > 0 ? pgw_json_array_of(list->text.data) : NULL;
}

static void
look_at_hook(PgwJsonWriter *list, const char *hook, void *function)
{
	Dl_info info;
	char name[NAMEDATALEN];

	if (function == NULL)
		return;
	if (dladdr(function, &info) == 0 || info.dli_fname == NULL)
		strlcpy(name, "unknown", sizeof(name));
	else
		library_name(info.dli_fname, name, sizeof(name));
	if (!is_harmless(name))
		add(list, psprintf("%s: %s", hook, name));
}

char *
pgw_loggers_hooks(void)
{
	PgwJsonWriter list;

	/* What PL/pgSQL calls for each function and statement: debuggers, profilers, checkers. */
	void **plugin = find_rendezvous_variable("PLpgSQL_plugin");

	pgw_json_begin(&list);
	look_at_hook(&list, "post_parse_analyze", (void *) post_parse_analyze_hook);
	look_at_hook(&list, "planner", (void *) planner_hook);
	look_at_hook(&list, "ExecutorStart", (void *) ExecutorStart_hook);
	look_at_hook(&list, "ExecutorRun", (void *) ExecutorRun_hook);
	look_at_hook(&list, "ExecutorFinish", (void *) ExecutorFinish_hook);
	look_at_hook(&list, "ExecutorEnd", (void *) ExecutorEnd_hook);
	look_at_hook(&list, "ProcessUtility", (void *) ProcessUtility_hook);
	look_at_hook(&list, "emit_log", (void *) emit_log_hook);
	look_at_hook(&list, "fmgr", (void *) fmgr_hook);
	for (int i = 0; i < n_beneath; i++)
		look_at_hook(&list, beneath[i].hook, beneath[i].function);
	if (*plugin != NULL)
		look_at_hook(&list, "PLpgSQL_plugin", *plugin);
	return finished(&list);
}

static int
look_at_library(struct dl_phdr_info *info, size_t size, void *list)
{
	char name[NAMEDATALEN];

	library_name(info->dlpi_name, name, sizeof(name));
	if (is_recorder(name))
		add(list, name);
	return 0;
}

char *
pgw_loggers_libraries(void)
{
	PgwJsonWriter list;

	pgw_json_begin(&list);
	(void) dl_iterate_phdr(look_at_library, &list);
	return finished(&list);
}

/* ---------------------------------------------------------------- warned of: settings and
 * functions */

static char *
read_list(const char *sql)
{
	char *list;

	if (SPI_execute(sql, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "what could log card data could not be read");
	list = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	SPI_freetuptable(SPI_tuptable);
	return list;
}

/*
 * Settings of loaded libraries whose name says that they write parameters, values or plans; and the
 * one that PL/pgSQL has when it gets loaded.
 */
char *
pgw_loggers_settings(void)
{
	return read_list(
		"SELECT jsonb_agg(n.name ORDER BY n.name)::text FROM (SELECT s.name FROM pg_catalog.pg_settings s"
		" WHERE s.name LIKE '%.%' AND s.name !~ '^(pgw|auto_explain|pgaudit|plpgsql_check)\\.' AND lower(s.setting) NOT IN ('off', 'false', 'no', '0', '-1', 'none', '')"
		" AND s.name ~* '(log|trac|audit|print|record|captur|track|export|save|store|debug).*(param|bind|const|arg|value|quer|statement|plan)'"
		" AND s.name NOT LIKE 'pg_stat_statements.%'"
		" UNION SELECT 'plpgsql.print_strict_params' WHERE pg_catalog.current_setting('plpgsql.print_strict_params', true) IN ('on', 'true', 'yes', '1')) n");
}

char *
pgw_loggers_functions(void)
{
	return read_list(
		"SELECT jsonb_agg(p.oid::pg_catalog.regprocedure::text ORDER BY 1)::text FROM pg_catalog.pg_proc p"
		" WHERE p.prosrc ~* 'process_payment' AND p.prosrc ~* '#\\s*print_strict_params\\s+on'");
}
