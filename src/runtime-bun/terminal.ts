export { exit, terminal } from "../runtime-node/terminal.ts"
