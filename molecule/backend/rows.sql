-- What the old site's library holds. TABLE_ is the prefix of its tables.
INSERT INTO TABLE_member (name, email) VALUES ('Élodie Amrouche', 'e@example.org');
INSERT INTO TABLE_member (name, email) VALUES ('طارق بن زياد', 't@example.org'), ('ⴷⵉⵀⵢⴰ', 'd@example.org');
INSERT INTO TABLE_book (title, isbn) VALUES ('Nedjma', '9782020289474');
INSERT INTO TABLE_loan (member_id, book_id, since) VALUES (1, 1, '2026-01-05');
