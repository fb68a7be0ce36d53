/*
 * test_shard_slot.c - the slot of a request: vectors that routers in other languages are held
 * against, which names count and which do not; the slot in an id
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/base/shard_slot.h"
#include "core/base/uuid7.h"

typedef struct Vector
{
	const char *id;
	int slot;
} Vector;

static int
slot_of(const char *id)
{
	return pgw_shard_slot_of_request(id, strlen(id));
}

/* Never to be changed: payments lie where these say.  Computed by Python's hashlib. */
static void
computed(void **unused)
{
	static const Vector vectors[] = {
		{"order-4711", 92},
		{"a", 810},
		{"Bestellung 7 \xc3\xa9", 524},
		/* names that are none */
		{"s1024.x", 1014},
		{"s10230.x", 373},
		{"s99999.x", 373},
		{"s01.x", 955},
		{"s17.", 801},
		{"s17", 736},
		{"S17.x", 725},
		{" s17.x", 759},
		{"s.x", 13},
		{"s-1.x", 360},
	};

	(void) unused;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
	{
		assert_int_equal(pgw_shard_slot_named(vectors[i].id, strlen(vectors[i].id)), -1);
		assert_int_equal(slot_of(vectors[i].id), vectors[i].slot);
	}
}

static void
named(void **unused)
{
	static const Vector vectors[] = {
		{"s0.x", 0}, {"s17.order-4711", 17}, {"s17..", 17}, {"s1023.s4.x", 1023}, {"s999. ", 999}};

	(void) unused;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
	{
		assert_int_equal(pgw_shard_slot_named(vectors[i].id, strlen(vectors[i].id)),
						 vectors[i].slot);
		assert_int_equal(slot_of(vectors[i].id), vectors[i].slot);
	}
	/* no byte behind the end is looked at */
	assert_int_equal(pgw_shard_slot_named("s17.x", 4), -1);
	assert_int_equal(pgw_shard_slot_named("s17.x", 3), -1);
	assert_int_equal(pgw_shard_slot_named("s17.x", 1), -1);
	assert_int_equal(pgw_shard_slot_named("", 0), -1);
}

/* Each slot gets its share, or one shard would have another's load. */
static void
spread(void **unused)
{
	int n[PGW_SHARD_SLOTS] = {0};
	char id[32];

	(void) unused;
	for (int i = 0; i < 1024 * 100; i++)
	{
		int slot;

		snprintf(id, sizeof(id), "order-%d", i);
		slot = slot_of(id);
		assert_in_range(slot, 0, PGW_SHARD_SLOTS - 1);
		n[slot]++;
	}
	/* 100 on average, deviation 10: six of them */
	for (int i = 0; i < PGW_SHARD_SLOTS; i++)
		assert_in_range(n[i], 40, 160);
}

static void
in_ids(void **unused)
{
	PgwUuid7Gen gen = {0};
	uint8_t last[16] = {0};

	(void) unused;
	for (int slot = 0; slot < PGW_SHARD_SLOTS; slot++)
	{
		uint8_t rnd[10];
		uint8_t before[16];
		uint8_t id[16];

		memset(rnd, slot & 1 ? 0xFF : 0x5A, sizeof(rnd));
		pgw_uuid7_make(&gen, UINT64_C(1800000000000), rnd, id);
		memcpy(before, id, 16);
		pgw_shard_slot_into_id(slot, id);
		assert_int_equal(pgw_shard_slot_of_id(id), slot);
		/* time, version, counter, variant and 52 random bits stay */
		assert_memory_equal(id, before, 8);
		assert_int_equal(id[8] >> 6, 2);
		assert_int_equal(id[9] & 0x0F, before[9] & 0x0F);
		assert_memory_equal(id + 10, before + 10, 6);
		assert_true(memcmp(last, id, 16) < 0);
		memcpy(last, id, 16);
	}
}

static void
in_a_known_id(void **unused)
{
	uint8_t id[16];
	char text[37];

	(void) unused;
	assert_true(pgw_uuid_from_text("017f22e2-79b0-7cc3-98c4-dc0c0c07398f", id));
	assert_int_equal(pgw_shard_slot_of_id(id), 0x18C);
	pgw_shard_slot_into_id(1023, id);
	pgw_uuid_to_text(id, text);
	assert_string_equal(text, "017f22e2-79b0-7cc3-bff4-dc0c0c07398f");
	pgw_shard_slot_into_id(17, id);
	pgw_uuid_to_text(id, text);
	assert_string_equal(text, "017f22e2-79b0-7cc3-8114-dc0c0c07398f");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(computed), cmocka_unit_test(named),         cmocka_unit_test(spread),
		cmocka_unit_test(in_ids),   cmocka_unit_test(in_a_known_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
