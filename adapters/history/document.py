"""Writes docs/reference/event-files.md and series-files.md from the columns.

``python -m adapters.history.document events > docs/reference/event-files.md``, and ``series`` alike.
"""

from __future__ import annotations

import sys

from adapters.history.event_kinds import ATTRIBUTES, TAGS
from adapters.history.event_schema import COLUMNS, HEADER_KEY, SPAN_KEY, VERSION
from adapters.history.series_file import COLUMNS as SERIES_COLUMNS
from adapters.history.series_file import HEADER_KEY as HEADER_KEY_OF_SERIES
from guard.columns import document

ABOUT = f"""\
# Event files

<!-- Made by `python -m adapters.history.document events > docs/reference/event-files.md`; a test compares the two. -->

An event file holds everything that an engine can be fed, in order: what `perpguard simulate` makes and `perpguard
replay` reads. It is a Parquet file (zstd, a checksum on each page) that pandas, polars, DuckDB and all others read;
equal events give equal bytes, with the same version of pyarrow.

- **One row an event**, in the order in which they are judged. Several samples that were judged as one have a row of
  type `markets_sampled`, whose `parts` says how many of the rows behind it belong to it: so every sample of a market
  is a row of type `market_features`, however it was judged.
- **Kinds that come often have columns**; what is null does not concern the row's type, or was not known. Every other
  kind stands whole in `body`, as JSON. Whatever its kind, an event reads back exactly as it was.
- **Units** are in the names: `_at` Unix nanoseconds, `_ns` nanoseconds, `_usd` US dollars, `_bps` basis points of mid,
  `_ratio` and rates plain ratios. Sizes are base units, prices quote per base. There is no NaN.
- **What the file says of itself** is JSON in its metadata: under `{HEADER_KEY.decode()}` its version ({VERSION}),
  whether it stands in order of time or as an engine was fed (`order`), where it comes from (`origin`), what made it
  (`software`), and of a made-up market the hash of the worlds (`tag`) and that of all parameters
  (`episode_sha256`; what they are is told in `episode.json` only); under `{SPAN_KEY.decode()}` how many events it
  holds and from when to when.
- A file has its name only when it is whole: one that is being written, or whose writer was killed, ends with
  `.unfinished`.

"""


def event_document() -> str:
    """Describe the event file in Markdown."""
    kinds = [
        f"- `{TAGS[kind]}`: {', '.join(f'`{column}`' for column, _ in attributes) or 'the times alone'}"
        + ("; and those of the two sides" if TAGS[kind] == "market_features" else "")
        for kind, attributes in ATTRIBUTES.items()
    ]
    rest = sorted(f"`{tag}`" for kind, tag in TAGS.items() if kind not in ATTRIBUTES)
    lines = [
        "## Columns",
        "",
        *document(COLUMNS),
        "",
        "## Which kind fills which",
        "",
        *kinds,
        f"- in `body`: {', '.join(rest)}; `market_features` too, if its book was sampled at other distances",
    ]
    return ABOUT + "\n".join(lines) + "\n"


SERIES = f"""\
# Series files

<!-- Made by `python -m adapters.history.document series > docs/reference/series-files.md`; a test compares the two. -->

What `perpguard replay FILE --series OUT` writes: one row for each market and second (or as `--every` says), of what
the guard knew at that time and what it said. A Parquet file; the same events and settings give the same bytes, with
the same version of pyarrow. Under `{HEADER_KEY_OF_SERIES.decode()}` its metadata hold, as JSON, what the event file
said of itself, the digest of the settings, and the seconds between two rows.

A row tells what stood after the first Tick at or after each full second: the latest sample, whatever its age (`trust`
says whether it may be acted on), and what happened since the market's former row. Null is not known, never calm.

From `outlook_at` on a row tells the market's outlook, which is estimated every 5 s (`outlook.refresh_s`): rows between
two of them repeat it. Everything there goes both ways: `down` is a fall, which liquidates longs and meets bids, `up` a
rise, which liquidates shorts and meets asks. Distances are fractions of the price (0.05 is 5 %), always positive, those
of the map from the mark price, all others from mid. The map is of *other people's* positions as far as venues publish
anything about them; bands are where much of it lies, never lines. Files without open interest have no map, files
without books no reach: `outlook_unknown` names what was missing. Where a venue tells no mark price, the middle of its
book stands for it.

"""


def series_document() -> str:
    """Describe the series file in Markdown."""
    return SERIES + "\n".join(document(SERIES_COLUMNS)) + "\n"


if __name__ == "__main__":
    sys.stdout.write({"events": event_document, "series": series_document}[sys.argv[1]]())
