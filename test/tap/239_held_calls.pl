# Between the intent of a request and its way to the bank there may be a long wait for a standby. What was decided when the intent was
# written must be true still when the request leaves: that the bank remembers its key; and what a look-up does not show counts from when it left.
use strict;
use warnings;
use lib 'test/lib';
use File::Temp;
use IPC::Run;
use PgwOperations;
use PgwScriptedBank;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

my $SHOWN_AFTER_S = 10;    # by a look-up, which comes some five seconds after a crash, as pg_receivewal connects again
my $COUNTS_AFTER_S = 15;
my $dir = File::Temp->newdir;
my $asked = "$dir/asked";
my @charges;

# The first charge of the token sale_lost and the first capture are not answered, and only when the test says so; no key is remembered.
sub hold_back
{
	open my $file, '>', $asked or die $!;
	close $file;
	for (1 .. 6000) { last unless -e $asked; sleep 0.01 }
	return;
}

sub serve
{
	my ($request) = @_;
	my $form = $request->{fields};
	return { document => \@charges } if $request->{path} eq '/books';
	my ($kind) = $request->{path} =~ m{^/(\w+)};
	my $charge = charge_asked_for(\@charges, $form);
	if ($kind eq 'look')
	{
		my $shown = grep { time > $_ + $SHOWN_AFTER_S } @{ $charge->{captures} };
		return { document => { state => 'ok', id => $charge->{id}, ref => $charge->{ref}, taken => 1000 * $shown } };
	}
	($charge) = grep { $_->{ref} eq $form->{ref} } @charges if $kind eq 'sale';
	push @charges, $charge = { id => 'c' . @charges, ref => $form->{ref}, tok => $form->{tok}, taken => 0, captures => [] } unless $charge;
	$charge->{taken} += $form->{sum} if $kind eq 'sale';
	return hold_back() if ($form->{tok} // '') eq 'sale_lost' && $charge->{taken} == $form->{sum};
	if ($kind eq 'capture')
	{
		hold_back() unless @{ $charge->{captures} };
		push @{ $charge->{captures} }, time;
	}
	return { document => { state => 'ok', id => $charge->{id}, ref => $charge->{ref} } };
}

my $bank = scripted_bank(\&serve);
my $node = pgw_node('held', debug => 1, init => { allows_streaming => 1 },
	conf => "fsync = off\nrestart_after_crash = on\npgw.fencing_delay = '3s'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '300ms'\npgw.breaker_failures = 10000\npgw.retry_budget = 100\n");
pgw_setup($node);

my %answer = (rules => [ { status => 200, when => { '/state' => 'ok' }, outcome => 'approved' } ], fields => { reference => '/ref', bank_reference => '/id' });
add_dialect($node, $bank, 'with_keys', {
	v => 2, capabilities => { tokens => JSON::PP::true },
	operations => { charge => { %{ form_request('/sale', \%answer, sum => '{{amount}}', tok => '{{token}}') }, idempotency => { header => 'X-Key', lifetime_seconds => 3600 } } } });
add_dialect($node, $bank, 'with_looks', {
	v => 2, capabilities => { tokens => JSON::PP::true, lookup_consistent_after_seconds => $COUNTS_AFTER_S },
	operations => {
		charge => form_request('/sale', \%answer, sum => '{{amount}}', tok => '{{token}}'),
		authorize => form_request('/sale', \%answer, sum => '{{amount}}', tok => '{{token}}'),
		lookup_charge => { method => 'GET', path => '/look?sale={{bank_reference}}', answer => { %answer, fields => { %{ $answer{fields} }, captured => '/taken' } } },
		capture => form_request('/capture', \%answer, sale => '{{bank_reference}}', sum => '{{amount}}'),
		void => form_request('/void', \%answer, sale => '{{bank_reference}}') } });

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub charge_of { my ($token) = @_; return (grep { $_->{tok} eq $token } bank_books($bank))[0] }

sub waits { return sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'pgw worker'") eq '1' }

# Commits wait for a standby that is not there ('nobody'), or for none ('').
sub standby
{
	my ($name) = @_;
	sql($name eq '' ? 'ALTER SYSTEM RESET synchronous_standby_names' : "ALTER SYSTEM SET synchronous_standby_names = '$name'");
	$node->reload;
	return wait_until(sub { sql('SHOW synchronous_standby_names') eq $name }, 20);
}

sub worker_mode { my ($mode) = @_; sql("ALTER SYSTEM SET pgw.worker_mode = '$mode'"); return $node->reload }

# Now it is there.
sub standby_comes
{
	my ($out, $err) = ('', '');
	mkdir "$dir/wal";
	return IPC::Run::start([ 'pg_receivewal', '--synchronous', '-D', "$dir/wal", '-s', 1, '-d', $node->connstr('postgres') . ' application_name=nobody' ], '<', \undef, '>', \$out, '2>', \$err);
}

sub standby_goes
{
	my ($standby) = @_;
	$standby->signal('INT');
	$standby->finish;
	standby('');
	return wait_until(sub { sql('SELECT reason FROM pgw.health_summary()') eq '' }, 30);
}

part($node, 'a key that is forgotten meanwhile', sub {
	sql(payment_sql('lost', bank => 'with_keys', token => 'sale_lost') =~ s/process_payment/submit_payment/r);
	ok(wait_until(sub { -e $asked }, 30), 'the bank has the charge');
	standby('nobody');
	standby('');
	ok(wait_until(sub { sql('SELECT reason FROM pgw.health_summary()') =~ /^fencing/ }, 20), 'for a while nothing new is sent');
	unlink $asked;
	ok(comes_to($node, 'lost', 'BankUnknown'), 'the bank does not answer');
	standby('nobody');
	ok(wait_until(sub { waits() }, 30), 'it is to be asked again, as it remembers the key, and the intent waits for the standby');
	is(charge_of('sale_lost')->{taken}, 1000, '... and nothing leaves');
	move_clock($node, 3600);
	my $standby = standby_comes();
	ok(comes_to($node, 'lost', 'RequiresManualReview'), 'when that is there, the key is forgotten: a person has to look');
	is(charge_of('sale_lost')->{taken}, 1000, '... and nothing is charged twice');
	like(events($node, 'lost'), qr/,BankOutcomeUnknown,BankStatusChecked,BankStatusChecked,ManualReviewRequired$/, 'the repetition that did not leave is told');
	ok(standby_goes($standby), 'all is well again');
	move_clock($node, 0);
});

part($node, 'a charge that expires meanwhile', sub {
	standby('nobody');
	my $submit = payment_sql('expired', bank => 'with_keys', token => 'sale_expired', expires_at => sql("SELECT now() + interval '10 min'")) =~ s/process_payment/submit_payment/r;
	sql("SET synchronous_commit = local; $submit");
	ok(wait_until(sub { waits() }, 30), 'the intent of a submitted payment waits for the standby');
	move_clock($node, 600);
	my $standby = standby_comes();
	ok(comes_to($node, 'expired', 'Failed'), 'when that is there, it has expired: it has failed');
	is(charge_of('sale_expired'), undef, '... and does not leave');
	is(sql("SELECT status, error_code FROM pgw.find_payment('expired')"), 'failed|request_expired', '... as who has submitted it is told');
	is(events($node, 'expired'), 'TransactionStarted,BankProcessingStarted,BankProcessingFailed,TransactionFailed', '... by these events');
	ok(standby_goes($standby), 'all is well again');
	move_clock($node, 0);
});

part($node, 'paused meanwhile', sub {
	standby('nobody');
	sql('SET synchronous_commit = local; ' . payment_sql('paused', bank => 'with_keys', token => 'sale_paused') =~ s/process_payment/submit_payment/r);
	ok(wait_until(sub { waits() }, 30), 'the intent of a submitted payment waits for the standby');
	my $log = -s $node->logfile;
	worker_mode('paused');
	my $standby = standby_comes();
	ok(wait_until(sub { slurp_file($node->logfile, $log) =~ /LOG:  pgw: worker paused for database/ }, 30), 'when that is there, the worker has been paused');
	my $from = sql('SELECT clock_timestamp()');
	ok(wait_until(sub { sql("SELECT clock_timestamp() - (details->>'last_turn_age_seconds')::float * interval '1 s' > '$from' FROM pgw.health() WHERE check_name = 'worker'") eq 't' }, 30), '... it goes on');
	is(charge_of('sale_paused'), undef, '... and sends nothing');
	worker_mode('on');
	ok(comes_to($node, 'paused', 'Completed'), '... until that is over');
	ok(standby_goes($standby), 'all is well again');
});

part($node, 'sent late, by a worker that ended', sub {
	my $caller = PgwSession->new($node);
	$caller->run('BEGIN; SET LOCAL synchronous_commit = local');
	is($caller->run(payment_sql('late', bank => 'with_looks', token => 'sale_late', capture => 'on_commit')), 'authorized', 'a payment is authorized');
	standby('nobody');
	$caller->run('COMMIT');
	ok(wait_until(sub { waits() }, 30), "the intent of its capture waits for the standby");
	ok(wait_until(sub { sql("SELECT clock_timestamp() - state_change > interval '$COUNTS_AFTER_S s' FROM pg_stat_activity WHERE backend_type = 'pgw worker'") eq 't' }, 30), '... for long');
	ok(!-e $asked, '... and it does not leave');
	my $standby = standby_comes();
	ok(wait_until(sub { -e $asked }, 40), 'it does when that is there');
	crash($node, sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'"));
	wait_worker($node);
	unlink $asked;
	ok(comes_to($node, 'late', 'Completed'), 'another worker finds out what became of it');
	is(scalar @{ charge_of('sale_late')->{captures} }, 1, '... and does not send it again because the bank does not show it yet');
	ok(standby_goes($standby), 'all is well again');
});

$node->stop('fast');
done_testing();
