#!/usr/bin/env -S deno run -A --unstable-no-legacy-abort
import process from "node:process"
import { run } from "../cli/run.ts"
import { runtime } from "./runtime.ts"
import { exit } from "./terminal.ts"

// Not when nothing is left to do: standard input may stay open although nobody reads it any more.
await exit(await run(process.argv.slice(2), runtime))
