"""Pay at the shard that has the request's slot, with psycopg 3: python3 route_psycopg.py ID...

SHARDS in the environment is the map, for each run of slots its first one and how its shard is reached: {"0": "host=…", "512": "host=…"}.
"""
import hashlib
import json
import os
import re
import sys
import psycopg

SHARDS = {int(first): dsn for first, dsn in json.loads(os.environ['SHARDS']).items()}


def slot_of(request_id):
    m = re.fullmatch(r's(0|[1-9]\d{0,3})\..+', request_id, re.ASCII | re.DOTALL)
    if m and int(m[1]) < 1024:
        return int(m[1])
    return int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:2], 'big') >> 6


def slot_of_id(payment_id):
    return payment_id.int >> 52 & 1023


def shard_of(slot):
    return psycopg.connect(SHARDS[max(first for first in SHARDS if first <= slot)], autocommit=True)


# PW421 in either call: the map is old. Read it again, and make the same call with the same id; nothing was done.
for request_id in sys.argv[1:]:
    with shard_of(slot_of(request_id)) as conn:
        paid, status = conn.execute("SELECT payment_id, status FROM pgw.process_payment(%s, 4990, 'EUR', 'tok_ok')", (request_id,)).fetchone()
    with shard_of(slot_of_id(paid)) as conn:
        refund = conn.execute('SELECT transaction_status FROM pgw.refund_payment(%s, %s, 990)', (paid, f'refund of {request_id}')).fetchone()[0]
    print(f'slot {slot_of(request_id)}: {status}, refund {refund}')
