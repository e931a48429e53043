-- The arguments of a notifier, which may be secret, stood in the ledger: a digest of them does as well.
UPDATE millrace.notice SET
    destination = coalesce(substring(destination FROM '"class": "([^"\\]*)"'), 'notifier')
    || ' ' || left(encode(sha256(convert_to(destination, 'UTF8')), 'hex'), 12)
WHERE destination LIKE '{%';

COMMENT ON COLUMN millrace.notice.destination IS
'The Connection, or the class of a notifier and a digest of its arguments.';
