import * as z from "zod"
import { closest } from "../base/similar.ts"

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
