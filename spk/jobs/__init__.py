"""Job engines: how a stage runs its N jobs. One file an engine, one interface."""
