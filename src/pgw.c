/*
 * pgw.c - the module's entry: one init call per part
 *
 * Owns nothing.  Order that matters: prefixes are reserved last, when every setting is defined.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "attempt/compensation.h"
#include "attempt/give_back_on_rollback.h"
#include "bank/bank_config.h"
#include "bank/call_permission.h"
#include "base/clock.h"
#include "base/schedule.h"
#include "card_guard/card_literals.h"
#include "card_guard/card_refusals.h"
#include "card_guard/log_redaction.h"
#include "client_api/calls_in_one_statement.h"
#include "client_api/pay_common.h"
#include "client_api/pause_submits.h"
#include "ddl/drop_guard.h"
#include "ddl/utility_hook.h"
#include "exchange/bank_trial.h"
#include "exchange/exchange.h"
#include "exchange/fencing_delay.h"
#include "launcher/launcher.h"
#include "observe/alerts.h"
#include "observe/metrics.h"
#include "operator_api/resolve_review.h"
#include "quota/limit_submitted.h"
#include "restore/copied_cluster.h"
#include "restore/pause.h"
#include "shard/shard_name.h"
#include "store/forget_notifications.h"
#include "webhook/sender.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	/* pg_upgrade: no worker, no hooks; the tables are carried over as they are. */
	if (IsBinaryUpgrade)
		return;

	pgw_exchange_init();
	pgw_fencing_init();
	pgw_trial_init();
	pgw_utility_init();
	pgw_launcher_init();
	pgw_worker_init();
	pgw_pause_init();
	pgw_copy_init();
	pgw_shard_name_init();
	pgw_drop_init();
	pgw_config_init();
	pgw_clock_init();
	pgw_schedule_init();
	pgw_bank_health_init();
	pgw_alerts_init();
	pgw_forget_notifications_init();
	pgw_step_rolled_back_init();
	pgw_step_compensation_init();
	pgw_quota_init();
	pgw_metrics_init();
	pgw_cards_init();
	pgw_review_init();
	pgw_statement_calls_init();
	pgw_literals_init();
	pgw_log_redaction_init();
	pgw_pay_init();
	pgw_submit_pause_setting();
	pgw_webhooks_init();

	MarkGUCPrefixReserved("pgw");
}
