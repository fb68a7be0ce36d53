#!/bin/bash
# The archive for PGXN in a folder, on a bare Debian: built and installed with the packages that the README names, and no others.  Root, in a chroot that is thrown away.  Prints TAP.
cd "$(dirname "$0")/../.." || exit 1
. test/packages/tap.sh
top=$(pwd) work=$(mktemp -d)
pg=$(test/lib/major.sh)
packages=$(sed -n 's/^    sudo apt install \(build-essential .*\)/\1/p' README.md | sed "s/-[$]pg/-$pg/g")
apt_get() { apt-get -qy "$@" >"$work/apt.log" 2>&1 || { tail -20 "$work/apt.log" >&2; return 1; }; }

apt_get update && apt_get install --no-install-recommends unzip make "postgresql-client-$pg"
unzip -q "$1"/pgw-*.zip -d "$work"
cd "$work"/pgw-* || exit 1
is "$(ls META.json pgw.control README.md LICENSE pgw--*.sql 2>&1 | wc -l)" 5 'the archive has what PGXN looks for'
make >"$work/make.log" 2>&1
t 'with the client alone there is nothing to build with' $(($? == 0))
is "$(grep -c "apt install build-essential postgresql-server-dev-$pg libcurl4-openssl-dev libjson-c-dev" "$work/make.log")" 1 'and make says what to install'
apt_get install --no-install-recommends $packages
t "apt knows what the README names: $packages" $?
make WERROR=1 >"$work/make.log" 2>&1
built=$?
t 'it builds' $built
[ $built -eq 0 ] || tail -20 "$work/make.log"
make install >"$work/make.log" 2>&1
t 'and is installed' $?
is "$("$(pg_config --bindir)/pgw-report" --version) $([ -s "$(pg_config --mandir)/man1/pgw-report.1" ]; echo $?)" 'pgw-report 1.0.0 0' 'pgw-report and its manual'
pages=$(pg_config --docdir)/pgw
is "$(ls "$pages/LICENSE" "$pages/README.md" "$pages/docs/upgrade.md" 2>&1 | grep -c '^/')" 3 'with license and pages'
grep -oE '\]\(docs/[a-z-]+\.md' "$pages/README.md" | sed 's/](//' | sort -u | while read -r page; do [ -e "$pages/$page" ] || echo "$page"; done >"$work/missing"
is "$(cat "$work/missing")" '' 'whose links lead somewhere'
eval "$(sed -n 's/^    sudo \(install -d -m 755 \/etc\/pgw\) && sudo \(install .*\)/\1 \&\& \2/p' README.md)"
is "$(stat -c '%U:%G %a' /etc/pgw/secrets)" 'postgres:postgres 700' 'the folder for keys'
printf "shared_preload_libraries = 'pgw'\nlog_parameter_max_length = 0\n" >>"/etc/postgresql/$pg/main/postgresql.conf"
pg_ctlcluster "$pg" main start && runuser -u postgres -- psql -XAtq -c 'CREATE EXTENSION pgw'
is "$(runuser -u postgres -- psql -XAtq -c 'SELECT library, script, advice FROM pgw.version()')" '1.0.0|1.0|' 'CREATE EXTENSION'
pg_ctlcluster "$pg" main stop
is "$(find "$(pg_config --bindir)" -name pgw-bank)" '' 'no simulator where none is built'
apt_get install --no-install-recommends libmicrohttpd-dev
make bank >"$work/make.log" 2>&1 && make install >>"$work/make.log" 2>&1
t 'the simulator is built and installed' $?
"$(pg_config --bindir)/pgw-bank" --port 0 --port-file "$work/port" >"$work/bank.log" 2>&1 &
for _ in $(seq 100); do [ ! -s "$work/port" ] || break; sleep 0.1; done
kill $!
t 'it runs' "$([ -s "$work/port" ]; echo $?)"
t 'and has its manual' "$([ -s "$(pg_config --mandir)/man1/pgw-bank.1" ]; echo $?)"
make uninstall >"$work/make.log" 2>&1
is "$(find "$(pg_config --bindir)" "$(pg_config --mandir)" "$(pg_config --pkglibdir)" "$(pg_config --sharedir)" "$(pg_config --docdir)" -name '*pgw*')" '' 'make uninstall leaves nothing'
cd "$top" || exit 1
echo "1..$n"
