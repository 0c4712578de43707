"""What docs/PERFORMANCE.md shows of kept results: two charts and a table. `run.py --charts` makes them.

Drawing knows nothing of how results came about. The same results always give the same bytes, which test_run.py relies on.
"""
import html
from dataclasses import dataclass

OURS = "iouringnet"

# How a server is called in a chart. A peer with several servers is shown by the best of them.
PEERS = {
    "libuv": {"libuv": "libuv"},
    "libevent": {"libevent": "libevent (bufferevents)", "libevent_events": "libevent"},
    "Asio": {"asio": "Asio", "asio_io_uring": "Asio (io_uring)", "asio_coroutines": "Asio (coroutines)",
             "asio_io_uring_coroutines": "Asio (io_uring, coroutines)"},
    "nng": {"nng": "nng"},
    "tokio": {"tokio": "tokio"},
    "monoio": {"monoio": "monoio"},
    "commonware": {"commonware": "commonware", "commonware_one_worker": "commonware"},
}
BY_HAND = {"floor_io_uring": "by hand (io_uring)", "floor_io_uring_skip": "by hand (io_uring)"}
RAW_CALLS = {"floor_blocking": "by hand (blocking calls)"}


@dataclass(frozen=True)
class Panel:
    heading: str
    case: str
    ours: dict  # a name in the chart for each server
    floor: dict  # the same; the best one is shown
    figure: str  # the bar
    tail: str = ""  # a thin line from the bar's end to this figure


@dataclass(frozen=True)
class Chart:
    file: str
    title: str
    unit: str
    panels: tuple


CHARTS = (
    Chart("cpu-per-message.svg", "CPU time of the server for one echoed message of 64 bytes",
          "microseconds, server and client on a core each; less is better", (
        Panel("64 connections", "echo_64b_64", {"ours_callback": OURS}, BY_HAND, "cpu_us_per_msg"),
        Panel("1,000 connections", "echo_64b_1000", {"ours_callback": OURS}, BY_HAND, "cpu_us_per_msg"))),
    Chart("latency.svg", "Latency of an echoed message of 64 bytes",
          "microseconds, both may use both cores; bar: median, line: 99th percentile; less is better", (
              Panel("One connection, the next message after each answer", "pingpong_anywhere",
                    {"ours_blocking": f"{OURS} (blocking calls)", "ours_blocking_no_spin": f"{OURS} (spin off)"}, RAW_CALLS,
                    "p50_us", "p99_us"),
              Panel("64 connections, 200,000 messages a second", "echo_64b_64_open_200000_anywhere",
                    {"ours_callback": f"{OURS} (callbacks)", "ours_callback_no_spin": f"{OURS} (spin off)"}, BY_HAND,
                    "p50_us", "p99_us"))),
)

WIDTH, LEFT, BAR, ROW = 760, 215, 400, 22
# A bar that is longer than this many times the library's best, and the floor's, is cut.
CUT = 2.0

STYLE = """<style>
  .back { fill: #ffffff } .text { fill: #1f2328 } .quiet { fill: #59636e } .axis { stroke: #818b98 } .gap { stroke: #ffffff }
  .ours { fill: #c2410c } .floor { fill: #6e7781 } .peer { fill: #2f6fab } .tail { stroke: #1f2328 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } .text { fill: #f0f6fc } .quiet { fill: #9198a1 } .axis { stroke: #656c76 } .gap { stroke: #0d1117 }
    .ours { fill: #ff8a4c } .floor { fill: #8b949e } .peer { fill: #539bdf } .tail { stroke: #f0f6fc }
  }
</style>
"""


def best(servers, names, figure, more=False):
    """The best of the servers that are there: its name, or None."""
    there = [name for name in names if figure in servers.get(name, {})]
    return (max if more else min)(there, key=lambda name: servers[name][figure], default=None)


