/*
 * cmocka_names.h - a name that only cmocka 2 has, where the one of cmocka 1 is deprecated
 */
#ifndef CMOCKA_NAMES_H
#define CMOCKA_NAMES_H

#ifndef assert_int_in_range
#define assert_int_in_range(value, low, high) assert_in_range(value, low, high)
#endif

#endif
