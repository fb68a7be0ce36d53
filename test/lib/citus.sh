# citus.sh - the nodes of test/try-citus.sh, its customers, and the bank's ledger against the tables of all nodes.  Sourced.

stop_all()
{
	status=$?
	if [ -n "$KEEP" ] && [ $status -eq 0 ]; then
		say "Left running: psql -h 127.0.0.1 -p $(port coordinator) -U postgres shop.  Stop the bank ($BANK_PID) and the servers of $PGW_WORK/data, remove $PGW_WORK."
		return
	fi
	rm -f "$PGW_WORK/shopping"
	[ -z "${BANK_PID:-}" ] || kill "$BANK_PID" 2>/dev/null || :
	pgw_stop_servers
	# customers that still try go on until they hear that nobody sells
	touch "$PGW_WORK/closed"
	wait
}
trap stop_all EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
is() # got, wanted, what
{
	[ "$1" = "$2" ] || fail "$3: '$1' instead of '$2'"
	echo "   $3: ${1:-none}"
}

# ---------------------------------------------------------------- nodes

declare -A number=([coordinator]=0 [w1]=1 [w2]=2 [w3]=3)
port() { echo $((PORT + ${number[$1]})); }
folder() { echo "$PGW_WORK/data/$1"; }
at() { psql -X -h 127.0.0.1 -p "$(port "$1")" -U postgres -d shop -v VERBOSITY=verbose "${@:2}"; } # node, options of psql...
sql() { at "$1" -q -A -t -v ON_ERROR_STOP=1 -c "$2"; } # node, statement
becomes() # node, condition: wait until it holds, three minutes at most
{
	deadline=$((SECONDS + 180))
	until [ "$(sql "$1" "SELECT $2" 2>"$PGW_WORK/null")" = t ]; do
		[ $SECONDS -lt $deadline ] || fail "not in three minutes at $1: $2"
	done
}
# Citus wants to be the first library, and pgw to be the last one.  In folders other than the system's Citus does not find its own version.
start_node() { PGW_SHARD_NAME=$1 pg_ctl -D "$(folder "$1")" -o "-p $(port "$1")" -l "$PGW_WORK/$1.node.log" -w -t 120 start >"$PGW_WORK/start.log" 2>&1 || fail "$(cat "$PGW_WORK/start.log")"; } # node
make_node() # name, what is preloaded: Citus and pgw
{
	preload=${2:-citus,pgw}
	initdb -D "$(folder "$1")" -E UTF8 -A trust -U postgres --no-sync >"$PGW_WORK/initdb.log"
	{
		pgw_server_conf
		cat <<-CONF
			shared_preload_libraries = '$preload'
			listen_addresses = '127.0.0.1'
			unix_socket_directories = ''
			max_worker_processes = 32
			max_prepared_transactions = 100
			wal_level = logical
			shared_buffers = 32MB
			log_parameter_max_length = 0
			pgw.compensation_delay = '200ms'
			pgw.bank_shards = 2
		CONF
		[ "$preload" = pgw ] || cat <<-CONF
			citus.node_conninfo = 'sslmode=disable'
			citus.enable_version_checks = off
			citus.recover_2pc_interval = '1s'
		CONF
	} >>"$(folder "$1")/postgresql.conf"
	start_node "$1"
	createdb -h 127.0.0.1 -p "$(port "$1")" -U postgres shop
	[ "$preload" = pgw ] || sql "$1" 'CREATE EXTENSION citus'
}
kill_node() # node: with all of its processes, at once
{
	postmaster=$(head -1 "$(folder "$1")/postmaster.pid")
	kill -STOP "$postmaster"
	kill -9 $(ps -o pid= --ppid "$postmaster") "$postmaster"
	while kill -0 "$postmaster" 2>/dev/null; do :; done
}
make_clone() # of a node, name
{
	pg_basebackup -h 127.0.0.1 -p "$(port "$1")" -U postgres -D "$(folder "$2")" -c fast -R -X stream --no-sync
	start_node "$2"
	becomes "$1" "count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'"
}

# ---------------------------------------------------------------- calls

