#!/usr/bin/env node
import { run } from "../cli/run.ts"
import { runtime } from "./runtime.ts"

// Not process.exit: what was written to a pipe is still on its way.
process.exitCode = await run(process.argv.slice(2), runtime)
