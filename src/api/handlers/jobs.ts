import type { Handlers } from "../service.ts"

/** Long work that runs, or ended lately. */
export const jobHandlers: Handlers<"listJobs" | "getJob" | "cancelJob"> = {
  listJobs: async (_, { jobs }) => ({ jobs: jobs.list().map((job) => job.answer()) }),

  getJob: async ({ path }, { jobs }) => ({ job: jobs.get(path.id).answer() }),

  cancelJob: async ({ path }, { jobs }) => {
    const job = jobs.get(path.id)
    await jobs.cancel(job)
    return { job: job.answer() }
  },
}
