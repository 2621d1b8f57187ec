import type { Caller } from "../caller.ts"
import type { Job } from "../job.ts"
import { type Jobs, jobNotFound } from "../jobs.ts"
import type { Handlers } from "../service.ts"

/** Long work that runs, or ended lately. */
export const jobHandlers: Handlers<"listJobs" | "getJob" | "cancelJob"> = {
  listJobs: async ({ caller }, { jobs }) => {
    const shown = jobs.list().filter((job) => mayFollow(caller, job))
    return { jobs: shown.map((job) => job.answer()) }
  },

  getJob: async ({ path, caller }, { jobs }) => ({ job: find(jobs, path.id, caller).answer() }),

  cancelJob: async ({ path, caller }, { jobs }) => {
    const job = find(jobs, path.id, caller)
    await jobs.cancel(job)
    return { job: job.answer() }
  },
}

function mayFollow(caller: Caller, job: Job): boolean {
  return job.startedBy === caller.name || caller.may("admin")
}

/** @throws PrismError JOB_NOT_FOUND also where it is somebody else's: no telling whether it is there */
function find(jobs: Jobs, id: string, caller: Caller): Job {
  const job = jobs.get(id)
  if (mayFollow(caller, job)) return job
  throw jobNotFound()
}
