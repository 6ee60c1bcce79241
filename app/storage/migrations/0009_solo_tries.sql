-- Tries of deliveries that run alone, each noted before it starts: what is left here ended its worker.

SET LOCAL search_path = kvitto;

CREATE TABLE solo_tries (
    receipt uuid NOT NULL,
    worker  uuid NOT NULL,
    tries   integer NOT NULL DEFAULT 1,
    PRIMARY KEY (receipt, worker)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON solo_tries TO kvitto_worker;
