// Writes assembly/text/unicode-tables.ts: what the analyzer must know of every code point, from the Unicode properties
// of the JavaScript engine that runs this script. Run it by hand: a new Unicode version changes how texts are cut, so
// it changes when we say so, never by a runtime's mood.
import { writeFileSync } from "node:fs"

const CODE_POINTS = 0x110000
const CLASSES = ["BREAK", "LETTER", "DIGIT", "MARK", "IGNORED", "HAN_KANA", "THAI", "LAO", "KHMER"]

/** The class of one character; the order of the questions matters.
 *  @param {string} character */
function classOf(character) {
  // ZERO WIDTH SPACE marks the end of a word (in Khmer and Thai above all), so it is not ignored.
  if (/\p{Default_Ignorable_Code_Point}/u.test(character) && /[\p{Cf}\p{M}]/u.test(character)) {
    return character === "\u200b" ? "BREAK" : "IGNORED"
  }
  if (/\p{M}/u.test(character)) return "MARK"
  if (/\p{Nd}/u.test(character)) return "DIGIT"
  if (!/[\p{L}\p{N}]/u.test(character)) return "BREAK"
  if (/[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}]/u.test(character)) return "HAN_KANA"
  if (/\p{scx=Thai}/u.test(character)) return "THAI"
  if (/\p{scx=Lao}/u.test(character)) return "LAO"
  if (/\p{scx=Khmer}/u.test(character)) return "KHMER"
  return "LETTER"
}

/** @param {string} text */
const single = (text) => ([...text].length === 1 ? text.codePointAt(0) : undefined)
/** Whether two characters are one under simple case folding: what /iu compares by (ECMA-262, Canonicalize).
 *  @param {number} a @param {number} b */
const sameFolded = (a, b) => new RegExp(`^\\u{${a.toString(16)}}$`, "iu").test(String.fromCodePoint(b))

/** Simple case folding: of all characters that fold together one stands for all, a lowercase one where there is one. */
function foldings() {
  /** @type {Map<number, number>} */
  const parent = new Map()
  /** @param {number} c @returns {number} */
  const root = (c) => {
    const up = parent.get(c)
    return up === undefined || up === c ? c : root(up)
  }
  for (let c = 0; c < CODE_POINTS; c++) {
    if (c >= 0xd800 && c <= 0xdfff) continue
    const character = String.fromCodePoint(c)
    const upper = character.toUpperCase()
    const lower = character.toLowerCase()
    for (const other of [single(upper), single(lower), single(upper.toLowerCase()), single(lower.toUpperCase())]) {
      if (other === undefined || other === c || !sameFolded(c, other)) continue
      for (const member of [c, other]) if (!parent.has(member)) parent.set(member, member)
      parent.set(root(c), root(other))
    }
  }
  /** @type {Map<number, number[]>} */
  const families = new Map()
  for (const member of parent.keys()) families.set(root(member), [...(families.get(root(member)) ?? []), member])
  /** @type {Map<number, number>} */
  const folded = new Map()
  for (const family of families.values()) {
    const lowercase = family.filter((c) => String.fromCodePoint(c).toLowerCase() === String.fromCodePoint(c))
    const target = Math.min(...(lowercase.length > 0 ? lowercase : family))
    for (const member of family) if (member !== target) folded.set(member, target)
  }
  // No folding of one character to one exists for İ; its simple lowercase is i, which is also what people type.
  folded.set(0x130, 0x69)
  return folded
}

const folded = foldings()
/** Distinct pairs of class and distance to the folded character. @type {{ name: string, distance: number }[]} */
const kinds = []
/** @type {Map<string, number>} */
const kindOf = new Map()
const kind = Array.from({ length: CODE_POINTS }, (_, c) => {
  const surrogate = c >= 0xd800 && c <= 0xdfff
  const name = surrogate ? "BREAK" : classOf(String.fromCodePoint(c))
  const distance = (folded.get(c) ?? c) - c
  const key = `${name} ${distance}`
  if (!kindOf.has(key)) {
    kindOf.set(key, kinds.length)
    kinds.push({ name, distance })
  }
  return kindOf.get(key) ?? 0
})
if (kinds.length > 256) throw new Error(`${kinds.length} kinds do not fit a byte`)

/** Cuts the array into pages of 1 << bits, each distinct page stored once.
 *  @param {number} bits */
function paged(bits) {
  /** @type {number[][]} */
  const pages = []
  /** @type {Map<string, number>} */
  const numbers = new Map()
  /** @type {number[]} */
  const stage1 = []
  for (let from = 0; from < CODE_POINTS; from += 1 << bits) {
    const page = kind.slice(from, from + (1 << bits))
    const key = page.join()
    if (!numbers.has(key)) {
      numbers.set(key, pages.length)
      pages.push(page)
    }
    stage1.push(numbers.get(key) ?? 0)
  }
  while (stage1.length > 1 && stage1.at(-1) === stage1.at(-2)) stage1.pop() // the last page stands for all after it
  return { bits, stage1, stage2: pages.flat(), pages: pages.length }
}
const tables = [5, 6, 7, 8].map(paged).filter(({ pages }) => pages <= 256)
const [table] = tables.toSorted((a, b) => a.stage1.length + a.stage2.length - b.stage1.length - b.stage2.length)
if (!table) throw new Error("no page size fits")

/** @param {number[]} values */
function lines(values) {
  const result = []
  let line = " "
  for (const value of values) {
    if (line.length + `${value}`.length + 2 > 120) {
      result.push(line)
      line = " "
    }
    line += ` ${value},`
  }
  return [...result, line].join("\n")
}

writeFileSync(
  "assembly/text/unicode-tables.ts",
  `// Generated by scripts/generate-unicode-tables.mjs from Unicode ${process.versions.unicode}. What the analyzer must know of a code point, in two
// stages: STAGE1[codePoint >> PAGE_BITS] is a page of STAGE2, STAGE2[page << PAGE_BITS | low bits] is its kind, and a
// kind has a class and the distance to the code point that it folds to. Code points past STAGE1 are of kind 0.
// ${table.stage1.length} + ${table.stage2.length} bytes.

${CLASSES.map((name, i) => `export const ${name}: u32 = ${i};`).join("\n")}

export const PAGE_BITS: u32 = ${table.bits};
export const STAGE1_LENGTH: u32 = ${table.stage1.length};

export const CLASS_OF_KIND: usize = memory.data<u8>([
${lines(kinds.map(({ name }) => CLASSES.indexOf(name)))}
]);

export const DISTANCE_OF_KIND: usize = memory.data<i32>([
${lines(kinds.map(({ distance }) => distance))}
]);

export const STAGE1: usize = memory.data<u8>([
${lines(table.stage1)}
]);

export const STAGE2: usize = memory.data<u8>([
${lines(table.stage2)}
]);
`,
)
process.stdout.write(
  `Unicode ${process.versions.unicode}: ${kinds.length} kinds, ${folded.size} foldings, ` +
    `${table.stage1.length} + ${table.stage2.length} bytes, pages of ${1 << table.bits}\n`,
)
if (kind.at(-1) !== 0) throw new Error("the last code point must be of kind 0")
