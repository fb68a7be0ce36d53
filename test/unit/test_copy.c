/*
 * test_copy.c - is this data directory the one that it was? Each way to come by a copy, and the
 * text of pgw.state
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/files/copy_rules.h"

/* A primary that stands where it stood. */
static PgwCopyStart
at_home(void)
{
	PgwCopyStart s;

	memset(&s, 0, sizeof(s));
	s.found = PGW_FILE_READ;
	s.place = (PgwCopyPlace){.system_identifier = UINT64_C(7312345678901234567),
							 .directory = 100,
							 .file = 200,
							 .born = INT64_C(1700000000123456789)};
	s.state.place = s.place;
	return s;
}

static void
nothing_new(void **state)
{
	PgwCopyStart s = at_home();

	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_NONE);
	s.state.reason = PGW_COPY_BASE_BACKUP; /* an earlier incident is the databases' matter */
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_NONE);
}

static void
each_way_to_a_copy(void **state)
{
	PgwCopyStart s = at_home();

	s.backup_label = true;
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_BASE_BACKUP);
	s.recovery_signal = true;
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_POINT_IN_TIME);
	s = at_home();
	s.recovery_signal = true;
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_POINT_IN_TIME);
	s = at_home();
	s.was_standby = true;
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_STANDBY_ALONE);
	s = at_home();
	s.found = PGW_FILE_ABSENT;
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_NO_STATE);
	s.found = PGW_FILE_UNREADABLE;
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_BAD_STATE);
	s = at_home();
	s.place.system_identifier++;
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_OTHER_CLUSTER);
	s = at_home();
	s.place.directory++; /* cp -a, or moved to another file system */
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_OTHER_DIRECTORY);
	s = at_home();
	s.place.file++; /* an older copy, put back into the same directory */
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_OTHER_DIRECTORY);
	s = at_home();
	s.place.born++; /* the same, and the inode's number was used again */
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_OTHER_DIRECTORY);
}

static void
time_of_birth_may_be_unknown(void **state)
{
	PgwCopyStart s = at_home();

	s.place.born = 0;
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_NONE);
	s = at_home();
	s.state.place.born = 0;
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_NONE);
}

/* Whatever else is there: a standby's promotion is a failover, not a copy. */
static void
a_standby_follows(void **state)
{
	PgwCopyStart s = at_home();

	s.standby_signal = s.recovery_signal = s.backup_label = s.was_standby = true;
	s.place.directory++;
	s.place.file++;
	strcpy(s.place.instance, "b");
	strcpy(s.state.place.instance, "a");
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_NONE);
	s.found = PGW_FILE_ABSENT;
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_NONE);
	s.found = PGW_FILE_UNREADABLE;
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_NONE);
	s.recovery_target = true; /* it shall stop, not follow */
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_POINT_IN_TIME);
}

static void
targets_alone_mean_nothing(void **state)
{
	PgwCopyStart s = at_home();

	s.recovery_target = true; /* left over in the configuration */
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_NONE);
}

static void
instances(void **state)
{
	PgwCopyStart s = at_home();

	strcpy(s.place.instance, "a"); /* set for the first time */
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_NONE);
	strcpy(s.state.place.instance, "a");
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_NONE);
	strcpy(s.place.instance, "b");
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_OTHER_INSTANCE);
	s.place.instance[0] = '\0';
	assert_int_equal(pgw_copy_judge(&s), PGW_COPY_OTHER_INSTANCE);

	assert_true(pgw_instance_valid(""));
	assert_true(pgw_instance_valid("prod-1.example:5432/eu"));
	assert_false(pgw_instance_valid("a b"));
	assert_false(pgw_instance_valid("a\"b"));
	assert_false(pgw_instance_valid("a\n"));
	assert_false(pgw_instance_valid("\xc3\xa4"));
	assert_true(
		pgw_instance_valid("123456789012345678901234567890123456789012345678901234567890123"));
	assert_false(
		pgw_instance_valid("1234567890123456789012345678901234567890123456789012345678901234"));
}

static PgwCopyState
any_state(PgwCopyReason reason, const char *instance)
{
	PgwCopyStart start = at_home();
	PgwCopyState s = start.state;

	s.reason = reason;
	for (int i = 0; i < 16 && reason != PGW_COPY_NONE; i++)
		s.incident[i] = (uint8_t) (i * 17);
	s.since_us = reason != PGW_COPY_NONE ? INT64_C(1700000000000001) : 0;
	strcpy(s.place.instance, instance);
	return s;
}

static void
text_and_back(void **state)
{
	const char *names[] = {"", "a", "!#~",
						   "123456789012345678901234567890123456789012345678901234567890123"};

	for (int reason = PGW_COPY_NONE; reason <= PGW_COPY_OTHER_INSTANCE; reason++)
	{
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		{
			PgwCopyState s = any_state(reason, names[i]);
			PgwCopyState again;
			char text[PGW_STATE_TEXT_MAX];
			size_t n = pgw_copy_state_format(&s, text);

			assert_int_equal(n, strlen(text));
			assert_true(n < PGW_STATE_TEXT_MAX - 1);
			assert_true(pgw_copy_state_parse(text, &again));
			assert_memory_equal(&s, &again, sizeof(s));
		}
	}
	for (int reason = PGW_COPY_NONE; reason <= PGW_COPY_OTHER_INSTANCE; reason++)
		assert_true(strlen(pgw_copy_reason_text(reason)) > 0 &&
					strlen(pgw_copy_reason_name(reason)) < 32);
}

/* The largest numbers fit, too. */
static void
largest(void **state)
{
	PgwCopyState s = any_state(PGW_COPY_STANDBY_ALONE,
							   "123456789012345678901234567890123456789012345678901234567890123");
	PgwCopyState again;
	char text[PGW_STATE_TEXT_MAX];

	s.place.system_identifier = s.place.directory = s.place.file = UINT64_MAX;
	s.place.born = s.since_us = INT64_MIN;
	assert_true(pgw_copy_state_format(&s, text) < PGW_STATE_TEXT_MAX - 1);
	assert_true(pgw_copy_state_parse(text, &again));
	assert_memory_equal(&s, &again, sizeof(s));
}

static void
torn_or_edited(void **state)
{
	PgwCopyState s = any_state(PGW_COPY_BASE_BACKUP, "prod");
	PgwCopyState out;
	char text[PGW_STATE_TEXT_MAX];
	char bad[PGW_STATE_TEXT_MAX + 1];
	size_t n = pgw_copy_state_format(&s, text);

	for (size_t i = 0; i < n; i++)
	{
		memcpy(bad, text, i);
		bad[i] = '\0';
		assert_false(pgw_copy_state_parse(bad, &out));
		memcpy(bad, text, n + 1);
		memmove(bad + i + 1, text + i, n - i + 1);
		bad[i] = ' '; /* one blank more, anywhere */
		assert_false(pgw_copy_state_parse(bad, &out));
	}
	memcpy(bad, text, n);
	strcpy(bad + n, "x");
	assert_false(pgw_copy_state_parse(bad, &out));
	assert_false(pgw_copy_state_parse("", &out));
	assert_false(pgw_copy_state_parse("pgw state 2\n", &out));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_new),
		cmocka_unit_test(each_way_to_a_copy),
		cmocka_unit_test(time_of_birth_may_be_unknown),
		cmocka_unit_test(a_standby_follows),
		cmocka_unit_test(targets_alone_mean_nothing),
		cmocka_unit_test(instances),
		cmocka_unit_test(text_and_back),
		cmocka_unit_test(largest),
		cmocka_unit_test(torn_or_edited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
