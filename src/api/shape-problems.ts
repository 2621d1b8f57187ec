import * as z from "zod"
import { closest } from "../base/similar.ts"

/** Words for what a shape refuses, where it has none of its own: given to `safeParse`. Of a value of the wrong type only the
 *  type is said: it may be a key in the wrong place. */
export const PLAIN_WORDS = {
  error: (issue: z.core.$ZodRawIssue): string | undefined => {
    if (issue.code === "invalid_value") {
      return `expects ${issue.values.map((value) => JSON.stringify(value)).join(" or ")}, found ${shortOrType(issue.input)}`
    }
    if (issue.code !== "invalid_type") return undefined
    return issue.input === undefined ? "is missing" : `expects ${issue.expected}, found ${typeName(issue.input)}`
  },
}

const WORD_LENGTH_MAX = 32

function shortOrType(value: unknown): string {
  return typeof value === "string" && value.length <= WORD_LENGTH_MAX ? JSON.stringify(value) : typeName(value)
}

function typeName(value: unknown): string {
  if (value === null) return "null"
  return Array.isArray(value) ? "array" : typeof value === "bigint" ? "number" : typeof value
}

/** What is wrong with a value, each by the path to it (`limits.body_bytes`; "" for the value itself). Of an unknown key the
 *  path is the object that it stands in, and the message suggests a known one. */
export function shapeProblems(
  error: z.ZodError,
  shape: z.ZodType,
): { readonly path: string; readonly message: string }[] {
  return error.issues.map((issue) => ({
    path: issue.path.map(String).join("."),
    message: issue.code === "unrecognized_keys" ? unknownKeys(issue.keys, keysAt(shape, issue.path)) : issue.message,
  }))
}

function unknownKeys(keys: readonly string[], known: readonly string[]): string {
  return keys
    .map((key) => {
      const similar = closest(key, known)
      return `unknown key "${key}"${similar ? `, did you mean "${similar}"?` : ""}`
    })
    .join("; ")
}

/** Keys of the object that a path leads to, as far as the shape tells. */
function keysAt(shape: unknown, path: readonly PropertyKey[]): string[] {
  if (shape instanceof z.ZodOptional || shape instanceof z.ZodNullable || shape instanceof z.ZodDefault) {
    return keysAt(shape.unwrap(), path)
  }
  const [first, ...rest] = path
  if (shape instanceof z.ZodArray) return keysAt(shape.element, rest)
  if (!(shape instanceof z.ZodObject)) return []
  return first === undefined ? Object.keys(shape.shape) : keysAt(shape.shape[String(first)], rest)
}
