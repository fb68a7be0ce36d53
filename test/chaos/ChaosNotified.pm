# ChaosNotified - a run in which the bank's notifications alone say what became of an order: the banks accept what they are asked for and can be asked nothing, a postman brings what
# they say, and endpoints die before and after they have committed it.
package ChaosNotified;

use strict;
use warnings;
use POSIX ();
use PgwNotifying;
use PgwPostman;
use PgwSession;
use Time::HiRes qw(usleep);

my $key = 'chaos-notifications';
# each simulator, and the row of pgw.banks that it speaks for: one of them moves between two
my %speaks_for = (main => 'bank', other => 'bank', backup => 'backup');
# of a hundred endpoints: die before the COMMIT, or after it and before the answer
my ($die_before, $die_after) = (3, 5);

sub postman { my ($server, $name) = @_; return PgwPostman->new(url => $server->{banks}{$name}{url}, bank => $speaks_for{$name}) }

sub prepare
{
	my ($server) = @_;
	$server->query(told_connector('told') =~ s/\s+/ /gr);
	# the server's clock jumps by an hour
	$server->query(q(UPDATE pgw.connectors SET definition = jsonb_set(definition::jsonb, '{notifications,signature,tolerance_seconds}', '7200') WHERE name = 'told'));
	open my $f, '>', "$ENV{PGW_WORK}/secrets/notifications" or die $!;
	print $f "$key\n";
	close $f;
	chmod 0600, "$ENV{PGW_WORK}/secrets/notifications";
	return;
}

# When the banks have their rows.
sub begin
{
	my ($server) = @_;
	$server->query("UPDATE pgw.banks SET notification_secret = 'notifications' WHERE connector = 'told'");
	$server->bank($_, 'POST', '/control/settings', { notifies => $key, accepts => [qw(charge authorize capture void refund)], accepted_ms => { min => 5, max => 150 }, disputes => 0.1 }) for sort keys %speaks_for;
	return;
}

# One notification in a transaction of its own; undef: the bank gets no answer.  The endpoint's session is lost with its server, or is killed.
sub hand_over
{
	my ($server, $session, $dice, $sql) = @_;
	my $s = $$session //= PgwSession->new($server, name => 'endpoint');
	my $fate = $dice->() * 100;
	my $answer = $s->run("BEGIN; $sql");
	my $good = $s->state eq '00000';
	if ($good && $fate >= $die_before)
	{
		$s->run('COMMIT');
		$good = $s->state eq '00000' && $fate >= $die_before + $die_after;
	}
	else { $good = 0 }
	return $answer if $good;
	$s->lose;
	undef $$session;
	usleep(20_000);    # an endpoint that starts anew
	return undef;
}

# The postman's process, until it is ended; what was answered is kept in a file.
sub deliver
{
	my ($server, $seed) = @_;
	my $pid = fork // die $!;
	return $pid if $pid;
	my $ended = 0;
	@SIG{qw(TERM INT)} = (sub { $ended = 1 }, 'DEFAULT');
	my ($session, %answers);
	my $dice = ChaosPlan::random_numbers($seed);
	my @postmen = map { postman($server, $_) } sort keys %speaks_for;
	while (!$ended)
	{
		my $brought = 0;
		$brought += eval { $_->round(sub { hand_over($server, \$session, $dice, $_[0]) }) } // 0 for @postmen;
		open my $f, '>', "$server->{dir}/answers.new" or last;
		for my $p (@postmen) { print $f map { "$_\t$p->{verdicts}{$_}\n" } keys %{ $p->{verdicts} } }
		close $f;
		rename "$server->{dir}/answers.new", "$server->{dir}/answers";
		usleep(20_000) if !$brought;
	}
	POSIX::_exit(0);
}

# Nothing more is brought.
sub end
{
	my ($pid) = @_;
	kill 'TERM', $pid;
	waitpid $pid, 0;
	return;
}

# What has not been brought so far.
sub unrest
{
	my ($server) = @_;
	my ($disputes) = map { $_->[0] } $server->query("SELECT count(*) FROM pgw.notifications n JOIN pgw.payment_transactions t USING (transaction_id) WHERE n.dispute = 'waiting' AND t.status = 'Completed'");
	return ((map { "notifications of $_ that were not taken" } grep { postman($server, $_)->left } sort keys %speaks_for), $disputes ? "disputes that are not recorded: $disputes" : ());
}

# How often each answer was given.
sub answers
{
	my ($server) = @_;
	my %n;
	open my $f, '<', "$server->{dir}/answers" or return {};
	while (<$f>) { my ($verdict, $n) = split; $n{$verdict} += $n }
	return \%n;
}

# What the run was about has happened, and every notification has one row.
sub judge
{
	my ($server, $answers) = @_;
	my @never = grep { !$answers->{$_} } qw(accepted repeated wrong_signature other_mode unanswered);
	my @twice = $server->query('SELECT transaction_id, bank || \' \' || event_id FROM pgw.notifications GROUP BY 1, bank, event_id HAVING count(*) > 1');
	my @waits = $server->query("SELECT transaction_id, event_type || ' ' || event_id FROM pgw.notifications WHERE evidence = 'waiting'");
	# of what was kept; what is given back, or waits for a person, has its dispute waiting
	my @disputes = $server->query(q{WITH at_bank AS (
			SELECT d.charge_reference AS reference, sum(greatest(d.withdrawn - d.reinstated, 0)) AS taken FROM chaos.doc, json_to_recordset(ledger -> 'disputes') AS d (charge_reference uuid, withdrawn bigint, reinstated bigint) GROUP BY 1)
		SELECT t.transaction_id, 'the bank has taken ' || coalesce(b.taken, 0) || ' by disputes, the payment says ' || coalesce(p.disputed_amount, 0)
		FROM pgw.payments p JOIN pgw.payment_transactions t USING (transaction_id) LEFT JOIN at_bank b ON b.reference = t.transaction_id
		WHERE t.status = 'Completed' AND coalesce(b.taken, 0) <> coalesce(p.disputed_amount, 0)
		UNION ALL SELECT n.transaction_id, 'a notification of a dispute is ' || n.dispute FROM pgw.notifications n LEFT JOIN pgw.payment_transactions t USING (transaction_id)
		WHERE n.dispute = 'unclear' OR n.dispute = 'waiting' AND t.status = 'Completed'});
	my ($taken) = map { $_->[0] } $server->query('SELECT count(*) FROM pgw.payments WHERE disputed_amount > 0');
	push @disputes, [ '', 'no dispute has taken anything' ] if !$taken;
	return (
		{ name => 'notified: what disputes have taken is what the bank has taken', bad => \@disputes },
		{ name => 'notified: taken, and taken before, forged, of another mode, and not answered', bad => [ map { [ '', "no $_" ] } @never ] },
		{ name => 'notified: each notification has one row', bad => \@twice },
		{ name => 'notified: none is left unused', bad => \@waits });
}

1;
