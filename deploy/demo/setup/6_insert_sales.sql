INSERT INTO sale (id, customer_id, product_id, quantity, day)
WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 100000)
SELECT
  id,
  1 + id * 7919 % 500,
  1 + id * 104729 / 7 % 8,
  1 + id % 3,
  date('2025-01-01', '+' || (id % 365) || ' days')
FROM n
