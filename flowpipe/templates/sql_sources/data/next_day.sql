-- One more day in the shop: two orders come, one is cancelled, and a customer moves.
INSERT INTO orders VALUES
    (9001, '2024-03-01 09:12:00', 3, 1, 2, 18.90, 'paid', '2024-03-01 09:12:00'),
    (9002, '2024-03-01 17:40:00', 1, 5, 1, 79.00, 'paid', '2024-03-01 17:40:00');
UPDATE orders SET status = 'cancelled', updated_at = '2024-03-01 12:00:00' WHERE order_id = 1001;
UPDATE customers SET city = 'Oslo', updated_at = '2024-03-01 08:00:00' WHERE customer_id = 1;
