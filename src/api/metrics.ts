// Figures of the server in Prometheus' text format (version 0.0.4).

/** Upper bounds, in seconds. */
const DURATION_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60] as const

/** A figure at one moment, with the values that it has by its labels. */
export interface Family {
  readonly name: string
  readonly type: "counter" | "gauge"
  readonly help: string
  readonly values: readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[]
}

/** What a server counts. Labels are routes of the contract and statuses, never what a client sends, so there are few. */
export class Metrics {
  #inFlight = 0
  #requests = 0
  #errors = 0
  #searches = 0
  readonly #byStatus = new Map<string, { labels: Record<string, string>; count: number }>()
  readonly #durations = new Map<string, Histogram>()

  get inFlight(): number {
    return this.#inFlight
  }

  /** All that were answered. */
  get requests(): number {
    return this.#requests
  }

  /** Of these, answers of 500 and more. */
  get errors(): number {
    return this.#errors
  }

  began(): void {
    this.#inFlight++
  }

  ended(method: string, route: string, status: number, seconds: number): void {
    this.#inFlight--
    this.#requests++
    if (status >= 500) this.#errors++
    const id = `${method} ${route} ${status}`
    const counted = this.#byStatus.get(id) ?? { labels: { method, route, status: String(status) }, count: 0 }
    counted.count++
    this.#byStatus.set(id, counted)
    const operation = `${method} ${route}`
    const durations = this.#durations.get(operation) ?? new Histogram({ method, route })
    durations.add(seconds)
    this.#durations.set(operation, durations)
  }

  searched(count: number): void {
    this.#searches += count
  }

  render(families: readonly Family[]): string {
    const requests: Family = {
      name: "prism_http_requests_total",
      type: "counter",
      help: "Requests that were answered.",
      values: [...this.#byStatus.values()].map(({ labels, count }) => [labels, count]),
    }
    const lines = [
      ...linesOf(requests),
      ...header("prism_http_request_duration_seconds", "histogram", "Until the last byte of the answer was taken."),
      ...[...this.#durations.values()].flatMap((histogram) => histogram.lines("prism_http_request_duration_seconds")),
      ...linesOf(one("prism_http_requests_in_flight", "gauge", "Requests that are being answered.", this.#inFlight)),
      ...linesOf(one("prism_searches_total", "counter", "Searches, each of a multi-search too.", this.#searches)),
      ...families.flatMap(linesOf),
    ]
    return `${lines.join("\n")}\n`
  }
}

/** A figure without labels. */
export function one(name: string, type: Family["type"], help: string, value: number): Family {
  return { name, type, help, values: [[{}, value]] }
}

class Histogram {
  readonly #labels: Readonly<Record<string, string>>
  readonly #counts = DURATION_BUCKETS.map(() => 0)
  #count = 0
  #sum = 0

  constructor(labels: Readonly<Record<string, string>>) {
    this.#labels = labels
  }

  add(value: number): void {
    for (const [i, bound] of DURATION_BUCKETS.entries()) if (value <= bound) this.#counts[i]!++
    this.#count++
    this.#sum += value
  }

  lines(name: string): string[] {
    const bucket = (le: string, count: number) => sample(`${name}_bucket`, { ...this.#labels, le }, count)
    return [
      ...DURATION_BUCKETS.map((bound, i) => bucket(String(bound), this.#counts[i]!)),
      bucket("+Inf", this.#count),
      sample(`${name}_sum`, this.#labels, this.#sum),
      sample(`${name}_count`, this.#labels, this.#count),
    ]
  }
}

function linesOf({ name, type, help, values }: Family): string[] {
  if (values.length === 0) return []
  return [...header(name, type, help), ...values.map(([labels, value]) => sample(name, labels, value))]
}

function header(name: string, type: string, help: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`]
}

function sample(name: string, labels: Readonly<Record<string, string>>, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`)
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}`
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")
}
