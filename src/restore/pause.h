/*
 * pause.h - whether the worker may begin anything new
 */
#ifndef PGW_RESTORE_PAUSE_H
#define PGW_RESTORE_PAUSE_H

#include "postgres.h"

#include "exchange/why_paused.h"

extern void pgw_pause_init(void); /* _PG_init: the setting */

/*
 * Look again. In a transaction: after a scan, in the same one, so that nothing is worked on which
 * came with a restore.
 */
extern void pgw_pause_check(void);
/* The same when something may have changed, by nothing that is remembered. */
extern void pgw_pause_check_anew(void);

/*
 * NONE: go on.  DRAINING: attempts that are under way go on, but no request is taken and no
 * submitted charge is sent.  Otherwise no request is taken and no attempt begun; results of calls
 * that are out are written.
 */
extern PgwPause pgw_pause(void);

/* Does the worker go on with attempts that are under way? */
extern bool pgw_pause_works(void);

/* Does it only finish what is under way, and begin nothing new? */
extern bool pgw_pause_drains(void);

/* Log a change and tell the backends; outside of transactions. */
extern void pgw_pause_tell(void);

#endif
