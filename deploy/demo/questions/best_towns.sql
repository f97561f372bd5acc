SELECT town, count(*) AS sales, sum(quantity) AS pieces, round(sum(quantity * price), 2) AS turnover
FROM sale
JOIN customer ON customer.id = customer_id
JOIN product ON product.id = product_id
WHERE day >= ?1
GROUP BY town
ORDER BY turnover DESC
