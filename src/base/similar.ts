// Finds the word that was probably meant, for "did you mean" hints.

/** Optimal string alignment distance: inserted, dropped, changed and swapped neighbouring characters count 1 each. */
function distance(a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      let best = Math.min(row[j - 1]! + 1, last[j]! + 1, last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, before[j - 2]! + 1)
      row.push(best)
    }
    before = last
    last = row
  }
  return last[b.length]!
}

/** The candidate nearest to `word`, ignoring case, or undefined where none is near enough to be a slip of the fingers:
 *  one edit for every three characters. The first of equally near ones wins. */
export function closest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > 64) return undefined
  const lower = word.toLowerCase()
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= bestDistance) continue
    const edits = distance(lower, candidate.toLowerCase())
    if (edits < bestDistance && edits < candidate.length) {
      best = candidate
      bestDistance = edits
    }
  }
  return best
}
