-- Notifications: what is refused before anything is looked at, and a bank's row; taken ones: test/tap/400_notifications.pl.
\set VERBOSITY default
\set SHOW_CONTEXT never
INSERT INTO pgw.banks (name, connector, base_url, secret, notification_secret, livemode, priority, enabled) VALUES
	('hooked', 'checkout', 'https://bank.example', 'bank', 'hooks', false, 900, false), ('unhooked', 'checkout', 'https://bank.example', 'bank', NULL, false, 900, false);
SELECT name, r.* FROM (VALUES ('hooked'), ('unhooked'), ('test'), ('nobody')) b (name), pgw.receive_notification(name, '{}', '{}') r;
SELECT * FROM pgw.receive_notification('hooked', NULL, '');
SELECT * FROM pgw.receive_notification('hooked', '[1]', '');
SELECT * FROM pgw.receive_notification('hooked', '{"Cko-Signature": ["a", "b"]}', 'x', received_at => now() + interval '1 day');
SELECT * FROM pgw.receive_notification('hooked', '{"Cko-Signature": "a"}', decode(repeat('00', 256 * 1024 + 1), 'hex'));
SELECT count(*) FROM pgw.notifications;
SELECT pgw.receive_notification(NULL, '{}', '');
\echo :SQLSTATE
SELECT pgw.receive_notification('hooked', '{}', NULL);
\echo :SQLSTATE
SELECT pgw.receive_notification('hooked', '{}', '', received_at => '-infinity');
\echo :SQLSTATE
BEGIN READ ONLY;
SELECT pgw.receive_notification('hooked', '{}', '');
\echo :SQLSTATE
ROLLBACK;
-- the bank's key is never read here
UPDATE pgw.banks SET notification_secret = 'bank' WHERE name = 'hooked';
\echo :SQLSTATE
UPDATE pgw.banks SET notification_secret = '../hooks' WHERE name = 'hooked';
\echo :SQLSTATE
DELETE FROM pgw.banks WHERE name IN ('hooked', 'unhooked');
