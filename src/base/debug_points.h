/*
 * debug_points.h - points at which a test build can be stopped, failed or killed; nothing in any
 * other build
 *
 * With -DPGW_DEBUG_POINTS and the environment variable PGW_DEBUG_DIR naming a folder: a process
 * that reaches PGW_DEBUG_POINT("x") looks for the file x there.  Its first word says what to do:
 * stop (until the file x.hit is gone), error, kill.  See test/lib/PgwTest.pm.
 *
 * PGW_DEBUG_FLAG("x") is a fault that stays: true as long as the file x.flag is there.
 */
#ifndef PGW_BASE_DEBUG_POINTS_H
#define PGW_BASE_DEBUG_POINTS_H

#ifdef PGW_DEBUG_POINTS
extern void pgw_debug_point(const char *name);
extern bool pgw_debug_flag(const char *name);
#define PGW_DEBUG_POINT(name) pgw_debug_point(name)
#define PGW_DEBUG_FLAG(name) pgw_debug_flag(name)
#else
#define PGW_DEBUG_POINT(name) ((void) 0)
#define PGW_DEBUG_FLAG(name) false
#endif

#endif
