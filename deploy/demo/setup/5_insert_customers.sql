INSERT INTO customer (id, name, town)
WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 500)
SELECT
  id,
  CASE id % 5 WHEN 0 THEN 'Ada' WHEN 1 THEN 'Noor' WHEN 2 THEN 'Jun' WHEN 3 THEN 'Élise' ELSE 'Tomás' END || ' ' || id,
  CASE id % 4 WHEN 0 THEN 'Lisbon' WHEN 1 THEN 'Bergen' WHEN 2 THEN 'Kraków' ELSE 'Zürich' END
FROM n
