/*
 * utility_hook.h - the utility statements that pgw has to know about
 */
#ifndef PGW_DDL_UTILITY_HOOK_H
#define PGW_DDL_UTILITY_HOOK_H

/* _PG_init, after pgw_exchange_init(): the hook while preloading, else nothing */
extern void pgw_utility_init(void);

#endif
