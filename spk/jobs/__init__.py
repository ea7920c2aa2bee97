"""Job engines: one module an engine (local, slurm, gridengine), each with `run(job: Job) -> int`, the exit status.

What the engines of clusters share is in `cluster`, which knows a queue as the object that an engine's module has; what
runs on the machines of a cluster is `task`.
"""
