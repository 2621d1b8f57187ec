import type { Engine } from "./engine.ts"

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

/** The analyzer that a schema's `tokenizer` names ("default" is "standard"), undefined where there is none. */
export function analyzerByName(name: string): AnalyzerSpec | undefined {
  if (name === "default") return { name: "standard" }
  return Object.hasOwn(ANALYZERS, name) ? { name: name as AnalyzerName } : undefined
}

/** The tokens of `text`, cut and folded by the same code that cuts documents. */
export function analyze(_engine: Engine, _analyzer: AnalyzerSpec, _text: string): Token[] {
  throw new Error("not written yet")
}
