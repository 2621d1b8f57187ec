import { PrismError } from "../base/errors.ts"
import type { Permission } from "./contract.ts"

/** Who asks, and what they may do. */
export interface Caller {
  /** For the audit log; never a key. */
  readonly name: string
  /** Without `collection`: whether that holds for all collections there are, or will be. */
  may(permission: Permission, collection?: string): boolean
}

/** Whoever reaches a server without keys: it is bound to loopback then. */
export const ANYBODY: Caller = { name: "local", may: () => true }

/** @throws PrismError FORBIDDEN */
export function assertMay(caller: Caller, permission: Permission, collection?: string): void {
  if (caller.may(permission, collection)) return
  const what = collection === undefined ? "all collections" : `collection "${collection}"`
  throw new PrismError("FORBIDDEN", `this key has no "${permission}" permission on ${what}`, {
    hint: "use a key with a role that allows it",
  })
}
