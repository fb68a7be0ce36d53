/*
 * pause_submits.h - who submits faster than the worker can send pauses
 */
#ifndef PGW_CLIENT_API_PAUSE_SUBMITS_H
#define PGW_CLIENT_API_PAUSE_SUBMITS_H

extern void pgw_submit_pause_setting(void); /* _PG_init */

/* One more payment is about to be submitted; before a lock is taken for it. */
extern void pgw_submit_pause(void);

#endif
