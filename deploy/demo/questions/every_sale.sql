SELECT sale.id, customer.name, product.name AS product, quantity, round(quantity * price, 2) AS amount, day
FROM sale
JOIN customer ON customer.id = customer_id
JOIN product ON product.id = product_id
ORDER BY sale.id
