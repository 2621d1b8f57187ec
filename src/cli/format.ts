// Numbers, sizes, times and tables as people read them: pure functions.
import { stringifyJson } from "../base/json.ts"

/** 1234567 → "1,234,567". */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ",")
}

/** A count with its noun: "1 document", "2,000 documents". */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`
}

/** Decimal units, three digits: "512 B", "1.23 MB", "45.6 GB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"]
  let value = bytes
  let unit = 0
  // 999.5 would be shown as 1000.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  if (unit === 0) return `${Math.round(value)} B`
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${units[unit]}`
}

/** 0.98312 → "98.3%"; less than all never looks like all. */
export function formatPercent(share: number): string {
  return `${share === 1 ? "100" : Math.min(99.9, Number((share * 100).toFixed(1))).toFixed(1)}%`
}

/** "45 s", "2 min 05 s", "1 h 02 min". */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`
}

/** Text from a document or a file name, safe on a terminal: line breaks become spaces, and what could steer the
 *  terminal (control characters, and those that turn the direction of text) becomes �. */
export function printable(text: string): string {
  return text.replace(/[\t\n\r]+/g, " ").replace(STEERING, "\ufffd")
}

const STEERING = /[\p{Cc}\p{Bidi_Control}]/gu

/** Cut to `columns`, with an ellipsis where something is missing. Counts characters, wide ones as two. */
export function truncate(text: string, columns: number): string {
  let used = 0
  let kept = ""
  for (const character of text) {
    const width = widthOf(character)
    if (used + width > columns) {
      // Make room for the ellipsis.
      const characters = Array.from(kept)
      while (characters.length > 0 && used + 1 > columns) used -= widthOf(characters.pop()!)
      return columns > 0 ? `${characters.join("")}…` : ""
    }
    used += width
    kept += character
  }
  return text
}

/** Columns that a text takes. */
export function displayWidth(text: string): number {
  let width = 0
  for (const character of text) width += widthOf(character)
  return width
}

/** Two columns for East Asian wide characters and emoji, none for combining marks, else one. */
function widthOf(character: string): number {
  if (/^[\p{Mn}\p{Me}\p{Cf}]$/u.test(character)) return 0
  const code = character.codePointAt(0)!
  const wide =
    (code >= 0x1100 && code <= 0x115f) ||
    (code >= 0x2e80 && code <= 0xa4cf) ||
    (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xfe30 && code <= 0xfe6f) ||
    (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0xffe0 && code <= 0xffe6) ||
    (code >= 0x1f300 && code <= 0x1faff) ||
    (code >= 0x20000 && code <= 0x3fffd)
  return wide ? 2 : 1
}

/** JSON on several lines, two spaces a level; arrays of numbers (vectors) stay on one. Escapes what could steer the
 *  terminal, so it is safe to look at and still JSON. */
export function prettyJson(value: unknown, indent = ""): string {
  const inner = `${indent}  `
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]"
    if (value.every((item) => typeof item === "number" || typeof item === "bigint")) return stringifyJson(value)
    return `[\n${value.map((item) => inner + prettyJson(item, inner)).join(",\n")}\n${indent}]`
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, member]) => member !== undefined)
    if (entries.length === 0) return "{}"
    const members = entries.map(([key, member]) => `${inner}${prettyJson(key)}: ${prettyJson(member, inner)}`)
    return `{\n${members.join(",\n")}\n${indent}}`
  }
  return stringifyJson(value).replace(
    STEERING,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
}

export interface Column {
  readonly title: string
  readonly align?: "right"
}

/** A table with two spaces between its columns. The last one is cut to the width where `columns` is given. */
export function table(header: readonly Column[], body: readonly (readonly string[])[], columns?: number): string {
  const widths = header.map(({ title }, place) =>
    Math.max(displayWidth(title), ...body.map((cells) => displayWidth(cells[place] ?? ""))),
  )
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, place) => {
        const padding = " ".repeat(Math.max(0, widths[place]! - displayWidth(cell)))
        if (header[place]!.align === "right") return padding + cell
        if (place < header.length - 1) return cell + padding
        const before = widths.slice(0, place).reduce((sum, width) => sum + width + 2, 0)
        return columns === undefined ? cell : truncate(cell, Math.max(10, columns - before))
      })
      .join("  ")
      .trimEnd()
  return [line(header.map(({ title }) => title)), ...body.map(line)].map((text) => `${text}\n`).join("")
}

/** Names and what they stand for, a line each, in two columns. */
export function facts(lines: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(...lines.map(([name]) => name.length))
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join("")
}
