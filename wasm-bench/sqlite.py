# The SQLite side of durable.ts, a program of its own: single documents, each in a transaction, into a database in WAL
# mode with synchronous=FULL. Debian's SQLite, which Python uses there, syncs by fdatasync; those inside of Node and Bun
# call fsync, which also waits for the file's times to be written.
import json
import multiprocessing
import os
import resource
import sqlite3
import sys
import time


def connect(folder, fts):
    # Waits a minute for a writer before it gives up; transactions are begun by hand.
    database = sqlite3.connect(os.path.join(folder, "packages.db"), timeout=60, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE IF NOT EXISTS documents (id TEXT PRIMARY KEY, fields TEXT NOT NULL) WITHOUT ROWID")
    if fts:
        database.execute("CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(id UNINDEXED, title, text, section)")
    return database


def insert(database, fts, doc_id, fields):
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    if not fts:
        database.execute("INSERT INTO documents VALUES (?, ?)", (doc_id, text))
        return
    # Begun as a writer: of two that read first and then write, one would fail at once instead of waiting.
    database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT INTO documents VALUES (?, ?)", (doc_id, text))
    words = (doc_id, fields["title"], fields["text"], fields["section"])
    database.execute("INSERT INTO words VALUES (?, ?, ?, ?)", words)
    database.execute("COMMIT")


def caller(folder, fts, seconds, place, callers, rows, start, results):
    database = connect(folder, fts)
    times = []
    start.wait()
    now = time.perf_counter()
    end = now + seconds
    while now < end:
        write = len(times)
        insert(database, fts, f"{place}-{write}", rows[(write * callers + place) % len(rows)])
        done = time.perf_counter()
        times.append((done - now) * 1000)
        now = done
    if results is None:
        return times
    results.put((place, times))
    results.close()
    results.join_thread()
    os._exit(0)  # nothing is closed


def cpu_seconds():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Now:
    def wait(self):
        pass


def write(folder, fts, seconds, callers, rows):
    connect(folder, fts).close()
    if callers == 1:
        cpu, started = cpu_seconds(), time.perf_counter()
        by_caller = {0: caller(folder, fts, seconds, 0, 1, rows, Now(), None)}
        elapsed = time.perf_counter() - started
    else:
        # A process each: they share nothing but the database, and wait for each other in SQLite alone.
        fork = multiprocessing.get_context("fork")
        start, results = fork.Barrier(callers + 1), fork.Queue()
        processes = [
            fork.Process(target=caller, args=(folder, fts, seconds, place, callers, rows, start, results))
            for place in range(callers)
        ]
        for process in processes:
            process.start()
        cpu = cpu_seconds()
        start.wait()
        started = time.perf_counter()
        by_caller = dict(results.get() for _ in processes)
        elapsed = time.perf_counter() - started
        for process in processes:
            process.join()
    times = sorted(time for of_one in by_caller.values() for time in of_one)
    at = lambda share: times[max(0, -int(-len(times) * share // 1) - 1)]
    return {
        "run": {
            "writes": len(times),
            "seconds": elapsed,
            "cpuSeconds": cpu_seconds() - cpu,
            "latencies": {"p50": at(0.5), "p99": at(0.99)},
        },
        "counts": [len(by_caller[place]) for place in range(callers)],
    }


def check(folder, counts, rows):
    database = connect(folder, False)
    (count,) = database.execute("SELECT count(*) FROM documents").fetchone()
    if count != sum(counts):
        sys.exit(f"{sum(counts)} acknowledged, {count} there")
    for place, of_one in enumerate(counts):
        for one in range(0, of_one, -(-of_one // 50)):
            (text,) = database.execute("SELECT fields FROM documents WHERE id = ?", (f"{place}-{one}",)).fetchone()
            if json.loads(text) != rows[(one * len(counts) + place) % len(rows)]:
                sys.exit(f"{place}-{one} is not it")
    return {"documents": count}


def main(stage, folder="", documents="", *rest):
    if stage == "version":
        return {"python": sys.version.split()[0], "sqlite": sqlite3.sqlite_version}
    with open(documents, encoding="utf-8") as file:
        rows = json.load(file)
    if stage == "check":
        return check(folder, json.loads(rest[0]), rows)
    return write(folder, rest[0] == "fts5", float(rest[1]), int(rest[2]), rows)


answer = json.dumps(main(*sys.argv[1:]))
os.write(1, f"\nanswer: {answer}".encode())
os._exit(0)  # nothing is closed
