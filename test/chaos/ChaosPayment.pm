# ChaosPayment - the ways in which a client of the run pays: in autocommit or a transaction, with savepoints, exceptions, two-phase commit, together with
# another client, and with what it does to its own statement meanwhile.  Each way ends with one of these:
#
#   ('committed', status), ('rolled back'), ('prepared', status), ('error'): surely not committed, ('unknown'): lost at COMMIT
package ChaosPayment;

use strict;
use warnings;
use parent 'ChaosSession';
use JSON::PP;
use Time::HiRes qw(time usleep);

# Card data must not be literals, and psql sends nothing else: they come out of a function, which drops the x between their parts.
our $spelt = q{CREATE FUNCTION spelt(v text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$BEGIN RETURN replace(v, 'x', ''); END$$};

sub literal { my ($v) = @_; return "'" . $v =~ s/'/''/gr . "'" }

sub call
{
	my ($o, $function, %a) = @_;
	my %arg = (client_request_id => $o->{id}, currency => $o->{currency}, capture => $o->{capture}, merchant => $o->{merchant}, reference => "order $o->{id}");
	$arg{token} = $o->{token} if $o->{token};
	$arg{bank} = $o->{bank} if $o->{bank};
	$arg{timeout} = ($a{timeout} // 2500) . ' ms' if $function eq 'process';
	my $args = join ', ', 'amount => ' . ($a{amount} // $o->{amount}), map { "$_ => " . literal($arg{$_}) } sort keys %arg;
	$args .= sprintf(", card_number => spelt('%s'), card_expiry_month => 12, card_expiry_year => 2039, card_cvv => spelt('%s'), card_holder => spelt('A. HOLDER')",
		$o->{card} =~ s/\./x/gr, $o->{card} =~ /^37/ ? '1234' : '123') if $o->{card};
	return "pgw.${function}_payment($args)";
}

sub insert_order
{
	my ($o, $payment_id, $status) = @_;
	return sprintf "INSERT INTO orders (merchant, client_request_id, payment_id, status) VALUES ('%s', '%s', %s, '%s')
		ON CONFLICT (merchant, client_request_id) DO UPDATE SET payment_id = coalesce(excluded.payment_id, orders.payment_id), status = excluded.status",
	  $o->{merchant}, $o->{id}, $payment_id ? "'$payment_id'" : 'NULL', $status;
}

sub update_order
{
	my ($o, $payment_id, $status) = @_;
	return "UPDATE orders SET payment_id = '$payment_id', status = '$status' WHERE merchant = '$o->{merchant}' AND client_request_id = '$o->{id}'";
}

# Pay in autocommit, the order's row in the same statement.  (committed, status) or (error)
sub pay_in_autocommit
{
	my ($self, $n, $o, %a) = @_;
	my $call = call($o, $a{function} // $o->{function}, %a);
	$self->session($n)->send("WITH p AS MATERIALIZED (SELECT * FROM $call)
		INSERT INTO orders (merchant, client_request_id, payment_id, status) SELECT '$o->{merchant}', p.client_request_id, p.payment_id, p.status::text FROM p
		ON CONFLICT (merchant, client_request_id) DO UPDATE SET payment_id = excluded.payment_id, status = excluded.status RETURNING status, payment_id");
	return $a{begun} ? () : $self->autocommit_answer($n, $o);
}

sub autocommit_answer
{
	my ($self, $n, $o) = @_;
	$self->finish($n) or return 'error';
	my ($status, $payment_id) = $self->row($n);
	$o->{payment_id} = $payment_id;
	return ('committed', $status);
}

# BEGIN, the order, the payment, and the end that is asked for: COMMIT, ROLLBACK, PREPARE.
sub transaction
{
	my ($self, $o, %a) = @_;
	my $pay = 'SELECT status, payment_id FROM ' . call($o, $o->{function}, timeout => $a{timeout});
	my $undo = sub { $self->run(1, 'ROLLBACK') if $self->{state} ne '08006'; return 'error' };

	$self->run(1, 'BEGIN ISOLATION LEVEL ' . ($a{isolation} // $o->{isolation})) or return 'error';
	if ($a{conflict}) { $self->run(1, "SELECT n FROM stock WHERE k = $a{conflict}") or return $undo->() }
	if ($a{before}) { $self->run(1, $_) or return $undo->() for @{ $a{before} } }
	if (!$a{pay_first}) { $self->run(1, insert_order($o, undef, 'new')) or return $undo->() }
	$self->session(1)->send($a{per_column} ? $pay =~ s/^SELECT status, payment_id FROM (.*)$/SELECT ($1).*/sr : $pay);
	$a{during}->() if $a{during};
	$self->finish(1) or return $undo->();
	my @row = $self->row(1);
	my ($status, $payment_id) = $a{per_column} ? @row[ 3, 0 ] : @row;
	$o->{payment_id} = $payment_id;
	if ($a{after}) { $self->run(1, $_) or return $undo->() for @{ $a{after} } }
	$self->run(1, $a{pay_first} ? insert_order($o, $payment_id, $status) : update_order($o, $payment_id, $status)) or return $undo->();
	if ($a{conflict}) { $self->run(1, "UPDATE stock SET n = n - 1 WHERE k = $a{conflict}") or return $undo->() }

	my $how = $a{end} // 'COMMIT';
	if (!$self->run(1, $how))
	{
		return 'unknown' if $self->{state} eq '08006' && $how ne 'ROLLBACK';
		return $how eq 'ROLLBACK' ? 'rolled back' : $undo->();
	}
	return $how eq 'COMMIT' ? ('committed', $status) : $how eq 'ROLLBACK' ? 'rolled back' : ('prepared', $status);
}

# ---- the first attempt, in the way that the plan names

sub kill_client { my ($self) = @_; kill 'KILL', $self->{sessions}{1}{pid}; return }

# During a call: wait the moment that the plan names, then strike from the other session.
sub strike
{
	my ($self, $o, $function) = @_;
	usleep(1000 * $o->{delay_ms});
	$self->run(2, "SELECT $function(" . $self->{sessions}{1}->backend . ')');
	return;
}

sub first_attempt
{
	my ($self, $o) = @_;
	my $shape = $o->{shape};
	my $savepoint = call($o, $o->{function});

	return $self->pay_in_autocommit(1, $o) if $shape eq 'auto' || $shape eq 'mismatch';
	return $self->transaction($o) if $shape eq 'tx';
	return $self->transaction($o, pay_first => 1) if $shape eq 'pay_first';
	return $self->transaction($o, conflict => 1 + $o->{amount} % 2) if $shape eq 'conflict';
	return $self->transaction($o, end => 'ROLLBACK') if $shape =~ /^rollback/;
	return $self->transaction($o, per_column => 1) if $shape eq 'per_column';
	return $self->transaction($o, before => [ 'SET LOCAL statement_timeout = ' . (5 + $o->{delay_ms}) ], after => ['SET LOCAL statement_timeout = 0'], pay_first => 1)
	  if $shape eq 'statement_timeout';
	return $self->transaction($o, timeout => $o->{delay_ms}) if $shape eq 'short_wait';
	return $self->transaction($o, timeout => $o->{delay_ms}, end => 'ROLLBACK') if $shape eq 'short_wait_rollback';
	return $self->transaction($o, during => sub { usleep(1000 * $o->{delay_ms}); $self->kill_client }) if $shape eq 'client_gone';
	return $self->transaction($o, during => sub { $self->strike($o, 'pg_cancel_backend') }) if $shape eq 'cancel';
	return $self->transaction($o, during => sub { $self->strike($o, 'pg_terminate_backend') }) if $shape eq 'terminate';
	return $self->savepoint($o) if $shape =~ /^savepoint/;
	return $self->exception($o) if $shape =~ /^exception/;
	return $self->two_phase($o) if $shape =~ /^two_phase/;
	return $self->duplicate($o) if $shape =~ /^duplicate/;
	return $self->pay_crosswise($o) if $shape eq 'cross';
	die "unknown shape $shape";
}

# ROLLBACK TO: without the order, or again in the same transaction.
sub savepoint
{
	my ($self, $o) = @_;
	my $undo = sub { $self->run(1, 'ROLLBACK') if $self->{state} ne '08006'; return 'error' };
	$self->run(1, 'BEGIN ISOLATION LEVEL ' . $o->{isolation}) or return 'error';
	for my $sql ('SAVEPOINT s', insert_order($o, undef, 'new'), 'SELECT status FROM ' . call($o, $o->{function}), 'ROLLBACK TO s')
	{
		$self->run(1, $sql) or return $undo->();
	}
	my $status = 'none';
	if ($o->{shape} eq 'savepoint_retry')
	{
		$self->run(1, 'SELECT status, payment_id FROM ' . call($o, $o->{function})) or return $undo->();
		($status, $o->{payment_id}) = $self->row(1);
		$self->run(1, insert_order($o, $o->{payment_id}, $status)) or return $undo->();
	}
	$self->run(1, "UPDATE stock SET n = n - 1 WHERE k = 3") or return $undo->();
	if (!$self->run(1, 'COMMIT')) { return $self->{state} eq '08006' && $status ne 'none' ? 'unknown' : $undo->() }
	return $status eq 'none' ? 'rolled back' : ('committed', $status);
}

sub exception
{
	my ($self, $o) = @_;
	my $sql = insert_order($o, undef, 'new');
	my $call = call($o, $o->{function});
	$self->run(1, "DO \$\$ BEGIN BEGIN $sql; PERFORM $call; RAISE EXCEPTION 'undone' USING ERRCODE = 'P0001'; EXCEPTION WHEN SQLSTATE 'P0001' THEN NULL; END; END \$\$")
	  or return 'error';
	return $o->{shape} eq 'exception_retry' ? $self->transaction($o) : 'rolled back';
}

sub two_phase
{
	my ($self, $o) = @_;
	my $gid = "$o->{id}-" . ++$self->{gids};
	my ($end, $status) = $self->transaction($o, end => "PREPARE TRANSACTION '$gid'");
	return $end if $end eq 'error';
	if ($end eq 'unknown')
	{
		$self->until_run(1, "SELECT count(*) FROM pg_prepared_xacts WHERE gid = '$gid'");
		return 'error' unless ($self->row(1))[0];
	}
	$self->count('prepared');

	# nobody else gets in between
	if ($o->{delay_ms} % 3 == 0 && $self->run(2, 'SELECT status FROM ' . call($o, 'process', timeout => 60)))
	{
		$self->wrong("a second call got an answer while the first one's transaction was prepared: $self->{sessions}{2}{out}");
	}
	push @{ $self->{prepared} }, { gid => $gid, order => $o, left => $o->{orders_later} };
	return 'prepared';
}

# Both at once; the second waits for the first one's end, and then replays or takes over.
sub duplicate
{
	my ($self, $o) = @_;
	my $commits = $o->{shape} eq 'duplicate';
	my $second = 0;
	my ($end, $status) = $self->transaction($o, pay_first => 1, end => $commits ? 'COMMIT' : 'ROLLBACK',
		during => sub { $self->pay_in_autocommit(2, $o, function => $o->{other_function}, begun => 1, timeout => 5000); $second = 1 });
	if ($second)
	{
		my ($end2) = $self->autocommit_answer(2, $o);
		$self->count('duplicate answered') if $end2 eq 'committed';
	}
	return ('committed', $status) if $end eq 'committed';
	return 'unknown';
}

sub pay_crosswise
{
	my ($self, $o) = @_;
	my $p = $o->{peer};
	return $self->pay_in_bundles($o) if !$o->{card} && $o->{delay_ms} % 2;
	my @begin = ('BEGIN ISOLATION LEVEL ' . $o->{isolation});
	my $ok = 1;
	my %pay = map { $_->{id} => 'SELECT status, payment_id FROM ' . call($_, 'process') } $o, $p;
	for ([ 1, @begin, $pay{ $o->{id} } ], [ 2, @begin, $pay{ $p->{id} } ])
	{
		my ($n, @sql) = @$_;
		$ok &&= $self->run($n, $_) for @sql;
	}
	if ($ok)
	{
		$self->session(1)->send($pay{ $p->{id} });
		$self->session(2)->send($pay{ $o->{id} });
		$self->finish($_) for 1, 2;
	}
	for my $n (1, 2)
	{
		my $s = $self->{sessions}{$n} or next;
		my $good = $ok && $s->state eq '00000';
		$good &&= $self->run($n, insert_order($_, undef, 'new')) for $o, $p;
		$self->run($n, $good ? 'COMMIT' : 'ROLLBACK') if $self->{sessions}{$n};
	}
	return 'unknown';
}

# Both in one call of each client, the other way round; what became of it is asked for one by one.
sub pay_in_bundles
{
	my ($self, $o) = @_;
	my @both = ($o, $o->{peer});
	for my $n (1, 2)
	{
		my @requests = map { my $q = $_; +{ client_request_id => $q->{id}, reference => "order $q->{id}", amount => 0 + $q->{amount}, map { $_ => $q->{$_} } grep { defined $q->{$_} } qw(currency capture merchant token bank) } } @both;
		$self->session($n)->send('SELECT count(*) FROM pgw.process_payments(' . literal(JSON::PP->new->canonical->encode(\@requests)) . ", atomic => " . ($o->{delay_ms} % 4 == 1 ? 'true' : 'false') . ", timeout => '2500 ms')");
		@both = reverse @both;
	}
	$self->finish($_, may => 'PW(402|502|504)') && $self->count('bundle answered') for 1, 2;
	return 'unknown';
}

# ---- and to the end, after something went wrong

# The same call until its answer is final.  A submit that is on its way is waited for.
sub until_final
{
	my ($self, $o, $n) = @_;
	$n //= 1;
	while (time < $self->{end})
	{
		my ($end, $status) = $self->pay_in_autocommit($n, $o);
		if ($end eq 'committed')
		{
			return $status if $status ne 'pending';
			return $status if $o->{function} eq 'submit' && !$o->{waits};
			$self->run($n, "SELECT status FROM pgw.wait_for_payment('$o->{payment_id}', '2s')");
			next;
		}
		usleep(1000 * (5 + $o->{delay_ms}));    # a client backs off
	}
	die "no final answer\n";
}

1;
