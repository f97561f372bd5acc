-- Joins and aggregates over the Chinook database, one per paragraph. Each orders its rows completely, so that every
-- client must see the same bytes.

-- Sales per country: an aggregate over a join
SELECT c.Country, COUNT(DISTINCT c.CustomerId) AS customers, COUNT(*) AS invoices, SUM(i.Total) AS total,
       AVG(i.Total) AS mean
FROM Customer AS c JOIN Invoice AS i ON i.CustomerId = c.CustomerId
GROUP BY c.Country ORDER BY total DESC, c.Country;

-- The twenty artists that sell best: four joins
SELECT ar.Name AS artist, SUM(il.UnitPrice * il.Quantity) AS revenue, SUM(il.Quantity) AS sold
FROM InvoiceLine AS il
JOIN Track AS t ON t.TrackId = il.TrackId
JOIN Album AS al ON al.AlbumId = t.AlbumId
JOIN Artist AS ar ON ar.ArtistId = al.ArtistId
GROUP BY ar.ArtistId ORDER BY revenue DESC, ar.Name LIMIT 20;

-- Artists without an album: an anti-join
SELECT ar.ArtistId, ar.Name FROM Artist AS ar LEFT JOIN Album AS al ON al.ArtistId = ar.ArtistId
WHERE al.AlbumId IS NULL ORDER BY ar.ArtistId;

-- Minutes of music per genre and medium, with the empty pairs
SELECT g.Name AS genre, m.Name AS medium, COUNT(t.TrackId) AS tracks, SUM(t.Milliseconds) / 60000.0 AS minutes,
       MAX(t.Bytes) AS largest
FROM Genre AS g CROSS JOIN MediaType AS m
LEFT JOIN Track AS t ON t.GenreId = g.GenreId AND t.MediaTypeId = m.MediaTypeId
GROUP BY g.GenreId, m.MediaTypeId ORDER BY g.GenreId, m.MediaTypeId;

-- Every sold line with its whole story: eight joins, NULLs, and text beyond ASCII
SELECT il.InvoiceLineId, i.InvoiceDate, c.FirstName || ' ' || c.LastName AS customer, c.Company, e.LastName AS agent,
       t.Name AS track, t.Composer, al.Title AS album, ar.Name AS artist, g.Name AS genre, m.Name AS medium,
       il.UnitPrice, il.Quantity
FROM InvoiceLine AS il
JOIN Invoice AS i ON i.InvoiceId = il.InvoiceId
JOIN Customer AS c ON c.CustomerId = i.CustomerId
LEFT JOIN Employee AS e ON e.EmployeeId = c.SupportRepId
JOIN Track AS t ON t.TrackId = il.TrackId
LEFT JOIN Album AS al ON al.AlbumId = t.AlbumId
LEFT JOIN Artist AS ar ON ar.ArtistId = al.ArtistId
LEFT JOIN Genre AS g ON g.GenreId = t.GenreId
LEFT JOIN MediaType AS m ON m.MediaTypeId = t.MediaTypeId
ORDER BY il.InvoiceLineId;

-- Who reports to whom, all levels: a recursive query
WITH RECURSIVE chain(EmployeeId, name, level, path) AS (
  SELECT EmployeeId, FirstName || ' ' || LastName, 0, LastName FROM Employee WHERE ReportsTo IS NULL
  UNION ALL
  SELECT e.EmployeeId, e.FirstName || ' ' || e.LastName, chain.level + 1, chain.path || ' > ' || e.LastName
  FROM Employee AS e JOIN chain ON e.ReportsTo = chain.EmployeeId)
SELECT level, name, path FROM chain ORDER BY path;

-- Sales per month with a running total: a window over an aggregate
SELECT month, sales, SUM(sales) OVER (ORDER BY month) AS so_far, RANK() OVER (ORDER BY sales DESC) AS place
FROM (SELECT strftime('%Y-%m', InvoiceDate) AS month, SUM(Total) AS sales FROM Invoice GROUP BY month)
ORDER BY month;

-- The longest track of each album that has more than ten
SELECT al.Title, COUNT(*) AS tracks, MAX(t.Milliseconds) AS longest,
       (SELECT x.Name FROM Track AS x WHERE x.AlbumId = al.AlbumId ORDER BY x.Milliseconds DESC, x.TrackId LIMIT 1) AS name
FROM Album AS al JOIN Track AS t ON t.AlbumId = al.AlbumId
GROUP BY al.AlbumId HAVING COUNT(*) > 10 ORDER BY tracks DESC, al.AlbumId;

-- Playlists and what they hold
SELECT p.PlaylistId, p.Name, COUNT(pt.TrackId) AS tracks, COUNT(DISTINCT t.AlbumId) AS albums,
       COALESCE(SUM(t.UnitPrice), 0) AS price
FROM Playlist AS p
LEFT JOIN PlaylistTrack AS pt ON pt.PlaylistId = p.PlaylistId
LEFT JOIN Track AS t ON t.TrackId = pt.TrackId
GROUP BY p.PlaylistId ORDER BY p.PlaylistId;

-- Agents' sales by quarter
SELECT e.EmployeeId, e.LastName, CAST(strftime('%Y', i.InvoiceDate) AS INTEGER) AS year,
       (CAST(strftime('%m', i.InvoiceDate) AS INTEGER) + 2) / 3 AS quarter, COUNT(*) AS invoices, SUM(i.Total) AS sales
FROM Employee AS e
JOIN Customer AS c ON c.SupportRepId = e.EmployeeId
JOIN Invoice AS i ON i.CustomerId = c.CustomerId
GROUP BY e.EmployeeId, year, quarter ORDER BY e.EmployeeId, year, quarter;

-- Invoices whose lines do not add up: an exact comparison of cents, and an empty result
SELECT i.InvoiceId, i.Total, SUM(il.UnitPrice * il.Quantity) AS lines
FROM Invoice AS i JOIN InvoiceLine AS il ON il.InvoiceId = i.InvoiceId
GROUP BY i.InvoiceId HAVING ROUND(i.Total * 100) <> ROUND(SUM(il.UnitPrice * il.Quantity) * 100) ORDER BY i.InvoiceId;

-- Tracks that customers of two or more countries bought
SELECT t.TrackId, t.Name, COUNT(DISTINCT c.Country) AS countries, GROUP_CONCAT(DISTINCT c.Country) AS which
FROM Track AS t
JOIN InvoiceLine AS il ON il.TrackId = t.TrackId
JOIN Invoice AS i ON i.InvoiceId = il.InvoiceId
JOIN Customer AS c ON c.CustomerId = i.CustomerId
GROUP BY t.TrackId HAVING countries >= 2 ORDER BY countries DESC, t.TrackId;

-- Customers who never bought jazz: NOT EXISTS over three joins
SELECT c.CustomerId, c.FirstName, c.LastName, c.City FROM Customer AS c
WHERE NOT EXISTS (SELECT 1 FROM Invoice AS i
                  JOIN InvoiceLine AS il ON il.InvoiceId = i.InvoiceId
                  JOIN Track AS t ON t.TrackId = il.TrackId
                  JOIN Genre AS g ON g.GenreId = t.GenreId
                  WHERE i.CustomerId = c.CustomerId AND g.Name = 'Jazz')
ORDER BY c.CustomerId;

-- One row of every storage class
SELECT COUNT(*) AS tracks, AVG(Milliseconds) AS mean, MIN(Name) AS first, NULL AS missing, CAST(MAX(Name) AS BLOB) AS raw
FROM Track;
