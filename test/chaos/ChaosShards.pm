# ChaosShards - the shards of a run and the router's map: new shards that are copies of one, slots that go to them, a map that is wrong for a while, and the router's end.
package ChaosShards;

use strict;
use warnings;
use File::Path 'make_path';
use JSON::PP;
use ChaosBlows;
use ChaosCheck;
use ChaosPayment;
use ChaosServer;
use ChaosShardClient;
use Time::HiRes qw(time usleep);

# The order's row and its payment in the shard, as ChaosClient does it in a statement of its own.
my $order_function = <<'SQL';
CREATE ROLE router LOGIN SUPERUSER;
CREATE SCHEMA shop;
CREATE FUNCTION shop.order(function text, client_request_id text, amount numeric, currency text, capture text, merchant text, reference text, token text DEFAULT NULL,
	bank text DEFAULT NULL, card_number text DEFAULT NULL, card_expiry_month int DEFAULT NULL, card_expiry_year int DEFAULT NULL, card_cvv text DEFAULT NULL, card_holder text DEFAULT NULL)
RETURNS TABLE (status text, payment_id uuid) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	p pgw.payment_result;
BEGIN
	IF function = 'submit' THEN
		p := pgw.submit_payment(client_request_id, amount, currency, token, bank => bank, capture => capture, reference => reference, merchant => merchant);
	ELSE
		p := pgw.process_payment(client_request_id, amount, currency, token, card_number, card_expiry_month, card_expiry_year, card_cvv, card_holder, bank, capture, reference,
			timeout => '2500 ms', merchant => merchant);
	END IF;
	INSERT INTO public.orders AS o VALUES (merchant, client_request_id, p.payment_id, p.status::text)
		ON CONFLICT ON CONSTRAINT orders_pkey DO UPDATE SET payment_id = excluded.payment_id, status = excluded.status;
	RETURN QUERY SELECT p.status::text, p.payment_id;
END $$;
SQL

sub new { my ($class, %o) = @_; return bless { %o, shards => {}, slots => [], lies => {}, hits => [] }, $class }

sub psql_file
{
	my ($server, $file, %variable) = @_;
	my $variables = join ' ', map { "-v '$_=$variable{$_}'" } sort keys %variable;
	my $out = `psql -XAtq -v ON_ERROR_STOP=1 $variables -h '$server->{dir}' -p 5432 -U postgres -d postgres -f $file 2>&1`;
	die "$file: $out" if $?;
	return $out;
}

sub server
{
	my ($self, $name, @more) = @_;
	make_path("$self->{dir}/$name");
	my $server = ChaosServer->new(dir => "$self->{dir}/$name", seed => $self->{seed}, compensation_delay => 500, name => $name, always => [ '-c', "pgw.shard_name=$name", '-c', "unix_socket_directories=$self->{dir}/$name" ]);
	$server->{banks} = $self->{banks};
	return $server;
}

sub all { my ($self) = @_; return map { $self->{shards}{$_} } sort keys %{ $self->{shards} } }

# ---- the stage

