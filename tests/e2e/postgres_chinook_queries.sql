-- Joins and aggregates over the Chinook database as PostgreSQL has it, one per paragraph. Each orders its rows
-- completely, so that every client must see the same bytes.

-- Sales per country: an aggregate over a join
SELECT c.country, count(DISTINCT c.customer_id) AS customers, count(*) AS invoices, sum(i.total) AS total,
       avg(i.total) AS mean
FROM customer AS c JOIN invoice AS i ON i.customer_id = c.customer_id
GROUP BY c.country ORDER BY total DESC, c.country;

-- The twenty artists that sell best: four joins
SELECT ar.name AS artist, sum(il.unit_price * il.quantity) AS revenue, sum(il.quantity) AS sold
FROM invoice_line AS il
JOIN track AS t ON t.track_id = il.track_id
JOIN album AS al ON al.album_id = t.album_id
JOIN artist AS ar ON ar.artist_id = al.artist_id
GROUP BY ar.artist_id ORDER BY revenue DESC, ar.name LIMIT 20;

-- Artists without an album: an anti-join
SELECT ar.artist_id, ar.name FROM artist AS ar LEFT JOIN album AS al ON al.artist_id = ar.artist_id
WHERE al.album_id IS NULL ORDER BY ar.artist_id;

-- Minutes of music per genre and medium, with the empty pairs
SELECT g.name AS genre, m.name AS medium, count(t.track_id) AS tracks, sum(t.milliseconds) / 60000.0 AS minutes,
       max(t.bytes) AS largest, avg(t.milliseconds::float8) AS mean
FROM genre AS g CROSS JOIN media_type AS m
LEFT JOIN track AS t ON t.genre_id = g.genre_id AND t.media_type_id = m.media_type_id
GROUP BY g.genre_id, m.media_type_id ORDER BY g.genre_id, m.media_type_id;

-- Every sold line with its whole story: eight joins, NULLs, and text beyond ASCII
SELECT il.invoice_line_id, i.invoice_date, c.first_name || ' ' || c.last_name AS customer, c.company,
       e.last_name AS agent, t.name AS track, t.composer, al.title AS album, ar.name AS artist, g.name AS genre,
       m.name AS medium, il.unit_price, il.quantity
FROM invoice_line AS il
JOIN invoice AS i ON i.invoice_id = il.invoice_id
JOIN customer AS c ON c.customer_id = i.customer_id
LEFT JOIN employee AS e ON e.employee_id = c.support_rep_id
JOIN track AS t ON t.track_id = il.track_id
LEFT JOIN album AS al ON al.album_id = t.album_id
LEFT JOIN artist AS ar ON ar.artist_id = al.artist_id
LEFT JOIN genre AS g ON g.genre_id = t.genre_id
LEFT JOIN media_type AS m ON m.media_type_id = t.media_type_id
ORDER BY il.invoice_line_id;

-- Who reports to whom, all levels: a recursive query
WITH RECURSIVE chain(employee_id, name, level, path) AS (
  SELECT employee_id, first_name || ' ' || last_name, 0, last_name::text FROM employee WHERE reports_to IS NULL
  UNION ALL
  SELECT e.employee_id, e.first_name || ' ' || e.last_name, chain.level + 1, chain.path || ' > ' || e.last_name
  FROM employee AS e JOIN chain ON e.reports_to = chain.employee_id)
SELECT level, name, path FROM chain ORDER BY path;

-- Sales per month with a running total: a window over an aggregate
SELECT month, sales, sum(sales) OVER (ORDER BY month) AS so_far, rank() OVER (ORDER BY sales DESC) AS place
FROM (SELECT to_char(invoice_date, 'YYYY-MM') AS month, sum(total) AS sales FROM invoice GROUP BY month) AS monthly
ORDER BY month;

-- The longest track of each album that has more than ten
SELECT al.title, count(*) AS tracks, max(t.milliseconds) AS longest,
       (SELECT x.name FROM track AS x WHERE x.album_id = al.album_id ORDER BY x.milliseconds DESC, x.track_id LIMIT 1)
       AS name
FROM album AS al JOIN track AS t ON t.album_id = al.album_id
GROUP BY al.album_id HAVING count(*) > 10 ORDER BY tracks DESC, al.album_id;

-- Playlists and what they hold
SELECT p.playlist_id, p.name, count(pt.track_id) AS tracks, count(DISTINCT t.album_id) AS albums,
       coalesce(sum(t.unit_price), 0) AS price
FROM playlist AS p
LEFT JOIN playlist_track AS pt ON pt.playlist_id = p.playlist_id
LEFT JOIN track AS t ON t.track_id = pt.track_id
GROUP BY p.playlist_id ORDER BY p.playlist_id;

-- Agents' sales by quarter
SELECT e.employee_id, e.last_name, extract(year FROM i.invoice_date)::int AS year,
       extract(quarter FROM i.invoice_date)::int AS quarter, count(*) AS invoices, sum(i.total) AS sales
FROM employee AS e
JOIN customer AS c ON c.support_rep_id = e.employee_id
JOIN invoice AS i ON i.customer_id = c.customer_id
GROUP BY e.employee_id, year, quarter ORDER BY e.employee_id, year, quarter;

-- Invoices whose lines do not add up: an exact comparison of cents, and an empty result
SELECT i.invoice_id, i.total, sum(il.unit_price * il.quantity) AS lines
FROM invoice AS i JOIN invoice_line AS il ON il.invoice_id = i.invoice_id
GROUP BY i.invoice_id HAVING i.total <> sum(il.unit_price * il.quantity) ORDER BY i.invoice_id;

-- Tracks that customers of two or more countries bought
SELECT t.track_id, t.name, count(DISTINCT c.country) AS countries, string_agg(DISTINCT c.country, ',') AS which
FROM track AS t
JOIN invoice_line AS il ON il.track_id = t.track_id
JOIN invoice AS i ON i.invoice_id = il.invoice_id
JOIN customer AS c ON c.customer_id = i.customer_id
GROUP BY t.track_id HAVING count(DISTINCT c.country) >= 2 ORDER BY countries DESC, t.track_id;

-- Customers who never bought jazz: NOT EXISTS over three joins
SELECT c.customer_id, c.first_name, c.last_name, c.city FROM customer AS c
WHERE NOT EXISTS (SELECT 1 FROM invoice AS i
                  JOIN invoice_line AS il ON il.invoice_id = i.invoice_id
                  JOIN track AS t ON t.track_id = il.track_id
                  JOIN genre AS g ON g.genre_id = t.genre_id
                  WHERE i.customer_id = c.customer_id AND g.name = 'Jazz')
ORDER BY c.customer_id;

-- One row of many types
SELECT count(*) AS tracks, avg(milliseconds) AS mean, min(name) AS first, NULL::text AS missing, '' AS empty,
       max(name)::bytea AS raw, bool_or(composer IS NULL) AS anonymous, stddev(bytes::float8) AS spread,
       sum(unit_price)::numeric(12, 4) AS price, max(bytes)::bigint AS largest
FROM track;
