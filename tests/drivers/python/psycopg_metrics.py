"""The metrics, read by the parser of Prometheus's own client library, which is strict."""

import json
import os
import urllib.request

from case import case
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from psycopg_connect import connect

# None where there is no pgweave of ours.
PORT = os.environ.get("PGWEAVE_TEST_HTTP_PORT")


def page(path):
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def families():
    kind, text = page("/metrics")
    assert kind.startswith("application/openmetrics-text; version=1.0.0"), kind
    return {family.name: family for family in text_string_to_metric_families(text)}


def total(family, name, **labels):
    samples = [sample for sample in families()[family].samples if sample.name == name]
    mine = [sample.value for sample in samples if labels.items() <= sample.labels.items()]
    return sum(mine)


if PORT:

    @case("the metrics are OpenMetrics, and count")
    def _():
        database = os.environ["PGDATABASE"]
        name = "pgweave_pool_transactions"
        with connect(autocommit=True) as connection:
            connection.execute("SELECT 1")
            before = total(name, f"{name}_total", database=database)
            for _ in range(10):
                connection.execute("SELECT 1")
            assert total(name, f"{name}_total", database=database) >= before + 10
        histogram = families()["pgweave_pool_transaction_seconds"]
        assert (histogram.type, histogram.unit) == ("histogram", "seconds"), histogram
        assert json.loads(page("/status")[1])["ready"] is True
