# No secret on disk: every byte of data directory, WAL, logs in three formats, dumps, base backups, logical decoding and core files, after payments that ended in
# every way, is searched for what must not be there, and in the same go for what surely is: a search that finds nothing at a place proves nothing about it.
use strict;
use warnings;
use lib 'test/lib';
use PgwBytes;
use PgwBound;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

# ---- the search itself ----

my $MARKER = 'seen-by-the-search';
{
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $search = PgwBytes->new(text => $MARKER, pattern => qr/[x]y{3}/);
	my %forms = (
		plain => $MARKER, hex => unpack('H*', $MARKER), upper => uc unpack('H*', $MARKER), utf16 => join("\0", split //, $MARKER), backwards => scalar reverse($MARKER),
		percent => join('', map { sprintf '%%%02x', ord } split //, $MARKER));
	$forms{"base64 $_"} = MIME::Base64::encode_base64(('q' x $_) . $MARKER . 'after', '') for 0 .. 2;
	for my $form (sort keys %forms)
	{
		append_to_file("$dir/$form", "\0before$forms{$form}after\n");
		my %found = $search->found_in("$dir/$form");
		is(join(',', keys %found), 'text', "the search finds it: $form");
	}
	# across the pieces that a file is read in
	append_to_file("$dir/large", ('-' x ((8 << 20) - 7)) . "$MARKER" . ('-' x 100) . 'xyyy');
	is_deeply({ $search->found_in("$dir/large") }, { text => ["$dir/large (plain)"], pattern => ["$dir/large (pattern)"] }, 'and across the pieces of a large file');
	append_to_file("$dir/without", substr $MARKER, 1);
	is_deeply({ $search->found_in("$dir/without") }, {}, 'and nothing else');
}

# ---- payments with cards ----

my $AMEX = join '', '3782', '822463', '10005';
my ($CVV, $HOLDER, $KEY) = ('9173', 'HOLDERSECRET', 'test-secret');
my $DECLINED = join '', '4000', '0000', '0000', '0002';
my $UNANSWERED = join '', '4000', '0000', '0000', '0341';
my $year = (localtime)[5] + 1902;

my $node = pgw_node('bytes', init => { allows_streaming => 1 }, conf => <<'CONF');
shared_preload_libraries = 'pgw, pg_stat_statements'
wal_level = logical
max_wal_senders = 10
max_replication_slots = 10
shared_buffers = '4MB'
pgw.max_waiting = 20
logging_collector = on
log_destination = 'stderr,csvlog,jsonlog'
log_directory = 'log'
log_min_messages = debug1
log_min_error_statement = debug1
log_error_verbosity = verbose
log_min_duration_statement = 0
log_connections = on
log_lock_waits = on
log_parameter_max_length_on_error = 0
pgw.compensation_delay = '100ms'
CONF
my $bank = bank_start();
pgw_setup($node, $bank);
$node->safe_psql('postgres', "CREATE EXTENSION pg_stat_statements; CREATE PUBLICATION everything FOR ALL TABLES;
	UPDATE pgw.banks SET request_timeout = '2s'");
my @plugins = ('test_decoding', 'pgoutput', grep { -e ($node->config_data('--pkglibdir'))[0] . "/$_.so" } 'wal2json');
# newer servers name the plugins that may be used
if (length(my $known = $node->safe_psql('postgres', "SELECT setting FROM pg_settings WHERE name = 'output_plugin_libraries'")))
{
	$node->append_conf('postgresql.conf', "output_plugin_libraries = '" . join(', ', $known, @plugins) . "'");
	$node->reload;
	wait_until(sub { $node->safe_psql('postgres', 'SHOW output_plugin_libraries') =~ /$plugins[-1]$/ }, 20) or die 'no reload';
}
$node->safe_psql('postgres', "SELECT pg_create_logical_replication_slot('slot_$_', '$_')") for @plugins;

my $listener = IPC::Run::start([ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-d', 'postgres' ], '<', \my $to_listener, '>', \my $heard, '2>', \my $listener_err);
$to_listener .= "LISTEN pgw_payments; LISTEN pgw_alerts; SELECT 'listening';\n";
$listener->pump until $heard =~ /listening/;

# The parameters are bound, and so is the holder.
sub pay_bound { my ($sql, %value) = @_; return run_bound($node, $sql, { holder => "CARLA $HOLDER", %value }) }
my $pay = "SELECT pgw.process_payment(client_request_id => :id::text, amount => 4200, currency => 'EUR', card_number => (:card::numeric)::text, card_expiry_month => 12, "
  . "card_expiry_year => $year, card_cvv => (:cvv::int)::text, card_holder => :holder::text, reference => '$MARKER', timeout => '20s');";
my %amex = (card => $AMEX, cvv => $CVV);

sub payment_status
{
	return $node->safe_psql('postgres', "SELECT status FROM pgw.payments WHERE client_request_id = '$_[0]'");
}

my $err = pay_bound($pay, %amex, id => 1001);
is(payment_status(1001), 'captured', 'a payment with a card of which the CVV has four digits') or diag($err);
pay_bound($pay, card => $DECLINED, cvv => 737, id => 1002);
is(payment_status(1002), 'declined', 'a declined card');
pay_bound("BEGIN;\n$pay\nROLLBACK;", %amex, id => 1003);
pay_bound("SET pgw.on_failure = 'raise';\n$pay", card => $DECLINED, cvv => 737, id => 1004);
like(pay_bound("BEGIN READ ONLY;\n$pay\nCOMMIT;", %amex, id => 1005), qr/read-only/, 'an error before the call');
like(pay_bound("SET statement_timeout = '700ms';\n$pay", card => $UNANSWERED, cvv => 737, id => 1006), qr/statement timeout/, 'a call that is cancelled while it waits');
like(pay_bound($pay =~ s/4200/-1/r, %amex, id => 1007), qr/ERROR/, 'an argument that is refused');
like(pay_bound($pay =~ s/'EUR'/'EUR', metadata => jsonb_build_object('n', (:card::numeric)::text)/r, %amex, id => 1008), qr/ERROR/, 'a card in a field that is stored');
pay_bound($pay, card => $UNANSWERED, cvv => 737, id => 1009);
like(payment_status(1009), qr/pending|captured/, 'a charge of which the answer is lost');
pay_bound("SELECT pgw.process_payment(client_request_id => 'token', amount => 4200, currency => 'EUR', token => :token::text, reference => '$MARKER');", token => 'tok_ok');
ok(wait_rest($node, $bank, seconds => 60), 'what was rolled back or left unknown is at rest');
is($node->safe_psql('postgres', "SELECT count(*) FROM pgw.payments WHERE status = 'captured' AND reference = '$MARKER'"), 3, 'two cards and a token were charged');
bank_stop($bank);

wait_until(sub { $to_listener .= "SELECT 1;\n"; $listener->pump_nb; $heard =~ /pgw_payments/ }, 20) or fail('nothing was notified');
like($node->safe_psql('postgres', "SELECT string_agg(query, ' ') FROM pg_stat_statements"), qr/process_payment/, 'pg_stat_statements has seen the calls');

# ---- the places ----

my $base = $node->basedir;
my $data = $node->data_dir;
my %place = (notify => "$base/notify", activity => "$base/activity", core => "$base/cores");
append_to_file($place{notify}, $heard);
append_to_file($place{activity}, $node->safe_psql('postgres', "SELECT /* $MARKER */ a FROM pg_stat_activity a UNION ALL SELECT null") . $node->safe_psql('postgres', 'SELECT s FROM pg_stat_statements s'));
$node->safe_psql('postgres', 'CHECKPOINT');

for my $plugin (@plugins)
{
	my @options = $plugin eq 'pgoutput' ? ('-o', 'proto_version=1', '-o', 'publication_names=everything') : ();
	my $end = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	$place{"decoding by $plugin"} = "$base/$plugin";
	system_or_bail('pg_recvlogical', '-d', $node->connstr('postgres'), '-S', "slot_$plugin", @options, '-f', "$base/$plugin", '--no-loop', '--endpos', $end, '--start');
}
SKIP: { skip 'wal2json is not installed', 1 if @plugins < 3; pass('wal2json decodes, too') }

my @connection = ('-h', $node->host, '-p', $node->port);
my %dumps = ('pg_dump' => ['pg_dump', 'postgres'], 'pg_dump --inserts' => [ 'pg_dump', '--inserts', 'postgres' ], 'pg_dump -Fc' => [ 'pg_dump', '-Fc', '-Z0', 'postgres' ],
	'pg_dumpall' => ['pg_dumpall']);
for (sort keys %dumps)
{
	my ($program, @args) = @{ $dumps{$_} };
	($place{$_} = "$base/$_") =~ tr/ /_/;
	system_or_bail($program, @connection, '-f', $place{$_}, @args);
}
for (['plain', '-Fp'], ['tar', '-Ft'])
{
	my ($name, $format) = @$_;
	$place{"base backup, $name"} = "$base/backup_$name";
	system_or_bail('pg_basebackup', @connection, '-D', "$base/backup_$name", $format, '-X', 'fetch', '--checkpoint=fast', '--no-sync');
}

# As the kernel writes a core: gdb leaves out what is marked not to be dumped.
mkdir $place{core};
my %pid = map { (split /\|/)[ 1, 0 ] } split /\n/, $node->safe_psql('postgres', "SELECT pid, backend_type FROM pg_stat_activity WHERE backend_type IN ('pgw worker', 'pgw launcher', 'checkpointer', 'logger')");
$pid{postmaster} = (split /\n/, slurp_file("$data/postmaster.pid"))[0];
my $may_dump = IPC::Run::run([ 'gcore', '-o', "$place{core}/probe", $pid{checkpointer} ], '>', \my $gcore_out, '2>', \my $gcore_err);
SKIP:
{
	skip "no core can be taken of another process here: $gcore_err", 1 unless $may_dump;
	ok($pid{'pgw worker'}, 'there is a worker');
	IPC::Run::run([ 'gcore', '-o', "$place{core}/" . ($_ =~ tr/ /_/r), $pid{$_} ], '>', \$gcore_out, '2>', \$gcore_err) or fail("core of $_: $gcore_err") for sort keys %pid;
}
delete $place{core} unless $may_dump;

$listener->kill_kill;
$node->stop('fast');
$place{tables} = "$data/base";
$place{WAL} = "$data/pg_wal";
$place{'all else in the data directory'} = [ grep { !m{/(?:base|pg_wal|log)$} } glob "$data/*" ];
my @logs = glob "$data/log/*";
$place{'log, stderr'} = (grep { /\.log$/ } @logs)[0];
$place{'log, csv'} = (grep { /\.csv$/ } @logs)[0];
$place{'log, json'} = (grep { /\.json$/ } @logs)[0];

# ---- the search ----

# The CVV is four digits, which occur by chance as they stand: what is searched for is a value, in quotes, behind a name, as SQL and C keep it.
my $search = PgwBytes->new(
	marker => $MARKER, number => $AMEX, 'declined number' => $DECLINED, 'unanswered number' => $UNANSWERED, holder => $HOLDER, key => $KEY, token => qr/tok_ok/,
	cvv => qr/$CVV(?:(?<=["']$CVV)["']|(?<=\x0B$CVV)\W|(?<=\0$CVV)\0|(?<=\x14\0\0\0$CVV)|(?<=cv[cv]\W$CVV)|(?<=cv[cv]\W\W$CVV)|(?<=cv[cv]\W\W\W$CVV))/);
like($_, $search->{patterns}[0][2], 'a CVV would be found: ' . s/[^ -~]/./gr) for qq({"cvv":"$CVV"}), "cvc=$CVV&", "x\x0B$CVV\0", "\0$CVV\0", "\x14\0\0\0$CVV", "'$CVV'";
unlike($_, $search->{patterns}[0][2], "but no number like it: $_") for qq({"pid":$CVV,), "[$CVV]", ",$CVV,", "1$CVV ";

# The bank's key is in the worker's memory, and what the server was started with names the file that it lies in.
my %allowed = (core => { key => 1, token => 1 });
$allowed{$_}{token} = 1 for 'tables', 'WAL', grep { /dump|backup|decoding/ } keys %place;
# nothing that a payment says of itself may be in what every role can hear: this place has a marker of its own
my %marker = (notify => qr/"outcome"/);

for my $place (sort keys %place)
{
	my @paths = ref $place{$place} ? @{ $place{$place} } : $place{$place};
	is(scalar(grep { !-e } @paths), 0, "$place is there") or next;
	my ($files, $bytes) = @$search{ 'files', 'bytes' };
	my %found = $search->found_in(@paths);
	my $seen = delete $found{marker};
	$seen = { PgwBytes->new(marker => $marker{$place})->found_in(@paths) }->{marker} if $marker{$place};
	ok($seen, "$place: the search finds what is there (" . ($search->{files} - $files) . ' files, ' . ($search->{bytes} - $bytes) . ' bytes)');
	ok($found{token}, 'and the token of a payment, in its table') if $place eq 'tables';
	delete $found{$_} for keys %{ $allowed{$place} // {} };
	is_deeply(\%found, {}, "$place: and no number, CVV, holder, key or token that is not its") or diag(explain(\%found));
}
cmp_ok($search->{files}, '>', 2000, "the search has seen $search->{files} files, $search->{bytes} bytes");

done_testing();
