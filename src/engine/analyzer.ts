import type { Engine } from "./engine.ts"
import { allocated } from "./memory.ts"
import { writeInput } from "./text-input.ts"

/** Every analyzer that a schema may name, and what it does with a text. */
export const ANALYZERS = {
  standard: "words of letters, digits and marks, case folded; Han, Kana, Thai, Lao and Khmer as bigrams",
  raw: "the value as it is, as one token",
} as const

export type AnalyzerName = keyof typeof ANALYZERS

/** How the text of one field becomes tokens, as a schema pins it. */
export interface AnalyzerSpec {
  readonly name: AnalyzerName
}

/** `position` counts tokens from 0 within the text. */
export interface Token {
  readonly term: string
  readonly position: number
}

/** What assembly/text/analyzer.ts calls them; segments keep these numbers. */
export const ANALYZER_CODES: Record<AnalyzerName, number> = { standard: 0, raw: 1 }

/** The analyzer that a schema's `tokenizer` names ("default" is "standard"), undefined where there is none. */
export function analyzerByName(name: string): AnalyzerSpec | undefined {
  if (name === "default") return { name: "standard" }
  return Object.hasOwn(ANALYZERS, name) ? { name: name as AnalyzerName } : undefined
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** The tokens of `text`, cut and folded by the same code that cuts documents. */
export function analyze(engine: Engine, analyzer: AnalyzerSpec, text: string): Token[] {
  const length = writeInput(engine, text)
  const result = allocated(engine.abi.textAnalyze(ANALYZER_CODES[analyzer.name], length))
  const { bytes } = engine
  const view = new DataView(bytes.buffer)
  const tokens: Token[] = []
  let at = result + 4
  for (let left = view.getUint32(result, true); left > 0; left--) {
    const end = at + 8 + view.getUint32(at + 4, true)
    tokens.push({ term: decoder.decode(bytes.subarray(at + 8, end)), position: view.getUint32(at, true) })
    at = (end + 3) & ~3
  }
  engine.abi.textLookupEnd()
  return tokens
}
