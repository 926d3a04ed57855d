-- SPDX-License-Identifier: MIT
-- A table of ROWS rows in memory: filled, indexed, grouped, joined. bench.py puts the number in.
CREATE TABLE item (id INTEGER PRIMARY KEY, kind INTEGER, name TEXT, price INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ROWS)
    INSERT INTO item SELECT i, i * 7919 % 97, 'item ' || (i * 104729 % 99991), i * 31 % 1000 FROM n;
CREATE INDEX by_name ON item (name);
SELECT kind, count(*), sum(price), min(name) FROM item GROUP BY kind ORDER BY 3 DESC LIMIT 5;
SELECT count(*) FROM item a JOIN item b ON a.name = b.name AND a.kind < b.kind;
UPDATE item SET price = price + 1 WHERE name LIKE '%77%';
SELECT sum(price) FROM item;
