# BenchHooks.pm - endpoints of webhooks while payments are made: one that takes each message ("told"), or two that take none, since one refuses the connection and the other never answers ("deaf")
package BenchHooks;
use strict;
use warnings;
use BenchStage;
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(hooks_up hooks_down);

# Answers 200 to whatever comes.
sub serve
{
	my ($listener) = @_;
	my $select = IO::Select->new($listener);
	my %buffer;
	while (my @ready = $select->can_read)
	{
		for my $c (@ready)
		{
			if ($c == $listener) { $select->add(scalar $listener->accept); next }
			if (!sysread $c, $buffer{$c}, 65536, length($buffer{$c} // '')) { $select->remove($c); delete $buffer{$c}; close $c; next }
			while ($buffer{$c} =~ /\r\n\r\n/)
			{
				my ($head, $length) = ($+[0], $buffer{$c} =~ /^content-length:\s*(\d+)/im);
				last if length $buffer{$c} < $head + ($length // 0);
				substr $buffer{$c}, 0, $head + ($length // 0), '';
				syswrite $c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
			}
		}
	}
	return;
}

sub count { my ($status) = @_; return sql("SELECT count(*) FROM pgw.webhook_queue WHERE status IN ($status)") }

sub hooks_up
{
	my ($deaf) = @_;
	open my $f, '>', "$ENV{PGW_WORK}/secrets/webhook" or die $!;
	print $f "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n";
	close $f;
	chmod 0600, "$ENV{PGW_WORK}/secrets/webhook";
	my %h = (deaf => $deaf, listener => IO::Socket::INET->new(Listen => 1000, ReuseAddr => 1, LocalAddr => '127.0.0.1'), began => time);
	my $url = 'http://127.0.0.1:' . $h{listener}->sockport . '/';
	if (!$deaf)
	{
		$h{pid} = fork // die $!;
		if (!$h{pid}) { $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP); serve($h{listener}) }
	}
	sql('TRUNCATE pgw.webhook_queue');
	sql("INSERT INTO pgw.webhook_endpoints (endpoint, url, secret, max_in_flight) VALUES ('bench', '$url', 'webhook', 200)" . ($deaf ? ", ('closed', 'http://127.0.0.1:1/', 'webhook', 200)" : ''));
	my $end = time + 30;
	while (sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pgw webhooks'") eq '0') { die 'nobody sends webhooks' if time > $end; usleep(50_000) }
	return \%h;
}

# Each payment has one message to each endpoint: all of them were taken, or none.  How many, and how many a second while they waited: after the last payment, so that nothing else is done.
sub hooks_down
{
	my ($h) = @_;
	my ($before, $began, $left) = (count("'delivered'"), time, 0);
	if (!$h->{deaf})
	{
		my $quiet = 0;
		while ($quiet < 3) { usleep(300_000); $quiet = count("'waiting', 'behind'") eq '0' ? $quiet + 1 : 0; $left = time if $quiet == 1 }
	}
	else { usleep(1_500_000) }
	my %r = (deaf => $h->{deaf}, delivered => count("'delivered'"), waiting => count("'waiting', 'behind', 'failed'"));
	$r{rest} = $r{delivered} - $before;
	$r{rate} = $r{rest} / ($left - $began) if $left > $began;
	sql('DELETE FROM pgw.webhook_endpoints; TRUNCATE pgw.webhook_queue');
	if ($h->{pid}) { kill 'TERM', $h->{pid}; waitpid $h->{pid}, 0 }
	die "$r{waiting} webhooks were not taken\n" if !$h->{deaf} && $r{waiting} > 0;
	die "$r{delivered} webhooks were taken by nobody\n" if $h->{deaf} && $r{delivered} > 0;
	return \%r;
}

1;
