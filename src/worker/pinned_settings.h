/*
 * pinned_settings.h - settings that the worker has, whatever ALTER DATABASE or postgresql.conf say
 */
#ifndef PGW_WORKER_PINNED_SETTINGS_H
#define PGW_WORKER_PINNED_SETTINGS_H

/* Once, when the worker is connected to its database; a pinned value follows no reload. */
extern void pgw_pin_settings(void);

#endif
