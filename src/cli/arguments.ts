// Arguments that several commands take.

/** The collection of a command whose main argument it is. */
export const NAME = {
  type: "positional",
  valueHint: "NAME",
  description: "Name of the collection",
  spelledAs: { flag: "name", alias: "n" },
} as const

/** The collection that a command works in. */
export const COLLECTION = {
  type: "string",
  alias: "c",
  also: "name",
  valueHint: "NAME",
  required: true,
  description: "Name of the collection",
} as const

export const PROGRESS = {
  type: "boolean",
  negatable: true,
  description: "Show progress on stderr (by default only on a terminal)",
} as const
