/** Replaces the host's `env.abort`, so that the module imports nothing. A failed assertion is a bug: it traps. */
export function abort(): void {
  unreachable();
}
