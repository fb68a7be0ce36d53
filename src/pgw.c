/*
 * pgw.c - the module's entry: one init call per part
 *
 * Owns nothing.  Order that matters: the exchange requests shared memory and sets the hooks that launcher and utility build on; prefixes are
 * reserved last, when every setting is defined.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "compat.h"
#include "infra/alerts.h"
#include "infra/bank_health.h"
#include "infra/calls.h"
#include "infra/clock.h"
#include "infra/config.h"
#include "infra/copy.h"
#include "infra/drop.h"
#include "infra/exchange.h"
#include "infra/launcher.h"
#include "infra/metrics.h"
#include "infra/pause.h"
#include "infra/quota.h"
#include "infra/schedule.h"
#include "infra/utility.h"
#include "infra/worker.h"
#include "interface/interface.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	/* pg_upgrade: no worker, no hooks; the tables are carried over as they are. */
	if (IsBinaryUpgrade)
		return;

	pgw_exchange_init();
	pgw_utility_init();
	pgw_launcher_init();
	pgw_worker_init();
	pgw_pause_init();
	pgw_copy_init();
	pgw_drop_init();
	pgw_config_init();
	pgw_clock_init();
	pgw_schedule_init();
	pgw_bank_health_init();
	pgw_alerts_init();
	pgw_compensate_init();
	pgw_quota_init();
	pgw_metrics_init();
	pgw_interface_init();

	MarkGUCPrefixReserved("pgw");
}
