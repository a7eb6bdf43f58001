-- geo_places: in which places the peers are, by number of their hosts.
SELECT coalesce(p.place, 'unknown') AS place, count(DISTINCT peer_host(k.peer_address, k.peer_name)) AS peers, count(*) AS connections,
       min(p.as_of) AS earliest, max(p.as_of) AS latest
FROM connection k JOIN peer_place p ON p.conn = k.id
GROUP BY coalesce(p.place, 'unknown')
ORDER BY peers DESC, connections DESC, place
