"""What the double can serve when nobody but a bare socket asks, and what `json.loads` costs."""

import http.client
import json
import time
import zlib
from contextlib import closing

from msgspec import Struct

from sandbox.bench.stage import KEY, DoubleProcess
from sandbox.measure import cpu_of

PAGES = 200
DECODED = 30


class Served(Struct, frozen=True, kw_only=True):
    """`json_loads`: CPU-microseconds a subscription."""

    pages_a_second: float
    pages_a_cpu_second: float
    page_bytes: float
    packed_bytes: float
    json_loads: float


def serve(double: DoubleProcess, rows: int) -> Served:
    """Ask for pages over the whole past, each at a second of its own."""
    pages = max(1, min(PAGES, rows // 100))
    now = int(double.call("now"))
    years = 730 * 86_400
    times = [now - 3_600 - years * place // pages for place in range(pages)]
    headers = {"Authorization": f"Bearer {KEY}", "Accept-Encoding": "gzip"}
    bodies: list[bytes] = []
    connection = http.client.HTTPConnection(double.url.removeprefix("http://"))
    with closing(connection):
        before, began = cpu_of(double.process), time.monotonic()
        for moment in times:
            path = f"/v1/subscriptions?status=all&limit=100&created[lte]={moment}"
            connection.request("GET", path, headers=headers)
            bodies.append(connection.getresponse().read())
        wall = time.monotonic() - began
        cpu = cpu_of(double.process) - before
    plain = [zlib.decompress(body, 31) for body in bodies[:DECODED]]
    used = time.process_time()
    decoded = sum(len(json.loads(body)["data"]) for body in plain)
    used = time.process_time() - used
    return Served(
        pages_a_second=pages / wall,
        pages_a_cpu_second=pages / max(cpu, 0.01),
        page_bytes=sum(map(len, plain)) / len(plain),
        packed_bytes=sum(map(len, bodies)) / len(bodies),
        json_loads=1e6 * used / max(decoded, 1),
    )
