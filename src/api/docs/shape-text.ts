import type { JsonSchema } from "../openapi.ts"

/** A shape as people write it down: `query?: string  // what it is`, a member a line. */
export function shapeText(schema: JsonSchema, indent = ""): string {
  if (schema.$ref !== undefined) return schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1)
  if (schema.const !== undefined) return JSON.stringify(schema.const)
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ")
  if (schema.anyOf) return schema.anyOf.map((one) => shapeText(one, indent)).join(" | ")
  if (schema.type === "array") return arrayText(schema.items ?? {}, indent)
  if (schema.type === "object") return objectText(schema, indent)
  return schema.format ?? schema.type ?? "any"
}

function arrayText(items: JsonSchema, indent: string): string {
  const text = shapeText(items, indent)
  return text.includes(" | ") ? `(${text})[]` : `${text}[]`
}

function objectText({ properties, required = [], additionalProperties }: JsonSchema, indent: string): string {
  const members = Object.entries(properties ?? {})
  const isOpen = additionalProperties !== undefined && additionalProperties !== false
  if (members.length === 0) return isOpen ? "{ … }" : "{}"
  const inner = `${indent}  `
  const lines = members.map(([name, schema]) => {
    const notes = notesOf(schema)
    const text = `${inner}${name}${required.includes(name) ? "" : "?"}: ${shapeText(schema, inner)}`
    return notes === "" ? text : `${text}  // ${notes}`
  })
  return ["{", ...lines, ...(isOpen ? [`${inner}…`] : []), `${indent}}`].join("\n")
}

function notesOf({ description, default: byDefault, minimum, maximum }: JsonSchema): string {
  const isBounded = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER
  return [
    description,
    byDefault === undefined ? undefined : `default ${JSON.stringify(byDefault)}`,
    isBounded ? `${minimum ?? "…"} to ${maximum}` : undefined,
  ]
    .filter(Boolean)
    .join("; ")
}
