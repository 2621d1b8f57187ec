// Who asks, and what they may do.
import { PrismError } from "../base/errors.ts"
import type { ApiKey, Role } from "./config.ts"
import type { Permission } from "./contract.ts"

export interface Caller {
  /** For logs; never a key. */
  readonly name: string
  /** Whether a key has told who it is; else it is whoever reached the server. */
  readonly hasKey: boolean
  /** Without `collection`: whether that holds for all collections there are, or will be. */
  may(permission: Permission, collection?: string): boolean
  /** Whether it holds for any collection, that there is or may be. */
  maySomewhere(permission: Permission): boolean
}

/** Whoever reaches a server without keys: it is bound to loopback then. */
export const ANYBODY: Caller = { name: "local", hasKey: false, may: () => true, maySomewhere: () => true }

/** Whoever shows no key to a server that has some. */
export const NOBODY: Caller = {
  name: "anonymous",
  hasKey: false,
  may: (permission) => permission === "public",
  maySomewhere: (permission) => permission === "public",
}

/** Another process of this machine that could read the lock of the data directory. */
export const LOCK_READER: Caller = { ...ANYBODY, name: "lock", hasKey: true }

export function callerOf({ name, roles }: ApiKey): Caller {
  return {
    name,
    hasKey: true,
    may: (permission, collection) => roles.some((role) => allows(role, permission) && covers(role, collection)),
    maySomewhere: (permission) => roles.some((role) => allows(role, permission)),
  }
}

/** @throws PrismError FORBIDDEN */
export function assertMay(caller: Caller, permission: Permission, collection?: string): void {
  if (caller.may(permission, collection)) return
  throw forbidden(permission, collection === undefined ? "all collections" : `collection "${collection}"`)
}

/** @throws PrismError FORBIDDEN */
export function assertMaySomewhere(caller: Caller, permission: Permission): void {
  if (!caller.maySomewhere(permission)) throw forbidden(permission, "any collection")
}

function forbidden(permission: Permission, what: string): PrismError {
  return new PrismError("FORBIDDEN", `this key has no "${permission}" permission on ${what}`, {
    hint: "use a key with a role that allows it",
  })
}

function allows({ permissions }: Role, permission: Permission): boolean {
  return permission === "public" || permissions.includes("admin") || permissions.includes(permission)
}

function covers({ collections }: Role, collection: string | undefined): boolean {
  return collection === undefined ? /^\*+$/.test(collections) : matchesPattern(collections, collection)
}

/** Whether a name is what a pattern stands for, in which `*` is any characters. Goes back to the last `*` alone, so that
 *  no pattern takes more than its length times the name's. */
export function matchesPattern(pattern: string, name: string): boolean {
  let at = 0
  let star = -1
  let starName = 0
  for (let inName = 0; inName < name.length; ) {
    if (pattern[at] === "*") {
      star = at++
      starName = inName
    } else if (pattern[at] === name[inName]) {
      at++
      inName++
    } else if (star >= 0) {
      at = star + 1
      inName = ++starName
    } else {
      return false
    }
  }
  while (pattern[at] === "*") at++
  return at === pattern.length
}
