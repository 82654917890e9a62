-- The three pipelines once more, in DuckDB over the landing files: what every published number must be.
-- Relative paths are below the project's folder, by `file_search_path`.

CREATE VIEW raw_flights AS FROM read_parquet('data/landing/flights/*.parquet');
CREATE VIEW planes AS FROM read_csv('data/landing/planes.csv', nullstr = 'NA');
CREATE VIEW weather AS FROM read_csv('data/landing/weather.csv', nullstr = 'NA');
CREATE VIEW airlines AS FROM read_csv('data/landing/airlines.csv');

CREATE VIEW all_flights AS
SELECT
    make_date(f.year, f.month, f.day) AS date,
    f.carrier,
    f.flight::INTEGER AS flight,
    f.tailnum,
    f.origin,
    f.dest,
    f.time_hour + to_minutes(f.minute) AS scheduled_departure,
    f.time_hour + to_minutes(f.minute) + to_minutes(f.dep_delay) AS departure,
    f.dep_delay::INTEGER AS departure_delay,
    f.arr_delay::INTEGER AS arrival_delay,
    f.dep_time IS NULL AS cancelled,
    f.dep_time IS NOT NULL AND f.arr_delay IS NULL AS diverted,
    f.distance::INTEGER AS distance,
    f.air_time::INTEGER AS air_time,
    f.distance / (f.air_time / 60) AS speed,
    p.type AS aircraft_type,
    p.manufacturer,
    p.seats::INTEGER AS seats,
    p.year::INTEGER AS year_built,
    w.temp AS temperature,
    w.wind_speed,
    w.precip AS precipitation,
    w.visib AS visibility
FROM raw_flights AS f
LEFT JOIN planes AS p ON p.tailnum = f.tailnum
LEFT JOIN weather AS w ON w.origin = f.origin AND w.time_hour = f.time_hour;

CREATE VIEW flights__rejected AS
FROM all_flights WHERE aircraft_type = 'Rotorcraft' OR speed > 600;

CREATE VIEW flights AS
FROM all_flights WHERE aircraft_type IS DISTINCT FROM 'Rotorcraft' AND (speed IS NULL OR speed <= 600);

CREATE VIEW daily_delays AS
SELECT
    date,
    carrier,
    count(*)::INTEGER AS flights,
    count(*) FILTER (cancelled)::INTEGER AS cancelled,
    avg(departure_delay) AS mean_delay,
    quantile_cont(departure_delay, 0.5) AS median_delay,
    quantile_cont(departure_delay, 0.95) AS p95_delay,
    avg((departure_delay > 15)::INTEGER) AS late_share
FROM flights
GROUP BY ALL;

-- From the flights themselves, not from their days: a mean of means would show here.
CREATE VIEW carrier_rank AS
SELECT
    carrier,
    name,
    rank() OVER (ORDER BY avg((departure_delay > 15)::INTEGER))::INTEGER AS rank,
    count(*)::INTEGER AS flights,
    count(*) FILTER (cancelled)::INTEGER AS cancelled,
    avg(departure_delay) AS mean_delay,
    avg((departure_delay > 15)::INTEGER) AS late_share
FROM flights JOIN airlines USING (carrier)
GROUP BY carrier, name;

CREATE VIEW carrier_report AS
SELECT
    rank,
    name,
    flights,
    round(100 * cancelled / flights, 2) AS cancelled_percent,
    round(100 * late_share, 2) AS late_percent,
    round(mean_delay, 1) AS mean_delay
FROM carrier_rank;
