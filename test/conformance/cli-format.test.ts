import { describe, expect, test } from "vitest"
import { parseJson } from "../../src/base/json.ts"
import { RateMeter } from "../../src/base/rate-meter.ts"
import {
  displayWidth,
  formatBytes,
  formatCount,
  formatDuration,
  plural,
  prettyJson,
  printable,
  table,
  truncate,
} from "../../src/cli/format.ts"
import { type Progress, ProgressDisplay, renderProgress } from "../../src/cli/progress.ts"

describe("numbers", () => {
  test("counts, sizes and durations are short and never round up to a wrong unit", () => {
    expect([0, 999, 1000, 1234567].map(formatCount)).toEqual(["0", "999", "1,000", "1,234,567"])
    expect([0, 999, 1000, 9994, 9996, 99_960, 999_499, 999_500, 1.5e9].map(formatBytes)).toEqual([
      "0 B",
      "999 B",
      "1.00 kB",
      "9.99 kB",
      "10.0 kB",
      "100 kB",
      "999 kB",
      "1.00 MB",
      "1.50 GB",
    ])
    expect([0, 400, 59_499, 59_500, 125_000, 3_600_000, 7_500_000].map(formatDuration)).toEqual([
      "0 s",
      "0 s",
      "59 s",
      "1 min 00 s",
      "2 min 05 s",
      "1 h 00 min",
      "2 h 05 min",
    ])
    expect([plural(1, "document"), plural(2000, "document"), plural(0, "line was", "lines were")]).toEqual([
      "1 document",
      "2,000 documents",
      "0 lines were",
    ])
  })
})

describe("text from documents", () => {
  test("nothing in it can steer a terminal", () => {
    expect(printable("a\u001b[31mb\u0007c\u009bd\u202ee\nf\tg")).toBe("a\ufffd[31mb\ufffdc\ufffdd\ufffde f g")
  })

  test("pretty JSON is still the same JSON, and steers no terminal", () => {
    const value = { id: "a", n: 12345678901234567890n, list: [1, 2], deep: [{ x: [] }, "\u001b[0m\u202e"], none: {} }
    const text = prettyJson(value)
    expect(text.includes("\u001b") || text.includes("\u202e")).toBe(false)
    expect(parseJson(text)).toEqual(value)
    expect(text).toContain('"n": 12345678901234567890,\n  "list": [1,2]')
  })

  test("wide characters and marks are counted as a terminal shows them", () => {
    expect(displayWidth("日本")).toBe(4)
    expect(displayWidth("e\u0301")).toBe(1)
    expect(truncate("abcdef", 6)).toBe("abcdef")
    expect(truncate("abcdef", 5)).toBe("abcd…")
    expect(truncate("日本語", 5)).toBe("日本…")
    expect(truncate("日本語", 4)).toBe("日…")
  })

  test("a table aligns its columns and cuts the last one to the terminal", () => {
    const header = [{ title: "NAME" }, { title: "N", align: "right" }, { title: "TEXT" }] as const
    const body = [
      ["日本", "1", "some words"],
      ["b", "1,000", "a longer text than fits"],
    ]
    expect(table(header, body)).toBe(
      "NAME      N  TEXT\n日本      1  some words\nb     1,000  a longer text than fits\n",
    )
    expect(table(header, body, 25)).toContain("b     1,000  a longer tex…\n".slice(0, 20))
    for (const line of table(header, body, 25).split("\n")) expect(displayWidth(line)).toBeLessThanOrEqual(25)
  })
})

describe("progress", () => {
  const base = { stage: "exporting", done: 24105, total: 63436, unit: "documents" } as const

  test("shows amount, rate and time left", () => {
    expect(renderProgress(base, 12050)).toBe("Exporting   37%  24,105 of 63,436 documents  12,050/s  3 s left")
    expect(renderProgress({ stage: "verifying", done: 1.2e9, total: 3.1e9, unit: "bytes" }, 2.1e8)).toBe(
      "Verifying   38%  1.20 GB of 3.10 GB  210 MB/s  9 s left",
    )
  })

  test("leaves out what cannot be known", () => {
    expect(renderProgress(base, undefined)).toBe("Exporting   37%  24,105 of 63,436 documents")
    expect(renderProgress({ ...base, total: undefined }, 10)).toBe("Exporting  24,105 documents  10/s")
    expect(renderProgress(base, 0)).toBe("Exporting   37%  24,105 of 63,436 documents  0/s")
    expect(renderProgress({ ...base, total: 0 }, undefined)).toBe("Exporting  24,105 documents")
  })

  test("says 100% at the end and not before", () => {
    expect(renderProgress({ ...base, done: 63435 }, undefined)).toContain(" 99%")
    expect(renderProgress({ ...base, done: 63436 }, 5)).toBe("Exporting  100%  63,436 of 63,436 documents  5/s")
    expect(renderProgress({ ...base, done: 70000 }, undefined)).toContain("100%")
  })

  test("the rate follows the last five seconds", () => {
    const meter = new RateMeter()
    meter.add(0, 0)
    expect(meter.rate).toBeUndefined()
    for (let second = 1; second <= 10; second++) meter.add(second * 1000, second * 100)
    expect(meter.rate).toBe(100)
    for (let second = 11; second <= 16; second++) meter.add(second * 1000, 1000 + (second - 10) * 1000)
    expect(meter.rate).toBe(1000)
  })

  function display(columns: number | undefined) {
    let now = 0
    let written = ""
    const shown = new ProgressDisplay(
      (text) => {
        written += text
      },
      columns,
      () => now,
    )
    const at = (time: number, progress: Partial<Progress>) => {
      now = time
      shown.update({ ...base, ...progress })
    }
    return { at, shown, written: () => written }
  }

  test("a terminal gets one line that is drawn over, at most ten times a second, and taken away at the end", () => {
    const { at, shown, written } = display(40)
    at(0, { done: 1 })
    at(50, { done: 2 })
    at(100, { done: 3 })
    shown.finish()
    const lines = written().split("\r").slice(1)
    expect(lines).toHaveLength(3)
    expect(lines[0]).toContain("1 of 63,436")
    expect(lines[1]).toContain("3 of 63,436")
    expect(lines[2]).toBe("\u001b[K")
    for (const line of lines) expect(line.replace("\u001b[K", "").length).toBeLessThan(40)
    expect(written()).not.toContain("\n")
  })

  test("a log gets a line every two seconds, and the last amount of each stage", () => {
    const { at, shown, written } = display(undefined)
    at(0, { stage: "a", done: 1 })
    at(1000, { stage: "a", done: 2 })
    at(2000, { stage: "a", done: 3 })
    at(2500, { stage: "a", done: 4 })
    at(2600, { stage: "b", done: 5 })
    at(2700, { stage: "b", done: 6 })
    shown.finish()
    shown.finish()
    const amounts = written()
      .trimEnd()
      .split("\n")
      .map((line) => `${line[0]}${/(\d) of/.exec(line)![1]}`)
    expect(amounts).toEqual(["A1", "A3", "A4", "B5", "B6"])
  })
})