def rows(panel, servers):
    """What the panel shows, the best first: (group, label, figures)."""
    shown = [("ours", label, servers[name]) for name, label in panel.ours.items() if name in servers]
    for group, names in [("floor", panel.floor)] + [("peer", names) for names in PEERS.values()]:
        name = best(servers, names, panel.figure)
        if name:
            shown.append((group, names[name], servers[name]))
    return sorted(shown, key=lambda row: (row[2][panel.figure], row[1]))


def draw_panel(panel, servers, y):
    """The panel's elements, and the line below it."""
    shown = rows(panel, servers)
    last = panel.tail or panel.figure
    reference = [figures[last] for group, _, figures in shown if group != "peer"]
    limit = CUT * max(reference)
    scale = BAR / max(figures[last] for _, _, figures in shown if figures[last] <= limit)
    out = [f'<text x="20" y="{y}" class="text" font-size="14" font-weight="bold">{html.escape(panel.heading)}</text>']
    y += 10
    top = y
    for group, label, figures in shown:
        middle = y + ROW / 2
        length, end = (min(figures[name] * scale, BAR + 12) for name in (panel.figure, last))
        weight = ' font-weight="bold"' if group == "ours" else ""
        out.append(f'<text x="{LEFT - 8}" y="{middle + 4:g}" class="text" text-anchor="end"{weight}>{html.escape(label)}</text>')
        out.append(f'<rect x="{LEFT}" y="{y + 3}" width="{length:.1f}" height="{ROW - 6}" class="{group}"/>')
        if end > length:
            stop = f"{LEFT + end:.1f}"
            out.append(f'<path d="M{LEFT + length:.1f} {middle:g}H{stop}M{stop} {middle - 4:g}v8" class="tail"/>')
        if figures[last] > limit:  # two strokes across what is cut
            for at in (BAR - 6, BAR):
                out.append(f'<path d="M{LEFT + at} {y + ROW}l6 {-ROW}" class="gap" stroke-width="3"/>')
        value = " / ".join(f"{figures[name]:.{3 if name == 'cpu_us_per_msg' else 1}f}"
                           for name in (panel.figure, panel.tail) if name)
        out.append(f'<text x="{LEFT + end + 8:.1f}" y="{middle + 4:g}" class="text"{weight}>{value}</text>')
        y += ROW
    out.append(f'<path d="M{LEFT}.5 {top}V{y}" class="axis"/>')
    return out, y


def draw(chart, cases, about):
    """One chart as SVG. `cases`: the servers' figures by the name of the case."""
    out = [f'<text x="20" y="30" class="text" font-size="17" font-weight="bold">{html.escape(chart.title)}</text>',
           f'<text x="20" y="50" class="quiet">{html.escape(chart.unit)}</text>']
    y = 82
    for panel in chart.panels:
        drawn, y = draw_panel(panel, cases[panel.case], y)
        out += drawn
        y += 34
    machine = (f"{about['processor']}, {about['processors']} processors, Linux {about['kernel']}, loopback; {about['date']}, "
               f"lower quartile of at most {about['rounds']} rounds")
    colours = "Orange: this library. Grey: written by hand for the case. Blue: peers, each by its best server. Slashes: cut."
    for line in (colours, machine):
        out.append(f'<text x="20" y="{y}" class="quiet" font-size="11">{html.escape(line)}</text>')
        y += 16
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="13">\n<title>{html.escape(chart.title)}</title>\n{STYLE}'
            f'<rect width="{WIDTH}" height="{y}" class="back"/>\n' + "\n".join(out) + "\n</svg>\n")


@dataclass(frozen=True)
class Row:
    text: str
    case: str
    ours: str
    floors: tuple
    figure: str
    digits: int = 0
    more: bool = False  # is better


RINGS = tuple(BY_HAND)
BLOCKING = tuple(RAW_CALLS)

