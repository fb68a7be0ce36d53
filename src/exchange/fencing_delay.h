/*
 * fencing_delay.h - while it is not known that this server is still the one that pays, nothing new
 * leaves for a bank
 */
#ifndef PGW_EXCHANGE_FENCING_DELAY_H
#define PGW_EXCHANGE_FENCING_DELAY_H

#include "postgres.h"
#include "access/xlogdefs.h"

extern void pgw_fencing_init(void);

/* pgw_shared was made: what stands there is begun, or goes on from before a crash. */
extern void pgw_fencing_attach(void);

/* Do commits that are flushed wait for standbys, by the settings as this process knows them? */
extern bool pgw_waits_for_standbys(void);

/* A worker's, before it sends and whenever it has read its settings: are standbys waited for? */
extern void pgw_fencing_look(void);

/*
 * For how many milliseconds nothing is sent yet; 0: there is no such delay now.  Of the whole
 * server, for any of its processes.
 */
extern long pgw_fencing_ms_left(void);

/*
 * Up to where the log is on the disks of those that synchronous_standby_names, as this process
 * knows it, asks for; PG_UINT64_MAX: it asks for none.  A commit that was waited for may be beyond
 * it: a wait ends also when the names are taken away.
 */
extern XLogRecPtr pgw_replicated_up_to(void);

/* The same, also where this session's synchronous_commit lets its own commits not wait for them. */
extern XLogRecPtr pgw_at_standbys(void);

#endif