as_router() { at "$1" -q -A -t -v ON_ERROR_STOP=1 -U router -c "$2"; } # node, statement
call() { echo "shop.pay($1, 's$1.$2', 'a book', 100, 'EUR', 'tok_ok')"; } # slot, own part of the id
pay() { as_router "$1" "SELECT status FROM $(call "$2" "$3")"; } # node, slot, own part of the id
asked() { perl -MHTTP::Tiny -MJSON::PP -e 'print decode_json(HTTP::Tiny->new->get("http://127.0.0.1:$ARGV[0]/ledger")->{content})->{requests}' "$BANK_PORT"; }
now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }
slot_of_node() # node: the first of its slots
{
	sql "$1" "SELECT min(slot) FROM pgw.shard_slots WHERE shard = '$1' AND state = 'home'"
}
misplaced() { sql coordinator 'SELECT * FROM shop.misplaced_slots()'; }
made() # node where it comes in, what, statement for a slot of w1
{
	count='SELECT count(*) FROM pgw.payments'
	was=$(sql w1 "$count")
	at "$1" -q -A -t -v ON_ERROR_STOP=1 -c "$3" >"$PGW_WORK/made.log" 2>&1 || fail "$2: $(cat "$PGW_WORK/made.log")"
	is "$(sql w1 "$count")" $((was + 1)) "$2: payments at w1 now"
}
refused() # node where it comes in, what, statement
{
	out=$(at "$1" -q -A -t -v ON_ERROR_STOP=1 -c "$3" 2>&1) && fail "$2: it was made: $out"
	[[ $out == *'ERROR:  PW421'* ]] || fail "$2: $out"
	echo "   $2: PW421"
}
given_back() # own part of the ids, of slots A and B
{
	becomes w1 "bool_and(status = 'Refunded') FROM pgw.payment_transactions WHERE client_request_id = 's$A.$1'"
	becomes w2 "bool_and(status = 'Refunded') FROM pgw.payment_transactions WHERE client_request_id = 's$B.$1'"
	echo "   what was paid for '$1' is given back at both"
}

# ---------------------------------------------------------------- customers

# As an application should: until there is an answer the same pair is sent again, with the same ids.
customer() # number, of which round
{
	n=0
	while [ -e "$PGW_WORK/shopping" ]; do
		n=$((n + 1))
		if [ "$1" -le 4 ]; then
			first="$((RANDOM % 1024)) $2-$1-$n-a" second="$((RANDOM % 1024)) $2-$1-$n-b"
		else
			a=$((RANDOM % 100)) b=$((RANDOM % 100))
			first="$((a * 37 % 1024)) $2-same-$a" second="$((b * 37 % 1024)) $2-same-$b"
		fi
		until at coordinator -q -A -t -v ON_ERROR_STOP=1 -U router -c BEGIN -c "SELECT status FROM $(call $first)" -c "SELECT status FROM $(call $second)" -c COMMIT; do
			[ ! -e "$PGW_WORK/closed" ] || return 0
		done
		echo done
	done
}
customers_come()
{
	round=$((${round:-0} + 1))
	touch "$PGW_WORK/shopping"
	customers=()
	for c in 1 2 3 4 5 6; do
		customer "$c" "r$round" >"$PGW_WORK/customer-$round-$c" 2>"$PGW_WORK/customer-$round-$c.log" &
		customers+=($!)
	done
}
pairs() { cat "$PGW_WORK"/customer-"$round"-? | grep -c done || :; }
more_orders() # number of pairs to wait for
{
	goal=$(($(pairs) + $1))
	deadline=$((SECONDS + 180))
	until [ "$(pairs)" -ge $goal ]; do
		[ $SECONDS -lt $deadline ] || fail "no $1 pairs of orders in three minutes: $(tail -n 3 "$PGW_WORK"/customer-"$round"-*.log)"
		read -r -t 0.05 _ <>"$PGW_WORK/wake" || :
	done
}
customers_go()
{
	rm "$PGW_WORK/shopping"
	wait "${customers[@]}"
	echo "   $(pairs) pairs of orders; what was sent again: $(cat "$PGW_WORK"/customer-"$round"-?.log | grep -oE '(ERROR:  [0-9A-Z]{5}|connection to server|server closed)' | sort | uniq -c |
		awk '{ n = $1; $1 = ""; printf "%s%s (%d)", sep, $0, n; sep = "," }')"
}

# ---------------------------------------------------------------- the end

