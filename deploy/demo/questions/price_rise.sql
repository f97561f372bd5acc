UPDATE product SET price = round(price * 1.05, 2);
INSERT INTO sale (customer_id, product_id, quantity, day) VALUES (1, 1, 2, '2026-01-02');
SELECT count(*) AS products, round(avg(price), 2) AS average_price FROM product;
