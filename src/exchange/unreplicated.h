/*
 * unreplicated.h - what this server shows as committed, and its standbys may not have
 */
#ifndef PGW_EXCHANGE_UNREPLICATED_H
#define PGW_EXCHANGE_UNREPLICATED_H

#include "postgres.h"
#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

/* pgw_shared was made. */
extern void pgw_unreplicated_attach(void);

/* The server has recovered: what was in its log then may be seen, whoever waited for it. */
extern void pgw_unreplicated_begin(void);

/* A commit whose record ends there is visible now, whether or not the standbys have it. */
extern void pgw_unreplicated_note(XLogRecPtr commit_end);

/*
 * Wait until the standbys have all that this session may see as committed; false: they have it not
 * by the deadline.  At once where none are waited for, and on a standby.  Errors: the session's
 * being cancelled.
 */
extern bool pgw_wait_until_replicated(TimestampTz deadline);

#endif
