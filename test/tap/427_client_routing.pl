# The programs of docs/sharding/ that route by themselves find each id's slot as pgw does, and pay and refund it at its shard. A language whose driver is not there is left out;
# make check-clients installs them all.
use strict;
use warnings;
use lib 'test/lib';
use JSON::PP;
use PgwDrivers;
use PgwShards;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $bank = bank_start();
my ($a, $b) = map { shard_node($_, $bank, conf => "listen_addresses = '127.0.0.1'\nfsync = off\n") } qw(a b);
claim_slots($a, '{[0,511]}');
claim_slots($b, '{[512,1023]}');
my $user = getpwuid $>;
my %dsn = (0 => $a, 512 => $b);
my $n = 0;
for my $name (sort keys %ROUTES)
{
	next unless !$ENV{CLIENTS} || $ENV{CLIENTS} eq 'all' || $name =~ /$ENV{CLIENTS}/;
	SKIP: {
		my $there = is_there($ROUTES{$name});
		skip "$name: its packages are not installed", 1 if !$there && !$ENV{CLIENTS};
		ok($there, "$name: its packages are there") or next;
		$n++;
		# named slots, names that are none, and ids of which UTF-8 matters
		my @ids = map { s/N/$n/r } "order-N", 's0.N', "s17.order N", "s1023.N", "s1024.N", "s01.N", "S17.N", "s17N", "Bestellung N \xc3\xa9\xe2\x82\xac";
		local %ENV = (%ENV, NODE_PATH => 'test/clients/node_modules', SHARDS => encode_json({ map { $_ => "postgres://$user\@127.0.0.1:" . $dsn{$_}->port . '/postgres' } keys %dsn }));
		run_log([ @{ $ROUTES{$name}{run} }, "docs/sharding/$name", @ids ], '>', \my $out, '2>', \my $err);
		my @slots = split /\n/, $a->safe_psql('postgres', 'SELECT pgw.slot_of(id) FROM (VALUES ' . join(', ', map { "($_, \$\$$ids[$_]\$\$)" } 0 .. $#ids) . ') v (n, id) ORDER BY n');
		is($out, join('', map { "slot $_: captured, refund Created\n" } @slots), "$name: each is paid at its shard, and refunded there") || diag($err);
	}
}
is_deeply([ sort keys %ROUTES ], [ sort map { s{.*/}{}r } glob 'docs/sharding/route_*' ], 'every program of docs/sharding/ is among them');
done_testing();
