#!/bin/bash
# The programs of docs/examples/ on a bare Debian, each with the packages and the command that docs/clients.md prints for it, and pgw from the packages in a folder.
# What npm brings is left out.  Root, in a chroot that is thrown away, one at a time: the server has its usual port.  Prints TAP.
cd "$(dirname "$0")/../.." || exit 1
. test/packages/tap.sh
. test/packages/paying.sh
pg=$(test/lib/major.sh)

apt_get update && apt_get install --no-install-recommends "$1"/postgresql-"$pg"-pgw_*.deb "$1"/pgw-common_*.deb
t 'pgw is installed' $?
printf "shared_preload_libraries = 'pgw'\nlog_parameter_max_length = 0\n" >>"/etc/postgresql/$pg/main/postgresql.conf"
pg_ctlcluster "$pg" main start
port=$(pg_lsclusters -h | awk '{ print $3 }')
sed -i 's/scram-sha-256/trust/' "/etc/postgresql/$pg/main/pg_hba.conf" && pg_ctlcluster "$pg" main reload
sql 'CREATE EXTENSION pgw' && until_is running worker_state
t 'and there is a worker' $?
[ "$(worker_state)" = running ] || exit 1

# as an ordinary user who has copied them
home=$work/bank/home
cp -r docs/examples "$home" && chown -R nobody "$home"
said='Order: captured
Again: true
Declined: insufficient_funds - tell the customer: insufficient_funds
Submitted: pending
Then: captured
Refund: partially_refunded'

while IFS='|' read -u 3 -r packages command; do
	apt_get install --no-install-recommends $packages
	t "apt knows $packages" $?
	sql 'DROP TABLE IF EXISTS orders'
	(cd "$home" && timeout 300 runuser -u nobody -- env HOME="$home" PGHOST=127.0.0.1 PGPORT="$port" PGDATABASE=postgres PGUSER=postgres sh -c "$command") >"$work/said" 2>&1
	status=$?
	case $command in
	*testing/*) t "$command" $status ;;
	*) is "$(tr '[:upper:]' '[:lower:]' <"$work/said")" "$(tr '[:upper:]' '[:lower:]' <<<"$said")" "$command" ;;
	esac
	[ $status -eq 0 ] || tail -30 "$work/said" | sed 's/^/# /'
done 3< <(sed -nE 's/^\| `([^`]*)` \| `([^`]*)` \|$/\1|\2/p' docs/clients.md)
t 'the page has some' $((n < 20))
is "$(problems)" '' 'health has no error'
pg_ctlcluster "$pg" main stop
echo "1..$n"
