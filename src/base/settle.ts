/** Runs every task, one after another, whatever fails, then throws the first error: for letting go of several things. */
export async function settleAll(tasks: Iterable<() => Promise<unknown>>): Promise<void> {
  const errors: unknown[] = []
  for (const task of tasks) {
    try {
      await task()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw errors[0]
}
