import { expect, test } from "vitest"
import { Prism } from "../../src/collection/prism.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import { runtime } from "../support/runtime.ts"

// The compiler is the judge here: each @ts-expect-error fails the types step where the line below it is accepted.
test("a schema types its documents and results", async () => {
  await using prism = await Prism.openStorage(new MemoryStorage(), runtime)
  const books = await prism.createCollection("books", {
    backends: {
      text: {
        fields: [
          { name: "title", type: "text" },
          { name: "year", type: "i64" },
        ],
      },
    },
  })
  await books.add({ id: "a", fields: { title: "Solaris", year: 1961, shelf: "an undeclared field is free" } })
  await books.add([{ id: "b", title: ["Roadside Picnic", "Picnic on a Frozen River"], year: 1972n }])
  // @ts-expect-error a year is a number
  await expect(books.add({ id: "c", fields: { year: "1961" } })).rejects.toMatchObject({ code: "INVALID_DOCUMENT" })
  // @ts-expect-error a title is text, also beside the id
  await expect(books.add({ id: "c", title: 7 })).rejects.toMatchObject({ code: "INVALID_DOCUMENT" })

  const [first] = (await books.search({ query: "solaris" })).results
  const year: number | bigint | readonly (number | bigint)[] | null | undefined = first?.fields.year
  expect(year).toBe(1961)

  // @ts-expect-error "txt" is no type
  const wrong = prism.createCollection("x", { backends: { text: { fields: [{ name: "a", type: "txt" }] } } })
  await expect(wrong).rejects.toMatchObject({ code: "INVALID_SCHEMA" })
})
