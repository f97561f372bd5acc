INSERT INTO product (id, name, price) VALUES
  (1, 'Teapot', 24.5),
  (2, 'Kettle', 39.0),
  (3, 'Mug', 7.25),
  (4, 'Oolong, 100 g', 12.9),
  (5, 'Assam, 250 g', 9.8),
  (6, 'Biscuits', 3.4),
  (7, 'Sieve', 5.6),
  (8, 'Honey', 8.75)
