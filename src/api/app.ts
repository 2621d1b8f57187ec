// The HTTP interface as one function from a request to an answer. It never listens: a runtime does that.
import { Hono } from "hono"
import { PrismError } from "../base/errors.ts"
import { errorAnswer, jsonAnswer } from "./answers.ts"
import { ANYBODY, assertMay } from "./caller.ts"
import { checkBody, checkParameters } from "./check-request.ts"
import { OPERATIONS, type Operation, type OperationId } from "./contract.ts"
import { handlers } from "./handlers/handlers.ts"
import type { Call, Handler, Service } from "./service.ts"

/** Answers requests of the contract with what `service` has. */
export function createApp(service: Service): { fetch(request: Request): Promise<Response> } {
  const app = new Hono()
  for (const [id, operation] of Object.entries(OPERATIONS) as [OperationId, Operation][]) {
    const handler = handlers[id] as Handler<OperationId> | undefined
    if (handler === undefined) continue
    app.on(operation.method, operation.path.replace(/\{(\w+)\}/g, ":$1"), async (context) => {
      const path = context.req.param() as Record<string, string>
      return await answer(id, operation, handler, context.req.raw, path, service)
    })
  }
  app.notFound(({ req }) =>
    errorAnswer(
      new PrismError("ROUTE_NOT_FOUND", `there is no ${req.method} ${req.path}`, {
        hint: "see /docs for what there is",
      }),
    ),
  )
  app.onError((error) => errorAnswer(error))
  return { fetch: async (request) => await app.fetch(request) }
}

async function answer(
  id: OperationId,
  operation: Operation,
  handler: Handler<OperationId>,
  request: Request,
  path: Record<string, string>,
  service: Service,
): Promise<Response> {
  const caller = ANYBODY
  const { query } = checkParameters(operation, request, path)
  if (operation.scope === undefined || operation.scope === "path") {
    assertMay(caller, operation.permission, path["collection"])
  }
  const body = await checkBody(operation, request)
  const call = { path, query, body, request, caller, signal: request.signal, onProgress: () => {} }
  const value = await handler(call as unknown as Call<typeof id>, service)
  return value instanceof Response ? value : jsonAnswer(value, operation.status)
}