sub make_shard
{
	my ($self, $name, $from, $to) = @_;
	my $s = $self->{shards}{$name} = $self->server($name);
	$s->init;
	$s->start;
	$s->query($_) for 'CREATE EXTENSION pgw', $ChaosPayment::spelt, "INSERT INTO pgw.merchants (merchant) VALUES ('acme')",
	  (map { "INSERT INTO pgw.banks (name, connector, base_url, secret, connect_timeout, request_timeout, priority, token_scope, max_in_flight)
		VALUES ('$_->[0]', 'json', '$self->{banks}{$_->[1]}{url}', 'bank', '1s', '1s', $_->[2], 'scope', 16)" } [ bank => 'main', 1 ], [ backup => 'backup', 2 ]),
	  'CREATE TABLE orders (merchant text, client_request_id text, payment_id uuid, status text, PRIMARY KEY (merchant, client_request_id))',
	  'CREATE TABLE stock (k int PRIMARY KEY, n int)', 'INSERT INTO stock SELECT k, 1000000 FROM generate_series(1, 3) k', "SELECT pgw.claim_slots('{[$from,$to]}')";
	$s->query($_) for split /(?<=;\n)(?=CREATE)/, $order_function;
	$self->{slots}[$_] = $name for $from .. $to;
	return;
}

# The router, with the functions of docs/sharding/.
sub make_router
{
	my ($self) = @_;
	my $r = $self->{router} = $self->server('router');
	$r->{always} = [];
	$r->{start_args} = [];
	local $ENV{PGW_CONF} = $ENV{PGW_CONF} =~ s/^shared_preload_libraries.*\n//mr;
	$r->init;
	$r->start;
	psql_file($r, 'docs/sharding/router.sql');
	my ($any) = $self->all;
	my $file = "$self->{dir}/wrappers.sql";
	open my $f, '>', $file or die $!;
	print $f psql_file($any, 'docs/sharding/wrappers.sql', functions => 'shop.order:client_request_id');
	close $f;
	psql_file($r, $file);
	$r->query($ChaosPayment::spelt);
	$self->tell;
	return;
}

# Router and clients get the map, together with what is wrong in it.
sub tell
{
	my ($self) = @_;
	my @slots = map { $self->{lies}{$_} // $self->{slots}[$_] } 0 .. 1023;
	my $r = $self->{router};
	my $values = join ', ', map { "('$_', 'host=$self->{dir}/$_ port=5432 dbname=postgres user=router')" } sort keys %{ $self->{shards} };
	my $map = join ', ', map { "($_, '$slots[$_]')" } 0 .. 1023;
	$r->query("WITH s AS (INSERT INTO routing.shards VALUES $values ON CONFLICT DO NOTHING) SELECT 1");
	$r->query("INSERT INTO routing.slots VALUES $map ON CONFLICT (slot) DO UPDATE SET shard = excluded.shard");
	open my $f, '>', "$self->{map}.new" or die $!;
	print $f encode_json({ slots => $self->{slots}, shards => { map { $_ => "$self->{dir}/$_" } keys %{ $self->{shards} } } });
	close $f;
	rename "$self->{map}.new", $self->{map} or die $!;
	return;
}

# ---- what happens

sub record { my ($self, $what) = @_; push @{ $self->{hits} }, { at => time, what => $what, hit => 0 }; return }

sub kill_router
{
	my ($self) = @_;
	my $r = $self->{router};
	kill 'KILL', $r->{postmaster}, ChaosBlows::children($r->{postmaster});
	$self->record('router: killed');
	$r->reap;
	$r->start;
	return;
}

# The router's map is wrong for a tenth of the slots, until it is put right.
sub lie
{
	my ($self, $dice) = @_;
	my @names = sort keys %{ $self->{shards} };
	$self->{lies} = { map { my $slot = ($_ * 10 + $dice) % 1024; my @others = grep { $_ ne $self->{slots}[$slot] } @names; ($slot => $others[ $slot % @others ]) } 0 .. 101 };
	$self->record('map: wrong for a tenth');
	$self->tell;
	return;
}

sub tell_the_truth { my ($self) = @_; $self->{lies} = {}; $self->record('map: put right'); $self->tell; return }

# Half of what the shard with the most slots has goes to a copy of it, with a crash before the release, after it, or after the slots were adopted.  Meanwhile clients must
# get on: what they have prepared is waited for.
sub move
{
	my ($self, $dice, $meanwhile) = @_;
	my %n;
	$n{$_}++ for @{ $self->{slots} };
	my ($from) = sort { $n{$b} <=> $n{$a} || $a cmp $b } keys %n;
	my @its = grep { $self->{slots}[$_] eq $from } 0 .. 1023;
	my @go = @its[ grep { ($_ + $dice) % 2 } 0 .. $#its ];
	my $name = 'shard-' . (1 + keys %{ $self->{shards} });
	my ($old, $new) = ($self->{shards}{$from}, $self->server($name));
	# it may just be coming back from a blow
	my $copy = "pg_basebackup -h '$old->{dir}' -p 5432 -U postgres -D '$new->{data}' -c fast -R -X stream --no-sync >'$new->{dir}/basebackup.log' 2>&1";
	ChaosServer::wait_until(sub { return system($copy) == 0 }, 60) or die "pg_basebackup failed: " . do { local (@ARGV, $/) = "$new->{dir}/basebackup.log"; <> };
	open my $f, '>>', "$new->{data}/postgresql.auto.conf" or die $!;
	# what the shard vacuums meanwhile cancels no question to the copy, pg_promote() among them
	print $f "synchronous_standby_names = ''\nmax_standby_streaming_delay = -1\n";
	close $f;
	$new->start;
	my $slots = '{' . join(',', map { "[$_,$_]" } @go) . '}';
	my $crash = sub { ChaosBlows::blow($old, { what => 'kill_everything', dice => 0 }) };
	my $release = "SELECT state, token FROM pgw.release_slots('$slots', '$name')";
	$old->query($release);
	$self->record("move: leaving $from");
	$crash->() if $dice % 3 == 0;
	my ($state, $token);
	ChaosServer::wait_until(sub { $meanwhile->(); ($state, $token) = @{ ($old->query($release))[0] }; return $state eq 'released' }, 120) or die "slots do not leave $from";
	$self->record("move: released by $from");
	$crash->() if $dice % 3 == 1;
	ChaosServer::wait_until(sub { ($state, $token) = @{ ($old->query($release))[0] }; return $token }, 120) or die "no token of $from";
	$new->query('SELECT pg_promote()');

	# transactions that were prepared for slots that stay have come along
	$new->query("ROLLBACK PREPARED '$_->[0]'") for $new->query('SELECT gid FROM pg_prepared_xacts');
	$self->{shards}{$name} = $new;
	$new->query("SELECT pgw.adopt_slots('$token')");
	$self->record("move: adopted by $name");
	ChaosBlows::blow($new, { what => 'kill_everything', dice => 0 }) if $dice % 3 == 2 && $new->pid_of('pgw worker');
	$self->{slots}[$_] = $name for @go;
	$self->tell;
	return;
}

# ---- the reckoning

my $home = 'SELECT slot FROM pgw.shard_slots WHERE state = $$home$$ AND shard = current_setting($$pgw.shard_name$$)';
our $counts = "SELECT count(*) FILTER (WHERE pgw.slot_of_id(payment_id) IN ($home)), count(*) FILTER (WHERE pgw.slot_of_id(payment_id) NOT IN ($home)) FROM pgw.payments";

# What is left to happen at a shard, of the slots that are at home there.
sub unrest
{
	my ($self, $shard) = @_;
	return map { "$shard->{name}: $_->[0]: $_->[1]" } $shard->query("
		SELECT 'attempts in state ' || status, count(*) FROM pgw.payment_transactions WHERE status IN ($ChaosCheck::open) AND pgw.slot_of_id(transaction_id) IN ($home) GROUP BY 1
		UNION ALL SELECT 'prepared transactions', count(*) FROM pg_prepared_xacts HAVING count(*) > 0
		UNION ALL SELECT 'pending payments', count(*) FROM pgw.payments WHERE status = 'pending' AND pgw.slot_of_id(payment_id) IN ($home) HAVING count(*) > 0");
}

# What each table tells of a row's slot.
my %slot_of = (payments => 'pgw.slot_of_id(payment_id)', payment_transactions => 'pgw.slot_of_id(transaction_id)', events_in_full => 'pgw.slot_of_id(transaction_id)', orders => 'pgw.slot_of(client_request_id)', notifications => '0');

# A database with the rows of all shards: in pgw and public those of slots at home, in away the others.  Types of pgw's are what their values look like there.
sub judge
{
	my ($self) = @_;
	$self->{router}->query('CREATE DATABASE judge');
	my $judge = bless { %{ $self->{router} }, db => 'judge', admin => undef, dir => $self->{router}{dir}, hits => [ sort { $a->{at} <=> $b->{at} } @{ $self->{hits} }, map { @{ $_->{hits} } } $self->all ] }, 'ChaosServer';
	$judge->query("CREATE SCHEMA $_") for qw(pgw away);
	my ($first) = $self->all;
	for my $table (sort keys %slot_of)
	{
		my $schema = $table eq 'orders' ? 'public' : 'pgw';
		my $columns = $first->value("SELECT string_agg(format('%I %s', attname, CASE WHEN t.typtype = 'd' THEN format_type(typbasetype, NULL) WHEN t.typnamespace = 'pgw'::regnamespace THEN 'text' ELSE format_type(atttypid, atttypmod) END), ', ' ORDER BY attnum)
			FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid WHERE attrelid = '$schema.$table'::regclass AND attnum > 0 AND NOT attisdropped");
		$judge->query("CREATE TABLE $_.$table ($columns)") for $schema, 'away';
		for my $shard ($self->all)
		{
			for my $at ([ $schema, 'IN' ], [ away => 'NOT IN' ])
			{
				my $file = "$self->{dir}/$table.copy";
				unlink $file;
				$shard->query("COPY (SELECT * FROM $schema.$table WHERE $slot_of{$table} $at->[1] ($home)) TO '$file'", 300);
				$judge->query("COPY $at->[0].$table FROM '$file'", 300);
			}
		}
	}
	# as the shards' own
	$judge->query("ALTER TABLE pgw.$_->[0] ADD PRIMARY KEY ($_->[1])") for [ payments => 'payment_id' ], [ payment_transactions => 'transaction_id' ];
	return $judge;
}

# What only several shards can break.
sub judged
{
	my ($self, $judge) = @_;
	my $check = sub { my ($name, $sql) = @_; return { name => $name, bad => [ $judge->query($sql, 300) ] } };
	my %has;
	for my $s ($self->all) { push @{ $has{$_} }, $s->{name} for map { $_->[0] } $s->query($home) }
	my @results = (
		{ name => 'each slot is at home in one shard', bad => [ map { [ '', "slot $_: " . join(' and ', @{ $has{$_} // ['nobody'] }) ] } grep { @{ $has{$_} // [] } != 1 } 0 .. 1023 ] },
		$check->('no id is at two shards', "SELECT NULL, merchant || '/' || client_request_id FROM pgw.payments GROUP BY merchant, client_request_id HAVING count(*) > 1"),
		$check->('a misrouted call made no request to a bank: each is of an attempt at its home', "SELECT reference, operation || ' ' || number FROM chaos.request r WHERE operation IN ('charge', 'authorize')
			AND NOT EXISTS (SELECT FROM pgw.payment_transactions t WHERE replace(t.transaction_id::text, '-', '') = r.reference)"),
		$check->('a misrouted call wrote nothing: what a shard has of other slots is a past that their home has', "SELECT transaction_id, client_request_id FROM away.payment_transactions a
			WHERE NOT EXISTS (SELECT FROM pgw.payment_transactions t WHERE t.transaction_id = a.transaction_id)"));
	for my $s ($self->all)
	{
		push @results, { name => "$s->{name}: pgw.check_consistency() finds nothing", bad => [ map { [ '', @$_ ] } $s->query('SELECT c::text FROM pgw.check_consistency() c', 300) ] },
		  { name => "$s->{name}: pgw.rebuild_status() says what is stored", bad => [ $s->query('SELECT transaction_id, status FROM pgw.payment_transactions WHERE status IS DISTINCT FROM pgw.rebuild_status(transaction_id)', 300) ] };
	}
	return @results;
}

1;
