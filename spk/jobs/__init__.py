"""Job engines: one module an engine, each with `run(job: Job) -> int`, which returns the exit status of the job."""
