/** What this process really is, told by its own globals and not by anything that a test runner says. */
export function platformName(): string {
  const { Deno, Bun } = globalThis as { Deno?: { version: { deno: string } }; Bun?: { version: string } }
  if (Deno) return `Deno ${Deno.version.deno}`
  if (Bun) return `Bun ${Bun.version}`
  return `Node ${process.versions.node}`
}
