"""Real services for tests: a MongoDB replica set and an S3, as processes on fresh ports of loopback.

Shared by the whole session, over all workers of xdist; started when the first test asks, ended with pytest, however it ends.
Fixtures, for any test under tests/:

    def test_it(fresh_database, s3_place, monkeypatch):
        uri = fresh_database()         # mongodb://127.0.0.1:PORT/test_<random>?replicaSet=rs0; dropped after the test
        s3_place.url                   # "s3://test/<random>": a bucket shared by all, a prefix of the test's own
        s3_place.endpoint              # "http://127.0.0.1:PORT"
        s3_place.env                   # AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, AWS_REGION, AWS_ALLOW_HTTP
        s3_place.set(monkeypatch)      # … put into this process's environment; a child process takes `env=os.environ | s3_place.env`
        s3_place.store()               # an obstore S3Store over the place, for a look behind the scenes
        s3_place.fresh()               # another place in the same bucket

    mongo_uri                          # session: the URI without a database; `fresh_database(mongo_uri)` of this module names one
    s3_bucket                          # session: a place over the whole bucket; `.fresh()` gives one of a test's own

Services of a test's own, where it kills or stops them (tests/services/mongo.py, s3.py):

    with replica_set(nodes=3) as mongo:            # 5 s; nodes=1: 1 s
        mongo.uri, mongo.client()
        dead = mongo.primary()                     # a Mongod: kill (-9), pause (SIGSTOP), resume, start (same port and data)
        dead.kill(); mongo.wait_for_primary(); dead.start()
    with SeaweedFS(folder) as s3:                  # 4 s; after kill it needs some 20 s, so prefer a proxy for outages
        s3.place()

Between a client and a service, for outages: `tests.server.cutting_proxy.CuttingProxy(place.endpoint)` for S3, with
`place.through(proxy.url)`; it knows requests (Stall, Slow, Answer(500), Lose, CutRequest; refuse and listen). `TcpProxy` for
MongoDB, with ``directConnection=true`` in the URI, since a driver that knows the replica set goes around the proxy; it knows
bytes only (stall, slow, cut, cut_after, refuse, heal).
"""

from __future__ import annotations

from tests.services.mongo import Mongod, fresh_database, replica_set
from tests.services.s3 import Place, SeaweedFS
from tests.services.tcp_proxy import TcpProxy

__all__ = ["Mongod", "Place", "SeaweedFS", "TcpProxy", "fresh_database", "replica_set"]
