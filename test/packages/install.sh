#!/bin/bash
# The packages in a folder on a bare Debian, as somebody would use them who has read the README: installed, two lines of configuration, a first payment; then upgraded, removed, purged.
# Root, in a chroot that is thrown away.  Prints TAP.
cd "$(dirname "$0")/../.." || exit 1
. test/packages/tap.sh
. test/packages/paying.sh
debs=$1
pg=$(basename "$debs"/postgresql-*-pgw_*.deb)
pg=${pg#postgresql-} pg=${pg%%-*}
ours=(postgresql-"$pg"-pgw pgw-common pgw-bank pgw-report pgw-doc)
files_of() { local p; for p in "${ours[@]}"; do ls "$1/${p}"_*.deb; done; } # folder
version_of() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null; }

# ---------------------------------------------------------------- installed
apt_get update && apt_get install --no-install-recommends $(files_of "$debs")
t "apt installs them, and what they need" $?
is "$(stat -c '%U:%G %a' $secrets)" 'postgres:postgres 700' "the folder for keys is the server's alone"
is "$(ls "/usr/lib/postgresql/$pg/lib/pgw.so" "/usr/share/postgresql/$pg/extension/pgw.control" /usr/bin/pgw-bank /usr/bin/pgw-report /usr/share/doc/pgw/docs/upgrade.md /usr/share/man/man1/pgw-bank.1.gz /usr/share/man/man1/pgw-report.1.gz 2>&1 | grep -c '^/')" 7 'library, control file, bank, report, pages, manuals'
(cd docs && find . -type f | sort) >"$work/pages"
(cd /usr/share/doc/pgw/docs && find . -type f | sort) | diff "$work/pages" - >"$work/pages.diff"
t 'all pages and examples' $?
cat "$work/pages.diff"
for p in "${ours[@]}"; do [ -s "/usr/share/doc/$p/copyright" ] || echo "$p"; done >"$work/unlicensed"
is "$(cat "$work/unlicensed")" '' 'each has its license'
limits=/usr/lib/systemd/system/postgresql@.service.d/pgw.conf
is "$(grep -cE '^Limit(NOFILE|MEMLOCK)=' $limits)" 2 'limits for the service'

export PGCLUSTER=$pg/main

# ---------------------------------------------------------------- two lines, and a first payment
cat >>"/etc/postgresql/$pg/main/postgresql.conf" <<'CONF'
shared_preload_libraries = 'pgw'
log_parameter_max_length = 0
CONF
pg_ctlcluster "$pg" main start
t 'the server starts with two lines of configuration' $?
sql 'CREATE EXTENSION pgw' && until_is running worker_state
t 'CREATE EXTENSION, and there is a worker' $?
is "$(sql "SELECT status, bank, livemode FROM pgw.process_payment('order-0', 4990, 'EUR', token => 'tok_ok')")" 'captured|test|f' 'the first payment, by the bank inside'
is "$(sql "SELECT kind, status FROM pgw.test_bank_ledger")" 'charge|approved' 'which knows of it'
bank_start
is "$(pay order-1 tok_ok)" captured 'one by the bank that comes as a package'
is "$(problems)" '' 'health has no error'
runuser -u postgres -- pgw-report "$work/bank/report.html" && is "$(stat -c %a "$work/bank/report.html") $(grep -c 'id="summary"' "$work/bank/report.html")" '600 1' 'pgw-report writes the page'
is "$(sql 'SELECT library, script, advice FROM pgw.version()')" '1.0.0|1.0|' 'library and script agree'

# ---------------------------------------------------------------- upgraded
mkdir "$work/next"
for deb in $(files_of "$debs"); do
	dpkg-deb -R "$deb" "$work/unpacked"
	was=$(sed -n 's/^Version: //p' "$work/unpacked/DEBIAN/control")
	sed -i "s/$was/$was+next/" "$work/unpacked/DEBIAN/control"
	dpkg-deb --root-owner-group -b "$work/unpacked" "$work/next/$(basename "$deb" | sed "s/_.*_/_next_/")" >/dev/null
	rm -rf "$work/unpacked"
done
before=$(head -1 "/var/lib/postgresql/$pg/main/postmaster.pid")
chmod 750 $secrets
apt_get install --no-install-recommends $(files_of "$work/next")
t 'a newer version is installed over it' $?
case $(version_of "${ours[0]}") in *+next) t 'and is the newer one' 0 ;; *) t 'and is the newer one' 1 ;; esac
is "$(head -1 "/var/lib/postgresql/$pg/main/postmaster.pid")" "$before" 'the running server was left alone'
is "$(pay order-2 tok_ok)" captured 'it goes on paying'
is "$(stat -c '%U:%G %a' $secrets) $(cat $secrets/bank)" 'postgres:postgres 750 test-secret' 'the key is there, and the mode that the administrator gave its folder'
pg_ctlcluster "$pg" main restart && until_is running worker_state && is "$(pay order-3 tok_ok)" captured 'after a restart, too'
sql 'ALTER EXTENSION pgw UPDATE' 2>/dev/null
t 'ALTER EXTENSION UPDATE has nothing to do' $?

# ---------------------------------------------------------------- removed
apt_get remove "${ours[@]}"
t 'they are removed' $?
is "$(ls "/usr/lib/postgresql/$pg/lib/pgw.so" /usr/bin/pgw-bank /usr/bin/pgw-report $limits 2>/dev/null)" '' 'with their files'
is "$(pay order-4 tok_ok 2>&1 | grep -c 'could not access file')" 1 'a call is refused at once'
is "$(cat $secrets/bank)" test-secret 'the key stays'
pg_ctlcluster "$pg" main stop
kill $bank
apt_get purge pgw-common
t 'and purged' $?
is "$(cat $secrets/bank)" test-secret 'the key stays all the same'
t 'and somebody is told of it' "$(grep -q 'keys of banks in /etc/pgw/secrets are kept' "$work/apt.log"; echo $?)"

# a link to where the keys really are
apt_get install --no-install-recommends $(files_of "$debs")
is "$(cat $secrets/bank)" test-secret 'installed again, the key is found'
mkdir /srv/keys && mv $secrets/bank /srv/keys && rmdir $secrets && ln -s /srv/keys $secrets
apt_get install --no-install-recommends $(files_of "$work/next") && apt_get purge "${ours[@]}"
is "$(readlink $secrets) $(cat $secrets/bank)" '/srv/keys test-secret' 'a link is left alone'
rm $secrets && apt_get install --no-install-recommends $(files_of "$debs") && apt_get purge "${ours[@]}"
is "$(find /etc /usr /var/lib -name '*pgw*' -not -path '/var/lib/postgresql/*')" '' 'without keys nothing is left behind'
echo "1..$n"