TABLE = (
    Row("echo, 64 B, 64 connections: CPU us for a message", "echo_64b_64", "ours_callback", RINGS, "cpu_us_per_msg", 3),
    Row("echo, 64 B, 1,000 connections: CPU us for a message", "echo_64b_1000", "ours_callback", RINGS, "cpu_us_per_msg", 3),
    Row("echo, 16 KiB, 64 connections: CPU us for a message", "echo_16kib_64", "ours_callback", RINGS, "cpu_us_per_msg", 3),
    Row("echo, server and client on one core: CPU us for a message", "echo_64b_64_same", "ours_callback", RINGS,
        "cpu_us_per_msg", 3),
    Row("proxy, 64 connections: CPU us for a message", "proxy_64b_64", "ours_proxy", ("floor_proxy_epoll",), "cpu_us_per_msg", 3),
    Row("echo, 200,000 messages a second: 99th percentile, us", "echo_64b_64_open_200000", "ours_callback", RINGS, "p99_us", 1),
    Row("blocking ping-pong on two cores: median, us", "pingpong_anywhere", "ours_blocking", BLOCKING, "p50_us", 1),
    Row("blocking ping-pong on one core: median, us", "pingpong_same", "ours_blocking", BLOCKING, "p50_us", 1),
    Row("64 KiB sends, 1 connection, callbacks: MiB/s sent", "download_64kib_1", "ours_stream_callback",
        ("floor_stream_blocking",), "mib_per_s", more=True),
    Row("1 MiB sends, 64 connections, blocking calls: MiB/s received", "upload_1mib_64", "ours_stream_blocking",
        ("floor_stream_blocking",), "mib_per_s", more=True),
    Row("8 threads post on one sink, two cores: messages a second", "posts_64b_8_threads_anywhere", "ours_posts",
        ("floor_posts",), "msgs_per_s", more=True),
    Row("the same with all threads on one core", "posts_64b_8_threads_apart", "ours_posts", ("floor_posts",), "msgs_per_s",
        more=True),
    Row("accept, server and client on one core: connections a second", "accept_8_same", "ours_callback", RINGS, "msgs_per_s",
        more=True),
    Row("dial, callbacks, both on one core: connections a second", "dial_8_same", "ours_dial_callback",
        ("floor_dial_io_uring", "floor_dial_epoll"), "msgs_per_s", more=True),
    Row("an idle connection of 10,000: bytes of memory", "idle_10000", "ours_callback", ("floor_epoll",), "rss_bytes_per_conn"),
)


def needed():
    """The cases that charts and table show."""
    return {panel.case for chart in CHARTS for panel in chart.panels} | {row.case for row in TABLE}


def table(cases, peers):
    """The table in Markdown. `peers`: names of the servers that are peers."""
    lines = ["| case | library | by hand | best peer | library beside it |", "|---|---:|---:|---|---|"]
    for row in TABLE:
        servers = cases[row.case]
        ours = servers[row.ours][row.figure]
        floor = servers[best(servers, row.floors, row.figure, row.more)][row.figure]
        peer_name = best(servers, peers, row.figure, row.more)
        peer = servers[peer_name][row.figure]
        values = [f"{value:,.{row.digits}f}" for value in (ours, floor, peer)]
        lines.append(f"| {row.text} | **{values[0]}** | {values[1]} | {values[2]}, {label(peer_name)} | "
                     f"{verdict(ours, peer, row.more)} |")
    return "\n".join(lines) + "\n"


def verdict(ours, peer, more):
    """In words: the library's figure beside the peer's."""
    percent = round(abs(ours - peer) / peer * 100)
    if percent == 0:
        return "equal"
    if ours > 2 * peer and not more:
        return f"worse: {ours / peer:.1f} times"
    return f"{'better' if (ours > peer) == more else 'worse'} by {percent} %"


def label(peer):
    """The peer's name for people."""
    for names in PEERS.values():
        if peer in names:
            return names[peer]
    return peer.split("_")[0].replace("asio", "Asio")
