-- geo_hosts: all peers' hosts, with what place says of each: the country by the latest databases that were built at $1 or before, whether
-- there are any, whether there is a row of what the host tells by itself, and the row of the databases that were built at $1.
SELECT h.host, coalesce(last.country, '') AS country_before, last.host IS NOT NULL AS dated, alone.host IS NOT NULL AS alone,
       now.host IS NOT NULL AS stored, coalesce(now.kind, '') AS kind, coalesce(now.country, '') AS country,
       coalesce(now.city, '') AS city, now.latitude, now.longitude, coalesce(now.time_zone, '') AS time_zone,
       coalesce(now.asn, 0) AS asn, coalesce(now.organisation, '') AS organisation
FROM (SELECT DISTINCT peer_host(peer_address, peer_name) AS host FROM connection) h
     LEFT JOIN (SELECT host, country, row_number() OVER (PARTITION BY host ORDER BY as_of DESC) AS n
                FROM place WHERE as_of <= CAST($1 AS timestamptz)) last ON last.host = h.host AND last.n = 1
     LEFT JOIN (SELECT host FROM place WHERE as_of IS NULL) alone ON alone.host = h.host
     LEFT JOIN place now ON now.host = h.host AND now.as_of = CAST($1 AS timestamptz)
ORDER BY h.host
