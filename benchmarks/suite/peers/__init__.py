"""The workloads written for other libraries, each of which needs that library and not staticgrad."""