# At rest: charges of the ledger that stand, payments of all nodes of slots that are at home there, and orders are the same.
reconcile() # nodes
{
	: >"$PGW_WORK/attempts"
	: >"$PGW_WORK/ids"
	for node in "$@"; do becomes "$node" 'count(*) = 0 FROM pg_prepared_xacts'; done
	for node in "$@"; do
		becomes "$node" "count(*) = 0 FROM pgw.payment_transactions WHERE pgw.slot_is_worked(transaction_id) AND status NOT IN ('Completed', 'Failed', 'Refunded')"
		is "$(sql "$node" 'SELECT c FROM pgw.check_consistency() c')" '' "check_consistency() at $node"
		at "$node" -q -A -t -F ' ' -c "SELECT replace(transaction_id::text, '-', ''), client_request_id FROM pgw.payments
			WHERE pgw.slot_is_worked(payment_id) AND status IN ('captured', 'partially_refunded')" >"$PGW_WORK/rows"
		cut -d' ' -f1 "$PGW_WORK/rows" >>"$PGW_WORK/attempts"
		cut -d' ' -f2 "$PGW_WORK/rows" >>"$PGW_WORK/ids"
	done
	sql coordinator 'SELECT request_id FROM shop.orders' | sort >"$PGW_WORK/orders"
	perl -MHTTP::Tiny -MJSON::PP -e 'for my $c (@{decode_json(HTTP::Tiny->new->get("http://127.0.0.1:$ARGV[0]/ledger")->{content})->{charges}}) {
		print "$c->{reference}\n" if $c->{status} eq "approved" && !$c->{voided} && !($c->{captured} > 0 && $c->{refunded} == $c->{captured}) }' "$BANK_PORT" | sort >"$PGW_WORK/charges"
	is "$(sort "$PGW_WORK/attempts" | comm -3 - "$PGW_WORK/charges")" '' 'charges without a payment, or the other way round'
	is "$(sort "$PGW_WORK/ids" | comm -3 - "$PGW_WORK/orders")" '' 'payments without an order, or the other way round'
	is "$(sort "$PGW_WORK/ids" | uniq -d)" '' 'ids that were paid twice'
	is "$(sed -nE 's/^s[0-9]+\.(r[0-9-]*)-[ab]$/\1/p' "$PGW_WORK/orders" | sort | uniq -u)" '' 'half pairs'
	echo "   $(wc -l <"$PGW_WORK/charges") charges stand, as many payments and orders"
}
report() # nodes
{
	createdb -h 127.0.0.1 -p "$(port coordinator)" -U postgres report 2>"$PGW_WORK/null"
	at coordinator -d report -q -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION pgw' -c 'CREATE EXTENSION postgres_fdw'
	for node in "$@"; do
		at coordinator -d report -q -v ON_ERROR_STOP=1 -c "CREATE SERVER $node FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '$(port "$node")', dbname 'shop')" \
			-c "CREATE USER MAPPING FOR CURRENT_USER SERVER $node OPTIONS (user 'postgres')"
	done
	at coordinator -d report -q -P footer=off -v ON_ERROR_STOP=1 -c "SELECT server, shard, problem FROM pgw.global_views('{$(echo "$@" | tr ' ' ',')}')" \
		-c "SELECT shard, count(*) AS payments, sum(captured_amount) AS captured, sum(refunded_amount) AS refunded FROM pgw_all.payments GROUP BY ROLLUP (shard) ORDER BY shard"
	is "$(at coordinator -d report -q -A -t -c "SELECT * FROM pgw_all.broken_invariants")" '' 'broken invariants'
	is "$(at coordinator -d report -q -A -t -c "SELECT count(*) FROM pgw_all.payments WHERE status IN ('captured', 'partially_refunded')")" "$(wc -l <"$PGW_WORK/charges")" 'payments that stand in pgw_all'
}

# ---------------------------------------------------------------- what it costs

# Ticks of CPU that a node has used: its postmaster, with those that have ended, and those that run.
ticks() { cat /proc/[0-9]*/stat 2>/dev/null | sed 's/(.*)//' | awk -v p="$(head -1 "$(folder "$1")/postmaster.pid")" '$1 == p { n += $13 + $14 + $15 + $16 } $3 == p { n += $13 + $14 } END { print n }'; } # awk: without the name
bench() # name, node where it comes in, statement: 16 clients, 60 payments for each connection, connecting included
{
	nodes='plain coordinator w1'
	for node in $nodes; do declare "was_$node=$(ticks $node)"; done
	printf '%s\n' "$3" >"$PGW_WORK/bench.sql"
	pgbench -n -M prepared -c 16 -t 60 -h 127.0.0.1 -p "$(port "$2")" -U router -f "$PGW_WORK/bench.sql" shop >"$PGW_WORK/bench.log" 2>&1 || fail "$(cat "$PGW_WORK/bench.log")"
	# what a backend has used counts for the postmaster when it has ended
	for node in $nodes; do becomes "$node" "count(*) = 0 FROM pg_stat_activity WHERE usename = 'router'"; done
	printf '   %-40s' "$1"
	for node in $nodes; do
		was=was_$node
		printf ' %s %4d' "$node" $(($(ticks $node) - ${!was}))
	done
	echo ' ticks'
}
# A shard without Citus, as docs/scaling.md has them.
make_plain_node()
{
	number[plain]=4
	make_node plain pgw
	sql plain 'CREATE EXTENSION pgw'
	at plain -q -A -t -v ON_ERROR_STOP=1 -f docs/sharding/shard.sql >"$PGW_WORK/null"
	sql plain "SELECT pgw.claim_slots('{[0,1023]}', 'all')" >"$PGW_WORK/null"
	sql plain "INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('bank', 'json', 'http://127.0.0.1:$BANK_PORT', 'bank')"
	becomes plain "count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pgw worker'"
}
cost()
{
	say '11. What a call costs, in CPU: 960 payments each, in prepared statements; the first round is to warm up.'
	make_plain_node
	slot=$(slot_of_node w1)
	for i in 1 2 3 4; do
		for where in plain w1 coordinator; do
			pay="$slot, 's$slot.$i-$where-' || :client_id || '-' || :n, 'a book', 100, 'EUR', 'tok_ok'"
			[ $where != plain ] || pay=${pay#*, }
			bench "round $i, at $where" $where "\\set n random(1, 1000000000000)
SELECT status FROM shop.pay($pay);"
		done
	done
}
