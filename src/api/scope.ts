// Which collections a request is about, at the place that the contract names. Undefined stands for all of them.

/** The name `-` stands for the one that an archive brings: that may be any. */
export function collectionIn({ collection }: Readonly<Record<string, string>>): string | undefined {
  return collection === "-" ? undefined : collection
}

/** What stands in a body at a place such as `searches[].collection`. The body has the contract's shape. */
export function collectionsIn(body: unknown, place: string): (string | undefined)[] {
  return valuesAt(body, place.split(".")).map((name) => (typeof name === "string" ? name : undefined))
}

function valuesAt(value: unknown, [first, ...rest]: readonly string[]): unknown[] {
  if (first === undefined) return [value]
  const isList = first.endsWith("[]")
  const member = (value as Record<string, unknown>)[isList ? first.slice(0, -2) : first]
  return isList ? (member as unknown[]).flatMap((item) => valuesAt(item, rest)) : valuesAt(member, rest)
}
