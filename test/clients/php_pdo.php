<?php
// The cases of make check-clients with PHP's PDO; argument "emulated": with emulated prepares, which write the parameters into the statement.
// PDO cannot tell DETAIL apart: it stands in the message.  Notifications are read by pgsqlGetNotify().
$run = getenv('RUN');
$card = str_repeat('4242', 4);
$pay = 'SELECT * FROM pgw.process_payment(?, ?, ?, ?)';
$with_card = "SELECT * FROM pgw.process_payment(?, 4990, 'EUR', card_number => ?, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => ?)";
$emulated = ($argv[1] ?? '') === 'emulated';

function connected(): PDO
{
	global $emulated;
	$port = getenv('PGPORT');
	return new PDO("pgsql:host=127.0.0.1;port=$port;dbname=" . getenv('PGDATABASE') . ';user=' . getenv('PGUSER'), null, null,
		[PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_EMULATE_PREPARES => $emulated, PDO::PGSQL_ATTR_DISABLE_PREPARES => !$emulated]);
}
function row(PDO $c, string $sql, array $values = []): array|false
{
	$s = $c->prepare($sql);
	$s->execute($values);
	return $s->fetch(PDO::FETCH_ASSOC);
}
function pay(PDO $c, string $name, string $token = 'tok_ok'): array
{
	global $run, $pay;
	return row($c, $pay, ["$run-$name", 4990, 'EUR', $token]);
}
function submit(PDO $c, string $name): array
{
	global $run;
	$id = row($c, 'SELECT * FROM pgw.submit_payment(?, ?, ?, ?)', ["$run-$name", 4990, 'EUR', 'tok_ok'])['payment_id'];
	return row($c, 'SELECT * FROM pgw.wait_for_payment(?)', [$id]);
}
function serialization(PDO $c): string
{
	global $run;
	$other = connected();
	for ($attempt = 1; ; $attempt++) {
		try {
			$c->beginTransaction();
			$c->exec('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE');
			row($c, 'SELECT n FROM stock WHERE run = ?', [$run]);
			$r = pay($c, '40001');
			if ($attempt === 1)
				$other->prepare('UPDATE stock SET n = n - 1 WHERE run = ?')->execute([$run]);
			$c->prepare('UPDATE stock SET n = n - 1 WHERE run = ?')->execute([$run]);
			$c->commit();
			return "{$r['status']} at $attempt";
		} catch (PDOException $e) {
			if ($c->inTransaction())
				$c->rollBack();
			if ($e->getCode() !== '40001' || $attempt === 3)
				throw $e;
		}
	}
}
$cases = [
	'token' => fn($c) => pay($c, 'token')['status'],
	'card_bound' => fn($c) => row($c, $with_card, ["$run-card", $card, '123'])['status'],
	'card_interpolated' => fn($c) => $c->query(vsprintf(str_replace('?', "'%s'", $with_card), ["$run-literal", $card, '123']))->fetch()['status'],
	'decline_row' => function ($c) { $r = pay($c, 'no', 'tok_decline_insufficient_funds'); return "{$r['status']} {$r['error_code']}"; },
	'decline_raise' => fn($c) => row($c, substr($pay, 0, -1) . ", on_failure => 'raise')", ["$run-raise", 4990, 'EUR', 'tok_decline_do_not_honor'])['status'],
	'pw400' => fn($c) => row($c, $pay, ["$run-bad", 0, 'EUR', 'tok_ok'])['status'],
	'serialization' => 'serialization',
	// as listeners do, it waits without a statement of its own; another connection pays
	'notify' => function ($c) {
		$c->exec('LISTEN pgw_payments');
		$id = submit(connected(), 'notify')['payment_id'];
		while ($n = $c->pgsqlGetNotify(PDO::FETCH_ASSOC, 1000 * getenv('LISTEN_SECONDS')))
			if (str_contains($n['payload'], $id))
				return 'heard';
		return 'lost';
	},
	'refund' => function ($c) use ($run) {
		$id = pay($c, 'refund')['payment_id'];
		row($c, 'SELECT pgw.refund_payment(?, ?)', [$id, "$run-back"]);
		return row($c, 'SELECT * FROM pgw.wait_for_payment(?)', [$id])['status'];
	},
	'types' => function ($c) { $r = pay($c, 'token'); return implode(' ', array_map(fn($k) => get_debug_type($r[$k]), ['payment_id', 'status', 'amount', 'details', 'created_at', 'replayed'])); },
];
foreach ($cases as $case => $code) {
	$c = connected();
	try {
		$result = $code($c);
	} catch (PDOException $e) {
		$result = $e->getCode();
		if (str_starts_with($result, 'PW'))
			$result .= preg_match('/DETAIL:\s+[\[{]/', $e->getMessage()) ? ' DETAIL' : ' no DETAIL';
	}
	print "$case\t$result\n";
	$c = null;
}
