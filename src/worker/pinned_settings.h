/*
 * pinned_settings.h - settings that the worker has, whatever ALTER DATABASE or postgresql.conf say
 */
#ifndef PGW_WORKER_PINNED_SETTINGS_H
#define PGW_WORKER_PINNED_SETTINGS_H

/* Once, when the worker is connected to its database; a pinned value follows no reload. */
extern void pgw_pin_settings(void);

/* After that, for a process whose statements read many rows at a time: all kinds of plans. */
extern void pgw_pin_for_queries(const char *application_name);

#endif
