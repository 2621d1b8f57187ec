#!/usr/bin/env -S deno run -A
import process from "node:process"
import { run } from "../cli/run.ts"
import { runtime } from "./runtime.ts"

process.exitCode = await run(process.argv.slice(2), runtime)
