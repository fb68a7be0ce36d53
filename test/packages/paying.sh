# paying.sh - a server that the packages have brought, a bank, and payments.  Sourced, as root in a chroot.
work=$(mktemp -d)
chmod 755 "$work"
mkdir -m 777 "$work/bank"
secrets=/etc/pgw/secrets
db=postgres

apt_get() { apt-get -qy "$@" >"$work/apt.log" 2>&1 || { tail -20 "$work/apt.log" >&2; return 1; }; }
sql() { runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d "$db" -c "$1"; }

# Until it is so, for half a minute.
until_is() # command's output, command...
{
	local expected=$1 i
	shift
	for ((i = 0; i < 300; i++)); do
		[ "$("$@" 2>&1)" != "$expected" ] || return 0
		sleep 0.1
	done
	"$@"
	return 1
}

worker_state() { sql "SELECT details->>'state' FROM pgw.health() WHERE check_name = 'worker'"; }
problems() { sql "SELECT check_name, advice, details FROM pgw.health() WHERE status = 'error'"; }

# The simulated bank, its key, and its row.
bank_start()
{
	(umask 077 && echo test-secret >$secrets/bank) && chown postgres: $secrets/bank
	runuser -u nobody -- pgw-bank --port 0 --port-file "$work/bank/port" --secret test-secret >"$work/bank.log" 2>&1 &
	bank=$!
	until_is ready sh -c "[ -s $work/bank/port ] && echo ready" &&
		sql "INSERT INTO pgw.banks (name, connector, base_url, secret) VALUES ('acme', 'json', '$(bank_url)', 'bank')"
}

pay() # client_request_id, token, how long to wait
{
	sql "SELECT status FROM pgw.process_payment('$1', 4990, 'EUR', token => '$2', timeout => '${3:-60s}')"
}

bank_url() { echo "http://127.0.0.1:$(cat "$work/bank/port")"; }

# Whether the bank's look-ups fail.
bank_lookups() # fail, or work
{
	local faults='{}'
	[ "$1" = work ] || faults='{"500_before": 1}'
	perl -MHTTP::Tiny -e 'exit !HTTP::Tiny->new->post($ARGV[0], { content => $ARGV[1] })->{success}' "$(bank_url)/control/faults" "{\"probabilities\": $faults, \"operations\": [\"lookup\"]}"
}

# The ids of the payments for which the bank has a charge, as often as it has one.
charges()
{
	perl -MHTTP::Tiny -MJSON::PP -e 'print "$_->{reference}\n" for grep { $_->{status} eq "approved" } @{ decode_json(HTTP::Tiny->new->get($ARGV[0])->{content})->{charges} }' \
		"$(bank_url)/ledger" |
		while read -r reference; do sql "SELECT client_request_id FROM pgw.payment_transactions WHERE replace(transaction_id::text, '-', '') = '$reference'"; done | sort | paste -sd' '
}
